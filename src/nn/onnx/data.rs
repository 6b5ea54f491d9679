//! Values that depend on the images, and how their axes lie in memory.
//!
//! ONNX has channels in front of rows and columns, networks here have them behind. So every axis is made of *atoms*, and
//! memory has all atoms in an order of its own. `Transpose`, `Squeeze`, `Flatten` and most of `Reshape` then change names
//! only and move nothing; a value is moved where an operator needs another order.

use super::super::arrangement::Axis;
use super::super::net::Value;
use super::constant::{BATCH, strides};

/// An axis as ONNX sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The images.
    Batch,
    /// Atoms, the slowest first; none for an axis of one place.
    Atoms(Vec<usize>),
}

/// A value that depends on the images.
#[derive(Clone, Debug)]
pub struct Data {
    /// The network's value.
    pub value: Value,
    /// Its axes as ONNX sees them.
    pub axes: Vec<Place>,
    /// Extents of the atoms, all larger than 1.
    pub extents: Vec<usize>,
    /// The atoms in memory's order, the slowest first.
    pub storage: Vec<usize>,
    /// What it was before `Pad`: a convolution pads by itself.
    pub unpadded: Option<Box<Unpadded>>,
}

/// A value before constant values were put around its rows and columns.
#[derive(Clone, Debug)]
pub struct Unpadded {
    /// The value.
    pub data: Data,
    /// Rows, then columns, in front and behind.
    pub padding: [[usize; 2]; 2],
    /// What was put there.
    pub value: f32,
}

impl Data {
    /// A value whose memory has the axes in this order; `batch` if the images are an axis in front of `extents`.
    pub fn new(value: Value, batch: bool, extents: &[usize], order: &[usize]) -> Self {
        let mut axes: Vec<Place> = batch.then_some(Place::Batch).into_iter().collect();
        let mut own = Vec::new();
        let mut atoms = Vec::new();
        for &extent in extents {
            let atom = (extent > 1).then(|| {
                own.push(extent);
                own.len() - 1
            });
            atoms.push(atom);
            axes.push(Place::Atoms(atom.into_iter().collect()));
        }
        let storage = order.iter().filter_map(|&axis| atoms[axis]).collect();
        Self { value, axes, extents: own, storage, unpadded: None }
    }

    /// The same layout for another value.
    pub fn with_value(&self, value: Value) -> Self {
        Self { value, unpadded: None, ..self.clone() }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    /// Values of an image.
    pub fn len(&self) -> usize {
        self.extents.iter().product()
    }

    /// The atoms of an axis.
    pub fn atoms(&self, axis: usize) -> Result<&[usize], String> {
        match self.axes.get(axis) {
            Some(Place::Atoms(atoms)) => Ok(atoms),
            Some(Place::Batch) => {
                Err("works on the axis of the images, which do not see each other".to_string())
            }
            None => Err(format!("has the axis {axis} of {}", self.rank())),
        }
    }

    /// Places of an axis.
    pub fn extent(&self, axis: usize) -> Result<usize, String> {
        Ok(self.atoms(axis)?.iter().map(|&atom| self.extents[atom]).product())
    }

    /// The shape, with [`BATCH`] for the images.
    pub fn shape(&self) -> Vec<i64> {
        (0..self.rank()).map(|axis| self.extent(axis).map_or(BATCH, |extent| extent as i64)).collect()
    }

    /// The extents without the images.
    pub fn own_extents(&self) -> Vec<usize> {
        (0..self.rank()).filter_map(|axis| self.extent(axis).ok()).collect()
    }

    /// Whether the first axis is that of the images, or has one place.
    pub fn leads_with_images(&self) -> bool {
        match self.axes.first() {
            Some(Place::Batch) => true,
            Some(Place::Atoms(atoms)) => atoms.is_empty(),
            None => false,
        }
    }

    /// Whether the images are no axis, or the first one.
    pub fn images_first(&self) -> bool {
        self.axes.iter().skip(1).all(|axis| *axis != Place::Batch)
    }

    /// All atoms as ONNX sees them, the slowest first.
    pub fn in_order(&self) -> Vec<usize> {
        let atoms = self.axes.iter().filter_map(|axis| match axis {
            Place::Batch => None,
            Place::Atoms(atoms) => Some(atoms.iter().copied()),
        });
        atoms.flatten().collect()
    }

    /// The axis in memory, if its atoms lie together there.
    pub fn block(&self, axis: usize) -> Result<Option<Axis>, String> {
        let atoms = self.atoms(axis)?;
        let product = |atoms: &[usize]| atoms.iter().map(|&atom| self.extents[atom]).product::<usize>();
        let Some(first) = atoms.first() else {
            // Channels go behind everything, any other axis in front of it.
            let channels = axis == 1 && self.rank() > 2;
            let (before, after) = if channels { (self.len(), 1) } else { (1, self.len()) };
            return Ok(Some(Axis { before, extent: 1, after }));
        };
        let start = self.storage.iter().position(|atom| atom == first).expect("every atom is stored");
        let end = start + atoms.len();
        let together = self.storage.get(start..end) == Some(atoms);
        Ok(together.then(|| Axis {
            before: product(&self.storage[..start]),
            extent: product(atoms),
            after: product(&self.storage[end..]),
        }))
    }

    /// With one atom in place of those of an axis, of another extent.
    pub fn with_extent(&self, axis: usize, extent: usize, value: Value) -> Result<Self, String> {
        let block = self.block(axis)?.ok_or("needs an axis that lies together")?;
        let old = self.atoms(axis)?.to_vec();
        let mut all = self.with_value(value);
        let at = match old.first() {
            Some(first) => all.storage.iter().position(|atom| atom == first).expect("every atom is stored"),
            None if block.after == 1 => all.storage.len(),
            None => 0,
        };
        all.storage.retain(|atom| !old.contains(atom));
        all.axes[axis] = Place::Atoms(Vec::new());
        if extent > 1 {
            all.extents.push(extent);
            let atom = all.extents.len() - 1;
            all.storage.insert(at, atom);
            all.axes[axis] = Place::Atoms(vec![atom]);
        }
        Ok(all.tidied())
    }

    /// Atoms that lie beside each other for ONNX and in memory are one, and unused ones are gone.
    pub fn tidied(mut self) -> Self {
        for axis in 0..self.axes.len() {
            let Place::Atoms(atoms) = self.axes[axis].clone() else { continue };
            let mut kept: Vec<usize> = Vec::new();
            for atom in atoms {
                let place = self.storage.iter().position(|&own| own == atom).expect("every atom is stored");
                match kept.last() {
                    Some(&last) if place > 0 && self.storage[place - 1] == last => {
                        self.extents[last] *= self.extents[atom];
                        self.storage.remove(place);
                    }
                    _ => kept.push(atom),
                }
            }
            self.axes[axis] = Place::Atoms(kept);
        }
        let mut number = vec![0; self.extents.len()];
        let used = self.in_order();
        for (new, &atom) in used.iter().enumerate() {
            number[atom] = new;
        }
        self.extents = used.iter().map(|&atom| self.extents[atom]).collect();
        self.storage = self.storage.iter().map(|&atom| number[atom]).collect();
        for axis in &mut self.axes {
            if let Place::Atoms(atoms) = axis {
                for atom in atoms {
                    *atom = number[*atom];
                }
            }
        }
        self
    }

    /// Splits an atom in two, the slower one of `front` places.
    fn split(&mut self, atom: usize, front: usize) -> usize {
        let new = self.extents.len();
        self.extents.push(self.extents[atom] / front);
        self.extents[atom] = front;
        let place = self.storage.iter().position(|&own| own == atom).expect("every atom is stored");
        self.storage.insert(place + 1, new);
        for axis in &mut self.axes {
            if let Place::Atoms(atoms) = axis
                && let Some(at) = atoms.iter().position(|&own| own == atom)
            {
                atoms.insert(at + 1, new);
            }
        }
        new
    }

    /// An axis as several axes; `None` if its atoms do not divide so. The atoms of all are still those of the axis.
    pub fn divided(&mut self, axis: usize, extents: &[usize]) -> Option<Vec<Place>> {
        let mut axes = Vec::new();
        let mut next = 0;
        for &extent in extents {
            let mut left = extent;
            let mut own = Vec::new();
            while left > 1 {
                let atom = *self.atoms(axis).ok()?.get(next)?;
                let size = self.extents[atom];
                if size > left {
                    if !size.is_multiple_of(left) {
                        return None;
                    }
                    self.split(atom, left);
                } else if !left.is_multiple_of(size) {
                    return None;
                }
                left /= self.extents[atom];
                own.push(atom);
                next += 1;
            }
            axes.push(Place::Atoms(own));
        }
        (self.atoms(axis).ok()?.len() == next).then_some(axes)
    }

    /// With other axes over the same values, the images aside; `None` if values would have to move.
    pub fn reshaped(&self, extents: &[usize]) -> Option<Self> {
        let mut all = self.merged();
        let last = all.rank() - 1;
        let axes = all.divided(last, extents)?;
        all.axes.splice(last.., axes);
        Some(all.tidied())
    }

    /// All axes but the images as one, with as few atoms as there can be.
    fn merged(&self) -> Self {
        let mut all = Self { unpadded: None, ..self.clone() };
        let batch = all.axes.contains(&Place::Batch);
        let atoms = Place::Atoms(all.in_order());
        all.axes = batch.then_some(Place::Batch).into_iter().chain([atoms]).collect();
        all.tidied()
    }

    /// Makes the atoms of axis `axis` here and in `other` those of the other, by splitting; whether that worked.
    pub fn agree(&mut self, other: &mut Self, axis: usize) -> bool {
        let mut at = 0;
        loop {
            let (Ok(own), Ok(theirs)) = (self.atoms(axis), other.atoms(axis)) else { return false };
            match (own.get(at).copied(), theirs.get(at).copied()) {
                (None, None) => return true,
                (Some(a), Some(b)) => {
                    let (x, y) = (self.extents[a], other.extents[b]);
                    if x > y && x.is_multiple_of(y) {
                        self.split(a, y);
                    } else if y > x && y.is_multiple_of(x) {
                        other.split(b, x);
                    } else if x != y {
                        return false;
                    }
                    at += 1;
                }
                _ => return false,
            }
        }
    }

    /// Where memory reads a constant whose axes have these strides: extents and strides of the atoms in memory's order.
    pub fn read(&self, axis_strides: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let mut of_atom = vec![0; self.extents.len()];
        for (axis, &stride) in self.axes.iter().zip(axis_strides) {
            let Place::Atoms(atoms) = axis else { continue };
            let extents: Vec<usize> = atoms.iter().map(|&atom| self.extents[atom]).collect();
            for (&atom, inner) in atoms.iter().zip(strides(&extents)) {
                of_atom[atom] = inner * stride;
            }
        }
        self.storage.iter().map(|&atom| (self.extents[atom], of_atom[atom])).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[images, 6, 4, 4]` with channels last in memory.
    fn image() -> Data {
        Data::new(Value(0), true, &[6, 4, 5], &[1, 2, 0])
    }

    #[test]
    fn a_flattened_image_still_knows_where_its_channels_are() {
        let flat = image().reshaped(&[120]).unwrap();
        assert_eq!(flat.shape(), [BATCH, 120]);
        assert_eq!((flat.extents.clone(), flat.storage.clone()), (vec![6, 20], vec![1, 0]));
        let back = flat.reshaped(&[6, 4, 5]).unwrap();
        assert_eq!((back.extents, back.storage), (image().extents, image().storage));
    }

    #[test]
    fn groups_of_channels_are_a_part_of_the_axis() {
        let groups = image().reshaped(&[2, 3, 4, 5]).unwrap();
        assert_eq!(groups.block(2).unwrap(), Some(Axis { before: 40, extent: 3, after: 1 }));
        assert_eq!(groups.block(1).unwrap(), Some(Axis { before: 20, extent: 2, after: 3 }));
        assert!(image().reshaped(&[4, 5, 6]).is_none(), "rows and channels would mix");
    }

    #[test]
    fn an_axis_whose_atoms_are_apart_has_no_block() {
        let flat = image().reshaped(&[120]).unwrap();
        assert_eq!(flat.block(1).unwrap(), None);
        assert!(flat.block(0).is_err());
    }
}

//! Tensors that are known while a model is read: weights, and the whole numbers that shapes are computed with.

use super::message::Tensor;
use crate::files;
use crate::memory;
use half::{bf16, f16};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

/// Stands for the number of images, which a model does not know, among whole numbers.
pub const BATCH: i64 = i64::MIN + 0x5ca1_ab1e;

/// Values that a computed constant may have; weights come from the file and are as many as it holds.
const MOST_COMPUTED: usize = 1 << 26;

/// Values that all constants may have together that operators compute; transposed weights count.
pub const MOST_COMPUTED_TOGETHER: usize = 1 << 28;

/// Bytes that external data may have in all.
const MOST_EXTERNAL: usize = 1 << 33;

/// The values of a constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Real numbers, of whatever precision they were stored in.
    Floats(Vec<f32>),
    /// Whole numbers and truth values.
    Integers(Vec<i64>),
}

/// A known tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Its extents.
    pub extents: Vec<usize>,
    /// Its values, the last extent fastest.
    pub values: Numbers,
    /// The initialiser that it is, perhaps in another arrangement: its name is the weight's. None for computed values.
    pub origin: Option<String>,
}

type Result<T> = std::result::Result<T, String>;

impl Constant {
    /// Real numbers.
    pub fn floats(extents: &[usize], values: Vec<f32>) -> Self {
        Self { extents: extents.to_vec(), values: Numbers::Floats(values), origin: None }
    }

    /// Whole numbers.
    pub fn integers(extents: &[usize], values: Vec<i64>) -> Self {
        Self { extents: extents.to_vec(), values: Numbers::Integers(values), origin: None }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match &self.values {
            Numbers::Floats(values) => values.len(),
            Numbers::Integers(values) => values.len(),
        }
    }

    /// As real numbers.
    pub fn to_floats(&self) -> Result<Vec<f32>> {
        match &self.values {
            Numbers::Floats(values) => Ok(values.clone()),
            Numbers::Integers(values) if values.contains(&BATCH) => Err(WITH_BATCH.to_string()),
            Numbers::Integers(values) => Ok(values.iter().map(|&value| value as f32).collect()),
        }
    }

    /// As whole numbers.
    pub fn to_integers(&self) -> Result<&[i64]> {
        match &self.values {
            Numbers::Integers(values) => Ok(values),
            Numbers::Floats(_) => Err("reads real numbers where whole ones belong".to_string()),
        }
    }

    /// The one value, if all are the same.
    pub fn uniform(&self) -> Option<f32> {
        let values = self.to_floats().ok()?;
        let first = *values.first()?;
        values.iter().all(|value| value.to_bits() == first.to_bits()).then_some(first)
    }

    /// The values at these places of this one, with these extents.
    pub fn pick(&self, extents: &[usize], places: impl Iterator<Item = usize>) -> Result<Self> {
        room(extents)?;
        Ok(self.picked(extents, places))
    }

    fn picked(&self, extents: &[usize], places: impl Iterator<Item = usize>) -> Self {
        let values = match &self.values {
            Numbers::Floats(values) => Numbers::Floats(places.map(|at| values[at]).collect()),
            Numbers::Integers(values) => Numbers::Integers(places.map(|at| values[at]).collect()),
        };
        Self { extents: extents.to_vec(), values, origin: None }
    }

    /// The same values in another shape of as many.
    pub fn reshaped(&self, extents: &[usize]) -> Result<Self> {
        if count(extents) != Some(self.len()) {
            return Err(format!(
                "makes {extents:?} of {:?}, which has another number of values",
                self.extents
            ));
        }
        Ok(Self { extents: extents.to_vec(), ..self.clone() })
    }

    /// Axis `i` of the result is axis `order[i]` of this one.
    pub fn transposed(&self, order: &[usize]) -> Result<Self> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.extents.len()) {
            return Err(format!("has the order {order:?} for {} axes", self.extents.len()));
        }
        let strides = strides(&self.extents);
        let extents: Vec<usize> = order.iter().map(|&axis| self.extents[axis]).collect();
        let own: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
        let places = Places::new(&extents, &own);
        // As many values as there are: weights may be more than a computed constant.
        Ok(Self { origin: self.origin.clone(), ..self.picked(&extents, places) })
    }

    /// Repeated along axes of extent 1, and along new axes in front.
    pub fn spread(&self, extents: &[usize]) -> Result<Self> {
        let own = spread_strides(&self.extents, extents)
            .ok_or_else(|| format!("cannot repeat {:?} to {extents:?}", self.extents))?;
        room(extents)?;
        self.pick(extents, Places::new(extents, &own))
    }
}

/// What is said where a graph computes with the number of images.
pub const WITH_BATCH: &str = "computes with the number of images in the batch, which may not change a result; \
                              export the model without that";

/// Refuses a computed tensor that is too large.
pub fn room(extents: &[usize]) -> Result<usize> {
    count(extents)
        .filter(|&count| count <= MOST_COMPUTED)
        .ok_or_else(|| format!("would make a constant of {extents:?}, which is too large"))
}

/// The product of extents, if it can be counted.
pub fn count(extents: &[usize]) -> Option<usize> {
    extents.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent))
}

/// Distances between neighbours along each axis.
pub fn strides(extents: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; extents.len()];
    for axis in (1..extents.len()).rev() {
        strides[axis - 1] = strides[axis] * extents[axis];
    }
    strides
}

/// Distances with which a tensor of extents `own` is read where the result has the extents `all`; 0 where it repeats.
pub fn spread_strides(own: &[usize], all: &[usize]) -> Option<Vec<usize>> {
    let missing = all.len().checked_sub(own.len())?;
    let strides = strides(own);
    (0..all.len())
        .map(|axis| match axis.checked_sub(missing) {
            None => Some(0),
            Some(i) if own[i] == all[axis] => Some(strides[i]),
            Some(i) if own[i] == 1 => Some(0),
            Some(_) => None,
        })
        .collect()
}

/// Places in a tensor read with `strides` over `extents`.
pub struct Places {
    extents: Vec<usize>,
    strides: Vec<usize>,
    at: Vec<usize>,
    place: usize,
    left: usize,
}

impl Places {
    /// Over all of `extents`, which [`room`] or a file has judged.
    pub fn new(extents: &[usize], strides: &[usize]) -> Self {
        let left = extents.iter().product();
        let at = vec![0; extents.len()];
        Self { extents: extents.to_vec(), strides: strides.to_vec(), at, place: 0, left }
    }
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place;
        for axis in (0..self.extents.len()).rev() {
            self.at[axis] += 1;
            self.place += self.strides[axis];
            if self.at[axis] < self.extents[axis] {
                break;
            }
            self.place -= self.strides[axis] * self.extents[axis];
            self.at[axis] = 0;
        }
        Some(place)
    }
}

/// Reads tensors, those in other files too.
pub struct Loader<'a> {
    folder: Option<&'a Path>,
    external: usize,
}

impl<'a> Loader<'a> {
    /// For a model in `folder`, in which its external data must be.
    pub fn new(folder: Option<&'a Path>) -> Self {
        Self { folder, external: 0 }
    }

    /// The values of a tensor.
    pub fn load(&mut self, tensor: &Tensor) -> Result<Constant> {
        let extents: Option<Vec<usize>> =
            tensor.extents.iter().map(|&extent| usize::try_from(extent).ok()).collect();
        let extents =
            extents.ok_or_else(|| format!("the tensor {} has extents {:?}", tensor.name, tensor.extents))?;
        let len = count(&extents)
            .ok_or_else(|| format!("the tensor {} has impossible extents {extents:?}", tensor.name))?;
        let wrong = |problem: String| format!("the tensor {} of {extents:?} {problem}", tensor.name);
        let size = size_of_kind(tensor.kind).ok_or_else(|| {
            wrong(format!(
                "has elements of type {}; f32, f16, bf16, f64, whole numbers and truth values are read",
                tensor.kind
            ))
        })?;
        let held = len.checked_mul(size).ok_or_else(|| wrong("is too large".to_string()))?;
        let outside;
        let raw = if tensor.is_external {
            outside = self.external(tensor, held).map_err(&wrong)?;
            Some(&outside[..])
        } else {
            tensor.raw
        };
        let values = match raw {
            Some(bytes) if bytes.len() == held => decode(tensor.kind, bytes),
            Some(bytes) => return Err(wrong(format!("has {} bytes instead of {held}", bytes.len()))),
            None => typed(tensor),
        };
        let values = values.map_err(&wrong)?;
        let origin = Some(tensor.name.clone()).filter(|name| !name.is_empty());
        let constant = Constant { extents: extents.clone(), values, origin };
        match constant.len() == len {
            true => Ok(constant),
            false => Err(wrong(format!("has {} values", constant.len()))),
        }
    }

    /// Bytes of a file beside the model.
    fn external(&mut self, tensor: &Tensor, held: usize) -> Result<Vec<u8>> {
        let entry =
            |key: &str| tensor.external.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        let number = |key: &str| {
            entry(key)
                .map(|text| text.parse::<u64>().map_err(|_| format!("has the {key} {text:?}")))
                .transpose()
        };
        let location = entry("location").ok_or("is in another file that is not named")?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        if length.is_some_and(|length| length != held as u64) {
            return Err(format!("has {} bytes in {location:?} instead of {held}", length.unwrap_or(0)));
        }
        let folder = self.folder.ok_or("is in another file, and this model has no folder")?;
        let relative = Path::new(location);
        let refused =
            format!("is in the file {location:?}, which is not in the model's own folder; put it there");
        let is_inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !relative.components().all(is_inside) {
            return Err(refused);
        }
        let cannot = |error| format!("is in the file {location:?}, which cannot be read ({error})");
        let home = folder.canonicalize().map_err(cannot)?;
        let path = home.join(relative).canonicalize().map_err(cannot)?;
        if !path.starts_with(&home) {
            return Err(refused);
        }
        let whole = files::length(&path).map_err(cannot)?;
        if offset.checked_add(held as u64).is_none_or(|end| end > whole) {
            return Err(format!(
                "ends behind the end of {location:?}, which is cut short or of another model"
            ));
        }
        self.external = self.external.saturating_add(held);
        if self.external > MOST_EXTERNAL {
            return Err("makes more than 8 GiB of weights, more than are read".to_string());
        }
        let mut bytes = memory::zeros(held).map_err(|error| format!("does not fit: {error}"))?;
        let mut file = File::open(&path).map_err(cannot)?;
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(cannot)?;
        Ok(bytes)
    }
}

/// Types of elements, by ONNX's numbers.
pub mod kinds {
    /// Real numbers of 32 bits.
    pub const F32: i64 = 1;
    /// Whole numbers of 64 bits.
    pub const I64: i64 = 7;
    /// Truth values.
    pub const BOOL: i64 = 9;
    /// Real numbers of 16 bits.
    pub const F16: i64 = 10;
    /// Real numbers of 64 bits.
    pub const F64: i64 = 11;
    /// Real numbers of 16 bits with the range of 32.
    pub const BF16: i64 = 16;

    /// Whether elements are real numbers.
    pub fn is_float(kind: i64) -> bool {
        [F32, F16, F64, BF16].contains(&kind)
    }
}

/// Bytes of an element.
fn size_of_kind(kind: i64) -> Option<usize> {
    Some(match kind {
        2 | 3 | kinds::BOOL => 1,
        4 | 5 | kinds::F16 | kinds::BF16 => 2,
        kinds::F32 | 6 | 12 => 4,
        kinds::I64 | kinds::F64 | 13 => 8,
        _ => return None,
    })
}

fn chunks<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|chunk| number(*chunk)).collect()
}

fn decode(kind: i64, bytes: &[u8]) -> Result<Numbers> {
    Ok(match kind {
        kinds::F32 => Numbers::Floats(chunks(bytes, f32::from_le_bytes)),
        kinds::F16 => Numbers::Floats(chunks(bytes, |b| f16::from_le_bytes(b).to_f32())),
        kinds::BF16 => Numbers::Floats(chunks(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        kinds::F64 => Numbers::Floats(rounded(&chunks(bytes, f64::from_le_bytes))?),
        2 | kinds::BOOL => Numbers::Integers(bytes.iter().map(|&b| i64::from(b)).collect()),
        3 => Numbers::Integers(bytes.iter().map(|&b| i64::from(b as i8)).collect()),
        4 => Numbers::Integers(chunks(bytes, |b| i64::from(u16::from_le_bytes(b)))),
        5 => Numbers::Integers(chunks(bytes, |b| i64::from(i16::from_le_bytes(b)))),
        6 => Numbers::Integers(chunks(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        12 => Numbers::Integers(chunks(bytes, |b| i64::from(u32::from_le_bytes(b)))),
        _ => Numbers::Integers(chunks(bytes, i64::from_le_bytes)),
    })
}

/// Values in fields of their own.
fn typed(tensor: &Tensor) -> Result<Numbers> {
    Ok(match tensor.kind {
        kinds::F32 => Numbers::Floats(tensor.floats.clone()),
        kinds::F64 => Numbers::Floats(rounded(&tensor.doubles)?),
        kinds::F16 => {
            Numbers::Floats(tensor.integers.iter().map(|&b| f16::from_bits(b as u16).to_f32()).collect())
        }
        kinds::BF16 => {
            Numbers::Floats(tensor.integers.iter().map(|&b| bf16::from_bits(b as u16).to_f32()).collect())
        }
        _ => Numbers::Integers(tensor.integers.clone()),
    })
}

fn rounded(values: &[f64]) -> Result<Vec<f32>> {
    let beyond = |value: f64| value.is_finite() && !(value as f32).is_finite();
    match values.iter().find(|&&value| beyond(value)) {
        Some(value) => Err(format!("has the value {value:e}, more than numbers of 32 bits can be")),
        None => Ok(values.iter().map(|&value| value as f32).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_transposed_and_repeated_like_an_array_of_numpy() {
        let own = Constant::integers(&[2, 3], (0..6).collect());
        let turned = own.transposed(&[1, 0]).unwrap();
        assert_eq!(turned, Constant::integers(&[3, 2], vec![0, 3, 1, 4, 2, 5]));
        let spread = Constant::integers(&[2, 1], vec![7, 8]).spread(&[2, 2, 2]).unwrap();
        assert_eq!(spread.values, Numbers::Integers(vec![7, 7, 8, 8, 7, 7, 8, 8]));
        assert!(own.spread(&[2, 4]).is_err() && own.spread(&[1 << 40, 1 << 30, 2, 3]).is_err());
    }

    #[test]
    fn numbers_of_every_kind_are_read() {
        let load = |kind: i64, raw: &[u8], extents: &[i64]| {
            let tensor = Tensor { kind, raw: Some(raw), extents: extents.to_vec(), ..Default::default() };
            Loader::new(None).load(&tensor).map(|constant| constant.values)
        };
        assert_eq!(load(kinds::F16, &f16::from_f32(0.5).to_le_bytes(), &[1]), Ok(Numbers::Floats(vec![0.5])));
        assert_eq!(
            load(kinds::BF16, &bf16::from_f32(-2.0).to_le_bytes(), &[]),
            Ok(Numbers::Floats(vec![-2.0]))
        );
        assert_eq!(load(kinds::F64, &0.1_f64.to_le_bytes(), &[1, 1]), Ok(Numbers::Floats(vec![0.1])));
        assert_eq!(load(3, &[0xff], &[1]), Ok(Numbers::Integers(vec![-1])));
        assert!(load(kinds::F64, &1e300_f64.to_le_bytes(), &[1]).unwrap_err().contains("32 bits"));
        assert!(load(kinds::F32, &[0; 8], &[3]).unwrap_err().contains("8 bytes instead of 12"));
        assert!(load(kinds::F32, &[0; 8], &[i64::MAX, 4]).unwrap_err().contains("impossible extents"));
        assert!(load(kinds::F32, &[], &[-1]).unwrap_err().contains("extents [-1]"));
        assert!(load(8, &[], &[0]).unwrap_err().contains("type 8"));
    }
}

//! `Gather` and `GatherND`: values at any places of axes, which the file names.
//!
//! PyTorch's newer exporter writes adaptive pooling so: every window's rows and columns, one after the other, of which a
//! mean is taken. Places are taken in runs at equal distances, and what is taken is joined.

use super::slices::{around, taken};
use super::{Call, Importer, Known, Result, one};
use crate::nn::arrangement::{Arrangement, Axis};
use crate::nn::layer::Layer;
use crate::nn::net::Value;
use crate::nn::onnx::axes::{self, Steps};
use crate::nn::onnx::constant::strides;
use crate::nn::onnx::data::{Data, Place};

/// Runs of places that one axis may be taken in; each is a layer.
const MOST_RUNS: usize = 1024;

/// `Gather`.
pub fn gather(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let axis = axes::axis(call.attributes.integer("axis", 0), data.rank())?;
    let extent = data.extent(axis)?;
    let constant = call.constant(1)?;
    let places: Vec<usize> =
        constant.to_integers()?.iter().map(|&i| axes::axis(i, extent)).collect::<Result<_>>()?;
    let mut result = gathered(importer, data, axis, &places)?;
    if constant.extents.len() != 1 {
        result = around(importer, &result, axis)?.0.tidied();
        let new = result.divided(axis, &constant.extents).ok_or("takes no places")?;
        result.axes.splice(axis..=axis, new);
    }
    one(result.tidied())
}

/// `GatherND`. The first axes become those of the indices, of which the last has a place of each axis.
pub fn gather_nd(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?.clone();
    if call.attributes.integer("batch_dims", 0) != 0 {
        return Err("takes other places of every image, which is not supported".to_string());
    }
    let indices = call.constant(1)?;
    let [dims @ .., depth] = &indices.extents[..] else { return Err("has indices without axes".to_string()) };
    let depth = *depth;
    if depth == 0 || depth > data.rank() {
        return Err(format!("has indices into {depth} of {} axes", data.rank()));
    }
    let extents: Vec<usize> = (0..depth).map(|axis| data.extent(axis)).collect::<Result<_>>()?;
    let all = indices.to_integers()?;
    let of_axis = |axis: usize| -> Result<Vec<usize>> {
        all[axis..].iter().step_by(depth).map(|&i| axes::axis(i, extents[axis])).collect()
    };
    if all.is_empty() {
        return Err("takes no places".to_string());
    }
    let places: Vec<Vec<usize>> = (0..depth).map(of_axis).collect::<Result<_>>()?;
    let data = match owners(&places, dims) {
        Some(owners) => by_axis(importer, data, &places, dims, &owners)?,
        None => by_merged_axes(importer, data, &places, dims, &extents)?,
    };
    one(data.tidied())
}

/// Places of the first axes, each axis of the indices changing those of one axis: `owners` says of which.
fn by_axis(
    importer: &mut Importer,
    mut data: Data,
    places: &[Vec<usize>],
    dims: &[usize],
    owners: &[usize],
) -> Result<Data> {
    for (axis, places) in places.iter().enumerate() {
        data = gathered(importer, &data, axis, &along(places, dims, owners, axis))?;
        data = around(importer, &data, axis)?.0.tidied();
    }
    let mut new = vec![Place::Atoms(Vec::new()); dims.len()];
    for axis in 0..places.len() {
        let own: Vec<usize> = (0..dims.len()).filter(|&dim| owners[dim] == axis).collect();
        let extents: Vec<usize> = own.iter().map(|&dim| dims[dim]).collect();
        let divided = data.divided(axis, &extents).ok_or("takes no places")?;
        for (dim, place) in own.into_iter().zip(divided) {
            new[dim] = place;
        }
    }
    data.axes.splice(..places.len(), new);
    Ok(data)
}

/// Any places of the first axes, which have these extents and become one axis.
fn by_merged_axes(
    importer: &mut Importer,
    mut data: Data,
    places: &[Vec<usize>],
    dims: &[usize],
    extents: &[usize],
) -> Result<Data> {
    let depth = places.len();
    let merged: Vec<usize> = (0..depth).map(|axis| data.atoms(axis)).collect::<Result<Vec<_>>>()?.concat();
    data.unpadded = None;
    data.axes.splice(..depth, [Place::Atoms(merged)]);
    let steps = strides(extents);
    let place = |at: usize| places.iter().zip(&steps).map(|(own, step)| own[at] * step).sum();
    let places: Vec<usize> = (0..places[0].len()).map(place).collect();
    data = gathered(importer, &data, 0, &places)?;
    data = around(importer, &data, 0)?.0.tidied();
    let new = data.divided(0, dims).ok_or("takes no places")?;
    data.axes.splice(..1, new);
    Ok(data)
}

/// Which axis each axis of the indices belongs to: the only one whose places it changes, or the first. `None` if an axis of
/// the indices changes the places of several axes.
fn owners(places: &[Vec<usize>], dims: &[usize]) -> Option<Vec<usize>> {
    let steps = strides(dims);
    let changes = |own: &[usize], dim: usize| {
        (0..own.len()).any(|at| own[at] != own[at - at / steps[dim] % dims[dim] * steps[dim]])
    };
    let owner = |dim: usize| {
        let mut all = (0..places.len()).filter(|&axis| changes(&places[axis], dim));
        let first = all.next().unwrap_or(0);
        all.next().is_none().then_some(first)
    };
    (0..dims.len()).map(owner).collect()
}

/// The places along an axis, by the axes of the indices that belong to it.
fn along(places: &[usize], dims: &[usize], owners: &[usize], axis: usize) -> Vec<usize> {
    let mut at = vec![0];
    for ((&extent, &owner), step) in dims.iter().zip(owners).zip(strides(dims)) {
        if owner == axis {
            at = at.iter().flat_map(|&start| (0..extent).map(move |i| start + i * step)).collect();
        }
    }
    at.into_iter().map(|at| places[at]).collect()
}

/// An axis with any of its places, in this order, perhaps several times.
fn gathered(importer: &mut Importer, data: &Data, axis: usize, places: &[usize]) -> Result<Data> {
    let runs = runs(places);
    if runs.len() > MOST_RUNS {
        return Err(format!(
            "takes places in {} runs at equal distances; up to {MOST_RUNS} are supported",
            runs.len()
        ));
    }
    if let [Steps { step, .. }] = runs[..]
        && step != 0
    {
        return taken(importer, data, axis, runs[0]);
    }
    let (data, block) = around(importer, data, axis)?;
    let mut parts = Vec::new();
    for run in runs {
        parts.push(piece(importer, data.value, block, run)?);
    }
    let value = match parts[..] {
        [single] => single,
        _ => importer.push(Layer::Arrange(Arrangement::Concat(block.before)), &parts)?,
    };
    data.with_extent(axis, places.len(), value)
}

/// One run of places.
fn piece(importer: &mut Importer, value: Value, axis: Axis, run: Steps) -> Result<Value> {
    let Steps { start, step, count } = run;
    let slice = |step, count| Layer::Arrange(Arrangement::Slice { axis, start, step, count });
    if step != 0 {
        return importer.push(slice(step, count), &[value]);
    }
    let single = if axis.extent == 1 { value } else { importer.push(slice(1, 1), &[value])? };
    let axis = Axis { extent: 1, ..axis };
    importer.push(Layer::Arrange(Arrangement::Repeat(axis, count)), &[single])
}

/// The places as runs, each with one distance from a place to the next; 0 repeats a place.
fn runs(places: &[usize]) -> Vec<Steps> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < places.len() {
        let start = places[at];
        let distance = |i: usize| places[i + 1] as isize - places[i] as isize;
        let step = if at + 1 < places.len() { distance(at) } else { 1 };
        let count = 1 + (at..places.len() - 1).take_while(|&i| distance(i) == step).count();
        runs.push(Steps { start, step, count });
        at += count;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_name_every_place_in_order() {
        for places in [vec![0, 0, 0], vec![3], vec![0, 1, 1, 2, 2, 3], vec![5, 3, 1, 1, 1, 0, 4], vec![2, 0]]
        {
            let named = runs(&places).into_iter().flat_map(|Steps { start, step, count }| {
                (0..count).map(move |i| start.wrapping_add_signed(step * i as isize))
            });
            assert_eq!(named.collect::<Vec<_>>(), places);
        }
        assert_eq!(runs(&[0, 2, 4, 6]).len(), 1);
    }

    #[test]
    fn axes_of_indices_belong_to_the_axis_whose_places_they_change() {
        // Rows change with the first axis, columns with the third, nothing with the second.
        let rows = vec![0, 0, 0, 0, 1, 1, 1, 1];
        let columns = vec![4, 7, 4, 7, 4, 7, 4, 7];
        let owners = owners(&[rows.clone(), columns.clone()], &[2, 2, 2]).unwrap();
        assert_eq!(owners, [0, 0, 1]);
        assert_eq!(along(&rows, &[2, 2, 2], &owners, 0), [0, 0, 1, 1]);
        assert_eq!(along(&columns, &[2, 2, 2], &owners, 1), [4, 7]);
        assert_eq!(super::owners(&[vec![0, 1], vec![0, 1]], &[2]), None, "a diagonal");
    }
}

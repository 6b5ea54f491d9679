//! Copies as PyTorch's newer exporter writes `as_strided`: all values of all images in one row, from which `Gather` takes
//! places that are computed from the number of images. `ConvNeXt` ends so behind its mean over all positions. Where the
//! places are those of the values in order, nothing is copied; other places are refused.

use super::{Call, Known, Result, one};
use crate::nn::onnx::axes;
use crate::nn::onnx::constant::{BATCH, Constant};
use crate::nn::onnx::data::{Data, Place};
use crate::nn::onnx::fold;
use crate::nn::onnx::import::Importer;

/// Whole numbers of which every image has its own: those of the first image, and how much more the next one's are.
#[derive(Clone)]
pub struct PerImage {
    /// Those of the first image. The first axis stands for the images and has one place.
    first: Constant,
    /// What each image has more than the one before it.
    step: i64,
}

const OTHER_PLACES: &str = "takes values at places that are not those of a copy, which is not supported";

/// Reads an operator that has to do with such copies; `None` if it has not.
pub fn read(importer: &Importer, call: &Call) -> Option<Result<Vec<Known>>> {
    let known = |i: usize| call.inputs.get(i).and_then(Option::as_ref);
    match (call.operator, known(0), known(1)) {
        ("Range", Some(Known::Constant(_)), Some(Known::Constant(end))) => match end.to_integers() {
            Ok([BATCH]) => Some(of_images(call)),
            _ => None,
        },
        ("Reshape", Some(Known::Data(data)), Some(Known::Constant(wanted))) => {
            let all = matches!(wanted.to_integers(), Ok([-1])) && data.axes.first() == Some(&Place::Batch);
            all.then(|| Ok(vec![Known::Row(data.clone())]))
        }
        ("Unsqueeze", Some(Known::PerImage(numbers)), _) => Some(unsqueezed(call, numbers)),
        ("Add" | "Mul", Some(Known::PerImage(numbers)), Some(Known::Constant(other)))
        | ("Add" | "Mul", Some(Known::Constant(other)), Some(Known::PerImage(numbers))) => {
            Some(combined(call, numbers, other))
        }
        ("Gather", Some(Known::Row(data)), Some(Known::PerImage(numbers))) => Some(copied(data, numbers)),
        ("Gather", Some(Known::Row(data)), Some(Known::Constant(places))) => {
            Some(of_fixed(importer, places).and_then(|numbers| copied(data, &numbers)))
        }
        _ => None,
    }
}

/// `Range` over the images.
fn of_images(call: &Call) -> Result<Vec<Known>> {
    let whole = |i: usize| Ok::<_, String>(call.constant(i)?.to_integers()?.to_vec());
    match (&whole(0)?[..], &whole(2)?[..]) {
        ([0], [1]) => {
            Ok(vec![Known::PerImage(PerImage { first: Constant::integers(&[1], vec![0]), step: 1 })])
        }
        _ => Err(OTHER_PLACES.to_string()),
    }
}

fn unsqueezed(call: &Call, numbers: &PerImage) -> Result<Vec<Known>> {
    let axes = call.integers(1, "axes")?.ok_or("has no axes")?;
    let rank = numbers.first.extents.len() + axes.len();
    if axes.iter().any(|&axis| axes::axis(axis, rank) == Ok(0)) {
        return Err("puts an axis in front of the images".to_string());
    }
    let first = numbers.first.reshaped(&axes::unsqueezed(&numbers.first.extents, &axes, 1)?)?;
    Ok(vec![Known::PerImage(PerImage { first, step: numbers.step })])
}

/// `Add` and `Mul` with a constant that is the same for all images.
fn combined(call: &Call, numbers: &PerImage, other: &Constant) -> Result<Vec<Known>> {
    let rank = numbers.first.extents.len();
    let too_long = other.extents.len() > rank || (other.extents.len() == rank && other.extents[0] != 1);
    if too_long {
        return Err(OTHER_PLACES.to_string());
    }
    let step = match (call.operator, other.to_integers()?) {
        ("Add", _) => numbers.step,
        (_, &[factor]) => numbers.step.checked_mul(factor).ok_or(OTHER_PLACES)?,
        _ => return Err(OTHER_PLACES.to_string()),
    };
    let results = fold::fold(call.operator, call.attributes, &[Some(&numbers.first), Some(other)])
        .ok_or(OTHER_PLACES)??;
    let first = results.into_iter().next().ok_or(OTHER_PLACES)?;
    Ok(vec![Known::PerImage(PerImage { first, step })])
}

/// The numbers of a constant that has some for every image of a file with a fixed number of them.
fn of_fixed(importer: &Importer, all: &Constant) -> Result<PerImage> {
    let images = all.extents.first().copied().filter(|&images| Some(images as i64) == importer.batch);
    let images = images.filter(|&images| images > 0).ok_or(OTHER_PLACES)?;
    let values = all.to_integers()?;
    let len = values.len() / images;
    let in_order = values.iter().enumerate().all(|(at, &value)| value == at as i64);
    let extents: Vec<usize> = std::iter::once(1).chain(all.extents[1..].iter().copied()).collect();
    match in_order {
        true => {
            Ok(PerImage { first: Constant::integers(&extents, values[..len].to_vec()), step: len as i64 })
        }
        false => Err(OTHER_PLACES.to_string()),
    }
}

/// `Gather` of everything in order: the same values in another shape.
fn copied(data: &Data, numbers: &PerImage) -> Result<Vec<Known>> {
    let places = numbers.first.to_integers()?;
    let in_order = places.iter().enumerate().all(|(at, &place)| place == at as i64);
    if !in_order || places.len() != data.len() || numbers.step != data.len() as i64 {
        return Err(OTHER_PLACES.to_string());
    }
    one(data.reshaped(&numbers.first.extents[1..]).ok_or(OTHER_PLACES)?)
}

//! The rules of ONNX about axes and shapes, which operators over constants and over images share.

use super::attributes::Attributes;
use super::constant::{BATCH, Constant, WITH_BATCH, count};

type Result<T> = std::result::Result<T, String>;

/// An axis, counted from the end if negative.
pub fn axis(axis: i64, rank: usize) -> Result<usize> {
    let counted = if axis < 0 { axis.checked_add(rank as i64).unwrap_or(-1) } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("has the axis {axis} of {rank}"))
}

/// A place between axes, counted from the end if negative: 0 is in front of all of them.
pub fn cut(place: i64, rank: usize) -> Result<usize> {
    if usize::try_from(place) == Ok(rank) { Ok(rank) } else { axis(place, rank) }
}

/// The axes that a reduction is over: all of them where it names none, or `None` if it then leaves values as they are.
pub fn reduced(named: Option<&[i64]>, rank: usize, attributes: &Attributes) -> Result<Option<Vec<usize>>> {
    match named {
        Some(named) if !named.is_empty() => {
            named.iter().map(|&i| axis(i, rank)).collect::<Result<_>>().map(Some)
        }
        _ if attributes.integer("noop_with_empty_axes", 0) == 1 => Ok(None),
        _ => Ok(Some((0..rank).collect())),
    }
}

/// The order of `Transpose`.
pub fn order(attributes: &Attributes, rank: usize) -> Result<Vec<usize>> {
    match attributes.integers("perm") {
        Some(order) => order.iter().map(|&i| axis(i, rank)).collect(),
        None => Ok((0..rank).rev().collect()),
    }
}

/// The part of a shape that `Shape` is asked for.
pub fn shape_part<'a>(attributes: &Attributes, extents: &'a [i64]) -> &'a [i64] {
    let rank = extents.len() as i64;
    let place = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (place(attributes.integer("start", 0)), place(attributes.integer("end", rank)));
    &extents[start.min(end)..end]
}

/// What `Reshape` makes of extents. Zeros copy, and one −1 is what is left.
pub fn new_extents(own: &[usize], wanted: &[i64], zero_is_zero: bool) -> Result<Vec<usize>> {
    let mut rest = None;
    let mut extents = Vec::new();
    for (i, &extent) in wanted.iter().enumerate() {
        extents.push(match extent {
            -1 if rest.is_none() => {
                rest = Some(i);
                1
            }
            0 if !zero_is_zero => *own.get(i).ok_or("copies an extent that there is not")?,
            BATCH => return Err(WITH_BATCH.to_string()),
            extent => usize::try_from(extent).map_err(|_| format!("makes the shape {wanted:?}"))?,
        });
    }
    let known = count(&extents).ok_or_else(|| format!("makes the shape {wanted:?}"))?;
    let all = count(own).ok_or("has impossible extents")?;
    if let Some(rest) = rest {
        extents[rest] = all.checked_div(known).unwrap_or(0);
    }
    match count(&extents) == Some(all) {
        true => Ok(extents),
        false => Err(format!("makes {wanted:?} of {own:?}, which has another number of values")),
    }
}

/// Without the axes named, or without all that have one place.
pub fn squeezed<T: Clone>(own: &[T], axes: Option<&[i64]>, is_one: impl Fn(&T) -> bool) -> Result<Vec<T>> {
    let gone: Vec<usize> = match axes {
        Some(axes) => axes.iter().map(|&i| axis(i, own.len())).collect::<Result<_>>()?,
        None => (0..own.len()).filter(|&i| is_one(&own[i])).collect(),
    };
    match gone.iter().find(|&&i| !is_one(&own[i])) {
        Some(i) => Err(format!("removes the axis {i}, which has more than one place")),
        None => Ok((0..own.len()).filter(|i| !gone.contains(i)).map(|i| own[i].clone()).collect()),
    }
}

/// With axes of one place.
pub fn unsqueezed<T: Clone>(own: &[T], axes: &[i64], one: T) -> Result<Vec<T>> {
    let rank = own.len() + axes.len();
    let new: Vec<usize> = axes.iter().map(|&i| axis(i, rank)).collect::<Result<_>>()?;
    let mut rest = own.iter();
    let mut all = Vec::new();
    for i in 0..rank {
        all.push(match new.contains(&i) {
            true => one.clone(),
            false => rest.next().ok_or("names an axis twice")?.clone(),
        });
    }
    if rest.next().is_some() { Err("names an axis twice".to_string()) } else { Ok(all) }
}

/// The extents of two tensors together.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |own: &[usize], i: usize| (i + own.len()).checked_sub(rank).map_or(1, |i| own[i]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(format!("has shapes {a:?} and {b:?}, which do not fit together")),
        })
        .collect()
}

/// Where `Slice` begins along one axis, how far it steps and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The first index.
    pub start: usize,
    /// From one to the next.
    pub step: isize,
    /// How many.
    pub count: usize,
}

impl Steps {
    /// By the rules of `Slice`.
    pub fn new(extent: usize, start: i64, end: i64, step: i64) -> Result<Self> {
        let len = extent as i64;
        if step == 0 || step.unsigned_abs() > u64::from(u32::MAX) {
            return Err(format!("has the step {step}"));
        }
        let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
        let (start, end) = match step > 0 {
            true => (from_end(start).clamp(0, len), from_end(end).clamp(0, len)),
            false => (from_end(start).clamp(-1, len - 1), from_end(end).clamp(-1, len - 1)),
        };
        let span = if step > 0 { end - start } else { start - end };
        let count = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
        Ok(Self { start: start.max(0) as usize, step: step as isize, count })
    }
}

/// What `Slice` takes along each axis that it names.
pub fn steps(
    extents: &[usize],
    inputs: &[Option<&Constant>],
    attributes: &Attributes,
) -> Result<Vec<(usize, Steps)>> {
    let numbers = |i: usize, name: &str| match inputs.get(i).copied().flatten() {
        Some(constant) => constant.to_integers().map(|values| Some(values.to_vec())),
        None => Ok(attributes.integers(name)),
    };
    let (starts, ends) =
        (numbers(1, "starts")?.ok_or("has no starts")?, numbers(2, "ends")?.ok_or("has no ends")?);
    let axes = numbers(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let each = numbers(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || each.len() != starts.len() {
        return Err("has starts, ends, axes and steps of different lengths".to_string());
    }
    let mut all = Vec::new();
    for i in 0..starts.len() {
        let axis = axis(axes[i], extents.len())?;
        if [starts[i], ends[i]].contains(&BATCH) {
            return Err(WITH_BATCH.to_string());
        }
        all.push((axis, Steps::new(extents[axis], starts[i], ends[i], each[i])?));
    }
    Ok(all)
}

//! Parts of values, values joined, and what is put around them.

use super::{Call, Importer, Known, Result, one, whole};
use crate::nn::arrangement::{Arrangement, Axis, Filling};
use crate::nn::layer::Layer;
use crate::nn::onnx::axes::{self, Steps};
use crate::nn::onnx::constant::Constant;
use crate::nn::onnx::data::{Data, Place, Unpadded};

/// The data with an axis lying together, and the axis.
pub(super) fn around(importer: &mut Importer, data: &Data, axis: usize) -> Result<(Data, Axis)> {
    if let Some(block) = data.block(axis)? {
        return Ok((data.clone(), block));
    }
    let atoms = data.atoms(axis)?.to_vec();
    let (mut order, mut placed) = (Vec::new(), false);
    for atom in &data.storage {
        if !atoms.contains(atom) {
            order.push(*atom);
        } else if !placed {
            order.extend_from_slice(&atoms);
            placed = true;
        }
    }
    let data = importer.arranged(data.clone(), &order)?;
    let block = data.block(axis)?.ok_or("needs an axis that lies together")?;
    Ok((data, block))
}

/// Some places of an axis.
pub(super) fn taken(importer: &mut Importer, data: &Data, axis: usize, steps: Steps) -> Result<Data> {
    let Steps { start, step, count } = steps;
    if step == 1 && start == 0 && data.extent(axis)? == count {
        return Ok(data.clone());
    }
    let (data, block) = around(importer, data, axis)?;
    let layer = Layer::Arrange(Arrangement::Slice { axis: block, start, step, count });
    let value = importer.push(layer, &[data.value])?;
    data.with_extent(axis, count, value)
}

/// `Slice`.
pub fn slice(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let mut data = call.data(0)?.clone();
    let mut constants = vec![None];
    for i in 1..5 {
        constants.push(call.optional(i)?);
    }
    let constants: Vec<Option<&Constant>> = constants.iter().map(Option::as_deref).collect();
    let extents: Vec<usize> =
        (0..data.rank()).map(|axis| data.extent(axis).unwrap_or(usize::MAX >> 1)).collect();
    for (axis, steps) in axes::steps(&extents, &constants, call.attributes)? {
        let whole =
            steps == Steps { start: 0, step: 1, count: steps.count } && steps.count >= i32::MAX as usize;
        if data.axes[axis] == Place::Batch && whole {
            continue;
        }
        data = taken(importer, &data, axis, steps)?;
    }
    one(data)
}

/// `Split`.
pub fn split(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let axis = axes::axis(call.attributes.integer("axis", 0), data.rank())?;
    let extent = data.extent(axis)?;
    let sizes = match call.integers(1, "split")? {
        Some(sizes) => sizes.iter().map(|&size| whole(size, "split")).collect::<Result<Vec<_>>>()?,
        None => {
            let parts = whole(call.attributes.integer("num_outputs", call.outputs as i64), "num_outputs")?;
            let each = extent.div_ceil(parts.max(1));
            (0..parts).map(|i| each.min(extent.saturating_sub(i * each))).collect()
        }
    };
    if sizes.iter().sum::<usize>() != extent {
        return Err(format!("splits {extent} places into {sizes:?}"));
    }
    let mut start = 0;
    let mut all = Vec::new();
    for count in sizes {
        all.push(Known::Data(taken(importer, data, axis, Steps { start, step: 1, count })?));
        start += count;
    }
    Ok(all)
}

/// `Concat`.
pub fn concat(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let first = call.data(0)?;
    let axis = axes::axis(call.attributes.integer("axis", 0), first.rank())?;
    let (mut whole, block) = around(importer, first, axis)?;
    let mut before = block.before;
    if let [single] = call.inputs {
        return Ok(single.iter().cloned().collect());
    }
    let mut values = Vec::new();
    let mut extent = 0;
    for i in 0..call.inputs.len() {
        let part = call.data(i)?;
        if part.rank() != whole.rank() {
            return Err("joins values with different numbers of axes".to_string());
        }
        let (mut part, own) = around(importer, part, axis)?;
        for other in (0..whole.rank()).filter(|&other| other != axis) {
            let is_batch = (whole.axes[other] == Place::Batch, part.axes[other] == Place::Batch);
            let fits = match is_batch {
                (true, true) => true,
                (false, false) => {
                    whole.extent(other)? == part.extent(other)? && whole.agree(&mut part, other)
                }
                _ => false,
            };
            if !fits {
                return Err("joins values that do not fit together".to_string());
            }
        }
        let part = like(importer, part, &whole, axis)?;
        let now = part.block(axis)?.ok_or("needs an axis that lies together")?;
        if i == 0 {
            before = now.before;
        }
        if now.before != before {
            return Err("joins values that lie differently in memory".to_string());
        }
        extent += own.extent;
        values.push(part.value);
    }
    let value = importer.push(Layer::Arrange(Arrangement::Concat(before)), &values)?;
    one(whole.with_extent(axis, extent, value)?)
}

/// `part` with its other axes in memory as `whole` has them, and `axis` in the same place.
fn like(importer: &mut Importer, part: Data, whole: &Data, axis: usize) -> Result<Data> {
    let skip = |data: &Data| data.atoms(axis).map(<[usize]>::to_vec);
    let (own, theirs) = (skip(&part)?, skip(whole)?);
    let rest = |data: &Data, skipped: &[usize]| -> Vec<usize> {
        data.in_order().into_iter().filter(|atom| !skipped.contains(atom)).collect()
    };
    let (ours, others) = (rest(&part, &own), rest(whole, &theirs));
    if ours.len() != others.len() {
        return Err("joins values that lie differently in memory".to_string());
    }
    let mut order = Vec::new();
    let mut placed = own.is_empty();
    for atom in &whole.storage {
        match others.iter().position(|other| other == atom) {
            Some(at) => order.push(ours[at]),
            None if !placed => {
                order.extend_from_slice(&own);
                placed = true;
            }
            None => {}
        }
    }
    if !placed {
        // The whole has one place there: channels go behind, other axes in front.
        let behind = whole.block(axis)?.is_some_and(|block| block.after == 1);
        let at = if behind { order.len() } else { 0 };
        order.splice(at..at, own);
    }
    importer.arranged(part, &order)
}

/// `Pad`. Negative numbers cut off.
pub fn pad(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let pads = call.integers(1, "pads")?.ok_or("has no pads")?;
    let rank = data.rank();
    let axes: Vec<usize> = match call.optional(3)? {
        Some(axes) => axes.to_integers()?.iter().map(|&i| axes::axis(i, rank)).collect::<Result<_>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("has {} pads for {} axes", pads.len(), axes.len()));
    }
    let value = call.number(2, "value", 0.0)?;
    let filling = filling(call, value)?;
    let mut result = data.clone();
    let mut spatial = [[0; 2]; 2];
    let mut is_spatial = matches!(filling, Filling::Value(_)) && rank == 4;
    for (i, &axis) in axes.iter().enumerate() {
        let (front, behind) = (pads[i], pads[i + axes.len()]);
        if [front, behind] == [0, 0] {
            continue;
        }
        let cut = [front, behind].map(|pad| pad.min(0).unsigned_abs() as usize);
        let by = [whole(front.max(0), "pad")?, whole(behind.max(0), "pad")?];
        is_spatial &= axis >= 2 && cut == [0; 2];
        if is_spatial {
            spatial[axis - 2] = by;
        }
        result = padded(importer, result, axis, [cut, by], filling)?;
    }
    if is_spatial {
        result.unpadded = Some(Box::new(Unpadded { data: data.clone(), padding: spatial, value }));
    }
    one(result)
}

/// What `Pad` puts around values. Infinity becomes the largest number, because model files have no infinity.
fn filling(call: &Call, value: f32) -> Result<Filling> {
    match call.attributes.text("mode", "constant") {
        "constant" if value.is_nan() => Err(format!("has the number {value}")),
        "constant" => Ok(Filling::Value(value.clamp(f32::MIN, f32::MAX))),
        "edge" => Ok(Filling::Edge),
        "reflect" => Ok(Filling::Reflect),
        "wrap" => Ok(Filling::Wrap),
        other => Err(format!("has the mode {other:?}; constant, edge, reflect and wrap are supported")),
    }
}

/// The data with so many places cut off in front and behind along an axis, and with so many put there.
fn padded(
    importer: &mut Importer,
    mut data: Data,
    axis: usize,
    [cut, by]: [[usize; 2]; 2],
    filling: Filling,
) -> Result<Data> {
    if cut != [0; 2] {
        let left = data.extent(axis)?.checked_sub(cut[0].saturating_add(cut[1])).filter(|&left| left > 0);
        let count = left.ok_or("cuts everything off")?;
        data = taken(importer, &data, axis, Steps { start: cut[0], step: 1, count })?;
    }
    if by == [0; 2] {
        return Ok(data);
    }
    let extent = data.extent(axis)? + by[0] + by[1];
    let (data, block) = around(importer, &data, axis)?;
    let layer = Layer::Arrange(Arrangement::Pad { axis: block, by, filling });
    let value = importer.push(layer, &[data.value])?;
    data.with_extent(axis, extent, value)
}

//! Operators that change shapes and move nothing, or little.

use super::linear::TRAINING;
use super::{Call, Importer, Known, MIXED, Result, one, whole};
use crate::nn::onnx::axes;
use crate::nn::onnx::constant::{BATCH, Constant, Numbers, kinds};
use crate::nn::onnx::data::{Data, Place};

/// `Shape`: whole numbers, one of which stands for the number of images.
pub fn shape(_: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let shape = call.data(0)?.shape();
    let part = axes::shape_part(call.attributes, &shape);
    Ok(vec![Constant::integers(&[part.len()], part.to_vec()).into()])
}

/// `Identity`, and `Cast` between real numbers.
pub fn identity(_: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let to = call.attributes.integer("to", kinds::F32);
    if call.operator == "Cast" && !kinds::is_float(to) {
        return Err(format!("makes values of the type {to} of real numbers, which have no gradients"));
    }
    one(call.data(0)?.clone())
}

/// `CastLike`: values of the images are real numbers, and so is what is cast like them.
pub fn cast_like(_: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    match (call.data(0), call.data(1)) {
        (Ok(data), Ok(_)) => one(data.clone()),
        (Ok(data), Err(_)) => match call.constant(1)?.values {
            Numbers::Floats(_) => one(data.clone()),
            Numbers::Integers(_) => {
                Err("makes whole numbers of real ones, which have no gradients".to_string())
            }
        },
        (Err(_), _) => {
            let constant = call.constant(0)?;
            let values = Numbers::Floats(constant.to_floats()?);
            Ok(vec![Constant { values, ..(*constant).clone() }.into()])
        }
    }
}

/// `Dropout`, which does nothing outside training. Older exporters name its mask, which nothing reads.
pub fn dropout(_: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let training =
        call.optional(2)?.is_some_and(|constant| constant.to_integers().is_ok_and(|v| v.first() == Some(&1)));
    if training {
        return Err(TRAINING.to_string());
    }
    one(call.data(0)?.clone())
}

/// `Flatten`.
pub fn flatten(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let axis = axes::cut(call.attributes.integer("axis", 1), data.rank())?;
    let extents =
        |axes: std::ops::Range<usize>| axes.map(|axis| data.extent(axis)).product::<Result<usize>>();
    let wanted = match data.axes.first() {
        Some(Place::Batch) if axis == 1 => vec![extents(1..data.rank())?],
        Some(Place::Batch) => return Err("joins the axis of the images with others".to_string()),
        _ => vec![extents(0..axis)?, extents(axis..data.rank())?],
    };
    one(to_extents(importer, data, &wanted)?)
}

/// `Reshape`.
pub fn reshape(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let wanted = call.constant(1)?;
    let wanted = wanted.to_integers()?;
    let zero_is_zero = call.attributes.integer("allowzero", 0) == 1;
    if !data.axes.contains(&Place::Batch) {
        let extents = axes::new_extents(&data.own_extents(), wanted, zero_is_zero)?;
        return one(to_extents(importer, data, &extents)?);
    }
    let [first, rest @ ..] = wanted else { return Err("removes the axis of the images".to_string()) };
    let unclear = || MIXED.to_string();
    if rest.contains(&BATCH) {
        return Err(unclear());
    }
    // Zeros copy an extent of the same place, of which the first is the images'.
    let own = data.own_extents();
    let resolved: Vec<i64> = rest
        .iter()
        .enumerate()
        .map(|(i, &extent)| match extent {
            0 if !zero_is_zero => own.get(i).map(|&extent| extent as i64).ok_or_else(unclear),
            extent => Ok(extent),
        })
        .collect::<Result<_>>()?;
    let known = resolved.iter().all(|&extent| extent >= 0);
    let keeps = match *first {
        BATCH => true,
        0 => !zero_is_zero,
        -1 => known,
        fixed => importer.batch == Some(fixed) && fixed > 0,
    };
    if !keeps {
        return Err(unclear());
    }
    let extents = axes::new_extents(&own, &resolved, true)
        .map_err(|_| format!("makes {resolved:?} of the {own:?} values of an image, so images would mix"))?;
    one(to_extents(importer, data, &extents)?)
}

/// The same values with other extents; they move if they have to.
pub fn to_extents(importer: &mut Importer, data: &Data, extents: &[usize]) -> Result<Data> {
    if let Some(reshaped) = data.reshaped(extents) {
        return Ok(reshaped);
    }
    let order = data.in_order();
    let data = importer.arranged(data.clone(), &order)?;
    data.reshaped(extents).ok_or_else(|| format!("cannot see {:?} as {extents:?}", data.own_extents()))
}

/// `Squeeze` and `Unsqueeze`.
pub fn squeeze(_: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let mut data = call.data(0)?.clone();
    data.unpadded = None;
    let axes = call.integers(1, "axes")?;
    let none = Place::Atoms(Vec::new());
    data.axes = match call.operator {
        "Squeeze" => axes::squeezed(&data.axes, axes.as_deref(), |place| *place == none)?,
        _ => axes::unsqueezed(&data.axes, &axes.ok_or("has no axes")?, none)?,
    };
    match data.axes.iter().position(|place| *place == Place::Batch) {
        None | Some(0) => one(data),
        Some(_) => Err("puts an axis in front of the images".to_string()),
    }
}

/// `Transpose`, which renames axes.
pub fn transpose(_: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let mut data = call.data(0)?.clone();
    data.unpadded = None;
    let order = axes::order(call.attributes, data.rank())?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..data.rank()) {
        return Err(format!("has the order {order:?} for {} axes", data.rank()));
    }
    data.axes = order.iter().map(|&axis| data.axes[axis].clone()).collect();
    one(data)
}

/// `DepthToSpace` and `SpaceToDepth`: a reshape, a transposition and a reshape.
pub fn depth_and_space(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let size = whole(call.attributes.integer("blocksize", 0), "blocksize")?;
    if data.rank() != 4 || !data.leads_with_images() || size == 0 {
        return Err("reads no batch of images, or has no blocksize".to_string());
    }
    let [c, h, w] = [data.extent(1)?, data.extent(2)?, data.extent(3)?];
    let columns_first = call.attributes.text("mode", "DCR") == "CRD";
    let to_space = call.operator == "DepthToSpace";
    let fits = if to_space {
        c.is_multiple_of(size * size)
    } else {
        h.is_multiple_of(size) && w.is_multiple_of(size)
    };
    if !fits {
        return Err(format!("has blocks of {size} that do not fit"));
    }
    let depth = c / (size * size).min(c).max(1);
    let (apart, order, together): (Vec<usize>, [usize; 5], [usize; 3]) = match (to_space, columns_first) {
        (true, false) => (vec![size, size, depth, h, w], [2, 3, 0, 4, 1], [depth, h * size, w * size]),
        (true, true) => (vec![depth, size, size, h, w], [0, 3, 1, 4, 2], [depth, h * size, w * size]),
        (false, _) => {
            (vec![c, h / size, size, w / size, size], [2, 4, 0, 1, 3], [c * size * size, h / size, w / size])
        }
    };
    let front = usize::from(!data.axes.contains(&Place::Batch));
    let lead: &[usize] = if front == 1 { &[1] } else { &[] };
    let mut split = to_extents(importer, data, &[lead, &apart].concat())?;
    let axes = split.axes.clone();
    split.axes =
        std::iter::once(axes[0].clone()).chain(order.iter().map(|&axis| axes[axis + 1].clone())).collect();
    one(to_extents(importer, &split, &[lead, &together].concat())?)
}

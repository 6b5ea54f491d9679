//! Pooling, reductions along axes, and resizing.

use super::convolutions::{new_image, padding, pair};
use super::{Call, Importer, Known, Result, one};
use crate::graph::{Coordinates, Divisor, Resize, Rounding, Sampling, Window};
use crate::nn::arrangement::Arrangement;
use crate::nn::layer::{Activation, Extents, Layer, Pooling};
use crate::nn::onnx::axes;
use crate::nn::onnx::constant::Constant;
use crate::nn::onnx::data::{Data, Place};

/// Values below this count as minus infinity where a maximum is taken.
const LOWEST: f32 = -1e30;

/// `MaxPool` and `AveragePool`.
pub fn pool(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let is_max = call.operator == "MaxPool";
    let size = pair(call, "kernel_shape", 0)?;
    let stride = pair(call, "strides", 1)?;
    let dilation = pair(call, "dilations", 1)?;
    if dilation != [1; 2] {
        return Err(format!("has dilations {dilation:?}; windows without gaps are supported"));
    }
    let mut data = call.data(0)?;
    let mut outside = [[0; 2]; 2];
    if let Some(before) = data.unpadded.as_deref().filter(|before| is_max && before.value <= LOWEST) {
        (data, outside) = (&before.data, before.padding);
    }
    let (data, [height, width, channels]) = importer.image(data)?;
    let seen = [height + outside[0][0] + outside[0][1], width + outside[1][0] + outside[1][1]];
    let mut padding = padding(call, seen, size, stride, [1; 2])?;
    for (axis, more) in outside.iter().enumerate() {
        padding[axis][0] += more[0];
        padding[axis][1] += more[1];
    }
    let ceil = call.attributes.integer("ceil_mode", 0) == 1;
    let counts_padding = call.attributes.integer("count_include_pad", 0) == 1;
    let base = Window { stride, padding, ceil, ..Window::new(size[0], size[1]) };
    let whole = padding == [[0; 2]; 2] && !ceil;
    let window = match (is_max, whole, counts_padding) {
        (true, ..) => base,
        (false, true, _) => Window { scale: 1.0 / (size[0] * size[1]).max(1) as f32, ..base },
        (false, false, true) => Window { divisor: Divisor::Padded, ..base },
        (false, false, false) => Window { divisor: Divisor::Inside, ..base },
    };
    let pooling = if is_max { Pooling::Max } else { Pooling::Mean };
    let value = importer.push(Layer::Pool(pooling, window), &[data.value])?;
    let Extents::Image { height, width, .. } = importer.extents[value.0] else {
        return Err("gives no image".to_string());
    };
    one(new_image(&data, value, [height, width, channels]))
}

/// `GlobalAveragePool` and `GlobalMaxPool`.
pub fn global(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let pooling = if call.operator == "GlobalMaxPool" { Pooling::Max } else { Pooling::Mean };
    let axes: Vec<usize> = (2..data.rank()).collect();
    one(reduced(importer, data.clone(), pooling, &axes, true)?)
}

/// `ReduceMean`, `ReduceSum` and `ReduceMax`.
pub fn reduce(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let keep = call.attributes.integer("keepdims", 1) != 0;
    let named = call.integers(1, "axes")?;
    let Some(axes) = axes::reduced(named.as_deref(), data.rank(), call.attributes)? else {
        return one(data.clone());
    };
    let count: usize = axes.iter().map(|&axis| data.extent(axis)).product::<Result<_>>()?;
    let pooling = if call.operator == "ReduceMax" { Pooling::Max } else { Pooling::Mean };
    let mut result = reduced(importer, data.clone(), pooling, &axes, keep)?;
    if call.operator == "ReduceSum" {
        let times = Activation::Affine(count as f32, 0.0);
        result.value = importer.push(Layer::Activation(times), &[result.value])?;
    }
    one(result)
}

/// Reduced along axes, which stay with one place if `keep`.
fn reduced(
    importer: &mut Importer,
    data: Data,
    pooling: Pooling,
    axes: &[usize],
    keep: bool,
) -> Result<Data> {
    for &axis in axes {
        data.atoms(axis)?;
    }
    let is_global_mean = pooling == Pooling::Mean && data.rank() == 4 && data.leads_with_images() && {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        sorted == [2, 3]
    };
    let mut data = data;
    if is_global_mean {
        let image = importer.image(&data)?.0;
        let value = importer.push(Layer::GlobalMean, &[image.value])?;
        let channels = image.extent(1)?;
        data = new_image(&image, value, [1, 1, channels]);
    } else {
        for &axis in axes {
            data = reduced_along(importer, data, pooling, axis)?;
        }
    }
    if !keep {
        let kept = (0..data.rank()).filter(|axis| !axes.contains(axis));
        data.axes = kept.map(|axis| data.axes[axis].clone()).collect();
    }
    Ok(data)
}

fn reduced_along(importer: &mut Importer, mut data: Data, pooling: Pooling, axis: usize) -> Result<Data> {
    while let Some(&atom) = data.atoms(axis)?.first() {
        // Atom by atom, because the mean of means of equally many is the mean.
        let alone = Data {
            axes: data.axes[..axis].iter().chain([&Place::Atoms(vec![atom])]).cloned().collect(),
            unpadded: None,
            ..data.clone()
        };
        let block = alone.block(axis)?.ok_or("needs an axis that lies together")?;
        let value = importer.push(Layer::Arrange(Arrangement::Reduce(pooling, block)), &[data.value])?;
        data = data.with_value(value);
        data.storage.retain(|&own| own != atom);
        if let Place::Atoms(atoms) = &mut data.axes[axis] {
            atoms.retain(|&own| own != atom);
        }
        data = data.tidied();
    }
    Ok(data)
}

/// `Resize` of rows and columns.
pub fn resize(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let (coordinates, sampling) = interpolation(call)?;
    let (data, [height, width, channels]) = importer.image(data)?;
    let from = [height, width];
    let given = |input: usize| call.optional(input).map(|c| c.filter(|c| c.len() > 0));
    let resize = if let Some(sizes) = given(3)? {
        Resize::new(from, resized_to(call, &data, from, &sizes)?, coordinates, sampling)
    } else {
        let scales = given(2)?.ok_or("has neither scales nor sizes")?;
        let factors = resized_by(call, &data, &scales)?;
        let whole = |side: usize| (factors[side] * from[side] as f64).fract() == 0.0;
        if coordinates == Coordinates::Corners && !(whole(0) && whole(1)) {
            return Err(
                "has align_corners with scales that give no whole size; export it with sizes".to_string()
            );
        }
        Resize::scaled(from, factors, coordinates, sampling).ok_or_else(|| {
            format!(
                "has the scales {factors:?}, which are no positive fractions with a denominator up to 1000"
            )
        })?
    };
    if call.attributes.text("coordinate_transformation_mode", "") == "pytorch_half_pixel"
        && resize.to.contains(&1)
    {
        return Err("gives a side of one pixel with pytorch_half_pixel, which is not supported".to_string());
    }
    let value = importer.push(Layer::Resize(resize), &[data.value])?;
    one(new_image(&data, value, [resize.to[0], resize.to[1], channels]))
}

/// Where `Resize` reads, and how it combines what it finds there.
fn interpolation(call: &Call) -> Result<(Coordinates, Sampling)> {
    for unsupported in ["antialias", "exclude_outside"] {
        if call.attributes.integer(unsupported, 0) != 0 {
            return Err(format!("has {unsupported}, which is not supported"));
        }
    }
    if call.attributes.text("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return Err("keeps the aspect ratio, which is not supported".to_string());
    }
    let coordinates = match call.attributes.text("coordinate_transformation_mode", "half_pixel") {
        "half_pixel" | "pytorch_half_pixel" => Coordinates::HalfPixel,
        "asymmetric" => Coordinates::Asymmetric,
        "align_corners" => Coordinates::Corners,
        other => {
            return Err(format!(
                "has the coordinates {other:?}; half_pixel, asymmetric and align_corners are supported"
            ));
        }
    };
    let sampling = match call.attributes.text("mode", "nearest") {
        "linear" => Sampling::Linear,
        "nearest" => Sampling::Nearest(match call.attributes.text("nearest_mode", "round_prefer_floor") {
            "floor" => Rounding::Floor,
            "ceil" => Rounding::Ceil,
            "round_prefer_ceil" => Rounding::HalfUp,
            _ => Rounding::HalfDown,
        }),
        other => return Err(format!("has the mode {other:?}; nearest and linear are supported")),
    };
    Ok((coordinates, sampling))
}

/// The sides after a `Resize` that names sizes.
fn resized_to(call: &Call, data: &Data, from: [usize; 2], sizes: &Constant) -> Result<[usize; 2]> {
    let mut to = from;
    for (axis, size) in per_axis(call, data, sizes)? {
        match side(axis, data.rank()) {
            Some(side) if (1.0..=1e6).contains(&size) => to[side] = size as usize,
            Some(_) => return Err(format!("gives {size} places")),
            None if data.axes[axis] == Place::Batch || data.extent(axis)? as f64 == size => {}
            None => return Err("changes the number of channels".to_string()),
        }
    }
    Ok(to)
}

/// The factors of both sides of a `Resize` that names scales.
fn resized_by(call: &Call, data: &Data, scales: &Constant) -> Result<[f64; 2]> {
    let mut factors = [1.0; 2];
    for (axis, factor) in per_axis(call, data, scales)? {
        match side(axis, data.rank()) {
            Some(side) => factors[side] = factor,
            None if factor == 1.0 => {}
            None => return Err("changes the number of channels".to_string()),
        }
    }
    Ok(factors)
}

/// The numbers that `Resize` is given, each with its axis.
fn per_axis(call: &Call, data: &Data, numbers: &Constant) -> Result<Vec<(usize, f64)>> {
    let rank = data.rank();
    let axes = match call.attributes.integers("axes") {
        Some(axes) if !axes.is_empty() => {
            axes.iter().map(|&i| axes::axis(i, rank)).collect::<Result<Vec<_>>>()?
        }
        _ => (0..rank).collect(),
    };
    let numbers: Vec<f64> = match numbers.to_integers() {
        Ok(whole) => {
            whole.iter().map(|&v| if v == super::super::constant::BATCH { -1.0 } else { v as f64 }).collect()
        }
        Err(_) => numbers.to_floats()?.iter().map(|&v| f64::from(v)).collect(),
    };
    match numbers.len() == axes.len() {
        true => Ok(axes.into_iter().zip(numbers).collect()),
        false => Err(format!("has {} sizes for {} axes", numbers.len(), axes.len())),
    }
}

/// The side, 0 for rows and 1 for columns, that an axis of an image is: rows and columns are the last two of four axes, and
/// columns the last of three.
fn side(axis: usize, rank: usize) -> Option<usize> {
    (axis + 2).checked_sub(rank).filter(|_| axis >= 2)
}

//! Convolutions and transposed convolutions.

use super::{Call, Importer, Known, Result, one, whole};
use crate::graph::Convolution;
use crate::nn::layer::{Extents, Layer};
use crate::nn::onnx::constant::Constant;
use crate::nn::onnx::data::{Data, Place};
use crate::nn::onnx::import::NewSlot;
use crate::nn::slot::{FileOrder, Role, Slot};

/// Two numbers, for rows and for columns; one number is for columns.
pub fn pair(call: &Call, name: &str, default: usize) -> Result<[usize; 2]> {
    match call.attributes.integers(name).as_deref() {
        None | Some([]) => Ok([default; 2]),
        Some([columns]) => Ok([1, whole(*columns, name)?]),
        Some([rows, columns]) => Ok([whole(*rows, name)?, whole(*columns, name)?]),
        Some(other) => Err(format!("has {} {name}; images have one or two dimensions", other.len())),
    }
}

/// What is put around an image, from `pads` or `auto_pad`.
pub fn padding(
    call: &Call,
    image: [usize; 2],
    size: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> Result<[[usize; 2]; 2]> {
    let along = |axis: usize, upper: bool| {
        let windows = image[axis].div_ceil(stride[axis].max(1));
        let reach = (size[axis].max(1) - 1).saturating_mul(dilation[axis]).saturating_add(1);
        let room = (windows.max(1) - 1).saturating_mul(stride[axis]).saturating_add(reach);
        let all = room.saturating_sub(image[axis]);
        let (less, more) = (all / 2, all - all / 2);
        if upper { [less, more] } else { [more, less] }
    };
    match call.attributes.text("auto_pad", "NOTSET") {
        "SAME_UPPER" => Ok([along(0, true), along(1, true)]),
        "SAME_LOWER" => Ok([along(0, false), along(1, false)]),
        "VALID" => Ok([[0; 2]; 2]),
        _ => explicit(call),
    }
}

/// What `pads` says.
pub fn explicit(call: &Call) -> Result<[[usize; 2]; 2]> {
    match call.attributes.integers("pads").as_deref() {
        None | Some([]) => Ok([[0; 2]; 2]),
        Some([left, right]) => Ok([[0; 2], [whole(*left, "pad")?, whole(*right, "pad")?]]),
        Some([top, left, bottom, right]) => {
            Ok([[whole(*top, "pad")?, whole(*bottom, "pad")?], [whole(*left, "pad")?, whole(*right, "pad")?]])
        }
        Some(other) => Err(format!("has {} pads; images have one or two dimensions", other.len())),
    }
}

/// A kernel of ONNX as four extents; one row for one dimension.
fn kernel(weight: &Constant) -> Result<[usize; 4]> {
    match weight.extents[..] {
        [b, a, width] => Ok([b, a, 1, width]),
        [b, a, height, width] => Ok([b, a, height, width]),
        _ => Err(format!("has a kernel of {:?}; images have one or two dimensions", weight.extents)),
    }
}

/// The slots of a kernel and a bias.
fn slots(
    importer: &mut Importer,
    call: &Call,
    [b, a, height, width]: [usize; 4],
    outputs: usize,
) -> Result<(usize, Option<usize>)> {
    let weight = call.constant(1)?;
    let extents = vec![height, width, a, b];
    let order = FileOrder::Kernel;
    let layout = Slot {
        name: String::new(),
        extents: extents.clone(),
        role: Role::Weight,
        initial: crate::nn::slot::Initial::Constant(0.0),
        order,
    };
    if layout.is_empty() {
        return Err("has an empty kernel".to_string());
    }
    let values = layout.from_file_order(&weight.to_floats()?);
    let new = NewSlot { extents, role: Role::Weight, order, values };
    let kernel = importer.slot(weight.origin.as_deref(), "weight", new);
    Ok((kernel, bias(importer, call, 2, outputs)?))
}

/// The slot of a bias.
pub fn bias(importer: &mut Importer, call: &Call, input: usize, outputs: usize) -> Result<Option<usize>> {
    let Some(bias) = call.optional(input)? else { return Ok(None) };
    let values = bias.to_floats()?;
    if values.len() != outputs {
        return Err(format!("has {} biases for {outputs} channels", values.len()));
    }
    let new = NewSlot { extents: vec![outputs], role: Role::Weight, order: FileOrder::Same, values };
    Ok(Some(importer.slot(bias.origin.as_deref(), "bias", new)))
}

/// The data that an operator reads, without zeros around it, which the operator adds by itself.
fn without_zeros(data: &Data) -> (&Data, [[usize; 2]; 2]) {
    match &data.unpadded {
        Some(before) if before.value == 0.0 => (&before.data, before.padding),
        _ => (data, [[0; 2]; 2]),
    }
}

/// With channels and the size of the image replaced.
pub fn new_image(data: &Data, value: crate::nn::net::Value, [height, width, channels]: [usize; 3]) -> Data {
    let batch = data.axes.first() == Some(&Place::Batch);
    let spatial: &[usize] = if data.rank() == 3 { &[width] } else { &[height, width] };
    let own = [&[channels], spatial].concat();
    match batch {
        true => {
            let order: Vec<usize> = (1..own.len()).chain([0]).collect();
            Data::new(value, true, &own, &order)
        }
        false => {
            let own = [&[1], &own[..]].concat();
            let order: Vec<usize> = (2..own.len()).chain([0, 1]).collect();
            Data::new(value, false, &own, &order)
        }
    }
}

/// The extents of an image.
fn size_of(importer: &Importer, value: crate::nn::net::Value) -> Result<[usize; 3]> {
    match importer.extents[value.0] {
        Extents::Image { height, width, channels } => Ok([height, width, channels]),
        Extents::Vector { .. } => Err("gives no image".to_string()),
    }
}

/// `Conv`.
pub fn convolution(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let weight = call.constant(1)?;
    let [outputs, inputs, height, width] = kernel(&weight)?;
    let size = [height, width];
    let stride = pair(call, "strides", 1)?;
    let dilation = pair(call, "dilations", 1)?;
    let groups = whole(call.attributes.integer("group", 1), "group")?;
    let (data, outside) = without_zeros(call.data(0)?);
    let (data, [rows, columns, channels]) = importer.image(data)?;
    if inputs.checked_mul(groups) != Some(channels) {
        return Err(format!(
            "has a kernel for {inputs} channels in each of {groups} groups, and reads {channels}"
        ));
    }
    let seen = [rows + outside[0][0] + outside[0][1], columns + outside[1][0] + outside[1][1]];
    let mut padding = padding(call, seen, size, stride, dilation)?;
    for (axis, more) in outside.iter().enumerate() {
        padding[axis][0] += more[0];
        padding[axis][1] += more[1];
    }
    let geometry = Convolution { size, stride, padding, dilation, groups };
    let (weight, bias) = slots(importer, call, [outputs, inputs, height, width], outputs)?;
    let value = importer.push(Layer::Convolution { weight, bias, geometry }, &[data.value])?;
    one(new_image(&data, value, size_of(importer, value)?))
}

/// `ConvTranspose`.
pub fn transposed(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let weight = call.constant(1)?;
    let [inputs, outputs, height, width] = kernel(&weight)?;
    let size = [height, width];
    let stride = pair(call, "strides", 1)?;
    let dilation = pair(call, "dilations", 1)?;
    let groups = whole(call.attributes.integer("group", 1), "group")?;
    let beyond = match call.attributes.integers("output_padding").as_deref() {
        None | Some([]) => [0; 2],
        Some([columns]) => [0, whole(*columns, "output_padding")?],
        Some(_) => pair(call, "output_padding", 0)?,
    };
    let (data, [rows, columns, channels]) = importer.image(call.data(0)?)?;
    if channels != inputs {
        return Err(format!("has a kernel for {inputs} channels, and reads {channels}"));
    }
    let (mut padding, coarse) = (explicit(call)?, [rows, columns]);
    let wanted = call.attributes.integers("output_shape");
    let wanted = match wanted.as_deref() {
        None | Some([]) => None,
        Some([columns]) => Some([1, whole(*columns, "output_shape")?]),
        Some([.., rows, columns]) => Some([whole(*rows, "output_shape")?, whole(*columns, "output_shape")?]),
    };
    let automatic = call.attributes.text("auto_pad", "NOTSET");
    let mut to = [0; 2];
    for axis in 0..2 {
        let steps = stride[axis].saturating_mul(coarse[axis] - 1);
        let reach = dilation[axis].saturating_mul(size[axis].max(1) - 1).saturating_add(1);
        let full = steps.saturating_add(reach).saturating_add(beyond[axis]);
        let same = automatic.starts_with("SAME").then(|| coarse[axis].saturating_mul(stride[axis]));
        if let Some(wanted) = wanted.map(|wanted| wanted[axis]).or(same) {
            let all = full.checked_sub(wanted).ok_or_else(|| format!("cannot give {wanted} places"))?;
            let (less, more) = (all / 2, all - all / 2);
            padding[axis] = if automatic == "SAME_UPPER" { [less, more] } else { [more, less] };
        }
        let [before, behind] = padding[axis];
        to[axis] = full.checked_sub(before + behind).ok_or("removes more than there is")?;
    }
    let all_outputs = outputs.checked_mul(groups).ok_or("has too many groups")?;
    let geometry = Convolution { size, stride, padding, dilation, groups };
    let (weight, bias) = slots(importer, call, [inputs, outputs, height, width], all_outputs)?;
    let value = importer.push(Layer::ConvolutionTranspose { weight, bias, geometry, to }, &[data.value])?;
    one(new_image(&data, value, size_of(importer, value)?))
}

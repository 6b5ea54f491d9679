//! Linear layers, normalisations and softmax.

use super::{Call, Importer, Known, Result, one};
use crate::graph::Convolution;
use crate::nn::layer::{Extents, Layer};
use crate::nn::net::Value;
use crate::nn::onnx::axes;
use crate::nn::onnx::constant::{Constant, Places};
use crate::nn::onnx::data::{Data, Place};
use crate::nn::onnx::import::NewSlot;
use crate::nn::slot::{FileOrder, Role};

/// `BatchNormalization` with running statistics.
pub fn batch_norm(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    if call.attributes.integer("training_mode", 0) == 1 || call.outputs > 1 {
        return Err(TRAINING.to_string());
    }
    let data = call.data(0)?;
    let data = match data.rank() {
        3 | 4 => importer.image(data)?.0,
        _ => importer.last(data, 1..2)?.0,
    };
    let channels = data.extent(1)?;
    let mut slot = |input: usize, part: &str, role: Role| {
        let constant = call.constant(input)?;
        let mut values = constant.to_floats()?;
        if values.len() != channels {
            return Err(format!("has {} numbers as input {input} for {channels} channels", values.len()));
        }
        if data.rank() == 2 {
            // A row may be a flattened image, whose values lie in another order in memory.
            let (extents, strides) = super::arithmetic::constant_in_memory(&data, &constant)?;
            values = Places::new(&extents, &strides).map(|at| values[at]).collect();
        }
        let new = NewSlot { extents: vec![channels], role, order: FileOrder::Same, values };
        Ok(importer.slot(constant.origin.as_deref(), part, new))
    };
    let layer = Layer::BatchNorm {
        scale: slot(1, "weight", Role::Weight)?,
        shift: slot(2, "bias", Role::Weight)?,
        mean: slot(3, "running_mean", Role::Buffer)?,
        variance: slot(4, "running_var", Role::Buffer)?,
        epsilon: call.attributes.float("epsilon", 1e-5),
        // ONNX states the share of the old statistics.
        momentum: 1.0 - call.attributes.float("momentum", 0.9),
    };
    let value = importer.push(layer, &[data.value])?;
    one(data.with_value(value))
}

/// What is said of layers in training mode.
pub const TRAINING: &str =
    "is in training mode; export the model after model.eval(), without training=TrainingMode.TRAINING";

/// `LayerNormalization` over the last axes.
pub fn layer_norm(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let from = axes::axis(call.attributes.integer("axis", -1), data.rank())?;
    let (data, len) = importer.last(data, from..data.rank())?;
    let mut slot = |input: usize, part: &str| {
        let Some(constant) = call.optional(input)? else { return Ok(None) };
        let (extents, strides) = super::arithmetic::constant_in_memory(&data, &constant)?;
        let at = extents.iter().rev().scan(1, |all, &extent| {
            *all *= extent;
            Some(*all)
        });
        let atoms = at.take_while(|&all| all <= len).count();
        let from = if len == 1 { extents.len() } else { extents.len() - atoms };
        if strides[..from].iter().any(|&stride| stride > 0) {
            return Err(format!("has numbers of {:?} for {len} values", constant.extents));
        }
        let values = constant.to_floats()?;
        let values: Vec<f32> = Places::new(&extents[from..], &strides[from..]).map(|at| values[at]).collect();
        let new = NewSlot { extents: vec![len], role: Role::Weight, order: FileOrder::Same, values };
        Ok(Some(importer.slot(constant.origin.as_deref(), part, new)))
    };
    let (scale, shift) = (slot(1, "weight")?, slot(2, "bias")?);
    let epsilon = call.attributes.float("epsilon", 1e-5);
    let value = importer.push(Layer::LayerNorm { scale, shift, len, epsilon }, &[data.value])?;
    one(data.with_value(value))
}

/// `Softmax` and `LogSoftmax` along one axis.
pub fn softmax(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let new = importer.opset >= 13;
    let axis = axes::axis(call.attributes.integer("axis", if new { -1 } else { 1 }), data.rank())?;
    let axes = if new { axis..axis + 1 } else { axis..data.rank() };
    let (data, len) = importer.last(data, axes)?;
    let value =
        importer.push(Layer::Softmax { len, logarithm: call.operator == "LogSoftmax" }, &[data.value])?;
    one(data.with_value(value))
}

/// `MatMul` with a constant matrix on the right.
pub fn mat_mul(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0).map_err(|_| {
        "has its constant on the left; products of a value with a constant matrix on the right are supported".to_string()
    })?;
    let matrix = call.optional(1).map_err(|_| {
        "multiplies two computed values, as attention does, which is not supported".to_string()
    })?;
    let matrix = matrix.ok_or("lacks its input 1")?;
    let [rows, columns] = matrix.extents[..] else {
        return Err(format!("has a matrix of {:?}; it needs two axes", matrix.extents));
    };
    one(linear(importer, data, &matrix, [rows, columns], None)?)
}

/// `Gemm` with constant matrices.
pub fn gemm(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    if call.attributes.integer("transA", 0) != 0 {
        return Err("transposes its first matrix, whose rows are images".to_string());
    }
    if data.rank() != 2 {
        return Err("reads no matrix".to_string());
    }
    let (alpha, beta) = (call.attributes.float("alpha", 1.0), call.attributes.float("beta", 1.0));
    let mut matrix = (*call.constant(1)?).clone();
    if matrix.extents.len() != 2 {
        return Err(format!("has a matrix of {:?}", matrix.extents));
    }
    if call.attributes.integer("transB", 0) != 0 {
        matrix = matrix.transposed(&[1, 0])?;
    }
    let [rows, columns] = [matrix.extents[0], matrix.extents[1]];
    matrix = scaled(matrix, alpha)?;
    let Some(added) = call.optional(2)? else {
        return one(linear(importer, data, &matrix, [rows, columns], None)?);
    };
    let added = scaled((*added).clone(), beta)?;
    let values = match &added.extents[..] {
        [] | [1] | [1, 1] => vec![added.to_floats()?[0]; columns],
        [len] | [1, len] if *len == columns => added.to_floats()?,
        other => {
            return Err(format!(
                "adds {other:?} to {columns} columns, which differs from image to image or does not fit"
            ));
        }
    };
    let new = NewSlot { extents: vec![columns], role: Role::Weight, order: FileOrder::Same, values };
    let bias = importer.slot(added.origin.as_deref(), "bias", new);
    one(linear(importer, data, &matrix, [rows, columns], Some(bias))?)
}

fn scaled(constant: Constant, by: f32) -> Result<Constant> {
    match by == 1.0 {
        true => Ok(constant),
        false => {
            let values = constant.to_floats()?.iter().map(|value| value * by).collect();
            Ok(Constant::floats(&constant.extents, values))
        }
    }
}

/// The last axis of `data` times a matrix `[rows, columns]`.
fn linear(
    importer: &mut Importer,
    data: &Data,
    matrix: &Constant,
    [rows, columns]: [usize; 2],
    bias: Option<usize>,
) -> Result<Data> {
    let last = data.rank().checked_sub(1).ok_or("reads a single number")?;
    let inputs = data.extent(last)?;
    if inputs != rows || columns == 0 {
        return Err(format!("multiplies {inputs} values by a matrix of {:?}", matrix.extents));
    }
    let (data, _) = importer.last(data, last..last + 1)?;
    let rest = data.len() / inputs;
    let new = matrix_in_memory(&data, last, matrix, [inputs, columns])?;
    let weight = importer.slot(matrix.origin.as_deref(), "weight", new);
    let value = match rest {
        1 => {
            let row = importer.form(data.value, Extents::Vector { len: inputs })?;
            importer.push(Layer::Dense { weight, bias }, &[row])?
        }
        _ => {
            let value = match importer.extents[data.value.0] {
                Extents::Image { channels, .. } if channels == inputs => data.value,
                _ => {
                    importer.form(data.value, Extents::Image { height: 1, width: rest, channels: inputs })?
                }
            };
            let geometry = Convolution::same(1, 1);
            importer.push(Layer::Convolution { weight, bias, geometry }, &[value])?
        }
    };
    with_last(&data, value, columns)
}

/// A matrix whose rows are in the order in which memory has the values of the axis `last`, which may be another one than the
/// file's.
fn matrix_in_memory(
    data: &Data,
    last: usize,
    matrix: &Constant,
    [inputs, columns]: [usize; 2],
) -> Result<NewSlot> {
    let atoms = data.atoms(last)?;
    let stored: Vec<usize> = data.storage.iter().copied().filter(|atom| atoms.contains(atom)).collect();
    let axes = vec![Place::Atoms(atoms.to_vec())];
    let (extents, strides) = Data { axes, storage: stored.clone(), ..data.clone() }.read(&[columns]);
    let values = matrix.to_floats()?;
    let places = Places::new(&[&extents[..], &[columns]].concat(), &[&strides[..], &[1]].concat());
    let values: Vec<f32> = places.map(|at| values[at]).collect();
    let order = match (atoms, &stored[..]) {
        (&[channels, positions], &[first, second]) if [positions, channels] == [first, second] => {
            FileOrder::LinearOfImage { positions: data.extents[positions] }
        }
        _ => FileOrder::Linear,
    };
    Ok(NewSlot { extents: vec![1, 1, inputs, columns], role: Role::Weight, order, values })
}

/// The layout of `data` for a value with so many places along the last axis.
fn with_last(data: &Data, value: Value, columns: usize) -> Result<Data> {
    let last = data.rank() - 1;
    let atoms = data.atoms(last)?;
    let mut result = data.with_value(value);
    result.storage.retain(|atom| !atoms.contains(atom));
    result.axes[last] = Place::Atoms(Vec::new());
    if columns > 1 {
        result.extents.push(columns);
        let atom = result.extents.len() - 1;
        result.storage.push(atom);
        result.axes[last] = Place::Atoms(vec![atom]);
    }
    Ok(result.tidied())
}

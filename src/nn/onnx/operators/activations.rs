//! Functions of every value.

use super::{Call, Importer, Known, Result, one};
use crate::nn::layer::{Activation, Layer};
use crate::nn::onnx::constant::Places;
use crate::nn::onnx::import::NewSlot;
use crate::nn::slot::{FileOrder, Role};

/// Those that need nothing but attributes.
pub const NAMES: &[&str] = &[
    "Abs",
    "Celu",
    "Clip",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "Selu",
    "Sigmoid",
    "Sign",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tanh",
];

/// One of [`NAMES`].
pub fn read(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let float = |name: &str, default: f32| call.attributes.float(name, default);
    let function = match call.operator {
        "Abs" => Activation::Abs,
        "Celu" => Activation::Celu(float("alpha", 1.0)),
        "Clip" => Activation::Clamp(
            call.number(1, "min", f32::MIN)?.clamp(f32::MIN, f32::MAX),
            call.number(2, "max", f32::MAX)?.clamp(f32::MIN, f32::MAX),
        ),
        "Elu" => Activation::Elu(float("alpha", 1.0)),
        "Erf" => Activation::Erf,
        "Exp" => Activation::Exp,
        "Gelu" if call.attributes.text("approximate", "none") == "tanh" => Activation::GeluTanh,
        "Gelu" => Activation::Gelu,
        "HardSigmoid" => Activation::HardSigmoid(float("alpha", 0.2), float("beta", 0.5)),
        "HardSwish" => Activation::HardSwish,
        "LeakyRelu" => Activation::LeakyRelu(float("alpha", 0.01)),
        "Log" => Activation::Log,
        "Mish" => Activation::Mish,
        "Neg" => Activation::Affine(-1.0, 0.0),
        "Reciprocal" => Activation::Reciprocal,
        "Relu" => Activation::LeakyRelu(0.0),
        "Selu" => Activation::Selu(float("alpha", 1.673_263_2), float("gamma", 1.050_701)),
        "Sigmoid" => Activation::Sigmoid,
        "Sign" => Activation::Sign,
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "Sqrt" => Activation::Sqrt,
        "Swish" if float("alpha", 1.0) == 1.0 => Activation::Silu,
        "Swish" => return Err("has an alpha other than 1; write it as Sigmoid and Mul".to_string()),
        _ => Activation::Tanh,
    };
    let value = importer.push(Layer::Activation(function), &[data.value])?;
    one(data.with_value(value))
}

/// Leaky ReLU whose slopes are learned.
pub fn p_relu(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let (data, slopes) = (call.data(0)?, call.constant(1)?);
    let (extents, strides) = super::arithmetic::constant_in_memory(data, &slopes)?;
    let from = strides.iter().position(|&stride| stride > 0).unwrap_or(extents.len());
    let values = slopes.to_floats()?;
    let values: Vec<f32> = Places::new(&extents[from..], &strides[from..]).map(|at| values[at]).collect();
    let new = NewSlot { extents: vec![values.len()], role: Role::Weight, order: FileOrder::Same, values };
    let slope = importer.slot(slopes.origin.as_deref(), "slope", new);
    let value = importer.push(Layer::PRelu { slope }, &[data.value])?;
    one(data.with_value(value))
}

//! Operators as layers. Every file here has those of one kind, and [`read`] knows them all.

mod activations;
mod arithmetic;
mod convolutions;
mod groups;
mod linear;
mod places;
mod pooling;
mod shapes;
mod slices;
pub mod strided;

use super::attributes::Attributes;
use super::constant::Constant;
use super::data::Data;
use super::import::{Importer, Known};
use super::message::Node;
use std::rc::Rc;

type Result<T> = std::result::Result<T, String>;

/// An operator with what it reads.
pub struct Call<'a, 'b> {
    /// Its name.
    pub operator: &'b str,
    /// Its attributes.
    pub attributes: &'b Attributes<'a>,
    /// What is known of its inputs.
    pub inputs: &'b [Option<Known>],
    /// How many results the graph names.
    pub outputs: usize,
}

impl<'a, 'b> Call<'a, 'b> {
    /// A node's operator.
    pub fn new(node: &'b Node, attributes: &'b Attributes<'a>, inputs: &'b [Option<Known>]) -> Self {
        let outputs = node.outputs.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        Self { operator: node.operator.as_str(), attributes, inputs, outputs }
    }

    /// An input that depends on the images.
    pub fn data(&self, index: usize) -> Result<&Data> {
        match self.inputs.get(index) {
            Some(Some(Known::Data(data))) => Ok(data),
            Some(Some(Known::Constant(_))) => Err(format!(
                "has a constant as input {index}, where it is read only with values of the images"
            )),
            Some(Some(Known::Row(_) | Known::PerImage(_))) => Err(MIXED.to_string()),
            _ => Err(format!("lacks its input {index}")),
        }
    }

    /// An input that does not.
    pub fn constant(&self, index: usize) -> Result<Rc<Constant>> {
        self.optional(index)?.ok_or_else(|| format!("lacks its input {index}"))
    }

    /// An input that does not depend on the images and may be absent.
    pub fn optional(&self, index: usize) -> Result<Option<Rc<Constant>>> {
        match self.inputs.get(index) {
            Some(Some(Known::Constant(constant))) => Ok(Some(constant.clone())),
            Some(Some(Known::Data(_))) => {
                Err(format!("computes its input {index} from the images; it must be a constant"))
            }
            Some(Some(Known::Row(_) | Known::PerImage(_))) => Err(MIXED.to_string()),
            _ => Ok(None),
        }
    }

    /// Whole numbers: an attribute once, an input of newer operators.
    pub fn integers(&self, input: usize, attribute: &str) -> Result<Option<Vec<i64>>> {
        match self.optional(input)? {
            Some(constant) => constant.to_integers().map(|values| Some(values.to_vec())),
            None => Ok(self.attributes.integers(attribute)),
        }
    }

    /// A number that is an input of newer operators and an attribute of older ones.
    pub fn number(&self, input: usize, attribute: &str, default: f32) -> Result<f32> {
        match self.optional(input)? {
            Some(constant) => {
                constant.uniform().ok_or_else(|| format!("has no single number as input {input}"))
            }
            None => Ok(self.attributes.float(attribute, default)),
        }
    }
}

/// What is said of values in which images are no axis of their own.
pub const MIXED: &str =
    "mixes the images with other axes, or fixes their number; export the model with a dynamic batch size";

/// What is said of values whose images are not the first axis.
pub const MOVED: &str = "reads or gives values whose first axis is not that of the images; only Transpose, Gather and GatherND \
                         are read with these";

type Reader = fn(&mut Importer, &Call) -> Result<Vec<Known>>;

/// Every operator that becomes layers.
const OPERATORS: &[(&[&str], Reader)] = &[
    (&["Conv"], convolutions::convolution),
    (&["ConvTranspose"], convolutions::transposed),
    (&["BatchNormalization"], linear::batch_norm),
    (&["LayerNormalization"], linear::layer_norm),
    (&["InstanceNormalization"], groups::instance_norm),
    (&["GroupNormalization"], groups::group_norm),
    (&["Gemm"], linear::gemm),
    (&["MatMul"], linear::mat_mul),
    (&["Softmax", "LogSoftmax"], linear::softmax),
    (activations::NAMES, activations::read),
    (&["PRelu"], activations::p_relu),
    (&["Add", "Sub", "Mul", "Div"], arithmetic::binary),
    (&["Max", "Min", "Sum", "Mean"], arithmetic::several),
    (&["Where"], arithmetic::choose),
    (&["Pow"], arithmetic::power),
    (&["Expand"], arithmetic::expand),
    (&["MaxPool", "AveragePool"], pooling::pool),
    (&["GlobalAveragePool", "GlobalMaxPool"], pooling::global),
    (&["ReduceMean", "ReduceSum", "ReduceMax"], pooling::reduce),
    (&["Resize"], pooling::resize),
    (&["Shape"], shapes::shape),
    (&["Identity", "Cast"], shapes::identity),
    (&["CastLike"], shapes::cast_like),
    (&["Dropout"], shapes::dropout),
    (&["Flatten"], shapes::flatten),
    (&["Reshape"], shapes::reshape),
    (&["Squeeze", "Unsqueeze"], shapes::squeeze),
    (&["Transpose"], shapes::transpose),
    (&["DepthToSpace", "SpaceToDepth"], shapes::depth_and_space),
    (&["Concat"], slices::concat),
    (&["Slice"], slices::slice),
    (&["Split"], slices::split),
    (&["Gather"], places::gather),
    (&["GatherND"], places::gather_nd),
    (&["Pad"], slices::pad),
];

/// Operators that read values whose first axis is not that of the images. PyTorch's newer exporter moves it behind rows
/// and columns to gather these, and back.
const WITH_IMAGES_ANYWHERE: &[&str] = &["Transpose", "Gather", "GatherND", "Shape", "Identity", "Cast"];

/// Reads an operator of which some input depends on the images.
pub fn read(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let reader = OPERATORS.iter().find(|(names, _)| names.contains(&call.operator)).map(|(_, reader)| reader);
    let reader = reader.ok_or_else(|| format!("is not supported; {}", supported()))?;
    let moved = |input: &Option<Known>| matches!(input, Some(Known::Data(data)) if !data.images_first());
    if call.inputs.iter().any(moved) && !WITH_IMAGES_ANYWHERE.contains(&call.operator) {
        return Err(MOVED.to_string());
    }
    reader(importer, call)
}

/// Whether an operator is read, as layers or as arithmetic on constants.
pub fn reads(operator: &str) -> bool {
    operator == "Constant"
        || OPERATORS.iter().any(|(names, _)| names.contains(&operator))
        || super::fold::KNOWN.contains(&operator)
}

/// The list of operators, for messages.
pub fn supported() -> String {
    let mut names: Vec<&str> = OPERATORS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    names.sort_unstable();
    format!("operators that are read: {}", names.join(", "))
}

/// A single result.
#[expect(clippy::unnecessary_wraps, reason = "it ends functions that can fail")]
fn one(data: Data) -> Result<Vec<Known>> {
    Ok(vec![Known::Data(data)])
}

/// An extent or index of a geometry.
fn whole(value: i64, name: &str) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|&value| value <= 1 << 20)
        .ok_or_else(|| format!("has the {name} {value}"))
}

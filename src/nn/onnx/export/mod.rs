//! Networks as ONNX files: images `[n, channels, height, width]` in [0, 1] to logits `[n, classes]`, any number of images
//! at a time.
//!
//! A value of the network that is an image becomes `[n, channels, height, width]`, a row stays a row. Layers that work on
//! memory's order see it by a transposition.

mod layers;
mod write;

use super::wire::Message;
use crate::nn::layer::{Extents, Layer};
use crate::nn::net::Value;
use crate::nn::{ModelError, Net, Values};

/// Name of the input.
const IMAGES: &str = "images";
/// Name of the output.
const LOGITS: &str = "logits";
/// Version of the operators: the first whose `Resize` names its axes.
const OPSET: i64 = 18;
/// Version of the format that goes with it.
const IR_VERSION: i64 = 8;

/// The bytes of an ONNX file.
///
/// # Errors
/// If ONNX has no operator for a layer.
pub fn encode(net: &Net, values: &Values) -> Result<Vec<u8>, ModelError> {
    let extents = net.extents()?;
    let mut writer = write::Writer::new(net, values, extents);
    for (index, node) in net.nodes.iter().enumerate() {
        let wrong = |problem: String| ModelError::Network { node: node.name.clone(), problem };
        let name = if index + 1 == net.nodes.len() { LOGITS.to_string() } else { format!("v{}", index + 1) };
        writer.layer(index, &name).map_err(wrong)?;
    }
    let problem = net.problem;
    let images = [problem.channels, problem.height, problem.width];
    let graph = Message::default()
        .messages(1, &writer.nodes)
        .bytes(2, "pgn-wgpu")
        .messages(5, &writer.initialisers)
        .message(11, &write::described(IMAGES, &images))
        .message(12, &write::described(LOGITS, &[problem.classes]));
    let opset = Message::default().bytes(1, "").integer(2, OPSET);
    let model = Message::default()
        .integer(1, IR_VERSION)
        .bytes(2, "pgn-wgpu")
        .bytes(3, env!("CARGO_PKG_VERSION"))
        .message(7, &graph)
        .message(8, &opset);
    Ok(model.into_bytes())
}

/// Whether `value` is a row of an image that only linear layers read: its channels then stay in front, as in PyTorch.
fn is_flattened_for_linear_layers(net: &Net, index: usize, from: Extents) -> bool {
    let flattens = match net.nodes[index].layer {
        Layer::Flatten => true,
        Layer::Reshape(to) => matches!(to, Extents::Vector { .. }),
        _ => false,
    };
    let mut readers = net.nodes.iter().filter(|node| node.inputs.contains(&Value(index + 1))).peekable();
    let read = readers.peek().is_some() && readers.all(|node| matches!(node.layer, Layer::Dense { .. }));
    flattens && read && matches!(from, Extents::Image { .. })
}

//! A network of the zoo as a PyTorch module: a small `model.py` whose `state_dict` has the names and layouts of our files.

use crate::nn::layer::{Activation, Layer, Pooling};
use crate::nn::{ModelError, Net};
use std::fmt::Write;

/// What stands before the layers.
const HEAD: &str = r#""""A classifier that pgn-wgpu trained: images [n, channels, height, width] in [0, 1] to logits.

    from safetensors.torch import load_file
    from model import Classifier
    model = Classifier()
    model.load_state_dict(load_file("model.safetensors"))
    model.eval()
"""
import torch
from torch import nn
from torch.nn import functional as F


class Normalise(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, x):
        return (x - self.mean[:, None, None]) / self.std[:, None, None]


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
"#;

/// What names the layers.
const TAIL: &str = r#"
    def put(self, path, module):
        *parents, name = path.split(".")
        owner = self
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())
            owner = owner._modules[parent]
        owner.add_module(name, module)

"#;

/// The text of `model.py`.
///
/// # Errors
/// If the network has a layer that networks of the zoo do not have.
pub fn module(net: &Net) -> Result<String, ModelError> {
    let mut layers = String::new();
    let mut forward = "    def forward(self, v0):\n".to_string();
    for (index, node) in net.nodes.iter().enumerate() {
        let wrong =
            |problem: &str| ModelError::Network { node: node.name.clone(), problem: problem.to_string() };
        let values: Vec<String> = node.inputs.iter().map(|value| format!("v{}", value.0)).collect();
        let x = &values[0];
        let extents = |slot: usize| &net.slots.all[slot].extents;
        let path = |slot: usize| net.slots.all[slot].name.rsplit_once('.').map(|(path, _)| path.to_string());
        let mut put = |slot: usize, module: String| -> Result<String, ModelError> {
            let path = path(slot).ok_or_else(|| wrong("has a weight whose name is no path"))?;
            let _ = writeln!(layers, "        self.put({path:?}, {module})");
            Ok(format!("self.get_submodule({path:?})"))
        };
        let result = match node.layer {
            Layer::Normalise { mean, .. } => {
                format!("{}({x})", put(mean, format!("Normalise({})", extents(mean)[0]))?)
            }
            Layer::Convolution { weight, bias, geometry } => {
                let [height, width, inputs, outputs] = extents(weight)[..] else {
                    return Err(wrong("has a kernel without four extents"));
                };
                let [[top, bottom], [left, right]] = geometry.padding;
                let module = put(
                    weight,
                    format!(
                        "nn.Conv2d({}, {outputs}, ({height}, {width}), stride={}, dilation={}, groups={}, bias={})",
                        inputs * geometry.groups,
                        pair(geometry.stride),
                        pair(geometry.dilation),
                        geometry.groups,
                        if bias.is_some() { "True" } else { "False" }
                    ),
                )?;
                format!("{module}(F.pad({x}, ({left}, {right}, {top}, {bottom})))")
            }
            Layer::Dense { weight, bias } => {
                let [_, _, inputs, outputs] = extents(weight)[..] else {
                    return Err(wrong("has a matrix without four extents"));
                };
                let bias = if bias.is_some() { "True" } else { "False" };
                format!("{}({x})", put(weight, format!("nn.Linear({inputs}, {outputs}, bias={bias})"))?)
            }
            Layer::BatchNorm { scale, epsilon, momentum, .. } => {
                let channels = extents(scale)[0];
                let module = format!("nn.BatchNorm2d({channels}, eps={epsilon}, momentum={momentum})");
                format!("{}({x})", put(scale, module)?)
            }
            Layer::Activation(function) => function_of(function, x).ok_or_else(|| wrong(FOREIGN))?,
            Layer::Pool(pooling, window) if window.padding == [[0; 2]; 2] && !window.ceil => {
                let name = if pooling == Pooling::Max { "max" } else { "avg" };
                let size = pair([window.height, window.width]);
                format!("F.{name}_pool2d({x}, {size}, {})", pair(window.stride))
            }
            Layer::GlobalMean => format!("{x}.mean((2, 3))"),
            Layer::Flatten => format!("{x}.flatten(1)"),
            Layer::Add => values.join(" + "),
            _ => return Err(wrong(FOREIGN)),
        };
        let _ = writeln!(forward, "        v{} = {result}", index + 1);
    }
    let _ = writeln!(forward, "        return v{}", net.nodes.len());
    Ok(format!("{HEAD}{layers}{TAIL}{forward}"))
}

/// What is said of other layers.
const FOREIGN: &str = "is of a kind that model.py is not written for; export the network with `onnx`";

fn pair([first, second]: [usize; 2]) -> String {
    format!("({first}, {second})")
}

fn function_of(function: Activation, x: &str) -> Option<String> {
    Some(match function {
        Activation::LeakyRelu(0.0) => format!("F.relu({x})"),
        Activation::LeakyRelu(slope) => format!("F.leaky_relu({x}, {slope})"),
        Activation::Silu => format!("F.silu({x})"),
        Activation::Gelu => format!("F.gelu({x})"),
        Activation::Softplus => format!("F.softplus({x})"),
        Activation::Elu(a) => format!("F.elu({x}, {a})"),
        Activation::Sigmoid => format!("torch.sigmoid({x})"),
        Activation::Tanh => format!("torch.tanh({x})"),
        _ => return None,
    })
}

//! A network of the zoo as a PyTorch module: a small `model.py` whose `state_dict` has the names and layouts of our files.

use crate::graph::{Convolution, Divisor, Window};
use crate::nn::layer::{Activation, Extents, Layer, Pooling};
use crate::nn::net::{Value, positions_behind};
use crate::nn::slot::FileOrder;
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
/// If the network has a layer that networks of the zoo do not have, or weights with names that no layer of PyTorch gives.
pub fn module(net: &Net) -> std::result::Result<String, ModelError> {
    let mut module = Module { net, extents: net.extents()?, layers: String::new() };
    let mut forward = "    def forward(self, v0):\n".to_string();
    for (index, node) in net.nodes.iter().enumerate() {
        let result = module
            .expression(index)
            .map_err(|problem| ModelError::Network { node: node.name.clone(), problem })?;
        let _ = writeln!(forward, "        v{} = {result}", index + 1);
    }
    let _ = writeln!(forward, "        return v{}", net.nodes.len());
    Ok(format!("{HEAD}{}{TAIL}{forward}", module.layers))
}

/// What is said of other layers.
const FOREIGN: &str = "is of a kind that model.py is not written for; export the network with `onnx`";

/// What is said of a linear layer whose columns the file has in another order than PyTorch flattens an image.
const OTHER_ORDER: &str =
    "reads a flattened image in another order than PyTorch has it; export the network with `onnx`";

/// What is said of a layer whose weights have names that no layer of PyTorch gives, as in ONNX files of other programs.
const OTHER_NAMES: &str =
    "has weights that no layer of PyTorch calls by these names; export the network with `onnx`";

/// An expression of Python, or what is wrong with its layer.
type Result = std::result::Result<String, String>;

/// A module under construction.
struct Module<'a> {
    net: &'a Net,
    /// Extents of the network's values, the images first.
    extents: Vec<Extents>,
    /// The lines that make the layers.
    layers: String,
}

impl Module<'_> {
    /// What node `index` computes of the values `v0`, `v1` and so on.
    fn expression(&mut self, index: usize) -> Result {
        let net = self.net;
        let node = &net.nodes[index];
        let values: Vec<String> = node.inputs.iter().map(|value| format!("v{}", value.0)).collect();
        let (x, from) = (&values[0], self.extents[node.inputs[0].0]);
        let is_image = matches!(from, Extents::Image { .. });
        match node.layer {
            Layer::Normalise { mean, deviation } if is_image => {
                let own = [(mean, "mean"), (deviation, "std")];
                let module = self.put(&own, &format!("Normalise({})", from.channels()))?;
                Ok(format!("{module}({x})"))
            }
            Layer::Convolution { weight, bias, geometry } => self.convolution(weight, bias, &geometry, x),
            Layer::Dense { weight, bias } => self.dense(weight, bias, node.inputs[0]),
            Layer::BatchNorm { scale, shift, mean, variance, epsilon, momentum } if is_image => {
                let own =
                    [(scale, "weight"), (shift, "bias"), (mean, "running_mean"), (variance, "running_var")];
                let numbers = format!("{}, eps={epsilon}, momentum={momentum}", from.channels());
                let module = self.put(&own, &format!("nn.BatchNorm2d({numbers})"))?;
                Ok(format!("{module}({x})"))
            }
            Layer::Activation(function) => function_of(function, x).ok_or_else(|| FOREIGN.to_string()),
            Layer::Pool(pooling, window) => pool(pooling, &window, x).ok_or_else(|| FOREIGN.to_string()),
            Layer::GlobalMean if is_image => Ok(format!("{x}.mean((2, 3))")),
            Layer::Flatten => Ok(format!("{x}.flatten(1)")),
            Layer::Add if self.are_in_one_order(&node.inputs) => Ok(values.join(" + ")),
            _ => Err(FOREIGN.to_string()),
        }
    }

    /// Makes a layer under the path that the names of its slots have in common; the layer in `forward`. With each slot stands
    /// what PyTorch's layer calls it.
    fn put(&mut self, own: &[(usize, &str)], module: &str) -> Result {
        let name = |slot: usize| &self.net.slots.all[slot].name;
        let path = name(own[0].0).rsplit_once('.').map_or("", |(path, _)| path);
        let is_path = path.split('.').all(|part| !part.is_empty());
        if !is_path || own.iter().any(|&(slot, called)| *name(slot) != format!("{path}.{called}")) {
            return Err(OTHER_NAMES.to_string());
        }
        let _ = writeln!(self.layers, "        self.put({path:?}, {module})");
        Ok(format!("self.get_submodule({path:?})"))
    }

    fn convolution(&mut self, weight: usize, bias: Option<usize>, geometry: &Convolution, x: &str) -> Result {
        let [height, width, inputs, outputs] = self.net.slots.all[weight].extents[..] else {
            return Err("has a kernel without four extents".to_string());
        };
        let [[top, bottom], [left, right]] = geometry.padding;
        let module = format!(
            "nn.Conv2d({}, {outputs}, ({height}, {width}), stride={}, dilation={}, groups={}, bias={})",
            inputs * geometry.groups,
            pair(geometry.stride),
            pair(geometry.dilation),
            geometry.groups,
            truth(bias.is_some())
        );
        let module = self.put(&with_bias(weight, bias), &module)?;
        Ok(format!("{module}(F.pad({x}, ({left}, {right}, {top}, {bottom})))"))
    }

    fn dense(&mut self, weight: usize, bias: Option<usize>, row: Value) -> Result {
        let slot = &self.net.slots.all[weight];
        let [_, _, inputs, outputs] = slot.extents[..] else {
            return Err("has a matrix without four extents".to_string());
        };
        let positions = match slot.order {
            FileOrder::LinearOfImage { positions } => positions,
            _ => 1,
        };
        if positions != self.positions_behind(row) {
            return Err(OTHER_ORDER.to_string());
        }
        let module = format!("nn.Linear({inputs}, {outputs}, bias={})", truth(bias.is_some()));
        let module = self.put(&with_bias(weight, bias), &module)?;
        Ok(format!("{module}(v{})", row.0))
    }

    fn positions_behind(&self, row: Value) -> usize {
        positions_behind(&self.net.nodes, &self.extents, row)
    }

    /// Whether PyTorch has the values in one order: channels first in an image that was flattened.
    fn are_in_one_order(&self, values: &[Value]) -> bool {
        values.iter().all(|&value| self.positions_behind(value) == self.positions_behind(values[0]))
    }
}

/// Pooling, if PyTorch has it: the largest value or the mean of windows in the image.
fn pool(pooling: Pooling, window: &Window, x: &str) -> Option<String> {
    let Window { height, width, stride, padding, ceil, divisor, scale } = *window;
    let is_mean = match divisor {
        Divisor::None => scale == Window::mean(height, width).scale,
        // All cells of a window are in the image.
        Divisor::Inside | Divisor::Padded => scale == 1.0,
    };
    let name = match pooling {
        Pooling::Max => "max",
        Pooling::Mean if is_mean => "avg",
        Pooling::Mean => return None,
    };
    let inside = padding == [[0; 2]; 2] && !ceil;
    inside.then(|| format!("F.{name}_pool2d({x}, {}, {})", pair([height, width]), pair(stride)))
}

/// The slots of a layer, and what PyTorch calls them.
fn with_bias(weight: usize, bias: Option<usize>) -> Vec<(usize, &'static str)> {
    std::iter::once((weight, "weight")).chain(bias.map(|bias| (bias, "bias"))).collect()
}

/// A truth value of Python.
fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::builder::{Builder, Kernel};
    use crate::nn::slot::{Initial, Role};
    use crate::nn::{Normalisation, Problem};

    /// The module of a network that ends with a linear layer named `fc`, or what is wrong with the network.
    fn text_of(layers: impl FnOnce(&mut Builder, Value) -> Value) -> Result {
        let mut net = Builder::new(Problem { height: 4, width: 6, channels: 2, classes: 3 });
        let images = net.images();
        let x = layers(&mut net, images);
        net.dense(x, "fc", 3, 1.0);
        module(&net.finish().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_module_makes_its_layers_by_name_and_computes_them_in_order() {
        let text = text_of(|net, images| {
            let by = Normalisation { mean: vec![0.5; 2], deviation: vec![0.25; 2] };
            let x = net.normalise(images, "normalise", &by);
            let x = net.convolution(x, "conv", Kernel::new(3, 8).without_bias());
            let x = net.batch_norm(x, "bn");
            let x = net.relu(x);
            let x = net.pool(x, Pooling::Mean, Window::mean(2, 3));
            let x = net.pool(x, Pooling::Mean, Window::mean_inside(1, 2));
            net.flatten(x)
        })
        .unwrap();
        let (_, body) = text.split_once("super().__init__()\n        self.put").unwrap();
        let [made, computed] = ["def put(", "def forward(self, v0):\n"].map(|part| body.find(part).unwrap());
        assert_eq!(
            body[..made].trim_end(),
            r#"("normalise", Normalise(2))
        self.put("conv", nn.Conv2d(2, 8, (3, 3), stride=(1, 1), dilation=(1, 1), groups=1, bias=False))
        self.put("bn", nn.BatchNorm2d(8, eps=0.00001, momentum=0.1))
        self.put("fc", nn.Linear(16, 3, bias=True))"#
        );
        assert_eq!(
            &body[computed..],
            r#"def forward(self, v0):
        v1 = self.get_submodule("normalise")(v0)
        v2 = self.get_submodule("conv")(F.pad(v1, (1, 1, 1, 1)))
        v3 = self.get_submodule("bn")(v2)
        v4 = F.relu(v3)
        v5 = F.avg_pool2d(v4, (2, 3), (2, 3))
        v6 = F.avg_pool2d(v5, (1, 2), (1, 2))
        v7 = v6.flatten(1)
        v8 = self.get_submodule("fc")(v7)
        return v8
"#
        );
    }

    #[test]
    fn what_pytorch_would_compute_in_another_way_is_refused() {
        let sum = text_of(|net, images| net.pool(images, Pooling::Mean, Window::new(2, 2)));
        assert_eq!(sum, Err(format!("the layer pool {FOREIGN}")));
        let normalised = text_of(|net, images| {
            let row = net.flatten(images);
            net.batch_norm(row, "bn")
        });
        assert_eq!(normalised, Err(format!("the layer bn {FOREIGN}")));
        // The first row is a flattened image, the second is the result of a linear layer.
        let added = text_of(|net, images| {
            let row = net.flatten(images);
            let other = net.dense(row, "beside", 48, 1.0);
            net.add(row, other)
        });
        assert_eq!(added, Err(format!("the layer add {FOREIGN}")));
    }

    #[test]
    fn weights_that_the_layers_of_pytorch_would_not_find_are_refused() {
        let named = |weight: &str, bias: &str| {
            text_of(|net, images| {
                let row = net.flatten(images);
                let initial = Initial::Constant(0.0);
                let order = FileOrder::LinearOfImage { positions: 24 };
                let weight =
                    net.slot(weight.to_string(), &[1, 1, 48, 5], Role::Weight, initial.clone(), order);
                let bias = net.slot(bias.to_string(), &[5], Role::Weight, initial, FileOrder::Same);
                net.layer("own", Layer::Dense { weight, bias: Some(bias) }, &[row])
            })
        };
        let text = named("own.weight", "own.bias").unwrap();
        assert!(text.contains(r#"self.put("own", nn.Linear(48, 5, bias=True))"#), "{text}");
        for [weight, bias] in [
            ["own.w", "own.b"],
            ["own.weight", "beside.bias"],
            ["weight", "bias"],
            ["own..weight", "own..bias"],
            ["onnx::MatMul_12", "own.bias"],
        ] {
            assert_eq!(named(weight, bias), Err(format!("the layer own {OTHER_NAMES}")), "{weight}, {bias}");
        }
    }

    #[test]
    fn a_linear_layer_whose_file_has_the_channels_of_an_image_last_is_refused() {
        let linear = text_of(|net, images| {
            let row = net.flatten(images);
            let row = net.relu(row);
            let initial = Initial::Constant(0.0);
            let weight =
                net.slot("own.weight".to_string(), &[1, 1, 48, 5], Role::Weight, initial, FileOrder::Linear);
            net.layer("own", Layer::Dense { weight, bias: None }, &[row])
        });
        assert_eq!(linear, Err(format!("the layer own {OTHER_ORDER}")));
    }
}

//! The one interpreter: appends a network's forward pass to a graph.
//!
//! Layers become primitive operations; the compiler joins biases and activations to convolutions. In an evaluation pass a
//! batch normalisation that follows a convolution becomes part of its weight and bias, which are small, instead of a pass
//! over its result, which is not.

use super::batch_norm::{self, Statistics};
use super::layer::{Activation, Extents, Layer, Pooling};
use super::net::{Net, Value};
use super::slot::States;
use crate::graph::{self, Convolution, Graph, GraphError, Tensor, Unary};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// In which mode a network computes.
#[derive(Clone, Copy, Debug)]
pub enum Pass {
    /// With the running statistics.
    Evaluate,
    /// With the statistics of the batch.
    Train {
        /// `[n, 1]`: 1 for images, 0 for the padding of a last batch, which enters no statistic.
        real: Tensor,
        /// Whether the running statistics learn from this pass.
        update_statistics: bool,
    },
}

/// A network with its states in one graph and the mode in which it computes.
#[derive(Clone, Copy)]
pub struct Classifier<'a> {
    /// The network.
    pub net: &'a Net,
    /// Its slots as tensors of the graph.
    pub states: &'a States,
    /// The mode.
    pub pass: Pass,
}

impl<'a> Classifier<'a> {
    /// The network as it is evaluated and attacked.
    pub fn evaluated(net: &'a Net, states: &'a States) -> Self {
        Self { net, states, pass: Pass::Evaluate }
    }

    /// The logits `[n, classes]` of `images`.
    pub fn logits(&self, graph: &mut Graph, images: Tensor) -> Result {
        self.net.forward(graph, self.states, images, self.pass)
    }
}

impl Net {
    /// The states of the live network in `graph`: `name.parameters` and `name.buffers`.
    pub fn live(&self, graph: &mut Graph, name: &str) -> Result<States> {
        self.slots.views(graph, &format!("{name}.parameters"), &format!("{name}.buffers"))
    }

    /// The states of the network's moving average: `name.average` and `name.average-buffers`.
    pub fn averaged(&self, graph: &mut Graph, name: &str) -> Result<States> {
        self.slots.views(graph, &format!("{name}.average"), &format!("{name}.average-buffers"))
    }

    /// Appends the forward pass: images `[n, height, width, channels]` in [0, 1] to logits `[n, classes]`.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn forward(&self, graph: &mut Graph, states: &States, images: Tensor, pass: Pass) -> Result {
        let folded = self.folded(pass);
        let mut forward = Forward { net: self, graph, states, pass, folded, values: vec![Some(images)] };
        for index in 0..self.nodes.len() {
            let result = forward.node(index)?;
            forward.values.push(result);
        }
        Ok(forward.value(Value(self.nodes.len())))
    }

    /// Per node: whether it is a convolution that the batch normalisation after it takes in.
    fn folded(&self, pass: Pass) -> Vec<bool> {
        let mut readers = vec![0; self.nodes.len() + 1];
        for value in self.nodes.iter().flat_map(|node| &node.inputs) {
            readers[value.0] += 1;
        }
        let mut folded = vec![false; self.nodes.len()];
        for node in self.nodes.iter().filter(|node| matches!(node.layer, Layer::BatchNorm { .. })) {
            let source = node.inputs[0].0;
            let once = source > 0 && readers[source] == 1 && matches!(pass, Pass::Evaluate);
            if once && matches!(self.nodes[source - 1].layer, Layer::Convolution { .. }) {
                folded[source - 1] = true;
            }
        }
        folded
    }
}

struct Forward<'a> {
    net: &'a Net,
    graph: &'a mut Graph,
    states: &'a States,
    pass: Pass,
    folded: Vec<bool>,
    /// Per value of the network; none for a convolution that is computed with the normalisation after it.
    values: Vec<Option<Tensor>>,
}

impl Forward<'_> {
    fn value(&self, value: Value) -> Tensor {
        self.values[value.0].expect("folded convolutions have one reader, which does not ask")
    }

    fn slot(&self, index: usize) -> Tensor {
        self.states.tensors[index]
    }

    fn node(&mut self, index: usize) -> Result<Option<Tensor>> {
        if self.folded[index] {
            return Ok(None);
        }
        let node = &self.net.nodes[index];
        let input = node.inputs[0];
        let result = match node.layer {
            Layer::BatchNorm { .. } => self.batch_norm(node.layer, input)?,
            Layer::Add => {
                let mut sum = self.value(input);
                for &more in &node.inputs[1..] {
                    let more = self.value(more);
                    sum = self.graph.add(sum, more)?;
                }
                sum
            }
            Layer::Combine(function) => {
                let (left, right) = (self.value(input), self.value(node.inputs[1]));
                self.graph.binary(function.operation(), left, right)?
            }
            Layer::Arrange(arrangement) => {
                let inputs: Vec<Tensor> = node.inputs.iter().map(|&value| self.value(value)).collect();
                arrangement.compute(self.graph, &inputs)?
            }
            layer => {
                let x = self.value(input);
                self.layer(layer, x)?
            }
        };
        Ok(Some(result))
    }

    /// A slot and `x` seen so that the slot is repeated over it.
    fn repeated(&mut self, x: Tensor, slot: usize) -> Result<(Tensor, Tensor)> {
        let own = self.slot(slot);
        let len = self.graph.shape(own).len();
        if len == 1 || self.graph.shape(x).channels() == len {
            return Ok((x, own));
        }
        let rows = self.graph.shape(x).len() / len;
        Ok((self.graph.reshape(x, &[rows, len])?, own))
    }

    /// Layers with numbers that are repeated over their input, whose shape the result has.
    fn layer_of_rows(&mut self, layer: Layer, x: Tensor) -> Result {
        let extents = self.graph.shape(x).extents().to_vec();
        let y = match layer {
            Layer::With { function, slot, reversed } => {
                let (x, own) = self.repeated(x, slot)?;
                let (left, right) = if reversed { (own, x) } else { (x, own) };
                self.graph.binary(function.operation(), left, right)?
            }
            Layer::PRelu { slope } => {
                let (x, slope) = self.repeated(x, slope)?;
                let positive = self.graph.relu(x);
                let negative = self.graph.subtract(x, positive)?;
                let scaled = self.graph.multiply(negative, slope)?;
                self.graph.add(positive, scaled)?
            }
            Layer::LayerNorm { scale, shift, len, epsilon } => {
                let rows = self.graph.shape(x).len() / len;
                let x = self.graph.reshape(x, &[rows, len])?;
                let mut numbers = |slot: Option<usize>, value| match slot {
                    Some(slot) => Ok(self.states.tensors[slot]),
                    None => self.graph.constant(value, &[len]),
                };
                let (scale, shift) = (numbers(scale, 1.0)?, numbers(shift, 0.0)?);
                self.graph.layer_norm(x, scale, shift, epsilon)?
            }
            Layer::Softmax { len, logarithm } => {
                let rows = self.graph.shape(x).len() / len;
                let x = self.graph.reshape(x, &[rows, len])?;
                if logarithm { self.graph.log_softmax(x)? } else { self.graph.softmax(x) }
            }
            _ => unreachable!("`layer` computes these"),
        };
        self.graph.reshape(y, &extents)
    }

    /// Layers of one input.
    fn layer(&mut self, layer: Layer, x: Tensor) -> Result {
        match layer {
            Layer::Normalise { mean, deviation } => {
                let [mean, deviation] = [mean, deviation].map(|slot| self.slot(slot));
                let inverse = self.graph.unary(Unary::Reciprocal, deviation);
                let centred = self.graph.subtract(x, mean)?;
                self.graph.multiply(centred, inverse)
            }
            Layer::Convolution { weight, bias, geometry } => {
                let (weight, bias) = (self.slot(weight), bias.map(|slot| self.slot(slot)));
                self.convolution(x, weight, bias, geometry)
            }
            Layer::Dense { weight, bias } => {
                let (weight, bias) = (self.slot(weight), bias.map(|slot| self.slot(slot)));
                let [n, inputs] = [self.graph.shape(x).rows(), self.graph.shape(x).columns()];
                let row = self.graph.reshape(x, &[n, 1, 1, inputs])?;
                let y = self.convolution(row, weight, bias, Convolution::same(1, 1))?;
                let outputs = self.graph.shape(y).channels();
                self.graph.reshape(y, &[n, outputs])
            }
            Layer::Activation(function) => activation(self.graph, function, x),
            Layer::Pool(pooling, window) => pool(self.graph, pooling, window, x),
            Layer::GlobalMean => {
                let Some([n, height, width, channels]) = self.graph.shape(x).image() else { return Ok(x) };
                let mean = self.graph.pool(graph::Window::mean(height, width), x)?;
                self.graph.reshape(mean, &[n, channels])
            }
            Layer::Flatten => {
                let [n, columns] = [self.graph.shape(x).rows(), self.graph.shape(x).columns()];
                self.graph.reshape(x, &[n, columns])
            }
            Layer::ConvolutionTranspose { weight, bias, geometry, to } => {
                let y = self.graph.convolve_input_gradient(geometry, x, self.states.tensors[weight], to)?;
                match bias {
                    Some(bias) => self.graph.add(y, self.states.tensors[bias]),
                    None => Ok(y),
                }
            }
            Layer::With { .. } | Layer::PRelu { .. } | Layer::LayerNorm { .. } | Layer::Softmax { .. } => {
                self.layer_of_rows(layer, x)
            }
            Layer::Resize(resize) => self.graph.resize(resize, x),
            Layer::Reshape(extents) => {
                let n = self.graph.shape(x).rows();
                match extents {
                    Extents::Image { height, width, channels } => {
                        self.graph.reshape(x, &[n, height, width, channels])
                    }
                    Extents::Vector { len } => self.graph.reshape(x, &[n, len]),
                }
            }
            Layer::BatchNorm { .. } | Layer::Add | Layer::Combine(_) | Layer::Arrange(_) => {
                unreachable!("`node` computes these")
            }
        }
    }

    fn convolution(
        &mut self,
        x: Tensor,
        weight: Tensor,
        bias: Option<Tensor>,
        geometry: Convolution,
    ) -> Result {
        let y = self.graph.convolve(geometry, x, weight)?;
        match bias {
            Some(bias) => self.graph.add(y, bias),
            None => Ok(y),
        }
    }

    fn batch_norm(&mut self, layer: Layer, input: Value) -> Result {
        let Layer::BatchNorm { scale, shift, mean, variance, epsilon, momentum } = layer else {
            unreachable!("called for batch normalisation only")
        };
        let statistics = Statistics {
            scale: self.slot(scale),
            shift: self.slot(shift),
            mean: self.slot(mean),
            variance: self.slot(variance),
            epsilon,
            momentum,
        };
        if let Pass::Train { real, update_statistics } = self.pass {
            let x = self.value(input);
            return batch_norm::train(self.graph, statistics, x, real, update_statistics);
        }
        let (scale, shift) = batch_norm::affine(self.graph, statistics)?;
        match input.0.checked_sub(1).filter(|&source| self.folded[source]) {
            Some(source) => self.folded_convolution(source, scale, shift),
            None => {
                let x = self.value(input);
                let scaled = self.graph.multiply(x, scale)?;
                self.graph.add(scaled, shift)
            }
        }
    }

    /// The convolution of node `source`, its result scaled and shifted per channel.
    fn folded_convolution(&mut self, source: usize, scale: Tensor, shift: Tensor) -> Result {
        let node = &self.net.nodes[source];
        let Layer::Convolution { weight, bias, geometry } = node.layer else {
            unreachable!("only convolutions are folded")
        };
        let x = self.value(node.inputs[0]);
        let weight = self.graph.multiply(self.slot(weight), scale)?;
        let bias = match bias {
            None => shift,
            Some(bias) => {
                let scaled = self.graph.multiply(self.slot(bias), scale)?;
                self.graph.add(scaled, shift)?
            }
        };
        self.convolution(x, weight, Some(bias), geometry)
    }
}

fn pool(graph: &mut Graph, pooling: Pooling, window: graph::Window, x: Tensor) -> Result {
    match pooling {
        Pooling::Mean => graph.pool(window, x),
        Pooling::Max => graph.max_pool(window, x),
    }
}

fn activation(graph: &mut Graph, function: Activation, x: Tensor) -> Result {
    match function {
        Activation::LeakyRelu(slope) => Ok(graph.unary(Unary::LeakyRelu(slope), x)),
        Activation::Sigmoid => Ok(graph.unary(Unary::Sigmoid, x)),
        Activation::Tanh => Ok(graph.unary(Unary::Tanh, x)),
        Activation::Softplus => Ok(graph.unary(Unary::Softplus, x)),
        Activation::Silu => graph.silu(x),
        Activation::Gelu => graph.gelu(x),
        Activation::Elu(a) => graph.elu(x, a),
        Activation::Affine(a, b) => Ok(graph.affine(x, a, b)),
        Activation::Clamp(a, b) => Ok(graph.unary(Unary::Clamp(a, b), x)),
        Activation::HardSigmoid(a, b) => Ok(graph.hard_sigmoid(x, a, b)),
        Activation::HardSwish => graph.hard_swish(x),
        Activation::GeluTanh => graph.gelu_tanh(x),
        Activation::Selu(a, b) => {
            let elu = graph.elu(x, a)?;
            Ok(graph.affine(elu, b, 0.0))
        }
        Activation::Celu(a) => {
            let scaled = graph.affine(x, 1.0 / a, 0.0);
            let elu = graph.elu(scaled, 1.0)?;
            Ok(graph.affine(elu, a, 0.0))
        }
        Activation::Mish => {
            let softplus = graph.unary(Unary::Softplus, x);
            let gate = graph.unary(Unary::Tanh, softplus);
            graph.multiply(x, gate)
        }
        Activation::Softsign => {
            let size = graph.unary(Unary::Abs, x);
            let divisor = graph.affine(size, 1.0, 1.0);
            graph.binary(graph::Binary::Divide, x, divisor)
        }
        Activation::Erf => Ok(graph.unary(Unary::Erf, x)),
        Activation::Exp => Ok(graph.unary(Unary::Exp, x)),
        Activation::Log => Ok(graph.unary(Unary::Log, x)),
        Activation::Sqrt => Ok(graph.unary(Unary::Sqrt, x)),
        Activation::Abs => Ok(graph.unary(Unary::Abs, x)),
        Activation::Sign => Ok(graph.unary(Unary::Sign, x)),
        Activation::Reciprocal => Ok(graph.unary(Unary::Reciprocal, x)),
        Activation::Power(a) => Ok(graph.power(x, a)),
    }
}

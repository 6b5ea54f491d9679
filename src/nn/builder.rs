//! Builds a [`Net`] layer by layer; the zoo is written with it, and so is a network of your own.
//!
//! Names are PyTorch's. The first mistake is kept and told by [`Builder::finish`], so that a builder reads as a list of
//! layers.

use super::arrangement::{Arrangement, Axis};
use super::layer::{Activation, Arithmetic, Extents, Layer, Pooling};
use super::net::{IMAGES, Net, Node, Value, positions_behind};
use super::slot::{FileOrder, Initial, Role, Slot, Slots};
use super::{ModelError, Normalisation, Problem};
use crate::graph::{self, Convolution};

/// ε of batch normalisation (PyTorch's default).
pub(crate) const BATCH_NORM_EPSILON: f32 = 1e-5;
/// Share of the batch in the running statistics (PyTorch's default).
pub(crate) const BATCH_NORM_MOMENTUM: f32 = 0.1;
/// ε of group normalisation (PyTorch's default).
const GROUP_NORM_EPSILON: f32 = 1e-5;

/// A network under construction.
pub struct Builder {
    problem: Problem,
    nodes: Vec<Node>,
    slots: Vec<Slot>,
    /// Of every value; what follows a mistake has the extents of the images.
    extents: Vec<Extents>,
    mistake: Option<ModelError>,
}

/// How a convolution goes over its image; [`Kernel::new`] and its methods.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    outputs: usize,
    geometry: Convolution,
    bias: bool,
}

impl Kernel {
    /// A square kernel to `outputs` channels, stride 1, padded so that the image keeps its extents, with a bias.
    pub fn new(size: usize, outputs: usize) -> Self {
        Self { outputs, geometry: Convolution::same(size, 1), bias: true }
    }

    /// The same with another stride.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { geometry: Convolution { stride: [stride; 2], ..self.geometry }, ..self }
    }

    /// The same without a bias, as before batch normalisation.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// The same with another geometry.
    #[must_use]
    pub fn geometry(self, geometry: Convolution) -> Self {
        Self { geometry, ..self }
    }

    /// The same with channels in groups that do not see each other.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self { geometry: self.geometry.grouped(groups), ..self }
    }
}

impl Builder {
    /// A network for the images of `problem`, without layers.
    pub fn new(problem: Problem) -> Self {
        let Problem { height, width, channels, .. } = problem;
        let extents = vec![Extents::Image { height, width, channels }];
        Self { problem, nodes: Vec::new(), slots: Vec::new(), extents, mistake: None }
    }

    /// The images.
    pub fn images(&self) -> Value {
        IMAGES
    }

    /// Extents of a value for one image.
    pub fn extents(&self, value: Value) -> Extents {
        self.extents[value.0]
    }

    /// A layer with slots that exist.
    pub fn layer(&mut self, name: &str, layer: Layer, inputs: &[Value]) -> Value {
        let read: Vec<Extents> = inputs.iter().map(|value| self.extents[value.0]).collect();
        let result = layer.result(&read, &self.slots).unwrap_or_else(|problem| {
            self.mistake.get_or_insert(ModelError::Network { node: name.to_string(), problem });
            self.extents[0]
        });
        self.nodes.push(Node { name: name.to_string(), layer, inputs: inputs.to_vec() });
        self.extents.push(result);
        Value(self.nodes.len())
    }

    /// A new slot; its index.
    pub fn slot(
        &mut self,
        name: String,
        extents: &[usize],
        role: Role,
        initial: Initial,
        order: FileOrder,
    ) -> usize {
        self.slots.push(Slot { name, extents: extents.to_vec(), role, initial, order });
        self.slots.len() - 1
    }

    fn bias(&mut self, name: &str, outputs: usize) -> usize {
        self.slot(format!("{name}.bias"), &[outputs], Role::Weight, Initial::Constant(0.0), FileOrder::Same)
    }

    /// A convolution with a weight named `name.weight` and perhaps a bias `name.bias`.
    pub fn convolution(&mut self, x: Value, name: &str, kernel: Kernel) -> Value {
        let Kernel { outputs, geometry, bias } = kernel;
        let inputs = self.extents(x).channels() / geometry.groups.max(1);
        let [rows, columns] = geometry.size;
        let fan_in = (rows * columns * inputs) as f32;
        let (initial, extents) = (Initial::Normal { fan_in, gain: 1.0 }, [rows, columns, inputs, outputs]);
        let weight = self.slot(format!("{name}.weight"), &extents, Role::Weight, initial, FileOrder::Kernel);
        let bias = bias.then(|| self.bias(name, outputs));
        self.layer(name, Layer::Convolution { weight, bias, geometry }, &[x])
    }

    /// A linear layer; an image is flattened first. The gain scales the initial weights: the last layer of a network starts
    /// smaller than layers with ReLU behind them.
    pub fn dense(&mut self, x: Value, name: &str, outputs: usize, gain: f32) -> Value {
        let from = self.extents(x);
        let row = if matches!(from, Extents::Vector { .. }) { x } else { self.flatten(x) };
        let order = match positions_behind(&self.nodes, &self.extents, row) {
            1 => FileOrder::Linear,
            positions => FileOrder::LinearOfImage { positions },
        };
        let (fan_in, inputs) = (from.len() as f32, from.len());
        let initial = Initial::Normal { fan_in, gain };
        let weight =
            self.slot(format!("{name}.weight"), &[1, 1, inputs, outputs], Role::Weight, initial, order);
        let bias = Some(self.bias(name, outputs));
        self.layer(name, Layer::Dense { weight, bias }, &[row])
    }

    /// Batch normalisation with PyTorch's names and constants.
    pub fn batch_norm(&mut self, x: Value, name: &str) -> Value {
        let channels = [self.extents(x).channels()];
        let mut slot = |part: &str, role, value| {
            self.slot(format!("{name}.{part}"), &channels, role, Initial::Constant(value), FileOrder::Same)
        };
        let layer = Layer::BatchNorm {
            scale: slot("weight", Role::Weight, 1.0),
            shift: slot("bias", Role::Weight, 0.0),
            mean: slot("running_mean", Role::Buffer, 0.0),
            variance: slot("running_var", Role::Buffer, 1.0),
            epsilon: BATCH_NORM_EPSILON,
            momentum: BATCH_NORM_MOMENTUM,
        };
        self.layer(name, layer, &[x])
    }

    /// Group normalisation (Wu and He 2018) with PyTorch's names and constant. Each group of channels gets mean 0 and
    /// variance 1 over its channels and all positions of an image. Then each channel has a scale `name.weight` and a shift
    /// `name.bias`. Each of several groups costs some calls of its own: 32 groups take 134 calls forward, and 404 with gradients.
    pub fn group_norm(&mut self, x: Value, name: &str, groups: usize) -> Value {
        let from = self.extents(x);
        let (channels, positions) = (from.channels(), from.positions());
        if groups == 0 || !channels.is_multiple_of(groups) {
            let problem = format!("has {groups} groups, which do not divide {channels} channels");
            self.mistake.get_or_insert(ModelError::Network { node: name.to_string(), problem });
            return x;
        }
        // Memory has the positions in front of the groups. Layer normalisation wants the values of a group side by side.
        let size = channels / groups;
        let apart = groups > 1 && positions > 1;
        let mut y = x;
        if apart {
            let axis = Axis { before: 1, extent: positions, after: channels };
            y = self.layer(name, Layer::Arrange(Arrangement::Swap(axis, groups)), &[y]);
        }
        let (len, epsilon) = (positions * size, GROUP_NORM_EPSILON);
        y = self.layer(name, Layer::LayerNorm { scale: None, shift: None, len, epsilon }, &[y]);
        if apart {
            let axis = Axis { before: 1, extent: groups, after: positions * size };
            y = self.layer(name, Layer::Arrange(Arrangement::Swap(axis, positions)), &[y]);
            y = self.layer(name, Layer::Reshape(from), &[y]);
        }
        for (part, value, function) in [("weight", 1.0, Arithmetic::Multiply), ("bias", 0.0, Arithmetic::Add)]
        {
            // Listings show the two slots, each under its name.
            let name = format!("{name}.{part}");
            let initial = Initial::Constant(value);
            let slot = self.slot(name.clone(), &[channels], Role::Weight, initial, FileOrder::Same);
            y = self.layer(&name, Layer::With { function, slot, reversed: false }, &[y]);
        }
        y
    }

    /// `(x − mean) / deviation` per channel, in buffers `name.mean` and `name.std`.
    pub fn normalise(&mut self, x: Value, name: &str, by: &Normalisation) -> Value {
        let channels = [self.extents(x).channels()];
        if let Err(mistake) = by.check(name, channels[0]) {
            self.mistake.get_or_insert(mistake);
            return x;
        }
        let mut slot = |part: &str, values: &[f32]| {
            let initial = Initial::Values(values.to_vec());
            self.slot(format!("{name}.{part}"), &channels, Role::Buffer, initial, FileOrder::Same)
        };
        let layer = Layer::Normalise { mean: slot("mean", &by.mean), deviation: slot("std", &by.deviation) };
        self.layer(name, layer, &[x])
    }

    /// Any activation.
    pub fn activation(&mut self, x: Value, function: Activation) -> Value {
        self.layer("activation", Layer::Activation(function), &[x])
    }

    /// ReLU.
    pub fn relu(&mut self, x: Value) -> Value {
        self.activation(x, Activation::LeakyRelu(0.0))
    }

    /// Pooling.
    pub fn pool(&mut self, x: Value, pooling: Pooling, window: graph::Window) -> Value {
        self.layer("pool", Layer::Pool(pooling, window), &[x])
    }

    /// The mean over all positions: a row of as many numbers as there are channels.
    pub fn global_mean(&mut self, x: Value) -> Value {
        self.layer("mean", Layer::GlobalMean, &[x])
    }

    /// An image as a row of numbers.
    pub fn flatten(&mut self, x: Value) -> Value {
        self.layer("flatten", Layer::Flatten, &[x])
    }

    /// The sum of two values.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.layer("add", Layer::Add, &[a, b])
    }

    /// The network whose last layer gives the logits.
    ///
    /// # Errors
    /// The first layer that does not fit.
    pub fn finish(self) -> Result<Net, ModelError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let net = Net { problem: self.problem, nodes: self.nodes, slots: Slots::new(self.slots) };
        net.check()?;
        Ok(net)
    }
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;

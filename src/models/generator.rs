//! The perturbation generator G (Table 1 of the paper): from a label, an image and the classifier's
//! gradient image to a perturbation in tanh space.
//!
//! Dense layers on the label; the result, as a small image, is up-convolved twice with the label as constant
//! planes beside it, then image and gradient join. The planes are never made: what they add is known from an image of
//! 3 x 3 (`graph::Borders`), and the up-convolution takes it as biases. Leaky ReLU after every layer but the last, which is
//! linear. The dense result of length (s/4)²·c is read as `[s/4, s/4, c]`.
//!
//! There is no noise among the inputs, so everything before image and gradient join is a function of the label alone, and
//! so is its share of the third up-convolution's sum, which is linear: 95 % of the generator's multiplications. Two ways
//! were weighed: to compute it for every image, as Table 1 is drawn, or for every class, whose rows the images then choose.
//! It is the second where a batch has more images than there are classes (and an image at width 1 is below 92 x 92): the
//! same numbers but for the order of sums, and in the backward pass what came from images of one class is added up before it
//! goes on (`gather_rows`). On lavapipe, at width 1 with 128 images of 10 classes, a training step took 0.72 of the time.

use super::layout::{Layer, LayerKind, ParameterLayout, Weights};
use super::{Init, ModelError, Problem, scaled_channels};
use crate::graph::operation::LEAKY_SLOPE;
use crate::graph::{Borders, Convolution, Epilogue, Graph, GraphError, Tensor, Unary, Window};
use crate::random::Stream;
use serde::{Deserialize, Serialize};

/// Units of the first dense layer at width 1 (Table 1).
const DENSE_UNITS: usize = 1024;
/// Channels of every up-convolution but the last at width 1 (Table 1).
const UP_CHANNELS: usize = 128;
/// Initial weights of the last layer are scaled by this: with unit gain the first perturbations have norms
/// above 10 and wreck the first epoch.
const LAST_LAYER_GAIN: f32 = 0.1;
/// Values per image below which images choose their class's: the gradient runs over them in one dimension of a dispatch, 16 to a
/// workgroup at least.
const VALUES_PER_DISPATCH: usize = 1 << 20;
/// Channels that the widest forms of the kernels take at a time.
const CHANNELS_AT_A_TIME: usize = 8;

/// Which reading of the gradient image the generator sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum GradientInput {
    /// Ten times the gradient of the log-probability of the true class
    Log,
    /// Divided by its L2 norm, times the root of the number of values
    Rms,
    /// Divided by its L2 norm
    L2,
    /// The gradient of the probability, as the paper's formula has it
    Raw,
}

/// What a generator sees, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum GeneratorInput {
    /// The classifier's gradient
    Gradient,
    /// The image
    Image,
    /// The label
    Label,
}

impl GeneratorInput {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gradient, Self::Image, Self::Label];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::Image => "image",
            Self::Label => "label",
        }
    }
}

/// The architecture of a generator; see [`Generator::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    /// Images and classes.
    pub problem: Problem,
    /// Width multiplier; 1 is the paper's.
    pub width: f32,
    /// Its layers and their places.
    pub layout: ParameterLayout,
    /// Inputs that it does not see (Fig. 8): zeros take their place, so that its layers stay what they are.
    pub without: Vec<GeneratorInput>,
}

/// What a generator sees, as tensors of one graph.
#[derive(Clone, Copy, Debug)]
pub struct GeneratorInputs {
    /// Class indices `[n, 1]`.
    pub labels: Tensor,
    /// Images `[n, s, s, c]`.
    pub images: Tensor,
    /// The classifier's gradient by the image, `[n, s, s, c]`.
    pub gradient: Tensor,
}

impl Generator {
    /// The generator for a problem at a width.
    ///
    /// # Errors
    /// If the side is not a multiple of 4 from 8 on, or another size is out of its range.
    pub fn new(problem: Problem, width: f32) -> Result<Self, ModelError> {
        problem.check(width)?;
        let (units, channels) = (scaled_channels(DENSE_UNITS, width), scaled_channels(UP_CHANNELS, width));
        let (k, c, side) = (problem.classes, problem.channels, problem.side);
        let quarter = side / 4;
        let up = |stride| LayerKind::UpConvolution { stride };
        let table = [
            ("fc1", LayerKind::Dense, k, units, 1),
            ("fc2", LayerKind::Dense, units + k, quarter * quarter * channels, 1),
            ("up1", up(2), channels + k, channels, 2 * quarter),
            ("up2", up(2), channels + k, channels, side),
            ("up3", up(1), channels + 2 * c, channels, side),
            ("up4", up(1), channels, c, side),
        ];
        let layers = table
            .into_iter()
            .map(|(name, kind, inputs, outputs, side)| Layer {
                name: format!("generator.{name}"),
                kind,
                inputs,
                outputs,
                side,
                activation: name != "up4",
            })
            .collect();
        Ok(Self { problem, width, layout: ParameterLayout::new(layers), without: Vec::new() })
    }

    /// The same generator, but for inputs that it does not see.
    #[must_use]
    pub fn without(self, inputs: &[GeneratorInput]) -> Self {
        Self { without: inputs.to_vec(), ..self }
    }

    /// Initial weights (normal, scaled as `init` says; the last layer a tenth of that) in the flat layout.
    pub fn initial(&self, init: Init, seed: u64) -> Vec<f32> {
        let mut values = super::initial(&self.layout, init, seed, Stream::GeneratorInit);
        let last = self.layout.entries.last().expect("a generator has layers");
        for value in &mut values[last.weight..][..last.layer.weight_len()] {
            *value *= LAST_LAYER_GAIN;
        }
        values
    }

    /// Appends the forward pass: the perturbation in tanh space, `[n, s, s, c]`.
    pub fn perturbation(
        &self,
        graph: &mut Graph,
        weights: &Weights,
        inputs: GeneratorInputs,
    ) -> Result<Tensor, GraphError> {
        let &[fc1, fc2, up1, up2, [weight, bias], up4] = &weights.layers[..] else {
            unreachable!("a generator has six layers")
        };
        let channels = scaled_channels(UP_CHANNELS, self.width);
        let image = self.seen(graph, GeneratorInput::Image, inputs.images)?;
        let gradient = self.seen(graph, GeneratorInput::Gradient, inputs.gradient)?;
        let weight_of_seen = graph.slice(weight, channels, 2 * self.problem.channels)?;
        let of_seen = up_of_images(graph, [image, gradient], weight_of_seen)?;
        let of_label = [graph.slice(weight, 0, channels)?, bias];
        let h = self.beside_label(graph, [fc1, fc2, up1, up2, of_label], inputs.labels, of_seen)?;
        up(graph, 1, Epilogue::Bias, &[h, up4[0], up4[1]])
    }

    /// The third up-convolution's result, `[n, s, s, channels]`: what it makes of image and gradient, and what it makes of the label by
    /// `layers`, the last of which is its own part for that.
    fn beside_label(
        &self,
        graph: &mut Graph,
        layers: [[Tensor; 2]; 5],
        labels: Tensor,
        of_seen: Tensor,
    ) -> Result<Tensor, GraphError> {
        let classes = self.problem.classes;
        let shape = graph.shape(of_seen);
        if shape.rows() > classes && shape.columns() < VALUES_PER_DISPATCH {
            let every = identity(graph, classes)?;
            let of_every = self.of_label(graph, layers, every)?;
            return graph.gather_rows_leaky(of_every, labels, of_seen);
        }
        let one_hot = graph.one_hot(labels, classes);
        let of_label = self.of_label(graph, layers, one_hot)?;
        let sum = graph.add(of_label, of_seen)?;
        Ok(graph.unary(Unary::LeakyRelu(LEAKY_SLOPE), sum))
    }

    /// What the label alone adds to the third up-convolution's sum, for labels as rows of one 1 and zeros.
    fn of_label(
        &self,
        graph: &mut Graph,
        [fc1, fc2, up1, up2, up3]: [[Tensor; 2]; 5],
        one_hot: Tensor,
    ) -> Result<Tensor, GraphError> {
        let (n, quarter) = (graph.shape(one_hot).rows(), self.problem.side / 4);
        let label = self.seen(graph, GeneratorInput::Label, one_hot)?;
        let h = dense(graph, label, fc1)?;
        let h = graph.concatenate(&[h, label])?;
        let h = dense(graph, h, fc2)?;
        let channels = graph.shape(h).columns() / (quarter * quarter);
        let mut h = graph.reshape(h, &[n, quarter, quarter, channels])?;
        let side = Borders::COARSE_SIDE;
        let one = graph.reshape(label, &[n, 1, 1, self.problem.classes])?;
        let planes = graph.unpool(Window::new(side, side), one, side, side)?;
        for layer in [up1, up2] {
            h = up_beside_planes(graph, h, planes, layer)?;
        }
        up(graph, 1, Epilogue::Bias, &[h, up3[0], up3[1]])
    }

    /// `tensor`, or zeros of its shape if this generator does not see that input.
    fn seen(&self, graph: &mut Graph, input: GeneratorInput, tensor: Tensor) -> Result<Tensor, GraphError> {
        if !self.without.contains(&input) {
            return Ok(tensor);
        }
        let zero = graph.constant(0.0, &[1])?;
        graph.broadcast(zero, &graph.shape(tensor).clone())
    }
}

/// A dense layer is a 1x1 convolution over `n` images of one pixel.
fn dense(graph: &mut Graph, x: Tensor, [weight, bias]: [Tensor; 2]) -> Result<Tensor, GraphError> {
    let [n, inputs] = [graph.shape(x).rows(), graph.shape(x).columns()];
    let row = graph.reshape(x, &[n, 1, 1, inputs])?;
    let y = graph.convolve(Convolution { size: 1, stride: 1 }, Epilogue::BiasLeaky, &[row, weight, bias])?;
    let outputs = graph.shape(y).channels();
    graph.reshape(y, &[n, outputs])
}

/// Up-convolution of `h` with constant planes behind its channels, of which `planes` are a small image.
fn up_beside_planes(
    graph: &mut Graph,
    h: Tensor,
    planes: Tensor,
    [weight, bias]: [Tensor; 2],
) -> Result<Tensor, GraphError> {
    let stride = 2;
    let [channels, more] = [h, planes].map(|tensor| graph.shape(tensor).channels());
    let of_planes = graph.slice(weight, channels, more)?;
    let biases = up(graph, stride, Epilogue::Bias, &[planes, of_planes, bias])?;
    let of_h = graph.slice(weight, 0, channels)?;
    up(graph, stride, Epilogue::BorderBiasLeaky, &[h, of_h, biases])
}

/// Up-convolution of `images` side by side. Zeros follow, in tensor and weight, up to a whole number of channels that kernels take
/// at a time: a few more multiplications open the faster ways to every one of them.
fn up_of_images(graph: &mut Graph, images: [Tensor; 2], weight: Tensor) -> Result<Tensor, GraphError> {
    let [n, height, width, channels] = graph.shape(images[0]).image().expect("images");
    let [mut parts, mut weights] = [images.to_vec(), vec![weight]];
    let missing = (2 * channels).next_multiple_of(CHANNELS_AT_A_TIME) - 2 * channels;
    if missing > 0 {
        parts.push(graph.constant(0.0, &[n, height, width, missing])?);
        let outputs = graph.shape(weight).extents()[2];
        weights.push(graph.constant(0.0, &[3, 3, outputs, missing])?);
    }
    let operands = [graph.concatenate(&parts)?, graph.concatenate(&weights)?];
    up(graph, 1, Epilogue::None, &operands)
}

/// Ones on the diagonal, zeros elsewhere, `[n, n]`. Rows of one 1 and n zeros, read on in rows of n, have each 1 a column
/// further.
fn identity(graph: &mut Graph, n: usize) -> Result<Tensor, GraphError> {
    let (one, zeros) = (graph.constant(1.0, &[n, 1])?, graph.constant(0.0, &[n, n])?);
    let rows = graph.concatenate(&[one, zeros])?;
    graph.view(rows, 0, &[n, n])
}

fn up(
    graph: &mut Graph,
    stride: usize,
    epilogue: Epilogue,
    operands: &[Tensor],
) -> Result<Tensor, GraphError> {
    graph.convolve_input_gradient(Convolution { size: 3, stride }, epilogue, operands)
}

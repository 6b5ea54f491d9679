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

use crate::graph::{Borders, Convolution, Graph, GraphError, Tensor, Unary, Window};
use crate::nn::layer::Extents;
use crate::nn::slot::{FileOrder, Initial, Role, Slot};
use crate::nn::zoo::scaled;
use crate::nn::{Init, LayerSummary, ModelError, Problem, Slots, States, Values};
use crate::random::Stream;
use serde::{Deserialize, Serialize};

/// Units of the first dense layer at width 1 (Table 1).
const DENSE_UNITS: usize = 1024;
/// Channels of every up-convolution but the last at width 1 (Table 1).
const UP_CHANNELS: usize = 128;
/// Slope of leaky ReLU below zero (the paper's library).
const SLOPE: f32 = 0.2;
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
    /// Its weights.
    pub slots: Slots,
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
    /// If the images are not square with a side that is a multiple of 4 from 8 on, or another size is out of its range.
    pub fn new(problem: Problem, width: f32) -> Result<Self, ModelError> {
        problem.check(width)?;
        let side = problem.height;
        if problem.width != side || side < 8 || !side.is_multiple_of(4) {
            return Err(ModelError::Size {
                name: "a perturbation generator for images of",
                value: format!("{side}x{}", problem.width),
                range: "for square images with a side that is a multiple of 4 from 8 to 1024, because it doubles a quarter of \
                        the side twice",
            });
        }
        let slots = layers(problem, width).iter().flat_map(Layer::slots).collect();
        Ok(Self { problem, width, slots: Slots::new(slots), without: Vec::new() })
    }

    /// The same generator, but for inputs that it does not see.
    #[must_use]
    pub fn without(self, inputs: &[GeneratorInput]) -> Self {
        Self { without: inputs.to_vec(), ..self }
    }

    /// Initial weights (normal, scaled as `init` says; the last layer a tenth of that).
    pub fn initial(&self, init: Init, seed: u64) -> Values {
        self.slots.initial(init, seed, Stream::GeneratorInit)
    }

    /// Its live states in `graph`.
    pub fn live(&self, graph: &mut Graph) -> Result<States, GraphError> {
        self.slots.views(graph, "generator.parameters", "generator.buffers")
    }

    /// The layers in order.
    pub fn layers(&self) -> Vec<LayerSummary> {
        let summary = |layer: Layer| LayerSummary {
            name: layer.name.to_string(),
            inputs: layer.inputs,
            result: match layer.kind {
                Kind::Dense => Extents::Vector { len: layer.outputs },
                Kind::Up { .. } => {
                    Extents::Image { height: layer.side, width: layer.side, channels: layer.outputs }
                }
            },
            parameters: layer.weight_len() + layer.outputs,
            multiply_adds: layer.multiply_adds(),
        };
        layers(self.problem, self.width).into_iter().map(summary).collect()
    }

    /// Appends the forward pass: the perturbation in tanh space, `[n, s, s, c]`.
    pub fn perturbation(
        &self,
        graph: &mut Graph,
        states: &States,
        inputs: GeneratorInputs,
    ) -> Result<Tensor, GraphError> {
        let layers: Vec<[Tensor; 2]> = states.tensors.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
        let &[fc1, fc2, up1, up2, [weight, bias], up4] = &layers[..] else {
            unreachable!("a generator has six layers")
        };
        let channels = scaled(UP_CHANNELS, self.width);
        let image = self.seen(graph, GeneratorInput::Image, inputs.images)?;
        let gradient = self.seen(graph, GeneratorInput::Gradient, inputs.gradient)?;
        let weight_of_seen = graph.slice(weight, channels, 2 * self.problem.channels)?;
        let of_seen = up_of_images(graph, [image, gradient], weight_of_seen)?;
        let of_label = [graph.slice(weight, 0, channels)?, bias];
        let h = self.beside_label(graph, [fc1, fc2, up1, up2, of_label], inputs.labels, of_seen)?;
        up_with_bias(graph, 1, h, up4)
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
            return graph.gather_rows_leaky(SLOPE, of_every, labels, of_seen);
        }
        let one_hot = graph.one_hot(labels, classes);
        let of_label = self.of_label(graph, layers, one_hot)?;
        let sum = graph.add(of_label, of_seen)?;
        Ok(graph.unary(Unary::LeakyRelu(SLOPE), sum))
    }

    /// What the label alone adds to the third up-convolution's sum, for labels as rows of one 1 and zeros.
    fn of_label(
        &self,
        graph: &mut Graph,
        [fc1, fc2, up1, up2, up3]: [[Tensor; 2]; 5],
        one_hot: Tensor,
    ) -> Result<Tensor, GraphError> {
        let (n, quarter) = (graph.shape(one_hot).rows(), self.problem.height / 4);
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
        up_with_bias(graph, 1, h, up3)
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

/// What a layer computes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Matrix multiplication.
    Dense,
    /// 3x3 transposed convolution.
    Up {
        /// 1 or 2.
        stride: usize,
    },
}

/// One line of Table 1.
#[derive(Clone, Copy)]
struct Layer {
    name: &'static str,
    kind: Kind,
    inputs: usize,
    outputs: usize,
    /// Height and width of its result; 1 for dense layers.
    side: usize,
    /// Multiplies the initial weights.
    gain: f32,
}

impl Layer {
    /// Rows and columns of its kernel.
    fn size(&self) -> usize {
        if self.kind == Kind::Dense { 1 } else { 3 }
    }

    fn weight_len(&self) -> usize {
        self.size() * self.size() * self.inputs * self.outputs
    }

    /// Terms in the sum of one output value. A stride of 2 spreads nine taps over four positions.
    fn fan_in(&self) -> f32 {
        let taps = (self.size() * self.size()) as f32;
        match self.kind {
            Kind::Up { stride } => taps * self.inputs as f32 / (stride * stride) as f32,
            Kind::Dense => taps * self.inputs as f32,
        }
    }

    /// Multiply-adds per image.
    fn multiply_adds(&self) -> u64 {
        let positions = match self.kind {
            Kind::Up { stride } => (self.side / stride).pow(2),
            Kind::Dense => 1,
        };
        (positions * self.weight_len()) as u64
    }

    /// Its weight and its bias.
    fn slots(&self) -> [Slot; 2] {
        let (size, Self { inputs, outputs, gain, .. }) = (self.size(), *self);
        let (extents, order) = match self.kind {
            Kind::Dense => ([1, 1, inputs, outputs], FileOrder::Linear),
            // The image is on the coarse side of a transposed convolution.
            Kind::Up { .. } => ([size, size, outputs, inputs], FileOrder::Kernel),
        };
        let slot = |part: &str, extents: &[usize], initial, order| Slot {
            name: format!("{}.{part}", self.name),
            extents: extents.to_vec(),
            role: Role::Weight,
            initial,
            order,
        };
        let normal = Initial::Normal { fan_in: self.fan_in(), gain };
        [
            slot("weight", &extents, normal, order),
            slot("bias", &[outputs], Initial::Constant(0.0), FileOrder::Same),
        ]
    }
}

/// Table 1 for a problem at a width.
fn layers(problem: Problem, width: f32) -> [Layer; 6] {
    let (units, channels) = (scaled(DENSE_UNITS, width), scaled(UP_CHANNELS, width));
    let (k, c, side) = (problem.classes, problem.channels, problem.height);
    let quarter = side / 4;
    let up = |stride| Kind::Up { stride };
    [
        ("fc1", Kind::Dense, k, units, 1, 1.0),
        ("fc2", Kind::Dense, units + k, quarter * quarter * channels, 1, 1.0),
        ("up1", up(2), channels + k, channels, 2 * quarter, 1.0),
        ("up2", up(2), channels + k, channels, side, 1.0),
        ("up3", up(1), channels + 2 * c, channels, side, 1.0),
        ("up4", up(1), channels, c, side, LAST_LAYER_GAIN),
    ]
    .map(|(name, kind, inputs, outputs, side, gain)| Layer { name, kind, inputs, outputs, side, gain })
}

/// A dense layer is a 1x1 convolution over `n` images of one pixel.
fn dense(graph: &mut Graph, x: Tensor, [weight, bias]: [Tensor; 2]) -> Result<Tensor, GraphError> {
    let [n, inputs] = [graph.shape(x).rows(), graph.shape(x).columns()];
    let row = graph.reshape(x, &[n, 1, 1, inputs])?;
    let sum = graph.convolve(Convolution::same(1, 1), row, weight)?;
    let biased = graph.add(sum, bias)?;
    let y = graph.unary(Unary::LeakyRelu(SLOPE), biased);
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
    let biases = up_with_bias(graph, stride, planes, [of_planes, bias])?;
    let of_h = graph.slice(weight, 0, channels)?;
    graph.convolve_transposed_with_borders(Convolution::same(3, stride), SLOPE, [h, of_h, biases])
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
    let [side, weight] = [graph.concatenate(&parts)?, graph.concatenate(&weights)?];
    graph.convolve_transposed(Convolution::same(3, 1), side, weight)
}

/// Ones on the diagonal, zeros elsewhere, `[n, n]`. Rows of one 1 and n zeros, read on in rows of n, have each 1 a column
/// further.
fn identity(graph: &mut Graph, n: usize) -> Result<Tensor, GraphError> {
    let (one, zeros) = (graph.constant(1.0, &[n, 1])?, graph.constant(0.0, &[n, n])?);
    let rows = graph.concatenate(&[one, zeros])?;
    graph.view(rows, 0, &[n, n])
}

fn up_with_bias(
    graph: &mut Graph,
    stride: usize,
    x: Tensor,
    [weight, bias]: [Tensor; 2],
) -> Result<Tensor, GraphError> {
    let sum = graph.convolve_transposed(Convolution::same(3, stride), x, weight)?;
    graph.add(sum, bias)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIFAR: Problem = Problem { height: 32, width: 32, channels: 3, classes: 10 };

    #[test]
    fn the_papers_generator_has_the_papers_parameter_count() {
        assert_eq!(Generator::new(CIFAR, 1.0).unwrap().slots.parameters(), 8_966_147);
    }

    #[test]
    fn a_forward_pass_costs_what_the_paper_sized_network_costs() {
        let generator = Generator::new(CIFAR, 1.0).unwrap();
        let work: u64 = generator.layers().iter().map(|layer| layer.multiply_adds).sum();
        assert!((215..=225).contains(&(work / 1_000_000)), "{work}");
    }

    #[test]
    fn images_that_it_cannot_make_are_refused() {
        for (height, width) in [(30, 30), (32, 64), (4, 4)] {
            let error = Generator::new(Problem { height, width, ..CIFAR }, 1.0).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{height}x{width}")) && error.contains("multiple of 4"),
                "{error}"
            );
        }
        assert!(Generator::new(CIFAR, 0.0).is_err());
    }
}

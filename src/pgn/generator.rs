//! The perturbation generator G (Table 1 of the paper): from a label, an image and the classifier's
//! gradient image to a perturbation in tanh space.
//!
//! Dense layers on the label; the result, as a small image, is up-convolved twice with the label as constant
//! planes beside it, then image and gradient join. The planes are never made: what they add is known from an image of
//! 3 x 3 (`graph::Borders`), and the up-convolution takes it as biases. Leaky ReLU after every layer but the last, which is
//! linear. The dense result of length (s/4)²·c is read as `[s/4, s/4, c]`.
//!
//! The paper's generator has no noise input, and a recipe's noise joins where the image does, so everything before is a function
//! of the label alone, and so is its share of the third up-convolution's sum, which is linear: 95 % of the generator's
//! multiplications. Two ways were weighed: to compute it for every image, as Table 1 is drawn, or for every class, whose rows the
//! images then choose. It is the second where a batch has more images than there are classes (and an image at width 1 is below
//! 92 x 92): the same numbers but for the order of sums, and in the backward pass what came from images of one class is added up
//! before it goes on (`gather_rows`). On lavapipe, at width 1 with 128 images of 10 classes, a training step took 0.72 of the
//! time.
//!
//! A [`Recipe`] may give it a noise image beside the gradient, further up-convolutions before the last, and batch
//! normalisation between the sums and the activations of the hidden layers that see the image. The label's layers have none:
//! they are computed per class, so a batch has no statistics of theirs. Several generators that share a batch are one
//! [`Generator`] of several members, which differ in nothing but their weights.

use super::layers::{Kind, Layer, channels_at, layers};
use super::recipe::{GeneratorInput, Recipe};
use crate::graph::{Borders, Convolution, Graph, GraphError, Tensor, Unary, Window};
use crate::nn::batch_norm::{self, Statistics};
use crate::nn::builder::{BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM};
use crate::nn::layer::Extents;
use crate::nn::slot::Slot;
use crate::nn::{Init, LayerSummary, ModelError, Pass, Problem, Slots, States, Values};
use crate::random::Stream;

/// Slope of leaky ReLU below zero (the paper's library).
const SLOPE: f32 = 0.2;
/// Values per image below which images choose their class's: the gradient runs over them in one dimension of a dispatch, 16 to a
/// workgroup at least.
const VALUES_PER_DISPATCH: usize = 1 << 20;
/// Channels that the widest forms of the kernels take at a time.
const CHANNELS_AT_A_TIME: usize = 8;

/// The architecture of a generator; see [`Generator::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    /// Images and classes.
    pub problem: Problem,
    /// Width multiplier; 1 is the paper's.
    pub width: f32,
    /// How it is built and moves.
    pub recipe: Recipe,
    /// Its weights; those of several members one after the other.
    pub slots: Slots,
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
    /// Standard normal numbers, `[n, s, s, c]`, for one that takes them.
    pub noise: Option<Tensor>,
}

impl Generator {
    /// The paper's generator for a problem at a width.
    ///
    /// # Errors
    /// If the images are not square with a side that is a multiple of 4 from 8 on, or another size is out of its range.
    pub fn new(problem: Problem, width: f32) -> Result<Self, ModelError> {
        Self::of(problem, width, Recipe::default())
    }

    /// The generator of a recipe, beside a classifier of this width.
    ///
    /// # Errors
    /// Those of [`Generator::new`], and a recipe whose numbers are out of their ranges.
    pub fn of(problem: Problem, width: f32, recipe: Recipe) -> Result<Self, ModelError> {
        let width = recipe.width.unwrap_or(width);
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
        if !recipe.is_possible() {
            return Err(ModelError::Size {
                name: "a perturbation generator of the recipe",
                value: format!("{recipe:?}"),
                range: "one with 1 to 20 rounds, 1 to 8 members, at most 16 more layers and a finite radius",
            });
        }
        let own: Vec<Slot> = layers(problem, width, &recipe).iter().flat_map(Layer::slots).collect();
        let of_member = |member: u32| {
            own.iter().map(move |slot| Slot { name: format!("{member}.{}", slot.name), ..slot.clone() })
        };
        let slots = match recipe.members {
            1 => own,
            members => (0..members).flat_map(of_member).collect(),
        };
        Ok(Self { problem, width, recipe, slots: Slots::new(slots) })
    }

    /// How many generators it is.
    pub fn members(&self) -> usize {
        self.recipe.members as usize
    }

    /// Initial weights (normal, scaled as `init` says; the last layer a tenth of that).
    pub fn initial(&self, init: Init, seed: u64) -> Values {
        self.slots.initial(init, seed, Stream::GeneratorInit)
    }

    /// Its live states in `graph`.
    pub fn live(&self, graph: &mut Graph) -> Result<States, GraphError> {
        self.slots.views(graph, "generator.parameters", "generator.buffers")
    }

    /// The layers in order, of one member.
    pub fn layers(&self) -> Vec<LayerSummary> {
        let summary = |layer: Layer| LayerSummary {
            inputs: layer.inputs,
            result: match layer.kind {
                Kind::Dense => Extents::Vector { len: layer.outputs },
                Kind::Up { .. } => {
                    Extents::Image { height: layer.side, width: layer.side, channels: layer.outputs }
                }
            },
            parameters: layer.slots().iter().filter(|slot| slot.is_learned()).map(Slot::len).sum(),
            multiply_adds: layer.multiply_adds(),
            name: layer.name,
        };
        layers(self.problem, self.width, &self.recipe).into_iter().map(summary).collect()
    }

    /// Appends the forward pass of one member: what it makes of all images, before that is composed with them or scaled.
    pub fn output(
        &self,
        graph: &mut Graph,
        (states, member): (&States, usize),
        inputs: GeneratorInputs,
        pass: Pass,
    ) -> Result<Tensor, GraphError> {
        let own = states.tensors.len() / self.members();
        let mut tensors = states.tensors[member * own..][..own].iter().copied();
        let mut next = || tensors.next().expect("a generator has the tensors of its layers");
        let mut pair = || [next(), next()];
        let [fc1, fc2, up1, up2, [weight, bias]] = [pair(), pair(), pair(), pair(), pair()];
        let channels = channels_at(self.width);
        let mut seen = vec![
            self.seen(graph, GeneratorInput::Image, inputs.images)?,
            self.seen(graph, GeneratorInput::Gradient, inputs.gradient)?,
        ];
        seen.extend(inputs.noise.filter(|_| self.recipe.noise));
        let weight_of_seen = graph.slice(weight, channels, seen.len() * self.problem.channels)?;
        let of_seen = up_of_images(graph, &seen, weight_of_seen)?;
        let of_label = [graph.slice(weight, 0, channels)?, bias];
        let label = [fc1, fc2, up1, up2, of_label];
        if !self.recipe.batch_norm {
            let mut h = self.beside_label(graph, label, inputs.labels, (of_seen, SLOPE))?;
            for _ in 0..self.recipe.depth {
                let sum = up_with_bias(graph, 1, h, [next(), next()])?;
                h = graph.unary(Unary::LeakyRelu(SLOPE), sum);
            }
            return up_with_bias(graph, 1, h, [next(), next()]);
        }
        let sum = self.beside_label(graph, label, inputs.labels, (of_seen, 1.0))?;
        let mut h = normalised(graph, sum, [next(), next(), next(), next()], pass)?;
        for _ in 0..self.recipe.depth {
            let sum = up_with_bias(graph, 1, h, [next(), next()])?;
            h = normalised(graph, sum, [next(), next(), next(), next()], pass)?;
        }
        up_with_bias(graph, 1, h, [next(), next()])
    }

    /// The third up-convolution's result, `[n, s, s, channels]`: what it makes of image and gradient, and what it makes of the label by
    /// `layers`, the last of which is its own part for that; after leaky ReLU with a slope, which 1 leaves out.
    fn beside_label(
        &self,
        graph: &mut Graph,
        layers: [[Tensor; 2]; 5],
        labels: Tensor,
        (of_seen, slope): (Tensor, f32),
    ) -> Result<Tensor, GraphError> {
        let classes = self.problem.classes;
        let shape = graph.shape(of_seen);
        if shape.rows() > classes && shape.columns() < VALUES_PER_DISPATCH {
            let every = identity(graph, classes)?;
            let of_every = self.of_label(graph, layers, every)?;
            return graph.gather_rows_leaky(slope, of_every, labels, of_seen);
        }
        let one_hot = graph.one_hot(labels, classes);
        let of_label = self.of_label(graph, layers, one_hot)?;
        let sum = graph.add(of_label, of_seen)?;
        Ok(if slope < 1.0 { graph.unary(Unary::LeakyRelu(slope), sum) } else { sum })
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
        if !self.recipe.without.contains(&input) {
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
fn up_of_images(graph: &mut Graph, images: &[Tensor], weight: Tensor) -> Result<Tensor, GraphError> {
    let [n, height, width, channels] = graph.shape(images[0]).image().expect("images");
    let [mut parts, mut weights] = [images.to_vec(), vec![weight]];
    let channels = images.len() * channels;
    let missing = channels.next_multiple_of(CHANNELS_AT_A_TIME) - channels;
    if missing > 0 {
        parts.push(graph.constant(0.0, &[n, height, width, missing])?);
        let outputs = graph.shape(weight).extents()[2];
        weights.push(graph.constant(0.0, &[3, 3, outputs, missing])?);
    }
    let [side, weight] = [graph.concatenate(&parts)?, graph.concatenate(&weights)?];
    graph.convolve_transposed(Convolution::same(3, 1), side, weight)
}

/// Leaky ReLU of `sum`, normalised by the batch or by the running statistics; `numbers` are scale, shift, running mean and
/// running variance.
fn normalised(
    graph: &mut Graph,
    sum: Tensor,
    numbers: [Tensor; 4],
    pass: Pass,
) -> Result<Tensor, GraphError> {
    let [scale, shift, mean, variance] = numbers;
    let (epsilon, momentum) = (BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM);
    let numbers = Statistics { scale, shift, mean, variance, epsilon, momentum };
    let normalised = match pass {
        Pass::Train { real, update_statistics } => {
            batch_norm::train(graph, numbers, sum, real, update_statistics)?
        }
        Pass::Evaluate => {
            let (scale, shift) = batch_norm::affine(graph, numbers)?;
            let scaled = graph.multiply(sum, scale)?;
            graph.add(scaled, shift)?
        }
    };
    Ok(graph.unary(Unary::LeakyRelu(SLOPE), normalised))
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

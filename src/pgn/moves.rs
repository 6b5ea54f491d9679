//! The generator's move: what it sees of the classifier's gradient, and the image that it answers with (equation 5).
//!
//! Of several *rounds* each sees the image that the ones before have made, and the gradient there. Their outputs are added
//! up before they become an image, so that equation 5, which is a sum in tanh space, stays what it is. What a round sees is a
//! constant to it unless gradients are to flow through the attack.
//!
//! With a ball, the summed output is a direction in pixel space. In L2 it is scaled to the radius; in Linf its hyperbolic
//! tangents are, so that many pixels can have the whole radius; then the box.

use super::generator::{Generator, GeneratorInputs};
use super::recipe::{GeneratorBall, GradientInput, Recipe};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};
use crate::nn::{Classifier, Pass, States};
use crate::threat::{Norm, ball};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Scale of the `log` reading of the gradient image.
const LOG_GRADIENT_SCALE: f32 = 10.0;
/// Gradients and outputs of smaller norm count as zero when they are normalised.
const SMALLEST_NORM: f32 = 1e-12;

/// The generator's move in one graph.
#[derive(Clone, Copy)]
pub struct Move {
    /// The generator's output, in tanh space or, with a ball, a direction.
    pub output: Tensor,
    /// Equation 5, or the image at the ball's radius.
    pub adversarial: Tensor,
    /// `x_adv − x` in pixel space.
    pub delta: Tensor,
    /// ‖δ‖² per image.
    pub norm2: Tensor,
}

/// What a generator answers to, as tensors of one graph.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The generator.
    pub generator: &'a Generator,
    /// Its states.
    pub states: &'a States,
    /// With which statistics its batch normalisation computes.
    pub pass: Pass,
    /// The classifier whose gradients it sees.
    pub classifier: Classifier<'a>,
    /// The images, `[n, s, s, c]`.
    pub images: Tensor,
    /// Their classes, `[n, 1]`.
    pub labels: Tensor,
    /// The classifier's logits of the images and their cross-entropy.
    pub clean: [Tensor; 2],
    /// Standard normal numbers like the images, for a generator that takes them.
    pub noise: Option<Tensor>,
    /// Whether gradients flow through what a round sees.
    pub through: bool,
}

/// Which members of a generator answer.
#[derive(Clone, Copy)]
enum Voices {
    /// This one, to all images.
    One(usize),
    /// All, each to a share of the batch.
    Shared,
}

impl Turn<'_> {
    /// The answer that a classifier is trained against: the members share the batch, one after the other.
    pub fn shared(&self, graph: &mut Graph) -> Result<Move> {
        let voices = if self.generator.members() == 1 { Voices::One(0) } else { Voices::Shared };
        self.by(graph, voices)
    }

    /// The answer that a classifier is attacked with: every member answers to every image, and the one that raises the
    /// cross-entropy most is kept.
    pub fn strongest(&self, graph: &mut Graph) -> Result<Move> {
        let mut best = self.by(graph, Voices::One(0))?;
        if self.generator.members() == 1 {
            return Ok(best);
        }
        let mut highest = self.loss(graph, best.adversarial)?[1];
        for member in 1..self.generator.members() {
            let other = self.by(graph, Voices::One(member))?;
            let loss = self.loss(graph, other.adversarial)?[1];
            let wins = graph.binary(Binary::Greater, loss, highest)?;
            highest = chosen(graph, wins, [loss, highest])?;
            let output = chosen(graph, wins, [other.output, best.output])?;
            let adversarial = chosen(graph, wins, [other.adversarial, best.adversarial])?;
            best = Move::to(graph, self.images, output, adversarial)?;
        }
        Ok(best)
    }

    /// The classifier's logits of `images` and their cross-entropy.
    fn loss(&self, graph: &mut Graph, images: Tensor) -> Result<[Tensor; 2]> {
        let logits = self.classifier.logits(graph, images)?;
        Ok([logits, graph.cross_entropy(logits, self.labels)?])
    }

    fn by(&self, graph: &mut Graph, voices: Voices) -> Result<Move> {
        let recipe = &self.generator.recipe;
        let mut answer = self.round(graph, voices, (self.images, self.clean), None)?;
        for _ in 1..recipe.rounds {
            let seen = if self.through { answer.adversarial } else { graph.detach(answer.adversarial) };
            let there = self.loss(graph, seen)?;
            answer = self.round(graph, voices, (seen, there), Some(answer.output))?;
        }
        Ok(answer)
    }

    /// One round at the images `seen`, whose logits and cross-entropy are given; `before` is the sum of earlier outputs.
    fn round(
        &self,
        graph: &mut Graph,
        voices: Voices,
        (seen, [logits, loss]): (Tensor, [Tensor; 2]),
        before: Option<Tensor>,
    ) -> Result<Move> {
        let (labels, recipe) = (self.labels, &self.generator.recipe);
        let seen_loss = recipe.gradient_of.value(graph, [logits, loss], labels)?;
        let mut gradient = gradient_image(graph, recipe.gradient_input, seen_loss, seen)?;
        if !self.through {
            gradient = graph.detach(gradient);
        }
        let inputs = GeneratorInputs { labels, images: seen, gradient, noise: self.noise };
        let own = match voices {
            Voices::One(member) => self.generator.output(graph, (self.states, member), inputs, self.pass)?,
            Voices::Shared => self.joined(graph, inputs)?,
        };
        let output = match before {
            None => own,
            Some(before) => graph.add(before, own)?,
        };
        let adversarial = placed(graph, recipe, self.images, output)?;
        Move::to(graph, self.images, output, adversarial)
    }

    /// The outputs of all members, each for its own share of the batch, in the order of the images.
    fn joined(&self, graph: &mut Graph, inputs: GeneratorInputs) -> Result {
        let extents = graph.shape(inputs.images).extents().to_vec();
        let mut parts = Vec::new();
        for (member, (start, len)) in shares(extents[0], self.generator.members()).into_iter().enumerate() {
            let mut of = |tensor| rows(graph, tensor, start, len);
            let own = GeneratorInputs {
                labels: of(inputs.labels)?,
                images: of(inputs.images)?,
                gradient: of(inputs.gradient)?,
                noise: inputs.noise.map(&mut of).transpose()?,
            };
            let pass = match self.pass {
                Pass::Evaluate => Pass::Evaluate,
                Pass::Train { real, update_statistics } => Pass::Train { real: of(real)?, update_statistics },
            };
            let part = self.generator.output(graph, (self.states, member), own, pass)?;
            let values = graph.shape(part).len();
            parts.push(graph.reshape(part, &[1, values])?);
        }
        let all = graph.concatenate(&parts)?;
        graph.reshape(all, &extents)
    }
}

/// The first image of each member's share of `images`, and how many there are.
fn shares(images: usize, members: usize) -> Vec<(usize, usize)> {
    let start = |member: usize| images * member / members;
    (0..members).map(|member| (start(member), start(member + 1) - start(member))).collect()
}

/// `len` rows of `x` from `start` on.
fn rows(graph: &mut Graph, x: Tensor, start: usize, len: usize) -> Result {
    let (columns, values) = (graph.shape(x).columns(), graph.shape(x).len());
    let mut extents = graph.shape(x).extents().to_vec();
    extents[0] = len;
    let line = graph.reshape(x, &[1, values])?;
    let own = graph.slice(line, start * columns, len * columns)?;
    graph.reshape(own, &extents)
}

/// Per image the first of two tensors where `first` is 1, and the second where it is 0.
fn chosen(graph: &mut Graph, first: Tensor, [one, other]: [Tensor; 2]) -> Result {
    let second = graph.affine(first, -1.0, 1.0);
    let one = graph.binary(Binary::Select, one, first)?;
    let other = graph.binary(Binary::Select, other, second)?;
    graph.add(one, other)
}

impl Move {
    /// The move from `images` to `adversarial`.
    fn to(graph: &mut Graph, images: Tensor, output: Tensor, adversarial: Tensor) -> Result<Self> {
        let delta = graph.subtract(adversarial, images)?;
        let square = graph.unary(Unary::Square, delta);
        let norm2 = graph.sum_columns(square);
        Ok(Self { output, adversarial, delta, norm2 })
    }
}

/// The image that `output` makes of `images`.
fn placed(graph: &mut Graph, recipe: &Recipe, images: Tensor, output: Tensor) -> Result {
    let Some(GeneratorBall { norm, epsilon }) = recipe.ball else {
        return graph.binary(Binary::Compose, images, output);
    };
    let offset = match norm {
        Norm::L2 => normalised(graph, output, epsilon)?,
        Norm::Linf => {
            let bounded = graph.unary(Unary::Tanh, output);
            let absolute = graph.unary(Unary::Abs, bounded);
            let largest = graph.max_columns(absolute)?;
            let floored = graph.unary(Unary::Clamp(SMALLEST_NORM, f32::MAX), largest);
            let inverse = graph.unary(Unary::Reciprocal, floored);
            let unit = graph.multiply(bounded, inverse)?;
            graph.affine(unit, epsilon, 0.0)
        }
    };
    let moved = graph.add(images, offset)?;
    Ok(ball::clip(graph, moved))
}

/// The gradient image: the gradient of `loss` by `images`, read as `reading` says.
pub fn gradient_image(graph: &mut Graph, reading: GradientInput, loss: Tensor, images: Tensor) -> Result {
    let one = graph.constant(1.0, &[1])?;
    let ones = graph.broadcast(one, &graph.shape(loss).clone())?;
    let gradient = graph.gradient(loss, ones, &[images])?[0];
    match reading {
        GradientInput::Log => Ok(graph.affine(gradient, -LOG_GRADIENT_SCALE, 0.0)),
        GradientInput::Raw => {
            // ∇p = p ∇log p, and p = exp(−CE).
            let negative = graph.affine(loss, -1.0, 0.0);
            let probability = graph.unary(Unary::Exp, negative);
            let scaled = graph.multiply(gradient, probability)?;
            Ok(graph.affine(scaled, -1.0, 0.0))
        }
        GradientInput::L2 => normalised(graph, gradient, -1.0),
        GradientInput::Rms => {
            let values = graph.shape(images).columns() as f32;
            normalised(graph, gradient, -values.sqrt())
        }
    }
}

/// `scale · x / ‖x‖` per image; zeros stay zeros.
fn normalised(graph: &mut Graph, x: Tensor, scale: f32) -> Result {
    let square = graph.unary(Unary::Square, x);
    let norm2 = graph.sum_columns(square);
    let floored = graph.unary(Unary::Clamp(SMALLEST_NORM * SMALLEST_NORM, f32::MAX), norm2);
    let norm = graph.unary(Unary::Sqrt, floored);
    let inverse = graph.unary(Unary::Reciprocal, norm);
    let unit = graph.multiply(x, inverse)?;
    Ok(graph.affine(unit, scale, 0.0))
}

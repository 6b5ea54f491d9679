//! The generator's move: what it sees of the classifier's gradient, and the image that it answers with (equation 5).

use super::generator::{Generator, GeneratorInputs, GradientInput};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};
use crate::nn::States;

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Scale of the `log` reading of the gradient image.
const LOG_GRADIENT_SCALE: f32 = 10.0;
/// Gradients of smaller norm count as zero when they are normalised.
const SMALLEST_NORM: f32 = 1e-12;

/// The generator's move in one graph.
#[derive(Clone, Copy)]
pub struct Move {
    /// The generator's output, in tanh space.
    pub output: Tensor,
    /// Equation 5.
    pub adversarial: Tensor,
    /// `x_adv − x` in pixel space.
    pub delta: Tensor,
    /// ‖δ‖² per image.
    pub norm2: Tensor,
}

/// The generator's answer to `images`, given the gradient image.
pub fn generator_move(
    graph: &mut Graph,
    generator: &Generator,
    states: &States,
    inputs: GeneratorInputs,
) -> Result<Move> {
    let output = generator.perturbation(graph, states, inputs)?;
    let adversarial = graph.binary(Binary::Compose, inputs.images, output)?;
    let delta = graph.subtract(adversarial, inputs.images)?;
    let square = graph.unary(Unary::Square, delta);
    let norm2 = graph.sum_columns(square);
    Ok(Move { output, adversarial, delta, norm2 })
}

/// The gradient image from the clean cross-entropy of images that were fed to the classifier.
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

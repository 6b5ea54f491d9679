//! The direction in which the cross-entropy of an image grows, and how it is brought to a length.
//!
//! `∇x CE = (1 − p_y) Σ_{j≠y} q_j (∇z_j − ∇z_y)` with q the softmax over the other classes. Where only the direction
//! matters, the factor `1 − p_y`, which underflows for images the classifier is sure of, is left out.

use super::options::Norm;
use crate::graph::{Graph, GraphError, Tensor, Unary};
use crate::nn::Classifier;
use serde::{Deserialize, Serialize};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Which gradient of the cross-entropy an attack follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum CeForm {
    /// Without the factor that vanishes for confident images
    SaturationFree,
    /// As it stands, with a floor under its norm
    Plain,
}

/// Gradients of smaller norm are not stretched to unit length in the plain form (the library's floor).
const PLAIN_FLOOR: f32 = 1e-6;
/// The same for the saturation-free form, where only an exactly flat classifier comes near it.
const FLAT_FLOOR: f32 = 1e-20;
/// Gradients are multiplied by this before they are squared.
const GRADIENT_SCALE: f32 = 1e6;
/// Takes a class out of a softmax.
const EXCLUDED: f32 = -1e9;

/// The gradient by `images` that an attack on `labels` follows: `[n, s, s, c]`.
pub fn gradient(
    graph: &mut Graph,
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    form: CeForm,
) -> Result {
    let logits = classifier.logits(graph, images)?;
    match form {
        CeForm::Plain => {
            let loss = graph.cross_entropy(logits, labels)?;
            let one = graph.constant(1.0, &[1])?;
            Ok(graph.gradient(loss, one, &[images])?[0])
        }
        CeForm::SaturationFree => {
            let feed = saturation_free_feed(graph, logits, labels)?;
            Ok(graph.gradient(logits, feed, &[images])?[0])
        }
    }
}

/// What the logits are fed: the softmax over the other classes, −1 at the label.
fn saturation_free_feed(graph: &mut Graph, logits: Tensor, labels: Tensor) -> Result {
    let classes = graph.shape(logits).columns();
    let one_hot = graph.one_hot(labels, classes);
    let excluded = graph.affine(one_hot, EXCLUDED, 0.0);
    let others = graph.add(logits, excluded)?;
    let q = graph.softmax(others);
    graph.subtract(q, one_hot)
}

/// The direction of steepest ascent of length 1 under `norm`: `x / ‖x‖` per image, or the signs of `x`. An image without a
/// gradient keeps zeros.
pub fn unit(graph: &mut Graph, x: Tensor, form: CeForm, norm: Norm) -> Result {
    if norm == Norm::Linf {
        return Ok(graph.unary(Unary::Sign, x));
    }
    let floor = match form {
        CeForm::Plain => PLAIN_FLOOR,
        CeForm::SaturationFree => FLAT_FLOOR,
    };
    // Scaled so that the squares of small gradients stay normal numbers.
    let scaled = graph.affine(x, GRADIENT_SCALE, 0.0);
    let square = graph.unary(Unary::Square, scaled);
    let norm2 = graph.sum_columns(square);
    let floor = (floor * GRADIENT_SCALE).powi(2).max(f32::MIN_POSITIVE);
    let floored = graph.unary(Unary::Clamp(floor, f32::MAX), norm2);
    let norm = graph.unary(Unary::Sqrt, floored);
    let inverse = graph.unary(Unary::Reciprocal, norm);
    graph.multiply(scaled, inverse)
}

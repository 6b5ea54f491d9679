//! The fast gradient method: one step of length ε along the gradient, `clip(x + ε g / ‖g‖)`.

use super::direction::{self, CeForm};
use crate::graph::{Graph, GraphError, Tensor, Unary};
use crate::models::Classifier;
use crate::models::layout::Weights;

/// The attacked images. `epsilon` is a tensor of one value, in pixel units over the whole image.
pub fn fgm(
    graph: &mut Graph,
    classifier: &Classifier,
    weights: &Weights,
    images: Tensor,
    labels: Tensor,
    epsilon: Tensor,
    form: CeForm,
) -> Result<Tensor, GraphError> {
    let gradient = direction::gradient(graph, classifier, weights, images, labels, form)?;
    let unit = direction::unit(graph, gradient, form)?;
    let step = graph.multiply(unit, epsilon)?;
    let moved = graph.add(images, step)?;
    Ok(graph.unary(Unary::Clamp(0.0, 1.0), moved))
}

//! Staying inside the ball of radius ε around an image, and inside the box of pixels.

use super::options::Norm;
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Norms below this are not scaled: the perturbation is as good as zero.
const SMALLEST_NORM2: f32 = 1e-30;

/// The point of the box nearest to `moved` after its distance from `images` was brought down to `epsilon` (one value).
pub fn project(graph: &mut Graph, images: Tensor, moved: Tensor, epsilon: Tensor, norm: Norm) -> Result {
    let delta = graph.subtract(moved, images)?;
    let inside = match norm {
        Norm::L2 => {
            let length = l2(graph, delta);
            let ratio = graph.binary(Binary::Divide, epsilon, length)?;
            let one = graph.constant(1.0, &[1])?;
            let scale = graph.binary(Binary::Minimum, ratio, one)?;
            graph.multiply(delta, scale)?
        }
        Norm::Linf => {
            let negative = graph.affine(epsilon, -1.0, 0.0);
            let below = graph.binary(Binary::Minimum, delta, epsilon)?;
            graph.binary(Binary::Maximum, below, negative)?
        }
    };
    let x = graph.add(images, inside)?;
    Ok(graph.unary(Unary::Clamp(0.0, 1.0), x))
}

/// The Euclidean norm of each image, with a floor that keeps it away from 0.
pub fn l2(graph: &mut Graph, x: Tensor) -> Tensor {
    let square = graph.unary(Unary::Square, x);
    let sum = graph.sum_columns(square);
    let floored = graph.unary(Unary::Clamp(SMALLEST_NORM2, f32::MAX), sum);
    graph.unary(Unary::Sqrt, floored)
}

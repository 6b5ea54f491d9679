//! What minimum-norm attacks share: lengths of perturbations, the nearest adversarial image so far, and
//! schedules of steps. All of it is per image.

use super::ball;
use super::options::Norm;
use crate::graph::{Graph, GraphError, Tensor, Unary};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// The distance of an adversarial image that was not found: more than any in the box.
pub const NONE: f32 = 1e10;

/// The nearest adversarial image so far.
#[derive(Clone, Copy)]
pub struct Nearest {
    /// The original while there is none.
    pub image: Tensor,
    /// How far it is from the original, `[n, 1]`; [`NONE`] while there is none.
    pub distance: Tensor,
}

impl Nearest {
    /// None yet.
    pub fn none(graph: &mut Graph, images: Tensor) -> Result<Self> {
        Ok(Self { image: images, distance: per_image(graph, images, NONE)? })
    }

    /// Keeps the images of `x` that are `fooled` (1 or 0) and nearer than what was found before.
    pub fn or(self, graph: &mut Graph, x: Tensor, fooled: Tensor, distance: Tensor) -> Result<Self> {
        let [image, distance] = graph.formulas(|f| {
            let [x, fooled, distance] = f.all([x, fooled, distance]);
            let [old, old_distance] = f.all([self.image, self.distance]);
            let nearer = fooled * old_distance.greater(distance);
            [nearer.choose(x, old), nearer.choose(distance, old_distance)]
        })?;
        Ok(Self { image, distance })
    }
}

/// One value for every image, `[n, 1]`.
pub fn per_image(graph: &mut Graph, images: Tensor, value: f32) -> Result {
    let rows = graph.shape(images).rows();
    let value = graph.constant(value, &[rows, 1])?;
    Ok(graph.unary(Unary::Identity, value))
}

/// The length of each perturbation, `[n, 1]`.
pub fn length(graph: &mut Graph, perturbation: Tensor, norm: Norm) -> Result {
    match norm {
        Norm::L2 => Ok(ball::l2(graph, perturbation)),
        Norm::Linf => {
            let absolute = graph.unary(Unary::Abs, perturbation);
            graph.max_columns(absolute)
        }
    }
}

/// The distance from each image to the farthest point of the box, `[n, 1]`.
pub fn reach(graph: &mut Graph, images: Tensor, norm: Norm) -> Result {
    let farthest = graph.formula(|f| {
        let images = f.of(images);
        images.maximum(-images + 1.0)
    })?;
    length(graph, farthest, norm)
}

/// Half a cosine from `first`, which iteration 0 has, to `last`, which iteration `iterations` would have.
pub fn cosine([first, last]: [f32; 2], iteration: usize, iterations: usize) -> f32 {
    let turned = std::f64::consts::PI * iteration as f64 / iterations as f64;
    last + (first - last) * f64::midpoint(1.0, turned.cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_cosine_falls_from_the_first_value_towards_the_last() {
        let at = |iteration| cosine([1.0, 0.01], iteration, 100);
        assert_eq!(at(0), 1.0);
        assert!((at(50) - 0.505).abs() < 1e-6 && (at(99) - 0.010_244).abs() < 1e-6, "{}", at(99));
    }
}

//! The ball of radius ε around an image, in a norm: directions of length 1, points inside, random points to start at.
//! All points are in the box of pixels too.

use super::norm::Norm;
use super::objective::CeForm;
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Norms below this are not scaled: the perturbation is as good as zero.
const SMALLEST_NORM2: f32 = 1e-30;
/// Gradients of smaller norm are not stretched to unit length in the plain form (the library's floor).
const PLAIN_FLOOR: f32 = 1e-6;
/// The same for the saturation-free form, where only an exactly flat classifier comes near it.
const FLAT_FLOOR: f32 = 1e-20;
/// Gradients are multiplied by this before they are squared.
const GRADIENT_SCALE: f32 = 1e6;

/// The direction of steepest ascent of length 1 under `norm`: `x / ‖x‖` per image, or the signs of `x`. An image without a
/// gradient keeps zeros. The form of the gradient decides what counts as none.
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
    Ok(clip(graph, x))
}

/// Where PGD starts at random around `images`, within `epsilon` (one value): in L2 a point of the sphere, in Linf every pixel
/// uniformly within its interval, as Madry et al. do; then the box. `noise` has standard normal numbers.
pub fn random_point(graph: &mut Graph, images: Tensor, noise: Tensor, epsilon: Tensor, norm: Norm) -> Result {
    let offset = match norm {
        Norm::L2 => unit(graph, noise, CeForm::SaturationFree, norm)?,
        Norm::Linf => uniform(graph, noise),
    };
    let offset = graph.multiply(offset, epsilon)?;
    let moved = graph.add(images, offset)?;
    Ok(clip(graph, moved))
}

/// Where AutoAttack's random starts are: in L2 a random point of the sphere; in Linf `x + ε u / max |u|`, u uniform in
/// [−1, 1]; then the box. `noise` has standard normal numbers.
pub fn random_start(graph: &mut Graph, images: Tensor, noise: Tensor, epsilon: f32, norm: Norm) -> Result {
    let length = graph.constant(epsilon, &[1])?;
    if norm == Norm::L2 {
        return random_point(graph, images, noise, length, norm);
    }
    let uniform = uniform(graph, noise);
    let absolute = graph.unary(Unary::Abs, uniform);
    let largest = graph.max_columns(absolute)?;
    let unit = graph.binary(Binary::Divide, uniform, largest)?;
    let offset = graph.multiply(unit, length)?;
    let moved = graph.add(images, offset)?;
    Ok(clip(graph, moved))
}

/// Numbers uniform in [−1, 1]: the distribution function of the standard normal numbers `noise` makes them.
pub fn uniform(graph: &mut Graph, noise: Tensor) -> Tensor {
    let scaled = graph.affine(noise, std::f32::consts::FRAC_1_SQRT_2, 0.0);
    graph.unary(Unary::Erf, scaled)
}

/// The nearest point of the box of pixels.
pub fn clip(graph: &mut Graph, x: Tensor) -> Tensor {
    graph.unary(Unary::Clamp(0.0, 1.0), x)
}

/// The Euclidean norm of each image, with a floor that keeps it away from 0.
pub fn l2(graph: &mut Graph, x: Tensor) -> Tensor {
    let square = graph.unary(Unary::Square, x);
    let sum = graph.sum_columns(square);
    let floored = graph.unary(Unary::Clamp(SMALLEST_NORM2, f32::MAX), sum);
    graph.unary(Unary::Sqrt, floored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Mode;
    use crate::executor::{Device, Workspace};
    use crate::random::{Random, Stream};

    /// How far each of 1,000 pixels in the middle of the box is moved.
    fn offsets(norm: Norm, epsilon: f32) -> Vec<f32> {
        let (mut graph, pixels) = (Graph::new(), 1000);
        let images = graph.constant(0.5, &[1, pixels]).unwrap();
        let noise = graph.input("noise", &[1, pixels]).unwrap();
        let radius = graph.constant(epsilon, &[1]).unwrap();
        let point = random_point(&mut graph, images, noise, radius, norm).unwrap();
        graph.output("point", point);
        let mut session = Workspace::new(Device::Cpu(Mode::Fast)).prepare(&graph).unwrap();
        let random = Random::new(1, Stream::Attack);
        let noise: Vec<f32> = (0..pixels as u32).map(|i| random.normal(0, i)).collect();
        session.write("noise", &noise).unwrap();
        session.compute().unwrap().get("point").iter().map(|x| x - 0.5).collect()
    }

    #[test]
    fn random_starts_are_on_the_sphere_in_l2_and_everywhere_in_the_cube_in_linf() {
        let length = offsets(Norm::L2, 0.25).iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 0.25).abs() < 1e-5, "{length}");
        let mut offsets = offsets(Norm::Linf, 0.25);
        offsets.sort_by(f32::total_cmp);
        // Quantiles of the uniform distribution; 0.03 are four standard errors of the median of 1,000.
        for (share, quantile) in [(0, -0.25), (250, -0.125), (500, 0.0), (750, 0.125), (999, 0.25)] {
            assert!((offsets[share] - quantile).abs() < 0.03, "{share}: {}", offsets[share]);
        }
        assert!(offsets.iter().all(|x| x.abs() <= 0.25 + 1e-6));
    }
}

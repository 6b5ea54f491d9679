//! Projected gradient descent (Madry et al.): steps of length α along the gradient, each followed by the
//! projection onto the ball of radius ε and the box. Starts at the image or at a random point of the sphere.

use super::attacker::{BatchAttack, READ_BACK_INTERVAL};
use super::direction;
use super::fgm::{self, Step};
use super::options::{AttackOptions, Norm};
use super::projection::project;
use super::target::{IMAGES, Target};
use crate::executor::{ExecutionError, Session};
use crate::graph::{Graph, GraphError, Tensor, Unary};
use crate::nn::Classifier;

const CURRENT: &str = "pgd.current";

/// One iteration from `current.images`, projected around `images`.
pub fn iteration(
    graph: &mut Graph,
    classifier: Classifier,
    images: Tensor,
    current: Step,
    epsilon: Tensor,
) -> Result<Tensor, GraphError> {
    let moved = fgm::step(graph, classifier, current)?;
    project(graph, images, moved, epsilon, current.norm)
}

/// A random point of the sphere of radius `epsilon` around `images`, clipped to the box; `seed` as for
/// [`Graph::random_normal`].
pub fn random_start(
    graph: &mut Graph,
    images: Tensor,
    seed: Tensor,
    epsilon: Tensor,
    norm: Norm,
) -> Result<Tensor, GraphError> {
    let extents = graph.shape(images).extents().to_vec();
    let noise = graph.random_normal(seed, &extents)?;
    let unit = direction::unit(graph, noise, direction::CeForm::SaturationFree, norm)?;
    let offset = graph.multiply(unit, epsilon)?;
    let moved = graph.add(images, offset)?;
    Ok(graph.unary(Unary::Clamp(0.0, 1.0), moved))
}

/// The attack over a batch.
pub struct Pgd {
    iterations: usize,
    seed: u64,
    start: Option<Session>,
    iterate: Session,
}

impl Pgd {
    /// Prepares it.
    pub fn new(target: &mut Target, options: &AttackOptions) -> Result<Self, ExecutionError> {
        let start = if options.random_start {
            let mut a = target.graph()?;
            let current = a.graph.state(CURRENT, &target.extents())?;
            let seed = a.graph.input("seed", &[3])?;
            let epsilon = a.graph.constant(options.epsilon, &[1])?;
            let x = random_start(&mut a.graph, a.images, seed, epsilon, options.norm)?;
            a.graph.assign(current, x)?;
            Some(target.prepare(&a.graph)?)
        } else {
            None
        };
        let mut a = target.graph()?;
        let images = a.graph.state(CURRENT, &target.extents())?;
        let epsilon = a.graph.constant(options.epsilon, &[1])?;
        let length = a.graph.constant(options.step(), &[1])?;
        let step = Step { images, labels: a.labels, length, norm: options.norm, form: options.ce_form };
        let x = iteration(&mut a.graph, target.classifier(&a.states), a.images, step, epsilon)?;
        a.graph.assign(images, x)?;
        let iterate = target.prepare(&a.graph)?;
        Ok(Self { iterations: options.iterations, seed: options.seed, start, iterate })
    }
}

impl BatchAttack for Pgd {
    fn attack(&mut self, target: &mut Target, first: usize) -> Result<Vec<f32>, ExecutionError> {
        match &mut self.start {
            Some(start) => {
                // By an image's place in the set, so that the batch size does not matter.
                let noise = [self.seed as u32, 0, (first * target.pixels()) as u32];
                start.write("seed", &noise.map(f32::from_bits))?;
                start.compute()?;
            }
            None => {
                let images = target.workspace.read(IMAGES)?;
                target.workspace.write(CURRENT, &images)?;
            }
        }
        iterate(&mut self.iterate, self.iterations)?;
        target.workspace.read(CURRENT)
    }

    fn goes_by_place(&self) -> bool {
        self.start.is_some()
    }

    fn sessions(&self) -> Vec<&Session> {
        self.start.iter().chain([&self.iterate]).collect()
    }
}

/// Replays a session, waiting now and then so that the queue does not grow without bound.
pub fn iterate(session: &mut Session, iterations: usize) -> Result<(), ExecutionError> {
    let mut last = None;
    for i in 0..iterations {
        let run = session.run()?;
        if i % READ_BACK_INTERVAL == READ_BACK_INTERVAL - 1
            && let Some(earlier) = last.replace(run)
        {
            session.finish(earlier)?;
        }
    }
    Ok(())
}

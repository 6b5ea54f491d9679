//! Attacks that take the same steps for every image. Such an attack says how it starts and what one step does; here this
//! becomes programs that a device replays, or a part of a training step's graph. So evaluation and training run the same
//! attack.
//!
//! What an attack keeps from step to step stays on the device, in states.

use super::driver::{BatchAttack, READ_BACK_INTERVAL};
use super::target::Target;
use crate::executor::{ExecutionError, Session};
use crate::graph::{Graph, GraphError, Tensor};
use crate::nn::Classifier;

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// What an attack sees of the images that it attacks.
#[derive(Clone, Copy)]
pub struct Victim<'a> {
    /// The classifier.
    pub classifier: Classifier<'a>,
    /// The images, `[n, height, width, channels]`.
    pub images: Tensor,
    /// The classes that they are moved away from, `[n, 1]`.
    pub labels: Tensor,
}

/// An attack of the same steps for every image.
pub trait Steps {
    /// How many.
    fn iterations(&self) -> usize;

    /// The seed, for an attack that starts at a random point.
    fn seed(&self) -> Option<u64>;

    /// What is kept before the first step: the images as the attack has moved them, then whatever it needs, each with one
    /// row per image. `seed` is there if [`Steps::seed`] is; see [`Graph::random_normal`].
    fn start(&self, graph: &mut Graph, victim: Victim, seed: Option<Tensor>) -> Result<Vec<Tensor>>;

    /// What is kept after a step. `numbers` are those of [`Steps::numbers`] for this step, one value each.
    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        numbers: &[Tensor],
    ) -> Result<Vec<Tensor>>;

    /// Numbers that change from step to step, such as a schedule's; as many for every step.
    fn numbers(&self, _iteration: usize) -> Vec<f32> {
        Vec::new()
    }
}

/// The attacked images, within a graph. Unless gradients are to flow `through` it, every step is a constant to the next.
pub fn unroll(
    graph: &mut Graph,
    steps: &dyn Steps,
    victim: Victim,
    seed: Option<Tensor>,
    through: bool,
) -> Result {
    let mut kept = steps.start(graph, victim, seed)?;
    for iteration in 0..steps.iterations() {
        let numbers: Result<Vec<Tensor>> =
            steps.numbers(iteration).into_iter().map(|number| graph.constant(number, &[1])).collect();
        kept = steps.step(graph, victim, &kept, &numbers?)?;
        if !through {
            kept = kept.into_iter().map(|value| graph.detach(value)).collect();
        }
    }
    Ok(kept[0])
}

/// The input of a seed.
const SEED: &str = "seed";
/// The input of the numbers of a step.
const NUMBERS: &str = "numbers";

/// The state of a value that is kept.
fn state(index: usize) -> String {
    format!("attack.kept.{index}")
}

/// The programs of an attack in steps.
pub struct Replayed {
    steps: Box<dyn Steps>,
    start: Session,
    step: Session,
}

impl Replayed {
    /// Prepares both programs.
    pub fn new(target: &mut Target, steps: Box<dyn Steps>) -> std::result::Result<Self, ExecutionError> {
        let mut a = target.graph()?;
        let seed = steps.seed().map(|_| a.graph.input(SEED, &[3])).transpose()?;
        let victim = Victim { classifier: target.classifier(&a.states), images: a.images, labels: a.labels };
        let kept = steps.start(&mut a.graph, victim, seed)?;
        let mut extents = Vec::new();
        for (index, value) in kept.into_iter().enumerate() {
            extents.push(a.graph.shape(value).extents().to_vec());
            assign(&mut a.graph, index, value)?;
        }
        let start = target.prepare(&a.graph)?;
        let mut a = target.graph()?;
        let victim = Victim { classifier: target.classifier(&a.states), images: a.images, labels: a.labels };
        let numbers = numbers(&mut a.graph, steps.numbers(0).len())?;
        let kept: Result<Vec<Tensor>> = extents
            .iter()
            .enumerate()
            .map(|(index, extents)| a.graph.state(&state(index), extents))
            .collect();
        let next = steps.step(&mut a.graph, victim, &kept?, &numbers)?;
        for (index, value) in next.into_iter().enumerate() {
            assign(&mut a.graph, index, value)?;
        }
        let step = target.prepare(&a.graph)?;
        Ok(Self { steps, start, step })
    }
}

fn assign(graph: &mut Graph, index: usize, value: Tensor) -> Result<()> {
    let extents = graph.shape(value).extents().to_vec();
    let state = graph.state(&state(index), &extents)?;
    graph.assign(state, value)
}

/// The numbers of a step as one input, one tensor each.
fn numbers(graph: &mut Graph, count: usize) -> Result<Vec<Tensor>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let all = graph.input(NUMBERS, &[count])?;
    (0..count).map(|index| graph.view(all, index, &[1])).collect()
}

impl BatchAttack for Replayed {
    fn attack(&mut self, target: &mut Target, first: usize) -> std::result::Result<Vec<f32>, ExecutionError> {
        if let Some(seed) = self.steps.seed() {
            // By an image's place in the set, so that the batch size does not matter.
            let noise = [seed as u32, 0, (first * target.pixels()) as u32];
            self.start.write(SEED, &noise.map(f32::from_bits))?;
        }
        self.start.run()?;
        let mut last = None;
        for iteration in 0..self.steps.iterations() {
            let numbers = self.steps.numbers(iteration);
            if !numbers.is_empty() {
                self.step.write(NUMBERS, &numbers)?;
            }
            let run = self.step.run()?;
            // The host waits now and then, so that the queue does not grow without bound.
            if iteration % READ_BACK_INTERVAL == READ_BACK_INTERVAL - 1
                && let Some(earlier) = last.replace(run)
            {
                self.step.finish(earlier)?;
            }
        }
        target.workspace.read(&state(0))
    }

    fn goes_by_place(&self) -> bool {
        self.steps.seed().is_some()
    }

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.start, &self.step]
    }
}

//! DeepFool (Moosavi-Dezfooli et al.): the smallest step that crosses the nearest class boundary of the
//! linearised classifier, repeated until the prediction changes.
//!
//! The library adds 1e-5 to a difference of logits, so that a step ends beyond the boundary. What that is worth in pixels
//! depends on the scale of the logits. Here the step itself is lengthened, by 1e-5 in pixel units. Both agree where the
//! gradients have a norm of about 1 or above, and distances do not change when all logits are multiplied by a number.
//!
//! The gradients of all candidate classes come out of one backward pass over a stacked batch: the
//! activations of n images serve cotangents of m·n. Which class each cotangent stands for is chosen on the device. Where a
//! backward pass of all m does not fit the device, several of fewer classes follow each other, with the same results.

use super::driver::{Arrival, SlotAttack, Slots, chunk_of};
use super::objective::EXCLUDED;
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::target::Target;
use crate::executor::{ExecutionError, Session};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Slots come in multiples of this, so that every part of a stacked tensor starts where a binding may.
const STACKED: usize = 64;

/// Its description.
pub static DEEPFOOL: Attack = Attack {
    name: "deepfool",
    title: "DeepFool",
    about: "Smallest step to the nearest linearised class boundary, repeated",
    goal: Goal::Smallest { careful: false },
    norms: &[Norm::L2],
    usual: &[Norm::L2],
    options: &["iterations", "candidates", "overshoot"],
    classes: 2,
    aims: None,
    defaults: |_| {},
    // One forward pass and a backward pass per candidate; a backward pass counts as one of two halves.
    passes: |options, classes| {
        options.iterations as f64 * (1.0 + options.candidates.min(classes) as f64) / 2.0
    },
    remedy: |options| format!("raise `iterations`, now {}", options.iterations),
    run: Run::Slots {
        prepare: |target, options| Ok(Box::new(DeepFool::new(target, options)?)),
        multiple: STACKED,
    },
};

const PERTURBATION: &str = "deepfool.perturbation";
const ACTIVE: &str = "deepfool.active";
/// Added to a boundary's distance so that a step ends beyond it, in pixel units.
const BEYOND: f32 = 1e-5;
/// The distance of a boundary that no step leads to.
const UNREACHABLE: f32 = 1e30;
/// Squared gradients up to this count as flat: no step is taken along them. Smaller squares are not exact any more.
const FLAT: f32 = 1e-34;

/// The attack over slots.
pub struct DeepFool {
    iterations: usize,
    done: Vec<usize>,
    /// Whether the slot's image still has its original prediction, as of the last read-back.
    active: Vec<bool>,
    iterate: Session,
    result: Session,
}

/// One candidate class per image.
struct Candidate {
    /// One-hot of the class minus one-hot of the reference.
    feed: Tensor,
    /// Logit of the class minus the reference's, `[n, 1]`.
    difference: Tensor,
}

impl DeepFool {
    /// Prepares it.
    pub fn new(target: &mut Target, options: &AttackOptions) -> std::result::Result<Self, ExecutionError> {
        let candidates = options.candidates.min(target.problem().classes);
        let device = target.workspace.device().clone();
        let (iterate, _) = device.fitting(candidates, |together| {
            let graph = iteration_graph(target, candidates, together)?;
            target.prepare(&graph)
        })?;
        let mut a = target.graph()?;
        let r = a.graph.state(PERTURBATION, &target.extents())?;
        let longer = a.graph.affine(r, 1.0 + options.overshoot, 0.0);
        let moved = a.graph.add(a.images, longer)?;
        let x = a.graph.unary(Unary::Clamp(0.0, 1.0), moved);
        a.graph.output("adversarial", x);
        let result = target.prepare(&a.graph)?;
        let slots = target.slots;
        Ok(Self {
            iterations: options.iterations,
            done: vec![0; slots],
            active: vec![true; slots],
            iterate,
            result,
        })
    }
}

/// One iteration over all slots, with so many candidates in one backward pass.
fn iteration_graph(target: &Target, candidates: usize, together: usize) -> Result<Graph> {
    let mut a = target.graph()?;
    let (graph, n) = (&mut a.graph, target.slots);
    let r = graph.state(PERTURBATION, &target.extents())?;
    let moved = graph.add(a.images, r)?;
    let x = graph.unary(Unary::Clamp(0.0, 1.0), moved);
    let logits = target.classifier(&a.states).logits(graph, x)?;
    let prediction = graph.arg_max(logits);
    let active = graph.binary(Binary::Equal, prediction, a.labels)?;
    let all = choose_candidates(graph, logits, a.labels, candidates)?;
    let directions = directions(graph, logits, x, &all, together)?;
    let differences: Vec<_> = all.iter().enumerate().map(|(i, c)| (c.difference, i * n)).collect();
    let differences = graph.pack(&differences, candidates * n)?;
    let differences = graph.reshape(differences, &[candidates * n, 1])?;
    let coefficients = nearest(graph, directions, differences, candidates)?;
    let scaled = graph.multiply(directions, coefficients)?;
    let step = graph.sum_rows(scaled, n * target.pixels())?;
    let step = graph.reshape(step, &target.extents())?;
    // An image that is fooled already stays where it is.
    let step = graph.binary(Binary::Select, step, active)?;
    let next = graph.add(r, step)?;
    graph.assign(r, next)?;
    let state = graph.state(ACTIVE, &[n, 1])?;
    graph.assign(state, active)?;
    Ok(a.graph)
}

/// The classes with the largest logits, one after the other.
fn choose_candidates(
    graph: &mut Graph,
    logits: Tensor,
    reference: Tensor,
    candidates: usize,
) -> Result<Vec<Candidate>> {
    let classes = graph.shape(logits).columns();
    let own = graph.one_hot(reference, classes);
    let mut left = logits;
    let mut all = Vec::new();
    for _ in 0..candidates {
        let class = graph.arg_max(left);
        let one_hot = graph.one_hot(class, classes);
        let feed = graph.subtract(one_hot, own)?;
        let weighted = graph.multiply(logits, feed)?;
        let difference = graph.sum_columns(weighted);
        let excluded = graph.affine(one_hot, EXCLUDED, 0.0);
        left = graph.add(left, excluded)?;
        all.push(Candidate { feed, difference });
    }
    Ok(all)
}

/// The gradient by `x` of every candidate's logit minus the reference's, stacked: `[candidates·n, height, width, channels]`.
fn directions(
    graph: &mut Graph,
    logits: Tensor,
    x: Tensor,
    candidates: &[Candidate],
    together: usize,
) -> Result {
    let (n, classes) = (graph.shape(logits).rows(), graph.shape(logits).columns());
    let mut passes = Vec::new();
    for group in candidates.chunks(together) {
        let feeds: Vec<_> = group.iter().enumerate().map(|(i, c)| (c.feed, i * n * classes)).collect();
        let feed = graph.pack(&feeds, group.len() * n * classes)?;
        let feed = graph.reshape(feed, &[group.len() * n, classes])?;
        passes.push(graph.gradient(logits, feed, &[x])?[0]);
    }
    if let [all] = passes[..] {
        return Ok(all);
    }
    let [_, height, width, channels] = graph.shape(x).extents()[..] else { unreachable!("images") };
    let values = n * height * width * channels;
    let parts: Vec<_> = passes.iter().enumerate().map(|(i, &pass)| (pass, i * together * values)).collect();
    let all = graph.pack(&parts, candidates.len() * values)?;
    graph.reshape(all, &[candidates.len() * n, height, width, channels])
}

/// What each direction is multiplied by so that only the nearest boundary's step remains:
/// `(|Δz| / ‖w‖ + 1e-5) / ‖w‖` for it, 0 for the others. Stacked, `[candidates·n, 1]`.
fn nearest(graph: &mut Graph, directions: Tensor, differences: Tensor, candidates: usize) -> Result {
    let n = graph.shape(differences).rows() / candidates;
    let square = graph.unary(Unary::Square, directions);
    let norm2 = graph.sum_columns(square);
    let flat = graph.constant(FLAT, &[1])?;
    // The reference class is among the candidates; its direction is 0.
    let steep = graph.binary(Binary::Greater, norm2, flat)?;
    let norm2 = graph.unary(Unary::Clamp(FLAT, f32::MAX), norm2);
    let norm = graph.unary(Unary::Sqrt, norm2);
    let absolute = graph.unary(Unary::Abs, differences);
    let boundary = graph.binary(Binary::Divide, absolute, norm)?;
    let beyond = graph.affine(boundary, 1.0, BEYOND);
    let reached = graph.binary(Binary::Select, beyond, steep)?;
    let unreachable = graph.affine(steep, -UNREACHABLE, UNREACHABLE);
    let distance = graph.add(reached, unreachable)?;
    let mut least = graph.view(distance, 0, &[n, 1])?;
    for i in 1..candidates {
        let other = graph.view(distance, i * n, &[n, 1])?;
        least = graph.binary(Binary::Minimum, least, other)?;
    }
    let winners = graph.binary(Binary::Equal, distance, least)?;
    // Equally near boundaries share the step.
    let count = graph.sum_rows(winners, n)?;
    let count = graph.reshape(count, &[n, 1])?;
    let share = graph.binary(Binary::Divide, winners, count)?;
    let length = graph.binary(Binary::Divide, reached, norm)?;
    graph.multiply(length, share)
}

impl SlotAttack for DeepFool {
    fn load(
        &mut self,
        target: &mut Target,
        slot: usize,
        _: Arrival,
    ) -> std::result::Result<(), ExecutionError> {
        self.done[slot] = 0;
        self.active[slot] = true;
        let pixels = target.pixels();
        target.workspace.write_part(PERTURBATION, slot * pixels, &vec![0.0; pixels])
    }

    fn advance(&mut self, target: &mut Target, iterations: usize) -> std::result::Result<(), ExecutionError> {
        for _ in 0..iterations {
            self.iterate.run()?;
        }
        let active = target.workspace.read(ACTIVE)?;
        for (slot, value) in active.iter().enumerate() {
            self.done[slot] += iterations;
            self.active[slot] = *value != 0.0;
        }
        Ok(())
    }

    fn finished(&self, slot: usize) -> bool {
        !self.active[slot] || self.done[slot] >= self.iterations
    }

    fn results(&mut self, _target: &mut Target) -> std::result::Result<Vec<f32>, ExecutionError> {
        Ok(self.result.compute()?.get("adversarial").to_vec())
    }

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.iterate, &self.result]
    }

    fn chunk(&self) -> usize {
        chunk_of(self.iterations)
    }

    /// Slots come in multiples of [`STACKED`], so there is little to gain.
    fn narrowed(&self, _: &Target, _: &[usize]) -> std::result::Result<Option<Slots>, ExecutionError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Mode;
    use crate::executor::Device;
    use crate::models::file::Model;
    use crate::nn::{Init, Network, Plan, Problem};
    use crate::random::{Random, Stream};

    #[test]
    fn backward_passes_of_fewer_candidates_lead_to_the_same_step() {
        let problem = Problem::square(8, 1, 10);
        let classifier = Network::default().build(Plan::new(problem, 0.0625)).unwrap();
        let values = classifier.initial(Init::He, 1);
        let model = Model::new(classifier, values);
        let random = Random::new(1, Stream::Attack);
        let images: Vec<f32> = (0..STACKED * 64).map(|i| random.uniform(0, i as u32)).collect();
        let step = |together: usize| {
            let mut target = Target::new(&Device::Cpu(Mode::Fast), &model, STACKED).unwrap();
            let mut a = target.graph().unwrap();
            let logits = target.classifier(&a.states).logits(&mut a.graph, a.images).unwrap();
            let prediction = a.graph.arg_max(logits);
            a.graph.output("prediction", prediction);
            let mut predict = target.prepare(&a.graph).unwrap();
            target.load(&images, &[0.0; STACKED]).unwrap();
            let own = predict.compute().unwrap().get("prediction").to_vec();
            target.load(&images, &own).unwrap();
            let graph = iteration_graph(&target, 7, together).unwrap();
            target.prepare(&graph).unwrap().run().unwrap();
            target.workspace.read(PERTURBATION).unwrap()
        };
        let whole = step(7);
        assert!(whole.chunks(64).all(|own| own.iter().any(|value| *value != 0.0)), "every image moves");
        for together in [4, 3, 1] {
            assert!(step(together) == whole, "{together} candidates at a time");
        }
    }
}

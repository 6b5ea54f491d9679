//! Attacks that take the same steps for every image. Such an attack says how it starts and what one step does; here this
//! becomes programs that a device replays, or a part of a training step's graph. So evaluation and training run the same
//! attack.
//!
//! What an attack keeps from step to step stays on the device, in states. An attack of several *rounds* (restarts, target
//! classes) begins anew in each; see `flow.rs`.

use super::driver::{BatchAttack, READ_BACK_INTERVAL};
use super::objective::{self, CeForm, Objective};
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
    /// The classes that they are led to, `[n, 1]`; `None` where any other will do.
    pub aim: Option<Tensor>,
}

impl Victim<'_> {
    /// The same images, led to these classes.
    #[must_use]
    pub fn aimed_at(self, aim: Tensor) -> Self {
        Self { aim: Some(aim), ..self }
    }

    /// 1 for images on which the attack has succeeded, `[n, 1]`.
    pub fn reached(self, graph: &mut Graph, logits: Tensor) -> Result {
        objective::reached(graph, logits, self.labels, self.aim)
    }

    /// The same, whoever computes the logits.
    pub fn reached_surely(self, graph: &mut Graph, logits: Tensor) -> Result {
        objective::reached_surely(graph, logits, self.labels, self.aim)
    }

    /// The gradient by the images of the cross-entropy that is raised: of their class, or minus that of the class that they
    /// are led to.
    pub fn gradient(self, graph: &mut Graph, from: Tensor, form: CeForm) -> Result {
        let class = self.aim.unwrap_or(self.labels);
        let gradient = objective::gradient(graph, self.classifier, from, class, form)?;
        Ok(self.signed(graph, gradient))
    }

    /// What is raised of an objective, `[n, 1]`. Towards a class, it is minus the objective of that class; of DLR, the
    /// targeted form.
    pub fn loss(self, graph: &mut Graph, objective: Objective, logits: Tensor) -> Result {
        let class = self.aim.unwrap_or(self.labels);
        match (objective, self.aim) {
            (Objective::Dlr | Objective::TargetedDlr, Some(aim)) => {
                Objective::TargetedDlr.value(graph, logits, self.labels, aim)
            }
            _ => {
                let value = objective.value(graph, logits, class, class)?;
                Ok(self.signed(graph, value))
            }
        }
    }

    /// The gradient of [`Victim::loss`] by the images `x` whose logits and loss are given.
    pub fn gradient_of(
        self,
        graph: &mut Graph,
        objective: Objective,
        (logits, loss): (Tensor, Tensor),
        x: Tensor,
    ) -> Result {
        let class = self.aim.unwrap_or(self.labels);
        let gradient = objective.gradient(graph, (logits, loss), class, x)?;
        // That of the cross-entropy is made without the loss, so it lacks the loss's sign.
        match objective {
            Objective::CrossEntropy => Ok(self.signed(graph, gradient)),
            _ => Ok(gradient),
        }
    }

    fn signed(self, graph: &mut Graph, of_class: Tensor) -> Tensor {
        match self.aim {
            Some(_) => graph.affine(of_class, -1.0, 0.0),
            None => of_class,
        }
    }
}

/// What a round begins with.
pub struct Start {
    /// Standard normal numbers like the images, for an attack that [starts at random](Steps::is_random).
    pub noise: Option<Tensor>,
    /// The images to start at, for an attack that [can](Steps::starts_anywhere), if they are given.
    pub from: Option<Tensor>,
    /// Those of [`Steps::round_numbers`], one tensor each: one value, or one per image.
    pub numbers: Vec<Tensor>,
}

/// An attack of the same steps for every image.
pub trait Steps: Send + Sync {
    /// Steps of a round.
    fn iterations(&self) -> usize;

    /// Rounds: restarts times target classes.
    fn rounds(&self) -> usize {
        1
    }

    /// Whether an image that is fooled needs no more steps: the first thing that is kept stays as it is from then on, whether
    /// more steps are taken or not. If not, and in rounds that follow, the nearest counts.
    fn ends_early(&self) -> bool {
        false
    }

    /// Whether it can start at images that are given.
    fn starts_anywhere(&self) -> bool {
        false
    }

    /// Whether it starts at a random point.
    fn is_random(&self) -> bool {
        false
    }

    /// The seed of that.
    fn seed(&self) -> u64 {
        0
    }

    /// Numbers that differ from round to round; as many for every round.
    fn round_numbers(&self, _round: usize) -> Vec<f32> {
        Vec::new()
    }

    /// Numbers that change from step to step, such as a schedule's; as many for every step.
    fn numbers(&self, _iteration: usize) -> Vec<f32> {
        Vec::new()
    }

    /// What is kept before the first step: the images as the attack has moved them, then whatever it needs, each with one
    /// row per image.
    fn start(&self, graph: &mut Graph, victim: Victim, start: Start) -> Result<Vec<Tensor>>;

    /// What is kept after a step. `numbers` are those of [`Steps::numbers`], one tensor each: one value, or one per image.
    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        numbers: &[Tensor],
    ) -> Result<Vec<Tensor>>;

    /// Which of what is kept training learns from.
    fn trained_on(&self) -> usize {
        0
    }
}

/// The attacked images of one round, within a graph. Unless gradients are to flow `through` it, every step is a constant to
/// the next.
pub fn unroll(
    graph: &mut Graph,
    steps: &dyn Steps,
    victim: Victim,
    noise: Option<Tensor>,
    through: bool,
) -> Result {
    let constants = |graph: &mut Graph, numbers: Vec<f32>| -> Result<Vec<Tensor>> {
        numbers.into_iter().map(|number| graph.constant(number, &[1])).collect()
    };
    let numbers = constants(graph, steps.round_numbers(0))?;
    let mut kept = steps.start(graph, victim, Start { noise, from: None, numbers })?;
    for iteration in 0..steps.iterations() {
        let numbers = constants(graph, steps.numbers(iteration))?;
        kept = steps.step(graph, victim, &kept, &numbers)?;
        if !through {
            kept = kept.into_iter().map(|value| graph.detach(value)).collect();
        }
    }
    Ok(kept[steps.trained_on()])
}

/// The state of a value that is kept.
pub(super) fn state(index: usize) -> String {
    format!("attack.kept.{index}")
}

pub(super) fn assign(graph: &mut Graph, index: usize, value: Tensor) -> Result<()> {
    let extents = graph.shape(value).extents().to_vec();
    let state = graph.state(&state(index), &extents)?;
    graph.assign(state, value)
}

/// The states of what is kept, with these extents.
pub(super) fn states(graph: &mut Graph, extents: &[Vec<usize>]) -> Result<Vec<Tensor>> {
    extents.iter().enumerate().map(|(index, extents)| graph.state(&state(index), extents)).collect()
}

/// The programs of an attack of one round that begins at the images and takes all steps for every one.
pub struct Replayed {
    steps: Box<dyn Steps>,
    start: Session,
    step: Session,
}

impl Replayed {
    /// Prepares both programs.
    pub fn new(target: &mut Target, steps: Box<dyn Steps>) -> std::result::Result<Self, ExecutionError> {
        let mut a = target.graph()?;
        let classifier = target.classifier(&a.states);
        let victim = Victim { classifier, images: a.images, labels: a.labels, aim: a.aim };
        let start = Start { noise: None, from: a.starts, numbers: Vec::new() };
        let kept = steps.start(&mut a.graph, victim, start)?;
        let extents: Vec<Vec<usize>> =
            kept.iter().map(|value| a.graph.shape(*value).extents().to_vec()).collect();
        for (index, value) in kept.into_iter().enumerate() {
            assign(&mut a.graph, index, value)?;
        }
        let start = target.prepare(&a.graph)?;
        let mut a = target.graph()?;
        let classifier = target.classifier(&a.states);
        let victim = Victim { classifier, images: a.images, labels: a.labels, aim: a.aim };
        let kept = states(&mut a.graph, &extents)?;
        let numbers = numbers_of(&mut a.graph, steps.numbers(0).len(), &[1])?;
        let next = steps.step(&mut a.graph, victim, &kept, &numbers)?;
        for (index, value) in next.into_iter().enumerate() {
            assign(&mut a.graph, index, value)?;
        }
        let step = target.prepare(&a.graph)?;
        Ok(Self { steps, start, step })
    }
}

/// The numbers of a step, one input of these extents each: a view that begins at a later number would begin where no binding may.
pub(super) fn numbers_of(
    graph: &mut Graph,
    count: usize,
    extents: &[usize],
) -> std::result::Result<Vec<Tensor>, GraphError> {
    (0..count).map(|index| graph.input(&number(index), extents)).collect()
}

/// The input of the number `index`.
pub(super) fn number(index: usize) -> String {
    format!("number.{index}")
}

impl BatchAttack for Replayed {
    fn attack(&mut self, target: &mut Target) -> std::result::Result<Vec<f32>, ExecutionError> {
        self.start.run()?;
        let mut last = None;
        for iteration in 0..self.steps.iterations() {
            for (index, value) in self.steps.numbers(iteration).into_iter().enumerate() {
                self.step.write(&number(index), &[value])?;
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

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.start, &self.step]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::attacks::{AttackKind, AttackOptions, Norm, Run};
    use crate::cpu::Mode;
    use crate::executor::Device;
    use crate::models::file::Model;
    use crate::nn::{Builder, Problem};

    /// What an attack that begins at the image makes of one of class 0.
    pub fn moved(options: &AttackOptions, model: &Model, image: &[f32]) -> Vec<f32> {
        let Run::Steps(prepare) = options.kind.run else { panic!("{} is not made of steps", options.kind) };
        let mut target = Target::new(&Device::Cpu(Mode::Reference), model, 1).unwrap();
        let steps = prepare(options, target.problem());
        let mut attack = Replayed::new(&mut target, steps).unwrap();
        target.load(image, &[0.0]).unwrap();
        attack.attack(&mut target).unwrap()
    }

    /// A classifier of two classes with `z1 − z0` = the sum of the pixels times these weights.
    fn linear(weights: &[f32]) -> Model {
        let problem = Problem { height: 1, width: weights.len(), channels: 1, classes: 2 };
        let mut net = Builder::new(problem);
        net.dense(net.images(), "logits", 2, 1.0);
        let net = net.finish().unwrap();
        let mut values = net.slots.zeros();
        let of_both: Vec<f32> = weights.iter().flat_map(|&weight| [0.0, weight]).collect();
        net.slots.get_mut(&mut values, 0).copy_from_slice(&of_both);
        Model::new(net, values)
    }

    #[test]
    fn an_attack_that_takes_several_numbers_with_every_step_is_replayed() {
        // The boundary is 0.5 / √5 away.
        let model = linear(&[1.0, -2.0]);
        let options = AttackOptions { norm: Norm::L2, iterations: 30, ..AttackOptions::new(AttackKind::FMN) };
        let found = moved(&options, &model, &[0.5, 0.5]);
        assert!(found[0] > 2.0 * found[1], "{found:?} is adversarial");
        assert!((found[0] - 0.5).hypot(found[1] - 0.5) < 0.25, "{found:?} is near");
    }

    #[test]
    fn in_linf_a_pixel_goes_by_the_sign_of_its_weight_as_far_as_radius_and_box_allow() {
        // Up by the radius, down to the edge of the box, nowhere, and up to the edge.
        let model = linear(&[2.0, -0.5, 0.0, 0.001]);
        let (image, expected) = ([0.5, 0.0625, 0.25, 0.9375], [0.625, 0.0, 0.25, 1.0]);
        for kind in [AttackKind::FGM, AttackKind::PGD, AttackKind::MIM] {
            let usual = AttackOptions::new(kind);
            let options = AttackOptions { norm: Norm::Linf, epsilon: 0.125, iterations: 4, ..usual };
            assert_eq!(moved(&options, &model, &image), expected, "{kind}");
        }
    }
}

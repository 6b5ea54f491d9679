//! Auto-PGD (Croce and Hein 2020): projected gradient steps with momentum, whose length is halved image by image where the
//! loss no longer rises, and which then go on from the best point so far.
//!
//! Written from the paper and checked against its public code (fra31/auto-attack, a392200), down to what that code does at
//! the first check: it counts the first loss as risen if it is above 0. One step here is one forward and one backward pass at
//! the current point, the bookkeeping about it, and the move to the next point; so there is one step more than iterations.

use super::objective::Objective;
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::steps::{Start, Steps, Victim};
use super::{ball, targets};
use crate::graph::{Graph, GraphError, Shape, Tensor, Unary};
use crate::nn::Problem;

/// Share of the steps between two checks that must raise the loss.
const RISING: f32 = 0.75;
/// Weight of the new direction beside the last move.
const NEW_DIRECTION: f32 = 0.75;

const OPTIONS: &[&str] = &["epsilon", "norm", "iterations", "restarts", "seed", "target"];

/// Auto-PGD on the cross-entropy.
pub static APGD_CE: Attack = Attack {
    name: "apgd-ce",
    title: "APGD-CE",
    about: "Auto-PGD on the cross-entropy (AutoAttack's first)",
    goal: Goal::Ball,
    norms: &Norm::ALL,
    usual: &[],
    options: OPTIONS,
    classes: 2,
    aims: Some(2),
    defaults: |_| {},
    passes: |options, _| (options.iterations * options.restarts) as f64,
    remedy: |options| {
        format!("raise `iterations`, now {}, or `restarts`, now {}", options.iterations, options.restarts)
    },
    run: Run::Steps(|options, problem| Box::new(Apgd::new(options, Objective::CrossEntropy, problem))),
};

/// Auto-PGD on the difference of logits ratio.
pub static APGD_DLR: Attack = Attack {
    name: "apgd-dlr",
    title: "APGD-DLR",
    about: "Auto-PGD on the difference of logits ratio, for 3 classes or more",
    classes: 3,
    // Aimed, it follows the targeted ratio.
    aims: Some(4),
    run: Run::Steps(|options, problem| Box::new(Apgd::new(options, Objective::Dlr, problem))),
    ..APGD_CE
};

/// Auto-PGD on the targeted difference of logits ratio.
pub static APGD_T: Attack = Attack {
    name: "apgd-t",
    title: "APGD-T",
    about: "Auto-PGD on the targeted difference of logits ratio, for 4 classes or more (AutoAttack's second)",
    classes: 4,
    aims: None,
    options: &["epsilon", "norm", "iterations", "restarts", "targets", "seed"],
    passes: |options, classes| {
        (options.iterations * options.restarts * options.targets.min(classes.saturating_sub(1))) as f64
    },
    run: Run::Steps(|options, problem| Box::new(Apgd::new(options, Objective::TargetedDlr, problem))),
    ..APGD_CE
};

struct Apgd {
    options: AttackOptions,
    objective: Objective,
    targets: usize,
    /// For each iteration whether the step size is checked after it, and how many iterations since the last check.
    checks: Vec<Option<usize>>,
}

/// What is kept, in order.
#[derive(Clone, Copy)]
struct Kept {
    /// The first misclassified point, else the start. So it does not matter when an image that is fooled leaves.
    result: Tensor,
    /// The point that the next step looks at.
    x: Tensor,
    /// The point before it.
    previous: Tensor,
    best: Tensor,
    best_gradient: Tensor,
    best_loss: Tensor,
    last_loss: Tensor,
    /// Steps since the last check that raised the loss.
    rises: Tensor,
    /// The best loss at the last check.
    checked_loss: Tensor,
    /// Whether the step was halved at the last check.
    halved: Tensor,
    length: Tensor,
    /// The class that the round aims at; that of the image without one.
    aim: Tensor,
    /// Whether a point was misclassified.
    fooled: Tensor,
}

impl Kept {
    fn new(kept: &[Tensor]) -> Self {
        let [
            result,
            x,
            previous,
            best,
            best_gradient,
            best_loss,
            last_loss,
            rises,
            checked_loss,
            halved,
            length,
            aim,
            fooled,
        ] = kept.try_into().expect("as many as `all` has");
        Self {
            result,
            x,
            previous,
            best,
            best_gradient,
            best_loss,
            last_loss,
            rises,
            checked_loss,
            halved,
            length,
            aim,
            fooled,
        }
    }

    fn all(self) -> Vec<Tensor> {
        let Self { result, x, previous, best, best_gradient, .. } = self;
        let Self { best_loss, last_loss, rises, checked_loss, halved, length, aim, fooled, .. } = self;
        vec![
            result,
            x,
            previous,
            best,
            best_gradient,
            best_loss,
            last_loss,
            rises,
            checked_loss,
            halved,
            length,
            aim,
            fooled,
        ]
    }
}

/// Where the best point stands in [`Kept::all`].
const BEST: usize = 3;

/// The iterations after which step sizes are checked: 22 % of all, then after 3 % less each time, at least 6 %.
fn checks(iterations: usize) -> Vec<Option<usize>> {
    let share = |percent: usize| (iterations * percent / 100).max(1);
    let (mut window, mut since) = (share(22), 0);
    let check = |_| {
        since += 1;
        (since == window).then(|| {
            since = 0;
            let next = window.saturating_sub(share(3)).max(share(6));
            std::mem::replace(&mut window, next)
        })
    };
    (0..iterations).map(check).collect()
}

impl Apgd {
    fn new(options: &AttackOptions, objective: Objective, problem: Problem) -> Self {
        let targets = if objective.is_targeted() { options.targets.min(problem.classes - 1) } else { 1 };
        Self { options: options.clone(), objective, targets, checks: checks(options.iterations) }
    }

    /// The loss of each image at `x`, its gradient, and whether the image is misclassified there.
    fn look(
        &self,
        graph: &mut Graph,
        victim: Victim,
        x: Tensor,
        aim: Tensor,
    ) -> Result<[Tensor; 3], GraphError> {
        let logits = victim.classifier.logits(graph, x)?;
        let led = if self.objective.is_targeted() { victim.aimed_at(aim) } else { victim };
        let loss = led.loss(graph, self.objective, logits)?;
        let gradient = led.gradient_of(graph, self.objective, (logits, loss), x)?;
        let fooled = victim.reached(graph, logits)?;
        Ok([loss, gradient, fooled])
    }

    /// What is noted after a [`look`](Self::look) at the current point: the first misclassified point and whether there was one,
    /// the best point with its gradient and loss, this point's loss, and how many steps have raised it. `first` is 1 in the first
    /// step.
    fn noted(
        graph: &mut Graph,
        old: Kept,
        [loss, gradient, fooled]: [Tensor; 3],
        first: Tensor,
    ) -> Result<[Tensor; 7], GraphError> {
        graph.formulas(|f| {
            let [loss, gradient, fooled, before, first] = f.all([loss, gradient, fooled, old.fooled, first]);
            let [x, old_result, best, best_gradient] =
                f.all([old.x, old.result, old.best, old.best_gradient]);
            let [best_loss, last_loss, rises] = f.all([old.best_loss, old.last_loss, old.rises]);
            let better = loss.greater(best_loss).maximum(first);
            // The public code compares the first loss of the loop with 0, and that of the start with nothing.
            let later = -first + 1.0;
            [
                (fooled * (-before + 1.0)).choose(x, old_result),
                fooled.maximum(before),
                better.choose(x, best),
                better.choose(gradient, best_gradient),
                better.choose(loss, best_loss),
                loss * later,
                (rises + loss.greater(last_loss)) * later,
            ]
        })
    }

    /// What the check of the step size makes of it: where to go on from and along which gradient, the length of the step, the steps
    /// that have raised the loss since the check, the best loss at the check, and whether the step was halved. `gradient` is that
    /// of the current point; `noted` has the best point, its gradient and loss, and the rises; then come the step's numbers.
    fn checked(
        graph: &mut Graph,
        old: Kept,
        gradient: Tensor,
        noted: [Tensor; 4],
        [first, _, check, threshold]: [Tensor; 4],
    ) -> Result<[Tensor; 6], GraphError> {
        graph.formulas(|f| {
            let [first, check, threshold] = f.all([first, check, threshold]);
            let [best, best_gradient, best_loss, rises] = f.all(noted);
            let [checked_loss, halved, length] = f.all([old.checked_loss, old.halved, old.length]);
            let few = -rises.greater(threshold) + 1.0;
            let stuck = (-halved + 1.0) * (-best_loss.greater(checked_loss) + 1.0);
            let halve = few.maximum(stuck) * check;
            [
                halve.choose(best, f.of(old.x)),
                halve.choose(best_gradient, f.of(gradient)),
                length * (halve * -0.5 + 1.0),
                rises * (-check + 1.0),
                check.maximum(first).choose(best_loss, checked_loss),
                check.choose(halve, halved),
            ]
        })
    }

    /// The next point from `x` along the gradient, with a share of the last move.
    fn moved(
        &self,
        graph: &mut Graph,
        images: Tensor,
        [x, previous, gradient, length]: [Tensor; 4],
        share: Tensor,
    ) -> Result<Tensor, GraphError> {
        let norm = self.options.norm;
        let epsilon = graph.constant(self.options.epsilon, &[1])?;
        let direction = ball::unit(graph, gradient, super::CeForm::SaturationFree, norm)?;
        let step = graph.multiply(direction, length)?;
        let z = graph.add(x, step)?;
        let z = ball::project(graph, images, z, epsilon, norm)?;
        let next = graph.formula(|f| {
            let [x, z, previous, share] = f.all([x, z, previous, share]);
            x + (z - x) * share + (x - previous) * (-share + 1.0)
        })?;
        ball::project(graph, images, next, epsilon, norm)
    }
}

impl Steps for Apgd {
    fn iterations(&self) -> usize {
        self.options.iterations + 1
    }

    fn rounds(&self) -> usize {
        self.options.restarts * self.targets
    }

    fn ends_early(&self) -> bool {
        true
    }

    fn is_random(&self) -> bool {
        true
    }

    fn seed(&self) -> u64 {
        self.options.seed
    }

    fn round_numbers(&self, round: usize) -> Vec<f32> {
        targets::chosen(round / self.options.restarts, self.targets)
    }

    /// Whether it is the first step, the share of the new direction, whether step sizes are checked, and how many of the
    /// steps since the last check may rise without the step counting as useful.
    fn numbers(&self, iteration: usize) -> Vec<f32> {
        let check = iteration.checked_sub(1).and_then(|i| self.checks[i]);
        let first = f32::from(u8::from(iteration == 0));
        let share = if iteration == 0 { 1.0 } else { NEW_DIRECTION };
        let threshold = check.map_or(0.0, |window| RISING * window as f32);
        vec![first, share, f32::from(u8::from(check.is_some())), threshold]
    }

    fn start(&self, graph: &mut Graph, victim: Victim, start: Start) -> Result<Vec<Tensor>, GraphError> {
        let noise = start.noise.expect("it starts at random");
        let AttackOptions { epsilon, norm, .. } = self.options;
        let x = ball::random_start(graph, victim.images, noise, epsilon, norm)?;
        let aim = match self.objective.is_targeted() {
            true => targets::aim(graph, victim, &start.numbers)?,
            false => graph.unary(Unary::Identity, victim.labels),
        };
        let [per_image, like_images] = [victim.labels, x].map(|tensor| graph.shape(tensor).clone());
        let mut filled = |value: f32, shape: &Shape| -> Result<Tensor, GraphError> {
            let value = graph.constant(value, &[1])?;
            graph.broadcast(value, shape)
        };
        let zero = filled(0.0, &per_image)?;
        let halved = filled(1.0, &per_image)?;
        let length = filled(2.0 * epsilon, &per_image)?;
        let gradient = filled(0.0, &like_images)?;
        let kept = Kept {
            result: x,
            x,
            previous: x,
            best: x,
            best_gradient: gradient,
            best_loss: zero,
            last_loss: zero,
            rises: zero,
            checked_loss: zero,
            halved,
            length,
            aim,
            fooled: zero,
        };
        Ok(kept.all())
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        numbers: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let old = Kept::new(kept);
        let numbers: [Tensor; 4] = numbers.try_into().expect("four numbers");
        let [first, share, ..] = numbers;
        let look = self.look(graph, victim, old.x, old.aim)?;
        let [result, fooled, best, best_gradient, best_loss, last_loss, rises] =
            Self::noted(graph, old, look, first)?;
        let noted = [best, best_gradient, best_loss, rises];
        let [x, gradient, length, rises, checked_loss, halved] =
            Self::checked(graph, old, look[1], noted, numbers)?;
        let next = self.moved(graph, victim.images, [x, old.previous, gradient, length], share)?;
        let kept = Kept {
            result,
            x: next,
            previous: x,
            best,
            best_gradient,
            best_loss,
            last_loss,
            rises,
            checked_loss,
            halved,
            length,
            aim: old.aim,
            fooled,
        };
        Ok(kept.all())
    }

    fn trained_on(&self) -> usize {
        BEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;

    #[test]
    fn step_sizes_are_checked_when_the_paper_says() {
        let at = |iterations: usize| -> Vec<usize> {
            let all = checks(iterations).into_iter().enumerate();
            all.filter_map(|(i, check)| check.map(|_| i + 1)).collect()
        };
        assert_eq!(at(100), [22, 41, 57, 70, 80, 87, 93, 99]);
        assert_eq!(at(20), [4, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    }

    #[test]
    fn every_target_gets_all_restarts_before_the_next_one() {
        let (usual, problem) = (AttackOptions::new(AttackKind::APGD_T), Problem::square(8, 1, 10));
        let options = AttackOptions { restarts: 2, targets: 3, ..usual };
        let apgd = Apgd::new(&options, Objective::TargetedDlr, problem);
        let chosen: Vec<Vec<f32>> = (0..apgd.rounds()).map(|round| apgd.round_numbers(round)).collect();
        let [first, second, third]: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(chosen, [first, first, second, second, third, third]);
    }
}

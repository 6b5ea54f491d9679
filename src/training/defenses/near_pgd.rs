//! What TRADES and MART train against: projected gradient descent that starts beside the image, at `x + 0.001 · normal`.
//! TRADES climbs `KL(p(x) ‖ p(x'))` (Zhang et al. 2019), MART the cross-entropy (Wang et al. 2020). They differ from
//! the attack `pgd` in the start and, TRADES, in what is climbed, so they are no attacks to be run from the command line.
//!
//! Linf as in both public codes: steps of signs, the ball, the box. Unless it is given, a step is 2.5 ε / iterations, which is 2/255
//! for 8/255 and 10 steps. Both codes have 0.007 for 0.031, which `--preset paper` gives. L2 as in the
//! public code of TRADES: steps along the normalised gradient of 2 ε / iterations, the box, then the ball. MART has no public
//! form in L2, so it takes the same steps. In Linf box and ball may be applied in any order.
//!
//! An image whose gradient is exactly 0 stays where it is; the public code of TRADES moves it at random in L2.

use crate::attacks::ball;
use crate::attacks::objective::{self, CeForm};
use crate::attacks::options::{AttackOptions, Norm};
use crate::attacks::registry::{Attack, Goal, Run};
use crate::attacks::steps::{Start, Steps, Victim};
use crate::graph::{Graph, GraphError, Tensor};
use crate::nn::Classifier;
use crate::training::step::{Objective, Stage};

/// Standard deviation of the start around the image (both public codes).
const START: f32 = 0.001;
/// In Linf, ε times this over the number of steps is a step: 2/255 for 8/255 and 10 steps.
const LINF_REACH: f32 = 2.5;
/// The same in L2 (the public code of TRADES).
const L2_REACH: f32 = 2.0;

/// The attack of TRADES.
pub static OF_TRADES: Attack = Attack {
    name: "kl-pgd",
    title: "KL-PGD",
    about: "Projected gradient descent that climbs the divergence from the clean prediction",
    goal: Goal::Ball,
    norms: &Norm::ALL,
    usual: &[],
    options: &["epsilon", "norm", "iterations", "step-size"],
    classes: 2,
    aims: None,
    defaults: |options| options.iterations = 10,
    passes: |options, _| options.iterations as f64 + 0.5,
    remedy: |options| format!("raise `iterations`, now {}", options.iterations),
    run: Run::Steps(|options, _| Box::new(NearPgd { options: options.clone(), climbs: Climbs::Divergence })),
};

/// The attack of MART.
pub static OF_MART: Attack = Attack {
    name: "near-pgd",
    title: "near PGD",
    about: "Projected gradient descent that starts beside the image",
    options: &["epsilon", "norm", "iterations", "step-size", "ce-form"],
    passes: |options, _| options.iterations as f64,
    run: Run::Steps(|options, _| {
        Box::new(NearPgd { options: options.clone(), climbs: Climbs::CrossEntropy })
    }),
    ..OF_TRADES
};

/// Builds what the classifier learns from; the last argument is the attacked images.
type Build = fn(&mut Graph, &Stage, Classifier, Tensor) -> Result<Objective, GraphError>;

/// The phase of both: the attack, a step down what `build` writes, and the report on it.
pub fn phase(graph: &mut Graph, stage: &Stage, build: Build) -> Result<(), GraphError> {
    let attacked = stage.adversarial(graph)?.expect("the defense has an inner attack");
    let learned = stage.descend(graph, |graph, classifier| build(graph, stage, classifier, attacked))?;
    stage.report(graph, &learned, Some(attacked))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Climbs {
    CrossEntropy,
    Divergence,
}

struct NearPgd {
    options: AttackOptions,
    climbs: Climbs,
}

impl NearPgd {
    fn step_size(&self) -> f32 {
        let AttackOptions { epsilon, norm, iterations, step_size, .. } = self.options;
        let reach = match norm {
            Norm::Linf => LINF_REACH,
            Norm::L2 => L2_REACH,
        };
        step_size.unwrap_or(reach * epsilon / iterations as f32)
    }

    /// The direction of steepest ascent at `x`, of length 1.
    fn direction(&self, graph: &mut Graph, victim: Victim, kept: &[Tensor]) -> Result<Tensor, GraphError> {
        let (x, AttackOptions { norm, ce_form, .. }) = (kept[0], &self.options);
        match self.climbs {
            Climbs::CrossEntropy => {
                let gradient = objective::gradient(graph, victim.classifier, x, victim.labels, *ce_form)?;
                ball::unit(graph, gradient, *ce_form, *norm)
            }
            Climbs::Divergence => {
                // By the logits of x', KL(p ‖ p') has the gradient p' − p.
                let logits = victim.classifier.logits(graph, x)?;
                let moved = graph.softmax(logits);
                let feed = graph.subtract(moved, kept[1])?;
                let gradient = graph.gradient(logits, feed, &[x])?[0];
                ball::unit(graph, gradient, CeForm::SaturationFree, *norm)
            }
        }
    }
}

impl Steps for NearPgd {
    fn iterations(&self) -> usize {
        self.options.iterations
    }

    fn is_random(&self) -> bool {
        true
    }

    fn seed(&self) -> u64 {
        self.options.seed
    }

    /// The start, which may be outside the box by as much as the noise, and for the divergence the clean probabilities.
    fn start(&self, graph: &mut Graph, victim: Victim, start: Start) -> Result<Vec<Tensor>, GraphError> {
        let noise = start.noise.expect("it starts at random");
        let noise = graph.affine(noise, START, 0.0);
        let x = graph.add(victim.images, noise)?;
        if self.climbs == Climbs::CrossEntropy {
            return Ok(vec![x]);
        }
        let logits = victim.classifier.logits(graph, victim.images)?;
        Ok(vec![x, graph.softmax(logits)])
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        _: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let direction = self.direction(graph, victim, kept)?;
        let step = graph.affine(direction, self.step_size(), 0.0);
        let moved = graph.add(kept[0], step)?;
        let boxed = ball::clip(graph, moved);
        let epsilon = graph.constant(self.options.epsilon, &[1])?;
        let x = ball::project(graph, victim.images, boxed, epsilon, self.options.norm)?;
        Ok(std::iter::once(x).chain(kept[1..].iter().copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;

    #[test]
    fn steps_follow_the_radius_unless_their_length_is_given() {
        let of = |norm, step_size| {
            let options = AttackOptions {
                norm,
                step_size,
                epsilon: 8.0 / 255.0,
                ..AttackOptions::new(AttackKind::of(&OF_TRADES))
            };
            NearPgd { options, climbs: Climbs::Divergence }.step_size()
        };
        assert_eq!(of(Norm::Linf, None), 2.0 / 255.0);
        assert!((of(Norm::L2, None) - 1.6 / 255.0).abs() < 1e-9);
        assert_eq!(of(Norm::Linf, Some(0.5)), 0.5);
    }
}

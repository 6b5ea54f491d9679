//! The targeted form of the fast adaptive boundary attack (Croce and Hein 2020), in L2 and Linf: every step linearises the
//! boundary between the image's class and a target, and moves to it from both the current point and the original, mostly
//! from the current one. An adversarial point is kept if it is the nearest so far, and the search goes back towards the
//! original.
//!
//! Written from the paper and checked against its public code (fra31/auto-attack, a392200). The first round of a target
//! starts at the image, later ones at a random point.

use super::aim::Aim;
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::smallest::{Nearest, length};
use super::steps::{Start, Steps, Victim};
use super::{ball, hyperplane, objective, targets};
use crate::graph::{Graph, GraphError, Tensor, Unary};

/// The largest weight of the move from the original.
const ALPHA_MAX: f32 = 0.1;
/// Moves are lengthened by this, so that they end beyond the boundary.
const ETA: f32 = 1.05;
/// What is left of the perturbation of an adversarial point before the next step.
const BETA: f32 = 0.9;
/// Moves count as at least this long.
const SHORTEST: f32 = 1e-8;
/// Where random rounds start, as a share of the radius that is enough.
const START: f32 = 0.5;

/// Its description.
pub static FAB_T: Attack = Attack {
    name: "fab-t",
    title: "FAB-T",
    about: "Fast adaptive boundary attack, aimed at the likeliest wrong classes (AutoAttack's third)",
    goal: Goal::Smallest { careful: true },
    norms: &Norm::ALL,
    usual: &[],
    options: &["norm", "iterations", "restarts", "targets", "seed", "target"],
    classes: 2,
    aims: Some(2),
    defaults: |_| {},
    // A step is a forward and a backward pass, and a forward pass for the decision.
    passes: |options, classes| {
        let rounds = options.restarts * options.targets.min(classes.saturating_sub(1));
        1.5 * (options.iterations * rounds) as f64
    },
    remedy: |options| {
        let AttackOptions { iterations, restarts, targets, .. } = options;
        let both = format!("raise `iterations`, now {iterations}, or `restarts`, now {restarts}");
        match options.target {
            Aim::Away => {
                format!(
                    "{both}; if there are more wrong classes than `targets`, now {targets}, raise that too"
                )
            }
            _ => both,
        }
    },
    run: Run::Steps(|options, problem| {
        // Aimed at one class, it has no others.
        let targets = if options.target == Aim::Away { options.targets.min(problem.classes - 1) } else { 1 };
        Box::new(Fab { options: options.clone(), targets })
    }),
};

struct Fab {
    options: AttackOptions,
    targets: usize,
}

impl Fab {
    /// The next point: from `x` and from the original to the hyperplane where the class that is aimed at draws level.
    fn moved(&self, graph: &mut Graph, victim: Victim, x: Tensor, aim: Tensor) -> Result<Tensor, GraphError> {
        let (images, norm) = (victim.images, self.options.norm);
        let logits = victim.classifier.logits(graph, x)?;
        let classes = graph.shape(logits).columns();
        let [own, rival] = [victim.labels, aim].map(|class| graph.one_hot(class, classes));
        let feed = graph.subtract(rival, own)?;
        let lead = objective::value_of(graph, logits, feed)?;
        let normal = graph.gradient(logits, feed, &[x])?[0];
        let lead_at_original = graph.formula(|f| {
            let [lead, normal, x, images] = f.all([lead, normal, x, images]);
            lead + (normal * (images - x)).sum_columns()
        })?;
        let move_1 = hyperplane::onto(graph, x, normal, lead, norm)?;
        let move_2 = hyperplane::onto(graph, images, normal, lead_at_original, norm)?;
        let [length_1, length_2] = [length(graph, move_1, norm)?, length(graph, move_2, norm)?];
        graph.formula(|f| {
            let [x, images, move_1, move_2] = f.all([x, images, move_1, move_2]);
            let [length_1, length_2] =
                f.all([length_1, length_2]).map(|length| length.clamp(SHORTEST, f32::MAX));
            let share = (length_1 / (length_1 + length_2)).clamp(0.0, ALPHA_MAX);
            let point = (x + move_1 * ETA) * (-share + 1.0) + (images + move_2 * ETA) * share;
            point.clamp(0.0, 1.0)
        })
    }
}

impl Steps for Fab {
    fn iterations(&self) -> usize {
        self.options.iterations
    }

    fn rounds(&self) -> usize {
        self.options.restarts * self.targets
    }

    fn is_random(&self) -> bool {
        self.options.restarts > 1
    }

    fn seed(&self) -> u64 {
        self.options.seed
    }

    /// Which target is aimed at, and whether the round starts at random.
    fn round_numbers(&self, round: usize) -> Vec<f32> {
        let restarts = self.options.restarts;
        let mut numbers = targets::chosen(round / restarts, self.targets);
        numbers.push(f32::from(u8::from(!round.is_multiple_of(restarts))));
        numbers
    }

    /// The nearest adversarial image, the point that the next step looks at, the nearest one's distance, and the class that
    /// the round aims at.
    fn start(&self, graph: &mut Graph, victim: Victim, start: Start) -> Result<Vec<Tensor>, GraphError> {
        let (random, chosen) = start.numbers.split_last().expect("a number says whether it starts at random");
        let aim = match victim.aim {
            Some(aim) => graph.unary(Unary::Identity, aim),
            None => targets::aim(graph, victim, chosen)?,
        };
        let nearest = Nearest::none(graph, victim.images)?;
        let AttackOptions { norm, enough, .. } = self.options;
        let x = match start.noise {
            None => victim.images,
            Some(noise) => {
                let radius = START * enough.unwrap_or_else(|| norm.usual_epsilon());
                let point = ball::random_start(graph, victim.images, noise, radius, norm)?;
                graph.formula(|f| f.of(*random).choose(f.of(point), f.of(victim.images)))?
            }
        };
        Ok(vec![nearest.image, x, nearest.distance, aim])
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        _: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let [image, x, distance, aim] = kept.try_into().expect("four values are kept");
        let moved = self.moved(graph, victim, x, aim)?;
        let logits = victim.classifier.logits(graph, moved)?;
        let fooled = victim.reached(graph, logits)?;
        let perturbation = graph.subtract(moved, victim.images)?;
        let far = length(graph, perturbation, self.options.norm)?;
        let nearest = Nearest { image, distance }.or(graph, moved, fooled, far)?;
        let x = graph.formula(|f| {
            let [moved, images, perturbation] = f.all([moved, victim.images, perturbation]);
            f.of(fooled).choose(images + perturbation * BETA, moved)
        })?;
        Ok(vec![nearest.image, x, nearest.distance, aim])
    }
}

//! Projected gradient descent (Madry et al.): steps of length α along the gradient, each followed by the
//! projection onto the ball of radius ε and the box. Starts at the image or at a random point.

use super::ball;
use super::fgm::{self, Move};
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::steps::{Start, Steps, Victim};
use crate::graph::{Graph, GraphError, Tensor};

/// Its description.
pub static PGD: Attack = Attack {
    name: "pgd",
    title: "PGD",
    about: "Projected gradient descent inside the ball of radius epsilon",
    goal: Goal::Ball,
    norms: &Norm::ALL,
    usual: &[Norm::Linf],
    options: &[
        "epsilon",
        "norm",
        "iterations",
        "step-size",
        "restarts",
        "random-start",
        "seed",
        "ce-form",
        "target",
    ],
    classes: 2,
    aims: Some(2),
    defaults: |options| options.iterations = 10,
    passes: |options, _| (options.iterations * options.restarts) as f64,
    remedy: |options| {
        format!("raise `iterations`, now {}, or `restarts`, now {}", options.iterations, options.restarts)
    },
    run: Run::Steps(|options, _| Box::new(Pgd { options: options.clone() })),
};

struct Pgd {
    options: AttackOptions,
}

/// The length of a step: 2.5 ε / iterations unless it is given.
pub fn step_size(options: &AttackOptions) -> f32 {
    options.step_size.unwrap_or(2.5 * options.epsilon / options.iterations as f32)
}

/// One step from `from`, projected to the ball of radius `epsilon` (one value) and the box.
pub fn step(
    graph: &mut Graph,
    victim: Victim,
    from: Tensor,
    epsilon: Tensor,
    how: Move,
) -> Result<Tensor, GraphError> {
    let moved = fgm::moved(graph, victim, from, how)?;
    ball::project(graph, victim.images, moved, epsilon, how.norm)
}

impl Steps for Pgd {
    fn iterations(&self) -> usize {
        self.options.iterations
    }

    fn rounds(&self) -> usize {
        self.options.restarts
    }

    fn is_random(&self) -> bool {
        self.options.random_start || self.options.restarts > 1
    }

    fn seed(&self) -> u64 {
        self.options.seed
    }

    /// With several rounds, whether one starts at random: the first one only if that is asked for.
    fn round_numbers(&self, round: usize) -> Vec<f32> {
        let random = self.options.random_start || round > 0;
        if self.options.restarts > 1 { vec![f32::from(u8::from(random))] } else { Vec::new() }
    }

    fn start(&self, graph: &mut Graph, victim: Victim, start: Start) -> Result<Vec<Tensor>, GraphError> {
        let Some(noise) = start.noise else { return Ok(vec![victim.images]) };
        let epsilon = graph.constant(self.options.epsilon, &[1])?;
        let x = ball::random_point(graph, victim.images, noise, epsilon, self.options.norm)?;
        let Some(random) = start.numbers.first() else { return Ok(vec![x]) };
        let chosen = graph.formula(|f| f.of(*random).choose(f.of(x), f.of(victim.images)))?;
        Ok(vec![chosen])
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        _: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let AttackOptions { epsilon, norm, ce_form, .. } = self.options;
        let epsilon = graph.constant(epsilon, &[1])?;
        let length = graph.constant(step_size(&self.options), &[1])?;
        Ok(vec![step(graph, victim, kept[0], epsilon, Move { length, norm, form: ce_form })?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;

    #[test]
    fn ten_steps_go_two_and_a_half_times_as_far_as_the_radius() {
        let options = AttackOptions { epsilon: 0.5, ..AttackOptions::new(AttackKind::PGD) };
        assert_eq!(step_size(&options), 0.125);
        assert_eq!(step_size(&AttackOptions { step_size: Some(0.2), ..options }), 0.2);
    }
}

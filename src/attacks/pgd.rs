//! Projected gradient descent (Madry et al.): steps of length α along the gradient, each followed by the
//! projection onto the ball of radius ε and the box. Starts at the image or at a random point of the sphere.

use super::ball;
use super::fgm::{self, Move};
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::steps::{Steps, Victim};
use crate::graph::{Graph, GraphError, Tensor};

/// Its description.
pub static PGD: Attack = Attack {
    name: "pgd",
    title: "PGD",
    about: "Projected gradient descent inside the ball of radius epsilon",
    goal: Goal::Ball,
    norms: &Norm::ALL,
    usual: &[Norm::Linf],
    options: &["epsilon", "norm", "iterations", "step-size", "random-start", "seed", "ce-form"],
    defaults: |options| options.iterations = 10,
    passes: |options, _| options.iterations as f64,
    remedy: |options| format!("raise --iterations, now {}", options.iterations),
    run: Run::Steps(|options| Box::new(Pgd { options: options.clone() })),
};

struct Pgd {
    options: AttackOptions,
}

/// The length of a step: 2.5 ε / iterations unless it is given.
pub fn step_size(options: &AttackOptions) -> f32 {
    options.step_size.unwrap_or(2.5 * options.epsilon / options.iterations as f32)
}

impl Steps for Pgd {
    fn iterations(&self) -> usize {
        self.options.iterations
    }

    fn seed(&self) -> Option<u64> {
        self.options.random_start.then_some(self.options.seed)
    }

    fn start(
        &self,
        graph: &mut Graph,
        victim: Victim,
        seed: Option<Tensor>,
    ) -> Result<Vec<Tensor>, GraphError> {
        let Some(seed) = seed else { return Ok(vec![victim.images]) };
        let epsilon = graph.constant(self.options.epsilon, &[1])?;
        Ok(vec![ball::random_point(graph, victim.images, seed, epsilon, self.options.norm)?])
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
        let moved = fgm::moved(graph, victim, kept[0], Move { length, norm, form: ce_form })?;
        Ok(vec![ball::project(graph, victim.images, moved, epsilon, norm)?])
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

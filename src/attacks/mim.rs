//! The momentum iterative method (Dong et al.): the gradient, divided by its mean absolute value, is added
//! to a decaying momentum; steps of length α go along the momentum, projected onto ball and box.

use super::ball;
use super::objective::CeForm;
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::steps::{Start, Steps, Victim};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};

/// Its description.
pub static MIM: Attack = Attack {
    name: "mim",
    title: "MIM",
    about: "Momentum iterative method inside the ball of radius epsilon",
    goal: Goal::Ball,
    norms: &Norm::ALL,
    usual: &Norm::ALL,
    options: &["epsilon", "norm", "iterations", "step-size", "decay", "ce-form", "target"],
    classes: 2,
    aims: Some(2),
    defaults: |_| {},
    passes: |options, _| options.iterations as f64,
    remedy: |options| format!("raise `iterations`, now {}", options.iterations),
    run: Run::Steps(|options, _| Box::new(Mim { options: options.clone() })),
};

/// The library's default step in L2.
const L2_STEP: f32 = 0.06;
/// Mean absolute gradients below this are not divided by (the library's floor in the plain form).
const PLAIN_FLOOR: f32 = 1e-12;
const FLAT_FLOOR: f32 = 1e-30;

struct Mim {
    options: AttackOptions,
}

/// The length of a step. Unless it is given: the library's 0.06 in L2, and ε / iterations in Linf, as its authors have it.
fn step_size(options: &AttackOptions) -> f32 {
    options.step_size.unwrap_or(match options.norm {
        Norm::L2 => L2_STEP,
        Norm::Linf => options.epsilon / options.iterations as f32,
    })
}

impl Steps for Mim {
    fn iterations(&self) -> usize {
        self.options.iterations
    }

    /// The images and no momentum.
    fn start(&self, graph: &mut Graph, victim: Victim, _: Start) -> Result<Vec<Tensor>, GraphError> {
        let zero = graph.constant(0.0, &[1])?;
        let momentum = graph.broadcast(zero, &graph.shape(victim.images).clone())?;
        Ok(vec![victim.images, momentum])
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        _: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let (current, momentum) = (kept[0], kept[1]);
        let AttackOptions { ce_form, decay, epsilon, norm, .. } = self.options;
        let gradient = victim.gradient(graph, current, ce_form)?;
        let absolute = graph.unary(Unary::Abs, gradient);
        let sum = graph.sum_columns(absolute);
        let pixels = graph.shape(current).columns() as f32;
        let mean = graph.affine(sum, 1.0 / pixels, 0.0);
        let floor = if ce_form == CeForm::Plain { PLAIN_FLOOR } else { FLAT_FLOOR };
        let floored = graph.unary(Unary::Clamp(floor, f32::MAX), mean);
        let scaled = graph.binary(Binary::Divide, gradient, floored)?;
        let decayed = graph.affine(momentum, decay, 0.0);
        let next = graph.add(decayed, scaled)?;
        let unit = ball::unit(graph, next, CeForm::SaturationFree, norm)?;
        let step = graph.affine(unit, step_size(&self.options), 0.0);
        let moved = graph.add(current, step)?;
        let epsilon = graph.constant(epsilon, &[1])?;
        let x = ball::project(graph, victim.images, moved, epsilon, norm)?;
        Ok(vec![x, next])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;

    #[test]
    fn a_step_that_is_not_given_follows_the_norm() {
        let of = |norm, epsilon| {
            step_size(&AttackOptions { norm, epsilon, iterations: 10, ..AttackOptions::new(AttackKind::MIM) })
        };
        assert_eq!(of(Norm::L2, 1.0), L2_STEP);
        assert_eq!(of(Norm::Linf, 0.5), 0.05);
    }
}

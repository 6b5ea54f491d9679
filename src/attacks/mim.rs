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
    use crate::attacks::steps::tests::moved;
    use crate::models::file::Model;
    use crate::nn::{Builder, Problem};

    #[test]
    fn a_step_that_is_not_given_follows_the_norm() {
        let of = |norm, epsilon| {
            step_size(&AttackOptions { norm, epsilon, iterations: 10, ..AttackOptions::new(AttackKind::MIM) })
        };
        assert_eq!(of(Norm::L2, 1.0), L2_STEP);
        assert_eq!(of(Norm::Linf, 0.5), 0.05);
    }

    /// A classifier of two pixels with `z1 − z0 = relu(8a + 8b) − relu(8.25a + 9.75b − 9.5)`. Its gradient is (8, 8) at
    /// (0.5, 0.5), and (−0.25, −1.75) from where the second term is above 0.
    fn bent() -> Model {
        let mut net = Builder::new(Problem { height: 1, width: 2, channels: 1, classes: 2 });
        let x = net.dense(net.images(), "hidden", 2, 1.0);
        let x = net.relu(x);
        net.dense(x, "logits", 2, 1.0);
        let net = net.finish().unwrap();
        // A weight from each input to each output, then biases; twice.
        let all: [&[f32]; 4] = [&[8.0, 8.25, 8.0, 9.75], &[0.0, -9.5], &[0.0, 1.0, 0.0, -1.0], &[0.0, 0.0]];
        let mut values = net.slots.zeros();
        for (slot, own) in all.into_iter().enumerate() {
            net.slots.get_mut(&mut values, slot).copy_from_slice(own);
        }
        Model::new(net, values)
    }

    #[test]
    fn gradients_of_mean_size_one_add_up_in_a_momentum_that_decays() {
        // g1 = (8, 8) has a mean size of 8, so m1 = (1, 1). g2 = (−0.25, −1.75) has one of 1, so with a decay of a half
        // m2 = 0.5 m1 + g2 = (0.25, −1.25). Without momentum, both pixels would fall in the second step; with gradients as
        // long as they are, both would rise.
        let of = |norm, epsilon| {
            let (iterations, step_size, decay) = (2, Some(0.125), 0.5);
            let usual = AttackOptions::new(AttackKind::MIM);
            let options = AttackOptions { epsilon, norm, iterations, step_size, decay, ..usual };
            moved(&options, &bent(), &[0.5, 0.5])
        };
        // By the signs: 0.5 + 0.125 (1 + 1) and 0.5 + 0.125 (1 − 1).
        assert_eq!(of(Norm::Linf, 0.25), [0.75, 0.5]);
        // By m / ‖m‖: 0.5 + 0.125 (1/√2 + 1/√26) and 0.5 + 0.125 (1/√2 − 5/√26).
        let found = of(Norm::L2, 0.5);
        for (own, expected) in found.iter().zip([0.612_903_f32, 0.465_816]) {
            assert!((own - expected).abs() < 2e-6, "{found:?}");
        }
    }
}

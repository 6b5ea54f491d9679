//! The fast gradient method (Goodfellow et al.): one step of length ε along the gradient,
//! `clip(x + ε g / ‖g‖)`, or along its signs under the largest-value norm.

use super::ball;
use super::objective::CeForm;
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::steps::{Start, Steps, Victim};
use crate::graph::{Graph, GraphError, Tensor};

/// Its description.
pub static FGM: Attack = Attack {
    name: "fgm",
    title: "FGM",
    about: "Fast gradient method: one step of length epsilon",
    goal: Goal::Ball,
    norms: &Norm::ALL,
    usual: &Norm::ALL,
    options: &["epsilon", "norm", "ce-form", "target"],
    classes: 2,
    aims: Some(2),
    defaults: |_| {},
    passes: |_, _| 1.0,
    remedy: |_| "use an attack of several steps".to_string(),
    run: Run::Steps(|options, _| Box::new(Fgm { options: options.clone() })),
};

/// How far images are moved and along which gradient.
#[derive(Clone, Copy)]
pub struct Move {
    /// Length in pixel units, one value.
    pub length: Tensor,
    /// Its norm.
    pub norm: Norm,
    /// Which gradient is followed.
    pub form: CeForm,
}

/// The images `from` moved by one step, not clipped.
pub fn moved(
    graph: &mut Graph,
    victim: Victim,
    from: Tensor,
    Move { length, norm, form }: Move,
) -> Result<Tensor, GraphError> {
    let gradient = victim.gradient(graph, from, form)?;
    let unit = ball::unit(graph, gradient, form, norm)?;
    let offset = graph.multiply(unit, length)?;
    graph.add(from, offset)
}

/// The attack with a length that is a tensor.
pub fn fgm(graph: &mut Graph, victim: Victim, how: Move) -> Result<Tensor, GraphError> {
    let moved = moved(graph, victim, victim.images, how)?;
    Ok(ball::clip(graph, moved))
}

struct Fgm {
    options: AttackOptions,
}

impl Steps for Fgm {
    fn iterations(&self) -> usize {
        1
    }

    fn start(&self, _: &mut Graph, victim: Victim, _: Start) -> Result<Vec<Tensor>, GraphError> {
        Ok(vec![victim.images])
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        _: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let length = graph.constant(self.options.epsilon, &[1])?;
        let how = Move { length, norm: self.options.norm, form: self.options.ce_form };
        let moved = moved(graph, victim, kept[0], how)?;
        Ok(vec![ball::clip(graph, moved)])
    }
}

//! The fast gradient method (Goodfellow et al.): one step of length ε along the gradient,
//! `clip(x + ε g / ‖g‖)`, or along its signs under the largest-value norm.

use super::attacker::BatchAttack;
use super::direction::{self, CeForm};
use super::options::{AttackOptions, Norm};
use super::target::Target;
use crate::executor::{ExecutionError, Session};
use crate::graph::{Graph, GraphError, Tensor, Unary};
use crate::nn::Classifier;

/// Which images are attacked, how far and how.
#[derive(Clone, Copy)]
pub struct Step {
    /// The images, `[n, s, s, c]`.
    pub images: Tensor,
    /// The attacked classes, `[n, 1]`.
    pub labels: Tensor,
    /// Length in pixel units, one value.
    pub length: Tensor,
    /// Its norm.
    pub norm: Norm,
    /// Which gradient is followed.
    pub form: CeForm,
}

/// The images moved by one step, not clipped.
pub fn step(graph: &mut Graph, classifier: Classifier, step: Step) -> Result<Tensor, GraphError> {
    let gradient = direction::gradient(graph, classifier, step.images, step.labels, step.form)?;
    let unit = direction::unit(graph, gradient, step.form, step.norm)?;
    let move_by = graph.multiply(unit, step.length)?;
    graph.add(step.images, move_by)
}

/// The attacked images.
pub fn fgm(graph: &mut Graph, classifier: Classifier, parts: Step) -> Result<Tensor, GraphError> {
    let moved = step(graph, classifier, parts)?;
    Ok(graph.unary(Unary::Clamp(0.0, 1.0), moved))
}

/// The attack over a batch.
pub struct Fgm {
    session: Session,
}

impl Fgm {
    /// Prepares it.
    pub fn new(target: &mut Target, options: &AttackOptions) -> Result<Self, ExecutionError> {
        let mut a = target.graph()?;
        let length = a.graph.constant(options.epsilon, &[1])?;
        let (images, labels) = (a.images, a.labels);
        let parts = Step { images, labels, length, norm: options.norm, form: options.ce_form };
        let x = fgm(&mut a.graph, target.classifier(&a.states), parts)?;
        a.graph.output("adversarial", x);
        Ok(Self { session: target.prepare(&a.graph)? })
    }
}

impl BatchAttack for Fgm {
    fn attack(&mut self, _target: &mut Target, _first: usize) -> Result<Vec<f32>, ExecutionError> {
        Ok(self.session.compute()?.get("adversarial").to_vec())
    }

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.session]
    }
}

//! The momentum iterative method (Dong et al.): the gradient, divided by its mean absolute value, is added
//! to a decaying momentum; steps of length α go along the momentum, projected onto ball and box.

use super::attacker::BatchAttack;
use super::options::AttackOptions;
use super::pgd::iterate;
use super::projection::project;
use super::target::{IMAGES, Target};
use super::{CeForm, direction};
use crate::executor::{ExecutionError, Session};
use crate::graph::{Binary, Unary};

const CURRENT: &str = "mim.current";
const MOMENTUM: &str = "mim.momentum";
/// Mean absolute gradients below this are not divided by (the library's floor in the plain form).
const PLAIN_FLOOR: f32 = 1e-12;
const FLAT_FLOOR: f32 = 1e-30;

/// The attack over a batch.
pub struct Mim {
    iterations: usize,
    iterate: Session,
}

impl Mim {
    /// Prepares it.
    pub fn new(target: &mut Target, options: &AttackOptions) -> Result<Self, ExecutionError> {
        let mut a = target.graph()?;
        let graph = &mut a.graph;
        let current = graph.state(CURRENT, &target.extents())?;
        let momentum = graph.state(MOMENTUM, &target.extents())?;
        let form = options.ce_form;
        let gradient = direction::gradient(graph, target.classifier(&a.states), current, a.labels, form)?;
        let absolute = graph.unary(Unary::Abs, gradient);
        let sum = graph.sum_columns(absolute);
        let mean = graph.affine(sum, 1.0 / target.pixels() as f32, 0.0);
        let floor = if form == CeForm::Plain { PLAIN_FLOOR } else { FLAT_FLOOR };
        let floored = graph.unary(Unary::Clamp(floor, f32::MAX), mean);
        let scaled = graph.binary(Binary::Divide, gradient, floored)?;
        let decayed = graph.affine(momentum, options.decay, 0.0);
        let next = graph.add(decayed, scaled)?;
        let unit = direction::unit(graph, next, CeForm::SaturationFree, options.norm)?;
        let step = graph.affine(unit, options.step(), 0.0);
        let moved = graph.add(current, step)?;
        let epsilon = graph.constant(options.epsilon, &[1])?;
        let x = project(graph, a.images, moved, epsilon, options.norm)?;
        graph.assign(momentum, next)?;
        graph.assign(current, x)?;
        Ok(Self { iterations: options.iterations, iterate: target.prepare(&a.graph)? })
    }
}

impl BatchAttack for Mim {
    fn attack(&mut self, target: &mut Target, _first: usize) -> Result<Vec<f32>, ExecutionError> {
        let images = target.workspace.read(IMAGES)?;
        target.workspace.write(CURRENT, &images)?;
        target.workspace.write(MOMENTUM, &vec![0.0; images.len()])?;
        iterate(&mut self.iterate, self.iterations)?;
        target.workspace.read(CURRENT)
    }

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.iterate]
    }
}

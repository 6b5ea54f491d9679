//! The perturbation generator as an attack: one forward pass, its perturbation as it is or scaled to a
//! given norm.

use super::attacker::BatchAttack;
use super::options::AttackOptions;
use super::projection::l2;
use super::target::Target;
use crate::executor::{ExecutionError, Session};
use crate::graph::{Binary, Unary};
use crate::nn::Values;
use crate::pgn::{Generator, GeneratorInputs, GradientInput};
use crate::training::game;

/// The attack over a batch.
pub struct GeneratorAttack {
    session: Session,
}

impl GeneratorAttack {
    /// Prepares the attack of `generator`, which sees the gradient in the given reading.
    pub fn new(
        target: &mut Target,
        options: &AttackOptions,
        (generator, values): &(Generator, Values),
        reading: GradientInput,
    ) -> Result<Self, ExecutionError> {
        target.workspace.write("generator.parameters", &values.weights)?;
        let mut a = target.graph()?;
        let graph = &mut a.graph;
        let logits = target.classifier(&a.states).logits(graph, a.images)?;
        let loss = graph.cross_entropy(logits, a.labels)?;
        let gradient = game::gradient_image(graph, reading, loss, a.images)?;
        let states = generator.live(graph)?;
        let inputs = GeneratorInputs { labels: a.labels, images: a.images, gradient };
        let answer = game::generator_move(graph, generator, &states, inputs)?;
        let x = match options.radius {
            None => answer.adversarial,
            Some(radius) => {
                let length = l2(graph, answer.delta);
                let wanted = graph.constant(radius, &[1])?;
                let scale = graph.binary(Binary::Divide, wanted, length)?;
                let delta = graph.multiply(answer.delta, scale)?;
                let moved = graph.add(a.images, delta)?;
                graph.unary(Unary::Clamp(0.0, 1.0), moved)
            }
        };
        graph.output("adversarial", x);
        Ok(Self { session: target.prepare(&a.graph)? })
    }
}

impl BatchAttack for GeneratorAttack {
    fn attack(&mut self, _target: &mut Target, _first: usize) -> Result<Vec<f32>, ExecutionError> {
        Ok(self.session.compute()?.get("adversarial").to_vec())
    }

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.session]
    }
}

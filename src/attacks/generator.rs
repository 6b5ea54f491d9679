//! The perturbation generator as an attack: one forward pass, its perturbation as it is or scaled to a
//! given norm.

use super::attacker::AttackError;
use super::ball;
use super::driver::BatchAttack;
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::target::Target;
use crate::executor::{ExecutionError, Session};
use crate::graph::Binary;
use crate::models::file::Model;
use crate::pgn::{GeneratorInputs, generator_move, gradient_image};

/// Its description.
pub static PGN: Attack = Attack {
    name: "pgn",
    title: "PGN",
    about: "The model's own perturbation generator",
    goal: Goal::Generator,
    norms: &[Norm::L2],
    usual: &[],
    options: &["radius"],
    classes: 2,
    aims: None,
    defaults: |_| {},
    // A gradient, and the generator.
    passes: |_, _| 2.0,
    remedy: |_| "train the generator for longer, with `pgn-wgpu train-generator`".to_string(),
    run: Run::Batch(|target, options, model| Ok(Box::new(GeneratorAttack::new(target, options, model)?))),
};

/// The attack over a batch.
struct GeneratorAttack {
    session: Session,
}

impl GeneratorAttack {
    /// Prepares the attack of the model's generator.
    fn new(target: &mut Target, options: &AttackOptions, model: &Model) -> Result<Self, AttackError> {
        let Some((generator, values)) = &model.generator else {
            let problem =
                "the model has no generator to attack with; make one with `pgn-wgpu train-generator`";
            return Err(AttackError::Unsuitable(problem.to_string()));
        };
        target.workspace.write("generator.parameters", &values.weights).map_err(AttackError::from)?;
        let mut a = target.graph()?;
        let graph = &mut a.graph;
        let logits = target.classifier(&a.states).logits(graph, a.images)?;
        let loss = graph.cross_entropy(logits, a.labels)?;
        let gradient = gradient_image(graph, model.facts.gradient_input, loss, a.images)?;
        let states = generator.live(graph)?;
        let inputs = GeneratorInputs { labels: a.labels, images: a.images, gradient };
        let answer = generator_move(graph, generator, &states, inputs)?;
        let x = match options.radius {
            None => answer.adversarial,
            Some(radius) => {
                let length = ball::l2(graph, answer.delta);
                let wanted = graph.constant(radius, &[1])?;
                let scale = graph.binary(Binary::Divide, wanted, length)?;
                let delta = graph.multiply(answer.delta, scale)?;
                let moved = graph.add(a.images, delta)?;
                ball::clip(graph, moved)
            }
        };
        graph.output("adversarial", x);
        Ok(Self { session: target.prepare(&a.graph)? })
    }
}

impl BatchAttack for GeneratorAttack {
    fn attack(&mut self, _: &mut Target) -> Result<Vec<f32>, ExecutionError> {
        Ok(self.session.compute()?.get("adversarial").to_vec())
    }

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.session]
    }
}

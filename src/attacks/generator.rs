//! The perturbation generator as an attack: its move as in training, with the rounds, the radius and the gradient of its
//! recipe, and its perturbation as it is or scaled to a given norm. Of several generators the strongest on each image counts.
//! A generator that takes noise gets numbers that depend on the image's place in the set alone.

use super::attacker::AttackError;
use super::ball;
use super::driver::BatchAttack;
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::target::Target;
use crate::executor::{ExecutionError, Session};
use crate::graph::Binary;
use crate::models::file::Model;
use crate::nn::Pass;
use crate::pgn::Turn;
use crate::random::{Random, Stream};

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
    // A gradient and the generator, as in the paper.
    passes: |_, _| 2.0,
    remedy: |_| "train the generator for longer, with `pgn-wgpu train-generator`".to_string(),
    run: Run::Batch(|target, options, model| Ok(Box::new(GeneratorAttack::new(target, options, model)?))),
};

/// The attack over a batch.
struct GeneratorAttack {
    session: Session,
    /// Whether the generator takes noise.
    noise: bool,
}

/// State of the generator's noise.
const NOISE: &str = "attack.noise";
/// Seed of that noise.
const SEED: u64 = 0;

impl GeneratorAttack {
    /// Prepares the attack of the model's generator.
    fn new(target: &mut Target, options: &AttackOptions, model: &Model) -> Result<Self, AttackError> {
        let Some((generator, values)) = &model.generator else {
            let problem =
                "the model has no generator to attack with; make one with `pgn-wgpu train-generator`";
            return Err(AttackError::Unsuitable(problem.to_string()));
        };
        target.workspace.write("generator.parameters", &values.weights).map_err(AttackError::from)?;
        if !values.buffers.is_empty() {
            target.workspace.write("generator.buffers", &values.buffers).map_err(AttackError::from)?;
        }
        let mut a = target.graph()?;
        let graph = &mut a.graph;
        let classifier = target.classifier(&a.states);
        let logits = classifier.logits(graph, a.images)?;
        let loss = graph.cross_entropy(logits, a.labels)?;
        let states = generator.live(graph)?;
        let noise = generator.recipe.noise;
        let turn = Turn {
            generator,
            states: &states,
            pass: Pass::Evaluate,
            classifier,
            images: a.images,
            labels: a.labels,
            clean: [logits, loss],
            noise: noise.then(|| graph.state(NOISE, &target.extents())).transpose()?,
            through: false,
        };
        let answer = turn.strongest(graph)?;
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
        Ok(Self { session: target.prepare(&a.graph)?, noise })
    }
}

impl BatchAttack for GeneratorAttack {
    fn load(&mut self, target: &mut Target, places: &[usize]) -> Result<(), ExecutionError> {
        if !self.noise {
            return Ok(());
        }
        let (random, pixels) = (Random::new(SEED, Stream::Attack), target.pixels());
        let of = |&place: &usize| (0..pixels).map(move |i| random.normal(0, (place * pixels + i) as u32));
        target.workspace.write(NOISE, &places.iter().flat_map(of).collect::<Vec<f32>>())
    }

    fn attack(&mut self, _: &mut Target) -> Result<Vec<f32>, ExecutionError> {
        Ok(self.session.compute()?.get("adversarial").to_vec())
    }

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.session]
    }
}

//! The perturbation generator as an attack: its move as in training, with the rounds, the radius and the gradient of its
//! recipe, and its perturbation as it is or scaled to a given norm. Of several generators the strongest on each image counts.
//! A generator that takes noise gets numbers that depend on the image's place in the set alone.

use super::attacker::AttackError;
use super::ball;
use super::driver::BatchAttack;
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::steps::Victim;
use super::target::Target;
use crate::executor::{ExecutionError, Session};
use crate::graph::{Binary, Graph, GraphError, Tensor};
use crate::models::file::Model;
use crate::nn::Pass;
use crate::pgn::{Generator, Turn};
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
        let victim = Victim { classifier, images: a.images, labels: a.labels, aim: None };
        let noise = generator.recipe.noise;
        let drawn = noise.then(|| graph.state(NOISE, &target.extents())).transpose()?;
        let radius = options.radius.map(|radius| graph.constant(radius, &[1])).transpose()?;
        let x = answer(graph, victim, generator, drawn, radius)?;
        graph.output("adversarial", x);
        Ok(Self { session: target.prepare(&a.graph)?, noise })
    }
}

/// The images as the generator whose weights live in `generator.parameters` leaves them; the strongest member answers. `noise` is
/// for a generator that takes it; `radius` (one value) is the norm to which its perturbations are scaled, if they are.
pub fn answer(
    graph: &mut Graph,
    victim: Victim,
    generator: &Generator,
    noise: Option<Tensor>,
    radius: Option<Tensor>,
) -> Result<Tensor, GraphError> {
    let Victim { classifier, images, labels, .. } = victim;
    let logits = classifier.logits(graph, images)?;
    let loss = graph.cross_entropy(logits, labels)?;
    let states = generator.live(graph)?;
    let turn = Turn {
        generator,
        states: &states,
        pass: Pass::Evaluate,
        classifier,
        images,
        labels,
        clean: [logits, loss],
        noise,
        through: false,
    };
    let answer = turn.strongest(graph)?;
    let Some(radius) = radius else { return Ok(answer.adversarial) };
    let length = ball::l2(graph, answer.delta);
    let scale = graph.binary(Binary::Divide, radius, length)?;
    let delta = graph.multiply(answer.delta, scale)?;
    let moved = graph.add(images, delta)?;
    Ok(ball::clip(graph, moved))
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

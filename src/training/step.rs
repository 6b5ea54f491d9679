//! One training step as graphs: what every defense has in common.
//!
//! A training step is one or more *phases*; a phase computes gradients for the networks that move in it, and
//! an optimiser applies them. With a batch that the device cannot hold at once, a phase runs over micro-batches that
//! add their gradients up, and a second, small graph applies the sum. Every image carries a weight, 1 / batch
//! for real images and 0 for padding, so that sums over micro-batches are the batch's mean.
//!
//! What a phase computes is the defense's: see [`defenses`](super::defenses).

use super::config::{AttackLabel, AttackMode, TrainConfig};
use super::defenses::awp;
use super::optimiser::{self, Role, Rule};
use crate::attacks::registry::Run;
use crate::attacks::steps::{self, Victim};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};
use crate::nn::{Classifier, Net, Pass, Problem, Slots, States};
use crate::pgn::Generator;

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// The input of images that an attack with programs of its own has made.
pub const ADVERSARIAL: &str = "adversarial";

/// The networks that learn in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The classifier alone; in the game, against the generator as it is.
    Classifier,
    /// The generator alone.
    Generator,
    /// Both from one forward pass.
    Both,
}

/// What a phase does with its gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradients {
    /// The optimiser's update, in the same program.
    Apply,
    /// Added to the gradient states, for [`apply_graph`].
    Accumulate,
    /// The classifier's are added up for [`awp::climb_graph`], and nothing else comes of the graph. With `--awp`, all parts of
    /// a batch go through this before the first of them learns.
    Climb,
}

/// A network's slots in one graph.
pub struct Player<'a> {
    role: Role,
    rule: Rule,
    slots: &'a Slots,
    /// The views.
    pub states: States,
}

impl<'a> Player<'a> {
    /// The views of its states.
    pub fn new(graph: &mut Graph, role: Role, config: &TrainConfig, slots: &'a Slots) -> Result<Self> {
        let states = slots.views(graph, &role.state("parameters"), &role.state("buffers"))?;
        Ok(Self { role, rule: role.rule(config), slots, states })
    }

    /// Uses the gradients of all weights, in [`States::learned`]'s order.
    pub fn learn(&self, graph: &mut Graph, gradients: &[Tensor], how: Gradients) -> Result<()> {
        let packed = self.slots.pack(graph, gradients)?;
        match how {
            Gradients::Apply => optimiser::update(graph, self.role, self.rule, &self.states, packed),
            Gradients::Climb if self.role != Role::Classifier => Ok(()),
            Gradients::Accumulate | Gradients::Climb => {
                let sum = graph.state(&self.role.state("gradient"), &[self.slots.weights])?;
                let more = graph.add(sum, packed)?;
                graph.assign(sum, more)
            }
        }
    }
}

/// Applies the gradients that micro-batches have added up, and clears them.
pub fn apply_graph(role: Role, config: &TrainConfig, slots: &Slots) -> Result<Graph> {
    let mut graph = Graph::new();
    let states = slots.views(&mut graph, &role.state("parameters"), &role.state("buffers"))?;
    let sum = graph.state(&role.state("gradient"), &[slots.weights])?;
    optimiser::update(&mut graph, role, role.rule(config), &states, sum)?;
    optimiser::clear(&mut graph, sum)?;
    Ok(graph)
}

/// The name of the state that holds one part of what a defense keeps.
pub fn part_of(state: &str) -> String {
    format!("{state}.part")
}

/// Images, labels and weights of one (micro-)batch.
#[derive(Clone, Copy)]
pub struct BatchTensors {
    /// `[n, s, s, c]` in [0, 1].
    pub images: Tensor,
    /// Class indices `[n, 1]`.
    pub labels: Tensor,
    /// 1 / batch for real images, 0 for padding, `[n, 1]`.
    pub weights: Tensor,
}

impl BatchTensors {
    /// The inputs `images`, `labels` and `weights` of a graph.
    pub fn inputs(graph: &mut Graph, problem: Problem, images: usize) -> Result<Self> {
        Ok(Self {
            images: graph.input("images", &problem.batch(images))?,
            labels: graph.input("labels", &[images, 1])?,
            weights: graph.input("weights", &[images, 1])?,
        })
    }

    /// 1 for real images, 0 for padding, `[n, 1]`.
    fn real(&self, graph: &mut Graph) -> Result {
        let zero = graph.constant(0.0, &[1])?;
        graph.binary(Binary::Greater, self.weights, zero)
    }
}

/// The phases of one training step.
pub fn phases(config: &TrainConfig) -> Vec<Phase> {
    (config.method.phases)(config)
}

/// The graph of one phase over `images` images.
///
/// Outputs per image, but for [`Gradients::Climb`]: `loss` (cross-entropy of what the classifier trains on), `correct`, under attack `norm2`
/// (‖δ‖²), and in the game `gradient_norm2` (‖∇x CE‖² at x_adv).
pub fn phase_graph(
    config: &TrainConfig,
    net: &Net,
    generator: Option<&Generator>,
    phase: Phase,
    images: usize,
    how: Gradients,
) -> Result<Graph> {
    let mut graph = Graph::new();
    let batch = BatchTensors::inputs(&mut graph, net.problem, images)?;
    let f = Player::new(&mut graph, Role::Classifier, config, &net.slots)?;
    let generator = generator.filter(|_| config.method.generator);
    let g = generator.map(|g| Player::new(&mut graph, Role::Generator, config, &g.slots)).transpose()?;
    let real = batch.real(&mut graph)?;
    let stage = Stage { config, net, phase, batch, real, how, f, generator: generator.zip(g) };
    (config.method.phase)(&mut graph, &stage)?;
    if how == Gradients::Climb {
        graph.drop_outputs();
    }
    Ok(graph)
}

/// What a defense has at hand to build a phase.
pub struct Stage<'a> {
    /// The run.
    pub config: &'a TrainConfig,
    /// The classifier.
    pub net: &'a Net,
    /// Which networks move.
    pub phase: Phase,
    /// Images, labels and weights.
    pub batch: BatchTensors,
    /// 1 for real images, 0 for padding, `[n, 1]`.
    pub real: Tensor,
    /// What happens to gradients.
    pub how: Gradients,
    /// The classifier's states.
    pub f: Player<'a>,
    /// The generator with its states, for a defense that has one.
    pub generator: Option<(&'a Generator, Player<'a>)>,
}

/// What a classifier learns from in one pass.
#[derive(Clone)]
pub struct Objective {
    /// Losses per image and their weights, `[n, 1]` each. The classifier descends their sum.
    pub terms: Vec<(Tensor, Tensor)>,
    /// The logits that are reported.
    pub logits: Tensor,
    /// Their cross-entropy per image, `[n, 1]`.
    pub loss: Tensor,
}

/// The gradients of an objective.
pub struct Descent {
    /// By the classifier's weights, for [`Player::learn`].
    pub weights: Vec<Tensor>,
    /// By the other tensors that were asked for, at the classifier's own weights.
    pub beside: Vec<Tensor>,
    /// The objective at the classifier's own weights.
    pub own: Objective,
    /// The objective whose gradient `weights` is; another one than `own` if weights are perturbed.
    pub learned: Objective,
}

impl Stage<'_> {
    /// The classifier in training mode; with `update_statistics` its running statistics learn too.
    fn training(&self, update_statistics: bool) -> Classifier<'_> {
        let pass = Pass::Train { real: self.real, update_statistics };
        Classifier { net: self.net, states: &self.f.states, pass }
    }

    /// The classifier in the mode in which it is attacked; no attack teaches it statistics.
    pub fn attacked(&self) -> Classifier<'_> {
        let pass = match self.config.attack_mode {
            AttackMode::Evaluate => Pass::Evaluate,
            AttackMode::Train => Pass::Train { real: self.real, update_statistics: false },
        };
        Classifier { net: self.net, states: &self.f.states, pass }
    }

    /// The images as the run's inner attack leaves them, if it has one. The classifier does not learn through the attack
    /// unless the run says so.
    pub fn adversarial(&self, graph: &mut Graph) -> Result<Option<Tensor>> {
        let Some(options) = self.config.inner_attack() else { return Ok(None) };
        let Run::Steps(attack) = options.kind.run else {
            return graph.input(ADVERSARIAL, graph.shape(self.batch.images).clone().extents()).map(Some);
        };
        let (classifier, images) = (self.attacked(), self.batch.images);
        let labels = match self.config.attack_label {
            AttackLabel::Predicted if self.config.method.reads("attack-label") => {
                let logits = classifier.logits(graph, images)?;
                graph.arg_max(logits)
            }
            _ => self.batch.labels,
        };
        let attack = attack(&options, self.net.problem);
        let noise = match attack.is_random() {
            true => {
                let seed = graph.input("seed", &[3])?;
                let extents = graph.shape(images).extents().to_vec();
                Some(graph.random_normal(seed, &extents)?)
            }
            false => None,
        };
        let victim = Victim { classifier, images, labels, aim: None };
        let through = self.config.learns_through_attack();
        let x = steps::unroll(graph, attack.as_ref(), victim, noise, through)?;
        Ok(Some(if through { x } else { graph.detach(x) }))
    }

    /// The loss per image that the classifier learns from: the cross-entropy `loss` of `logits`, with the run's share of
    /// the label's weight spread over all classes.
    pub fn smoothed(&self, graph: &mut Graph, logits: Tensor, loss: Tensor) -> Result {
        smoothed(graph, logits, loss, self.batch.labels, self.config.label_smoothing)
    }

    /// Each image's weight times a share of the objective.
    pub fn share(&self, graph: &mut Graph, share: f32) -> Tensor {
        graph.affine(self.batch.weights, share, 0.0)
    }

    /// What the defense keeps of these images from step to step: the state `name` of a whole batch, or its part.
    pub fn kept(&self, graph: &mut Graph, name: &str, extents: &[usize]) -> Result {
        match self.how {
            Gradients::Apply => graph.state(name, extents),
            Gradients::Accumulate | Gradients::Climb => graph.state(&part_of(name), extents),
        }
    }

    /// Whether the graph may change states. In the turn in which weights climb it only adds up their gradient.
    pub fn is_learned_from(&self) -> bool {
        self.how != Gradients::Climb
    }

    /// The gradients of what `build` writes for a classifier in training mode: by its weights, and by `beside`. With
    /// perturbed weights (`--awp`) those by the weights are of a second pass, and only that one teaches statistics.
    pub fn gradients(
        &self,
        graph: &mut Graph,
        beside: &[Tensor],
        build: impl Fn(&mut Graph, Classifier) -> Result<Objective>,
    ) -> Result<Descent> {
        let live = &self.f.states.learned;
        let wanted: Vec<Tensor> = live.iter().chain(beside).copied().collect();
        let moves = self.config.awp_gamma().is_some();
        let own = build(graph, self.training(!moves))?;
        let mut weights = graph.gradient_of_many(&own.terms, &wanted)?;
        let beside = weights.split_off(live.len());
        if !moves || !self.is_learned_from() {
            let learned = own.clone();
            return Ok(Descent { weights, beside, own, learned });
        }
        let (slots, states) = (&self.net.slots, &self.f.states);
        let climbed = match self.how {
            Gradients::Accumulate => awp::climbed_before(graph, slots, states)?,
            _ => awp::climbed(graph, slots, states, &weights)?,
        };
        let learned = build(graph, Classifier { states: &climbed, ..self.training(true) })?;
        let weights = graph.gradient_of_many(&learned.terms, &climbed.learned)?;
        Ok(Descent { weights, beside, own, learned })
    }

    /// Lets the classifier descend what `build` writes, and returns it.
    pub fn descend(
        &self,
        graph: &mut Graph,
        build: impl Fn(&mut Graph, Classifier) -> Result<Objective>,
    ) -> Result<Objective> {
        let gradient = self.gradients(graph, &[], build)?;
        self.f.learn(graph, &gradient.weights, self.how)?;
        Ok(gradient.learned)
    }

    /// The outputs `loss` and `correct` of what the classifier trains on and, under attack, `norm2`.
    pub fn report(&self, graph: &mut Graph, learned: &Objective, attacked: Option<Tensor>) -> Result<()> {
        metrics(graph, learned.logits, learned.loss, self.batch.labels)?;
        let Some(attacked) = attacked else { return Ok(()) };
        let delta = graph.subtract(attacked, self.batch.images)?;
        let square = graph.unary(Unary::Square, delta);
        let norm2 = graph.sum_columns(square);
        graph.output("norm2", norm2);
        Ok(())
    }
}

/// The cross-entropy `loss` of `logits`, with `smoothing` of the label's weight spread over all classes.
fn smoothed(graph: &mut Graph, logits: Tensor, loss: Tensor, labels: Tensor, smoothing: f32) -> Result {
    if smoothing == 0.0 {
        return Ok(loss);
    }
    // Σ_k −log p_k / K = CE + z_y − mean z.
    let classes = graph.shape(logits).columns();
    let label = graph.one_hot(labels, classes);
    let feed = graph.affine(label, smoothing, -smoothing / classes as f32);
    let product = graph.multiply(logits, feed)?;
    let more = graph.sum_columns(product);
    graph.add(loss, more)
}

/// The outputs `loss` and `correct`.
pub fn metrics(graph: &mut Graph, logits: Tensor, loss: Tensor, labels: Tensor) -> Result<()> {
    let predictions = graph.arg_max(logits);
    let correct = graph.binary(Binary::Equal, predictions, labels)?;
    graph.output("loss", loss);
    graph.output("correct", correct);
    Ok(())
}

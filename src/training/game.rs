//! The game as graphs: the gradient image, the generator's answer, the objective (equation 4) and what
//! each network learns from it.
//!
//! A training step is one or more *phases*; a phase computes gradients for the networks that move in it, and
//! Adam applies them. With a batch that the device cannot hold at once, a phase runs over micro-batches that
//! add their gradients up, and a second, small graph applies the sum. Every image carries a weight, 1 / batch
//! for real images and 0 for padding, so that sums over micro-batches are the batch's mean.

use super::config::{AttackLabel, AttackMode, GradientInput, Method, PenaltySpace, TrainConfig, Update};
use super::optimiser::{self, Role, Rule};
use crate::attacks::{fgm, pgd};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};
use crate::nn::{Classifier, Net, Pass, Problem, Slots, States};
use crate::pgn::{Generator, GeneratorInputs};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Scale of the `log` reading of the gradient image.
const LOG_GRADIENT_SCALE: f32 = 10.0;
/// Gradients of smaller norm count as zero when they are normalised.
const SMALLEST_NORM: f32 = 1e-12;

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
    /// Adam at once.
    Apply,
    /// Added to the gradient states, for [`apply_graph`].
    Accumulate,
}

/// The phases of one training step.
pub fn phases(config: &TrainConfig) -> Vec<Phase> {
    if config.method != Method::Pgn {
        return vec![Phase::Classifier];
    }
    if config.freeze_classifier {
        return vec![Phase::Generator];
    }
    let steps = config.generator_steps as usize;
    match config.update {
        Update::Simultaneous => {
            let mut phases = vec![Phase::Generator; steps - 1];
            phases.push(Phase::Both);
            phases
        }
        Update::Alternating => {
            let mut phases = vec![Phase::Generator; steps];
            phases.push(Phase::Classifier);
            phases
        }
    }
}

/// A network's slots in one graph.
struct Player<'a> {
    role: Role,
    rule: Rule,
    slots: &'a Slots,
    states: States,
}

impl<'a> Player<'a> {
    fn new(graph: &mut Graph, role: Role, config: &TrainConfig, slots: &'a Slots) -> Result<Self> {
        let states = slots.views(graph, &role.state("parameters"), &role.state("buffers"))?;
        Ok(Self { role, rule: role.rule(config), slots, states })
    }

    /// Uses the gradients of all weights, in [`States::learned`]'s order.
    fn learn(&self, graph: &mut Graph, gradients: &[Tensor], how: Gradients) -> Result<()> {
        let packed = self.slots.pack(graph, gradients)?;
        match how {
            Gradients::Apply => optimiser::update(graph, self.role, self.rule, &self.states, packed),
            Gradients::Accumulate => {
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
    let zero = graph.constant(0.0, &[1])?;
    let zeros = graph.broadcast(zero, &graph.shape(sum).clone())?;
    graph.assign(sum, zeros)?;
    Ok(graph)
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

/// The graph of one phase over `images` images.
///
/// Outputs per image: `loss` (cross-entropy of what the classifier trains on), `correct`, under attack `norm2`
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
    match generator {
        Some(generator) if config.method == Method::Pgn => {
            let g = Player::new(&mut graph, Role::Generator, config, &generator.slots)?;
            let game = Game { config, net, generator, f, g, batch };
            game.phase(&mut graph, phase, how)?;
        }
        _ => against_gradients(&mut graph, config, net, &f, batch, how)?,
    }
    Ok(graph)
}

/// Training on clean images, or on images that FGM or PGD has attacked with the live weights.
fn against_gradients(
    graph: &mut Graph,
    config: &TrainConfig,
    net: &Net,
    f: &Player,
    batch: BatchTensors,
    how: Gradients,
) -> Result<()> {
    let real = batch.real(graph)?;
    let learning = Classifier { net, states: &f.states, pass: Pass::Train { real, update_statistics: true } };
    let attacked = attacked_images(graph, config, under_attack(config, learning, real), batch)?;
    let seen = match attacked {
        Some(x) if !config.through_attack => graph.detach(x),
        Some(x) => x,
        None => batch.images,
    };
    let logits = learning.logits(graph, seen)?;
    let loss = graph.cross_entropy(logits, batch.labels)?;
    let a = if attacked.is_some() { config.adv_coeff } else { 1.0 };
    let own = graph.affine(batch.weights, a, 0.0);
    let smoothing = config.label_smoothing;
    let mut objective = vec![(learned_loss(graph, logits, loss, batch.labels, smoothing)?, own)];
    if a < 1.0 {
        let clean = learning.logits(graph, batch.images)?;
        let rest = graph.affine(batch.weights, 1.0 - a, 0.0);
        let clean_loss = graph.cross_entropy(clean, batch.labels)?;
        objective.push((learned_loss(graph, clean, clean_loss, batch.labels, smoothing)?, rest));
    }
    let gradients = graph.gradient_of_many(&objective, &f.states.learned)?;
    f.learn(graph, &gradients, how)?;
    metrics(graph, logits, loss, batch.labels)?;
    if attacked.is_some() {
        let delta = graph.subtract(seen, batch.images)?;
        let square = graph.unary(Unary::Square, delta);
        let norm2 = graph.sum_columns(square);
        graph.output("norm2", norm2);
    }
    Ok(())
}

/// The classifier in the mode in which it is attacked; no attack teaches it statistics.
fn under_attack<'a>(config: &TrainConfig, classifier: Classifier<'a>, real: Tensor) -> Classifier<'a> {
    let pass = match config.attack_mode {
        AttackMode::Evaluate => Pass::Evaluate,
        AttackMode::Train => Pass::Train { real, update_statistics: false },
    };
    Classifier { pass, ..classifier }
}

/// The weighted losses that a classifier learns from: the cross-entropy of `logits`, with `smoothing` of the label's weight
/// spread over all classes.
fn learned_loss(graph: &mut Graph, logits: Tensor, loss: Tensor, labels: Tensor, smoothing: f32) -> Result {
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

/// The images as the configured attack leaves them; `None` for natural training.
fn attacked_images(
    graph: &mut Graph,
    config: &TrainConfig,
    classifier: Classifier,
    batch: BatchTensors,
) -> Result<Option<Tensor>> {
    if !matches!(config.method, Method::Fgm | Method::Pgd) {
        return Ok(None);
    }
    let labels = match config.attack_label {
        AttackLabel::True => batch.labels,
        AttackLabel::Predicted => {
            let logits = classifier.logits(graph, batch.images)?;
            graph.arg_max(logits)
        }
    };
    let epsilon = graph.constant(config.epsilon, &[1])?;
    let (images, norm, form) = (batch.images, config.norm, config.ce_form);
    if config.method == Method::Fgm {
        let step = fgm::Step { images, labels, length: epsilon, norm, form };
        return fgm::fgm(graph, classifier, step).map(Some);
    }
    let length = graph.constant(config.attack_step(), &[1])?;
    let mut x = images;
    if config.random_start {
        let seed = graph.input("seed", &[3])?;
        x = pgd::random_start(graph, images, seed, epsilon, norm)?;
    }
    for _ in 0..config.iterations {
        let step = fgm::Step { images: x, labels, length, norm, form };
        x = pgd::iteration(graph, classifier, images, step, epsilon)?;
        if !config.through_attack {
            x = graph.detach(x);
        }
    }
    Ok(Some(x))
}

/// The outputs `loss` and `correct`.
pub fn metrics(graph: &mut Graph, logits: Tensor, loss: Tensor, labels: Tensor) -> Result<()> {
    let predictions = graph.arg_max(logits);
    let correct = graph.binary(Binary::Equal, predictions, labels)?;
    graph.output("loss", loss);
    graph.output("correct", correct);
    Ok(())
}

struct Game<'a> {
    config: &'a TrainConfig,
    net: &'a Net,
    generator: &'a Generator,
    f: Player<'a>,
    g: Player<'a>,
    batch: BatchTensors,
}

/// The generator's move in one graph.
#[derive(Clone, Copy)]
pub struct Move {
    /// The generator's output, in tanh space.
    pub output: Tensor,
    /// Equation 5.
    pub adversarial: Tensor,
    /// `x_adv − x` in pixel space.
    pub delta: Tensor,
    /// ‖δ‖² per image.
    pub norm2: Tensor,
}

/// The generator's answer to `images`, given the gradient image.
pub fn generator_move(
    graph: &mut Graph,
    generator: &Generator,
    states: &States,
    inputs: GeneratorInputs,
) -> Result<Move> {
    let output = generator.perturbation(graph, states, inputs)?;
    let adversarial = graph.binary(Binary::Compose, inputs.images, output)?;
    let delta = graph.subtract(adversarial, inputs.images)?;
    let square = graph.unary(Unary::Square, delta);
    let norm2 = graph.sum_columns(square);
    Ok(Move { output, adversarial, delta, norm2 })
}

/// The gradient image from the clean cross-entropy of images that were fed to the classifier.
pub fn gradient_image(graph: &mut Graph, reading: GradientInput, loss: Tensor, images: Tensor) -> Result {
    let one = graph.constant(1.0, &[1])?;
    let ones = graph.broadcast(one, &graph.shape(loss).clone())?;
    let gradient = graph.gradient(loss, ones, &[images])?[0];
    match reading {
        GradientInput::Log => Ok(graph.affine(gradient, -LOG_GRADIENT_SCALE, 0.0)),
        GradientInput::Raw => {
            // ∇p = p ∇log p, and p = exp(−CE).
            let negative = graph.affine(loss, -1.0, 0.0);
            let probability = graph.unary(Unary::Exp, negative);
            let scaled = graph.multiply(gradient, probability)?;
            Ok(graph.affine(scaled, -1.0, 0.0))
        }
        GradientInput::L2 => normalised(graph, gradient, -1.0),
        GradientInput::Rms => {
            let values = graph.shape(images).columns() as f32;
            normalised(graph, gradient, -values.sqrt())
        }
    }
}

/// `scale · x / ‖x‖` per image; zeros stay zeros.
fn normalised(graph: &mut Graph, x: Tensor, scale: f32) -> Result {
    let square = graph.unary(Unary::Square, x);
    let norm2 = graph.sum_columns(square);
    let floored = graph.unary(Unary::Clamp(SMALLEST_NORM * SMALLEST_NORM, f32::MAX), norm2);
    let norm = graph.unary(Unary::Sqrt, floored);
    let inverse = graph.unary(Unary::Reciprocal, norm);
    let unit = graph.multiply(x, inverse)?;
    Ok(graph.affine(unit, scale, 0.0))
}

impl Game<'_> {
    fn phase(&self, graph: &mut Graph, phase: Phase, how: Gradients) -> Result<()> {
        let BatchTensors { images, labels, weights } = self.batch;
        let real = self.batch.real(graph)?;
        let learning = Classifier {
            net: self.net,
            states: &self.f.states,
            pass: Pass::Train { real, update_statistics: true },
        };
        let attacked = under_attack(self.config, learning, real);
        let clean_logits = attacked.logits(graph, images)?;
        let clean_loss = graph.cross_entropy(clean_logits, labels)?;
        let mut gradient = gradient_image(graph, self.config.gradient_input, clean_loss, images)?;
        if !self.config.through_attack {
            gradient = graph.detach(gradient);
        }
        let inputs = GeneratorInputs { labels, images, gradient };
        let answer = generator_move(graph, self.generator, &self.g.states, inputs)?;
        // The classifier does not see past x_adv, unless it is to learn through the attack.
        let seen =
            if self.config.through_attack { answer.adversarial } else { graph.detach(answer.adversarial) };
        let classifier = if phase == Phase::Generator { attacked } else { learning };
        let logits = classifier.logits(graph, seen)?;
        let loss = graph.cross_entropy(logits, labels)?;
        let a = self.config.adv_coeff;
        let own = graph.affine(weights, a, 0.0);
        let rest = graph.affine(weights, 1.0 - a, 0.0);
        let mut objective = vec![(loss, own)];
        if a < 1.0 {
            // What is learned from computes with the batch's statistics, where the network has such.
            let clean_loss = match self.net.has_batch_statistics() && phase != Phase::Generator {
                true => {
                    let logits = learning.logits(graph, images)?;
                    graph.cross_entropy(logits, labels)?
                }
                false => clean_loss,
            };
            objective.push((clean_loss, rest));
        }
        let f_weights = self.f.states.learned.clone();
        let (f_gradients, by_image, per_weight) = match (phase, self.config.through_attack) {
            (Phase::Generator, _) => (Vec::new(), graph.gradient(loss, weights, &[seen])?[0], 1.0),
            (_, false) => {
                // One backward pass serves both: the gradient by x_adv comes out of the classifier's own.
                let wanted: Vec<Tensor> = f_weights.iter().copied().chain([seen]).collect();
                let mut all = graph.gradient_of_many(&objective, &wanted)?;
                let by_image = all.pop().expect("one per wanted tensor");
                (all, by_image, a)
            }
            (_, true) => {
                let all = graph.gradient_of_many(&objective, &f_weights)?;
                (all, graph.gradient(loss, weights, &[seen])?[0], 1.0)
            }
        };
        let g_gradients = match phase {
            Phase::Classifier => Vec::new(),
            _ => self.generator_gradients(graph, &answer, by_image, per_weight)?,
        };
        if phase != Phase::Generator {
            self.f.learn(graph, &f_gradients, how)?;
        }
        if phase != Phase::Classifier {
            self.g.learn(graph, &g_gradients, how)?;
        }
        metrics(graph, logits, loss, labels)?;
        graph.output("norm2", answer.norm2);
        self.report_gradient_norm(graph, by_image, per_weight)
    }

    /// G climbs CE − c_L · penalty, so Adam, which descends, gets the gradient of its negative. `by_image` is
    /// the gradient of the weighted cross-entropy by x_adv, times `per_weight`.
    fn generator_gradients(
        &self,
        graph: &mut Graph,
        answer: &Move,
        by_image: Tensor,
        per_weight: f32,
    ) -> Result<Vec<Tensor>> {
        let climb = graph.affine(by_image, -1.0 / per_weight, 0.0);
        let price = graph.affine(self.batch.weights, 2.0 * self.config.c_l, 0.0);
        let wanted = self.g.states.learned.clone();
        match self.config.penalty_space {
            PenaltySpace::Pixel => {
                let penalty = graph.multiply(answer.delta, price)?;
                let cotangent = graph.add(climb, penalty)?;
                graph.gradient(answer.adversarial, cotangent, &wanted)
            }
            PenaltySpace::Tanh => {
                let penalty = graph.multiply(answer.output, price)?;
                graph.gradient_of_many(&[(answer.adversarial, climb), (answer.output, penalty)], &wanted)
            }
        }
    }

    /// ‖∇x CE‖² per image, from which a linear loss predicts ‖δ‖ = ‖∇x CE‖ / (2 c_L).
    fn report_gradient_norm(&self, graph: &mut Graph, by_image: Tensor, per_weight: f32) -> Result<()> {
        let square = graph.unary(Unary::Square, by_image);
        let weighted = graph.sum_columns(square);
        // Padding has weight 0 and gradient 0; the host leaves it out.
        let scale = graph.affine(self.batch.weights, per_weight, 0.0);
        let floored = graph.unary(Unary::Clamp(1e-9, f32::MAX), scale);
        let once = graph.binary(Binary::Divide, weighted, floored)?;
        let norm2 = graph.binary(Binary::Divide, once, floored)?;
        graph.output("gradient_norm2", norm2);
        Ok(())
    }
}

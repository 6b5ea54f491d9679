//! The game of the paper: a generator perturbs images, the classifier learns from them, and the generator climbs the
//! classifier's loss minus the price of its perturbation (equation 4).

use super::registry::{Defense, Inner, Strength};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};
use crate::pgn::{Generator, GeneratorInputs, Move, generator_move, gradient_image};
use crate::training::config::{PenaltySpace, TrainConfig, Update};
use crate::training::step::{BatchTensors, Phase, Player, Stage, metrics};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Its description.
pub static PGN: Defense = Defense {
    name: "pgn",
    title: "PGN",
    about: "Against a perturbation generator network",
    inner: Inner::None,
    generator: true,
    strength: Some(PENALTY),
    options: &[
        "adv-coeff",
        "attack-mode",
        "c-l",
        "freeze-classifier",
        "generator-lr",
        "generator-steps",
        "gradient-input",
        "penalty-space",
        "through-attack",
        "update",
        "without",
    ],
    phases,
    phase,
};

/// What is charged on the squared norm of a perturbation: c_L of equation 4.
const PENALTY: Strength =
    Strength { key: "c-l", symbol: "c_L", get: |config| config.c_l, set: |config, c_l| config.c_l = c_l };

/// The generator's steps, then the classifier's.
fn phases(config: &TrainConfig) -> Vec<Phase> {
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

struct Game<'a> {
    stage: &'a Stage<'a>,
    config: &'a TrainConfig,
    generator: &'a Generator,
    g: &'a Player<'a>,
}

fn phase(graph: &mut Graph, stage: &Stage) -> Result<()> {
    let (generator, g) = stage.generator.as_ref().expect("the defense says that it has a generator");
    Game { stage, config: stage.config, generator, g }.phase(graph)
}

impl Game<'_> {
    fn phase(&self, graph: &mut Graph) -> Result<()> {
        let Stage { phase, batch, .. } = *self.stage;
        let BatchTensors { images, labels, weights } = batch;
        let (learning, attacked) = (self.stage.learning(), self.stage.attacked());
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
        let own = self.stage.share(graph, a);
        let rest = self.stage.share(graph, 1.0 - a);
        let mut objective = vec![(self.stage.smoothed(graph, logits, loss)?, own)];
        if a < 1.0 {
            // What is learned from computes with the batch's statistics, where the network has such.
            let (clean_logits, clean_loss) =
                match self.stage.net.has_batch_statistics() && phase != Phase::Generator {
                    true => {
                        let logits = learning.logits(graph, images)?;
                        (logits, graph.cross_entropy(logits, labels)?)
                    }
                    false => (clean_logits, clean_loss),
                };
            objective.push((self.stage.smoothed(graph, clean_logits, clean_loss)?, rest));
        }
        let f_weights = self.stage.f.states.learned.clone();
        // The generator climbs the plain loss by x_adv as it stands.
        let apart = self.config.through_attack || self.config.label_smoothing > 0.0;
        let (f_gradients, by_image, per_weight) = match (phase, apart) {
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
            self.stage.f.learn(graph, &f_gradients, self.stage.how)?;
        }
        if phase != Phase::Classifier {
            self.g.learn(graph, &g_gradients, self.stage.how)?;
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
        let price = graph.affine(self.stage.batch.weights, 2.0 * self.config.c_l, 0.0);
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
        let scale = graph.affine(self.stage.batch.weights, per_weight, 0.0);
        let floored = graph.unary(Unary::Clamp(1e-9, f32::MAX), scale);
        let once = graph.binary(Binary::Divide, weighted, floored)?;
        let norm2 = graph.binary(Binary::Divide, once, floored)?;
        graph.output("gradient_norm2", norm2);
        Ok(())
    }
}

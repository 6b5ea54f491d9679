//! The game of the paper: a generator perturbs images, the classifier learns from them, and the generator climbs the
//! classifier's loss minus the price of its perturbation (equation 4).

use super::awp;
use super::registry::{Defense, Inner, Strength};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};
use crate::nn::{Classifier, Pass};
use crate::pgn::{Generator, GeneratorLoss, Move, Turn};
use crate::training::config::{PenaltySpace, TrainConfig, Update};
use crate::training::step::{BatchTensors, Descent, Objective, Phase, Player, Stage, metrics};

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
        "fixed-radius",
        "freeze-classifier",
        "generator-batch-norm",
        "generator-depth",
        "generator-lr",
        "generator-noise",
        "generator-objective",
        "generator-rounds",
        "generator-steps",
        "generator-width",
        "generators",
        "gradient-input",
        "gradient-of",
        "penalty-space",
        "through-attack",
        "update",
        "without",
    ],
    paper: |_| {},
    awp: awp::ON_ATTACKED,
    kept: |_, _| Vec::new(),
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
        let BatchTensors { images, labels, .. } = batch;
        let attacked = self.stage.attacked();
        let clean_logits = attacked.logits(graph, images)?;
        let clean_loss = graph.cross_entropy(clean_logits, labels)?;
        let answer = self.answer(graph, attacked, [clean_logits, clean_loss])?;
        // The classifier does not see past x_adv, unless it is to learn through the attack.
        let seen =
            if self.config.through_attack { answer.adversarial } else { graph.detach(answer.adversarial) };
        if phase == Phase::Generator {
            let logits = attacked.logits(graph, seen)?;
            let loss = graph.cross_entropy(logits, labels)?;
            let by_image = self.raised_by(graph, [logits, loss], seen)?;
            let g_gradients = self.generator_gradients(graph, &answer, by_image, 1.0)?;
            self.g.learn(graph, &g_gradients, self.stage.how)?;
            return self.report(graph, [logits, loss], &answer, (by_image, 1.0));
        }
        // The generator climbs its own loss by x_adv as it stands.
        let apart = self.config.through_attack
            || self.config.label_smoothing > 0.0
            || self.config.generator_objective != GeneratorLoss::CrossEntropy;
        // One backward pass serves both otherwise: the gradient by x_adv comes out of the classifier's own.
        let beside: &[Tensor] = if apart { &[] } else { &[seen] };
        let objective = |graph: &mut Graph, classifier: Classifier| {
            self.objective(graph, classifier, seen, [clean_logits, clean_loss])
        };
        let Descent { weights: f_gradients, beside, own, learned } =
            self.stage.gradients(graph, beside, objective)?;
        let (by_image, per_weight) = match beside.first() {
            Some(&by_image) => (by_image, self.config.adv_coeff),
            None => (self.raised_by(graph, [own.logits, own.loss], seen)?, 1.0),
        };
        let g_gradients = match phase {
            Phase::Classifier => None,
            _ => Some(self.generator_gradients(graph, &answer, by_image, per_weight)?),
        };
        self.stage.f.learn(graph, &f_gradients, self.stage.how)?;
        if let Some(g_gradients) = g_gradients {
            self.g.learn(graph, &g_gradients, self.stage.how)?;
        }
        self.report(graph, [learned.logits, learned.loss], &answer, (by_image, per_weight))
    }

    /// The generator's answer to the batch, of which the classifier's logits and loss are `clean`.
    fn answer(&self, graph: &mut Graph, attacked: Classifier, clean: [Tensor; 2]) -> Result<Move> {
        let BatchTensors { images, labels, .. } = self.stage.batch;
        let noise = match self.config.generator_noise {
            true => {
                let seed = graph.input("seed", &[3])?;
                let extents = graph.shape(images).extents().to_vec();
                Some(graph.random_normal(seed, &extents)?)
            }
            false => None,
        };
        // Its running statistics learn where it does.
        let update_statistics = self.stage.phase != Phase::Classifier && self.stage.is_learned_from();
        let pass = Pass::Train { real: self.stage.real, update_statistics };
        let turn = Turn {
            generator: self.generator,
            states: &self.g.states,
            pass,
            classifier: attacked,
            images,
            labels,
            clean,
            noise,
            through: self.config.through_attack,
        };
        turn.shared(graph)
    }

    /// The gradient by the images `seen` of the weighted loss that the generator raises, from their logits and cross-entropy.
    fn raised_by(&self, graph: &mut Graph, [logits, loss]: [Tensor; 2], seen: Tensor) -> Result {
        let BatchTensors { labels, weights, .. } = self.stage.batch;
        let raised = self.config.generator_objective.value(graph, [logits, loss], labels)?;
        Ok(graph.gradient(raised, weights, &[seen])?[0])
    }

    /// What the classifier descends; `clean` are the logits and the loss of clean images from which the gradient image came.
    fn objective(
        &self,
        graph: &mut Graph,
        classifier: Classifier,
        seen: Tensor,
        clean: [Tensor; 2],
    ) -> Result<Objective> {
        let BatchTensors { images, labels, .. } = self.stage.batch;
        let logits = classifier.logits(graph, seen)?;
        let loss = graph.cross_entropy(logits, labels)?;
        let a = self.config.adv_coeff;
        let own = self.stage.share(graph, a);
        let rest = self.stage.share(graph, 1.0 - a);
        let mut terms = vec![(self.stage.smoothed(graph, logits, loss)?, own)];
        if a < 1.0 {
            // What is learned from computes with the batch's statistics, where the network has such, and at the weights of
            // its own pass.
            let [logits, loss] =
                match self.stage.net.has_batch_statistics() || self.config.awp_gamma().is_some() {
                    true => {
                        let logits = classifier.logits(graph, images)?;
                        [logits, graph.cross_entropy(logits, labels)?]
                    }
                    false => clean,
                };
            terms.push((self.stage.smoothed(graph, logits, loss)?, rest));
        }
        Ok(Objective { terms, logits, loss })
    }

    /// Metrics of the images that were trained on, and the gradient by them with the weight that it has in it.
    fn report(
        &self,
        graph: &mut Graph,
        [logits, loss]: [Tensor; 2],
        answer: &Move,
        (by_image, per_weight): (Tensor, f32),
    ) -> Result<()> {
        metrics(graph, logits, loss, self.stage.batch.labels)?;
        graph.output("norm2", answer.norm2);
        self.report_gradient_norm(graph, by_image, per_weight)
    }

    /// G climbs its loss − c_L · penalty, so Adam, which descends, gets the gradient of its negative. `by_image` is
    /// the gradient of the weighted loss by x_adv, times `per_weight`. At a fixed radius there is no penalty.
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
        if self.config.fixed_radius {
            return graph.gradient(answer.adversarial, climb, &wanted);
        }
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

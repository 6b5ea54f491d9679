//! Adversarial training for free (Shafahi et al. 2019): every batch is learned from m times in a row, and the backward pass
//! of each time serves twice. It gives the classifier's gradient and, by the images, the step of a perturbation that goes on
//! from time to time and from batch to batch: `δ ← ball(δ + ε · sign ∇x)`. An epoch costs about m natural epochs, so authors
//! divide the number of epochs by m. A step of the log is a batch, with all m updates; schedules follow batches.
//!
//! As in the authors' PyTorch code (`mahyarnajibi/FreeAdversarialTraining`), images are clipped to the box and the
//! perturbation is not; pixels that were clipped have no gradient. The values of `--preset paper` are those of their code for
//! CIFAR-10 (`recipes.rs`). The perturbation belongs to a place in the batch: it is a state of the run, zeros at first, and
//! part of checkpoints. In L2, which has no public form, the step goes along the normalised gradient and the ball is that of
//! L2.

use super::adversarial::{self, RADIUS};
use super::recipes;
use super::registry::{Defense, Inner};
use crate::attacks::objective::CeForm;
use crate::attacks::{Norm, ball};
use crate::graph::{Graph, GraphError, Tensor};
use crate::training::config::TrainConfig;
use crate::training::step::{Objective, Phase, Stage};

/// Times that each batch is learned from (Shafahi et al. 2019, section 4: m = 8 on CIFAR-10).
pub const REPLAYS: u32 = 8;

/// State of the perturbations, one per place in the batch.
const PERTURBATION: &str = "free.perturbation";

/// Its description.
pub static FREE: Defense = Defense {
    name: "free",
    title: "free",
    about: "Each batch several times, with a perturbation that goes on (Shafahi et al.)",
    inner: Inner::Own(&["epsilon", "norm", "step-size"]),
    strength: Some(RADIUS),
    options: &["replays"],
    paper: recipes::free,
    kept: |config, problem| vec![(PERTURBATION, config.batch_size * problem.pixels())],
    phases: |config| vec![Phase::Classifier; config.replays as usize],
    phase,
    ..adversarial::NATURAL
};

fn phase(graph: &mut Graph, stage: &Stage) -> Result<(), GraphError> {
    let images = stage.batch.images;
    let extents = graph.shape(images).extents().to_vec();
    let perturbation = stage.kept(graph, PERTURBATION, &extents)?;
    let moved = graph.add(images, perturbation)?;
    let seen = ball::clip(graph, moved);
    let gradient = stage.gradients(graph, &[moved], |graph, classifier| {
        let logits = classifier.logits(graph, seen)?;
        let loss = graph.cross_entropy(logits, stage.batch.labels)?;
        let smoothed = stage.smoothed(graph, logits, loss)?;
        Ok(Objective { terms: vec![(smoothed, stage.batch.weights)], logits, loss })
    })?;
    stage.f.learn(graph, &gradient.weights, stage.how)?;
    stage.report(graph, &gradient.learned, Some(seen))?;
    if !stage.is_learned_from() {
        return Ok(());
    }
    let next = ascend(graph, stage.config, perturbation, gradient.beside[0])?;
    graph.assign(perturbation, next)
}

/// The perturbation after a step along `gradient`, within the ball.
fn ascend(
    graph: &mut Graph,
    config: &TrainConfig,
    perturbation: Tensor,
    gradient: Tensor,
) -> Result<Tensor, GraphError> {
    let TrainConfig { epsilon, norm, step_size, .. } = *config;
    let unit = ball::unit(graph, gradient, CeForm::SaturationFree, norm)?;
    let moved = graph.formula(|f| f.of(perturbation) + f.of(unit) * step_size.unwrap_or(epsilon))?;
    if norm == Norm::Linf {
        return graph.formula(|f| f.of(moved).clamp(-epsilon, epsilon));
    }
    let length = ball::l2(graph, moved);
    graph.formula(|f| {
        let [moved, length] = f.all([moved, length]);
        moved * (length.reciprocal() * epsilon).clamp(0.0, 1.0)
    })
}

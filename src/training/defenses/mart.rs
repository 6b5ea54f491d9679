//! MART (Wang et al. 2020): the boosted cross-entropy of attacked images, and λ times the divergence from the prediction on
//! clean ones, which counts more where the clean image is not sure of its class:
//! `−log p_y(x') − log(1 − max_{j≠y} p_j(x')) + λ KL(p(x) ‖ p(x')) (1 − p_y(x))`. Gradients flow through everything.
//! The attack climbs the cross-entropy, in evaluation mode; see `near_pgd.rs`.
//!
//! Written from the paper and checked against its public code (YisenWang/MART). That code keeps logarithms from infinity by
//! adding 1e-12 to 1e-4 to probabilities. Here `−log(1 − p_j)` is the difference of two cross-entropies, with class j and
//! without it, which is exact for any logits, so nothing is added. λ is 5 in the paper and in the code for ResNet-18, and 6 in that
//! for `WideResNet`s.

use super::registry::{Defense, Inner, Strength};
use super::trades::divergence;
use super::{adversarial, awp, near_pgd, recipes};
use crate::attacks::AttackKind;
use crate::attacks::objective::EXCLUDED;
use crate::graph::{Graph, GraphError, Tensor};
use crate::nn::Classifier;
use crate::training::step::{Objective, Stage};

/// Weight of the divergence (Wang et al. 2020, section 4.1).
pub const LAMBDA: f32 = 5.0;

/// Its description.
pub static MART: Defense = Defense {
    name: "mart",
    title: "MART",
    about: "Attacked images, those that are misclassified more (Wang et al.)",
    inner: Inner::Fixed(AttackKind::of(&near_pgd::OF_MART)),
    strength: Some(Strength {
        key: "beta",
        symbol: "lambda",
        get: |config| config.beta.unwrap_or(LAMBDA),
        set: |config, lambda| config.beta = Some(lambda),
    }),
    options: &["attack-mode", "beta"],
    paper: recipes::mart,
    awp: awp::ON_ATTACKED,
    phase,
    ..adversarial::NATURAL
};

fn phase(graph: &mut Graph, stage: &Stage) -> Result<(), GraphError> {
    near_pgd::phase(graph, stage, objective)
}

fn objective(
    graph: &mut Graph,
    stage: &Stage,
    classifier: Classifier,
    attacked: Tensor,
) -> Result<Objective, GraphError> {
    let clean = classifier.logits(graph, stage.batch.images)?;
    let logits = classifier.logits(graph, attacked)?;
    let [loss, boost, unsure] = parts(graph, clean, logits, stage.batch.labels)?;
    let smoothed = stage.smoothed(graph, logits, loss)?;
    let lambda = stage.share(graph, stage.config.beta.unwrap_or(LAMBDA));
    let weights = stage.batch.weights;
    Ok(Objective { terms: vec![(smoothed, weights), (boost, weights), (unsure, lambda)], logits, loss })
}

/// The three losses per image, `[n, 1]`, of the logits of clean and of attacked images.
pub(super) fn parts(
    graph: &mut Graph,
    clean: Tensor,
    attacked: Tensor,
    labels: Tensor,
) -> Result<[Tensor; 3], GraphError> {
    let loss = graph.cross_entropy(attacked, labels)?;
    let boost = boost(graph, attacked, labels, loss)?;
    let clean_loss = graph.cross_entropy(clean, labels)?;
    let divergence = divergence(graph, clean, attacked)?;
    let unsure = graph.formula(|f| {
        let [divergence, clean_loss] = f.all([divergence, clean_loss]);
        divergence * (-(-clean_loss).exp() + 1.0)
    })?;
    Ok([loss, boost, unsure])
}

/// `−log(1 − p_j)` per image, j being the likeliest wrong class: the cross-entropy `loss` less that without class j.
fn boost(graph: &mut Graph, logits: Tensor, labels: Tensor, loss: Tensor) -> Result<Tensor, GraphError> {
    let classes = graph.shape(logits).columns();
    let without = |graph: &mut Graph, class: Tensor| {
        let one_hot = graph.one_hot(class, classes);
        let excluded = graph.affine(one_hot, EXCLUDED, 0.0);
        graph.add(logits, excluded)
    };
    let wrong = without(graph, labels)?;
    let rival = graph.arg_max(wrong);
    let others = without(graph, rival)?;
    let rest = graph.cross_entropy(others, labels)?;
    graph.subtract(loss, rest)
}

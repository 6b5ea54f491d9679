//! TRADES (Zhang et al. 2019): the cross-entropy of clean images, and β times the divergence `KL(p(x) ‖ p(x'))` of the
//! prediction on attacked images from that on clean ones. Gradients flow through both predictions. The attack climbs the
//! same divergence, in evaluation mode; see `near_pgd.rs`.
//!
//! Written from the paper and checked against its public code (yaodongyu/TRADES). There, clean images go through the
//! network twice in training mode, here once; the loss is the same, and running statistics learn from them once.

use super::registry::{Defense, Inner, Strength};
use super::{adversarial, awp, near_pgd, recipes};
use crate::attacks::AttackKind;
use crate::graph::{Graph, GraphError, Tensor};
use crate::nn::Classifier;
use crate::training::step::{Objective, Stage};

/// Weight of the divergence (Zhang et al. 2019, table 5: 1/λ = 6).
pub const BETA: f32 = 6.0;

/// Its description.
pub static TRADES: Defense = Defense {
    name: "trades",
    title: "TRADES",
    about: "Clean images, and the divergence of predictions under attack (Zhang et al.)",
    inner: Inner::Fixed(AttackKind::of(&near_pgd::OF_TRADES)),
    strength: Some(Strength {
        key: "beta",
        symbol: "beta",
        get: |config| config.beta.unwrap_or(BETA),
        set: |config, beta| config.beta = Some(beta),
    }),
    options: &["attack-mode", "beta"],
    paper: recipes::trades,
    awp: awp::ON_TRADES,
    phase,
    ..adversarial::NATURAL
};

fn phase(graph: &mut Graph, stage: &Stage) -> Result<(), GraphError> {
    near_pgd::phase(graph, stage, objective)
}

/// Reported are the logits of the attacked images.
fn objective(
    graph: &mut Graph,
    stage: &Stage,
    classifier: Classifier,
    attacked: Tensor,
) -> Result<Objective, GraphError> {
    let clean = classifier.logits(graph, stage.batch.images)?;
    let logits = classifier.logits(graph, attacked)?;
    let [clean_loss, divergence] = parts(graph, clean, logits, stage.batch.labels)?;
    let smoothed = stage.smoothed(graph, clean, clean_loss)?;
    let weight = stage.share(graph, stage.config.beta.unwrap_or(BETA));
    let loss = graph.cross_entropy(logits, stage.batch.labels)?;
    Ok(Objective { terms: vec![(smoothed, stage.batch.weights), (divergence, weight)], logits, loss })
}

/// The two losses per image, `[n, 1]`, of the logits of clean and of attacked images.
pub(super) fn parts(
    graph: &mut Graph,
    clean: Tensor,
    attacked: Tensor,
    labels: Tensor,
) -> Result<[Tensor; 2], GraphError> {
    Ok([graph.cross_entropy(clean, labels)?, divergence(graph, clean, attacked)?])
}

/// `KL(p ‖ q) = Σ p (log p − log q)` per image, `[n, 1]`, of the predictions p and q whose logits are given.
pub fn divergence(graph: &mut Graph, p: Tensor, q: Tensor) -> Result<Tensor, GraphError> {
    let probabilities = graph.softmax(p);
    let [log_p, log_q] = [graph.log_softmax(p)?, graph.log_softmax(q)?];
    graph.formula(|f| {
        let [p, log_p, log_q] = f.all([probabilities, log_p, log_q]);
        (p * (log_p - log_q)).sum_columns()
    })
}

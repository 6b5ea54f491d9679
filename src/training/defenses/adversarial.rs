//! Training on clean images, and on images that an attack has moved with the live weights (Madry et al.): one objective,
//! with any attack of the registry.

use super::awp;
use super::registry::{Defense, Inner, Strength};
use crate::attacks::AttackKind;
use crate::graph::{Graph, GraphError, Tensor};
use crate::nn::Classifier;
use crate::training::step::{Objective, Phase, Stage};

/// The options of every defense with an inner attack; those of the attack come with it.
pub(super) const OPTIONS: &[&str] = &["adv-coeff", "attack-label", "attack-mode", "through-attack"];

/// The radius of the inner attack.
pub const RADIUS: Strength = Strength {
    key: "epsilon",
    symbol: "epsilon",
    get: |config| config.epsilon,
    set: |config, epsilon| config.epsilon = epsilon,
};

/// Clean images.
pub static NATURAL: Defense = Defense {
    name: "natural",
    title: "natural",
    about: "Clean images only",
    inner: Inner::None,
    generator: false,
    strength: None,
    options: &[],
    paper: |_| {},
    awp: awp::ON_ATTACKED,
    kept: |_, _| Vec::new(),
    phases: |_| vec![Phase::Classifier],
    phase,
};

/// An attack that the run names.
pub static ADVERSARIAL: Defense = Defense {
    name: "adversarial",
    title: "adversarial",
    about: "Against the attack that `inner` names",
    inner: Inner::Chosen,
    strength: Some(RADIUS),
    options: &["adv-coeff", "attack-label", "attack-mode", "inner", "through-attack"],
    ..NATURAL
};

/// Short for `adversarial` with the fast gradient method.
pub static FGM: Defense = Defense {
    name: "fgm",
    title: "FGM",
    about: "Against the fast gradient method (Goodfellow et al.)",
    inner: Inner::Fixed(AttackKind::FGM),
    options: OPTIONS,
    ..ADVERSARIAL
};

/// Short for `adversarial` with projected gradient descent.
pub static PGD: Defense = Defense {
    name: "pgd",
    title: "PGD",
    about: "Against projected gradient descent (Madry et al.)",
    inner: Inner::Fixed(AttackKind::PGD),
    ..FGM
};

/// The classifier learns from attacked images and, with a share of the objective, from clean ones.
fn phase(graph: &mut Graph, stage: &Stage) -> Result<(), GraphError> {
    let attacked = stage.adversarial(graph)?;
    let learned = stage.descend(graph, |graph, classifier| mixed(graph, stage, classifier, attacked))?;
    stage.report(graph, &learned, attacked)
}

fn mixed(
    graph: &mut Graph,
    stage: &Stage,
    classifier: Classifier,
    attacked: Option<Tensor>,
) -> Result<Objective, GraphError> {
    let logits = classifier.logits(graph, attacked.unwrap_or(stage.batch.images))?;
    let loss = graph.cross_entropy(logits, stage.batch.labels)?;
    let a = if attacked.is_some() { stage.config.adv_coeff } else { 1.0 };
    let own = stage.share(graph, a);
    let mut terms = vec![(stage.smoothed(graph, logits, loss)?, own)];
    if a < 1.0 {
        let clean = classifier.logits(graph, stage.batch.images)?;
        let rest = stage.share(graph, 1.0 - a);
        let clean_loss = graph.cross_entropy(clean, stage.batch.labels)?;
        terms.push((stage.smoothed(graph, clean, clean_loss)?, rest));
    }
    Ok(Objective { terms, logits, loss })
}

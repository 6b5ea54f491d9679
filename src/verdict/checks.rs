//! Whether a verdict can be believed: the five warnings of AutoAttack's public code (fra31/auto-attack, a392200), and ours.

use super::run::{Outcome, VerdictError};
use crate::attacks::objective::Objective;
use crate::attacks::target::Target;
use crate::attacks::{AttackError, AttackKind};
use crate::evaluation::warnings::{self, Warning};
use crate::evaluation::{Subject, predict};
use crate::executor::{Device, ExecutionError, Outputs, Session};
use crate::graph::Unary;
use crate::models::file::Model;

/// Images that the model is asked about.
const IMAGES: usize = 64;
/// Passes whose answers must be equal.
const PASSES: usize = 5;
/// How far the sum of probabilities may be from 1.
const SUM_ROUNDING: f32 = 1e-4;
/// Points of accuracy that the black-box attack may find beside the others: more of it says that gradients mislead.
const BLACK_BOX_SHARE: f64 = 0.002;

/// All warnings about an outcome, beside `answers`, which [`answers`] found.
pub fn warnings(answers: Vec<Warning>, notes: &[String], outcome: &Outcome) -> Vec<Warning> {
    let mut found = answers;
    found.extend(notes.iter().map(|note| {
        Warning::new(
            note.clone(),
            "the verdict is of fewer attacks than the standard one, so it may be too good",
        )
    }));
    found.extend(black_box(outcome));
    if let Some(first) = outcome.stages.first().filter(|stage| stage.attacked > 0) {
        found.extend(warnings::zero_gradients(first.zero_gradients as f64 / first.attacked as f64));
    }
    found
}

/// What the model's answers to the first images say. Every shard asks about the first images of the whole, so that all find the
/// same. It is asked before the attacks, which take hours: a model that cannot be run is known then.
///
/// # Errors
/// If the model cannot be run.
pub fn answers(device: &Device, subject: &Subject) -> Result<Vec<Warning>, VerdictError> {
    let images = subject.images.len().min(IMAGES);
    let labels: Vec<usize> =
        subject.images.labels()[..images].iter().map(|&label| usize::from(label)).collect();
    let asked = asked(device, &subject.model, &subject.images.to_unit(0..images), &labels)
        .map_err(|source| VerdictError::Attack { name: subject.place.name.clone(), source })?;
    let Asked { logits, random, flat } = asked;
    let found = [
        random.then(|| {
            Warning::new(
                format!("{PASSES} passes over the same images gave different logits"),
                "the model or the adapter is random; attacks must average over its answers, and these do not",
            )
        }),
        are_probabilities(&logits, subject.model.facts.problem.classes).then(|| {
            Warning::new(
                "the model answers with probabilities".to_string(),
                "their gradients vanish where the model is sure; leave the softmax out and judge the logits",
            )
        }),
        (flat > 0).then(|| {
            Warning::new(
                format!("{flat} of {images} images have a gradient of the DLR loss that is exactly zero"),
                "attacks by gradients see nothing there: the model may hide them rather than withstand",
            )
        }),
    ];
    Ok(found.into_iter().flatten().collect())
}

/// What a model answers to some images.
struct Asked {
    /// One row per image.
    logits: Vec<f32>,
    /// Whether a pass gave other logits than the first.
    random: bool,
    /// Images that are classified correctly and have a gradient of the DLR loss that is exactly zero.
    flat: usize,
}

/// Asks about as many images at a time as fit.
fn asked(device: &Device, model: &Model, images: &[f32], labels: &[usize]) -> Result<Asked, AttackError> {
    let classes = model.facts.problem.classes;
    let (mut target, mut session) = predict::prepared(device, model, labels.len(), program)?;
    let mut asked = Asked { logits: Vec::new(), random: false, flat: 0 };
    target.each_batch(images, labels, |_, batch| -> Result<(), ExecutionError> {
        let all: Vec<Outputs> = (0..PASSES).map(|_| session.compute()).collect::<Result<_, _>>()?;
        let first = all[0].get(LOGITS);
        asked.random |= all.iter().any(|outputs| outputs.get(LOGITS) != first);
        let logits = &first[..batch.real * classes];
        asked.logits.extend_from_slice(logits);
        if classes >= Objective::Dlr.classes() {
            // Of an image that is wrong already the loss may be a constant, and no attack is run on it.
            let rows = logits.chunks_exact(classes).zip(&labels[batch.first..]).zip(all[0].get(GRADIENT));
            let flat = rows.filter(|((row, label), size)| **size == 0.0 && predict::answer(row) == **label);
            asked.flat += flat.count();
        }
        Ok(())
    })?;
    Ok(asked)
}

const LOGITS: &str = "logits";
const GRADIENT: &str = "gradient";

/// The logits and, where there are classes enough for it, the size of the DLR loss's gradient.
fn program(target: &mut Target) -> Result<Session, ExecutionError> {
    let mut a = target.graph()?;
    let logits = target.classifier(&a.states).logits(&mut a.graph, a.images)?;
    a.graph.output(LOGITS, logits);
    if target.problem().classes >= Objective::Dlr.classes() {
        let value = Objective::Dlr.value(&mut a.graph, logits, a.labels, a.labels)?;
        let gradient = Objective::Dlr.gradient(&mut a.graph, (logits, value), a.labels, a.images)?;
        let absolute = a.graph.unary(Unary::Abs, gradient);
        let size = a.graph.sum_columns(absolute);
        a.graph.output(GRADIENT, size);
    }
    target.prepare(&a.graph)
}

/// Whether every row is a distribution.
fn are_probabilities(logits: &[f32], classes: usize) -> bool {
    let mut rows = logits.chunks(classes);
    rows.all(|row| {
        row.iter().all(|p| (0.0..=1.0).contains(p)) && (row.iter().sum::<f32>() - 1.0).abs() < SUM_ROUNDING
    })
}

/// What the black-box attack found beside those that follow gradients.
fn black_box(outcome: &Outcome) -> Option<Warning> {
    let stage = outcome.stages.iter().find(|stage| stage.options.kind == AttackKind::SQUARE)?;
    let share = stage.broken as f64 / outcome.images.len().max(1) as f64;
    (share > BLACK_BOX_SHARE).then(|| {
        Warning::new(
            format!(
                "{} breaks {} images that withstood attacks by gradients ({:.1} points)",
                stage.options.kind.title,
                stage.broken,
                100.0 * share
            ),
            "an attack without gradients should find nothing more: gradients mislead, and the verdict may be too good",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackOptions;
    use crate::cpu::Mode;
    use crate::nn::{Builder, Problem};
    use crate::threat::Radius;
    use crate::verdict::run::{Judged, Stage};

    #[test]
    fn zero_gradients_are_a_share_of_the_images_that_are_attacked() {
        let judged = |label| Judged {
            index: 0,
            label,
            clean_prediction: 0,
            broken_by: None,
            adversarial: None,
            distance: None,
        };
        // Half of 200 images are wrong from the start. Two of the others are more than 1 %, and would be 1 % of all.
        let images = (0..200).map(|i| judged(i % 2)).collect();
        let options = AttackOptions::new(AttackKind::APGD_CE);
        let stage = Stage { options, attacked: 100, broken: 0, zero_gradients: 2, seconds: 0.0 };
        let outcome = Outcome { radius: Radius::l2(0.5), stages: vec![stage], images };
        let found = warnings(Vec::new(), &[], &outcome);
        assert!(found.len() == 1 && found[0].figure.starts_with("2.0 % of the attacked"), "{found:?}");
    }

    #[test]
    fn images_of_more_than_a_batch_are_all_asked_about() {
        let problem = Problem { height: 1, width: 2, channels: 1, classes: 3 };
        let mut net = Builder::new(problem);
        net.dense(net.images(), "logits", 3, 1.0);
        let net = net.finish().unwrap();
        let values = net.slots.zeros();
        let model = Model::new(net, values);
        // All logits are 0, which is class 0 without a gradient. The last image is of another class.
        let labels: Vec<usize> = (0..70).map(|i| usize::from(i == 69)).collect();
        let asked = asked(&Device::Cpu(Mode::Reference), &model, &[0.5; 140], &labels).unwrap();
        assert_eq!((asked.logits, asked.random, asked.flat), (vec![0.0; 210], false, 69));
    }

    #[test]
    fn rows_that_are_distributions_are_probabilities_and_logits_are_not() {
        assert!(are_probabilities(&[0.25, 0.75, 1.0, 0.0], 2));
        assert!(!are_probabilities(&[0.25, 0.75, 1.0, 0.5], 2));
        assert!(!are_probabilities(&[-1.0, 2.0], 2));
    }
}

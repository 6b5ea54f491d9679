//! Whether a verdict can be believed: the five warnings of AutoAttack's public code (fra31/auto-attack, a392200), and ours.

use super::run::{Outcome, VerdictError};
use crate::attacks::AttackKind;
use crate::attacks::objective::{Objective, fooled};
use crate::attacks::target::Target;
use crate::evaluation::Subject;
use crate::evaluation::warnings::{self, Warning};
use crate::executor::{Device, ExecutionError, Outputs};
use crate::graph::Unary;

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
    // An image that is wrong without an attack is not attacked.
    let right = outcome.images.iter().filter(|image| image.clean_prediction == image.label).count();
    if let Some(first) = outcome.stages.first().filter(|_| right > 0) {
        found.extend(warnings::zero_gradients(first.zero_gradients as f64 / right as f64));
    }
    found
}

/// What the model's answers to the first images say. Every shard asks about the first images of the whole, so that all find the
/// same.
///
/// # Errors
/// If the model cannot be run.
pub fn answers(device: &Device, subject: &Subject) -> Result<Vec<Warning>, VerdictError> {
    asked(device, subject)
        .map_err(|error| VerdictError::Attack { name: subject.place.name.clone(), source: error.into() })
}

fn asked(device: &Device, subject: &Subject) -> Result<Vec<Warning>, ExecutionError> {
    let images = subject.images.len().min(IMAGES);
    let mut target = Target::new(device, &subject.model, images)?;
    let classes = target.problem().classes;
    let mut a = target.graph()?;
    let logits = target.classifier(&a.states).logits(&mut a.graph, a.images)?;
    a.graph.output("logits", logits);
    if classes >= Objective::Dlr.classes() {
        let value = Objective::Dlr.value(&mut a.graph, logits, a.labels, a.labels)?;
        let gradient = Objective::Dlr.gradient(&mut a.graph, (logits, value), a.labels, a.images)?;
        let absolute = a.graph.unary(Unary::Abs, gradient);
        let size = a.graph.sum_columns(absolute);
        a.graph.output("gradient", size);
        // Of an image that is wrong already the loss may be a constant, and no attack is run on it.
        let wrong = fooled(&mut a.graph, logits, a.labels)?;
        a.graph.output("wrong", wrong);
    }
    let mut session = target.prepare(&a.graph)?;
    let labels: Vec<f32> = subject.images.labels()[..images].iter().map(|&label| f32::from(label)).collect();
    target.load(&subject.images.to_unit(0..images), &labels)?;
    let all: Vec<Outputs> = (0..PASSES).map(|_| session.compute()).collect::<Result<_, _>>()?;
    let logits = all[0].get("logits");
    let random = all.iter().any(|outputs| outputs.get("logits") != logits);
    let flat = match classes >= Objective::Dlr.classes() {
        true => {
            let images = all[0].get("gradient").iter().zip(all[0].get("wrong"));
            images.filter(|(size, wrong)| **size == 0.0 && **wrong == 0.0).count()
        }
        false => 0,
    };
    let found = [
        random.then(|| {
            Warning::new(
                format!("{PASSES} passes over the same images gave different logits"),
                "the model or the adapter is random; attacks must average over its answers, and these do not",
            )
        }),
        are_probabilities(logits, classes).then(|| {
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
    use crate::evaluation::suite::Radius;
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
        let stage = Stage { options, attacked: 200, broken: 0, zero_gradients: 2, seconds: 0.0 };
        let outcome = Outcome { radius: Radius::l2(0.5), stages: vec![stage], images };
        let found = warnings(Vec::new(), &[], &outcome);
        assert!(found.len() == 1 && found[0].figure.starts_with("2.0 % of the attacked"), "{found:?}");
    }

    #[test]
    fn rows_that_are_distributions_are_probabilities_and_logits_are_not() {
        assert!(are_probabilities(&[0.25, 0.75, 1.0, 0.0], 2));
        assert!(!are_probabilities(&[0.25, 0.75, 1.0, 0.5], 2));
        assert!(!are_probabilities(&[-1.0, 2.0], 2));
    }
}

//! What a classifier answers: logits of images, and gradients by their pixels, in batches that fit the device.

use crate::attacks::attacker::AttackError;
use crate::attacks::objective::{CeForm, gradient};
use crate::attacks::target::Target;
use crate::executor::{Device, ExecutionError, Session};
use crate::memory;
use crate::models::file::Model;

/// Images at a time.
const BATCH: usize = 64;

/// A model's program for logits, ready for images that come in parts.
pub struct Predictor {
    target: Target,
    session: Session,
    classes: usize,
}

impl Predictor {
    /// For `images` images in all; so many at a time as fit, or fewer.
    ///
    /// # Errors
    /// If the device cannot hold the program.
    pub fn new(device: &Device, model: &Model, images: usize) -> Result<Self, AttackError> {
        let (target, session) = prepared(device, model, images, |target| {
            let mut a = target.graph()?;
            let logits = target.classifier(&a.states).logits(&mut a.graph, a.images)?;
            a.graph.output(LOGITS, logits);
            target.prepare(&a.graph)
        })?;
        Ok(Self { target, session, classes: model.facts.problem.classes })
    }

    /// How many images it takes at a time; parts of a multiple of them waste nothing.
    pub fn batch(&self) -> usize {
        self.target.extents()[0]
    }

    /// The logits `[n, classes]` of `images`, `[n, height, width, channels]` in [0, 1]. `each` learns how many it has after every
    /// batch.
    ///
    /// # Errors
    /// If the device cannot compute them.
    pub fn logits(&mut self, images: &[f32], each: &mut dyn FnMut(usize)) -> Result<Vec<f32>, AttackError> {
        let all = images.len() / self.target.pixels();
        let mut logits = memory::with_room(all * self.classes)?;
        let (session, classes) = (&mut self.session, self.classes);
        self.target.each_batch(images, &vec![0; all], |_, batch| -> Result<(), ExecutionError> {
            logits.extend_from_slice(&session.compute()?.get(LOGITS)[..batch.real * classes]);
            each(batch.first + batch.real);
            Ok(())
        })?;
        Ok(logits)
    }
}

/// The logits `[n, classes]` that `model` gives for `images`, `[n, height, width, channels]` in [0, 1].
///
/// # Errors
/// If the device cannot compute them.
pub fn logits(
    device: &Device,
    model: &Model,
    images: &[f32],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<f32>, AttackError> {
    let all = images.len() / model.facts.problem.pixels();
    Predictor::new(device, model, all)?.logits(images, &mut |done| progress(done, all))
}

/// The same, refused where some are not numbers.
fn finite_logits(
    device: &Device,
    model: &Model,
    images: &[f32],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<f32>, AttackError> {
    let logits = logits(device, model, images, progress)?;
    match logits.iter().position(|logit| !logit.is_finite()) {
        Some(at) => Err(AttackError::not_numbers(at / model.facts.problem.classes)),
        None => Ok(logits),
    }
}

/// The class that `model` takes each image for; `images` are those of [`logits`].
///
/// # Errors
/// If the device cannot compute the logits, or some are not numbers.
pub fn answers(
    device: &Device,
    model: &Model,
    images: &[f32],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<usize>, AttackError> {
    let logits = finite_logits(device, model, images, progress)?;
    Ok(logits.chunks_exact(model.facts.problem.classes).map(answer).collect())
}

/// The class with the largest of an image's logits, the first of equals.
pub fn answer(logits: &[f32]) -> usize {
    let mut best = 0;
    for class in 1..logits.len() {
        if logits[class] > logits[best] {
            best = class;
        }
    }
    best
}

/// How sure `model` is of each image's class, one of `labels`: its softmax probability. `images` are those of [`logits`].
///
/// # Errors
/// If the device cannot compute the logits, or some are not numbers.
pub fn confidences(
    device: &Device,
    model: &Model,
    images: &[f32],
    labels: &[usize],
) -> Result<Vec<f32>, AttackError> {
    let logits = finite_logits(device, model, images, &mut |_, _| {})?;
    let rows = logits.chunks_exact(model.facts.problem.classes).zip(labels);
    Ok(rows.map(|(own, &label)| probability(own, label)).collect())
}

/// The softmax probability of a class.
fn probability(logits: &[f32], class: usize) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    (logits[class] - largest).exp() / sum
}

/// The gradient of each image's cross-entropy by its pixels, like `images`, which are those of [`logits`]; `labels` are their
/// classes.
///
/// # Errors
/// If the device cannot compute them.
pub fn input_gradients(
    device: &Device,
    model: &Model,
    images: &[f32],
    labels: &[usize],
) -> Result<Vec<f32>, AttackError> {
    let pixels = model.facts.problem.pixels();
    let (mut target, mut session) = prepared(device, model, labels.len(), |target| {
        let mut a = target.graph()?;
        let classifier = target.classifier(&a.states);
        let result = gradient(&mut a.graph, classifier, a.images, a.labels, CeForm::Plain)?;
        a.graph.output(GRADIENTS, result);
        target.prepare(&a.graph)
    })?;
    let mut gradients = memory::with_room(images.len())?;
    target.each_batch(images, labels, |_, batch| -> Result<(), ExecutionError> {
        gradients.extend_from_slice(&session.compute()?.get(GRADIENTS)[..batch.real * pixels]);
        Ok(())
    })?;
    Ok(gradients)
}

const LOGITS: &str = "logits";
const GRADIENTS: &str = "gradients";

/// The program that `write` makes, for as many images at a time as fit.
pub(crate) fn prepared(
    device: &Device,
    model: &Model,
    images: usize,
    write: impl Fn(&mut Target) -> Result<Session, ExecutionError>,
) -> Result<(Target, Session), ExecutionError> {
    let (made, _) = device.fitting(BATCH.min(images.max(1)), |slots| {
        let mut target = Target::new(device, model, slots)?;
        let session = write(&mut target)?;
        Ok((target, session))
    })?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_first_of_the_largest_logits() {
        assert_eq!([answer(&[1.0, 1.0, 0.0]), answer(&[0.0, 0.0, 2.0]), answer(&[-1.0])], [0, 2, 0]);
    }

    #[test]
    fn the_probability_of_a_class_is_a_softmax_that_no_logit_is_too_large_for() {
        let own = |class| probability(&[1000.0, 1000.0 + 3.0_f32.ln(), -1000.0], class);
        assert!((own(0) - 0.25).abs() < 1e-4 && (own(1) - 0.75).abs() < 1e-4, "{} and {}", own(0), own(1));
        assert_eq!(own(2), 0.0);
    }
}

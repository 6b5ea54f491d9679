//! What a classifier answers: logits of images, and gradients by their pixels, in batches that fit the device.

use crate::attacks::attacker::AttackError;
use crate::attacks::objective::{CeForm, gradient};
use crate::attacks::target::Target;
use crate::executor::{Device, ExecutionError, Session};
use crate::memory;
use crate::models::file::Model;

/// Images at a time.
const BATCH: usize = 64;

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
    let (pixels, classes) = (model.facts.problem.pixels(), model.facts.problem.classes);
    let all = images.len() / pixels;
    let (mut target, mut session) = prepared(device, model, all, |target| {
        let mut a = target.graph()?;
        let logits = target.classifier(&a.states).logits(&mut a.graph, a.images)?;
        a.graph.output(LOGITS, logits);
        target.prepare(&a.graph)
    })?;
    let mut logits = memory::with_room(all * classes)?;
    while logits.len() < all * classes {
        let done = logits.len() / classes;
        let now = (all - done).min(target.slots);
        let mut batch = images[done * pixels..][..now * pixels].to_vec();
        batch.resize(target.slots * pixels, 0.0);
        target.workspace.write(crate::attacks::target::IMAGES, &batch)?;
        let outputs = session.compute()?;
        logits.extend_from_slice(&outputs.get(LOGITS)[..now * classes]);
        progress(done + now, all);
    }
    Ok(logits)
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
    for (images, labels) in images.chunks(target.slots * pixels).zip(labels.chunks(target.slots)) {
        let mut batch = images.to_vec();
        batch.resize(target.slots * pixels, 0.0);
        let mut classes: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
        classes.resize(target.slots, 0.0);
        target.load(&batch, &classes)?;
        gradients.extend_from_slice(&session.compute()?.get(GRADIENTS)[..images.len()]);
    }
    Ok(gradients)
}

const LOGITS: &str = "logits";
const GRADIENTS: &str = "gradients";

/// The program that `write` makes, for as many images at a time as fit.
fn prepared(
    device: &Device,
    model: &Model,
    images: usize,
    write: impl Fn(&mut Target) -> Result<Session, ExecutionError>,
) -> Result<(Target, Session), AttackError> {
    let mut slots = BATCH.min(images.max(1));
    loop {
        let attempt = || -> Result<(Target, Session), AttackError> {
            let mut target = Target::new(device, model, slots)?;
            let session = write(&mut target)?;
            Ok((target, session))
        };
        match attempt() {
            Err(AttackError::Execution(error)) if error.is_too_large() && slots > 1 => {
                device.forget_out_of_memory();
                slots = slots.div_ceil(2);
            }
            result => return result,
        }
    }
}

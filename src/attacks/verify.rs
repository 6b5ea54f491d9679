//! The judge of every attack: a plain forward pass that knows nothing of it.

use super::attacker::AttackError;
use super::direction::{self, CeForm};
use super::target::Target;
use crate::executor::{ExecutionError, Outputs, Session};
use crate::graph::Unary;

/// What the classifier makes of clean images.
pub struct Clean {
    /// Predicted classes.
    pub predictions: Vec<usize>,
    /// Whether the gradient that attacks follow is exactly zero.
    pub zero_gradient: Vec<bool>,
}

/// Forward passes over any number of images.
pub struct Verifier {
    clean: Session,
    plain: Session,
}

impl Verifier {
    /// Prepares both passes; `form` is the gradient that the attack follows.
    pub fn new(target: &mut Target, form: CeForm) -> Result<Self, ExecutionError> {
        let mut a = target.graph()?;
        let logits = target.classifier.logits(&mut a.graph, &a.weights, a.images)?;
        let predictions = a.graph.arg_max(logits);
        let sum = a.graph.sum_columns(logits);
        a.graph.output("predictions", predictions);
        a.graph.output("sum", sum);
        let plain = target.prepare(&a.graph)?;
        let classifier = target.classifier.clone();
        let gradient = direction::gradient(&mut a.graph, &classifier, &a.weights, a.images, a.labels, form)?;
        let absolute = a.graph.unary(Unary::Abs, gradient);
        let size = a.graph.sum_columns(absolute);
        a.graph.output("gradient", size);
        Ok(Self { clean: target.prepare(&a.graph)?, plain })
    }

    /// Predictions and gradients of clean images.
    pub fn clean(
        &mut self,
        target: &mut Target,
        images: &[f32],
        labels: &[usize],
    ) -> Result<Clean, AttackError> {
        let (mut predictions, mut zero_gradient) = (Vec::new(), Vec::new());
        over(&mut self.clean, target, images, labels, |outputs, real| {
            predictions.extend(classes(outputs, real));
            zero_gradient.extend(outputs.get("gradient")[..real].iter().map(|&g| g == 0.0));
        })?;
        Ok(Clean { predictions, zero_gradient })
    }

    /// Predictions of any images.
    pub fn predictions(&mut self, target: &mut Target, images: &[f32]) -> Result<Vec<usize>, AttackError> {
        let mut predictions = Vec::new();
        let labels = vec![0; images.len() / target.pixels()];
        over(&mut self.plain, target, images, &labels, |outputs, real| {
            predictions.extend(classes(outputs, real));
        })?;
        Ok(predictions)
    }
}

fn classes(outputs: &Outputs, real: usize) -> impl Iterator<Item = usize> {
    outputs.get("predictions")[..real].iter().map(|&p| p as usize)
}

fn over(
    session: &mut Session,
    target: &mut Target,
    images: &[f32],
    labels: &[usize],
    mut each: impl FnMut(&Outputs, usize),
) -> Result<(), AttackError> {
    let (pixels, slots) = (target.pixels(), target.slots);
    for first in (0..labels.len()).step_by(slots) {
        let real = slots.min(labels.len() - first);
        let mut batch = images[first * pixels..(first + real) * pixels].to_vec();
        batch.resize(slots * pixels, 0.5);
        let mut classes: Vec<f32> = labels[first..first + real].iter().map(|&l| l as f32).collect();
        classes.resize(slots, 0.0);
        target.load(&batch, &classes)?;
        let outputs = session.compute()?;
        if let Some(i) = outputs.get("sum")[..real].iter().position(|v| !v.is_finite()) {
            return Err(AttackError::Unsuitable(format!(
                "the model's logits for image {} are not numbers; its weights have diverged, use another model",
                first + i
            )));
        }
        each(&outputs, real);
    }
    Ok(())
}

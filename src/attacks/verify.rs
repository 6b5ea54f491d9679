//! The judge of every attack: a plain forward pass that knows nothing of it, and a look at where its images lie.

use super::attacker::{AttackError, Perturbed};
use super::objective::{self, CeForm};
use super::options::AttackOptions;
use super::sound;
use super::target::Target;
use crate::executor::{ExecutionError, Outputs, Session};
use crate::graph::Unary;

/// Refuses attacked images of which one lies outside the box of pixels or outside the ball that the attack promises. Such
/// an image proves nothing about the classifier; it shows that a kernel computes wrongly. The error names the place of the
/// image, one of `places`.
pub fn check_bounds(
    options: &AttackOptions,
    moved: &Perturbed,
    places: &[usize],
    pixels: usize,
) -> Result<(), AttackError> {
    for (i, (adversarial, &image)) in moved.adversarial.chunks(pixels).zip(places).enumerate() {
        let broken = |problem| AttackError::BrokenPromise { attack: options.kind.name(), image, problem };
        // Written so that NaN is outside.
        if let Some(value) = adversarial.iter().find(|v| !(0.0..=1.0).contains(*v)) {
            return Err(broken(format!("has a pixel of {value}, outside [0, 1]")));
        }
        let Some(ball) = options.ball() else { continue };
        let length = moved.length(ball.norm, i);
        if !ball.holds(f64::from(length), pixels) {
            let (name, radius) = (ball.norm.name(), ball.epsilon);
            return Err(broken(format!("lies at {name} {length}, beyond the radius {radius}")));
        }
    }
    Ok(())
}

/// What the classifier makes of clean images.
pub struct Clean {
    /// Predicted classes.
    pub predictions: Vec<usize>,
    /// Whether the gradient of the image's own class at the image is exactly zero.
    pub zero_gradient: Vec<bool>,
    /// One row per image.
    pub logits: Vec<f32>,
}

/// Forward passes over any number of images.
pub struct Verifier {
    clean: Session,
    plain: Session,
    form: CeForm,
}

impl Verifier {
    /// Prepares both passes; `form` is the gradient that the attack follows.
    pub fn new(target: &mut Target, form: CeForm) -> Result<Self, ExecutionError> {
        let mut a = target.graph()?;
        let logits = target.classifier(&a.states).logits(&mut a.graph, a.images)?;
        let predictions = a.graph.arg_max(logits);
        let sum = a.graph.sum_columns(logits);
        a.graph.output("predictions", predictions);
        a.graph.output("sum", sum);
        let plain = target.prepare(&a.graph)?;
        a.graph.output(sound::LOGITS, logits);
        let classifier = target.classifier(&a.states);
        let gradient = objective::gradient(&mut a.graph, classifier, a.images, a.labels, form)?;
        let absolute = a.graph.unary(Unary::Abs, gradient);
        let size = a.graph.sum_columns(absolute);
        a.graph.output(sound::GRADIENT, size);
        Ok(Self { clean: target.prepare(&a.graph)?, plain, form })
    }

    /// Predictions and gradients of clean images, which errors name by their places.
    pub fn clean(
        &mut self,
        target: &mut Target,
        images: &[f32],
        labels: &[usize],
        places: &[usize],
    ) -> Result<Clean, AttackError> {
        let (mut predictions, mut zero_gradient, mut logits) = (Vec::new(), Vec::new(), Vec::new());
        let columns = target.problem().classes;
        let form = self.form;
        target.each_batch(images, labels, |target, batch| -> Result<(), AttackError> {
            let outputs = self.clean.compute()?;
            let own = &places[batch.first..][..batch.real];
            sound::judge(target, &outputs, (own, batch.first == 0), || {
                let mut other = target.in_f32()?;
                let mut verifier = Self::new(&mut other, form)?;
                other.load(&batch.images, &batch.classes)?;
                verifier.clean.compute()
            })?;
            predictions.extend(classes(&outputs, batch.real));
            logits.extend_from_slice(&outputs.get(sound::LOGITS)[..batch.real * columns]);
            zero_gradient.extend(outputs.get(sound::GRADIENT)[..batch.real].iter().map(|&g| g == 0.0));
            Ok(())
        })?;
        Ok(Clean { predictions, zero_gradient, logits })
    }

    /// Predictions of any images, which errors name by their places.
    pub fn predictions(
        &mut self,
        target: &mut Target,
        images: &[f32],
        places: &[usize],
    ) -> Result<Vec<usize>, AttackError> {
        let mut predictions = Vec::new();
        let labels = vec![0; images.len() / target.pixels()];
        target.each_batch(images, &labels, |_, batch| {
            let outputs = self.plain.compute()?;
            if let Some(i) = outputs.get("sum")[..batch.real].iter().position(|v| !v.is_finite()) {
                return Err(AttackError::not_numbers(places[batch.first + i]));
            }
            predictions.extend(classes(&outputs, batch.real));
            Ok(())
        })?;
        Ok(predictions)
    }
}

fn classes(outputs: &Outputs, real: usize) -> impl Iterator<Item = usize> {
    outputs.get("predictions")[..real].iter().map(|&p| p as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::{AttackKind, Norm};

    /// One grey image of 8x8 that PGD moved by `delta` in its first pixel.
    fn moved(delta: f32) -> Perturbed {
        let images = vec![0.5; 64];
        let mut adversarial = images.clone();
        adversarial[0] += delta;
        Perturbed::new(&images, adversarial, 64, 0.0)
    }

    fn judged(kind: AttackKind, norm: Norm, epsilon: f32, delta: f32) -> Result<(), String> {
        let options = AttackOptions { epsilon, norm, ..AttackOptions::new(kind) };
        check_bounds(&options, &moved(delta), &[7], 64).map_err(|error| error.to_string())
    }

    #[test]
    fn an_image_beyond_the_radius_is_refused_by_name() {
        for norm in [Norm::L2, Norm::Linf] {
            assert_eq!(judged(AttackKind::PGD, norm, 0.25, 0.25), Ok(()));
            let error = judged(AttackKind::PGD, norm, 0.25, 0.2503).unwrap_err();
            assert!(
                error.starts_with("image 7 of pgd lies at L") && error.contains("radius 0.25"),
                "{error}"
            );
        }
        // An attack that looks for the smallest distance promises none.
        assert_eq!(judged(AttackKind::CW, Norm::L2, 0.25, 0.5), Ok(()));
    }

    #[test]
    fn an_image_outside_the_box_or_without_a_number_is_refused() {
        for delta in [0.6, -0.6, f32::NAN] {
            let error = judged(AttackKind::CW, Norm::L2, 0.25, delta).unwrap_err();
            assert!(error.contains("outside [0, 1]"), "{error}");
        }
    }
}

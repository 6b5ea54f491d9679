//! What an attack did to a set of images, as a separate forward pass found it.

use crate::models::Problem;

/// Per-image results. Images are NHWC in [0, 1]; everything has one entry per image, in the order of the split.
#[derive(Clone, Debug)]
pub struct AttackOutcome {
    /// What the images look like.
    pub problem: Problem,
    /// The images, `[n, s, s, c]`.
    pub images: Vec<f32>,
    /// The attacked images, `[n, s, s, c]`.
    pub adversarial: Vec<f32>,
    /// True classes.
    pub labels: Vec<usize>,
    /// The classifier's answer to the images.
    pub clean_predictions: Vec<usize>,
    /// Its answer to the attacked images, by a forward pass that knows nothing of the attack.
    pub predictions: Vec<usize>,
    /// Euclidean norm of the perturbation.
    pub l2: Vec<f32>,
    /// Largest absolute value of the perturbation.
    pub linf: Vec<f32>,
    /// Whether the attack changed the answer away from what it attacked: the true class, or for DeepFool
    /// the clean prediction.
    pub success: Vec<bool>,
    /// Whether the gradient that the attack starts from is exactly zero.
    pub zero_gradient: Vec<bool>,
    /// Seconds of the attack, without the verification.
    pub seconds: f64,
}

impl AttackOutcome {
    /// Images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Share of clean images classified correctly.
    pub fn benign_accuracy(&self) -> f64 {
        self.share(|i| self.clean_predictions[i] == self.labels[i])
    }

    /// Share of images classified correctly both clean and attacked: an attack that pushes a misclassified
    /// image into its true class gains the classifier nothing.
    pub fn accuracy(&self) -> f64 {
        self.share(|i| self.clean_predictions[i] == self.labels[i] && self.predictions[i] == self.labels[i])
    }

    fn share(&self, holds: impl Fn(usize) -> bool) -> f64 {
        (0..self.len()).filter(|&i| holds(i)).count() as f64 / self.len().max(1) as f64
    }
}

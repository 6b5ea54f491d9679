//! What an attack did to a set of images, as a separate forward pass found it. What counts as success is said here once,
//! in [`Verdict::of`]; tables, files, records and statistics all ask it.
use crate::nn::Problem;
use serde::{Deserialize, Serialize};

/// What an attack came to on one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Classified correctly before and after the attack.
    Withstood,
    /// Classified correctly before the attack and wrongly after it.
    Fooled,
    /// Classified wrongly before the attack. There is nothing to win, so the image stays as it is.
    AlreadyWrong,
}

impl Verdict {
    /// All of them, the best for the classifier first.
    pub const ALL: [Self; 3] = [Self::Withstood, Self::Fooled, Self::AlreadyWrong];

    /// The verdict on an image of class `label` with these predictions before and after the attack.
    pub fn of(label: usize, clean: usize, attacked: usize) -> Self {
        if clean != label {
            Self::AlreadyWrong
        } else if attacked != label {
            Self::Fooled
        } else {
            Self::Withstood
        }
    }

    /// As in tables, sheets and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Withstood => "withstood",
            Self::Fooled => "fooled",
            Self::AlreadyWrong => "already wrong",
        }
    }
}

/// Per-image results. Images are NHWC in [0, 1]; everything has one entry per image, in the order of the split. Images
/// that were wrong from the start are returned bit for bit, at distance 0.
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

    /// What the attack came to on image `i`.
    pub fn verdict(&self, i: usize) -> Verdict {
        Verdict::of(self.labels[i], self.clean_predictions[i], self.predictions[i])
    }

    /// Images with this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        (0..self.len()).filter(|&i| self.verdict(i) == verdict).count()
    }

    /// Images that were attacked: those classified correctly before.
    pub fn attacked(&self) -> usize {
        self.len() - self.count(Verdict::AlreadyWrong)
    }

    /// Share of clean images classified correctly.
    pub fn benign_accuracy(&self) -> f64 {
        self.attacked() as f64 / self.len().max(1) as f64
    }

    /// Share of images classified correctly before and after the attack.
    pub fn accuracy(&self) -> f64 {
        self.count(Verdict::Withstood) as f64 / self.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_was_wrong_from_the_start_is_never_fooled_and_never_withstands() {
        let of = |clean, attacked| Verdict::of(1, clean, attacked);
        assert_eq!([of(1, 1), of(1, 2)], [Verdict::Withstood, Verdict::Fooled]);
        assert_eq!([of(0, 0), of(0, 1), of(0, 2)], [Verdict::AlreadyWrong; 3]);
    }
}

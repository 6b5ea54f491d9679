//! What an attack did to a set of images, as a separate forward pass found it. What counts as success is said here once,
//! in [`ImageVerdict::of`]; tables, files, records and statistics all ask it.
use crate::nn::Problem;
use serde::{Deserialize, Serialize};

/// What an attack came to on one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageVerdict {
    /// Classified correctly before the attack, which then did not succeed: the classifier answers with the image's class, or,
    /// where the attack leads to a class, not with that one.
    Withstood,
    /// Classified correctly before the attack and wrongly after it; where the attack leads to a class, as that one.
    Fooled,
    /// Classified wrongly before the attack. There is nothing to win, so the image stays as it is.
    AlreadyWrong,
    /// Of the class that the attack leads to. There is nothing to do, so the image stays as it is.
    OfTarget,
}

impl ImageVerdict {
    /// All of them, the best for the classifier first.
    pub const ALL: [Self; 4] = [Self::Withstood, Self::Fooled, Self::AlreadyWrong, Self::OfTarget];

    /// The verdict on an image of class `label` with these predictions before and after an attack that leads to `target`, or
    /// to whatever other class.
    pub fn of(label: usize, clean: usize, attacked: usize, target: Option<usize>) -> Self {
        match target {
            _ if clean != label => Self::AlreadyWrong,
            Some(target) if target == label => Self::OfTarget,
            _ if target.map_or(attacked != label, |target| attacked == target) => Self::Fooled,
            _ => Self::Withstood,
        }
    }

    /// As in tables, sheets and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Withstood => "withstood",
            Self::Fooled => "fooled",
            Self::AlreadyWrong => "already wrong",
            Self::OfTarget => "of the target class",
        }
    }
}

/// Per-image results. Images are NHWC in [0, 1]; everything has one entry per image, in the order of the split. Images
/// that were wrong from the start are returned bit for bit, at distance 0.
#[derive(Clone, Debug)]
pub struct AttackOutcome {
    /// What the images look like.
    pub problem: Problem,
    /// The images, `[n, height, width, channels]`.
    pub images: Vec<f32>,
    /// The attacked images, `[n, height, width, channels]`.
    pub adversarial: Vec<f32>,
    /// True classes.
    pub labels: Vec<usize>,
    /// The classifier's answer to the images.
    pub clean_predictions: Vec<usize>,
    /// Its answer to the attacked images, by a forward pass that knows nothing of the attack.
    pub predictions: Vec<usize>,
    /// The class that each image was led to, if the attack leads to one. Of several, that of the image that is kept.
    pub targets: Option<Vec<usize>>,
    /// Euclidean norm of the perturbation.
    pub l2: Vec<f32>,
    /// Largest absolute value of the perturbation.
    pub linf: Vec<f32>,
    /// Whether the gradient of the image's own class at the image is exactly zero, also where the attack has a target or starts
    /// at random.
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
    pub fn verdict(&self, i: usize) -> ImageVerdict {
        let target = self.targets.as_ref().map(|targets| targets[i]);
        ImageVerdict::of(self.labels[i], self.clean_predictions[i], self.predictions[i], target)
    }

    /// Images with this verdict.
    pub fn count(&self, verdict: ImageVerdict) -> usize {
        (0..self.len()).filter(|&i| self.verdict(i) == verdict).count()
    }

    /// Images that were attacked: those classified correctly before, but for those of the target class.
    pub fn attacked(&self) -> usize {
        self.len() - self.count(ImageVerdict::AlreadyWrong) - self.count(ImageVerdict::OfTarget)
    }

    /// Share of clean images classified correctly.
    pub fn benign_accuracy(&self) -> f64 {
        (self.len() - self.count(ImageVerdict::AlreadyWrong)) as f64 / self.len().max(1) as f64
    }

    /// Share of images classified correctly before the attack, which did not succeed on them.
    pub fn accuracy(&self) -> f64 {
        let standing = self.count(ImageVerdict::Withstood) + self.count(ImageVerdict::OfTarget);
        standing as f64 / self.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_was_wrong_from_the_start_is_never_fooled_and_never_withstands() {
        let of = |clean, attacked| ImageVerdict::of(1, clean, attacked, None);
        assert_eq!([of(1, 1), of(1, 2)], [ImageVerdict::Withstood, ImageVerdict::Fooled]);
        assert_eq!([of(0, 0), of(0, 1), of(0, 2)], [ImageVerdict::AlreadyWrong; 3]);
    }

    #[test]
    fn an_attack_that_leads_to_a_class_succeeds_with_that_class_alone() {
        let of = |clean, attacked| ImageVerdict::of(1, clean, attacked, Some(2));
        assert_eq!(
            [of(1, 2), of(1, 0), of(1, 1)],
            [ImageVerdict::Fooled, ImageVerdict::Withstood, ImageVerdict::Withstood]
        );
        assert_eq!(of(2, 2), ImageVerdict::AlreadyWrong, "wrong before, whatever it is taken for");
        assert_eq!(ImageVerdict::of(2, 2, 2, Some(2)), ImageVerdict::OfTarget);
    }
}

//! Which attack, and its options with the defaults of the paper's evaluation (METHOD and library defaults
//! are named where they stand).

use super::direction::CeForm;
use super::length;
use crate::nn::Problem;
use serde::{Deserialize, Serialize};

/// The attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AttackKind {
    /// Fast gradient method: one step of length epsilon
    Fgm,
    /// Projected gradient descent inside the ball of radius epsilon
    Pgd,
    /// Momentum iterative method inside the ball of radius epsilon
    Mim,
    /// Smallest step to the nearest linearised class boundary, repeated
    #[value(name = "deepfool")]
    DeepFool,
    /// Carlini and Wagner's L2 attack with a binary search on its constant
    Cw,
    /// The model's own perturbation generator
    Pgn,
}

impl AttackKind {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fgm => "fgm",
            Self::Pgd => "pgd",
            Self::Mim => "mim",
            Self::DeepFool => "deepfool",
            Self::Cw => "cw",
            Self::Pgn => "pgn",
        }
    }

    /// Whether the attack stays within a given radius, rather than looking for the smallest one.
    pub fn has_radius(self) -> bool {
        matches!(self, Self::Fgm | Self::Pgd | Self::Mim)
    }

    /// Whether it can measure its perturbations in `norm`. DeepFool, C&W and the generator know L2 alone.
    pub fn knows(self, norm: Norm) -> bool {
        norm == Norm::L2 || self.has_radius()
    }
}

/// How a perturbation is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Euclidean, over all values of the image
    L2,
    /// Largest absolute value
    Linf,
}

impl Norm {
    /// As on the command line.
    pub fn flag(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::Linf => "linf",
        }
    }

    /// The radius of attacks that is usual in this norm: the paper's, and 8 of 255.
    pub fn usual_epsilon(self) -> f32 {
        match self {
            Self::L2 => 0.5,
            Self::Linf => LINF_EPSILON,
        }
    }

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "L2",
            Self::Linf => "Linf",
        }
    }
}

/// Options of one attack. Lengths are in pixel units, pixels being in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AttackOptions {
    /// Which attack.
    pub kind: AttackKind,
    /// Radius of FGM, PGD and MIM.
    pub epsilon: f32,
    /// Norm of that radius.
    pub norm: Norm,
    /// Iterations; for Carlini-Wagner, of each search step.
    pub iterations: usize,
    /// Step of PGD and MIM; absent: as [`AttackOptions::step`] says.
    pub step_size: Option<f32>,
    /// PGD starts at a random point of the sphere.
    pub random_start: bool,
    /// Decay of MIM's momentum.
    pub decay: f32,
    /// Share by which DeepFool's result is lengthened.
    pub overshoot: f32,
    /// Classes that DeepFool looks at in each iteration, the current one included.
    pub candidates: usize,
    /// Binary search steps of Carlini-Wagner.
    pub search_steps: usize,
    /// Adam's learning rate in Carlini-Wagner.
    pub learning_rate: f32,
    /// Carlini-Wagner's first constant.
    pub initial_c: f32,
    /// Margin κ that Carlini-Wagner asks for.
    pub confidence: f32,
    /// Carlini-Wagner ends a search step, image by image, when its loss stops falling.
    pub abort_early: bool,
    /// Which gradient FGM, PGD and MIM follow.
    pub ce_form: CeForm,
    /// Scales the generator's perturbation to this L2 norm.
    pub radius: Option<f32>,
    /// Images at a time.
    pub batch_size: usize,
    /// Seed of random starts.
    pub seed: u64,
}

/// The library's default step of MIM in L2.
pub const MIM_STEP: f32 = 0.06;
/// The usual radius in Linf, of attacks and of training.
pub const LINF_EPSILON: f32 = 8.0 / 255.0;

/// An option that cannot be.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{name} {value} is not possible; it must be {range}")]
pub struct OptionError {
    name: &'static str,
    value: String,
    range: String,
}

impl AttackOptions {
    /// The paper's evaluation: FGM and MIM at epsilon 0.5, 100 iterations; PGD with 10.
    pub fn new(kind: AttackKind) -> Self {
        Self {
            kind,
            epsilon: Norm::L2.usual_epsilon(),
            norm: Norm::L2,
            iterations: if kind == AttackKind::Pgd { 10 } else { 100 },
            step_size: None,
            random_start: false,
            decay: 1.0,
            overshoot: 0.02,
            candidates: 10,
            search_steps: 5,
            learning_rate: 5e-3,
            initial_c: 0.01,
            confidence: 0.0,
            abort_early: true,
            ce_form: CeForm::SaturationFree,
            radius: None,
            batch_size: 128,
            seed: 0,
        }
    }

    /// The step of PGD and MIM. Unless it is given: 2.5 · epsilon / iterations for PGD. For MIM the library's 0.06 in L2, and
    /// epsilon / iterations in Linf, as its authors have it.
    pub fn step(&self) -> f32 {
        let share = self.epsilon / self.iterations as f32;
        self.step_size.unwrap_or(match (self.kind, self.norm) {
            (AttackKind::Mim, Norm::L2) => MIM_STEP,
            (AttackKind::Mim, Norm::Linf) => share,
            _ => 2.5 * share,
        })
    }

    /// The ball that every adversarial image lies in, for attacks that promise one.
    pub fn ball(&self) -> Option<(Norm, f32)> {
        match self.kind {
            AttackKind::Fgm | AttackKind::Pgd | AttackKind::Mim => Some((self.norm, self.epsilon)),
            AttackKind::Pgn => self.radius.map(|radius| (Norm::L2, radius)),
            AttackKind::DeepFool | AttackKind::Cw => None,
        }
    }

    /// Refuses values that make no sense for images of `problem`.
    pub fn check(&self, problem: Problem) -> Result<(), OptionError> {
        let error = |name, value: String, range: String| Err(OptionError { name, value, range });
        if !self.kind.knows(self.norm) {
            let range = format!("l2 for {}, which measures in L2 alone", self.kind.name());
            return error("--norm", self.norm.flag().to_string(), range);
        }
        let lengths = [
            ("--epsilon", Some(self.epsilon), self.norm),
            ("--step-size", self.step_size, self.norm),
            ("--radius", self.radius, Norm::L2),
        ];
        for (name, length, norm) in lengths {
            let Some(length) = length else { continue };
            if let Err(range) = length::possible(length, norm, Some(problem.pixels())) {
                return error(name, length.to_string(), range);
            }
        }
        if !(1..=100_000).contains(&self.iterations) {
            return error("--iterations", self.iterations.to_string(), "from 1 to 100000".to_string());
        }
        if !(1..=100).contains(&self.search_steps) {
            return error("--search-steps", self.search_steps.to_string(), "from 1 to 100".to_string());
        }
        if self.candidates < 2 {
            return error("--candidates", self.candidates.to_string(), "at least 2".to_string());
        }
        if !(1..=65_536).contains(&self.batch_size) {
            return error("--batch-size", self.batch_size.to_string(), "from 1 to 65536".to_string());
        }
        for (name, value) in [("--learning-rate", self.learning_rate), ("--initial-c", self.initial_c)] {
            if !value.is_finite() || value <= 0.0 {
                return error(name, value.to_string(), "a finite number above 0".to_string());
            }
        }
        for (name, value) in
            [("--decay", self.decay), ("--overshoot", self.overshoot), ("--confidence", self.confidence)]
        {
            if !value.is_finite() || value < 0.0 {
                return error(name, value.to_string(), "a finite number from 0 on".to_string());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBLEM: Problem = Problem { height: 8, width: 8, channels: 1, classes: 10 };

    fn refusal(options: &AttackOptions) -> String {
        options.check(PROBLEM).unwrap_err().to_string()
    }

    #[test]
    fn attacks_that_measure_in_l2_alone_refuse_linf_by_name() {
        for kind in [AttackKind::DeepFool, AttackKind::Cw, AttackKind::Pgn] {
            let options = AttackOptions { norm: Norm::Linf, epsilon: 0.1, ..AttackOptions::new(kind) };
            let text = refusal(&options);
            assert!(text.contains("--norm linf") && text.contains(kind.name()), "{text}");
        }
        for kind in [AttackKind::Fgm, AttackKind::Pgd, AttackKind::Mim] {
            let options = AttackOptions { norm: Norm::Linf, epsilon: 0.1, ..AttackOptions::new(kind) };
            assert_eq!(options.check(PROBLEM), Ok(()));
        }
    }

    #[test]
    fn every_length_has_the_bound_of_its_norm_and_a_hint_at_bytes() {
        let pgd = AttackOptions::new(AttackKind::Pgd);
        let linf = AttackOptions { norm: Norm::Linf, epsilon: 0.1, ..pgd.clone() };
        for (options, name) in [
            (AttackOptions { epsilon: 8.0, ..linf.clone() }, "--epsilon 8"),
            (AttackOptions { step_size: Some(2.0), ..linf }, "--step-size 2"),
            (AttackOptions { radius: Some(9.0), ..AttackOptions::new(AttackKind::Pgn) }, "--radius 9"),
            (AttackOptions { epsilon: 16.0, ..pgd.clone() }, "--epsilon 16"),
        ] {
            let text = refusal(&options);
            assert!(text.contains(name) && text.contains("/255 for"), "{text}");
        }
        assert_eq!(AttackOptions { epsilon: 8.0, ..pgd }.check(PROBLEM), Ok(()), "the box itself");
    }

    #[test]
    fn a_step_that_is_not_given_follows_attack_and_norm() {
        let step = |kind, norm, epsilon| {
            AttackOptions { norm, epsilon, iterations: 10, ..AttackOptions::new(kind) }.step()
        };
        assert_eq!(step(AttackKind::Mim, Norm::L2, 1.0), MIM_STEP);
        assert_eq!(step(AttackKind::Mim, Norm::Linf, 0.5), 0.05);
        assert_eq!([Norm::L2, Norm::Linf].map(|norm| step(AttackKind::Pgd, norm, 0.5)), [0.125; 2]);
    }
}

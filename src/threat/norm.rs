//! Norms of perturbations: over a whole image, pixels in [0, 1].

use serde::{Deserialize, Serialize};

/// How a perturbation is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Euclidean, over all values of the image
    L2,
    /// Largest absolute value
    Linf,
}

impl Norm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::L2, Self::Linf];

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

    /// How far one image is from another.
    pub fn distance(self, original: &[f32], moved: &[f32]) -> f64 {
        let differences = original.iter().zip(moved).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
        match self {
            Self::L2 => differences.fold(0.0, |sum: f64, d| d.mul_add(d, sum)).sqrt(),
            Self::Linf => differences.fold(0.0, f64::max),
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

/// The usual radius in Linf, of attacks and of training.
pub const LINF_EPSILON: f32 = 8.0 / 255.0;

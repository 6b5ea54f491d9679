//! Choices of a training run that have names.

use serde::{Deserialize, Serialize};

/// Where the penalty on the perturbation is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum PenaltySpace {
    /// On the pixel difference
    Pixel,
    /// On the generator's own output
    Tanh,
}

/// Which class an attack during training moves images away from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum AttackLabel {
    /// The true one
    True,
    /// The one that the classifier predicts (the library's default)
    Predicted,
}

/// With which statistics batch normalisation computes while an image is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum AttackMode {
    /// The running ones
    Evaluate,
    /// Those of the batch, which learn nothing from it
    Train,
}

/// In which order the two networks move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Update {
    /// Both from the same forward pass
    Simultaneous,
    /// The generator first, the classifier against its answer
    Alternating,
}

/// A named set of defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Table 1 of PGN's paper to the letter; for a defense of others, what its authors' code trains CIFAR-10 with
    Paper,
    /// What works in minutes on two CPU cores
    Small,
}

//! The paper's numbers, to stand beside ours ("Adversarial training with perturbation generator networks", tables 2
//! and 3). Distances are means; which images they are over is not stated there.

use serde::Serialize;

/// The data sets of the paper's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Paper {
    /// CIFAR-10
    Cifar10,
    /// CIFAR-100
    Cifar100,
}

/// One defense's row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Published {
    /// The defense as [`crate::models::file::Facts::method`] has it.
    pub method: &'static str,
    /// Share of clean images classified correctly.
    pub benign_accuracy: f64,
    /// Accuracy under FGM at ε = 0.5.
    pub fgm: f64,
    /// Accuracy under MIM at ε = 0.5.
    pub mim: f64,
    /// DeepFool's mean L2.
    pub deepfool: f64,
    /// Carlini-Wagner's mean L2.
    pub cw: f64,
}

/// Training time of an epoch in table 2, in seconds, in the order naive, FGM, PGD, PGN; on the paper's machine, and
/// with the gradient through the attack.
pub const SECONDS_PER_EPOCH: [f64; 4] = [8.18, 25.12, 175.86, 51.77];

const METHODS: [&str; 4] = ["natural", "fgm", "pgd", "pgn"];

/// Benign accuracy, FGM, MIM, DeepFool, Carlini-Wagner; a column for each of [`METHODS`].
type Table = [[f64; 4]; 5];

const CIFAR10: Table = [
    [0.9189, 0.9180, 0.9172, 0.9186],
    [0.2934, 0.6335, 0.6259, 0.6534],
    [0.0939, 0.5543, 0.5426, 0.5958],
    [0.2129, 0.5135, 0.4977, 0.5102],
    [0.1742, 0.4196, 0.4091, 0.4365],
];

const CIFAR100: Table = [
    [0.7002, 0.6993, 0.7000, 0.7004],
    [0.1173, 0.2213, 0.2139, 0.3906],
    [0.0167, 0.1068, 0.1000, 0.3444],
    [0.0994, 0.1669, 0.1625, 0.3184],
    [0.0791, 0.1334, 0.1305, 0.2617],
];

impl Paper {
    /// Its rows: naive, FGM, PGD, PGN.
    pub fn rows(self) -> [Published; 4] {
        let table = match self {
            Self::Cifar10 => CIFAR10,
            Self::Cifar100 => CIFAR100,
        };
        std::array::from_fn(|i| {
            let [benign_accuracy, fgm, mim, deepfool, cw] = table.map(|row| row[i]);
            Published { method: METHODS[i], benign_accuracy, fgm, mim, deepfool, cw }
        })
    }

    /// The data set's name.
    pub fn data_set(self) -> &'static str {
        match self {
            Self::Cifar10 => "CIFAR-10",
            Self::Cifar100 => "CIFAR-100",
        }
    }
}

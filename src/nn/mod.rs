//! Networks as data: layers and slots in [`net`], their forward pass in `forward`, named architectures in the [`zoo`], and a
//! [`builder`] for your own.

pub mod arrangement;
pub(crate) mod batch_norm;
pub mod builder;
mod forward;
pub mod layer;
pub mod net;
pub mod normalise;
pub mod onnx;
mod result;
pub mod slot;
pub mod zoo;

use serde::{Deserialize, Serialize};

pub use builder::Builder;
pub use forward::{Classifier, Pass};
pub use net::{LayerSummary, Net};
pub use normalise::{Normalisation, Published};
pub use slot::{Slots, States, Values};
pub use zoo::{Network, Plan};

/// What images look like and how many classes they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// From 1 to 4.
    pub channels: usize,
    /// Classes.
    pub classes: usize,
}

/// The least width multiplier.
const SMALLEST_WIDTH: f32 = 0.031_25;

/// Why a network cannot be built.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum ModelError {
    /// A size that no network can have.
    #[error("{name} {value} is not possible; it must be {range}")]
    Size {
        /// What it is a size of.
        name: &'static str,
        /// The size.
        value: String,
        /// What would be possible.
        range: &'static str,
    },
    /// An imported network without its file.
    #[error("the network \"imported\" is the one of a file; name the file with `from`")]
    Imported,
    /// A layer that does not fit.
    #[error("the layer {node} {problem}")]
    Network {
        /// Name of the node or slot.
        node: String,
        /// What does not fit.
        problem: String,
    },
}

impl Problem {
    /// Square images.
    pub fn square(side: usize, channels: usize, classes: usize) -> Self {
        Self { height: side, width: side, channels, classes }
    }

    /// Values of one image.
    pub fn pixels(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Extents of a batch of `n` images.
    pub fn batch(&self, n: usize) -> [usize; 4] {
        [n, self.height, self.width, self.channels]
    }

    /// Refuses sizes out of range, and a width multiplier out of range.
    pub(crate) fn check(&self, width: f32) -> Result<(), ModelError> {
        let error = |name, value: String, range| Err(ModelError::Size { name, value, range });
        if let Some(side) = [self.height, self.width].into_iter().find(|side| !(4..=1024).contains(side)) {
            return error("an image side of", side.to_string(), "from 4 to 1024");
        }
        if !(1..=4).contains(&self.channels) {
            return error("a channel count of", self.channels.to_string(), "from 1 to 4");
        }
        if !(2..=1000).contains(&self.classes) {
            return error("a class count of", self.classes.to_string(), "from 2 to 1000");
        }
        if !(SMALLEST_WIDTH..=4.0).contains(&width) {
            return error("a width multiplier of", width.to_string(), "from 0.03125 to 4");
        }
        Ok(())
    }
}

/// How initial weights are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// sqrt(2 / fan-in) (He et al. 2015).
    He,
    /// 1 / sqrt(fan-in), what the paper's library really does.
    Library,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_sizes_are_named() {
        let cifar = Problem::square(32, 3, 10);
        let error = Problem { height: 2, ..cifar }.check(1.0).unwrap_err().to_string();
        assert_eq!(error, "an image side of 2 is not possible; it must be from 4 to 1024");
        assert!(Problem { classes: 1, ..cifar }.check(1.0).is_err());
        assert!(cifar.check(0.0).is_err());
        assert!(cifar.check(f32::NAN).is_err());
    }
}

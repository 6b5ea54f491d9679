//! The two networks of the game, as graphs over the engine's operations.

pub mod classifier;
pub(crate) mod container;
pub mod file;
mod formats;
pub mod generator;
pub mod layout;
mod names;
pub mod sealed;
mod weights;

use crate::random::{Random, Stream};
use layout::ParameterLayout;
use serde::{Deserialize, Serialize};

pub use classifier::Classifier;
pub use generator::{Generator, GeneratorInput, GeneratorInputs, GradientInput};

/// What images look like and how many classes they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Height and width in pixels.
    pub side: usize,
    /// 1 or 3.
    pub channels: usize,
    /// Classes.
    pub classes: usize,
}

/// Why a model cannot be built.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{name} {value} is not possible; it must be {range}")]
pub struct ModelError {
    name: &'static str,
    value: String,
    range: &'static str,
}

impl Problem {
    /// Pooling stages of the classifier: `round(log2 side) − 2`.
    pub fn scales(&self) -> usize {
        ((self.side as f64).log2().round() as usize).saturating_sub(2)
    }

    /// Values of one image.
    pub fn pixels(&self) -> usize {
        self.side * self.side * self.channels
    }

    fn check(&self, width: f32) -> Result<(), ModelError> {
        let error = |name, value: String, range| Err(ModelError { name, value, range });
        if self.side < 8 || !self.side.is_multiple_of(4) || self.side > 1024 {
            return error("an image side of", self.side.to_string(), "a multiple of 4 from 8 to 1024");
        }
        if self.channels != 1 && self.channels != 3 {
            return error("a channel count of", self.channels.to_string(), "1 (grey) or 3 (RGB)");
        }
        if !(2..=1000).contains(&self.classes) {
            return error("a class count of", self.classes.to_string(), "from 2 to 1000");
        }
        if !(0.031_25..=4.0).contains(&width) {
            return error("a width multiplier of", width.to_string(), "from 0.03125 to 4");
        }
        Ok(())
    }
}

/// How initial weights are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// sqrt(2 / fan-in) (He et al. 2015).
    He,
    /// 1 / sqrt(fan-in), what the paper's library really does.
    Library,
}

/// Channels at a width, at least 1.
fn scaled_channels(channels: usize, width: f32) -> usize {
    ((channels as f32 * width).round() as usize).max(1)
}

fn initial(layout: &ParameterLayout, init: Init, seed: u64, stream: Stream) -> Vec<f32> {
    let random = Random::new(seed, stream);
    let mut values = vec![0.0; layout.len];
    for (index, entry) in layout.entries.iter().enumerate() {
        let deviation = match init {
            Init::He => (2.0 / entry.layer.fan_in()).sqrt(),
            Init::Library => (1.0 / entry.layer.fan_in()).sqrt(),
        };
        for (i, value) in values[entry.weight..][..entry.layer.weight_len()].iter_mut().enumerate() {
            *value = deviation * random.normal(index as u32, i as u32);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIFAR: Problem = Problem { side: 32, channels: 3, classes: 10 };

    #[test]
    fn the_papers_networks_have_the_papers_parameter_counts() {
        assert_eq!(Classifier::new(CIFAR, 1.0).unwrap().layout.count(), 2_334_730);
        assert_eq!(Generator::new(CIFAR, 1.0).unwrap().layout.count(), 8_966_147);
    }

    #[test]
    fn forward_passes_cost_what_the_paper_sized_networks_cost() {
        let millions = |layout: &ParameterLayout| layout.multiply_adds() / 1_000_000;
        assert_eq!(millions(&Classifier::new(CIFAR, 1.0).unwrap().layout), 304);
        let generator = millions(&Generator::new(CIFAR, 1.0).unwrap().layout);
        assert!((215..=225).contains(&generator), "{generator}");
    }

    #[test]
    fn sides_that_are_no_power_of_two_pool_down_to_at_least_two_pixels() {
        for (side, scales) in [(8, 1), (12, 2), (28, 3), (32, 3), (64, 4)] {
            assert_eq!(Problem { side, ..CIFAR }.scales(), scales);
            assert!(side >> scales >= 2);
        }
    }

    #[test]
    fn impossible_sizes_are_named() {
        let error = Classifier::new(Problem { side: 30, ..CIFAR }, 1.0).unwrap_err().to_string();
        assert_eq!(error, "an image side of 30 is not possible; it must be a multiple of 4 from 8 to 1024");
        assert!(Classifier::new(Problem { classes: 1, ..CIFAR }, 1.0).is_err());
        assert!(Generator::new(CIFAR, 0.0).is_err());
        assert!(Generator::new(CIFAR, f32::NAN).is_err());
    }

    #[test]
    fn file_order_and_memory_order_are_inverse() {
        for entry in
            Generator::new(Problem { side: 8, channels: 1, classes: 3 }, 0.0625).unwrap().layout.entries
        {
            let values: Vec<f32> = (0..entry.layer.weight_len()).map(|i| i as f32).collect();
            let there = entry.layer.to_file_order(&values);
            assert_eq!(entry.layer.from_file_order(&there), values);
        }
    }
}

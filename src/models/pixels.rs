//! What a model of another program expects of pixels, where its file does not say it: put in front of the model once, for
//! every command that takes one.

use super::file::{Model, UNKNOWN};
use super::formats;
use crate::nn::normalise::{Parts, Published};
use crate::nn::{ModelError, Normalisation, Problem};
#[cfg(feature = "command-line")]
use crate::numbers::{above, number};
use std::path::{Path, PathBuf};

/// How pixels in [0, 1] become what a model takes.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "command-line", derive(clap::Args))]
pub struct PixelChoice {
    /// Normalise by the published numbers of this data set, before a model of another program that does not do it itself
    #[cfg_attr(feature = "command-line", arg(long, value_name = "DATASET", conflicts_with_all = ["mean", "std"]))]
    pub normalise: Option<Published>,
    /// What is subtracted from each channel before such a model, pixels being in [0, 1] [default: nothing]
    #[cfg_attr(feature = "command-line", arg(long, value_delimiter = ',', value_name = "NUMBERS", allow_negative_numbers = true, value_parser = number(-1e6..=1e6_f32)))]
    pub mean: Vec<f32>,
    /// What each channel is divided by after that [default: 1]
    #[cfg_attr(feature = "command-line", arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = above(0.0, Some(1e6_f32))))]
    pub std: Vec<f32>,
    /// The largest pixel that such a model takes, such as 255 [default: 1, or as its first layers show]
    #[cfg_attr(feature = "command-line", arg(long, value_name = "NUMBER", value_parser = above(0.0, Some(1e6_f32))))]
    pub scale: Option<f32>,
}

/// Why a model is not normalised.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum PixelError {
    /// It does it itself.
    #[error(
        "{} normalises pixels itself (`mean` {:?} `std` {:?}); leave `normalise`, `mean`, `std` and `scale` out",
        path.display(), by.mean, by.deviation
    )]
    Twice {
        /// The file.
        path: PathBuf,
        /// How.
        by: Normalisation,
    },
    /// It was trained here, on pixels as it takes them.
    #[error(
        "{} was trained by this program on pixels in [0, 1]; leave `normalise`, `mean`, `std` and `scale` out",
        path.display()
    )]
    Own {
        /// The file.
        path: PathBuf,
    },
    /// Another number of channels.
    #[error("{}: {source}", path.display())]
    Channels {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: ModelError,
    },
}

impl PixelChoice {
    /// Whether anything is asked for.
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// What is asked for, for images of so many channels.
    pub fn normalisation(&self, channels: usize) -> Option<Normalisation> {
        let Self { normalise, mean, std, scale } = self;
        Parts { published: *normalise, mean, deviation: std, scale: *scale }.normalisation(channels)
    }

    /// The model with what is asked for in front; `path` is its file.
    ///
    /// # Errors
    /// If it normalises pixels already, was trained by this program, or has another number of channels.
    pub fn apply(&self, model: Model, path: &Path) -> Result<Model, PixelError> {
        let Some(by) = self.normalisation(model.facts.problem.channels) else { return Ok(model) };
        let path = path.to_path_buf();
        if let Some(by) = model.classifier.normalisation(&model.average) {
            return Err(PixelError::Twice { path, by });
        }
        if !model.is_foreign() {
            return Err(PixelError::Own { path });
        }
        model.normalised(&by).map_err(|source| PixelError::Channels { path, source })
    }
}

impl Model {
    /// Whether the file at `path` tells for images of which size it is: ONNX files do, and those of this program.
    pub fn tells_size(&self, path: &Path) -> bool {
        !self.is_foreign() || formats::is_onnx(path)
    }

    /// What a user should know where it does not, and pictures become of the size that is guessed.
    pub fn size_is_a_guess(Problem { height, width, .. }: Problem) -> String {
        format!(
            "the weights do not tell the size of images, so pictures are brought to {height}x{width}; `resize` and `crop` say \
             otherwise"
        )
    }

    /// Whether another program trained it, of which the file tells nothing.
    pub fn is_foreign(&self) -> bool {
        self.facts.dataset == UNKNOWN
    }

    /// The model with a normalisation in front.
    ///
    /// # Errors
    /// If there is another number of channels.
    pub fn normalised(self, by: &Normalisation) -> Result<Self, ModelError> {
        let (classifier, live) = self.classifier.normalised(&self.live, by)?;
        let (_, average) = self.classifier.normalised(&self.average, by)?;
        Ok(Self { classifier, live, average, ..self })
    }
}

//! Training: configuration, the game's graphs, the trainer, and the loop around it with its run folder.

mod check;
pub mod checkpoint;
mod choices;
pub mod config;
pub mod defenses;
pub mod effects;
pub mod fit;
mod identity;
pub mod lock;
pub mod material;
pub mod metrics;
pub mod optimiser;
pub mod options;
mod phase_runner;
pub mod prepared;
pub mod record;
pub mod resume;
pub mod robust;
pub mod run;
pub mod run_data;
pub mod schedule;
pub mod session;
pub mod step;
pub mod tensorboard;
pub(crate) mod toml_text;
pub mod trainer;
pub mod validation;

pub use config::{GeneratorInput, GeneratorLoss, GradientInput, PenaltySpace, Preset, TrainConfig, Update};
pub use defenses::{Defense, Method};
pub use record::{EpochRecord, StepRecord};
pub use trainer::Trainer;

use crate::data::DataError;
use crate::executor::ExecutionError;
use crate::files::FileError;
use crate::gpu::GpuError;
use crate::models::file::ModelFileError;
use crate::nn::ModelError;
use crate::program::precision::Precision;
use std::path::PathBuf;

/// Why a training run could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A value of the configuration.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// Sizes that no model can have.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model file.
    #[error(transparent)]
    ModelFile(#[from] ModelFileError),
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The device.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A computation.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// A graph; a mistake of ours.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A batch that does not fit, with several generators: each needs its share of the whole.
    #[error(
        "`generators` needs a whole batch at once, and {images} images do not fit the adapter; choose a smaller `batch-size`"
    )]
    WholeBatch {
        /// Images of a batch.
        images: usize,
    },
    /// The run folder is in use or not one of ours.
    #[error("{}: {problem}", path.display())]
    Run {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Somebody trains in the folder.
    #[error("{} is being trained by {holder}; wait for it, or choose another folder", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// Process and machine.
        holder: String,
    },
    /// Another process has taken the folder over while this one was stopped.
    #[error(
        "{} was taken over by {holder} while this process was stopped; it ends here and has written nothing since, go on with \
         `resume` when the other one has ended", path.display()
    )]
    TakenOver {
        /// The folder.
        path: PathBuf,
        /// Process and machine.
        holder: String,
    },
    /// The loss or a weight left the numbers.
    #[error("{what} became {value} at step {step} with learning rate {lr}; {checkpoint}; try a smaller `{setting}`{}", remedy(*precision))]
    Diverged {
        /// The loss, or the name of a state.
        what: String,
        /// NaN or infinity.
        value: f64,
        /// The step.
        step: u64,
        /// The learning rate.
        lr: f32,
        /// The setting of that rate.
        setting: &'static str,
        /// Where the last good weights are.
        checkpoint: String,
        /// How the device stores numbers.
        precision: Precision,
    },
}

/// What else may help a run that diverged.
fn remedy(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "",
        Precision::Mixed => {
            ", or `precision` f32: f16, which mixed precision stores activations in, ends at 65504"
        }
    }
}

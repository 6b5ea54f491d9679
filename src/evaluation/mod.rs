//! How far a classifier withstands attacks: the rows of the paper's tables, with intervals, and with warnings where a
//! number looks too good.
//!
//! | question | file |
//! | --- | --- |
//! | which model, which images? | `subject.rs` |
//! | what is run, in which order, and what is already known? | `suite.rs`, `record.rs` |
//! | what becomes of the per-image results? | `measures.rs`, `statistics.rs` |
//! | when is a number suspicious? | `warnings.rs`, asked in `doubts.rs` |
//! | what does the paper say? | `published.rs` |
//! | what is printed and written? | `report.rs` |
//! | what does a model answer, also to corrupted images? | `predict.rs`, `corruptions.rs` |
//! | how is one attack's outcome kept or shown? | `export.rs`, `sheet.rs`, `text.rs` |

pub mod corruptions;
pub mod doubts;
pub mod export;
pub mod measures;
pub mod predict;
pub mod published;
pub mod record;
pub mod report;
pub mod sheet;
pub mod statistics;
pub mod subject;
pub mod suite;
mod text;
pub mod warnings;

pub use measures::Measure;
pub use published::Paper;
pub use report::Report;
pub use subject::{ImageChoice, Place, Split, Subject};
pub use suite::{Event, Suite};
pub use warnings::Warning;

use crate::attacks::AttackError;
use crate::attacks::options::OptionError;
use crate::data::DataError;
use crate::data::classes::ClassMismatch;
use crate::executor::ExecutionError;
use crate::files::FileError;
use crate::models::file::ModelFileError;
use crate::models::pixels::PixelError;
use crate::training::TrainError;
use std::path::PathBuf;

/// Why an evaluation could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model file.
    #[error(transparent)]
    ModelFile(#[from] ModelFileError),
    /// What is to be put in front of a model.
    #[error(transparent)]
    Pixels(#[from] PixelError),
    /// A run folder.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The device.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// An option of an attack.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// An attack.
    #[error("{name}: {source}")]
    Attack {
        /// The attacked model.
        name: String,
        /// What went wrong.
        source: AttackError,
    },
    /// A model file that does not say what it is for.
    #[error("{} does not say which data set it is for; name one with `dataset`", path.display())]
    UnknownData {
        /// The file.
        path: PathBuf,
    },
    /// Data of other classes than the model's.
    #[error("{}: {source}", path.display())]
    Classes {
        /// The model file.
        path: PathBuf,
        /// Which names differ.
        source: ClassMismatch,
    },
    /// A split without images.
    #[error("{data_set} has no {split} images here; choose another `split`")]
    NoImages {
        /// The data set.
        data_set: String,
        /// The split.
        split: &'static str,
    },
    /// No images wanted.
    #[error("`limit` 0 leaves no image to attack; give at least 1")]
    NothingAsked,
    /// Runs that cannot stand in one table.
    #[error(
        "{first} and {other} are judged on different images ({first_data} and {other_data}); evaluate them apart, or give \
         both the same `dataset`, `data` and `split`"
    )]
    DifferentImages {
        /// A run.
        first: String,
        /// Its data set.
        first_data: String,
        /// Another run.
        other: String,
        /// Its data set.
        other_data: String,
    },
    /// A black-box source of other data.
    #[error(
        "`{flag}` {source_name} was trained on {source_data}, {name} on {data}; its images say nothing about {name}, give a \
         model of the same data set"
    )]
    ForeignSource {
        /// `source` or `twin`.
        flag: &'static str,
        /// The source.
        source_name: String,
        /// Its data set.
        source_data: String,
        /// The run to be tested.
        name: String,
        /// Its data set.
        data: String,
    },
    /// PGN on a model without a generator.
    #[error(
        "{} has no generator, which the attack pgn needs; train one against it with `pgn-wgpu train-generator --model {0}`",
        path.display()
    )]
    NoGenerator {
        /// The model file.
        path: PathBuf,
    },
}

//! Many training runs as one job: a plan of points, each a run folder of its own, worked off by one worker per
//! adapter, resumable, and shared safely with workers of other processes and machines.
//!
//! | question | file |
//! | --- | --- |
//! | what does a sweep file mean? | `file.rs` |
//! | how far is each point, and is a folder a point's own? | `state.rs` |
//! | how are the points worked off? | `work.rs` |

pub mod file;
mod state;
mod work;

pub use state::{State, state};
pub use work::{Ended, Event, Summary, Watcher, Work, run};

use crate::gpu::GpuError;
use crate::training::config::ConfigError;
use crate::training::{TrainConfig, TrainError};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Name of its folder: lower case, digits, dots and hyphens; says what distinguishes it (`fgm-epsilon0.3-seed1`).
    pub name: String,
    /// Everything that decides it. The adapter in it does not count: a worker's own takes its place.
    pub config: TrainConfig,
}

/// The most runs that a sweep may have.
pub const MOST_POINTS: usize = 10_000;

/// Runs that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The folder that holds one folder per point.
    pub folder: PathBuf,
    /// What is to be trained, in this order.
    pub points: Vec<Point>,
}

/// Why a sweep could not begin. What goes wrong in a run is in the [`Summary`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// Nothing to train.
    #[error("the sweep has no points; give every key of its grid at least one value")]
    Empty,
    /// Nobody to train it.
    #[error("the sweep has no adapter to work on; name at least one, such as auto")]
    NoWorker,
    /// Two points of the same configuration.
    #[error("{first} and {second} are the same run; leave one of them out")]
    SameRun {
        /// Name of a point.
        first: String,
        /// Name of another.
        second: String,
    },
    /// Two points of one name.
    #[error(
        "two runs would have the folder {0}: its name has small letters, digits and dots of the values alone, and those are the same; \
         leave one run out, or put it into another sweep file"
    )]
    SameFolder(String),
    /// A name that is no folder's.
    #[error(
        "{0:?} is no name of a folder; use lower case letters, digits, dots and hyphens, and no dot at its beginning"
    )]
    Name(String),
    /// A point that cannot be trained.
    #[error("{name}: {source}")]
    Config {
        /// The point.
        name: String,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// The sweep file or a part of it.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A run folder that cannot be read, or that is another run's.
    #[error(transparent)]
    Run(#[from] TrainError),
    /// An adapter.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

impl Plan {
    /// Refuses a plan without points, with a point that cannot be trained, or with two that are the same.
    pub fn check(&self) -> Result<(), SweepError> {
        if self.points.is_empty() {
            return Err(SweepError::Empty);
        }
        let (mut configs, mut names) = (HashMap::new(), HashSet::new());
        for point in &self.points {
            let identity = point.config.identity(&state::WHERE_TRAINED);
            if let Some(first) = configs.insert(identity, &point.name) {
                return Err(SweepError::SameRun { first: first.clone(), second: point.name.clone() });
            }
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
            let usable =
                point.name.starts_with(|c: char| c != '.' && fits(c)) && point.name.chars().all(fits);
            if !usable {
                return Err(SweepError::Name(point.name.clone()));
            }
            if !names.insert(&point.name) {
                return Err(SweepError::SameFolder(point.name.clone()));
            }
            point.config.check().map_err(|source| SweepError::Config { name: point.name.clone(), source })?;
        }
        Ok(())
    }
}

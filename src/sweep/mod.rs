//! Many training runs as one job: a plan of points, each a run folder of its own, worked off by one worker per
//! adapter, resumable, and shared safely with workers of other processes and machines.

use crate::training::TrainConfig;
use std::path::PathBuf;

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Name of its folder: lower case, digits, dots and hyphens; says what distinguishes it (`fgm-epsilon0.3-seed1`).
    pub name: String,
    /// Everything that decides it. The adapter in it does not count: a worker's own takes its place.
    pub config: TrainConfig,
}

/// Runs that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The folder that holds one folder per point.
    pub folder: PathBuf,
    /// What is to be trained, in this order.
    pub points: Vec<Point>,
}

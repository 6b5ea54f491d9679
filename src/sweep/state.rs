//! How far the points of a plan are, read from their folders without touching them.

use super::{Plan, Point, SweepError};
use crate::training::config::Difference;
use crate::training::lock::RunLock;
use crate::training::run::RunFolder;
use crate::training::{TrainConfig, TrainError};
use std::path::Path;

/// Keys that say where a run was trained, not what it is.
pub(super) const WHERE_TRAINED: [&str; 2] = ["adapter", "kernels"];

/// How far a point is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Nothing of it is saved.
    Todo,
    /// Saved up to this step.
    Partial(u64),
    /// Trained to its end.
    Done,
    /// Somebody trains it: process and machine.
    Busy(String),
    /// Its last attempt failed: the reason.
    Failed(String),
}

/// The state of every point, in the plan's order.
///
/// # Errors
/// If the plan is wrong, a folder cannot be read, or it holds another run than the plan's.
pub fn state(plan: &Plan) -> Result<Vec<(String, State)>, SweepError> {
    plan.check()?;
    let of = |point: &Point| Ok((point.name.clone(), state_of(&plan.folder.join(&point.name), point)?));
    plan.points.iter().map(of).collect()
}

fn state_of(path: &Path, point: &Point) -> Result<State, TrainError> {
    if !RunFolder::exists(path) {
        return Ok(State::Todo);
    }
    let folder = own_folder(path, &point.config)?;
    if let Some(holder) = RunLock::holder(path)? {
        return Ok(State::Busy(holder));
    }
    if folder.is_complete(&point.config)? {
        return Ok(State::Done);
    }
    if let Some(reason) = folder.failure() {
        return Ok(State::Failed(reason));
    }
    Ok(match folder.progress()? {
        Some(progress) if progress.step > 0 => State::Partial(progress.step),
        _ => State::Todo,
    })
}

/// The run in `path`, if it is the one that `config` describes; the adapter may be another.
pub fn own_folder(path: &Path, config: &TrainConfig) -> Result<RunFolder, TrainError> {
    let (folder, there) = RunFolder::open(path)?;
    match there.difference(config, &WHERE_TRAINED) {
        None => Ok(folder),
        Some(Difference { key, first: there, second: wanted }) => {
            let mut problem = format!(
                "holds another run: {key} is {there} there and {wanted} in the sweep; choose another folder for the sweep, \
                 or move this one away"
            );
            // Whether other files hold the same images is only known when they are read, as going on with the run does.
            if key == "data" && config.data.is_some() {
                problem += &format!(
                    "; if the same images have moved, `pgn-wgpu train --resume {} --data {wanted}` takes note of it",
                    path.display()
                );
            }
            Err(TrainError::Run { path: path.to_path_buf(), problem })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::training::Preset;

    #[test]
    fn a_run_whose_data_may_have_moved_is_told_how_that_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let config = |data: Option<&str>, seed| TrainConfig {
            data: data.map(Into::into),
            seed,
            ..TrainConfig::preset(Preset::Small, DatasetKind::Cifar10)
        };
        let path = folder.path().join("run");
        RunFolder::create(&path, &config(Some("/old"), 0)).unwrap();
        let refused = |wanted: &TrainConfig| own_folder(&path, wanted).unwrap_err().to_string();
        let moved = refused(&config(Some("/new"), 0));
        assert!(moved.contains("holds another run: data") && moved.contains("--data \"/new\""), "{moved}");
        assert!(!refused(&config(None, 0)).contains("--data"), "there is no other place to name");
        assert!(!refused(&config(Some("/old"), 1)).contains("--data"), "another seed is another run");
    }
}

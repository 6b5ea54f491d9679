//! How far the points of a plan are, read from their folders without touching them.

use super::{Plan, Point, SweepError};
use crate::training::lock::RunLock;
use crate::training::run::RunFolder;
use crate::training::{TrainConfig, TrainError};
use std::path::Path;

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
    Ok(folder.progress()?.map_or(State::Todo, |progress| State::Partial(progress.step)))
}

/// The run in `path`, if it is the one that `config` describes; the adapter may be another.
pub fn own_folder(path: &Path, config: &TrainConfig) -> Result<RunFolder, TrainError> {
    let (folder, there) = RunFolder::open(path)?;
    match difference(&there, config) {
        None => Ok(folder),
        Some((key, there, wanted)) => Err(TrainError::Run {
            path: path.to_path_buf(),
            problem: format!(
                "holds another run: {key} is {there} there and {wanted} in the sweep; choose another folder for the sweep, \
                 or move this one away"
            ),
        }),
    }
}

/// Keys that say where a run is computed, not which run it is.
const OF_THE_MACHINE: [&str; 2] = ["adapter", "kernels"];

/// The same text for two configurations exactly if there is no [`difference`].
pub fn identity(config: &TrainConfig) -> String {
    let mut table = table(config);
    for key in OF_THE_MACHINE {
        table.remove(key);
    }
    table.to_string()
}

/// The first key in which two configurations differ, beside the adapter and what was measured on it, with both values.
pub fn difference(a: &TrainConfig, b: &TrainConfig) -> Option<(String, String, String)> {
    let (a, b) = (table(a), table(b));
    let shown = |value: Option<&toml::Value>| value.map_or("not set".to_string(), ToString::to_string);
    a.keys()
        .chain(b.keys())
        .find(|key| !OF_THE_MACHINE.contains(&key.as_str()) && a.get(*key) != b.get(*key))
        .map(|key| (key.clone(), shown(a.get(key)), shown(b.get(key))))
}

/// The keys of a configuration as its file has them.
fn table(config: &TrainConfig) -> toml::Table {
    let text = toml::to_string(config).ok();
    // A path that is no Unicode text; it cannot be trained, so all that matters is that it differs.
    let whole = || toml::Table::from_iter([("path".to_string(), format!("{config:?}").into())]);
    text.and_then(|text| text.parse().ok()).unwrap_or_else(whole)
}

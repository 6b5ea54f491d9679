//! What a resumed run may change: where and how long it trains, and its learning rates from now on. Everything else makes it
//! another run.

use super::TrainError;
use super::checkpoint::Progress;
use super::config::{RateChange, TrainConfig};
use super::options::TrainOptions;
use super::run::RunFolder;

/// The options that may be given, by their fields' names.
pub const MAY_CHANGE: [&str; 7] =
    ["adapter", "data", "epochs", "max_steps", "checkpoint_every", "lr", "generator_lr"];

/// The configuration with which the run in `folder`, so far with `config`, goes on as `options` say.
///
/// # Errors
/// If an option cannot change, the run has already passed the new end, or no checkpoint is whole.
pub fn resumed(
    folder: &RunFolder,
    config: &TrainConfig,
    options: &TrainOptions,
) -> Result<TrainConfig, TrainError> {
    let wrong = |problem: String| Err(TrainError::Run { path: folder.path().to_path_buf(), problem });
    if let Some(other) = options.given().iter().find(|name| !MAY_CHANGE.contains(name)) {
        return wrong(format!(
            "is resumed, and `{}` cannot change in a resumed run; leave it out, or start a new run with `from` {}",
            other.replace('_', "-"),
            folder.model().display()
        ));
    }
    let done = folder.latest()?.checkpoint.map(|saved| saved.head.progress).unwrap_or_default();
    if let Some(epochs) = options.epochs.filter(|epochs| (done.epoch, done.index) > (*epochs, 0)) {
        let begun =
            if done.index > 0 { format!(" and {} steps of the next", done.index) } else { String::new() };
        return wrong(format!(
            "has done {} epochs{begun}, so it cannot end after {epochs}; give more `epochs`, or start a new run",
            done.epoch
        ));
    }
    if let Some(steps) = options.max_steps.filter(|steps| done.step > *steps) {
        return wrong(format!(
            "has done {} steps, so it cannot end after {steps}; give more `max-steps`, or start a new run",
            done.step
        ));
    }
    let mut resumed = config.clone();
    TrainOptions { lr: None, generator_lr: None, ..options.clone() }.apply(&mut resumed);
    let (lr, generator_lr) = (options.lr, options.generator_lr);
    if lr.is_some() || generator_lr.is_some() {
        // A change that no step has followed is replaced.
        let before = resumed.changes.pop_if(|change| change.step == done.step);
        resumed.changes.push(RateChange {
            step: done.step,
            lr: lr.or(before.as_ref().and_then(|change| change.lr)),
            generator_lr: generator_lr.or(before.and_then(|change| change.generator_lr)),
        });
    }
    Ok(resumed)
}

/// A sentence if a run that goes on with `config` after what is `done` has nothing left to do.
pub fn nothing_left(done: &Progress, config: &TrainConfig) -> Option<String> {
    let limit = match config.max_steps {
        Some(steps) if done.step >= steps => format!("its {steps} steps; give more `max-steps`"),
        _ if done.epoch >= config.epochs => {
            format!("its {} epochs (step {}); give more `epochs`", config.epochs, done.step)
        }
        _ => return None,
    };
    Some(format!("the run has done {limit} to go on"))
}

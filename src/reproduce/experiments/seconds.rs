//! The seconds per epoch of tables 2 and 3, measured once for every adapter and driver.

use super::tables::Row;
use crate::data::Dataset;
use crate::executor::Device;
use crate::gpu::device::Checks;
use crate::report::Cell;
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan::Run;
use crate::reproduce::timing::seconds_per_epoch;
use crate::training::TrainConfig;
use serde::Serialize;

/// Everything that decides how long an epoch takes.
#[derive(Serialize)]
struct TimingKey<'a> {
    version: &'a str,
    /// Adapter and driver.
    device: String,
    checked: bool,
    config: TrainConfig,
    images: usize,
}

/// Seconds per epoch on this device, measured once for every adapter and driver.
pub fn seconds_on(lab: &Lab, run: &str, config: &TrainConfig, dataset: &Dataset) -> Found<f64> {
    let key = TimingKey {
        version: env!("CARGO_PKG_VERSION"),
        device: lab.device.describe(),
        checked: matches!(&lab.device, Device::Gpu(gpu) if gpu.checks() == Checks::Full),
        // Where the data lie does not matter.
        config: TrainConfig { data: None, ..config.clone() },
        images: dataset.train.len(),
    };
    let mode = if config.through_attack { "through the attack" } else { "detached" };
    let label = format!("seconds per epoch of {run}, {mode}");
    lab.kept(&lab.place(run)?, ("timing", &label), &key, || {
        seconds_per_epoch(&lab.device, config, dataset).map_err(|error| Missing(error.to_string()))
    })
}

/// Seconds per epoch of `runs` in both modes.
pub fn rows(lab: &Lab, runs: &[&Run], dataset: &Dataset) -> Vec<Row<'static>> {
    let seconds = |through_attack: bool, title: &str| {
        let mut row = vec![Cell::text(title)];
        for run in runs {
            let config = TrainConfig {
                through_attack: through_attack && run.method.perturbs(),
                ..run.config(lab.settings)
            };
            row.push(match seconds_on(lab, &run.name(lab.settings), &config, dataset) {
                Ok(seconds) => Cell::number(seconds, 2),
                Err(Missing(reason)) => Cell::missing(reason),
            });
        }
        row
    };
    vec![
        ("detached-seconds", seconds(false, "seconds per epoch, attack detached")),
        ("seconds", seconds(true, "seconds per epoch, gradient through the attack")),
    ]
}

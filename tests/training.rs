//! Training from the outside: whole runs in their folders, and single steps of the trainer, on the CPU path and on the
//! adapter (which one, and what happens without: `tests/common`). The data are the embedded digits, the networks the
//! smallest there are.

#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;
#[path = "training/defenses.rs"]
mod defenses;
#[path = "training/divergence.rs"]
mod divergence;
#[path = "training/geometry.rs"]
mod geometry;
#[path = "training/history.rs"]
mod history;
#[path = "training/learning.rs"]
mod learning;
#[path = "training/micro_batches.rs"]
mod micro_batches;
#[path = "training/options.rs"]
mod options;
#[path = "training/resuming.rs"]
mod resuming;
#[path = "training/robust.rs"]
mod robust;
#[path = "training/variants.rs"]
mod variants;

use pgn_wgpu::data::{Batch, BatchOptions, DataOptions, Dataset, DatasetKind, make_batch, open};
use pgn_wgpu::executor::Device;
use pgn_wgpu::nn::Problem;
use pgn_wgpu::training::checkpoint::Checkpoint;
use pgn_wgpu::training::fit::{Fit, Observer, Outcome};
use pgn_wgpu::training::prepared::Home;
use pgn_wgpu::training::run::RunFolder;
use pgn_wgpu::training::{EpochRecord, Method, Preset, StepRecord, TrainConfig, TrainError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the embedded digits look like.
const DIGITS: Problem = Problem { height: 8, width: 8, channels: 1, classes: 10 };

/// The devices that people train on.
fn devices() -> Vec<(&'static str, Device)> {
    common::devices()
        .into_iter()
        .filter(|(name, _)| ["CPU fast", "adapter, best forms"].contains(name))
        .collect()
}

/// The CPU path as people train on it.
fn cpu() -> Device {
    Device::Cpu(pgn_wgpu::cpu::Mode::Fast)
}

/// The smallest networks on the digits; an epoch has 12 steps, the last one with fillers.
fn tiny(method: Method) -> TrainConfig {
    TrainConfig {
        method,
        width: 0.03125,
        batch_size: 100,
        epochs: 3,
        ..TrainConfig::preset(Preset::Small, DatasetKind::Digits)
    }
}

fn digits() -> Dataset {
    open(&DataOptions::default()).unwrap()
}

/// The names of a trainer's states.
fn names(states: &[(String, Vec<f32>)]) -> Vec<&str> {
    states.iter().map(|(name, _)| name.as_str()).collect()
}

/// The first `images` training images.
fn batch(images: usize) -> Batch {
    make_batch(&digits().train, &BatchOptions::in_order(images), 0, 0)
}

/// Whether two metrics differ by at most `share` of the second, or both are absent.
fn close(own: Option<f64>, expected: Option<f64>, share: f64) -> bool {
    match (own, expected) {
        (Some(own), Some(expected)) => (own - expected).abs() <= share * expected.abs(),
        _ => own == expected,
    }
}

/// Asks the run to stop when it hears of step `at`.
struct StopAt<'a> {
    at: Option<u64>,
    stop: &'a AtomicBool,
}

impl Observer for StopAt<'_> {
    fn step(&mut self, record: &StepRecord, _: u64) {
        if self.at == Some(record.step) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn epoch(&mut self, _: &EpochRecord, _: u32) {}
    fn warning(&mut self, _: &str) {}
}

/// A new run in `folder`, or the rest of the one that is there; asked to stop at the step `stop_at`.
fn run(
    device: &Device,
    config: &TrainConfig,
    folder: &Path,
    stop_at: Option<u64>,
) -> Result<Outcome, TrainError> {
    let stop = AtomicBool::new(false);
    let mut observer = StopAt { at: stop_at, stop: &stop };
    let home = match RunFolder::exists(folder) {
        true => Home::Existing(RunFolder::open(folder)?.0),
        false => Home::New(folder.to_path_buf()),
    };
    Fit::new(device.clone(), config.clone(), home, &mut observer, &stop)?.run()
}

/// The last checkpoint of the run in `folder`.
fn checkpoint(folder: &Path) -> Checkpoint {
    Checkpoint::load(&folder.join("checkpoints/last.safetensors")).unwrap()
}

/// Every state of the last checkpoint by name, as bits: live weights, both moments and the average of each network.
fn bits(folder: &Path) -> Vec<(String, Vec<u32>)> {
    let mut states: Vec<_> = checkpoint(folder)
        .states
        .into_iter()
        .map(|(name, values)| (name, values.into_iter().map(f32::to_bits).collect()))
        .collect();
    states.sort();
    states
}

/// The step records of `metrics.jsonl`.
fn steps(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    records.filter(|record| record["kind"] == "step").collect()
}

/// Their numbers.
fn step_numbers(folder: &Path) -> Vec<u64> {
    steps(folder).iter().map(|record| record["step"].as_u64().unwrap()).collect()
}

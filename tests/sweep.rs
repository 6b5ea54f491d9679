//! Sweeps: what is trained, skipped, resumed, locked and recorded, and the sweep files that people write. On the CPU
//! path with the smallest networks on the embedded digits.

#[path = "sweep/command.rs"]
mod command;
#[path = "sweep/files.rs"]
mod files;
#[path = "sweep/working.rs"]
mod working;

mod program;

use pgn_wgpu::data::DatasetKind;
use pgn_wgpu::gpu::adapter::AdapterChoice;
use pgn_wgpu::sweep::{Event, Plan, Point, Summary, SweepError, Work, run};
use pgn_wgpu::training::{Method, Preset, TrainConfig};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// Twelve steps an epoch.
fn tiny() -> TrainConfig {
    TrainConfig {
        method: Method::NATURAL,
        width: 0.03125,
        batch_size: 100,
        max_steps: Some(4),
        ..TrainConfig::preset(Preset::Small, DatasetKind::Digits)
    }
}

/// One point per seed.
fn plan(folder: &Path, seeds: std::ops::Range<u64>) -> Plan {
    let point = |seed| Point { name: format!("seed{seed}"), config: TrainConfig { seed, ..tiny() } };
    Plan { folder: folder.to_path_buf(), points: seeds.map(point).collect() }
}

fn workers(count: usize) -> Work {
    Work { adapters: vec![AdapterChoice::Cpu; count], shard: None, checked: false, tensorboard: false }
}

/// Works off a plan and returns beside the summary every step that was trained, as (point, step).
fn work_off(plan: &Plan, work: &Work) -> (Result<Summary, SweepError>, Vec<(String, u64)>) {
    let steps = Mutex::new(Vec::new());
    let watcher = |point: &Point, event: &Event| {
        if let Event::Step(record, _) = event {
            steps.lock().unwrap().push((point.name.clone(), record.step));
        }
    };
    let summary = run(plan, work, &AtomicBool::new(false), &watcher);
    (summary, steps.into_inner().unwrap())
}

//! How long training takes on a device: measured on one step, and carried over to other methods by their counted
//! operations.

use crate::data::{BatchOptions, Dataset, batches_per_epoch, make_batch};
use crate::executor::Device;
use crate::nn::Problem;
use crate::program::{MemoryLimits, Program};
use crate::training::run_data::problem_of;
use crate::training::step::{self, Gradients};
use crate::training::{TrainConfig, TrainError, Trainer};
use std::time::Instant;

/// Steps that are timed, after a first one that compiles.
const STEPS: usize = 3;

/// Seconds of one training step: the median of a few, after one that does not count.
pub fn seconds_per_step(device: &Device, config: &TrainConfig, dataset: &Dataset) -> Result<f64, TrainError> {
    let mut trainer = Trainer::new(device.clone(), config, problem_of(dataset), None, None)?;
    let (shuffle, augment) = (config.shuffle, config.augment);
    let options = BatchOptions { batch_size: config.batch_size, shuffle, augment, seed: config.seed };
    let batch = make_batch(&dataset.train, &options, 0, 0);
    let mut seconds = Vec::new();
    for _ in 0..=STEPS {
        let started = Instant::now();
        let pending = trainer.submit(&batch)?;
        trainer.collect(pending)?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    let timed = &mut seconds[1..];
    timed.sort_by(f64::total_cmp);
    Ok(timed[timed.len() / 2])
}

/// Seconds of an epoch.
pub fn seconds_per_epoch(device: &Device, config: &TrainConfig, data: &Dataset) -> Result<f64, TrainError> {
    let steps = batches_per_epoch(data.train.len(), config.batch_size);
    Ok(seconds_per_step(device, config, data)? * f64::from(steps))
}

/// Counted floating-point operations of a training step, per image.
pub fn operations(config: &TrainConfig, problem: Problem) -> Result<f64, TrainError> {
    // Of a whole batch: what the generator makes of labels is computed once per class, if there are more images than classes.
    let images = config.batch_size;
    let classifier = config.classifier(problem)?;
    let generator = config.generator(problem)?;
    let mut flops = 0;
    for phase in step::phases(config) {
        let graph =
            step::phase_graph(config, &classifier, generator.as_ref(), phase, images, Gradients::Apply)?;
        let program =
            Program::compile(&graph, MemoryLimits::NONE).map_err(crate::executor::ExecutionError::from)?;
        flops += program.flops();
    }
    Ok(flops as f64 / images as f64)
}

//! What a reproduction will cost here: a naive training step is measured, everything else is carried over from it by
//! its counted operations.

use super::Experiment;
use super::settings::Settings;
use super::timing;
use crate::attacks::AttackKind;
use crate::data::Dataset;
use crate::executor::Device;
use crate::sweep::Point;
use crate::training::fit::problem_of;
use crate::training::{Method, TrainConfig, TrainError};

/// A forward and an input-gradient pass, in training steps of one image, which also have a weight gradient.
const PASS: f64 = 2.0 / 3.0;
/// Iterations that DeepFool needs on most images, each with a gradient for every class.
const DEEPFOOL_ITERATIONS: f64 = 5.0;
/// What the evaluation's checks of its own attacks cost together, in runs of MIM.
const CHECKED_SETTINGS: f64 = 3.0;

/// Runs, steps and seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Runs to train.
    pub runs: usize,
    /// Their steps.
    pub steps: u64,
    /// Seconds of training, on one adapter.
    pub training_seconds: f64,
    /// Seconds of attacks.
    pub attack_seconds: f64,
}

/// The cost of training `points` and of attacking what the experiments look at.
pub fn cost(
    device: &Device,
    settings: &Settings,
    experiments: &[Experiment],
    points: &[Point],
    dataset: &Dataset,
) -> Result<Cost, TrainError> {
    if points.is_empty() {
        return Ok(Cost::default());
    }
    let problem = problem_of(dataset);
    let naive = TrainConfig { method: Method::Natural, ..settings.base.clone() };
    let step = timing::seconds_per_step(device, &naive, dataset)?;
    let operations = timing::operations(&naive, problem)?;
    let per_operation = step / operations;
    let mut cost = Cost { runs: points.len(), ..Cost::default() };
    for point in points {
        let steps = timing::steps(&point.config, dataset);
        cost.steps += steps;
        cost.training_seconds += steps as f64 * per_operation * timing::operations(&point.config, problem)?;
    }
    let per_image = step / settings.base.batch_size as f64;
    cost.attack_seconds = points.len() as f64 * passes(settings, experiments, dataset) * PASS * per_image;
    Ok(cost)
}

/// Forward and gradient passes per run, over all its images.
fn passes(settings: &Settings, experiments: &[Experiment], dataset: &Dataset) -> f64 {
    let images = settings.attack_images.min(dataset.test.len()) as f64;
    let cw = settings.attack(AttackKind::Cw);
    let mut per_image = (cw.iterations * cw.search_steps) as f64;
    if experiments.iter().any(|e| matches!(e, Experiment::Table2 | Experiment::Table3)) {
        let mim = settings.attack(AttackKind::Mim).iterations as f64;
        let classes = dataset.class_names.len().min(10) as f64;
        per_image += mim * (1.0 + CHECKED_SETTINGS) + DEEPFOOL_ITERATIONS * (classes + 1.0) / 2.0;
    }
    per_image * images + 2.0 * dataset.test.len() as f64
}

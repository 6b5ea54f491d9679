//! What a reproduction will cost here: a naive training step and an iteration of an attack are measured, everything else
//! is carried over from them by its counted operations.

use super::attack_plan::Planned;
use super::settings::Settings;
use super::timing;
use crate::bench::attacks::time_carlini_wagner;
use crate::data::Dataset;
use crate::executor::Device;
use crate::nn::{Network, Problem};
use crate::training::run_data::{problem_of, steps_of};
use crate::training::{Method, TrainConfig, TrainError};
use std::time::Duration;

/// A run that is not trained to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Untrained {
    /// Everything that decides its weights.
    pub config: TrainConfig,
    /// Steps of it that are done and saved.
    pub done: u64,
}

/// Runs, steps and seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Runs to train.
    pub runs: usize,
    /// Their steps that are left.
    pub steps: u64,
    /// Seconds of training, on one adapter.
    pub training_seconds: f64,
    /// Seconds of attacks, at most: as if every image needed all iterations.
    pub attack_seconds: f64,
}

/// The cost of training `runs` to their end and of running `attacks`; nothing is measured for nothing.
pub fn cost(
    device: &Device,
    settings: &Settings,
    (runs, attacks): (&[Untrained], &[Planned]),
    dataset: &Dataset,
) -> Result<Cost, TrainError> {
    if runs.is_empty() && attacks.is_empty() {
        return Ok(Cost::default());
    }
    let problem = problem_of(dataset);
    let naive = TrainConfig { method: Method::NATURAL, ..settings.base.clone() };
    let operations = timing::operations(&naive, problem)?;
    let mut cost = Cost::default();
    if !runs.is_empty() {
        let per_operation = timing::seconds_per_step(device, &naive, dataset)? / operations;
        cost = training(runs, dataset, |config| Ok(per_operation * timing::operations(config, problem)?))?;
    }
    if !attacks.is_empty() {
        let iteration = time_carlini_wagner(device, &naive, problem, Duration::ZERO)?;
        let per_pass = iteration.iteration_seconds / iteration.batch_size as f64;
        cost.attack_seconds = attacking(attacks, dataset.test.len(), |of| {
            Ok(per_pass * operations_of(&naive, of, problem)? / operations)
        })?;
    }
    Ok(cost)
}

/// Operations of a naive step of another network and width.
fn operations_of(
    naive: &TrainConfig,
    (network, width): (Network, f32),
    problem: Problem,
) -> Result<f64, TrainError> {
    timing::operations(&TrainConfig { network, width, ..naive.clone() }, problem)
}

/// Every run's steps that are left, at the seconds that one of its steps takes.
fn training(
    runs: &[Untrained],
    dataset: &Dataset,
    seconds_per_step: impl Fn(&TrainConfig) -> Result<f64, TrainError>,
) -> Result<Cost, TrainError> {
    let mut cost = Cost { runs: runs.len(), ..Cost::default() };
    for run in runs {
        let steps = steps_of(&run.config, dataset.train.len()).saturating_sub(run.done);
        cost.steps += steps;
        cost.training_seconds += steps as f64 * seconds_per_step(&run.config)?;
    }
    Ok(cost)
}

/// Seconds of attacks, of which `test` images there are; a pass of a network of some width over one image takes
/// `seconds_per_pass`.
fn attacking(
    attacks: &[Planned],
    test: usize,
    seconds_per_pass: impl Fn((Network, f32)) -> Result<f64, TrainError>,
) -> Result<f64, TrainError> {
    let mut seconds = 0.0;
    for planned in attacks {
        let images = planned.limit.map_or(test, |limit| limit.min(test));
        seconds += images as f64 * planned.passes * seconds_per_pass(planned.of)?;
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::{AttackKind, AttackOptions};
    use crate::data::{self, DataOptions};
    use crate::reproduce::{Experiment, Scale, plan};

    fn smoke() -> (Settings, Dataset) {
        let settings = Settings::new(Scale::Smoke, Scale::Smoke.dataset(), None);
        (settings, data::open(&DataOptions::default()).unwrap())
    }

    /// The runs of figure 5, of which so many steps are done.
    fn untrained(settings: &Settings, done: u64) -> Vec<Untrained> {
        let points = plan::classifiers(&[Experiment::Figure5], settings).into_iter();
        points.map(|point| Untrained { config: point.config, done }).collect()
    }

    #[test]
    fn training_costs_every_runs_steps_at_its_own_seconds() {
        let (settings, digits) = smoke();
        let step = |config: &TrainConfig| Ok(if config.method == Method::NATURAL { 0.25 } else { 1.0 });
        let cost = training(&untrained(&settings, 0), &digits, step).unwrap();
        // Eight epochs of 38 batches; two seeds of naive training, and of two settings of three methods.
        assert_eq!((cost.runs, cost.steps), (14, 14 * 8 * 38));
        assert_eq!(cost.training_seconds, 8.0 * 38.0 * (2.0 * 0.25 + 12.0));
        assert_eq!(cost.attack_seconds, 0.0);
    }

    #[test]
    fn steps_that_are_done_cost_nothing_any_more() {
        let (settings, digits) = smoke();
        let of = |done| training(&untrained(&settings, done), &digits, |_| Ok(1.0)).unwrap();
        assert_eq!((of(300).runs, of(300).steps), (14, 14 * 4));
        assert_eq!(of(300).training_seconds, 14.0 * 4.0);
    }

    #[test]
    fn what_is_done_costs_nothing_and_is_not_measured() {
        let (settings, digits) = smoke();
        let device = Device::Cpu(crate::cpu::Mode::Fast);
        assert_eq!(cost(&device, &settings, (&[], &[]), &digits).unwrap(), Cost::default());
    }

    #[test]
    fn attacks_cost_their_passes_over_the_images_that_there_are() {
        let planned = |limit, passes, width| Planned {
            runs: vec!["fgm".into()],
            of: (Network::default(), width),
            options: AttackOptions::new(AttackKind::FGM),
            limit,
            passes,
        };
        let all = [planned(None, 3.0, 1.0), planned(Some(10), 5.0, 2.0), planned(Some(500), 1.0, 1.0)];
        let seconds = attacking(&all, 100, |(_, width)| Ok(f64::from(width))).unwrap();
        assert_eq!(seconds, 300.0 + 100.0 + 100.0);
    }
}

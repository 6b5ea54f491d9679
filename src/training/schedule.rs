//! What changes from step to step on the host: the factor of the learning rates, and the decay of the moving average.

use super::config::TrainConfig;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How the learning rate changes over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// As it is given
    #[default]
    Constant,
    /// A tenth from each of the --milestones on
    Step,
    /// Half a cosine, from the rate down to 0
    Cosine,
    /// Up from a 25th over three tenths of the steps and down to a 250,000th, by half cosines (`OneCycleLR` of PyTorch, with a
    /// constant momentum)
    OneCycle,
    /// From 0 up to the rate over half of the steps and down again, by straight lines (Wong et al. 2020: `CyclicLR` of PyTorch)
    Triangle,
}

/// Where the rate of [`Schedule::Step`] falls to a tenth unless epochs are named, in shares of the run.
const MILESTONES: [f64; 2] = [0.5, 0.75];
/// PyTorch's defaults for `OneCycleLR`: share of the steps on the way up, how much lower the first rate is, and how much lower
/// than that the last.
const ONE_CYCLE_UP: f64 = 0.3;
const ONE_CYCLE_FIRST: f64 = 1.0 / 25.0;
const ONE_CYCLE_LAST: f64 = 1e-4 * ONE_CYCLE_FIRST;

impl Schedule {
    /// What the learning rate is multiplied by in step `step`, counted from 0, of `steps`. `milestones` are steps.
    fn factor(self, step: u64, steps: u64, milestones: &[f64]) -> f64 {
        let (t, total) = (step as f64, steps.max(1) as f64);
        match self {
            Self::Constant => 1.0,
            Self::Step => 0.1f64.powi(milestones.iter().filter(|&&milestone| t >= milestone).count() as i32),
            Self::Triangle => 1.0 - (2.0 * t / total - 1.0).abs(),
            Self::Cosine => half_cosine(1.0, 0.0, t / total),
            Self::OneCycle => {
                let top = ONE_CYCLE_UP * total - 1.0;
                match t <= top {
                    true => half_cosine(ONE_CYCLE_FIRST, 1.0, t / top.max(1.0)),
                    false => half_cosine(1.0, ONE_CYCLE_LAST, (t - top) / (total - 1.0 - top).max(1.0)),
                }
            }
        }
    }
}

/// From `first` at 0 to `last` at 1.
fn half_cosine(first: f64, last: f64, at: f64) -> f64 {
    last + (first - last) / 2.0 * (1.0 + (PI * at).cos())
}

/// What the configured schedule and warm-up multiply the learning rate by in step `step`, counted from 0; an epoch has `per_epoch`
/// steps.
pub fn factor(config: &TrainConfig, step: u64, per_epoch: u32) -> f32 {
    let per_epoch = u64::from(per_epoch);
    let steps = u64::from(config.epochs) * per_epoch;
    let warm_up = f64::from(config.warm_up) * per_epoch as f64;
    let warm = if warm_up > 0.0 { ((step + 1) as f64 / warm_up).min(1.0) } else { 1.0 };
    (config.schedule.factor(step, steps, &milestones(config, per_epoch)) * warm) as f32
}

/// The steps from which [`Schedule::Step`] has a tenth of the rate before.
fn milestones(config: &TrainConfig, per_epoch: u64) -> Vec<f64> {
    match &config.milestones[..] {
        [] => MILESTONES.map(|share| share * f64::from(config.epochs) * per_epoch as f64).to_vec(),
        epochs => epochs.iter().map(|&epoch| f64::from(epoch) * per_epoch as f64).collect(),
    }
}

/// The moving average's decay at update number `t`, counted from 1: min(decay, (1 + t) / (10 + t)) with
/// warm-up, without which a short run is evaluated on its initial weights.
pub fn ema_decay(config: &TrainConfig, t: u64) -> f32 {
    let warm = (1.0 + t as f32) / (10.0 + t as f32);
    if config.ema_warmup { config.ema_decay.min(warm) } else { config.ema_decay }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::data::DatasetKind;
    use crate::training::Preset;

    /// The factors of a run of so many epochs of one step.
    fn factors(config: &TrainConfig) -> Vec<f64> {
        let rounded = |step| (1e6 * f64::from(factor(config, step, 1))).round() / 1e6;
        (0..u64::from(config.epochs)).map(rounded).collect()
    }

    fn run(schedule: Schedule, epochs: u32, milestones: &[u32]) -> TrainConfig {
        let preset = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        TrainConfig { schedule, epochs, milestones: milestones.to_vec(), ..preset }
    }

    fn rounded(schedule: Schedule, epochs: u32) -> Vec<f64> {
        factors(&run(schedule, epochs, &[]))
    }

    #[test]
    fn a_constant_rate_never_changes_and_the_others_end_low() {
        assert_eq!(rounded(Schedule::Constant, 3), [1.0; 3]);
        assert_eq!(rounded(Schedule::Step, 8), [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]);
        assert_eq!(rounded(Schedule::Cosine, 4), [1.0, 0.853_553, 0.5, 0.146_447]);
    }

    #[test]
    fn milestones_are_epochs_that_are_done_however_long_the_run_is() {
        assert_eq!(factors(&run(Schedule::Step, 5, &[2, 4])), [1.0, 1.0, 0.1, 0.1, 0.01]);
        assert_eq!(factors(&run(Schedule::Step, 3, &[2, 4])), [1.0, 1.0, 0.1]);
    }

    #[test]
    fn a_triangle_is_cyclic_lr_of_pytorch() {
        // torch.optim.lr_scheduler.CyclicLR(base_lr=0, max_lr=1, step_size_up=3, step_size_down=3), PyTorch 2.2.2.
        let torch = [0.0, 0.333_333, 0.666_667, 1.0, 0.666_667, 0.333_333];
        assert_eq!(rounded(Schedule::Triangle, 6), torch);
    }

    #[test]
    fn one_cycle_is_that_of_pytorch() {
        // torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10, cycle_momentum=False), PyTorch 2.2.2.
        let torch =
            [0.04, 0.52, 1.0, 0.950_485, 0.811_746, 0.611_262, 0.388_742, 0.188_258, 0.049_519, 0.000_004];
        assert_eq!(rounded(Schedule::OneCycle, 10), torch);
    }

    #[test]
    fn a_run_of_one_step_has_a_rate() {
        let all =
            [Schedule::Constant, Schedule::Step, Schedule::Cosine, Schedule::OneCycle, Schedule::Triangle];
        for schedule in all {
            assert!(rounded(schedule, 1)[0].is_finite(), "{schedule:?}");
        }
    }
}

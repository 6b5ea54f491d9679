//! How large a reproduction is: the training runs' base configuration, the grids, the seeds, and how carefully the
//! attacks are run. Every method gets the same number of settings, epochs and seeds.

use crate::attacks::{Aim, AttackKind, AttackOptions, Norm};
use crate::data::DatasetKind;
use crate::executor::Opening;
use crate::nn::Network;
use crate::training::{Method, Preset, TrainConfig};
use crate::verdict::plan::{Plan, RUNNERS_UP, Version, runners_up};
use serde::Serialize;
use std::path::PathBuf;

/// Radius of the paper's tables 2 and 3.
pub const TABLE_EPSILON: f32 = 0.5;
/// Norms at which the paper's table 4 shows examples.
pub const EXAMPLE_NORMS: [f32; 3] = [0.1, 1.0, 2.5];

/// Points of figure 2's curve over epochs, at most.
const MOST_LOOKS: u32 = 20;

/// How much of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Table 1's settings, 200 epochs, three seeds: for a GPU and days
    Paper,
    /// A small classifier on all images of `--data`: with 10,000 of CIFAR-10, hours on two CPU cores
    Small,
    /// The embedded digits, for minutes: whether everything works
    Smoke,
}

impl Scale {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Small => "small",
            Self::Smoke => "smoke",
        }
    }

    /// The data set unless another is asked for; tables 2 and 3 have their own, see [`super::Experiment`].
    pub fn dataset(self) -> DatasetKind {
        match self {
            Self::Smoke => DatasetKind::Digits,
            Self::Paper | Self::Small => DatasetKind::Cifar10,
        }
    }
}

/// Everything that decides a reproduction on one data set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its size.
    pub scale: Scale,
    /// What all runs share.
    pub base: TrainConfig,
    /// The grid of FGM and PGD.
    pub epsilons: Vec<f32>,
    /// The grid of PGN, as long; from weak to strong perturbations.
    pub penalties: Vec<f32>,
    /// Every setting is trained with each.
    pub seeds: Vec<u64>,
    /// The naive net that black-box images are made on has a seed of its own.
    pub source_seed: u64,
    /// Widths of figure 7.
    pub widths: Vec<f32>,
    /// Epochs of a generator against a frozen classifier, for figure 3.
    pub generator_epochs: u32,
    /// Attacked test images; benign accuracy is over all of them.
    pub attack_images: usize,
    /// Classes of the data set: with few, some attacks are left out.
    pub classes: usize,
    /// Radii of figure 3.
    pub radii: Vec<f32>,
    /// Networks of the experiment `beyond`; unless others are asked for, the paper's and one as this field has them.
    pub beyond_networks: Vec<Network>,
    /// Its seeds.
    pub beyond_seeds: Vec<u64>,
}

impl Settings {
    /// The settings of a scale on a data set that lies in `data`.
    pub fn new(scale: Scale, dataset: DatasetKind, data: Option<PathBuf>) -> Self {
        let preset = if scale == Scale::Paper { Preset::Paper } else { Preset::Small };
        let base = TrainConfig { data, ..TrainConfig::preset(preset, dataset) };
        let beyond_networks = vec![Network::default(), "resnet18".parse().expect("it is in the zoo")];
        let beyond_seeds = vec![0, 1, 2];
        match scale {
            Scale::Paper => Self {
                scale,
                base,
                epsilons: vec![0.02, 0.05, 0.1, 0.25, 0.5],
                penalties: vec![100.0, 50.0, 20.0, 10.0, 5.0],
                seeds: vec![0, 1, 2],
                source_seed: 1000,
                widths: vec![0.25, 0.5, 1.0],
                generator_epochs: 50,
                attack_images: 1000,
                classes: USUAL_CLASSES,
                radii: vec![0.1, 0.25, 0.5, 1.0, 1.5, 2.5],
                beyond_networks,
                beyond_seeds,
            },
            // A short run of a narrow net: at these epsilons and c_L the mean perturbations in training are alike
            // (‖δ‖ is 0.15 at c_L = 3 and 0.31 at 1).
            Scale::Small => Self {
                scale,
                base: TrainConfig { epochs: 6, ..base },
                epsilons: vec![0.15, 0.3, 0.6],
                penalties: vec![3.0, 1.0, 0.4],
                seeds: vec![0, 1],
                source_seed: 1000,
                widths: vec![0.0625, 0.125, 0.1875],
                generator_epochs: 3,
                attack_images: 200,
                classes: USUAL_CLASSES,
                radii: vec![0.1, 0.25, 0.5, 1.0, 2.0],
                beyond_networks,
                beyond_seeds,
            },
            Scale::Smoke => Self {
                scale,
                // Small batches, so that few epochs are enough steps to learn something.
                base: TrainConfig { epochs: 8, batch_size: 32, lr: 4e-3, iterations: 3, ..base },
                epsilons: vec![0.1, 0.5],
                penalties: vec![10.0, 0.5],
                seeds: vec![0, 1],
                source_seed: 1000,
                widths: vec![0.0625, 0.125],
                generator_epochs: 2,
                attack_images: 32,
                classes: USUAL_CLASSES,
                radii: vec![0.25, 1.0],
                beyond_networks,
                beyond_seeds,
            },
        }
    }

    /// The same with runs that are trained, and attacked, on a device opened like this.
    #[must_use]
    pub fn opened_as(self, opening: Opening) -> Self {
        let Opening { tune, precision, .. } = opening;
        Self { base: TrainConfig { tune, precision, ..self.base }, ..self }
    }

    /// The same with `beyond` on other networks; without any, on its own.
    #[must_use]
    pub fn beyond_on(self, networks: &[Network]) -> Self {
        let mut beyond_networks: Vec<Network> = Vec::new();
        for &network in networks {
            if !beyond_networks.contains(&network) {
                beyond_networks.push(network);
            }
        }
        if beyond_networks.is_empty() { self } else { Self { beyond_networks, ..self } }
    }

    /// The same for a data set of so many test images and classes: no more images are attacked than there are.
    #[must_use]
    pub fn for_data(self, test_images: usize, classes: usize) -> Self {
        Self { attack_images: self.attack_images.min(test_images), classes, ..self }
    }

    /// Figure 2 looks at a run after every so many epochs.
    pub fn epochs_between_looks(&self) -> u32 {
        self.base.epochs.div_ceil(MOST_LOOKS)
    }

    /// The grid of a method; nothing for naive training.
    pub fn grid(&self, method: Method) -> &[f32] {
        match method.strength.map(|strength| strength.key) {
            None => &[],
            Some("epsilon") => &self.epsilons,
            Some(_) => &self.penalties,
        }
    }

    /// The strength in the middle of a method's grid, for experiments about a single classifier.
    pub fn middle(&self, method: Method) -> f32 {
        let grid = self.grid(method);
        grid[grid.len() / 2]
    }

    /// An attack as it is evaluated: the paper's budget, but for `smoke`, which only has to run.
    pub fn attack(&self, kind: AttackKind) -> AttackOptions {
        let own = AttackOptions::new(kind);
        let mut options = AttackOptions { epsilon: TABLE_EPSILON, ..own };
        let short = SMOKE.iter().filter(|(of, _)| self.scale == Scale::Smoke && *of == kind);
        short.for_each(|(_, shorten)| shorten(&mut options));
        options
    }

    /// The attacks of the quick verdict at the tables' radius.
    pub fn quick_verdict(&self) -> Vec<AttackOptions> {
        let mut attacks = Plan::new(Version::Quick, Norm::L2, TABLE_EPSILON, self.classes).attacks;
        if self.scale == Scale::Smoke {
            for options in &mut attacks {
                (options.iterations, options.targets) = (5, options.targets.min(3));
            }
        }
        attacks
    }

    /// The minimum-norm attacks of the experiment `beyond`: those of the tables but for C&W, which takes
    /// as long as all others together.
    pub fn beyond_searches(&self) -> Vec<AttackOptions> {
        let mut all = self.searches();
        all.push(self.attack(AttackKind::DEEPFOOL));
        all
    }

    /// The minimum-norm attacks that the tables have beside DeepFool and C&W.
    pub fn searches(&self) -> Vec<AttackOptions> {
        let fmn = self.attack(AttackKind::FMN);
        let most = if self.scale == Scale::Smoke { 1 } else { RUNNERS_UP };
        let led = (0..runners_up(most, self.classes))
            .map(|rank| AttackOptions { target: Aim::RunnerUp(rank), ..fmn.clone() });
        std::iter::once(fmn.clone()).chain(led).collect()
    }
}

/// Classes of the paper's first data set, until another is known.
const USUAL_CLASSES: usize = 10;

/// Makes an attack shorter.
type Shorten = fn(&mut AttackOptions);

/// Shorter attacks for `smoke`.
const SMOKE: [(AttackKind, Shorten); 4] = [
    (AttackKind::FMN, |o| o.iterations = 20),
    (AttackKind::CW, |o| (o.iterations, o.learning_rate, o.initial_c) = (30, 0.05, 1.0)),
    // Half of them still reach twice the radius, which the evaluation's checks ask for.
    (AttackKind::MIM, |o| o.iterations = 40),
    (AttackKind::DEEPFOOL, |o| o.iterations = 20),
];

/// The methods in the paper's order.
pub const METHODS: [Method; 4] = [Method::NATURAL, Method::FGM, Method::PGD, Method::PGN];
/// Those that have a strength to vary.
pub const DEFENSES: [Method; 3] = [Method::FGM, Method::PGD, Method::PGN];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::tuning::Tune;
    use crate::nn::Problem;
    use crate::program::precision::Precision;

    #[test]
    fn every_method_gets_as_many_settings_in_order_of_strength() {
        for scale in [Scale::Paper, Scale::Small, Scale::Smoke] {
            let settings = Settings::new(scale, scale.dataset(), None);
            assert_eq!(settings.epsilons.len(), settings.penalties.len(), "{scale:?}");
            assert!(settings.epsilons.is_sorted(), "{scale:?}");
            assert!(settings.penalties.is_sorted_by(|a, b| a > b), "{scale:?}");
            assert!(!settings.seeds.contains(&settings.source_seed));
        }
    }

    #[test]
    fn runs_are_trained_as_the_device_is_opened() {
        let opening = Opening { tune: Tune::Off, precision: Precision::Mixed, checked: true };
        let base = Settings::new(Scale::Smoke, DatasetKind::Digits, None).opened_as(opening).base;
        assert_eq!(base.opening(true), opening);
    }

    #[test]
    fn beyond_is_on_the_networks_that_are_asked_for_each_once() {
        let names = |asked: &[&str]| {
            let asked: Vec<Network> = asked.iter().map(|name| name.parse().unwrap()).collect();
            let settings = Settings::new(Scale::Smoke, DatasetKind::Digits, None).beyond_on(&asked);
            settings.beyond_networks.iter().map(|network| network.name()).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["all-convolutional", "resnet18"]);
        assert_eq!(names(&["vgg11", "resnet18", "vgg11"]), ["vgg11", "resnet18"]);
    }

    #[test]
    fn every_attack_suits_data_of_few_classes_and_few_images() {
        for scale in [Scale::Paper, Scale::Small, Scale::Smoke] {
            for classes in [2, 3, 4, 10] {
                let settings = Settings::new(scale, DatasetKind::Digits, None).for_data(20, classes);
                assert_eq!(settings.attack_images, 20);
                let problem = Problem::square(8, 1, classes);
                let (verdict, searches) = (settings.quick_verdict(), settings.beyond_searches());
                assert!(!verdict.is_empty() && !searches.is_empty());
                for options in verdict.iter().chain(&searches) {
                    options.check(problem).unwrap_or_else(|e| panic!("{classes} classes, {scale:?}: {e}"));
                }
            }
        }
    }

    #[test]
    fn the_paper_scale_is_table_1() {
        let base = Settings::new(Scale::Paper, DatasetKind::Cifar10, None).base;
        assert_eq!((base.width, base.epochs, base.batch_size, base.lr), (1.0, 200, 128, 5e-4));
    }
}

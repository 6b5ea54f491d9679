//! `--preset paper` for defenses of other authors: the values with which their public code trains CIFAR-10 by default. Each function
//! names its source and commit.
//!
//! Radii and steps are in Linf. With another norm or radius, the authors' step is not used (`options.rs`). Other differences from the
//! authors' programs are in each defense's file. Three things are this program's own for all of them: the initial weights, crops of
//! images that are padded by reflection (the authors pad with zeros), and the validation images that are held out unless
//! `validation-share` is 0.

use crate::attacks::Norm;
use crate::data::DatasetKind;
use crate::nn::{Network, Published};
use crate::training::config::{AttackMode, Preset, TrainConfig};
use crate::training::defenses::awp;
use crate::training::optimiser::{Decayed, Optimiser};
use crate::training::schedule::Schedule;

/// Radius of fast, N-FGSM and free.
const EIGHT: f32 = 8.0 / 255.0;

/// `yaodongyu/TRADES`, `train_trades_cifar10.py` (6e8e11b). It counts epochs from 1 and has a tenth of the rate from epoch 75 on.
/// When `--awp` begins is from `csdongxian/AWP` (a7acf5d).
pub(super) fn trades(config: &mut TrainConfig) {
    *config = TrainConfig {
        network: network("wide-resnet-34-10"),
        epochs: 76,
        milestones: vec![74],
        awp_warm_up: awp::WARM_UP_OF_TRADES,
        lr: 0.1,
        weight_decay: 2e-4,
        epsilon: 0.031,
        step_size: Some(0.007),
        ..common(config.dataset)
    };
}

/// `YisenWang/MART`, `train_resnet.py` (2d83e17). Its epochs count from 1 too, and the rate falls at 75, 90 and 100.
pub(super) fn mart(config: &mut TrainConfig) {
    *config = TrainConfig {
        network: network("resnet18"),
        epochs: 120,
        milestones: vec![74, 89, 99],
        lr: 0.01,
        weight_decay: 3.5e-3,
        epsilon: 0.031,
        step_size: Some(0.007),
        ..common(config.dataset)
    };
}

/// `locuslab/fast_adversarial`, `CIFAR10/train_fgsm.py` (54f7287), in float32.
pub(super) fn fast(config: &mut TrainConfig) {
    *config = TrainConfig {
        network: network("preact-resnet18"),
        normalise: published(config.dataset),
        epochs: 15,
        schedule: Schedule::Triangle,
        lr: 0.2,
        weight_decay: 5e-4,
        epsilon: EIGHT,
        attack_mode: AttackMode::Train,
        ..common(config.dataset)
    };
}

/// `pdejorge/N-FGSM`, `train.py` (0a9e4f0): as `fast`, for twice as long.
pub(super) fn n_fgsm(config: &mut TrainConfig) {
    fast(config);
    config.epochs = 30;
}

/// `ashafahi/free_adv_train`, `config.py` (c42cac2): 80,000 updates of batches of 128, eight on each, which are 25.6 epochs. Its
/// network has as many blocks as WideResNet-34-10 and is called 32-10; it has leaky ReLU and standardises each image.
pub(super) fn free(config: &mut TrainConfig) {
    *config = TrainConfig {
        network: network("wide-resnet-34-10"),
        epochs: 26,
        lr: 0.1,
        weight_decay: 2e-4,
        decayed: Decayed::Kernels,
        epsilon: EIGHT,
        ..common(config.dataset)
    };
}

/// What all of them have in common: SGD without Nesterov's momentum, and no average of weights.
fn common(dataset: DatasetKind) -> TrainConfig {
    TrainConfig {
        width: 1.0,
        optimiser: Optimiser::Sgd,
        momentum: 0.9,
        nesterov: false,
        schedule: Schedule::Step,
        ema_decay: 0.0,
        ema_warmup: false,
        norm: Norm::Linf,
        ..TrainConfig::preset(Preset::Small, dataset)
    }
}

fn network(name: &str) -> Network {
    name.parse().expect("it is in the zoo")
}

/// The normalisation of a data set whose numbers are published; none for others.
fn published(dataset: DatasetKind) -> Option<Published> {
    match dataset {
        DatasetKind::Cifar10 => Some(Published::Cifar10),
        DatasetKind::Cifar100 => Some(Published::Cifar100),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Method;
    use crate::training::options::TrainOptions;

    /// What `--preset paper` and a file come to.
    fn resolved(file: &str) -> TrainConfig {
        let text = format!("preset = \"paper\"\ndataset = \"cifar10\"\n{file}");
        TrainOptions::default().resolve(&toml::from_str(&text).expect("options"))
    }

    #[test]
    fn the_preset_of_a_paper_follows_the_defense() {
        let of = |method: &str| {
            let config = resolved(&format!("method = \"{method}\""));
            (config.network.name(), config.epochs, config.lr, config.weight_decay, config.epsilon)
        };
        assert_eq!(of("trades"), ("wide-resnet-34-10", 76, 0.1, 2e-4, 0.031));
        assert_eq!(of("mart"), ("resnet18", 120, 0.01, 3.5e-3, 0.031));
        assert_eq!(of("fast"), ("preact-resnet18", 15, 0.2, 5e-4, 8.0 / 255.0));
        assert_eq!(of("n-fgsm"), ("preact-resnet18", 30, 0.2, 5e-4, 8.0 / 255.0));
        assert_eq!(of("free"), ("wide-resnet-34-10", 26, 0.1, 2e-4, 8.0 / 255.0));
        for method in [Method::NATURAL, Method::FGM, Method::PGD, Method::ADVERSARIAL, Method::PGN] {
            let table_1 = TrainConfig::preset(Preset::Paper, DatasetKind::Cifar10);
            let inner = if method == Method::ADVERSARIAL { "inner = \"pgd\"\n" } else { "" };
            let config = resolved(&format!("method = \"{method}\"\n{inner}"));
            assert_eq!(config, TrainConfig { method, inner: config.inner, ..table_1 }, "{method}");
        }
    }

    #[test]
    fn a_recipe_has_the_schedule_the_attack_and_the_pixels_of_its_authors() {
        let of = |method: &str| {
            let config = resolved(&format!("method = \"{method}\""));
            let learning = (config.schedule, config.milestones, config.decayed);
            (learning, (config.step_size, config.iterations), (config.attack_mode, config.normalise))
        };
        let steps = |milestones: &[u32]| (Schedule::Step, milestones.to_vec(), Decayed::All);
        let plain = (AttackMode::Evaluate, None);
        assert_eq!(of("trades"), (steps(&[74]), (Some(0.007), 10), plain));
        assert_eq!(of("mart"), (steps(&[74, 89, 99]), (Some(0.007), 10), plain));
        let fast = (AttackMode::Train, Some(Published::Cifar10));
        for method in ["fast", "n-fgsm"] {
            let (learning, (step_size, _), rest) = of(method);
            assert_eq!((learning.0, step_size, rest), (Schedule::Triangle, None, fast), "{method}");
        }
        let (learning, (step_size, _), rest) = of("free");
        assert_eq!(
            (learning.0, learning.2, step_size, rest),
            (Schedule::Step, Decayed::Kernels, None, plain)
        );
        assert_eq!(
            ["trades", "mart"].map(|method| resolved(&format!("method = \"{method}\"")).batch_size),
            [128; 2]
        );
    }

    #[test]
    fn awp_moves_weights_as_far_as_its_authors_do() {
        let of = |method: Method| method.awp;
        // 0.005 with TRADES and 0.01 with training against PGD, which the others follow.
        assert_eq!(of(Method::TRADES), 0.005);
        for method in [Method::PGD, Method::MART, Method::FAST, Method::N_FGSM, Method::FREE, Method::PGN] {
            assert_eq!(of(method), 0.01, "{method}");
        }
    }

    #[test]
    fn all_recipes_learn_by_plain_momentum_in_linf_without_an_average() {
        for method in ["trades", "mart", "fast", "n-fgsm", "free"] {
            let config = resolved(&format!("method = \"{method}\""));
            assert_eq!((config.optimiser, config.momentum, config.nesterov), (Optimiser::Sgd, 0.9, false));
            assert_eq!((config.norm, config.width, config.ema_decay), (Norm::Linf, 1.0, 0.0), "{method}");
            config.check().expect("it can be trained");
        }
    }

    #[test]
    fn a_step_goes_with_its_radius_and_a_rate_with_its_optimiser() {
        let of = |file: &str| {
            let config = resolved(&format!("method = \"trades\"\n{file}"));
            (config.epsilon, config.step_size, config.lr)
        };
        assert_eq!(of(""), (0.031, Some(0.007), 0.1));
        assert_eq!(of("epsilon = 0.0155"), (0.0155, None, 0.1));
        assert_eq!(of("norm = \"l2\""), (0.1, None, 0.1));
        assert_eq!(of("norm = \"l2\"\nepsilon = 0.5\nstep-size = 0.2"), (0.5, Some(0.2), 0.1));
        assert_eq!(of("optimiser = \"adam\""), (0.031, Some(0.007), 2e-3));
        assert_eq!(of("optimiser = \"adam\"\nlr = 0.01").2, 0.01);
    }

    #[test]
    fn awp_goes_on_top_of_every_preset() {
        for method in ["pgn", "pgd", "trades", "fast"] {
            let config = resolved(&format!("method = \"{method}\"\nawp = \"usual\""));
            assert!(!config.through_attack && config.check().is_ok(), "{method}");
        }
        let warm_up = |file: &str| resolved(file).awp_warm_up;
        assert_eq!(warm_up("method = \"trades\"\nawp = \"usual\""), 9);
        assert_eq!(warm_up("method = \"trades\"\nawp = 0.01\nawp-warm-up = 2"), 2);
        assert_eq!(warm_up("method = \"trades\""), 0, "no weights move, so none wait");
        assert_eq!(warm_up("method = \"pgd\"\nawp = \"usual\""), 0);
        assert!(resolved("method = \"pgd\"").through_attack);
        let frozen = "method = \"pgn\"\nfreeze-classifier = true\ngenerator-rounds = 2";
        assert!(!resolved(frozen).through_attack, "only a classifier that learns gains from it");
        assert!(resolved(&format!("{frozen}\nthrough-attack = true")).through_attack);
        assert!(resolved("method = \"pgd\"\nawp = 0.0").through_attack, "0 moves nothing");
        let both = resolved("method = \"pgd\"\nawp = \"usual\"\nthrough-attack = true");
        assert!(both.check().is_err(), "what is asked for is refused, not changed");
    }
}

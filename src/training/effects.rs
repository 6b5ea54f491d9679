//! With which other settings an option of training has an effect. Every option names one of these functions where it
//! is declared (`options.rs`), so none can be added without. A flag without an effect is refused, with the reason. So
//! is a key of a `--config` or sweep file that no run of the file uses, unless it says what holds without it anyway.
//!
//! This lies beside the options and not beside the commands, because sweep files and reports ask the same question.

use super::config::{GeneratorInput, TrainConfig};
use super::defenses::{Inner, Method};
use super::optimiser::Optimiser;
use super::options::EFFECTS;
use super::schedule::Schedule;
use super::{Preset, TrainError};
use crate::attacks::{AttackKind, Run};
use crate::data::DatasetKind;
use std::path::Path;

/// Why a setting leaves an option without an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoEffect {
    /// The setting, as flags: `--method fgm`.
    pub with: String,
    /// What the option belongs to: `--method pgd`.
    pub belongs: String,
}

impl NoEffect {
    fn new(with: &str, belongs: &str) -> Self {
        Self { with: with.to_string(), belongs: belongs.to_string() }
    }

    /// What is wrong with giving `name`.
    pub fn sentence(&self, name: &str) -> String {
        format!("{name} has no effect with {}; it belongs to {}; leave it out", self.with, self.belongs)
    }
}

/// Whether an option, named as in `config.toml`, has an effect in a run; if not, why.
pub type Effect = fn(&TrainConfig, &str) -> Option<NoEffect>;

/// `a`, `a and b`, `a, b and c`.
pub fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_string(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

const FREEZE: &str = "`freeze-classifier` (which `train-generator` sets)";

/// In every run. An option that opening the data set refuses where it has no effect counts too.
pub(super) fn always(_: &TrainConfig, _: &str) -> Option<NoEffect> {
    None
}

/// On an adapter with shaders. What `auto` comes to is only known when it is opened.
pub(super) fn shaders(config: &TrainConfig, _: &str) -> Option<NoEffect> {
    (config.adapter == "cpu").then(|| NoEffect::new("`adapter` cpu", "adapters with shaders"))
}

/// With the defenses that name the option.
pub(super) fn defense(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let has = |method: &Method| method.reads(key);
    (!has(&config.method)).then(|| no_effect_with(config, has))
}

/// The run's defense, and those that the option belongs to.
fn no_effect_with(config: &TrainConfig, has: impl Fn(&Method) -> bool) -> NoEffect {
    let names: Vec<&str> = Method::all().into_iter().filter(has).map(Method::name).collect();
    NoEffect::new(&format!("`method` {}", config.method), &format!("`method` {}", listed(&names)))
}

/// Where the attack that is trained against reads the option.
pub(super) fn inner_attack(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let reads = |method: &Method| match method.inner {
        Inner::None => false,
        Inner::Fixed(kind) => kind.reads(key),
        Inner::Own(options) => options.contains(&key),
        Inner::Chosen => true,
    };
    let reading = || AttackKind::reading(key).iter().map(|kind| kind.name()).collect::<Vec<_>>();
    match config.inner() {
        Some(kind) if kind.reads(key) => None,
        Some(kind) if config.method.inner == Inner::Chosen => {
            Some(NoEffect::new(&format!("`inner` {kind}"), &format!("`inner` {}", listed(&reading()))))
        }
        None if reads(&config.method) => None,
        _ => Some(no_effect_with(config, reads)),
    }
}

/// The same for a radius, which a generator may have too.
pub(super) fn radius(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    if config.method.generator && config.fixed_radius {
        return None;
    }
    let reason = inner_attack(config, key)?;
    Some(match config.method.generator {
        true => NoEffect {
            with: format!("{} without `fixed-radius`", reason.with),
            belongs: format!("that setting, or to {}", reason.belongs),
        },
        false => reason,
    })
}

/// Where a generator pays for the length of its perturbations.
pub(super) fn priced(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let free = || NoEffect::new("`fixed-radius`", "perturbations of any length");
    defense(config, key).or_else(|| config.fixed_radius.then(free))
}

/// Where that price is not 0.
pub(super) fn penalised(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let unpriced = || NoEffect::new("`c-l` 0", "perturbations that have a price");
    priced(config, key).or_else(|| (config.c_l == 0.0).then(unpriced))
}

/// Where the classifier learns and the defense names the option.
pub(super) fn learned_defense(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    defense(config, key).or_else(|| learning_classifier(config, key))
}

/// Where images are not attacked within the training step's graph.
fn attacked_apart(config: &TrainConfig) -> Option<NoEffect> {
    let apart = config.inner().filter(|kind| !matches!(kind.run, Run::Steps(_)));
    apart.map(|kind| NoEffect::new(&format!("`inner` {kind}"), "attacks of a fixed number of steps"))
}

/// Where the classifier learns from images that are attacked within the training step's graph.
pub(super) fn unrolled_attack(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    learned_defense(config, key).or_else(|| attacked_apart(config))
}

/// Where a gradient flows through the attack: that of a classifier that learns, or of a generator through its earlier rounds.
pub(super) fn through_attack(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    if config.freeze_classifier && config.generator_rounds > 1 {
        return defense(config, key);
    }
    // What a blind generator makes in one round does not depend on the classifier.
    if config.method.generator
        && config.generator_rounds == 1
        && let Some(reason) = seen_gradient(config, key)
    {
        return Some(reason);
    }
    let signs = || NoEffect::new("`norm` linf, whose steps are signs without a derivative", "`norm` l2");
    unrolled_attack(config, key).or_else(|| config.attacks_by_signs().then(signs))
}

/// Where the classifier learns by stochastic gradient descent.
pub(super) fn sgd(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let other = (config.optimiser != Optimiser::Sgd)
        .then(|| NoEffect::new("the optimiser of this run", "`optimiser` sgd"));
    learning_classifier(config, key).or(other)
}

/// Where the learning rates go down by steps before the run ends.
pub(super) fn steps_down(config: &TrainConfig, _: &str) -> Option<NoEffect> {
    if config.schedule != Schedule::Step {
        return Some(NoEffect::new("the schedule of this run", "`schedule` step"));
    }
    let too_late = config.milestones.iter().min().is_some_and(|&first| first >= config.epochs);
    too_late
        .then(|| NoEffect::new(&format!("`epochs` {}", config.epochs), "runs that go on after a milestone"))
}

/// Where weights decay.
pub(super) fn decay(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let none = (config.weight_decay == 0.0).then(|| NoEffect::new("`weight-decay` 0", "`weight-decay`"));
    learning_classifier(config, key).or(none)
}

/// Where the classifier learns.
pub(super) fn learning_classifier(config: &TrainConfig, _: &str) -> Option<NoEffect> {
    config.freeze_classifier.then(|| NoEffect::new(FREEZE, "a classifier that learns"))
}

/// Where the classifier learns at weights that are moved.
pub(super) fn perturbed_weights(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let none = config.awp_gamma().is_none().then(|| NoEffect::new("weights that are not moved", "`awp`"));
    learning_classifier(config, key).or(none)
}

/// Where an attacked classifier computes with statistics of the batch.
pub(super) fn attacked_statistics(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let none =
        || NoEffect::new(&format!("`network` {}", config.network), "networks with batch normalisation");
    defense(config, key)
        .or_else(|| attacked_apart(config))
        .or_else(|| (!config.network.has_batch_statistics()).then(none))
}

/// Where a moving average of the weights is kept.
pub(super) fn averaged(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let none = (config.ema_decay == 0.0).then(|| NoEffect::new("`ema-decay` 0", "a moving average"));
    learning_classifier(config, key).or(none)
}

/// Where the classifier's learning rate is anybody's: a generator without one of its own has it too.
pub(super) fn classifier_lr(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    learning_classifier(config, key)
        .filter(|_| config.generator_lr.is_some())
        .map(|reason| NoEffect { with: format!("`generator-lr` and {FREEZE}"), ..reason })
}

/// Where the generator sees a gradient.
pub(super) fn seen_gradient(config: &TrainConfig, key: &str) -> Option<NoEffect> {
    let unseen = config.without.contains(&GeneratorInput::Gradient);
    let reason = || NoEffect::new("`without` gradient", "a generator that sees the gradient");
    defense(config, key).or_else(|| unseen.then(reason))
}

/// Where some weights are not read from a file. Whether the file has a generator's is only known when it is read.
pub(super) fn initial_weights(config: &TrainConfig, _: &str) -> Option<NoEffect> {
    let all_read = config.from.is_some() && !config.method.generator;
    all_read.then(|| NoEffect::new("`from`", "weights that are not read from a file"))
}

/// What a field of the options is called in files and, after two hyphens, on the command line.
pub fn key(field: &str) -> String {
    field.replace('_', "-")
}

/// Why an option, named as in `config.toml`, has no effect in a run.
pub fn without_effect(key: &str, config: &TrainConfig) -> Option<NoEffect> {
    let own = EFFECTS.iter().find(|(field, _)| self::key(field) == key);
    own.and_then(|(_, effect)| effect(config, key))
}

/// Refuses the first of the options that are `given` as flags and have no effect in the run.
///
/// # Errors
/// One sentence with the flag, the setting that it has no effect with, and what it belongs to.
pub fn check_flags(given: &[String], config: &TrainConfig) -> Result<(), String> {
    let reason =
        |key: &String| without_effect(key, config).map(|reason| reason.sentence(&format!("`{key}`")));
    given.iter().find_map(reason).map_or(Ok(()), Err)
}

/// Refuses the first of a file's `keys` that has an effect in none of the `runs` that the file stands for, and says
/// something else there than the preset. A file with every key is a run's `config.toml`, which repeats that run as it
/// was.
///
/// # Errors
/// One sentence with the file, the key, and why it has no effect.
pub fn check_file(
    path: &Path,
    keys: &[String],
    preset: Option<Preset>,
    runs: &[TrainConfig],
) -> Result<(), TrainError> {
    if says_everything(keys) {
        return Ok(());
    }
    let defaults = |run: &TrainConfig| {
        TrainConfig::defaults(preset.unwrap_or(Preset::Small), run.method, run.dataset).table()
    };
    for key in keys {
        let reasons: Option<Vec<NoEffect>> = runs.iter().map(|run| without_effect(key, run)).collect();
        let says_nothing = |run: &TrainConfig| run.table().get(key) == defaults(run).get(key);
        if let Some(reason) = reasons.as_ref().and_then(|reasons| reasons.first())
            && !runs.iter().all(says_nothing)
        {
            return Err(TrainError::Run { path: path.to_path_buf(), problem: reason.sentence(key) });
        }
    }
    Ok(())
}

/// Whether `keys` are all that every run has, as those of a run's `config.toml` are.
pub fn says_everything(keys: &[String]) -> bool {
    let every_run = TrainConfig::preset(Preset::Small, DatasetKind::Digits).table();
    every_run.keys().all(|key| keys.contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::Norm;
    use crate::training::defenses::awp::Gamma;
    use crate::training::options::TrainOptions;

    fn config(method: Method) -> TrainConfig {
        TrainConfig { method, ..TrainConfig::preset(Preset::Small, DatasetKind::Digits) }
    }

    fn flag(key: &str, config: &TrainConfig) -> Result<(), String> {
        check_flags(&[key.to_string()], config)
    }

    #[test]
    fn a_flag_without_effect_is_refused_with_what_it_belongs_to() {
        let sentence = flag("iterations", &config(Method::FGM)).unwrap_err();
        assert_eq!(
            sentence,
            "`iterations` has no effect with `method` fgm; it belongs to `method` pgd, adversarial, trades and mart; leave it out"
        );
        let refused = |key, method| flag(key, &config(method)).unwrap_err();
        let sentence = refused("epsilon", Method::PGN);
        // A test of extensions may have registered a defense of its own in this process.
        let list = sentence.replace(", free and faded;", " and free;");
        assert!(
            list.contains("`method` fgm, pgd, adversarial, trades, mart, fast, n-fgsm and free;"),
            "{sentence}"
        );
        let sentence = refused("adv-coeff", Method::NATURAL);
        assert!(sentence.contains("fgm, pgd, adversarial, fast, n-fgsm and pgn"), "{sentence}");
    }

    #[test]
    fn each_defense_takes_what_it_reads_and_refuses_the_rest() {
        let taken: [(Method, &[&str]); 5] = [
            (Method::TRADES, &["beta", "epsilon", "norm", "iterations", "step-size"]),
            (Method::MART, &["beta", "epsilon", "norm", "iterations", "step-size", "ce-form"]),
            (Method::FAST, &["epsilon", "norm", "step-size", "ce-form", "adv-coeff", "through-attack"]),
            (Method::N_FGSM, &["epsilon", "norm", "step-size", "ce-form", "adv-coeff", "through-attack"]),
            (Method::FREE, &["replays", "epsilon", "norm", "step-size"]),
        ];
        let all = [
            "beta",
            "replays",
            "epsilon",
            "norm",
            "iterations",
            "step-size",
            "ce-form",
            "adv-coeff",
            "through-attack",
            "attack-label",
            "random-start",
            "c-l",
            "inner",
        ];
        for (method, own) in taken {
            for key in all {
                let own = own.contains(&key) || (key == "attack-label" && own.contains(&"adv-coeff"));
                assert_eq!(flag(key, &config(method)).is_ok(), own, "{key} with {method}");
            }
            assert!(flag("awp", &config(method)).is_ok(), "{method}");
        }
    }

    #[test]
    fn every_option_has_an_effect_in_some_run_and_in_its_own_method() {
        let methods = Method::all();
        let sgd = TrainConfig { optimiser: Optimiser::Sgd, weight_decay: 5e-4, ..config(Method::NATURAL) };
        let resnet = TrainConfig { network: "resnet18".parse().unwrap(), ..config(Method::FGM) };
        let steps = TrainConfig { schedule: Schedule::Step, ..config(Method::NATURAL) };
        let moved = TrainConfig { awp: Some(Gamma::Usual), ..config(Method::NATURAL) };
        let beside = [sgd, resnet, steps, moved];
        let runs: Vec<TrainConfig> = methods.into_iter().map(config).chain(beside).collect();
        for (field, _) in EFFECTS {
            assert!(runs.iter().any(|run| flag(&key(field), run).is_ok()), "{field}");
        }
        assert!(flag("attack-mode", &config(Method::FGM)).unwrap_err().contains("batch normalisation"));
        assert!(flag("momentum", &config(Method::NATURAL)).unwrap_err().contains("`optimiser` sgd"));
        assert!(flag("milestones", &config(Method::NATURAL)).unwrap_err().contains("`schedule` step"));
        let late = |epochs, milestones| TrainConfig {
            schedule: Schedule::Step,
            epochs,
            milestones,
            ..config(Method::NATURAL)
        };
        assert!(flag("milestones", &late(40, vec![40])).unwrap_err().contains("`epochs` 40"));
        assert!(flag("milestones", &late(40, vec![39, 60])).is_ok(), "the first of them lowers the rate");
        assert!(flag("awp-warm-up", &config(Method::NATURAL)).unwrap_err().contains("belongs to `awp`"));
        let averaged = TrainConfig { ema_decay: 0.0, ..config(Method::NATURAL) };
        assert!(flag("ema-warmup", &averaged).unwrap_err().contains("`ema-decay` 0"));
        // A sign has no derivative, so there is nothing to go through.
        for method in [Method::FGM, Method::PGD, Method::FAST, Method::N_FGSM] {
            let signs = TrainConfig { norm: Norm::Linf, through_attack: true, ..config(method) };
            assert!(flag("through-attack", &signs).unwrap_err().contains("`norm` l2"), "{method}");
            assert!(!signs.learns_through_attack(), "{method}");
        }
        let inner = |kind| TrainConfig { inner: Some(kind), norm: Norm::Linf, ..config(Method::ADVERSARIAL) };
        assert!(flag("through-attack", &inner(AttackKind::MIM)).is_err());
        for key in ["iterations", "step-size", "random-start", "epsilon", "norm", "through-attack"] {
            assert!(flag(key, &config(Method::PGD)).is_ok(), "{key}");
            assert!(flag(key, &config(Method::NATURAL)).is_err(), "{key}");
        }
    }

    #[test]
    fn a_frozen_classifier_leaves_its_own_options_without_effect() {
        let frozen = TrainConfig { freeze_classifier: true, ..config(Method::PGN) };
        for key in ["ema-decay", "ema-warmup", "adv-coeff", "through-attack", "update", "generator-steps"] {
            assert!(flag(key, &frozen).unwrap_err().contains("`freeze-classifier`"), "{key}");
            assert!(flag(key, &config(Method::PGN)).is_ok(), "{key}");
        }
        assert!(flag("lr", &frozen).is_ok());
        // Its answers and its statistics still decide what the generator learns.
        let rounds = TrainConfig { generator_rounds: 2, ..frozen.clone() };
        assert!(flag("through-attack", &rounds).is_ok());
        let resnet = TrainConfig { network: "resnet18".parse().unwrap(), ..frozen.clone() };
        assert!(flag("attack-mode", &resnet).is_ok());
        let own_rate = TrainConfig { generator_lr: Some(0.1), ..frozen };
        assert!(flag("lr", &own_rate).unwrap_err().contains("`generator-lr`"));
    }

    #[test]
    fn a_generator_has_a_radius_or_a_price() {
        let (priced, fixed) =
            (config(Method::PGN), TrainConfig { fixed_radius: true, ..config(Method::PGN) });
        for key in ["epsilon", "norm"] {
            assert!(flag(key, &priced).unwrap_err().contains("`method` pgn without `fixed-radius`"), "{key}");
            assert!(flag(key, &fixed).is_ok(), "{key}");
        }
        for key in ["c-l", "penalty-space"] {
            assert!(flag(key, &priced).is_ok(), "{key}");
            assert!(flag(key, &fixed).unwrap_err().contains("`fixed-radius`"), "{key}");
        }
        let free = TrainConfig { c_l: 0.0, ..config(Method::PGN) };
        assert!(flag("penalty-space", &free).unwrap_err().contains("`c-l` 0"));
        assert!(flag("c-l", &free).is_ok());
        assert!(flag("iterations", &fixed).is_err());
    }

    #[test]
    fn variants_of_the_generator_belong_to_pgn_alone() {
        let keys = [
            "fixed-radius",
            "generator-batch-norm",
            "generator-depth",
            "generator-noise",
            "generator-objective",
            "generator-rounds",
            "generator-width",
            "generators",
            "gradient-of",
        ];
        for key in keys {
            assert!(flag(key, &config(Method::PGD)).unwrap_err().contains("`method` pgn"), "{key}");
            assert!(flag(key, &config(Method::PGN)).is_ok(), "{key}");
            let frozen = TrainConfig { freeze_classifier: true, ..config(Method::PGN) };
            assert!(flag(key, &frozen).is_ok(), "{key}");
        }
    }

    #[test]
    fn what_other_settings_shadow_is_refused_too() {
        let blind = TrainConfig { without: vec![GeneratorInput::Gradient], ..config(Method::PGN) };
        for key in ["gradient-input", "gradient-of"] {
            assert!(flag(key, &blind).unwrap_err().contains("`without` gradient"), "{key}");
        }
        assert!(flag("through-attack", &blind).unwrap_err().contains("`without` gradient"));
        assert!(flag("through-attack", &TrainConfig { generator_rounds: 2, ..blind }).is_ok());
        let read = TrainConfig { from: Some("a".into()), ..config(Method::NATURAL) };
        assert!(flag("init", &read).unwrap_err().contains("`from`"));
        assert!(flag("init", &TrainConfig { method: Method::PGN, ..read }).is_ok());
    }

    fn file(text: &str) -> Result<(), String> {
        let options: TrainOptions = toml::from_str(text).unwrap();
        let run = TrainOptions::default().resolve(&options);
        check_file(Path::new("c.toml"), &options.keys(), options.preset, &[run])
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_of_a_file_that_no_run_uses_is_refused_unless_it_is_the_default() {
        let sentence = file("method = \"natural\"\nc-l = 7.0").unwrap_err();
        assert!(sentence.contains("c.toml: c-l has no effect with `method` natural"), "{sentence}");
        assert_eq!(file("method = \"natural\"\nc-l = 3.0"), Ok(()));
        assert_eq!(file("c-l = 7.0"), Ok(()));
        let runs = [Method::NATURAL, Method::PGN].map(|method| TrainConfig { c_l: 7.0, ..config(method) });
        let check = |runs: &[TrainConfig]| check_file(Path::new("s.toml"), &["c-l".to_string()], None, runs);
        assert!(check(&runs).is_ok(), "one of the runs uses it");
        assert!(check(&runs[..1]).is_err());
    }

    #[test]
    fn a_resolved_configuration_repeats_its_run_whatever_it_has() {
        let odd = TrainConfig { c_l: 7.0, iterations: 3, ..config(Method::NATURAL) };
        assert_eq!(file(&toml::to_string(&odd).unwrap()), Ok(()));
    }
}

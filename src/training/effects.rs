//! With which other settings an option of training has an effect. Every option names one of these functions where it
//! is declared (`options.rs`), so none can be added without. A flag without an effect is refused, with the reason. So
//! is a key of a `--config` or sweep file that no run of the file uses, unless it says what holds without it anyway.
//!
//! This lies beside the options and not beside the commands, because sweep files and reports ask the same question.

use super::config::{GeneratorInput, Method, TrainConfig};
use super::optimiser::Optimiser;
use super::options::EFFECTS;
use super::{Preset, TrainError};
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

/// Whether an option has an effect in a run; if not, why.
pub type Effect = fn(&TrainConfig) -> Option<NoEffect>;

fn of(config: &TrainConfig, methods: &[Method]) -> Option<NoEffect> {
    let names: Vec<&str> = methods.iter().map(|method| method.name()).collect();
    (!methods.contains(&config.method)).then(|| {
        NoEffect::new(&format!("--method {}", config.method.name()), &format!("--method {}", listed(&names)))
    })
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_string(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

const FREEZE: &str = "--freeze-classifier (which `train-generator` sets)";

/// In every run. An option that opening the data set refuses where it has no effect counts too.
pub(super) fn always(_: &TrainConfig) -> Option<NoEffect> {
    None
}

/// On an adapter with shaders. What `auto` comes to is only known when it is opened.
pub(super) fn shaders(config: &TrainConfig) -> Option<NoEffect> {
    (config.adapter == "cpu").then(|| NoEffect::new("--adapter cpu", "adapters with shaders"))
}

/// Where there is a generator.
pub(super) fn pgn(config: &TrainConfig) -> Option<NoEffect> {
    of(config, &[Method::Pgn])
}

/// Where images are attacked within a radius.
pub(super) fn fgm_and_pgd(config: &TrainConfig) -> Option<NoEffect> {
    of(config, &[Method::Fgm, Method::Pgd])
}

/// Where an attack has several steps.
pub(super) fn pgd(config: &TrainConfig) -> Option<NoEffect> {
    of(config, &[Method::Pgd])
}

/// Where the classifier learns by stochastic gradient descent.
pub(super) fn sgd(config: &TrainConfig) -> Option<NoEffect> {
    let other = (config.optimiser != Optimiser::Sgd)
        .then(|| NoEffect::new("the optimiser of this run", "--optimiser sgd"));
    learning_classifier(config).or(other)
}

/// Where weights decay.
pub(super) fn decay(config: &TrainConfig) -> Option<NoEffect> {
    let none = (config.weight_decay == 0.0).then(|| NoEffect::new("--weight-decay 0", "--weight-decay"));
    learning_classifier(config).or(none)
}

/// Where the classifier learns.
pub(super) fn learning_classifier(config: &TrainConfig) -> Option<NoEffect> {
    config.freeze_classifier.then(|| NoEffect::new(FREEZE, "a classifier that learns"))
}

/// Where the classifier learns from attacked images.
pub(super) fn attacked_classifier(config: &TrainConfig) -> Option<NoEffect> {
    of(config, &[Method::Fgm, Method::Pgd, Method::Pgn]).or_else(|| learning_classifier(config))
}

/// Where an attacked classifier computes with statistics of the batch.
pub(super) fn attacked_statistics(config: &TrainConfig) -> Option<NoEffect> {
    let none =
        || NoEffect::new(&format!("--network {}", config.network), "networks with batch normalisation");
    attacked_classifier(config).or_else(|| (!config.network.has_batch_statistics()).then(none))
}

/// Where classifier and generator both learn.
pub(super) fn both_learn(config: &TrainConfig) -> Option<NoEffect> {
    pgn(config).or_else(|| learning_classifier(config))
}

/// Where the classifier's learning rate is anybody's: a generator without one of its own has it too.
pub(super) fn classifier_lr(config: &TrainConfig) -> Option<NoEffect> {
    learning_classifier(config)
        .filter(|_| config.generator_lr.is_some())
        .map(|reason| NoEffect { with: format!("--generator-lr and {FREEZE}"), ..reason })
}

/// Where the generator sees a gradient.
pub(super) fn seen_gradient(config: &TrainConfig) -> Option<NoEffect> {
    let unseen = config.without.contains(&GeneratorInput::Gradient);
    let reason = || NoEffect::new("--without gradient", "a generator that sees the gradient");
    pgn(config).or_else(|| unseen.then(reason))
}

/// Where some weights are not read from a file. Whether the file has a generator's is only known when it is read.
pub(super) fn initial_weights(config: &TrainConfig) -> Option<NoEffect> {
    let all_read = config.from.is_some() && config.method != Method::Pgn;
    all_read.then(|| NoEffect::new("--from", "weights that are not read from a file"))
}

/// What a field of the options is called in files and, after two hyphens, on the command line.
pub fn key(field: &str) -> String {
    field.replace('_', "-")
}

/// Why an option, named as in `config.toml`, has no effect in a run.
pub fn without_effect(key: &str, config: &TrainConfig) -> Option<NoEffect> {
    let own = EFFECTS.iter().find(|(field, _)| self::key(field) == key);
    own.and_then(|(_, effect)| effect(config))
}

/// Refuses the first of the options that are `given` as flags and have no effect in the run.
///
/// # Errors
/// One sentence with the flag, the setting that it has no effect with, and what it belongs to.
pub fn check_flags(given: &[String], config: &TrainConfig) -> Result<(), String> {
    let reason =
        |key: &String| without_effect(key, config).map(|reason| reason.sentence(&format!("--{key}")));
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
    let defaults =
        |run: &TrainConfig| table(&TrainConfig::preset(preset.unwrap_or(Preset::Small), run.dataset));
    if runs.iter().any(|run| defaults(run).keys().all(|key| keys.contains(key))) {
        return Ok(());
    }
    for key in keys {
        let reasons: Option<Vec<NoEffect>> = runs.iter().map(|run| without_effect(key, run)).collect();
        let says_nothing = |run: &TrainConfig| table(run).get(key) == defaults(run).get(key);
        if let Some(reason) = reasons.as_ref().and_then(|reasons| reasons.first())
            && !runs.iter().all(says_nothing)
        {
            return Err(TrainError::Run { path: path.to_path_buf(), problem: reason.sentence(key) });
        }
    }
    Ok(())
}

fn table(config: &TrainConfig) -> toml::Table {
    toml::Table::try_from(config).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::training::options::TrainOptions;

    fn config(method: Method) -> TrainConfig {
        TrainConfig { method, ..TrainConfig::preset(Preset::Small, DatasetKind::Digits) }
    }

    fn flag(key: &str, config: &TrainConfig) -> Result<(), String> {
        check_flags(&[key.to_string()], config)
    }

    #[test]
    fn a_flag_without_effect_is_refused_with_what_it_belongs_to() {
        let sentence = flag("iterations", &config(Method::Fgm)).unwrap_err();
        assert_eq!(
            sentence,
            "--iterations has no effect with --method fgm; it belongs to --method pgd; leave it out"
        );
        assert!(flag("epsilon", &config(Method::Pgn)).unwrap_err().contains("--method fgm and pgd"));
        assert!(flag("adv-coeff", &config(Method::Natural)).unwrap_err().contains("fgm, pgd and pgn"));
    }

    #[test]
    fn every_option_has_an_effect_in_some_run_and_in_its_own_method() {
        let methods = [Method::Natural, Method::Fgm, Method::Pgd, Method::Pgn];
        let sgd = TrainConfig { optimiser: Optimiser::Sgd, weight_decay: 5e-4, ..config(Method::Natural) };
        let resnet = TrainConfig { network: "resnet18".parse().unwrap(), ..config(Method::Fgm) };
        let runs: Vec<TrainConfig> = methods.map(config).into_iter().chain([sgd, resnet]).collect();
        for (field, _) in EFFECTS {
            assert!(runs.iter().any(|run| flag(&key(field), run).is_ok()), "{field}");
        }
        assert!(flag("attack-mode", &config(Method::Fgm)).unwrap_err().contains("batch normalisation"));
        assert!(flag("momentum", &config(Method::Natural)).unwrap_err().contains("--optimiser sgd"));
        for key in ["iterations", "step-size", "random-start", "epsilon", "norm", "through-attack"] {
            assert!(flag(key, &config(Method::Pgd)).is_ok(), "{key}");
            assert!(flag(key, &config(Method::Natural)).is_err(), "{key}");
        }
    }

    #[test]
    fn a_frozen_classifier_leaves_its_own_options_without_effect() {
        let frozen = TrainConfig { freeze_classifier: true, ..config(Method::Pgn) };
        for key in ["ema-decay", "ema-warmup", "adv-coeff", "through-attack", "update", "generator-steps"] {
            assert!(flag(key, &frozen).unwrap_err().contains("--freeze-classifier"), "{key}");
            assert!(flag(key, &config(Method::Pgn)).is_ok(), "{key}");
        }
        assert!(flag("lr", &frozen).is_ok());
        let own_rate = TrainConfig { generator_lr: Some(0.1), ..frozen };
        assert!(flag("lr", &own_rate).unwrap_err().contains("--generator-lr"));
    }

    #[test]
    fn what_other_settings_shadow_is_refused_too() {
        let blind = TrainConfig { without: vec![GeneratorInput::Gradient], ..config(Method::Pgn) };
        assert!(flag("gradient-input", &blind).unwrap_err().contains("--without gradient"));
        let read = TrainConfig { from: Some("a".into()), ..config(Method::Natural) };
        assert!(flag("init", &read).unwrap_err().contains("--from"));
        assert!(flag("init", &TrainConfig { method: Method::Pgn, ..read }).is_ok());
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
        assert!(sentence.contains("c.toml: c-l has no effect with --method natural"), "{sentence}");
        assert_eq!(file("method = \"natural\"\nc-l = 3.0"), Ok(()));
        assert_eq!(file("c-l = 7.0"), Ok(()));
        let runs = [Method::Natural, Method::Pgn].map(|method| TrainConfig { c_l: 7.0, ..config(method) });
        let check = |runs: &[TrainConfig]| check_file(Path::new("s.toml"), &["c-l".to_string()], None, runs);
        assert!(check(&runs).is_ok(), "one of the runs uses it");
        assert!(check(&runs[..1]).is_err());
    }

    #[test]
    fn a_resolved_configuration_repeats_its_run_whatever_it_has() {
        let odd = TrainConfig { c_l: 7.0, iterations: 3, ..config(Method::Natural) };
        assert_eq!(file(&toml::to_string(&odd).unwrap()), Ok(()));
    }
}

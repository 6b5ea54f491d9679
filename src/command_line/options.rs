//! The options of commands by name, for programs in other languages: `step_size` where the command line has
//! `--step-size`. Names, values, defaults and checks are those of the command, because the command's own parser reads
//! them; nothing is listed a second time.

use super::settings::without_flags;
use super::{Cli, Command, program};
use crate::attacks::AttackOptions;
use crate::commands::{DeviceArguments, attack_flags, effects, predict, train};
use crate::data::Size;
use crate::evaluation::{Place, suite};
use crate::executor::Device;
use crate::models::file::Model;
use crate::models::pixels::PixelChoice;
use crate::nn::Problem;
use crate::training::fit::Observer;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Args, FromArgMatches};
use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub use super::settings::by_name;
pub use crate::commands::train::Trained;

/// The value of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Whether.
    Switch(bool),
    /// Anything else, as it is written on the command line.
    Text(String),
}

/// Options by name, with `_` or `-` between words.
pub type Options<'a> = &'a [(String, Value)];

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// An option that there is not, or that cannot be so: a sentence.
    #[error("{0}")]
    Option(String),
    /// Anything else: a sentence.
    #[error("{0}")]
    Work(String),
}

impl CallError {
    fn option(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Option(error.into().to_string())
    }

    fn work(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Work(error.into().to_string())
    }
}

/// A model on a device.
pub struct Opened {
    /// Where it was read from.
    pub place: Place,
    /// The model.
    pub model: Model,
    /// What it computes on.
    pub device: Device,
}

/// Opens a run folder or a model file, with the options of `predict` that say how pixels are prepared and where is computed.
/// `size` is that of images, for files that do not tell it.
///
/// # Errors
/// One sentence.
pub fn open(path: &Path, size: Option<Size>, options: Options) -> Result<Opened, CallError> {
    let empty = || clap::Command::new("");
    let own = PixelChoice::augment_args(DeviceArguments::augment_args(empty()));
    let allowed = |flag: &str| own.get_arguments().any(|argument| argument.get_long() == Some(flag));
    let arguments = arguments("predict", options, allowed)?;
    // Neither the images nor the model that the line names are looked at.
    let Command::Predict(line) = parsed(&["predict", "model", "--images=none"], arguments)? else {
        unreachable!("the line names the command");
    };
    let predict::Arguments { pixels, device, .. } = line;
    let place = Place::find(path).map_err(CallError::work)?.with_pixels(&pixels);
    let mut model = place.model(None).map_err(CallError::work)?;
    if let Some(Size { height, width }) = size {
        let problem = Problem { height, width, ..model.facts.problem };
        model = place.model(Some(problem)).map_err(CallError::work)?;
    }
    let device = Device::open(&device.adapter, device.opening()).map_err(CallError::work)?;
    Ok(Opened { place, model, device })
}

/// The attack `name` on a model with the options of `attack`, as that command would run it.
///
/// # Errors
/// One sentence.
pub fn attack(
    (place, model): (&Place, &Model),
    name: &str,
    options: Options,
) -> Result<AttackOptions, CallError> {
    let arguments = arguments("attack", options, attack_flags::is_of_attacks)?;
    let named = format!("--attack={name}");
    let Command::Attack(line) = parsed(&["attack", "--model=model", &named], arguments)? else {
        unreachable!("the line names the command");
    };
    let mut attacks = line.attacks().map_err(CallError::option)?;
    let (Some(mut attack), true) = (attacks.pop(), attacks.is_empty()) else {
        return Err(CallError::option("several attacks or radii are named; name one at a time"));
    };
    attack.target = attack.target.resolve(&model.facts.classes()).map_err(CallError::option)?;
    suite::check(place, model, &attack).map_err(CallError::option)?;
    Ok(attack)
}

/// Trains with the options of `train`, as that command would, and tells `observer` alone. The run is saved and ends after
/// its step when `stop` is set.
///
/// # Errors
/// One sentence.
pub fn train(options: Options, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Trained, CallError> {
    let arguments = arguments("train", options, |_| true)?;
    match parsed(&["train"], arguments)? {
        Command::Train(line) => train::quietly(*line, observer, stop).map_err(CallError::work),
        _ => unreachable!("the line names the command"),
    }
}

/// The choice that an option takes as a word, such as a norm.
///
/// # Errors
/// One sentence with all words.
pub fn word<T: clap::ValueEnum>(option: &str, text: &str) -> Result<T, CallError> {
    T::from_str(text, false).map_err(|_| {
        let all = T::value_variants().iter().filter_map(T::to_possible_value);
        let all: Vec<String> = all.map(|value| value.get_name().to_string()).collect();
        CallError::Option(format!("`{option}` {text:?} is not possible; choose one of {}", all.join(", ")))
    })
}

/// The line's command; `first` are its first arguments.
fn parsed(first: &[&str], arguments: Vec<String>) -> Result<Command, CallError> {
    let program = program();
    let line = std::iter::once("pgn-wgpu").chain(first.iter().copied()).map(str::to_string);
    let matches = program.clone().try_get_matches_from(line.chain(arguments)).map_err(|e| sentence(&e))?;
    effects::check(&program, &matches).map_err(CallError::Option)?;
    Ok(Cli::from_arg_matches(&matches).map_err(|error| sentence(&error))?.command)
}

/// The one sentence of a parser's refusal, without usage and hints at help.
fn sentence(error: &clap::Error) -> CallError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if let (Some(argument), Some(value), Some(ContextValue::Strings(all))) =
        (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue), error.get(ContextKind::ValidValue))
        && !all.is_empty()
    {
        // The argument comes with the name of its value, as in help.
        let flag = argument.split(' ').next().unwrap_or(argument);
        let all = all.join(", ");
        return CallError::Option(format!(
            "{} {value} is not possible; choose one of {all}",
            without_flags(flag)
        ));
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim();
    CallError::Option(without_flags(first.strip_prefix("error: ").unwrap_or(first)))
}

/// The arguments that give `command` these options.
fn arguments(
    command: &str,
    options: Options,
    allowed: impl Fn(&str) -> bool,
) -> Result<Vec<String>, CallError> {
    let program = program();
    let known = program.find_subcommand(command).expect("commands are named in this file");
    let known: Vec<&Arg> =
        known.get_arguments().filter(|known| known.get_long().is_some_and(&allowed)).collect();
    let given = options.iter().map(|(name, value)| argument(command, &known, name, value));
    let given: Result<Vec<_>, String> = given.collect();
    Ok(given.map_err(CallError::Option)?.into_iter().flatten().collect())
}

fn argument(command: &str, known: &[&Arg], name: &str, value: &Value) -> Result<Option<String>, String> {
    let flag = name.replace('_', "-");
    let is_named = |argument: &&&Arg| {
        let others = argument.get_all_aliases().unwrap_or_default();
        argument.get_long() == Some(flag.as_str()) || others.contains(&flag.as_str())
    };
    let Some(argument) = known.iter().find(is_named) else {
        return Err(unknown(command, known, name));
    };
    let optional = argument.get_num_args().is_some_and(|count| count.min_values() == 0);
    match (argument.get_action(), value) {
        (ArgAction::SetTrue, Value::Switch(given)) => Ok(given.then(|| format!("--{flag}"))),
        (ArgAction::SetTrue, Value::Text(text)) => {
            Err(format!("`{flag}` {text} is not possible; it must be True or False"))
        }
        (_, Value::Switch(true)) if optional => Ok(Some(format!("--{flag}"))),
        (_, Value::Switch(given)) => Ok(Some(format!("--{flag}={given}"))),
        (_, Value::Text(text)) => Ok(Some(format!("--{flag}={text}"))),
    }
}

/// What is wrong with a name that no option has: the names that begin as it does, else all.
fn unknown(command: &str, known: &[&Arg], given: &str) -> String {
    let flag = given.replace('_', "-");
    let mut names: Vec<&str> = known.iter().filter_map(|argument| argument.get_long()).collect();
    names.sort_unstable();
    let begin = |name: &&str| flag.len() >= 3 && name.starts_with(&flag[..3]);
    let near: Vec<&str> = names.iter().copied().filter(begin).collect();
    let shown = if near.is_empty() { names } else { near };
    let shown: Vec<String> = shown.into_iter().map(|name| format!("`{name}`")).collect();
    format!("{command} has no option {given}; choose one of {}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;
    use crate::nn::{Init, Network, Plan};

    fn given(options: &[(&str, Value)]) -> Vec<(String, Value)> {
        options.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_string())
    }

    /// A model of three classes, and its place.
    fn model() -> (Place, Model) {
        let problem = Problem::square(8, 1, 3);
        let classifier = Network::default().build(Plan::new(problem, 0.0625)).unwrap();
        let values = classifier.initial(Init::He, 1);
        (Place::find(Path::new("model.safetensors")).unwrap(), Model::new(classifier, values))
    }

    #[test]
    fn options_by_name_are_those_of_the_command() {
        let (place, model) = model();
        let options = given(&[
            ("norm", text("linf")),
            ("epsilon", text("8/255")),
            ("step_size", text("0.01")),
            ("random_start", Value::Switch(true)),
            ("batch-size", text("7")),
            ("target", text("2")),
        ]);
        let attack = attack((&place, &model), "pgd", &options).unwrap();
        assert_eq!(
            (attack.kind, attack.epsilon, attack.step_size),
            (AttackKind::PGD, 8.0 / 255.0, Some(0.01))
        );
        assert_eq!((attack.random_start, attack.batch_size, attack.iterations), (true, 7, 10));
        let off = given(&[("random_start", Value::Switch(false))]);
        assert!(!super::attack((&place, &model), "pgd", &off).unwrap().random_start);
    }

    #[test]
    fn every_option_of_an_attack_has_a_name_here() {
        let (place, model) = model();
        for option in crate::attacks::options::OPTIONS {
            let value = if option.name == "abort-early" { Value::Switch(false) } else { text("?") };
            let name = option.flag().replace('-', "_");
            let kind = AttackKind::reading(option.name)[0].name();
            match attack((&place, &model), kind, &given(&[(&name, value)])) {
                Ok(_) => {}
                Err(error) => assert!(!error.to_string().contains("has no option"), "{error}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_is_one_sentence_without_usage() {
        let (place, model) = model();
        let refused = |name: &str, options: &[(&str, Value)]| {
            let error = attack((&place, &model), name, &given(options)).unwrap_err();
            assert!(matches!(error, CallError::Option(_)), "{error}");
            let sentence = by_name(&error.to_string());
            assert!(!sentence.contains('\n') && !sentence.contains("--"), "{sentence}");
            sentence
        };
        assert!(refused("pgd", &[("iterations", text("0"))]).contains("iterations 0 is not possible"));
        assert!(
            refused("fgm", &[("iterations", text("5"))]).contains("iterations has no effect with attack fgm")
        );
        assert!(refused("pgdd", &[]).starts_with("attack pgdd is not possible; choose one of fgm, pgd"));
        assert!(refused("pgd", &[("sheet", text("a.png"))]).contains("attack has no option sheet"));
        assert!(refused("pgd", &[("step", text("1"))]).ends_with("choose one of step_size"));
        assert!(refused("pgd", &[("epsilon", text("0.1,0.2"))]).contains("one at a time"));
        assert!(refused("pgd", &[("random_start", text("2"))]).contains("True or False"));
        assert!(refused("apgd-t", &[]).contains("classes"), "there are three");
    }

    #[test]
    fn options_of_training_take_true_and_false_as_flags_do() {
        let known = |options: &[(&str, Value)]| arguments("train", &given(options), |_| true);
        let line = known(&[
            ("awp", Value::Switch(true)),
            ("nesterov", Value::Switch(false)),
            ("no_augment", Value::Switch(true)),
            ("no_shuffle", Value::Switch(false)),
            ("defense", text("pgd")),
            ("without", text("label,gradient")),
        ]);
        let expected =
            ["--awp", "--nesterov=false", "--no-augment", "--defense=pgd", "--without=label,gradient"];
        assert_eq!(line.unwrap(), expected);
        assert!(known(&[("epoch", text("3"))]).unwrap_err().to_string().contains("`epochs`"));
    }
}

//! With what each flag has an effect, for every command in one table; a flag that is given without it is refused. What
//! the options of training belong to stands where they are declared (`training/options.rs`), because files have them
//! too. A flag of a command that is not in the table fails a test.
//!
//! `--dry-run` leaves no flag without effect: it stands for the same command without it.

use super::attack_flags::id;
use clap::ArgMatches;
use clap::parser::ValueSource;
use pgn_wgpu::attacks::options::OPTIONS;
use pgn_wgpu::attacks::{AttackKind, AttackOptions, Norm, Run};
use pgn_wgpu::data::DatasetKind;
use pgn_wgpu::files;
use pgn_wgpu::nn::Problem;
use pgn_wgpu::reproduce::Experiment;
use pgn_wgpu::training::effects::{key, listed, without_effect};
use pgn_wgpu::training::options::EFFECTS;
use pgn_wgpu::training::{Method, Preset, TrainConfig};
use std::path::Path;

/// What a flag needs to have an effect.
#[derive(Clone, Copy)]
enum Needs {
    /// Nothing.
    Nothing,
    /// An attack that reads this option.
    Attack(&'static str),
    /// One of these flags.
    Flags(&'static [&'static str]),
    /// That this experiment is asked for.
    Experiment(Experiment),
    /// That this flag is not given.
    Without(&'static str),
    /// An attack that draws random numbers.
    Randomness,
    /// An adapter with shaders.
    Shaders,
    /// Images that are pictures, not an array.
    Pictures,
    /// All of these.
    All(&'static [Needs]),
    /// Another command: this one sets it, as it says.
    Set(&'static str),
    /// An option of training, which the run's configuration decides about.
    Training,
}

/// Flags with which an attack draws random numbers that draws none without.
const RANDOM: [&str; 3] = ["random_start", "restarts", "target"];

use Needs::{All, Attack, Flags, Nothing, Pictures, Randomness, Set, Shaders, Training, Without};

/// The table. `None`: nobody has thought about it.
fn needs(command: &str, flag: &str) -> Option<Needs> {
    Some(match (command, flag) {
        (_, "help" | "version" | "quiet" | "verbose" | "json") => Nothing,
        ("train-generator", "method") => Set("a generator is always trained by pgn"),
        ("train-generator", "freeze_classifier") => Set("the classifier always stays as it is"),
        ("train-generator", "width") => Set("the generator is as wide as the classifier"),
        ("train-generator", "network") => Set("`model` holds the whole network"),
        ("train-generator", "from") => Set("`model` names the classifier"),
        ("train-generator", "resume") => Set("`pgn-wgpu train --resume RUN` continues a generator's run"),
        ("train-generator", "model") => Nothing,
        ("train" | "train-generator", "no_augment" | "no_shuffle" | "no_ema_warmup" | "config" | "out") => {
            Nothing
        }
        ("train" | "train-generator", "resume" | "tensorboard" | "dry_run" | "preset") => Nothing,
        ("train" | "train-generator", "checked") => Shaders,
        ("train" | "train-generator", flag) if EFFECTS.iter().any(|(field, _)| *field == flag) => Training,

        // Formats for other programs hold no images.
        (
            "export",
            "dataset" | "data" | "split" | "limit" | "limit_seed" | "resize" | "crop" | "class_index",
        ) => Flags(&["web"]),

        ("report", "tune" | "checked") => All(&[Flags(&["sheets"]), Shaders]),
        ("report", "adapter" | "precision" | "epsilon") => Flags(&["sheets"]),
        ("report", "runs" | "out" | "force" | "sheets") => Nothing,
        (
            "bench",
            "dataset" | "network" | "width" | "batch_size" | "seconds" | "method" | "explain" | "precision"
            | "steps_only" | "first_step",
        ) => Without("targets"),
        ("bench", "checked") => All(&[Without("targets"), Shaders]),
        ("bench", "targets" | "out" | "adapter") => Nothing,
        ("bench", "force") => Flags(&["out"]),
        ("verdict", "tune" | "checked") => All(&[Without("merge"), Shaders]),
        ("attack" | "evaluate" | "validate" | "bench" | "reproduce" | "sweep", "tune" | "checked") => Shaders,
        // Shards say on what and how they were computed.
        (
            "verdict",
            "adapter" | "precision" | "dataset" | "data" | "split" | "limit" | "limit_seed" | "resize"
            | "crop" | "class_index" | "normalise" | "mean" | "std" | "scale" | "batch_size",
        ) => Without("merge"),
        ("predict", "resize" | "crop") => Pictures,
        (
            _,
            "adapter" | "precision" | "dataset" | "data" | "split" | "limit" | "out" | "dry_run" | "shard"
            | "resize" | "crop" | "class_index" | "normalise" | "mean" | "std" | "scale",
        ) => Nothing,

        // The radius is the worst case's too, the form that of the attack which checks the others, the seed the bootstrap's.
        ("evaluate", "epsilon" | "ce_form" | "seed") => Nothing,
        ("attack", "seed") => Randomness,
        ("evaluate", "target") => {
            Set("it counts images that leave their class; `pgn-wgpu attack` takes a target")
        }
        ("attack" | "evaluate", flag) if attack_option(flag).is_some() => Attack(attack_option(flag)?),
        ("attack" | "evaluate", "batch_size" | "attack") => Nothing,
        ("attack", "model" | "save" | "csv" | "sheet") => Nothing,
        ("attack", "sheet_images") => Flags(&["sheet"]),
        ("attack", "force") => Flags(&["save", "csv", "sheet"]),
        ("verify", "paths") => Nothing,
        ("predict", "model" | "images" | "save" | "top") => Nothing,
        ("export", "model" | "onnx" | "safetensors" | "web" | "force") => Nothing,
        // A page takes its images' size from its data.
        ("export", "size") => Flags(&["onnx", "safetensors"]),
        ("summary", "model") => Nothing,
        ("predict", "force") => Flags(&["save"]),
        ("predict", "tune" | "checked") => Shaders,
        ("attack" | "evaluate", "limit_seed") => Nothing,
        ("evaluate", "runs" | "source" | "twin" | "paper" | "force" | "corruptions" | "no_verdict") => {
            Nothing
        }

        ("verdict", "models" | "merge" | "norm" | "epsilon" | "thoroughness") => Nothing,
        ("verdict", "csv" | "save" | "force") => Nothing,

        ("reproduce", "experiments") => Nothing,
        ("reproduce", "network") => Needs::Experiment(Experiment::Beyond),
        ("reproduce", "force") => Without("shard"),
        ("sweep", "file" | "tensorboard") => Nothing,
        ("summary", "size" | "channels" | "classes" | "network" | "width" | "batch_size") => Nothing,
        ("validate", "method" | "network" | "width" | "batch_size" | "steps" | "cpu_until" | "seed") => {
            Nothing
        }
        ("completions", "shell") => Nothing,
        _ => return None,
    })
}

/// Why `command` sets itself what this flag says, if it does.
pub fn why_set(command: &str, flag: &str) -> Option<&'static str> {
    match needs(command, flag) {
        Some(Set(why)) => Some(why),
        _ => None,
    }
}

/// The option of attacks that a flag sets.
fn attack_option(flag: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|option| id(option) == flag).map(|option| option.name)
}

/// Refuses the first flag that is given without effect. Options of training are left to the command, which knows the
/// run's configuration.
///
/// # Errors
/// One sentence with the flag and what it belongs to.
pub fn check(program: &clap::Command, matches: &ArgMatches) -> Result<(), String> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(command) = program.find_subcommand(name) else { return Ok(()) };
    for argument in command.get_arguments() {
        let flag = argument.get_id().as_str();
        if is_given(matches, flag)
            && let Some(needs) = needs(name, flag)
        {
            refusal(matches, name, flag, needs).map_or(Ok(()), Err)?;
        }
    }
    Ok(())
}

/// Whether a flag stands on the command line.
fn is_given(matches: &ArgMatches, flag: &str) -> bool {
    let known = matches.ids().any(|id| id.as_str() == flag);
    known && matches.value_source(flag) == Some(ValueSource::CommandLine)
}

/// The attacks of `attack`, or of `evaluate`, which has usual ones.
fn chosen_attacks(matches: &ArgMatches) -> Vec<AttackKind> {
    let given = matches.get_one::<String>("norm");
    let norm = Norm::ALL.into_iter().find(|norm| given.is_some_and(|given| given == norm.flag()));
    let norm = norm.unwrap_or(Norm::L2);
    let given = matches.get_many("attack").map(|given| given.copied().collect());
    given.unwrap_or_else(|| AttackKind::usual(norm))
}

/// Whether an attack draws random numbers with its defaults, on whatever images.
fn is_always_random(kind: AttackKind) -> bool {
    match kind.run {
        Run::Steps(prepare) => prepare(&AttackOptions::new(kind), Problem::square(32, 3, 10)).is_random(),
        Run::Batch(_) | Run::Slots { .. } => kind.reads("seed"),
    }
}

/// Refuses a flag beside which none of `others` is given.
fn without_any(matches: &ArgMatches, flag: &str, others: &[&str]) -> Option<String> {
    let name = format!("`{}`", key(flag));
    (!others.iter().any(|other| is_given(matches, other))).then(|| {
        let others: Vec<String> = others.iter().map(|other| format!("`{}`", key(other))).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let all = listed(&others).replace(" and ", " or ");
        format!("{name} has no effect without {all}; give that too, or leave {name} out")
    })
}

fn refusal(matches: &ArgMatches, command: &str, flag: &str, needs: Needs) -> Option<String> {
    let name = format!("`{}`", key(flag));
    match needs {
        Nothing | Training => None,
        Attack(option) => {
            let (chosen, kinds) = (chosen_attacks(matches), AttackKind::reading(option));
            let names =
                |kinds: &[AttackKind]| listed(&kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>());
            (!chosen.iter().any(|kind| kinds.contains(kind))).then(|| {
                format!(
                    "{name} has no effect with `attack` {}; it belongs to `attack` {}; leave it out",
                    names(&chosen),
                    names(&kinds)
                )
            })
        }
        Flags(others) => without_any(matches, flag, others),
        Needs::Experiment(experiment) => {
            let mut chosen = matches.get_many::<Vec<Experiment>>("experiments")?.flatten();
            (!chosen.any(|chosen| *chosen == experiment)).then(|| {
                format!("{name} has no effect without the experiment {}; leave it out", experiment.name())
            })
        }
        Randomness if chosen_attacks(matches).into_iter().any(is_always_random) => None,
        Randomness => without_any(matches, flag, &RANDOM),
        Without(other) => is_given(matches, other)
            .then(|| format!("{name} has no effect with `{}`; leave it out", key(other))),
        Shaders => {
            let adapters = matches.get_raw("adapter")?;
            let cpu_alone = adapters.into_iter().all(|adapter| adapter == "cpu");
            cpu_alone.then(|| {
                format!("{name} has no effect with `adapter` cpu; it belongs to adapters with shaders; leave it out")
            })
        }
        Pictures => {
            let images = Path::new(matches.get_raw("images")?.next()?);
            files::has_ending(images, "npy").then(|| {
                format!(
                    "{name} has no effect with `images` {}: the images of an array are taken as they are; it belongs to \
                     pictures; leave it out",
                    images.display()
                )
            })
        }
        All(all) => all.iter().find_map(|needs| refusal(matches, command, flag, *needs)),
        Set(why) => Some(format!("{name} has no effect with {command}: {why}; leave it out")),
    }
}

/// `train-generator` without the flags that have no effect there, whatever the classifier and however the generator is built.
pub fn without_those_of_a_classifier(command: clap::Command) -> clap::Command {
    let preset = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
    // Statistics of a batch and several rounds give more flags an effect.
    let network = "resnet18".parse().expect("it is in the zoo");
    let run =
        TrainConfig { method: Method::PGN, freeze_classifier: true, network, generator_rounds: 2, ..preset };
    let flags: Vec<clap::Id> = command.get_arguments().map(|argument| argument.get_id().clone()).collect();
    let unused = |flag: &str| {
        matches!(needs("train-generator", flag), Some(Set(_))) || without_effect(&key(flag), &run).is_some()
    };
    let unused = |flag: &&clap::Id| unused(flag.as_str()) || flag.as_str() == "no_ema_warmup";
    flags
        .iter()
        .filter(unused)
        .fold(command, |command, flag| command.mut_arg(flag, |argument| argument.hide(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::program;

    fn refused(line: &str) -> Option<String> {
        let program = program();
        let matches = program.clone().try_get_matches_from(line.split(' ')).unwrap();
        check(&program, &matches).err()
    }

    #[test]
    fn every_flag_of_every_command_is_in_the_table() {
        let mut missing = Vec::new();
        for command in program().get_subcommands() {
            let flags = command.get_arguments().map(|argument| argument.get_id().to_string());
            missing.extend(flags.filter(|flag| needs(command.get_name(), flag).is_none()));
        }
        assert!(missing.is_empty(), "say in effects.rs with what these have an effect: {missing:?}");
    }

    #[test]
    fn a_flag_of_another_attack_is_refused_with_the_attacks_that_it_belongs_to() {
        let sentence = refused("pgn-wgpu attack --model m --attack fgm --iterations 5").unwrap();
        for part in [
            "`iterations` has no effect with `attack` fgm; it belongs to `attack` pgd, mim, ",
            " and cw; leave it out",
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
        assert_eq!(refused("pgn-wgpu attack --model m --attack fgm,cw --iterations 5"), None);
        for attack in ["apgd-ce", "square", "pgd --restarts 2", "fgm,apgd-t"] {
            let line = format!("pgn-wgpu attack --model m --seed 1 --attack {attack}");
            assert_eq!(refused(&line), None, "{attack} draws random numbers");
        }
        for attack in ["pgd", "fab-t", "fgm"] {
            let line = format!("pgn-wgpu attack --model m --seed 1 --attack {attack}");
            assert!(refused(&line).unwrap().contains("`restarts`"), "{attack} starts at the images");
        }
        assert!(refused("pgn-wgpu verdict --merge a --limit 5").unwrap().contains("with `merge`"));
        for flags in
            ["--decay 1", "--overshoot 1", "--confidence 1", "--no-abort", "--radius 1", "--random-start"]
        {
            assert!(refused(&format!("pgn-wgpu attack --model m --attack fgm {flags}")).is_some(), "{flags}");
            assert_eq!(
                refused(&format!("pgn-wgpu attack --model m --attack fgm,pgd,mim,deepfool,cw,pgn {flags}")),
                None
            );
        }
        for kind in ["deepfool", "cw", "pgn"] {
            for flags in ["--norm linf", "--epsilon 1"] {
                assert!(
                    refused(&format!("pgn-wgpu attack --model m --attack {kind} {flags}")).is_some(),
                    "{kind}"
                );
            }
        }
        assert!(refused("pgn-wgpu evaluate r --radius 1").is_some());
        assert_eq!(refused("pgn-wgpu evaluate r --attack cw --epsilon 1 --seed 3"), None);
    }

    #[test]
    fn a_flag_about_another_flag_needs_it() {
        let attack = "pgn-wgpu attack --model m --attack pgd";
        for (flags, other) in
            [("--sheet-images 3", "--sheet s.png"), ("--force", "--csv c"), ("--seed 1", "--random-start")]
        {
            assert!(refused(&format!("{attack} {flags}")).unwrap().contains("give that too"), "{flags}");
            assert_eq!(refused(&format!("{attack} {flags} {other}")), None);
        }
        let beyond = "pgn-wgpu reproduce figure5 beyond --scale smoke --network vgg11";
        assert_eq!(refused(beyond), None);
        let sentence = refused(&beyond.replace(" beyond", "")).unwrap();
        assert!(sentence.contains("`network` has no effect without the experiment beyond"), "{sentence}");
        assert!(refused("pgn-wgpu report r --epsilon 0.1").unwrap().contains("without `sheets`"));
        assert!(refused("pgn-wgpu bench --targets --seconds 1").unwrap().contains("with `targets`"));
        assert!(refused("pgn-wgpu validate --adapter cpu --checked").unwrap().contains("`adapter` cpu"));
        assert_eq!(refused("pgn-wgpu validate --adapter 0 --checked"), None);
    }

    #[test]
    fn a_flag_of_two_needs_is_refused_for_either() {
        for (line, reason) in [
            ("verdict --merge d --tune full --checked", "with `merge`"),
            ("verdict --merge d --checked", "with `merge`"),
            ("verdict m --adapter cpu --tune full", "`adapter` cpu"),
            ("bench --targets --steps-only", "with `targets`"),
            ("bench --targets --checked", "with `targets`"),
            ("bench --adapter cpu --checked", "`adapter` cpu"),
            ("bench --force", "without `out`"),
            ("report r --tune full", "without `sheets`"),
            ("report r --sheets --adapter cpu --checked", "`adapter` cpu"),
        ] {
            let sentence = refused(&format!("pgn-wgpu {line}"));
            assert!(sentence.as_ref().is_some_and(|own| own.contains(reason)), "{line}: {sentence:?}");
        }
        for line in [
            "verdict m --adapter 0 --tune full --checked",
            "bench --adapter 0 --checked --steps-only --out b.json --force",
            "bench --targets --tune full",
            "report r --sheets --adapter 0 --checked",
        ] {
            assert_eq!(refused(&format!("pgn-wgpu {line}")), None, "{line}");
        }
    }

    #[test]
    fn arrays_are_neither_resized_nor_cropped() {
        for flag in ["--resize 64", "--crop 32"] {
            let of = |images: &str| refused(&format!("pgn-wgpu predict m --images {images} {flag}"));
            let sentence = of("a.NPY").unwrap();
            assert!(sentence.contains("with `images` a.NPY") && sentence.contains("pictures"), "{sentence}");
            assert_eq!((of("a.png"), of("folder")), (None, None));
        }
    }

    #[test]
    fn a_generator_is_not_offered_what_it_ignores() {
        let program = program();
        let command = program.find_subcommand("train-generator").unwrap();
        let offered = |flag: &str| command.get_arguments().any(|a| a.get_id() == flag && !a.is_hide_set());
        for flag in ["method", "freeze_classifier", "width", "from", "resume", "update", "iterations"] {
            assert!(!offered(flag), "{flag}");
        }
        let generators = ["model", "c_l", "lr", "epochs", "seed", "gradient_input", "dry_run"];
        for flag in generators.iter().chain(&["through_attack", "attack_mode"]) {
            assert!(offered(flag), "{flag}");
        }
        assert!(
            refused("pgn-wgpu train-generator --model m --method pgn")
                .unwrap()
                .contains("always trained by pgn")
        );
    }

    #[test]
    fn a_number_that_is_none_is_refused_with_its_flag_and_its_range() {
        let mut checked = 0;
        for command in program().get_subcommands() {
            for flag in command.get_arguments().filter(|flag| is_number(flag)) {
                let name = format!("--{}", flag.get_long().expect("numbers are flags"));
                for value in ["abc", "-1e99", "1e99", "nan", ""] {
                    let line = ["pgn-wgpu", command.get_name(), &format!("{name}={value}")];
                    let error = program().try_get_matches_from(line).unwrap_err().to_string();
                    let sentence = error.lines().next().unwrap();
                    assert!(
                        sentence.contains(&name) && sentence.contains("it must be a"),
                        "{line:?}: {sentence}"
                    );
                    checked += 1;
                }
            }
        }
        assert!(checked > 100, "{checked}");
    }

    /// Radii and steps in pixels have a parser of their own.
    fn is_number(flag: &clap::Arg) -> bool {
        use std::any::TypeId;
        let numbers = [
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<usize>(),
            TypeId::of::<f32>(),
            TypeId::of::<f64>(),
        ];
        let pixels = ["epsilon", "step_size", "radius"].contains(&flag.get_id().as_str());
        !pixels && numbers.iter().any(|kind| flag.get_value_parser().type_id() == *kind)
    }
}

//! Flags of the attacks, shared by `attack` and `evaluate`, made from the options that the library declares. What is not
//! given keeps the default of the paper's evaluation. Each says in help which attacks read it.

use crate::numbers::{above, number};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use pgn_wgpu::attacks::options::{BATCH_SIZE, OPTIONS, OptionSpec, Setting, Values};
use pgn_wgpu::attacks::{Aim, AttackKind, AttackOptions, Norm, length};

/// The commands have flags of their own for it: one takes several.
const RADIUS: &str = "epsilon";

/// The options that are given.
pub struct AttackFlags {
    given: Vec<(&'static str, Setting)>,
    batch_size: usize,
}

/// Whether a flag, named without its dashes, says how an attack runs.
pub fn is_of_attacks(flag: &str) -> bool {
    flag == "batch-size" || OPTIONS.iter().any(|option| option.flag() == flag)
}

impl AttackFlags {
    /// The norm, if it is given.
    pub fn norm(&self) -> Option<Norm> {
        match self.setting("norm")? {
            Setting::Word(word) => Norm::ALL.into_iter().find(|norm| norm.flag() == *word),
            _ => None,
        }
    }

    /// The class that images are led to, if it is given.
    pub fn target(&self) -> Option<&Aim> {
        match self.setting("target")? {
            Setting::Aim(aim) => Some(aim),
            _ => None,
        }
    }

    /// The seed of everything random.
    pub fn seed(&self) -> u64 {
        match self.setting("seed") {
            Some(Setting::Count(seed)) => *seed,
            _ => 0,
        }
    }

    fn setting(&self, name: &str) -> Option<&Setting> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, setting)| setting)
    }

    /// Every attack with its options: those with a radius once for each of `epsilons`, the others once.
    pub fn attacks(&self, kinds: &[AttackKind], epsilons: &[f32]) -> Vec<AttackOptions> {
        let mut all: Vec<AttackOptions> = Vec::new();
        for &kind in kinds {
            for &epsilon in epsilons {
                let mut options = AttackOptions { batch_size: self.batch_size, ..AttackOptions::new(kind) };
                options.set(RADIUS, &Setting::Number(epsilon));
                self.given.iter().for_each(|(name, setting)| options.set(name, setting));
                // Every attack gets the same classes, also one that draws nothing else.
                if let (Aim::Random(_), Some(Setting::Count(seed))) = (&options.target, self.setting("seed"))
                {
                    options.target = Aim::Random(*seed);
                }
                // Attacks that measure in L2 alone refuse another norm, rather than run beside the others in their own.
                options.norm = self.norm().unwrap_or(options.norm);
                if !all.contains(&options) {
                    all.push(options);
                }
            }
        }
        all
    }
}

impl clap::Args for AttackFlags {
    fn augment_args(command: Command) -> Command {
        let options = OPTIONS.iter().filter(|option| option.name != RADIUS);
        command.args(options.map(argument)).arg(
            Arg::new("batch_size")
                .long("batch-size")
                .value_name("BATCH_SIZE")
                .help(format!("Images at a time [default: {BATCH_SIZE}]"))
                .allow_negative_numbers(true)
                .value_parser(number(1..=65_536_usize)),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The name of an option among clap's, as its other arguments have theirs.
pub fn id(option: &OptionSpec) -> String {
    option.flag().replace('-', "_")
}

fn argument(option: &'static OptionSpec) -> Arg {
    let id = id(option);
    let argument = Arg::new(id.clone()).long(option.flag()).help(help(option));
    let value = argument.clone().value_name(id.to_uppercase()).allow_negative_numbers(true);
    match option.values {
        Values::Length => value.value_parser(length::parse),
        Values::Count(low, u64::MAX) => value.value_parser(number(low..)),
        Values::Count(low, high) => value.value_parser(number(low..=high)),
        Values::Positive => value.value_parser(above(0.0_f32, None)),
        Values::NotNegative => value.value_parser(number(0.0_f32..)),
        Values::Switch | Values::SwitchOff(_) => argument.action(ArgAction::SetTrue),
        Values::Class => value.value_name("CLASS|least-likely|random|each").value_parser(target),
        Values::Words(words) => value.value_parser(PossibleValuesParser::new(
            words.iter().map(|(word, help)| PossibleValue::new(*word).help(*help)),
        )),
    }
}

/// What it is, which attacks read it, and its defaults where the text has none.
fn help(option: &OptionSpec) -> String {
    let reading = AttackKind::reading(option.name);
    let names: Vec<&str> = reading.iter().map(|kind| kind.name()).collect();
    let (text, rule) = option
        .help
        .split_once(" [")
        .map_or((option.help, String::new()), |(text, rule)| (text, format!(" [{rule}")));
    let mut defaults: Vec<(Setting, Vec<&str>)> = Vec::new();
    for kind in &reading {
        let value = (option.get)(&AttackOptions::new(*kind));
        match defaults.iter_mut().find(|(known, _)| *known == value) {
            Some((_, names)) => names.push(kind.name()),
            None => defaults.push((value, vec![kind.name()])),
        }
    }
    // The commonest first.
    defaults.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let own = match defaults.as_slice() {
        [] | [(Setting::Usual | Setting::Switch(_), _), ..] => rule,
        [(value, _)] => format!(" [default: {value}]"),
        [(value, _), rest @ ..] => {
            let rest: String =
                rest.iter().map(|(value, of)| format!("; {} {value}", of.join(", "))).collect();
            format!(" [default: {value}{rest}]")
        }
    };
    format!("{text}: {}{own}", names.join(", "))
}

impl clap::FromArgMatches for AttackFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = OPTIONS.iter().filter(|option| option.name != RADIUS);
        let given = given.filter_map(|option| Some((option.name, setting(matches, option)?))).collect();
        let batch_size = matches.get_one("batch_size").copied().unwrap_or(BATCH_SIZE);
        Ok(Self { given, batch_size })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn target(text: &str) -> Result<Aim, std::convert::Infallible> {
    text.parse()
}

fn setting(matches: &ArgMatches, option: &OptionSpec) -> Option<Setting> {
    let id = &id(option);
    match option.values {
        Values::Length | Values::Positive | Values::NotNegative => {
            matches.get_one(id).map(|number| Setting::Number(*number))
        }
        Values::Count(..) => matches.get_one(id).map(|count| Setting::Count(*count)),
        Values::Switch => matches.get_flag(id).then_some(Setting::Switch(true)),
        Values::SwitchOff(_) => matches.get_flag(id).then_some(Setting::Switch(false)),
        Values::Class => matches.get_one::<Aim>(id).map(|aim| Setting::Aim(aim.clone())),
        Values::Words(words) => {
            let given = matches.get_one::<String>(id)?;
            words.iter().find(|(word, _)| word == given).map(|(word, _)| Setting::Word(word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: AttackFlags,
    }

    #[test]
    fn attacks_with_a_radius_run_at_every_epsilon_and_the_others_once() {
        let flags = Line::parse_from(["line", "--iterations", "7"]).flags;
        let kinds = [AttackKind::MIM, AttackKind::CW, AttackKind::MIM];
        let all = flags.attacks(&kinds, &[0.25, 0.5]);
        let plan: Vec<_> = all.iter().map(|o| (o.kind, o.epsilon, o.iterations)).collect();
        let expected = [(AttackKind::MIM, 0.25, 7), (AttackKind::MIM, 0.5, 7), (AttackKind::CW, 0.5, 7)];
        assert_eq!(plan, expected);
    }

    #[test]
    fn random_targets_follow_the_seed_for_every_attack() {
        let flags = Line::parse_from(["line", "--target", "random", "--seed", "5"]).flags;
        let all = flags.attacks(&[AttackKind::FGM, AttackKind::PGD, AttackKind::CW], &[0.5]);
        assert!(all.iter().all(|options| options.target == Aim::Random(5)), "{all:?}");
    }

    #[test]
    fn without_flags_every_attack_has_its_own_defaults() {
        let flags = Line::parse_from(["line"]).flags;
        for kind in AttackKind::all() {
            let radius = AttackOptions::new(kind).epsilon;
            assert_eq!(flags.attacks(&[kind], &[radius]), [AttackOptions::new(kind)]);
        }
    }

    #[test]
    fn every_kind_of_value_reaches_the_attack_that_reads_it() {
        let line = [
            "line",
            "--norm",
            "linf",
            "--step-size",
            "2/255",
            "--random-start",
            "--seed",
            "3",
            "--ce-form",
            "plain",
        ];
        let flags = Line::parse_from(line).flags;
        let [pgd] = &flags.attacks(&[AttackKind::PGD], &[0.1])[..] else { panic!("one attack") };
        assert_eq!(
            (pgd.norm, pgd.step_size, pgd.random_start, pgd.seed),
            (Norm::Linf, Some(2.0 / 255.0), true, 3)
        );
        assert_eq!((flags.norm(), flags.seed()), (Some(Norm::Linf), 3));
        let flags = Line::parse_from(["line", "--no-abort", "--confidence", "0.5"]).flags;
        let [cw] = &flags.attacks(&[AttackKind::CW], &[0.1])[..] else { panic!("one attack") };
        assert_eq!((cw.abort_early, cw.confidence), (false, 0.5));
    }

    #[test]
    fn help_names_the_attacks_and_their_defaults() {
        let of = |name| help(pgn_wgpu::attacks::options::find(name).unwrap());
        assert!(
            of("iterations").contains(": pgd, mim, ")
                && of("iterations").ends_with("cw [default: 100; pgd 10]"),
            "{}",
            of("iterations")
        );
        assert!(of("decay").ends_with("momentum: mim [default: 1]"), "{}", of("decay"));
        assert!(of("step-size").contains(": pgd, mim [default: 2.5 epsilon"), "{}", of("step-size"));
    }
}

//! The options of all attacks, each declared once: its field, default, values and help. An attack names those that it
//! reads; flags, files, records, help and reports follow from both lists.
//!
//! Lengths are in pixel units, pixels being in [0, 1]. Defaults are those of the paper's evaluation; a library's are named
//! where they stand.

use super::aim::Aim;
use super::length;
use super::objective::CeForm;
use super::registry::{AttackKind, Goal};
use crate::nn::Problem;
use crate::threat::Radius;
pub use crate::threat::norm::{LINF_EPSILON, Norm};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Images at a time, unless it is said.
pub const BATCH_SIZE: usize = 128;

/// Which values an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// A length in pixel units: from 0 to that of the box of all images.
    Length,
    /// A whole number in this range.
    Count(u64, u64),
    /// A finite number above 0.
    Positive,
    /// A finite number from 0 on.
    NotNegative,
    /// Off unless the flag is given.
    Switch,
    /// On unless the flag of this other name is given.
    SwitchOff(&'static str),
    /// A class: a number, a name, or a word of [`Aim`].
    Class,
    /// One of these words, each with a line of help.
    Words(&'static [(&'static str, &'static str)]),
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// Not set: the attack has a rule of its own.
    Usual,
    /// A whole number.
    Count(u64),
    /// A number.
    Number(f32),
    /// Whether.
    Switch(bool),
    /// A word.
    Word(&'static str),
    /// Where images are led.
    Aim(Aim),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => f.write_str("usual"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(yes) => f.write_str(if *yes { "yes" } else { "no" }),
            Self::Word(word) => f.write_str(word),
            Self::Aim(aim) => write!(f, "{aim}"),
        }
    }
}

/// A type that a field of the options may have.
trait Field: Sized {
    fn setting(&self) -> Setting;
    fn from_setting(setting: &Setting) -> Option<Self>;
}

macro_rules! fields {
    ($($kind:ty: $variant:ident, $get:expr, $set:expr;)*) => {
        $(impl Field for $kind {
            fn setting(&self) -> Setting {
                Setting::$variant(($get)(*self))
            }
            fn from_setting(setting: &Setting) -> Option<Self> {
                match setting {
                    Setting::$variant(value) => ($set)(*value),
                    _ => None,
                }
            }
        })*
    };
}
fields! {
    f32: Number, |v| v, Some;
    usize: Count, |v| v as u64, |v| usize::try_from(v).ok();
    u64: Count, |v| v, Some;
    bool: Switch, |v| v, Some;
    Norm: Word, Self::flag, |word| Self::ALL.into_iter().find(|norm| norm.flag() == word);
    CeForm: Word, Self::flag, |word| Self::ALL.into_iter().find(|form| form.flag() == word);
}

impl Field for Option<f32> {
    fn setting(&self) -> Setting {
        self.map_or(Setting::Usual, Setting::Number)
    }

    fn from_setting(setting: &Setting) -> Option<Self> {
        match setting {
            Setting::Usual => Some(None),
            Setting::Number(number) => Some(Some(*number)),
            _ => None,
        }
    }
}

impl Field for Aim {
    fn setting(&self) -> Setting {
        Setting::Aim(self.clone())
    }

    fn from_setting(setting: &Setting) -> Option<Self> {
        match setting {
            Setting::Aim(aim) => Some(aim.clone()),
            _ => None,
        }
    }
}

/// One option.
pub struct OptionSpec {
    /// As in files and, but for [`Values::SwitchOff`], on the command line.
    pub name: &'static str,
    /// Which values it takes.
    pub values: Values,
    /// One line for help, without the attacks that read it and without its default.
    pub help: &'static str,
    /// Its value.
    pub get: fn(&AttackOptions) -> Setting,
    set: fn(&mut AttackOptions, &Setting) -> bool,
}

impl OptionSpec {
    /// As on the command line, without hyphens in front.
    pub fn flag(&self) -> &'static str {
        match self.values {
            Values::SwitchOff(flag) => flag,
            _ => self.name,
        }
    }
}

/// The option of this name.
pub fn find(name: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.name == name)
}

macro_rules! options {
    ($($name:literal $field:ident: $kind:ty = $default:expr, $values:expr, $help:literal;)*) => {
        /// Options of one attack. Those that it does not read are left out of files and comparisons.
        #[derive(Clone, Debug)]
        pub struct AttackOptions {
            /// Which attack.
            pub kind: AttackKind,
            /// Images at a time; results do not depend on it.
            pub batch_size: usize,
            /// A distance at which a minimum-norm attack may stop.
            pub enough: Option<f32>,
            /// Starts at images that are given, and searches near them with short steps.
            pub started: bool,
            $(#[doc = $help] pub $field: $kind,)*
        }

        /// All options, in the order of help.
        pub static OPTIONS: &[OptionSpec] = &[$(OptionSpec {
            name: $name,
            values: $values,
            help: $help,
            get: |options| options.$field.setting(),
            set: |options, setting| {
                Field::from_setting(setting).map(|value| options.$field = value).is_some()
            },
        }),*];

        impl AttackOptions {
            /// The defaults of an attack.
            pub fn new(kind: AttackKind) -> Self {
                let mut options = Self { kind, batch_size: BATCH_SIZE, enough: None, started: false, $($field: $default),* };
                (kind.defaults)(&mut options);
                options
            }
        }

        impl Serialize for AttackOptions {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("kind", &self.kind)?;
                $(if self.kind.reads($name) {
                    map.serialize_entry($name, &self.$field)?;
                })*
                map.end()
            }
        }

        impl<'de> Visitor<'de> for OptionsVisitor {
            type Value = AttackOptions;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the options of an attack")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AttackOptions, A::Error> {
                match map.next_key::<String>()?.as_deref() {
                    Some("kind") => {}
                    _ => return Err(A::Error::custom("the options of an attack begin with its kind")),
                }
                let mut options = AttackOptions::new(map.next_value()?);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        $($name if options.kind.reads($name) => options.$field = map.next_value()?,)*
                        other => return Err(A::Error::custom(format!("{} has no option {other}", options.kind))),
                    }
                }
                Ok(options)
            }
        }
    };
}

struct OptionsVisitor;

impl<'de> Deserialize<'de> for AttackOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OptionsVisitor)
    }
}

options! {
    "epsilon" epsilon: f32 = Norm::L2.usual_epsilon(), Values::Length,
        "Radius of the ball, pixels being in [0, 1]";
    "norm" norm: Norm = Norm::L2, Values::Words(&[("l2", "Euclidean, over all values of the image"), ("linf", "Largest absolute value")]),
        "Norm of the radius";
    "iterations" iterations: usize = 100, Values::Count(1, 100_000),
        "Iterations; of cw, in each search step";
    "step-size" step_size: Option<f32> = None, Values::Length,
        "Length of a step, as epsilon is given [default: 2.5 epsilon / iterations; for mim 0.06 in l2 and epsilon / iterations in linf]";
    "restarts" restarts: usize = 1, Values::Count(1, 1000),
        "Rounds from other random points";
    "targets" targets: usize = 9, Values::Count(1, 1000),
        "Classes that are aimed at: those of the largest wrong logits";
    "queries" queries: usize = 5000, Values::Count(1, 1_000_000),
        "Candidates that are tried for one image, in each round";
    "random-start" random_start: bool = false, Values::Switch,
        "Start at a random point: of the sphere in l2, of the whole ball in linf";
    "decay" decay: f32 = 1.0, Values::NotNegative,
        "Decay of the momentum";
    "candidates" candidates: usize = 10, Values::Count(2, 65_536),
        "Classes that are looked at in each iteration, the current one included";
    "overshoot" overshoot: f32 = 0.02, Values::NotNegative,
        "Share by which the result is lengthened";
    "search-steps" search_steps: usize = 5, Values::Count(1, 100),
        "Binary search steps for the constant";
    "learning-rate" learning_rate: f32 = 5e-3, Values::Positive,
        "Adam's learning rate";
    "initial-c" initial_c: f32 = 0.01, Values::Positive,
        "First constant of the search";
    "confidence" confidence: f32 = 0.0, Values::NotNegative,
        "Margin between logits that is asked for";
    "abort-early" abort_early: bool = true, Values::SwitchOff("no-abort"),
        "Use all iterations, even where the loss no longer falls";
    "ce-form" ce_form: CeForm = CeForm::SaturationFree, Values::Words(&[
        ("saturation-free", "Without the factor that vanishes for confident images"),
        ("plain", "As it stands, with a floor under its norm"),
    ]),
        "Which gradient of the cross-entropy is followed";
    "radius" radius: Option<f32> = None, Values::Length,
        "Scale the generator's perturbation to this L2 norm, a number or a fraction";
    "target" target: Aim = Aim::Away, Values::Class,
        "Class that images are led to: its number or name, least-likely, random, or each (every other class in turn)";
    "seed" seed: u64 = 0, Values::Count(0, u64::MAX),
        "Seed of everything random";
}

impl Radius {
    /// The norm and the radius of these options.
    pub fn of(options: &AttackOptions) -> Self {
        Self { norm: options.norm, epsilon: options.epsilon }
    }
}

/// An option that cannot be.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("`{name}` {value} is not possible; it must be {range}")]
pub struct OptionError {
    name: String,
    value: String,
    range: String,
}

/// Two are equal if every option that their attack reads is.
impl PartialEq for AttackOptions {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.own().eq(other.own())
    }
}

impl AttackOptions {
    /// The options that the attack reads, in the order in which it names them, with their values.
    pub fn own(&self) -> impl Iterator<Item = (&'static str, Setting)> + '_ {
        let options = self.kind.options.iter().filter_map(|name| find(name));
        options.map(|option| (option.name, (option.get)(self)))
    }

    /// Sets an option that the attack reads; others are left alone.
    ///
    /// # Panics
    /// If the value is of another type than the option: a mistake in the code that reads flags.
    pub fn set(&mut self, name: &str, setting: &Setting) {
        if let Some(option) = find(name).filter(|option| self.kind.reads(option.name)) {
            assert!((option.set)(self, setting), "{name} cannot be {setting:?}");
        }
    }

    /// The radius that the attack is told to keep to.
    pub fn ball(&self) -> Option<Radius> {
        match self.kind.goal {
            Goal::Ball => Some(Radius::of(self)),
            Goal::Generator => self.radius.map(Radius::l2),
            Goal::Smallest { .. } => None,
        }
    }

    /// What one image costs, as a number of forward-backward pairs.
    pub fn passes(&self, classes: usize) -> f64 {
        (self.kind.passes)(self, classes) * self.target.rounds(classes) as f64
    }

    /// Refuses values that make no sense for images of `problem`.
    pub fn check(&self, problem: Problem) -> Result<(), OptionError> {
        if self.kind.reads("norm") && !self.kind.knows(self.norm)
            || !self.kind.reads("norm") && self.norm != Norm::L2
        {
            let range = match self.kind.norms {
                [only] => {
                    format!("{} for {}, which measures in {} alone", only.flag(), self.kind, only.name())
                }
                _ => format!("a norm that {} knows", self.kind),
            };
            let (name, value) = ("norm".to_string(), self.norm.flag().to_string());
            return Err(OptionError { name, value, range });
        }
        if problem.classes < self.kind.classes {
            let (name, value) = ("attack".to_string(), self.kind.to_string());
            let range = format!(
                "an attack for {} classes, because {} needs {}",
                problem.classes, self.kind, self.kind.classes
            );
            return Err(OptionError { name, value, range });
        }
        if let Some(needed) = self.kind.aims.filter(|needed| problem.classes < *needed)
            && self.target != Aim::Away
        {
            let (name, value) = ("target".to_string(), self.target.to_string());
            let range = format!(
                "left out with {} for {} classes, because it needs {needed} to lead images to one",
                self.kind, problem.classes
            );
            return Err(OptionError { name, value, range });
        }
        if self.batch_size == 0 || self.batch_size > 65_536 {
            let (name, value) = ("batch-size".to_string(), self.batch_size.to_string());
            return Err(OptionError { name, value, range: "from 1 to 65536".to_string() });
        }
        for (name, setting) in self.own() {
            let option = find(name).expect("own options exist");
            if let Err(range) = self.possible(option, &setting, problem) {
                let (name, value) = (option.flag().to_string(), setting.to_string());
                return Err(OptionError { name, value, range });
            }
        }
        Ok(())
    }

    fn possible(&self, option: &OptionSpec, setting: &Setting, problem: Problem) -> Result<(), String> {
        let refuse =
            |possible: bool, range: &dyn Fn() -> String| if possible { Ok(()) } else { Err(range()) };
        match (option.values, setting) {
            (_, Setting::Usual) => Ok(()),
            (Values::Length, Setting::Number(length)) => {
                let norm = if self.kind.reads("norm") { self.norm } else { Norm::L2 };
                length::possible(*length, norm, Some(problem.pixels()))
            }
            (Values::Count(low, high), Setting::Count(count)) => {
                refuse((low..=high).contains(count), &|| format!("from {low} to {high}"))
            }
            (Values::Positive, Setting::Number(number)) => {
                refuse(number.is_finite() && *number > 0.0, &|| "a finite number above 0".to_string())
            }
            (Values::NotNegative, Setting::Number(number)) => {
                refuse(number.is_finite() && *number >= 0.0, &|| "a finite number from 0 on".to_string())
            }
            (Values::Class, Setting::Aim(aim)) => aim.possible(problem.classes),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBLEM: Problem = Problem { height: 8, width: 8, channels: 1, classes: 10 };

    fn refusal(options: &AttackOptions) -> String {
        options.check(PROBLEM).unwrap_err().to_string()
    }

    #[test]
    fn attacks_that_measure_in_l2_alone_refuse_linf_by_name() {
        for kind in AttackKind::all() {
            let options = AttackOptions { norm: Norm::Linf, epsilon: 0.1, ..AttackOptions::new(kind) };
            if kind.knows(Norm::Linf) {
                assert_eq!(options.check(PROBLEM), Ok(()));
            } else {
                let text = refusal(&options);
                assert!(text.contains("`norm` linf") && text.contains(kind.name()), "{text}");
            }
        }
    }

    #[test]
    fn every_length_has_the_bound_of_its_norm_and_a_hint_at_bytes() {
        let pgd = AttackOptions::new(AttackKind::PGD);
        let linf = AttackOptions { norm: Norm::Linf, epsilon: 0.1, ..pgd.clone() };
        for (options, name) in [
            (AttackOptions { epsilon: 8.0, ..linf.clone() }, "`epsilon` 8"),
            (AttackOptions { step_size: Some(2.0), ..linf }, "`step-size` 2"),
            (AttackOptions { radius: Some(9.0), ..AttackOptions::new(AttackKind::PGN) }, "`radius` 9"),
            (AttackOptions { epsilon: 16.0, ..pgd.clone() }, "`epsilon` 16"),
        ] {
            let text = refusal(&options);
            assert!(text.contains(name) && text.contains("/255 for"), "{text}");
        }
        assert_eq!(AttackOptions { epsilon: 8.0, ..pgd }.check(PROBLEM), Ok(()), "the box itself");
    }

    #[test]
    fn an_option_outside_its_range_is_refused_where_it_is_read() {
        let cw = AttackOptions::new(AttackKind::CW);
        for (options, name) in [
            (AttackOptions { iterations: 0, ..cw.clone() }, "`iterations` 0"),
            (AttackOptions { search_steps: 101, ..cw.clone() }, "`search-steps` 101"),
            (AttackOptions { initial_c: 0.0, ..cw.clone() }, "`initial-c` 0"),
            (AttackOptions { confidence: f32::NAN, ..cw.clone() }, "`confidence` NaN"),
            (AttackOptions { batch_size: 0, ..cw.clone() }, "`batch-size` 0"),
        ] {
            assert!(refusal(&options).contains(name), "{}", refusal(&options));
        }
        assert_eq!(AttackOptions { candidates: 0, ..cw }.check(PROBLEM), Ok(()), "cw looks at no candidates");
    }

    #[test]
    fn files_hold_what_the_attack_reads_and_equality_asks_for_no_more() {
        let options =
            AttackOptions { step_size: Some(0.1), batch_size: 3, ..AttackOptions::new(AttackKind::PGD) };
        let text = serde_json::to_string(&options).unwrap();
        assert!(text.starts_with("{\"kind\":\"pgd\",\"epsilon\":0.5,\"norm\":\"l2\""), "{text}");
        assert!(text.contains("\"step-size\":0.1") && !text.contains("overshoot"), "{text}");
        let again: AttackOptions = serde_json::from_str(&text).unwrap();
        assert_eq!(again, options);
        assert_eq!(again, AttackOptions { overshoot: 7.0, ..options.clone() });
        assert_ne!(again, AttackOptions { iterations: 7, ..options });
        let foreign = r#"{"kind":"fgm","overshoot":1.0}"#;
        let error = serde_json::from_str::<AttackOptions>(foreign).unwrap_err().to_string();
        assert!(error.contains("fgm has no option overshoot"), "{error}");
    }

    #[test]
    fn an_option_is_set_only_where_it_is_read() {
        let mut options = AttackOptions::new(AttackKind::FGM);
        options.set("iterations", &Setting::Count(7));
        options.set("epsilon", &Setting::Number(0.25));
        assert_eq!((options.iterations, options.epsilon), (100, 0.25));
    }
}

//! The attacks that exist, and what each tells about itself.
//!
//! An attack is one file here and one line in [`attacks!`](self#built-in). Commands, help, evaluations, their doubts,
//! sweeps, experiments, benchmarks and reports read this list; none of them knows an attack by its name. A description is
//! a struct without defaults, so what is forgotten does not compile. Two other ways were weighed: an enum with a `match`
//! wherever an attack matters, whose `_` arms forget new attacks silently; and a trait, whose default methods do the same.
//!
//! Programs that use the library add their own attack with [`register`].

use super::attacker::AttackError;
use super::driver::{BatchAttack, SlotAttack};
use super::options::AttackOptions;
use super::steps::Steps;
use super::target::Target;
use super::{Norm, apgd, carlini_wagner, ddn, deepfool, fab, fgm, fmn, generator, mim, pgd, square};
use crate::models::file::Model;
use crate::nn::Problem;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::RwLock;

/// What an attack promises about its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The most that can be done within the ball of radius epsilon.
    Ball,
    /// The nearest adversarial image, at whatever distance: a minimum-norm attack.
    Smallest {
        /// Whether its distances are meant to be believed alone. If so, another attack that ends nearer is a reason to
        /// doubt them.
        careful: bool,
    },
    /// What the model's own generator learned, scaled to `radius` where one is given.
    Generator,
}

/// An attack whose programs are compiled, or why that failed.
type Compiled<T> = Result<Box<T>, AttackError>;

/// How an attack runs.
#[derive(Clone, Copy)]
pub enum Run {
    /// The same steps for every image. Training unrolls them in its own graph.
    Steps(fn(&AttackOptions, Problem) -> Box<dyn Steps>),
    /// Batch by batch, in programs of its own.
    Batch(fn(&mut Target, &AttackOptions, &Model) -> Compiled<dyn BatchAttack>),
    /// Image by image: images that are done leave. The number of slots is a multiple of `multiple`.
    Slots {
        /// Prepares it.
        prepare: fn(&mut Target, &AttackOptions) -> Compiled<dyn SlotAttack>,
        /// Usually 1.
        multiple: usize,
    },
}

/// What there is to know about an attack.
pub struct Attack {
    /// As on the command line and in files: lower case letters, digits and hyphens.
    pub name: &'static str,
    /// As in tables and figures.
    pub title: &'static str,
    /// One line for help.
    pub about: &'static str,
    /// What it promises.
    pub goal: Goal,
    /// Norms in which it can measure perturbations.
    pub norms: &'static [Norm],
    /// Norms in which `evaluate` runs it where no attack is named.
    pub usual: &'static [Norm],
    /// The options that it reads, named as in [`OPTIONS`](super::options::OPTIONS).
    pub options: &'static [&'static str],
    /// The fewest classes that it needs.
    pub classes: usize,
    /// The fewest classes that it needs to lead images to one of them; `None` if it cannot aim. An attack that can reads the
    /// option `target`.
    pub aims: Option<usize>,
    /// Its own defaults, where they differ from those of [`OPTIONS`](super::options::OPTIONS).
    pub defaults: fn(&mut AttackOptions),
    /// Forward and backward passes that one image costs, as a number of forward-backward pairs; the second argument is
    /// the number of classes.
    pub passes: fn(&AttackOptions, usize) -> f64,
    /// What makes it stronger, with the flags and what they are now: the end of a sentence.
    pub remedy: fn(&AttackOptions) -> String,
    /// How it runs.
    pub run: Run,
}

/// A registered attack.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttackKind(&'static Attack);

/// # Built-in
macro_rules! attacks {
    ($($(#[$doc:meta])* $name:ident = $attack:path;)*) => {
        impl AttackKind {
            $($(#[$doc])* pub const $name: Self = Self(&$attack);)*
        }

        static BUILT_IN: &[AttackKind] = &[$(AttackKind::$name),*];
    };
}

attacks! {
    /// The fast gradient method.
    FGM = fgm::FGM;
    /// Projected gradient descent.
    PGD = pgd::PGD;
    /// The momentum iterative method.
    MIM = mim::MIM;
    /// Auto-PGD on the cross-entropy.
    APGD_CE = apgd::APGD_CE;
    /// Auto-PGD on the difference of logits ratio.
    APGD_DLR = apgd::APGD_DLR;
    /// Auto-PGD on the targeted difference of logits ratio.
    APGD_T = apgd::APGD_T;
    /// The fast adaptive boundary attack, targeted.
    FAB_T = fab::FAB_T;
    /// Decoupled direction and norm.
    DDN = ddn::DDN;
    /// Fast minimum-norm.
    FMN = fmn::FMN;
    /// Square.
    SQUARE = square::SQUARE;
    /// `DeepFool`.
    DEEPFOOL = deepfool::DEEPFOOL;
    /// Carlini and Wagner's L2 attack.
    CW = carlini_wagner::CW;
    /// The model's own generator.
    PGN = generator::PGN;
}

static ADDED: RwLock<Vec<AttackKind>> = RwLock::new(Vec::new());

/// Adds an attack to the list, for this process.
///
/// # Errors
/// If its name is taken or is none, or if it reads an option that does not exist.
pub fn register(attack: &'static Attack) -> Result<AttackKind, RegisterError> {
    let named = !attack.name.is_empty()
        && attack.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !named {
        return Err(RegisterError::Name(attack.name));
    }
    if let Some(option) = attack.options.iter().find(|option| super::options::find(option).is_none()) {
        return Err(RegisterError::Option { attack: attack.name, option });
    }
    let mut added = ADDED.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    if BUILT_IN.iter().chain(added.iter()).any(|known| known.name() == attack.name) {
        return Err(RegisterError::Taken(attack.name));
    }
    added.push(AttackKind(attack));
    Ok(AttackKind(attack))
}

/// Why an attack was not added.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RegisterError {
    /// A name with other letters.
    #[error("{0:?} is no name of an attack; use lower case letters, digits and hyphens")]
    Name(&'static str),
    /// A second attack of one name.
    #[error("there is an attack named {0} already; choose another name")]
    Taken(&'static str),
    /// An unknown option.
    #[error("the attack {attack} reads the option {option}, which does not exist")]
    Option {
        /// The attack.
        attack: &'static str,
        /// Its option.
        option: &'static str,
    },
}

impl AttackKind {
    /// The handle of a description, whether it is registered or not.
    pub const fn of(attack: &'static Attack) -> Self {
        Self(attack)
    }

    /// Every attack, the built-in ones first.
    pub fn all() -> Vec<Self> {
        let added = ADDED.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        BUILT_IN.iter().chain(added.iter()).copied().collect()
    }

    /// The attacks that `evaluate` runs in `norm` where none is named: in L2 the paper's.
    pub fn usual(norm: Norm) -> Vec<Self> {
        Self::all().into_iter().filter(|kind| kind.usual.contains(&norm)).collect()
    }

    /// The attacks that read an option.
    pub fn reading(option: &str) -> Vec<Self> {
        Self::all().into_iter().filter(|kind| kind.reads(option)).collect()
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether the attack stays within a given radius, rather than looking for the smallest one.
    pub fn has_radius(self) -> bool {
        self.goal == Goal::Ball
    }

    /// Whether it is a minimum-norm attack.
    pub fn is_smallest(self) -> bool {
        matches!(self.goal, Goal::Smallest { .. })
    }

    /// Whether it takes several steps within a ball.
    pub fn iterates_in_ball(self) -> bool {
        self.has_radius() && self.reads("iterations")
    }

    /// Whether it can measure its perturbations in `norm`.
    pub fn knows(self, norm: Norm) -> bool {
        self.norms.contains(&norm)
    }

    /// Whether it reads an option.
    pub fn reads(self, option: &str) -> bool {
        self.options.contains(&option)
    }
}

impl std::ops::Deref for AttackKind {
    type Target = Attack;

    fn deref(&self) -> &Attack {
        self.0
    }
}

impl PartialEq for AttackKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for AttackKind {}

impl std::hash::Hash for AttackKind {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for AttackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for AttackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AttackKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = Self::all();
        all.iter().find(|kind| kind.name() == name).copied().ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|kind| kind.name()).collect();
            format!("there is no attack named {name}; choose one of {}", names.join(", "))
        })
    }
}

impl TryFrom<String> for AttackKind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<AttackKind> for String {
    fn from(kind: AttackKind) -> Self {
        kind.name().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_option_exists() {
        let all = AttackKind::all();
        for (i, kind) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|earlier| earlier != kind), "{kind}");
            assert_eq!(kind.name().parse(), Ok(*kind));
            for option in kind.options {
                assert!(super::super::options::find(option).is_some(), "{kind} reads {option}");
            }
            assert!(kind.usual.iter().all(|norm| kind.knows(*norm)), "{kind}");
            assert_eq!(kind.aims.is_some(), kind.reads("target"), "{kind}");
        }
    }

    #[test]
    fn a_second_attack_of_a_name_is_refused() {
        assert_eq!(register(&pgd::PGD).unwrap_err(), RegisterError::Taken("pgd"));
        assert!("no-such".parse::<AttackKind>().unwrap_err().contains("fgm, pgd, mim"));
    }
}

//! The defenses that exist, and what each tells about itself.
//!
//! A defense is one file here and one line in [`defenses!`](self#built-in). Training, its options, sweeps, experiments and
//! reports read this list; none of them knows a defense by its name. A description is a struct without defaults, so what
//! is forgotten does not compile. Programs that use the library add their own with [`register`].

use super::{adversarial, free, mart, noisy_step, pgn, trades};
use crate::attacks::AttackKind;
use crate::graph::{Graph, GraphError};
use crate::nn::Problem;
use crate::training::config::TrainConfig;
use crate::training::effects;
use crate::training::options::EFFECTS;
use crate::training::step::{Phase, Stage};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::RwLock;

/// The attack that a defense trains against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// None.
    None,
    /// Always the same.
    Fixed(AttackKind),
    /// The one that the run names with `--inner`.
    Chosen,
    /// Steps of the defense's own, which are part of its phases and read these options of attacks.
    Own(&'static [&'static str]),
}

/// The option that says how strongly a defense weighs robustness; experiments go through its values.
#[derive(Clone, Copy)]
pub struct Strength {
    /// As in configurations.
    pub key: &'static str,
    /// As in figures.
    pub symbol: &'static str,
    /// Its value in a run.
    pub get: fn(&TrainConfig) -> f32,
    /// Sets it.
    pub set: fn(&mut TrainConfig, f32),
}

/// What there is to know about a defense.
pub struct Defense {
    /// As on the command line and in files: lower case letters, digits and hyphens.
    pub name: &'static str,
    /// As in tables and figures.
    pub title: &'static str,
    /// One line for help.
    pub about: &'static str,
    /// The attack that it trains against.
    pub inner: Inner,
    /// Whether a generator learns beside the classifier.
    pub generator: bool,
    /// How its strength is set.
    pub strength: Option<Strength>,
    /// The options of training, named as in configurations, that have an effect with some defenses only and have one with
    /// this. Those of the inner attack come with it.
    pub options: &'static [&'static str],
    /// Replaces the values of PGN's paper by those with which the defense's own authors train CIFAR-10. It does nothing for defenses
    /// of PGN's paper.
    pub paper: fn(&mut TrainConfig),
    /// How far `--awp` moves weights where it has no number.
    pub awp: f32,
    /// States that it keeps from step to step, with their lengths; zeros at first. Each has the same number of values for every
    /// place in a batch. A phase reads them by [`Stage::kept`], because a batch may be in parts.
    pub kept: fn(&TrainConfig, Problem) -> Vec<(&'static str, usize)>,
    /// The phases of one training step.
    pub phases: fn(&TrainConfig) -> Vec<Phase>,
    /// Builds one phase: lets networks learn, and reports what it learned from. It changes what it keeps only where
    /// [`Stage::is_learned_from`] allows it.
    pub phase: fn(&mut Graph, &Stage) -> Result<(), GraphError>,
}

/// A registered defense: how a run's classifier is trained.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(&'static Defense);

/// # Built-in
macro_rules! defenses {
    ($($(#[$doc:meta])* $name:ident = $defense:path;)*) => {
        impl Method {
            $($(#[$doc])* pub const $name: Self = Self(&$defense);)*
        }

        static BUILT_IN: &[Method] = &[$(Method::$name),*];
    };
}

defenses! {
    /// Clean images only.
    NATURAL = adversarial::NATURAL;
    /// Against the fast gradient method.
    FGM = adversarial::FGM;
    /// Against projected gradient descent.
    PGD = adversarial::PGD;
    /// Against any attack.
    ADVERSARIAL = adversarial::ADVERSARIAL;
    /// Clean images and a divergence.
    TRADES = trades::TRADES;
    /// Attacked images, the misclassified ones more.
    MART = mart::MART;
    /// Against one step from a random start.
    FAST = noisy_step::FAST_TRAINING;
    /// Against one step from stronger noise.
    N_FGSM = noisy_step::N_FGSM_TRAINING;
    /// Each batch several times.
    FREE = free::FREE;
    /// Against a perturbation generator network.
    PGN = pgn::PGN;
}

static ADDED: RwLock<Vec<Method>> = RwLock::new(Vec::new());

/// Adds a defense to the list, for this process.
///
/// # Errors
/// If its name is taken or is none, or if it reads an option that does not exist.
pub fn register(defense: &'static Defense) -> Result<Method, String> {
    let name = defense.name;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(format!("{name:?} is no name of a defense; use lower case letters, digits and hyphens"));
    }
    if let Some(option) = unknown_option(defense) {
        return Err(format!(
            "the defense {name} reads the option {option}, which does not exist; correct it"
        ));
    }
    let mut added = ADDED.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    if BUILT_IN.iter().chain(added.iter()).any(|known| known.name() == name) {
        return Err(format!("there is a defense named {name} already; choose another name"));
    }
    added.push(Method(defense));
    Ok(Method(defense))
}

/// An option that a defense or its own steps read and that training does not have.
fn unknown_option(defense: &Defense) -> Option<&'static str> {
    let of_steps: &'static [&'static str] = match defense.inner {
        Inner::Own(options) => options,
        Inner::None | Inner::Fixed(_) | Inner::Chosen => &[],
    };
    let exists = |option: &str| EFFECTS.iter().any(|(field, _)| effects::key(field) == option);
    defense.options.iter().chain(of_steps).copied().find(|option| !exists(option))
}

impl Method {
    /// Every defense, the built-in ones first.
    pub fn all() -> Vec<Self> {
        let added = ADDED.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        BUILT_IN.iter().chain(added.iter()).copied().collect()
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether an option that only some defenses read has an effect with it.
    pub fn reads(self, option: &str) -> bool {
        self.options.contains(&option)
    }

    /// Whether the classifier trains on images that something has moved.
    pub fn perturbs(self) -> bool {
        self.generator || self.inner != Inner::None
    }
}

impl std::ops::Deref for Method {
    type Target = Defense;

    fn deref(&self) -> &Defense {
        self.0
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Method {}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = Self::all();
        all.iter().find(|method| method.name() == name).copied().ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|method| method.name()).collect();
            format!("there is no defense named {name}; choose one of {}", names.join(", "))
        })
    }
}

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.name().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static MISNAMED: Defense = Defense { name: "My defense", ..adversarial::NATURAL };
    static MISREAD: Defense = Defense { name: "misread", options: &["adv-coef"], ..adversarial::NATURAL };
    static MISREAD_BY_STEPS: Defense =
        Defense { name: "misread", inner: Inner::Own(&["radius"]), ..adversarial::NATURAL };

    #[test]
    fn every_option_of_a_defense_exists() {
        for method in BUILT_IN {
            assert_eq!(unknown_option(method), None, "{method}");
        }
    }

    #[test]
    fn a_defense_without_a_name_of_its_own_or_with_an_unknown_option_is_refused() {
        for (defense, reason) in [
            (&MISNAMED, "\"My defense\" is no name of a defense"),
            (&MISREAD, "the defense misread reads the option adv-coef"),
            (&MISREAD_BY_STEPS, "the defense misread reads the option radius"),
            (&adversarial::NATURAL, "there is a defense named natural already"),
        ] {
            let error = register(defense).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
        assert!("misread".parse::<Method>().is_err());
    }
}

//! Where an attack leads images: away from their class, to whatever other, or to a class that is given.
//!
//! An attack that can aim lists the option `target`. The driver gives each image its class, round by round; the attack
//! succeeds where the classifier answers with that class. An image whose own class is the target is not attacked.

use crate::random::{Random, Stream};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The class that an image is led to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Aim {
    /// None: any other class will do.
    #[default]
    Away,
    /// This class.
    Class(usize),
    /// The class of this name, until [`Aim::resolve`] has found it.
    Named(String),
    /// The class with the smallest logit before the attack.
    LeastLikely,
    /// A random other class, drawn with this seed.
    Random(u64),
    /// Every other class in turn, the one with the largest logit before the attack first. Within a ball, the first success
    /// counts; of a minimum-norm attack, the nearest.
    Each,
    /// The wrong class of this rank by the logits before the attack, 0 for the largest.
    RunnerUp(usize),
}

const AWAY: &str = "away";
const LEAST_LIKELY: &str = "least-likely";
const RANDOM: &str = "random";
const RANDOM_OF: &str = "random-";
const EACH: &str = "each";
const RUNNER_UP: &str = "runner-up-";
/// Separates the random choice of a class from the numbers of random starts, which count rounds.
const CHOICE: u32 = u32::MAX;

impl Aim {
    /// How often an image is attacked.
    pub fn rounds(&self, classes: usize) -> usize {
        match self {
            Self::Each => classes.saturating_sub(1).max(1),
            _ => 1,
        }
    }

    /// The class that an image of class `label` is led to in a round; `None` where any other will do. `logits` are those
    /// before the attack, `place` is the image's place in its split.
    pub fn class(&self, round: usize, label: usize, logits: &[f32], place: usize) -> Option<usize> {
        let mut others: Vec<usize> = (0..logits.len()).filter(|&class| class != label).collect();
        others.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let rank = match self {
            Self::Away | Self::Named(_) => return None,
            Self::Class(class) => return Some(*class),
            Self::LeastLikely => others.len() - 1,
            Self::Random(seed) => {
                let uniform = Random::new(*seed, Stream::Attack).uniform(CHOICE, place as u32);
                (uniform * others.len() as f32) as usize
            }
            Self::Each => round,
            Self::RunnerUp(rank) => *rank,
        };
        Some(others[rank.min(others.len() - 1)])
    }

    /// With the number of the class instead of its name.
    ///
    /// # Errors
    /// A sentence, if no class has the name.
    pub fn resolve(&self, class_names: &[String]) -> Result<Self, String> {
        let Self::Named(name) = self else { return Ok(self.clone()) };
        let found = class_names.iter().position(|known| known == name);
        found.map(Self::Class).ok_or_else(|| {
            let known = match class_names {
                [] => "the number of a class (their names are not known)".to_string(),
                names => format!("the number or the name of a class ({})", names.join(", ")),
            };
            format!("`target` {name} is not possible; it must be {known}, {LEAST_LIKELY}, {RANDOM} or {EACH}")
        })
    }

    /// What it must be, if a classifier of so many classes has no such class.
    pub(super) fn possible(&self, classes: usize) -> Result<(), String> {
        match self {
            Self::Class(class) if *class >= classes => {
                Err(format!("from 0 to {}, the number of a class", classes - 1))
            }
            Self::Named(_) => Err(format!("a class, {LEAST_LIKELY}, {RANDOM} or {EACH}")),
            Self::RunnerUp(rank) if rank + 1 >= classes => Err(format!("a rank below {}", classes - 1)),
            _ => Ok(()),
        }
    }

    /// What success is, for people.
    pub fn success(&self, class_names: &[String]) -> Option<String> {
        let class = match self {
            Self::Away => return None,
            Self::Class(class) => match class_names.get(*class) {
                Some(name) => format!("class {class} ({name})"),
                None => format!("class {class}"),
            },
            Self::Named(name) => format!("class {name}"),
            Self::LeastLikely => "the class that was least likely before the attack".to_string(),
            Self::Random(_) => "a random other class, the same for every attack".to_string(),
            Self::Each => "the class that was aimed at; every other class was tried".to_string(),
            Self::RunnerUp(rank) => format!("the wrong class of rank {} before the attack", rank + 1),
        };
        Some(format!("the classifier answers with {class}"))
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Away => f.write_str(AWAY),
            Self::Class(class) => write!(f, "{class}"),
            Self::Named(name) => f.write_str(name),
            Self::LeastLikely => f.write_str(LEAST_LIKELY),
            Self::Random(0) => f.write_str(RANDOM),
            Self::Random(seed) => write!(f, "{RANDOM_OF}{seed}"),
            Self::Each => f.write_str(EACH),
            Self::RunnerUp(rank) => write!(f, "{RUNNER_UP}{rank}"),
        }
    }
}

impl FromStr for Aim {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let after = |prefix: &str| text.strip_prefix(prefix);
        let rank = after(RUNNER_UP).and_then(|rank| rank.parse().ok());
        let seed = after(RANDOM_OF).and_then(|seed| seed.parse().ok());
        Ok(match (text, text.parse(), rank, seed) {
            (AWAY, ..) => Self::Away,
            (LEAST_LIKELY, ..) => Self::LeastLikely,
            (RANDOM, ..) => Self::Random(0),
            (EACH, ..) => Self::Each,
            (_, Ok(class), ..) => Self::Class(class),
            (.., Some(rank), _) => Self::RunnerUp(rank),
            (.., Some(seed)) => Self::Random(seed),
            _ => Self::Named(text.to_string()),
        })
    }
}

impl From<String> for Aim {
    fn from(text: String) -> Self {
        let Ok(aim) = text.parse();
        aim
    }
}

impl From<Aim> for String {
    fn from(aim: Aim) -> Self {
        aim.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.5, 3.0, -1.0, 2.0];

    fn class(aim: &Aim, round: usize, label: usize) -> Option<usize> {
        aim.class(round, label, &LOGITS, 7)
    }

    #[test]
    fn classes_are_ranked_by_the_logits_before_the_attack_without_the_images_own() {
        assert_eq!(class(&Aim::LeastLikely, 0, 1), Some(2));
        assert_eq!(class(&Aim::LeastLikely, 0, 2), Some(0));
        let each: Vec<_> = (0..Aim::Each.rounds(4)).map(|round| class(&Aim::Each, round, 1)).collect();
        assert_eq!(each, [Some(3), Some(0), Some(2)]);
        assert_eq!(class(&Aim::RunnerUp(1), 0, 3), Some(0));
        assert_eq!(class(&Aim::Class(1), 0, 1), Some(1), "the driver spares it");
        assert_eq!(class(&Aim::Away, 0, 1), None);
    }

    #[test]
    fn a_random_class_is_another_one_and_follows_the_place_of_the_image() {
        let at = |place| Aim::Random(0).class(0, 1, &LOGITS, place).unwrap();
        let all: Vec<usize> = (0..100).map(at).collect();
        assert_eq!(all, (0..100).map(at).collect::<Vec<_>>());
        for class in [0, 2, 3] {
            assert!(all.iter().filter(|&&chosen| chosen == class).count() > 15, "{all:?}");
        }
        assert!(!all.contains(&1));
    }

    #[test]
    fn words_numbers_and_names_are_read_and_written_alike() {
        for text in ["away", "3", "least-likely", "random", "each", "runner-up-2", "cat"] {
            let Ok(aim) = text.parse::<Aim>();
            assert_eq!(aim.to_string(), text);
            assert_eq!(aim == Aim::Named(text.into()), text == "cat", "{text}");
        }
    }

    #[test]
    fn a_name_becomes_its_number_and_an_unknown_one_a_sentence() {
        let names = ["cat", "dog"].map(str::to_string);
        assert_eq!(Aim::Named("dog".into()).resolve(&names), Ok(Aim::Class(1)));
        let sentence = Aim::Named("horse".into()).resolve(&names).unwrap_err();
        assert!(sentence.contains("`target` horse") && sentence.contains("cat, dog"), "{sentence}");
        assert!(Aim::Class(2).possible(2).unwrap_err().contains("from 0 to 1"));
        assert_eq!(Aim::Class(1).possible(2), Ok(()));
    }
}

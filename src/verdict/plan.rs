//! Which attacks a version of the verdict runs, and in which order.
//!
//! `quick` is APGD-CE and APGD-T (up to 9 targets) with 20 iterations each. On three classifiers that were trained
//! here it gave the same robust accuracy as the standard set, at a thirtieth of its cost. `full` is AutoAttack's standard
//! set: APGD-CE and APGD-T with 100 iterations, FAB-T, and Square with 5,000 queries.
//!
//! `smallest` is a set of minimum-norm attacks. FMN is also led to each of the three wrong classes with the
//! largest logits: alone, it settles at one boundary, which is not the nearest for many images. On a PGD-trained classifier of
//! width 0.125 this brings the mean of FMN down from 0.79 to 0.70; leading DDN to the same classes brings nothing more.
//! Last, FMN starts once more at the nearest image that all have found.

use crate::attacks::options::OptionError;
use crate::attacks::{Aim, AttackKind, AttackOptions, Norm};
use crate::nn::Problem;
use crate::threat::Radius;
use serde::{Deserialize, Serialize};

/// Iterations of each attack of the quick version.
const QUICK_ITERATIONS: usize = 20;
/// Wrong classes that the searches of the smallest version are led to. A fourth brings nothing on the classifiers that were
/// trained here.
pub const RUNNERS_UP: usize = 3;
/// The search of the smallest version that is led to them.
const LED: AttackKind = AttackKind::FMN;

/// How thorough a verdict is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// APGD-CE with 20 iterations, APGD-T with up to 9 targets and 20 iterations for each
    #[default]
    Quick,
    /// AutoAttack's standard set: APGD-CE, APGD-T, FAB-T, Square
    Full,
    /// The nearest adversarial image of every image: FMN, DDN, FAB-T, C&W and DeepFool
    Smallest,
}

impl Version {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Smallest => "smallest",
        }
    }

    /// The attacks of a classifier with classes enough, in order; of the smallest version some come again, led to a class.
    pub(super) fn attacks(self) -> &'static [AttackKind] {
        match self {
            Self::Quick => &[AttackKind::APGD_CE, AttackKind::APGD_T],
            Self::Full => &[AttackKind::APGD_CE, AttackKind::APGD_T, AttackKind::FAB_T, AttackKind::SQUARE],
            Self::Smallest => {
                &[AttackKind::FMN, AttackKind::DDN, AttackKind::FAB_T, AttackKind::CW, AttackKind::DEEPFOOL]
            }
        }
    }
}

/// The attacks of a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In order.
    pub attacks: Vec<AttackOptions>,
    /// What was left out because there are few classes, in words.
    pub notes: Vec<String>,
}

impl Plan {
    /// The attacks of a version within a radius, for a classifier of so many classes.
    pub fn new(version: Version, norm: Norm, epsilon: f32, classes: usize) -> Self {
        if version == Version::Smallest {
            return Self::searches(norm, classes);
        }
        let (mut attacks, mut notes) = (Vec::new(), Vec::new());
        for &kind in version.attacks() {
            if classes < kind.classes {
                notes.push(format!(
                    "{} needs {} classes and is left out, because there are {classes}",
                    kind.title, kind.classes
                ));
                continue;
            }
            let mut options = AttackOptions { epsilon, norm, ..AttackOptions::new(kind) };
            if version == Version::Quick {
                options.iterations = QUICK_ITERATIONS;
            }
            // Where there are fewer wrong classes than an attack aims at, it aims at all of them, so nothing is left out.
            if kind.reads("targets") {
                options.targets = options.targets.min(classes - 1);
            }
            options.enough = Some(epsilon);
            attacks.push(options);
        }
        Self { attacks, notes }
    }

    /// The same with so many images at a time.
    #[must_use]
    pub fn at_a_time(mut self, images: usize) -> Self {
        self.attacks.iter_mut().for_each(|options| options.batch_size = images);
        self
    }

    /// Refuses options and a radius that make no sense for images of `problem`.
    ///
    /// # Errors
    /// As [`AttackOptions::check`].
    pub fn check(&self, radius: Radius, problem: Problem) -> Result<(), OptionError> {
        let Radius { norm, epsilon } = radius;
        let within = AttackOptions { epsilon, norm, ..AttackOptions::new(AttackKind::APGD_CE) };
        within.check(problem)?;
        self.attacks.iter().try_for_each(|options| options.check(problem))
    }

    /// The minimum-norm attacks that know the norm.
    fn searches(norm: Norm, classes: usize) -> Self {
        let mut attacks = Vec::new();
        for &kind in Version::Smallest.attacks().iter().filter(|kind| kind.knows(norm)) {
            // Whatever is found counts, however far it is.
            let mut options = AttackOptions { epsilon: f32::MAX, norm, ..AttackOptions::new(kind) };
            options.targets = options.targets.min(classes - 1);
            attacks.push(options.clone());
            if kind == LED {
                let led = |rank| AttackOptions { target: Aim::RunnerUp(rank), ..options.clone() };
                attacks.extend((0..runners_up(RUNNERS_UP, classes)).map(led));
            }
        }
        let last = AttackOptions { epsilon: f32::MAX, norm, ..AttackOptions::new(LED) };
        attacks.push(AttackOptions { started: true, ..last });
        Self { attacks, notes: Vec::new() }
    }
}

/// How many wrong classes a search is led to beside going where it likes, of `most`. With two classes, the other one is all that it
/// can find anyway.
pub fn runners_up(most: usize, classes: usize) -> usize {
    if classes == 2 { 0 } else { most.min(classes.saturating_sub(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(plan: &Plan) -> Vec<&str> {
        plan.attacks.iter().map(|options| options.kind.name()).collect()
    }

    #[test]
    fn the_quick_version_is_two_attacks_of_20_iterations_and_the_full_one_the_standard_set() {
        let quick = Plan::new(Version::Quick, Norm::L2, 0.5, 10);
        assert_eq!(names(&quick), ["apgd-ce", "apgd-t"]);
        assert!(quick.attacks.iter().all(|options| options.iterations == 20) && quick.notes.is_empty());
        let full = Plan::new(Version::Full, Norm::Linf, 0.1, 10);
        assert_eq!(names(&full), ["apgd-ce", "apgd-t", "fab-t", "square"]);
        assert!(full.attacks.iter().all(|o| (o.norm, o.epsilon) == (Norm::Linf, 0.1)));
        assert_eq!((full.attacks[0].iterations, full.attacks[1].targets), (100, 9));
    }

    #[test]
    fn the_smallest_version_leads_searches_to_runners_up_and_starts_once_more_at_the_nearest() {
        let l2 = Plan::new(Version::Smallest, Norm::L2, 0.5, 10);
        let all = ["fmn", "fmn", "fmn", "fmn", "ddn", "fab-t", "cw", "deepfool", "fmn"];
        assert_eq!(names(&l2), all);
        assert_eq!(l2.attacks[3].target, Aim::RunnerUp(2));
        let started: Vec<bool> = l2.attacks.iter().map(|options| options.started).collect();
        assert_eq!((started[8], started[..8].contains(&true)), (true, false));
        let linf = Plan::new(Version::Smallest, Norm::Linf, 0.1, 3);
        assert_eq!(
            names(&linf),
            ["fmn", "fmn", "fmn", "fab-t", "fmn"],
            "those that know Linf, and two other classes"
        );
        assert!(linf.attacks.iter().all(|options| options.norm == Norm::Linf));
        assert_eq!(names(&Plan::new(Version::Smallest, Norm::L2, 0.5, 2))[..2], ["fmn", "ddn"]);
    }

    #[test]
    fn few_classes_get_the_attacks_that_they_allow_and_words_about_it() {
        let two = Plan::new(Version::Quick, Norm::L2, 0.5, 2);
        assert_eq!(names(&two), ["apgd-ce"]);
        assert!(two.notes[0].contains("APGD-T needs 4 classes"), "{:?}", two.notes);
        assert!(Plan::new(Version::Full, Norm::L2, 0.5, 1).attacks.is_empty());
        let five = Plan::new(Version::Quick, Norm::L2, 0.5, 5);
        assert_eq!((five.attacks[1].targets, five.notes), (4, Vec::new()), "all wrong classes are aimed at");
    }
}

//! The paper's experiments: which runs each needs, how long they will take, and what the trained runs say.
//!
//! | question | file |
//! | --- | --- |
//! | which grids, seeds and budgets has a scale? | `settings.rs` |
//! | which runs does an experiment need, and what are they called? | `plan.rs` |
//! | how long will it take here? | `attack_plan.rs`, `cost.rs`, `timing.rs` |
//! | who trains, attacks and writes the report? | `study.rs` |
//! | what did an attack do to a run, or why is that not known? | `lab.rs` |
//! | where does a second call find what the first one computed? | `kept.rs`, and attack records |
//! | who is ahead at equal accuracy? | `curve.rs` |
//! | who is compared with PGN beside the paper's methods? | `contenders.rs` |
//! | what does an experiment show? | `experiments/` |

pub mod attack_plan;
pub mod contenders;
pub mod cost;
pub mod curve;
mod experiments;
mod kept;
pub mod lab;
pub mod plan;
pub mod settings;
pub mod study;
pub mod timing;

pub use settings::{Scale, Settings};
pub use study::Study;

use crate::data::DatasetKind;
use serde::Serialize;

/// A table or figure of the paper, or the question that it leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Experiment {
    /// The paper's methods, defenses that people compare with, and variants of PGN at equal accuracy, and their price; not the
    /// paper's, so not among `all`
    Beyond,
    /// Naive, FGM, PGD and PGN training under attack, on CIFAR-100
    Table2,
    /// The same on CIFAR-10
    Table3,
    /// Examples at three norms
    Table4,
    /// FGM training over epsilon and over epochs
    Figure2,
    /// FGM, PGD and PGN attacks on two fixed robust classifiers
    Figure3,
    /// Accuracy against C&W norm at three matched accuracies
    Figure4,
    /// Robustness curves by method
    Figure5,
    /// True-class probability against the norm, with the Gaussian
    Figure6,
    /// Robustness curves by width
    Figure7,
    /// The generator without one of its inputs
    Figure8,
}

impl Experiment {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 11] = [
        Self::Beyond,
        Self::Table2,
        Self::Table3,
        Self::Figure2,
        Self::Figure3,
        Self::Figure4,
        Self::Figure5,
        Self::Figure6,
        Self::Figure7,
        Self::Figure8,
        Self::Table4,
    ];

    /// The tables and figures of the paper.
    pub fn of_paper() -> Vec<Self> {
        Self::ALL.into_iter().filter(|experiment| *experiment != Self::Beyond).collect()
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Beyond => "beyond",
            Self::Table2 => "table2",
            Self::Table3 => "table3",
            Self::Table4 => "table4",
            Self::Figure2 => "figure2",
            Self::Figure3 => "figure3",
            Self::Figure4 => "figure4",
            Self::Figure5 => "figure5",
            Self::Figure6 => "figure6",
            Self::Figure7 => "figure7",
            Self::Figure8 => "figure8",
        }
    }

    /// As the paper calls it, if it is the paper's.
    pub fn title(self) -> Option<String> {
        let (kind, number) = self.name().split_at(self.name().len() - 1);
        (self != Self::Beyond).then(|| format!("{}{} {number}", kind[..1].to_uppercase(), &kind[1..]))
    }

    /// The data set of the paper's experiment at a scale.
    pub fn dataset(self, scale: Scale) -> DatasetKind {
        match (self, scale.dataset()) {
            (Self::Table2, DatasetKind::Cifar10) => DatasetKind::Cifar100,
            (_, dataset) => dataset,
        }
    }

    /// Experiments by data set. On one data set tables 2 and 3 are the same, and one of them is enough.
    pub fn by_dataset(
        experiments: &[Self],
        scale: Scale,
        dataset: Option<DatasetKind>,
    ) -> Vec<(DatasetKind, Vec<Self>)> {
        let mut groups: Vec<(DatasetKind, Vec<Self>)> = Vec::new();
        for experiment in Self::ALL.into_iter().filter(|e| experiments.contains(e)) {
            let dataset = dataset.unwrap_or_else(|| experiment.dataset(scale));
            match groups.iter_mut().find(|(known, _)| *known == dataset) {
                Some((_, group)) if group.contains(&Self::Table2) && experiment == Self::Table3 => {}
                Some((_, group)) => group.push(experiment),
                None => groups.push((dataset, vec![experiment])),
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_paper_has_is_called_as_in_the_paper() {
        assert_eq!(Experiment::Table2.title().as_deref(), Some("Table 2"));
        assert_eq!(Experiment::Figure8.title().as_deref(), Some("Figure 8"));
        assert_eq!(Experiment::Beyond.title(), None);
    }

    #[test]
    fn table_2_is_about_cifar_100_and_the_rest_about_cifar_10() {
        let groups = Experiment::by_dataset(&Experiment::of_paper(), Scale::Small, None);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0], (DatasetKind::Cifar100, vec![Experiment::Table2]));
        assert_eq!((groups[1].0, groups[1].1.len()), (DatasetKind::Cifar10, 9));
    }

    #[test]
    fn what_goes_beyond_the_paper_comes_first_in_a_report() {
        let all = [Experiment::Figure2, Experiment::Table2, Experiment::Beyond];
        let groups = Experiment::by_dataset(&all, Scale::Small, None);
        assert_eq!(groups[0].1[0], Experiment::Beyond);
    }

    #[test]
    fn on_one_data_set_the_same_table_is_made_once() {
        let groups = Experiment::by_dataset(&Experiment::of_paper(), Scale::Smoke, None);
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].1.iter().filter(|e| e.name().starts_with("table")).count(), 2);
        let table3 = Experiment::by_dataset(&[Experiment::Table3], Scale::Smoke, None);
        assert_eq!(table3[0].1, [Experiment::Table3]);
    }
}

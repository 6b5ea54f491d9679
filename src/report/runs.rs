//! A report of training runs, from what lies in their folders: verdicts, curves over epochs, evaluations, accuracy against norm,
//! pictures, and every setting. What a folder lacks is explained where it would stand.

mod curves;
mod distances;
pub mod evaluated;
mod evaluations;
mod folder;
mod settings;
mod verdicts;

pub use folder::Run;

use super::page::{Block, Fact, Figure, Note, Page, Section};
use std::path::PathBuf;

/// More runs are summed up in one sentence.
const MOST_SENTENCES: usize = 4;

/// Runs that a report is about, and what was no run.
pub struct Runs {
    /// In the order in which they were named.
    pub runs: Vec<Run>,
    /// One sentence for each folder that could not be read.
    pub refused: Vec<String>,
}

impl Runs {
    /// Reads the folders. Runs that would have the same name are called by their paths.
    pub fn open(paths: &[PathBuf]) -> Self {
        let (mut runs, mut refused) = (Vec::new(), Vec::new());
        for path in paths {
            match Run::open(path) {
                Ok(run) => runs.push(run),
                Err(error) => refused.push(error.to_string()),
            }
        }
        let names: Vec<String> = runs.iter().map(|run: &Run| run.name.clone()).collect();
        for run in &mut runs {
            if names.iter().filter(|name| **name == run.name).count() > 1 {
                run.name = run.path.display().to_string();
            }
        }
        Self { runs, refused }
    }

    /// The report.
    pub fn page(&self) -> Page {
        let groups = self.groups();
        let title = match self.runs.as_slice() {
            [run] => format!("Training run {}", run.name),
            runs => format!("{} training runs", runs.len()),
        };
        let mut summary: Vec<String> = Vec::new();
        if groups.len() > 1 {
            let names: Vec<&str> = groups.iter().map(|group| group[0].data_set.as_str()).collect();
            summary.push(format!(
                "These runs are of different data sets ({}); their numbers do not compare, so each data set has sections of \
                 its own.",
                names.join(", ")
            ));
        }
        match self.runs.len() {
            0..=MOST_SENTENCES => summary.extend(self.runs.iter().map(settings::sentence)),
            _ => summary.extend(groups.iter().map(|group| settings::sentence_of_many(group))),
        }
        let mut sections = Vec::new();
        if !self.refused.is_empty() {
            let note = |sentence: &String| Note {
                about: "left out".into(),
                figure: sentence.clone(),
                explanation: "the report is of the others".into(),
            };
            let blocks = vec![Block::Notes(self.refused.iter().map(note).collect())];
            sections.push(Section { id: "left-out".into(), title: "Left out".into(), text: vec![], blocks });
        }
        for group in &groups {
            let prefix = if groups.len() > 1 { format!("{}: ", group[0].data_set) } else { String::new() };
            sections.extend(sections_of(group, &prefix));
        }
        Page { title, summary, facts: self.facts(), sections }
    }

    fn facts(&self) -> Vec<Fact> {
        let folders = self.runs.iter().map(|run| Fact {
            name: format!("folder of {}", run.name),
            value: run.path.display().to_string(),
        });
        let version = Fact {
            name: "report written by".into(),
            value: format!("pgn-wgpu {}", env!("CARGO_PKG_VERSION")),
        };
        [version].into_iter().chain(folders).collect()
    }

    /// Runs on the same data set, in the order of their first.
    fn groups(&self) -> Vec<Vec<&Run>> {
        let mut groups: Vec<Vec<&Run>> = Vec::new();
        for run in &self.runs {
            match groups.iter_mut().find(|group| group[0].same_data(run)) {
                Some(group) => group.push(run),
                None => groups.push(vec![run]),
            }
        }
        groups
    }
}

/// The sections about runs on one data set.
fn sections_of(runs: &[&Run], prefix: &str) -> Vec<Section> {
    let section = |id: &str, title: &str, text: &[&str], blocks: Vec<Block>| Section {
        id: format!("{prefix}{id}"),
        title: format!("{prefix}{title}"),
        text: text.iter().map(|text| (*text).to_string()).collect(),
        blocks,
    };
    let figures = |figures: Vec<Figure>| figures.into_iter().map(Block::Figure).collect::<Vec<_>>();
    let mut overview = vec![Block::Table(settings::table(runs))];
    let notes: Vec<Note> = runs.iter().flat_map(|run| run.notes()).collect();
    if !notes.is_empty() {
        overview.push(Block::Notes(notes));
    }
    let mut sections = vec![section("runs", "Runs", &[], overview)];
    let of_verdicts = verdicts::blocks(runs);
    if !of_verdicts.is_empty() {
        sections.push(section("verdict", "Verdict", &[], of_verdicts));
    }
    let text = "Losses are cross-entropies. Benign accuracy and everything about the generator is measured after each \
                epoch on the validation images, which are not trained on, with the averaged weights.";
    sections.push(section("training", "Training", &[text], figures(curves::figures(runs))));
    sections.push(section("evaluation", "Evaluation", &[], evaluations::blocks(runs)));
    let (against_norm, warnings) = distances::figures(runs);
    if !against_norm.is_empty() {
        let mut blocks = figures(against_norm);
        blocks.extend((!warnings.is_empty()).then_some(Block::Notes(warnings)));
        sections.push(section("norm", "Accuracy against norm", &[], blocks));
    }
    let pictures: Vec<Block> =
        runs.iter().flat_map(|run| run.pictures.iter().cloned().map(Block::Picture)).collect();
    if !pictures.is_empty() {
        sections.push(section("images", "Images", &[], pictures));
    }
    let settings = runs.iter().map(|run| settings::block(run)).collect();
    sections.push(section("settings", "Settings", &["Everything that decides each run."], settings));
    sections
}

//! One file per kind of question; each experiment looks at trained runs and answers with a section of the report.

mod ablations;
mod attacks;
mod beyond;
mod curves;
mod equal_accuracy;
mod game;
mod matched;
mod seconds;
mod setting;
mod tables;
mod training;

use super::Experiment;
use super::curve::Spread;
use super::lab::{Found, Lab, Missing};
use crate::data::Dataset;
use crate::evaluation::report::paper_name;
use crate::report::{Block, Cell, Note, Section};
use crate::training::Method;

/// Looks at the runs that an experiment needs.
pub fn section(experiment: Experiment, lab: &Lab, dataset: &Dataset) -> Section {
    let mut section = match experiment {
        Experiment::Table2 | Experiment::Table3 => tables::table(experiment, lab, dataset),
        Experiment::Beyond => beyond::section(lab, dataset),
        Experiment::Table4 => attacks::table4(lab),
        Experiment::Figure2 => training::figure2(lab),
        Experiment::Figure3 => attacks::figure3(lab),
        Experiment::Figure4 => matched::figure4(lab),
        Experiment::Figure5 => curves::figure5(lab),
        Experiment::Figure6 => game::figure6(lab),
        Experiment::Figure7 => curves::figure7(lab),
        Experiment::Figure8 => ablations::figure8(lab),
    };
    if let Some(title) = experiment.title() {
        section.title = format!("{title}. {}", section.title);
    }
    section
}

/// The name of a series of one method at one width.
fn name_at_width(method: Method, width: f32) -> String {
    format!("{}, width {width}", paper_name(method.name()))
}

/// Mean and spread of what is there; the reason if nothing is.
fn cell(values: impl Iterator<Item = Found<f64>>, decimals: usize) -> Cell {
    let (mut present, mut reasons) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Ok(value) => present.push(value),
            Err(Missing(reason)) => reasons.push(reason),
        }
    }
    match Spread::of(&present) {
        Some(spread) => Cell {
            text: spread.text(decimals),
            value: Some(spread.mean),
            note: (!reasons.is_empty()).then(|| reasons.join("; ")),
        },
        None => Cell::missing(reasons.into_iter().next().unwrap_or_else(|| "nothing was measured".into())),
    }
}

/// What was found; the reasons for the rest go to `missing`.
fn present<T>(found: impl Iterator<Item = Found<T>>, missing: &mut Vec<Missing>) -> Vec<T> {
    found.filter_map(|found| found.map_err(|reason| missing.push(reason)).ok()).collect()
}

/// Appends what is missing, each reason once.
fn notes(section: &mut Section, missing: &[Missing]) {
    let mut reasons: Vec<&str> = Vec::new();
    for Missing(reason) in missing {
        if !reasons.contains(&reason.as_str()) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() {
        return;
    }
    let note = |reason: &&str| Note {
        about: section.id.clone(),
        figure: (*reason).to_string(),
        explanation: "what needs it is left out here".into(),
    };
    let notes = reasons.iter().map(note).collect();
    section.blocks.push(Block::Notes(notes));
}

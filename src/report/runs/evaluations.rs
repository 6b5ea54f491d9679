//! Evaluations: first benign accuracy, the verdict and the median of the smallest perturbations; then, folded away, all
//! measures in the layout of the paper's tables: measures down, runs across, then the paper's columns.

use super::super::budget;
use super::super::page::{Block, Cell, Note, Table};
use super::Run;
use crate::attacks::AttackOptions;
use crate::evaluation::Measure;
use crate::evaluation::report::{Report, RunReport, paper_name, shown};
use std::path::Path;

/// A table for each way in which `runs` were evaluated, with its warnings; or what to do if they were not.
pub fn blocks(runs: &[&Run]) -> Vec<Block> {
    let reports = merged(runs);
    if reports.is_empty() {
        let note = |run: &&Run| Note {
            about: run.name.clone(),
            figure: "there is no evaluation of it in its folder".into(),
            explanation: how_to(run),
        };
        return vec![Block::Notes(runs.iter().map(note).collect())];
    }
    let mut blocks = Vec::new();
    for report in &reports {
        let whole = table(report, runs);
        blocks.push(Block::Table(first(report, &whole)));
        blocks.push(Block::Folded(whole));
        let notes: Vec<Note> = report.runs.iter().flat_map(warnings).collect();
        if !notes.is_empty() {
            blocks.push(Block::Notes(notes));
        }
    }
    blocks
}

fn how_to(run: &Run) -> String {
    format!("`pgn-wgpu evaluate {}` makes one", run.path.display())
}

fn warnings(run: &RunReport) -> Vec<Note> {
    let warnings = run.warnings.iter();
    let note = |(figure, explanation)| Note { about: run.name.clone(), figure, explanation };
    warnings.map(|warning| note((warning.figure.clone(), warning.explanation.clone()))).collect()
}

/// Evaluations of the same images by the same attacks as one. What is said in one of them about another run of `runs` counts only if
/// it is of the weights that this run has now.
fn merged(runs: &[&Run]) -> Vec<Report> {
    let mut all: Vec<Report> = Vec::new();
    for mut report in runs.iter().flat_map(|run| &run.evaluations).cloned() {
        let stale = |row: &RunReport| {
            let own = runs.iter().find(|run| about(row, run)).and_then(|run| run.classifier.as_ref());
            own.is_some_and(|classifier| *classifier != row.classifier)
        };
        report.runs.retain(|row| !stale(row));
        let alike = |other: &&mut Report| {
            let what = |r: &Report| {
                (r.data_set.clone(), r.split.clone(), r.fingerprint.clone(), r.epsilon, r.attacks.clone())
            };
            what(other) == what(&report)
        };
        match all.iter_mut().find(alike) {
            None => all.push(report),
            Some(known) => {
                for run in &report.runs {
                    if !known.runs.iter().any(|other| other.model == run.model) {
                        known.runs.push(run.clone());
                    }
                }
                known.published = known.published.or(report.published);
            }
        }
    }
    all
}

/// Whether `report` is about `run`.
fn about(report: &RunReport, run: &Run) -> bool {
    let full = |path: &Path| std::fs::canonicalize(path).ok();
    let same_folder = || {
        let folder = full(Path::new(&report.model)).and_then(|file| Some(file.parent()?.to_path_buf()));
        folder.is_some() && folder == full(&run.path)
    };
    report.name == run.name || same_folder()
}

/// What a reader wants first, of the whole table.
fn first(report: &Report, whole: &Table) -> Table {
    let keys = report.keys();
    let rows = keys.iter().zip(&whole.rows).filter(|((key, _), _)| Measure::comes_first(key));
    Table {
        id: "evaluation-first".into(),
        title: format!("{} {} images of {}", report.images, report.split, report.data_set),
        caption: format!("{}.", report.legend_of_first()),
        head: whole.head.clone(),
        rows: rows.map(|(_, row)| row.clone()).collect(),
    }
}

fn table(report: &Report, runs: &[&Run]) -> Table {
    let absent: Vec<&&Run> =
        runs.iter().filter(|run| !report.runs.iter().any(|known| about(known, run))).collect();
    let published = report.published_columns();
    let mut head = vec!["measure".to_string()];
    head.extend(report.runs.iter().map(|run| format!("{} ({})", run.name, run.method)));
    head.extend(absent.iter().map(|run| run.name.clone()));
    let source = report.published.map_or("", |(data_set, _)| data_set);
    head.extend(published.iter().map(|row| format!("paper, {source}, {}", paper_name(row.method))));
    let mut rows = Vec::new();
    for (key, name) in report.keys() {
        let mut row = vec![Cell::text(name)];
        row.extend(report.runs.iter().map(|run| cell(run, key)));
        let not_evaluated = |run: &&&Run| {
            Cell::missing(format!(
                "{} is not in this evaluation; `pgn-wgpu evaluate` takes several runs",
                run.name
            ))
        };
        row.extend(absent.iter().map(not_evaluated));
        row.extend(published.iter().map(|column| match report.published(column, key) {
            Some(value) => Cell::number(value, 4),
            None => Cell::missing("The paper has no such number, or not under these settings"),
        }));
        rows.push(row);
    }
    Table {
        id: "evaluation".into(),
        title: "All measures, as in the paper's tables".into(),
        caption: format!(
            "{}. Attacks: {}. Measured on {} by pgn-wgpu {}.",
            report.legend(),
            attacks(report),
            report.device,
            report.version
        ),
        head,
        rows,
    }
}

/// Every attack with its budget.
fn attacks(report: &Report) -> String {
    let one = |options: &AttackOptions| format!("{} ({})", options.kind.title, budget::text(options));
    report.attacks.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn cell(run: &RunReport, key: &str) -> Cell {
    match run.measures.iter().find(|measure| measure.key == key) {
        None => Cell::missing(format!("Not measured for {}", run.name)),
        Some(measure) if measure.value.is_none() && Measure::comes_first(key) => Cell::missing(
            "At least half of the images withstood all attacks that look for the smallest perturbation",
        ),
        Some(measure) if measure.value.is_none() => Cell::missing("No image has a value"),
        Some(measure) => Cell { text: shown(measure), value: measure.value, note: None },
    }
}

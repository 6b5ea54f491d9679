//! Verdicts that lie in the folders of runs: a row for each run, norm, radius and version, with the warnings that put it in
//! doubt.

use super::super::page::{Block, Cell, Note, Table};
use super::Run;
use crate::evaluation::measures::QUICK_IN_WORDS;
use crate::executor::precision_in_words;
use crate::files;
use crate::integrity;
use crate::models::file::Model;
use crate::verdict::report::{FILE, LARGEST, Report};
use std::path::{Path, PathBuf};

/// The verdicts on these weights in the folders of a run, and a sentence for each file that cannot be believed or is about
/// something else.
pub fn kept(folder: &Path, model: &Model) -> (Vec<Report>, Vec<String>) {
    let (mut own, mut left_out) = (Vec::new(), Vec::new());
    let classifier = crate::evaluation::record::fingerprint_of_classifier(model);
    for path in paths(folder) {
        let read = files::read_at_most(&path, LARGEST).map_err(|error| error.to_string()).and_then(|bytes| {
            let report = integrity::from_json::<Report>(&bytes);
            report.map_err(|reason| format!("{} cannot be believed: {reason}", path.display()))
        });
        match read {
            Ok(report) if report.classifier == classifier => own.push(report),
            Ok(report) => left_out.push(format!(
                "{} is about {}, which has other weights than the run's final model",
                path.display(),
                report.model
            )),
            Err(problem) => left_out.push(problem),
        }
    }
    own.sort_by(|a, b| {
        let place = |report: &Report| (report.norm.flag(), report.version.name());
        place(a).cmp(&place(b)).then(a.epsilon.total_cmp(&b.epsilon))
    });
    (own, left_out)
}

/// `verdict.json` in the folders within a run's.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path().join(FILE))).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    paths
}

/// What a run's verdicts came to, as the end of a sentence about the run.
pub fn clause(run: &Run) -> String {
    let one = |verdict: &Report| {
        let doubt = if verdict.warnings.is_empty() { "" } else { ", in doubt" };
        format!(
            "; {:.2} % of {} {} images withstand the {} verdict within {} epsilon {}{}{doubt}",
            100.0 * verdict.robust_accuracy.value,
            verdict.images,
            verdict.split,
            verdict.version.name(),
            verdict.norm.name(),
            verdict.epsilon,
            precision_in_words(verdict.precision)
        )
    };
    run.verdicts.iter().map(one).collect()
}

/// A table of all verdicts on `runs`, and their warnings; nothing if there are none.
pub fn blocks(runs: &[&Run]) -> Vec<Block> {
    let all: Vec<(&Run, &Report)> =
        runs.iter().flat_map(|run| run.verdicts.iter().map(move |verdict| (*run, verdict))).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let mut rows: Vec<Vec<Cell>> = all.iter().map(|(run, verdict)| row(run, verdict)).collect();
    for run in runs.iter().filter(|run| run.verdicts.is_empty()) {
        let reason = format!("`pgn-wgpu verdict {}` judges it", run.path.display());
        let mut row = vec![Cell::text(&run.name)];
        row.resize(HEAD.len(), Cell::missing(reason));
        rows.push(row);
    }
    let table = Table {
        id: "verdicts".into(),
        title: "Robust accuracy by a fixed set of strong attacks".into(),
        caption: format!(
            "The share of the images that are classified correctly and withstand every attack of the set within the radius, \
             with its 95 % bootstrap interval. The quick version is {QUICK_IN_WORDS}; the full version is AutoAttack's \
             standard set."
        ),
        head: HEAD.map(str::to_string).to_vec(),
        rows,
    };
    let notes: Vec<Note> = all.iter().flat_map(|(run, verdict)| notes(run, verdict)).collect();
    let notes = (!notes.is_empty()).then_some(Block::Notes(notes));
    std::iter::once(Block::Table(table)).chain(notes).collect()
}

const HEAD: [&str; 10] = [
    "run",
    "robust accuracy",
    "norm",
    "epsilon",
    "version",
    "benign accuracy",
    "images",
    "seconds",
    "warnings",
    "measured on",
];

fn row(run: &Run, verdict: &Report) -> Vec<Cell> {
    let share = |text: String, value: f64| Cell { text, value: Some(value), note: None };
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    let robust = verdict.robust_accuracy;
    let interval =
        format!("{} [{:.2}, {:.2}]", percent(robust.value), 100.0 * robust.low, 100.0 * robust.high);
    let epsilon =
        Cell { text: verdict.epsilon.to_string(), value: Some(f64::from(verdict.epsilon)), note: None };
    vec![
        Cell::text(&run.name),
        share(interval, robust.value),
        Cell::text(verdict.norm.name()),
        epsilon,
        Cell::text(verdict.version.name()),
        share(percent(verdict.benign_accuracy), verdict.benign_accuracy),
        Cell::text(format!("{} {}", verdict.images, verdict.split)),
        Cell::number(verdict.attacks.iter().map(|attack| attack.seconds).sum(), 1),
        Cell::number(verdict.warnings.len() as f64, 0),
        Cell::text(format!("{} by pgn-wgpu {}", verdict.device, verdict.program)),
    ]
}

fn notes(run: &Run, verdict: &Report) -> Vec<Note> {
    let radius = format!("{}, {} {}", run.name, verdict.norm.name(), verdict.epsilon);
    let note = |(figure, explanation): (&String, &String)| Note {
        about: radius.clone(),
        figure: figure.clone(),
        explanation: explanation.clone(),
    };
    verdict.warnings.iter().map(|warning| note((&warning.figure, &warning.explanation))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::Norm;
    use crate::data::DatasetKind;
    use crate::evaluation::statistics::Estimate;
    use crate::program::precision::Precision;
    use crate::training::run::RunFolder;
    use crate::training::{Preset, TrainConfig};
    use crate::verdict::Version;
    use serde_json::Value;

    fn verdict(device: &str, precision: Precision) -> Report {
        Report {
            program: "1".into(),
            model: "m".into(),
            classifier: "c".into(),
            run: None,
            device: device.into(),
            precision,
            data_set: "d".into(),
            split: "test".into(),
            images: 10,
            norm: Norm::L2,
            epsilon: 0.5,
            version: Version::Quick,
            benign_accuracy: 0.75,
            robust_accuracy: Estimate { value: 0.5, low: 0.25, high: 0.75, images: 10 },
            attacks: Vec::new(),
            smallest: None,
            warnings: Vec::new(),
            robustbench: Value::Null,
        }
    }

    #[test]
    fn verdicts_say_on_what_and_in_which_precision_they_were_computed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        RunFolder::create(&path, &TrainConfig::preset(Preset::Small, DatasetKind::Digits)).unwrap();
        let mut run = Run::open(&path).unwrap();
        run.verdicts =
            vec![verdict("one", Precision::F32), verdict("other, mixed precision", Precision::Mixed)];
        let blocks = blocks(&[&run]);
        let [Block::Table(table)] = &blocks[..] else { panic!("a table") };
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()));
        let last: Vec<&str> = table.rows.iter().map(|row| row.last().unwrap().text.as_str()).collect();
        assert_eq!(last, ["one by pgn-wgpu 1", "other, mixed precision by pgn-wgpu 1"]);
        let clause = clause(&run);
        assert_eq!(clause.matches("epsilon 0.5, mixed precision").count(), 1, "{clause}");
    }
}

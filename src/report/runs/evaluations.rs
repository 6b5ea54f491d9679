//! Evaluations: first benign accuracy, the verdict and the median of the smallest perturbations; then, folded away, all
//! measures in the layout of the paper's tables: measures down, runs across, then the paper's columns. Where columns were
//! measured on several devices, in several precisions or by several versions, the last row says by which each.

use super::super::budget;
use super::super::page::{Block, Cell, Note, Table};
use super::Run;
use super::evaluated::computed_alike;
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
    for merged in &reports {
        let whole = table(merged, runs);
        blocks.push(Block::Table(first(&merged.report, &whole)));
        blocks.push(Block::Folded(whole));
        let notes: Vec<Note> = merged.report.runs.iter().flat_map(warnings).collect();
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

/// Evaluations of the same images by the same attacks as one.
struct Merged {
    /// The first of them, with the runs of all.
    report: Report,
    /// For each of its runs the evaluation that it comes from, without runs.
    from: Vec<Report>,
}

impl Merged {
    fn new(report: Report) -> Self {
        let from = vec![without_runs(&report); report.runs.len()];
        Self { report, from }
    }

    /// Adds the runs of another evaluation that are not there yet: a run counts once for each device and precision.
    fn add(&mut self, other: &Report) {
        for run in &other.runs {
            let mut known = self.report.runs.iter().zip(&self.from);
            if !known.any(|(own, from)| own.model == run.model && computed_alike(from, other)) {
                self.report.runs.push(run.clone());
                self.from.push(without_runs(other));
            }
        }
        self.report.published = self.report.published.or(other.published);
    }

    /// Whether its columns were not all measured alike.
    fn is_mixed(&self) -> bool {
        self.from.windows(2).any(|pair| measured_on(&pair[0]) != measured_on(&pair[1]))
    }

    /// The head of a run's column; it names the device if the run has several columns.
    fn head(&self, column: usize) -> String {
        let run = &self.report.runs[column];
        let columns = self.report.runs.iter().filter(|other| other.model == run.model).count();
        match columns {
            1 => format!("{} ({})", run.name, run.method),
            _ => format!("{} ({}), {}", run.name, run.method, self.from[column].device),
        }
    }

    /// The sentence about what measured it.
    fn caption(&self) -> String {
        match self.is_mixed() {
            true => "The last row says on what each column was measured.".to_string(),
            false => format!("Measured on {}.", measured_on(self.from.first().unwrap_or(&self.report))),
        }
    }
}

fn without_runs(report: &Report) -> Report {
    Report { runs: Vec::new(), ..report.clone() }
}

/// The device, with its precision unless that is 32 bits, and the version.
fn measured_on(report: &Report) -> String {
    format!("{} by pgn-wgpu {}", report.device, report.version)
}

/// All evaluations of `runs`. What is said in one of them about another run of `runs` counts only if it is of the weights that this
/// run has now.
fn merged(runs: &[&Run]) -> Vec<Merged> {
    let mut all: Vec<Merged> = Vec::new();
    for mut report in runs.iter().flat_map(|run| &run.evaluations).cloned() {
        let stale = |row: &RunReport| {
            let own = runs.iter().find(|run| about(row, run)).and_then(|run| run.classifier.as_ref());
            own.is_some_and(|classifier| *classifier != row.classifier)
        };
        report.runs.retain(|row| !stale(row));
        let alike = |other: &&mut Merged| {
            let what = |r: &Report| {
                (r.data_set.clone(), r.split.clone(), r.fingerprint.clone(), r.epsilon, r.attacks.clone())
            };
            what(&other.report) == what(&report)
        };
        match all.iter_mut().find(alike) {
            None => all.push(Merged::new(report)),
            Some(known) => known.add(&report),
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
    // After the measures comes what measured them.
    let last = whole.rows.iter().skip(keys.len());
    Table {
        id: "evaluation-first".into(),
        title: format!("{} {} images of {}", report.images, report.split, report.data_set),
        caption: format!("{}.", report.legend_of_first()),
        head: whole.head.clone(),
        rows: rows.map(|(_, row)| row).chain(last).cloned().collect(),
    }
}

fn table(merged: &Merged, runs: &[&Run]) -> Table {
    let report = &merged.report;
    let absent: Vec<&&Run> =
        runs.iter().filter(|run| !report.runs.iter().any(|known| about(known, run))).collect();
    let published = report.published_columns();
    let mut head = vec!["measure".to_string()];
    head.extend((0..report.runs.len()).map(|column| merged.head(column)));
    head.extend(absent.iter().map(|run| run.name.clone()));
    let source = report.published.map_or("", |(data_set, _)| data_set);
    head.extend(published.iter().map(|row| format!("paper, {source}, {}", paper_name(row.method))));
    let not_evaluated = |run: &&&Run| {
        Cell::missing(format!(
            "{} is not in this evaluation; `pgn-wgpu evaluate` takes several runs",
            run.name
        ))
    };
    let mut rows = Vec::new();
    for (key, name) in report.keys() {
        let mut row = vec![Cell::text(name)];
        row.extend(report.runs.iter().map(|run| cell(run, key)));
        row.extend(absent.iter().map(not_evaluated));
        row.extend(published.iter().map(|column| match report.published(column, key) {
            Some(value) => Cell::number(value, 4),
            None => Cell::missing("The paper has no such number, or not under these settings"),
        }));
        rows.push(row);
    }
    if merged.is_mixed() {
        let mut row = vec![Cell::text("measured on")];
        row.extend(merged.from.iter().map(|from| Cell::text(measured_on(from))));
        row.extend(absent.iter().map(not_evaluated));
        row.extend(published.iter().map(|_| Cell::missing("The paper does not say")));
        rows.push(row);
    }
    Table {
        id: "evaluation".into(),
        title: "All measures, as in the paper's tables".into(),
        caption: format!("{}. Attacks: {}. {}", report.legend(), attacks(report), merged.caption()),
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
        Some(measure) if measure.value.is_none() && Measure::comes_first(key) => {
            Cell::missing("At least half of the images withstood all minimum-norm attacks")
        }
        Some(measure) if measure.value.is_none() => Cell::missing("No image has a value"),
        Some(measure) => Cell { text: shown(measure), value: measure.value, note: None },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::attacks::Norm;
    use crate::data::DatasetKind;
    use crate::evaluation::measures::Unit;
    use crate::program::precision::Precision;
    use crate::training::run::RunFolder;
    use crate::training::{Preset, TrainConfig};
    use std::path::PathBuf;

    /// An evaluation of these runs.
    pub fn report(runs: &[&str]) -> Report {
        let measure = Measure {
            key: "benign-accuracy".into(),
            name: "benign accuracy".into(),
            unit: Unit::Share,
            value: Some(0.5),
            interval: None,
            images: Some(10),
        };
        let run = |name: &&str| RunReport {
            name: (*name).to_string(),
            model: format!("{name}/model.safetensors"),
            run: None,
            classifier: String::new(),
            method: "fgm".into(),
            measures: vec![measure.clone()],
            warnings: Vec::new(),
            corrupted: None,
        };
        Report {
            version: "1".into(),
            device: "GPU (Vulkan, 1)".into(),
            precision: Precision::F32,
            data_set: "d".into(),
            split: "test".into(),
            images: 10,
            fingerprint: "f".into(),
            epsilon: 0.5,
            norm: Norm::L2,
            attacks: Vec::new(),
            runs: runs.iter().map(run).collect(),
            published: None,
        }
    }

    fn mixed(runs: &[&str]) -> Report {
        let device = "GPU (Vulkan, 1, mixed precision)".to_string();
        Report { device, precision: Precision::Mixed, ..report(runs) }
    }

    /// A run of this name with these evaluations in its folder.
    fn run(folder: &Path, name: &str, evaluations: Vec<Report>) -> Run {
        let path: PathBuf = folder.join(name);
        RunFolder::create(&path, &TrainConfig::preset(Preset::Small, DatasetKind::Digits)).unwrap();
        let mut run = Run::open(&path).unwrap();
        run.evaluations = evaluations;
        run
    }

    /// The tables about runs.
    fn tables(runs: &[&Run]) -> Vec<Table> {
        let table = |block| match block {
            Block::Table(table) | Block::Folded(table) => Some(table),
            _ => None,
        };
        blocks(runs).into_iter().filter_map(table).collect()
    }

    #[test]
    fn a_table_of_several_precisions_says_which_column_is_of_which() {
        let folder = tempfile::tempdir().unwrap();
        let one = run(folder.path(), "one", vec![report(&["one"])]);
        let two = run(folder.path(), "two", vec![mixed(&["two"])]);
        let [first, whole] = &tables(&[&one, &two])[..] else { panic!("one evaluation") };
        assert_eq!(whole.head, ["measure", "one (fgm)", "two (fgm)"]);
        assert!(whole.caption.ends_with("The last row says on what each column was measured."), "{whole:?}");
        for table in [first, whole] {
            let last: Vec<&str> = table.rows.last().unwrap().iter().map(|cell| cell.text.as_str()).collect();
            assert_eq!(last[0], "measured on");
            assert_eq!(last[1], "GPU (Vulkan, 1) by pgn-wgpu 1");
            assert_eq!(last[2], "GPU (Vulkan, 1, mixed precision) by pgn-wgpu 1");
        }
    }

    #[test]
    fn a_run_that_was_measured_twice_has_a_column_for_each_precision() {
        let folder = tempfile::tempdir().unwrap();
        let one = run(folder.path(), "one", vec![report(&["one"]), mixed(&["one"]), report(&["one"])]);
        let whole = &tables(&[&one])[1];
        let heads = ["measure", "one (fgm), GPU (Vulkan, 1)", "one (fgm), GPU (Vulkan, 1, mixed precision)"];
        assert_eq!(whole.head, heads);
        assert!(whole.rows.iter().all(|row| row.len() == heads.len()));
    }

    #[test]
    fn a_table_of_one_device_names_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let both = mixed(&["one", "two"]);
        let one = run(folder.path(), "one", vec![both.clone()]);
        let two = run(folder.path(), "two", vec![both]);
        let whole = &tables(&[&one, &two])[1];
        assert!(
            whole.caption.ends_with("Measured on GPU (Vulkan, 1, mixed precision) by pgn-wgpu 1."),
            "{whole:?}"
        );
        assert_eq!(whole.rows.len(), 1);
    }
}

//! What lies in a run folder.

use super::super::page::{Note, Picture};
use super::evaluated::kept;
use super::verdicts;
use crate::data::{DatasetKind, batches_per_epoch};
use crate::evaluation::record::{LARGEST_RECORD, Record, fingerprint_of_classifier};
use crate::evaluation::report::Report;
use crate::evaluation::suite::records_in;
use crate::files;
use crate::integrity;
use crate::models::file::Model;
use crate::training::checkpoint::Head;
use crate::training::effects::without_effect;
use crate::training::metrics::{Metrics, weak_generator};
use crate::training::run::RunFolder;
use crate::training::{TrainConfig, TrainError};
use crate::verdict;
use std::path::{Path, PathBuf};

/// Larger files are no image sheets.
const LARGEST_PICTURE: u64 = 8 << 20;
/// A report is no album.
const MOST_PICTURES: usize = 8;

/// A run, as far as it got.
pub struct Run {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// Its settings.
    pub config: TrainConfig,
    /// The data set as its model calls it, or as the command line does.
    pub data_set: String,
    /// PNG files in the folder.
    pub pictures: Vec<Picture>,
    pub(super) metrics: Metrics,
    /// Steps of a whole epoch, if anything in the folder tells.
    steps_per_epoch: Option<u64>,
    /// What was found out about it, and about runs beside it.
    pub(super) evaluations: Vec<Report>,
    pub(super) records: Vec<Record>,
    /// Fingerprint of its final weights, if they can be read.
    pub(super) classifier: Option<String>,
    /// On its final weights.
    pub(super) verdicts: Vec<verdict::report::Report>,
    notes: Vec<(String, String)>,
}

impl Run {
    /// Reads a folder. What is missing or damaged becomes a note, unless it is the configuration.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let (folder, config) = RunFolder::open(path)?;
        let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let name =
            full.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into());
        let mut notes = Vec::new();
        let metrics = metrics(&folder, &config, &mut notes);
        let model = model(&folder, &mut notes);
        let (evaluations, damaged) = evaluations(path, &config, model.as_ref());
        let again = "it counts as not there; `pgn-wgpu evaluate` computes it again".to_string();
        notes.extend(damaged.into_iter().map(|problem| (problem, again.clone())));
        let data_set =
            model.as_ref().map_or_else(|| config.dataset.name().to_string(), |m| m.facts.dataset.clone());
        let (records, damaged) =
            model.as_ref().map_or_else(Default::default, |model| records_in(path).white_box(model));
        notes.extend(damaged.into_iter().map(|problem| (problem, again.clone())));
        let classifier = model.as_ref().map(fingerprint_of_classifier);
        let (verdicts, left_out) =
            model.as_ref().map_or_else(Default::default, |model| verdicts::kept(path, model));
        let without = "it is left out; `pgn-wgpu verdict` judges the run";
        notes.extend(left_out.into_iter().map(|problem| (problem, without.to_string())));
        let (path, pictures) = (path.to_path_buf(), pictures(path, &name));
        let steps_per_epoch = steps_per_epoch(&folder, &metrics);
        Ok(Self {
            name,
            path,
            config,
            data_set,
            pictures,
            metrics,
            steps_per_epoch,
            evaluations,
            records,
            classifier,
            verdicts,
            notes,
        })
    }

    /// Whether the numbers of two runs may stand side by side.
    pub fn same_data(&self, other: &Self) -> bool {
        let (own, its) = (&self.config, &other.config);
        own.dataset == its.dataset
            && match own.dataset {
                DatasetKind::Folder | DatasetKind::Npy => own.data == its.data,
                // Every set in the format of MNIST is of this kind.
                DatasetKind::Mnist => own.data == its.data || self.data_set == other.data_set,
                _ => true,
            }
    }

    /// Epochs done; the last one counts in part if `max-steps` has cut it short. `None` if the number of steps of an epoch is
    /// unknown.
    pub(super) fn epochs_done(&self) -> Option<f64> {
        self.metrics.epochs.last().map_or(Some(0.0), |last| self.epochs_at(last.step, last.epoch))
    }

    /// How many epochs are done after this step of an epoch (from 0), the last step that is recorded of it. `None` if `max-steps`
    /// may have cut the epoch short and the number of its steps is unknown.
    pub(super) fn epochs_at(&self, step: u64, epoch: u32) -> Option<f64> {
        let (begin, end) = (f64::from(epoch), f64::from(epoch) + 1.0);
        match self.steps_per_epoch {
            Some(steps) => Some((step as f64 / steps as f64).clamp(begin, end)),
            None => (self.config.max_steps != Some(step)).then_some(end),
        }
    }

    /// How far it is: `1.25 of 80 epochs`.
    pub(super) fn how_far(&self) -> String {
        match self.epochs_done() {
            Some(done) => format!("{} of {} epochs", decimal(done), self.config.epochs),
            None => format!("{} steps", self.metrics.epochs.last().map_or(0, |last| last.step)),
        }
    }

    /// What the reader must know before believing the curves.
    pub fn notes(&self) -> Vec<Note> {
        let mut all = self.notes.clone();
        if self.metrics.unreadable > 0 {
            let figure = match self.metrics.unreadable {
                1 => "1 line of metrics.jsonl is damaged".to_string(),
                lines => format!("{lines} lines of metrics.jsonl are damaged"),
            };
            all.push((figure, "the curves are without what stood there".to_string()));
        }
        if self.metrics.repeated > 0 {
            let figure = match self.metrics.repeated {
                1 => "1 line of metrics.jsonl repeats an earlier one".to_string(),
                lines => format!("{lines} lines of metrics.jsonl repeat earlier ones"),
            };
            all.push((figure, "the curves have each once".to_string()));
        }
        if self.metrics.cut_off {
            let figure = "the last line of metrics.jsonl is cut off".to_string();
            all.push((
                figure,
                "the curves are without it; a run in training may be writing it now".to_string(),
            ));
        }
        let unfinished = self.epochs_done().is_some_and(|done| done < f64::from(self.config.epochs));
        if unfinished && self.config.max_steps.is_none() {
            let figure = format!("{} are done", self.how_far());
            let remedy = format!("go on with `pgn-wgpu train --resume {}`", self.path.display());
            all.push((figure, remedy));
        }
        if let Some(overfitted) = self.metrics.robust().1 {
            let way = against_overfitting(&self.config);
            all.push((
                overfitted,
                format!("checkpoints/best-robust.safetensors is from before; train with {way}"),
            ));
        }
        if let Some(epoch) = self.metrics.epochs.last()
            && let (Some(loss), Some(fgm_loss)) = (epoch.generator_loss, epoch.fgm_loss)
            && self.config.method.generator
            && let Some((figure, remedy)) = weak_generator(&self.config, loss, fgm_loss)
        {
            all.push((figure, remedy));
        }
        let note = |(figure, explanation)| Note { about: self.name.clone(), figure, explanation };
        all.into_iter().map(note).collect()
    }
}

/// The metrics of a run as far as they can be believed. What is wrong with them is added to `notes`.
fn metrics(folder: &RunFolder, config: &TrainConfig, notes: &mut Vec<(String, String)>) -> Metrics {
    let mut without_curves = |problem: String| {
        notes.push((problem, "there are no curves of this run".to_string()));
        Metrics::default()
    };
    let metrics =
        Metrics::load(&folder.metrics_path()).unwrap_or_else(|error| without_curves(error.to_string()));
    let metrics = match metrics.of_another_run(&config.fingerprint()) {
        Some(problem) => without_curves(format!("metrics.jsonl {problem}")),
        None => metrics,
    };
    let progress = folder.progress().ok().flatten().unwrap_or_default();
    if let Some(missing) = metrics.missing(&progress).filter(|_| progress.step > 0) {
        notes.push((missing, "the curves are without it".to_string()));
    }
    metrics
}

/// What helps a run with `config` against catastrophic overfitting, by the options that it has.
fn against_overfitting(config: &TrainConfig) -> &'static str {
    let has = |option: &str| without_effect(option, config).is_none();
    match (has("iterations"), has("epsilon")) {
        (true, _) => "more `iterations`",
        (false, true) => "a smaller `epsilon`, or with a `method` of more steps, such as pgd",
        (false, false) => "a higher `c-l`, or with a `method` of more steps, such as pgd",
    }
}

/// The final model. What is wrong with it is added to `notes`, unless it is only not there, because the training has not ended.
fn model(folder: &RunFolder, notes: &mut Vec<(String, String)>) -> Option<Model> {
    match Model::load(&folder.model(), None) {
        Ok(model) => {
            if let Some(done) = folder.progress().ok().flatten()
                && let Some(own) = folder.other_step_of_model(&done)
            {
                let done = done.step;
                let figure =
                    format!("model.safetensors has the networks after {own} steps, and {done} are done");
                let remedy =
                    format!("`pgn-wgpu train --resume {}` brings it up to date", folder.path().display());
                notes.push((figure, remedy));
            }
            Some(model)
        }
        Err(error) if folder.model().exists() => {
            notes.push((error.to_string(), "there is no accuracy against norm of this run".to_string()));
            None
        }
        Err(_) => None,
    }
}

/// The evaluations of a run's final model, and a sentence for each file that cannot be believed or is of another run.
fn evaluations(path: &Path, config: &TrainConfig, model: Option<&Model>) -> (Vec<Report>, Vec<String>) {
    let (written, mut damaged) = match evaluation(path) {
        Ok(Some(written)) if written.is_of_others_alone(&config.fingerprint()) => {
            (None, vec!["evaluation.json is of another run".to_string()])
        }
        Ok(written) => (written, Vec::new()),
        Err(problem) => (None, vec![problem]),
    };
    // What is kept knows its weights, which evaluation.json does not.
    match model.and_then(|model| kept(path, model)) {
        Some((kept, problems)) => {
            damaged.extend(problems);
            (kept, damaged)
        }
        None => (written.into_iter().collect(), damaged),
    }
}

/// Steps of a whole epoch: by the end of the first one if steps have followed it, else by the images that the run learns from.
fn steps_per_epoch(folder: &RunFolder, metrics: &Metrics) -> Option<u64> {
    let last = metrics.steps.last().map_or(0, |step| step.step);
    let first = metrics.epochs.first().filter(|first| first.step < last);
    let measured = first.map(|first| first.step / (u64::from(first.epoch) + 1));
    let planned = || {
        let paths = [folder.last_checkpoint(), folder.previous_checkpoint()];
        let head = paths.iter().find_map(|path| Head::load(path).ok())?;
        Some(u64::from(batches_per_epoch(head.data.images, head.config.batch_size)))
    };
    measured.filter(|steps| *steps > 0).or_else(planned).filter(|steps| *steps > 0)
}

/// A number with two decimals at most.
pub(super) fn decimal(number: f64) -> String {
    ((100.0 * number).round() / 100.0).to_string()
}

/// The evaluation that was written to the folder, if there is one.
fn evaluation(folder: &Path) -> Result<Option<Report>, String> {
    let path = folder.join("evaluation.json");
    if !path.exists() {
        return Ok(None);
    }
    let bytes = files::read_at_most(&path, LARGEST_RECORD).map_err(|error| error.to_string())?;
    let report = integrity::from_json(&bytes);
    report.map(Some).map_err(|reason| format!("{} cannot be believed: {reason}", path.display()))
}

fn pictures(folder: &Path, run: &str) -> Vec<Picture> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| files::has_ending(path, "png"));
    paths.sort();
    let read = |path: &PathBuf| {
        let png = files::read_at_most(path, LARGEST_PICTURE).ok()?;
        let file = path.file_name()?.to_string_lossy().into_owned();
        let caption = format!("{file} in the folder of {run}.");
        png.starts_with(b"\x89PNG").then(|| Picture {
            id: format!("{run}-{file}"),
            title: format!("{run}: {file}"),
            caption,
            png,
        })
    };
    paths.iter().filter_map(read).take(MOST_PICTURES).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::page::Series;
    use super::super::{curves, settings};
    use super::*;
    use crate::training::record::Record as Line;
    use crate::training::{EpochRecord, Method, Preset, StepRecord};

    #[test]
    fn a_remedy_against_overfitting_names_what_the_run_has() {
        let of = |method| {
            let preset = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
            against_overfitting(&TrainConfig { method, ..preset })
        };
        assert_eq!(of(Method::PGD), "more `iterations`");
        assert!(of(Method::FAST).starts_with("a smaller `epsilon`"));
        assert!(of(Method::PGN).starts_with("a higher `c-l`"));
    }

    /// A run of these epochs, 12 steps each but the last, which ends with step `steps`; its metrics begin at the epoch `from`.
    fn cut_run(folder: &Path, steps: u64, from: u32) -> Run {
        let config = TrainConfig {
            max_steps: Some(steps),
            epochs: 80,
            ..TrainConfig::preset(Preset::Small, DatasetKind::Digits)
        };
        let run = RunFolder::create(&folder.join(format!("{steps}-from-{from}")), &config).unwrap();
        let mut lines = Vec::new();
        for epoch in from..steps.div_ceil(12) as u32 {
            let [first, last] = [u64::from(epoch) * 12 + 1, steps.min(u64::from(epoch) * 12 + 12)];
            let of = |step| StepRecord { step, epoch, loss: 1.0, ..Default::default() };
            lines.extend((first..=last).map(|step| Line::Step(of(step))));
            let benign_accuracy = Some(0.5);
            lines.push(Line::Epoch(EpochRecord { step: last, epoch, benign_accuracy, ..Default::default() }));
        }
        let text: String = lines.iter().map(|line| integrity::to_line(line) + "\n").collect();
        std::fs::write(run.metrics_path(), text).unwrap();
        Run::open(run.path()).unwrap()
    }

    #[test]
    fn an_epoch_that_max_steps_has_cut_counts_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let run = cut_run(folder.path(), 15, 0);
        assert_eq!((run.epochs_done(), run.how_far()), (Some(1.25), "1.25 of 80 epochs".to_string()));
        assert!(settings::sentence(&run).contains(", 1.25 of 80 epochs; "), "{}", settings::sentence(&run));
        let table = settings::table(&[&run]);
        let column = table.head.iter().position(|head| head == "epochs done").unwrap();
        assert_eq!((&*table.rows[0][column].text, table.rows[0][column].value), ("1.25", Some(1.25)));
        let places = |series: &Series| series.points.iter().map(|point| point.x).collect::<Vec<_>>();
        for id in ["loss", "benign-accuracy"] {
            let figures = curves::figures(&[&run]);
            let figure = figures.iter().find(|figure| figure.id == id).unwrap();
            assert_eq!(places(&figure.series[0]), [1.0, 1.25], "{id}");
        }
        assert!(run.notes().iter().all(|note| !note.figure.contains("epochs are done")), "it is as wanted");
        assert_eq!(cut_run(folder.path(), 24, 0).how_far(), "2 of 80 epochs");
    }

    #[test]
    fn steps_are_told_where_nobody_knows_how_long_an_epoch_is() {
        let folder = tempfile::tempdir().unwrap();
        for run in [cut_run(folder.path(), 7, 0), cut_run(folder.path(), 27, 2)] {
            assert_eq!(
                (run.epochs_done(), run.how_far()),
                (None, format!("{} steps", run.config.max_steps.unwrap()))
            );
            let table = settings::table(&[&run]);
            let cell = &table.rows[0][table.head.iter().position(|head| head == "epochs done").unwrap()];
            assert!(cell.text.is_empty() && cell.note.is_some(), "{cell:?}");
        }
    }

    #[test]
    fn sets_of_one_format_in_different_folders_are_different_data() {
        let folder = tempfile::tempdir().unwrap();
        let run = |name: &str, kind, data: &str| {
            let config = TrainConfig { data: Some(data.into()), ..TrainConfig::preset(Preset::Small, kind) };
            RunFolder::create(&folder.path().join(name), &config).unwrap();
            let mut run = Run::open(&folder.path().join(name)).unwrap();
            run.data_set = format!("{data} (IDX)");
            run
        };
        for kind in [DatasetKind::Mnist, DatasetKind::Folder, DatasetKind::Npy] {
            let of = |name: &str, data| run(&format!("{}-{name}", kind.name()), kind, data);
            let (one, two, again) = (of("one", "letters"), of("two", "clothes"), of("again", "letters"));
            assert!(!one.same_data(&two) && one.same_data(&again), "{kind:?}");
        }
        let (one, two) = (run("one", DatasetKind::Cifar10, "a"), run("two", DatasetKind::Cifar10, "b"));
        assert!(one.same_data(&two), "wherever it lies");
    }
}

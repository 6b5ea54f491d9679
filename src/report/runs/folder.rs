//! What lies in a run folder.

use super::super::page::{Note, Picture};
use super::evaluated::kept;
use super::verdicts;
use crate::data::DatasetKind;
use crate::evaluation::record::{LARGEST_RECORD, Record, fingerprint_of_classifier};
use crate::evaluation::report::Report;
use crate::evaluation::suite::records_in;
use crate::files;
use crate::integrity;
use crate::models::file::Model;
use crate::training::metrics::Metrics;
use crate::training::run::RunFolder;
use crate::training::{TrainConfig, TrainError};
use crate::verdict;
use std::path::{Path, PathBuf};

/// Larger files are no image sheets.
const LARGEST_PICTURE: u64 = 8 << 20;
/// A report is no album.
const MOST_PICTURES: usize = 8;
/// Losses that are printed alike are alike.
const SAME_LOSS: f64 = 1e-3;

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
        let metrics = match Metrics::load(&folder.metrics_path()) {
            Ok(metrics) => metrics,
            Err(error) => {
                notes.push((error.to_string(), "there are no curves of this run".to_string()));
                Metrics::default()
            }
        };
        let metrics = match metrics.of_another_run(&config.fingerprint()) {
            Some(problem) => {
                notes.push((
                    format!("metrics.jsonl {problem}"),
                    "there are no curves of this run".to_string(),
                ));
                Metrics::default()
            }
            None => metrics,
        };
        let progress = folder.progress().ok().flatten().unwrap_or_default();
        if let Some(missing) = metrics.missing(&progress).filter(|_| progress.step > 0) {
            notes.push((missing, "the curves are without it".to_string()));
        }
        let model = match Model::load(&folder.model(), None) {
            Ok(model) => Some(model),
            Err(error) if folder.model().exists() => {
                notes.push((error.to_string(), "there is no accuracy against norm of this run".to_string()));
                None
            }
            // Its training has not ended yet.
            Err(_) => None,
        };
        // What is kept knows its weights, which evaluation.json does not.
        let again = "it counts as not there; `pgn-wgpu evaluate` computes it again".to_string();
        let (written, mut damaged) = match evaluation(path) {
            Ok(Some(written)) if written.is_of_others_alone(&config.fingerprint()) => {
                (None, vec!["evaluation.json is of another run".to_string()])
            }
            Ok(written) => (written, Vec::new()),
            Err(problem) => (None, vec![problem]),
        };
        let evaluations = match model.as_ref().and_then(|model| kept(path, model)) {
            Some((kept, problems)) => {
                damaged.extend(problems);
                kept
            }
            None => written.into_iter().collect(),
        };
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
        Ok(Self {
            name,
            path,
            config,
            data_set,
            pictures,
            metrics,
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

    /// Epochs that have ended.
    pub(super) fn epochs_done(&self) -> u32 {
        self.metrics.epochs.last().map_or(0, |epoch| epoch.epoch + 1)
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
        let (done, wanted) = (self.epochs_done(), self.config.epochs);
        if done < wanted && self.config.max_steps.is_none() {
            let figure = format!("{done} of {wanted} epochs are done");
            let remedy = format!("go on with `pgn-wgpu train --resume {}`", self.path.display());
            all.push((figure, remedy));
        }
        if let Some(overfitted) = self.metrics.robust().1 {
            let remedy = "checkpoints/best-robust.safetensors is from before; train with `random-start` or more steps of the \
                          attack";
            all.push((overfitted, remedy.to_string()));
        }
        if let Some(epoch) = self.metrics.epochs.last()
            && let (Some(own), Some(fgm)) = (epoch.generator_loss, epoch.fgm_loss)
            && self.config.method.generator
            && own < fgm - SAME_LOSS
        {
            let figure = format!("the generator does less than FGM at its norm ({own:.3} < {fgm:.3})");
            let remedy = "it has not learned to attack; train longer, raise `generator-lr`, or lower `c-l`";
            all.push((figure, remedy.to_string()));
        }
        let note = |(figure, explanation)| Note { about: self.name.clone(), figure, explanation };
        all.into_iter().map(note).collect()
    }
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
    use super::*;
    use crate::training::Preset;

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

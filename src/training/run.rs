//! The run folder: `config.toml` (enough to repeat the run), `metrics.jsonl`, `checkpoints/`, `model.safetensors`,
//! `failed.txt` if its last attempt failed, and the lock of the process that trains in it.
//!
//! Nothing that cost training time is ever lost here: the checkpoint before the last one is kept until the next is durable,
//! a folder without a checkpoint is not trained over, and what cannot be read is kept aside. The best networks of an epoch that no
//! checkpoint has yet are in a file of their own until the next checkpoint: if the run is killed before that, it goes on from
//! before that epoch.

use super::TrainError;
use super::checkpoint::{Checkpoint, Head, Progress};
use super::config::{Difference, TrainConfig};
use super::lock::RunLock;
use super::metrics::MetricsFile;
use super::toml_text::from_toml;
use crate::files::{self, Pending, file_error, has_ending};
use crate::integrity::{self, EMPTY_SEAL, Seal};
use crate::models::file::{Facts, Model};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of the largest configuration that is read.
pub const LARGEST_CONFIG: u64 = 1 << 20;
/// The folder of a run that holds its checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// The name that a last checkpoint gets that could not be read.
pub const SET_ASIDE: &str = "damaged.safetensors";
/// Names of the folder's own files, beside those in `checkpoints`.
const OWN_FILES: [&str; 6] =
    ["config.toml", "metrics.jsonl", "metrics.damaged.jsonl", "model.safetensors", "failed.txt", "lock"];

/// Networks of an earlier epoch that a run keeps because they were the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// In benign accuracy.
    Benign,
    /// In accuracy under PGD.
    Robust,
}

impl Best {
    const ALL: [Self; 2] = [Self::Benign, Self::Robust];

    /// Its file's name without the ending.
    fn name(self) -> &'static str {
        match self {
            Self::Benign => "best",
            Self::Robust => "best-robust",
        }
    }

    /// Their epoch, from 0, as a checkpoint with `progress` knows it.
    fn epoch(self, progress: &Progress) -> Option<u32> {
        match self {
            Self::Benign => progress.best_epoch,
            Self::Robust => progress.best_robust.map(|best| best.epoch),
        }
    }
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held while this process trains in it, until the last clone is gone.
    lock: Option<Arc<RunLock>>,
}

impl RunFolder {
    /// A new run in `path`, which must not hold one already; locked.
    pub fn create(path: &Path, config: &TrainConfig) -> Result<Self, TrainError> {
        let mut folder = Self { path: path.to_path_buf(), lock: None };
        folder.check_unused()?;
        let text = folder.config_text(config)?;
        files::create_folder(&path.join(CHECKPOINTS))?;
        folder.lock()?;
        // Somebody may have been faster.
        folder.check_unused()?;
        files::write(&folder.config_path(), text.as_bytes())?;
        Ok(folder)
    }

    /// Refuses a folder with any of a run's files: a stray checkpoint would pass for this run's.
    fn check_unused(&self) -> Result<(), TrainError> {
        match self.config_path().exists() || !self.remains().is_empty() {
            true => {
                Err(self.wrong("holds a run already; continue it with `resume`, or choose another `out`"))
            }
            false => Ok(()),
        }
    }

    /// Refuses a place in which no new run can be made.
    pub fn check_new(path: &Path) -> Result<(), TrainError> {
        Self { path: path.to_path_buf(), lock: None }.check_unused()
    }

    /// Whether there is a run in `path`.
    pub fn exists(path: &Path) -> bool {
        path.join("config.toml").exists()
    }

    /// The files that training leaves in the folder, without its configuration.
    fn remains(&self) -> Vec<PathBuf> {
        let files = [
            self.metrics_path(),
            self.model(),
            self.last_checkpoint(),
            self.previous_checkpoint(),
            self.best_model(),
            self.best_robust_model(),
        ];
        let waiting = Best::ALL.into_iter().flat_map(|best| self.waiting(best));
        files.into_iter().filter(|file| file.exists()).chain(waiting).collect()
    }

    /// Takes the folder's lock, if this does not have it yet, and removes what a killed process left half written.
    ///
    /// # Errors
    /// [`TrainError::Busy`] if another process trains in it.
    pub fn lock(&mut self) -> Result<(), TrainError> {
        if self.lock.is_none() {
            self.lock = Some(Arc::new(RunLock::take(&self.path)?));
            files::remove_leftovers(&self.path, Duration::ZERO, |target| OWN_FILES.contains(&target));
            files::remove_leftovers(&self.checkpoints(), Duration::ZERO, |_| true);
        }
        Ok(())
    }

    /// Makes sure that this process still trains in the folder.
    ///
    /// # Errors
    /// [`TrainError::TakenOver`] if another one has taken it over.
    pub fn check_lock(&self) -> Result<(), TrainError> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.check())
    }

    /// The same at most once a second, for what is written at every step.
    ///
    /// # Errors
    /// As [`check_lock`](Self::check_lock).
    pub fn check_lock_each_second(&self) -> Result<(), TrainError> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.check_each_second())
    }

    /// An existing run and its configuration.
    pub fn open(path: &Path) -> Result<(Self, TrainConfig), TrainError> {
        let folder = Self { path: path.to_path_buf(), lock: None };
        if !Self::exists(path) {
            return Err(folder.wrong("is no run folder (it has no config.toml); check the path"));
        }
        let bytes = files::read_at_most(&folder.config_path(), LARGEST_CONFIG)?;
        let config: TrainConfig = from_toml(&String::from_utf8_lossy(&bytes), &folder.config_path())?;
        match integrity::check(&bytes) {
            Seal::Whole => Ok((folder, config)),
            Seal::Damaged => Err(folder.edited(&config)),
            Seal::Absent => Err(TrainError::Run {
                path: folder.config_path(),
                problem: format!(
                    "has no checksum: another version of pgn-wgpu wrote it, or somebody edited it; start a new run with \
                     `config` {} and another `out`",
                    folder.config_path().display()
                ),
            }),
        }
    }

    /// What is wrong with a `config.toml` whose checksum does not fit.
    fn edited(&self, config: &TrainConfig) -> TrainError {
        let head =
            [self.last_checkpoint(), self.previous_checkpoint()].iter().find_map(|p| Head::load(p).ok());
        let difference = head.and_then(|head| config.difference(&head.config, &["kernels"]));
        let what = match difference {
            Some(Difference { key, first, second }) => {
                format!("{key} is {first} there and {second} in the checkpoint; put the old value back")
            }
            None => "its checksum does not fit; put the old text back".to_string(),
        };
        let path = self.config_path();
        let problem = format!(
            "was edited or damaged after the run wrote it: {what}, or copy it and start a new run with `config` COPY and another `out`"
        );
        TrainError::Run { path, problem }
    }

    /// Writes the resolved configuration.
    pub fn write_config(&self, config: &TrainConfig) -> Result<(), TrainError> {
        files::write(&self.config_path(), self.config_text(config)?.as_bytes())?;
        Ok(())
    }

    fn config_text(&self, config: &TrainConfig) -> Result<String, TrainError> {
        // A path that is no Unicode text has no place in TOML.
        let text = toml::to_string(config).map_err(|e| TrainError::Run {
            path: self.config_path(),
            problem: format!("cannot hold this configuration ({e}); rename the file or folder at fault"),
        })?;
        let head = "# The resolved configuration of this run; `pgn-wgpu train --config` with this file repeats it.\n\
                    # To change something, edit a copy: the checksum tells that this is what the run was trained with.\n";
        let mut bytes = format!("{head}# {EMPTY_SEAL}\n{text}").into_bytes();
        integrity::seal(&mut bytes);
        Ok(String::from_utf8(bytes).expect("digits took the place of digits"))
    }

    /// The first unused folder `runs/<name>`, `runs/<name>-2`, ….
    pub fn unused(name: &str) -> PathBuf {
        let candidates = (1..)
            .map(|i| Path::new("runs").join(if i == 1 { name.to_string() } else { format!("{name}-{i}") }));
        candidates.into_iter().find(|path| !path.exists()).expect("numbers do not end")
    }

    fn wrong(&self, problem: &str) -> TrainError {
        TrainError::Run { path: self.path.clone(), problem: problem.to_string() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The last checkpoint.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.checkpoints().join("last.safetensors")
    }

    /// The checkpoint before the last one.
    pub fn previous_checkpoint(&self) -> PathBuf {
        self.checkpoints().join("previous.safetensors")
    }

    /// The best networks that the last checkpoint knows. In a run that `max-steps` has ended before its first epoch was measured
    /// they are the last ones.
    pub fn best(&self, best: Best) -> PathBuf {
        self.checkpoints().join(format!("{}.safetensors", best.name()))
    }

    /// The model with the best validation accuracy.
    pub fn best_model(&self) -> PathBuf {
        self.best(Best::Benign)
    }

    /// The model with the best accuracy under PGD on validation images, if that is measured.
    pub fn best_robust_model(&self) -> PathBuf {
        self.best(Best::Robust)
    }

    /// Where the best networks, those of the epoch `epoch` from 0, wait for a checkpoint that knows of them. Until then the run
    /// would go on from before that epoch.
    pub fn waiting_best(&self, best: Best, epoch: u32) -> PathBuf {
        self.checkpoints().join(format!("{}.{}", best.name(), kept_name(epoch + 1)))
    }

    /// All such files.
    fn waiting(&self, best: Best) -> Vec<PathBuf> {
        let begin = format!("{}.epoch-", best.name());
        let waits = |path: &PathBuf| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            name.starts_with(&begin) && has_ending(path, "safetensors")
        };
        let entries = fs::read_dir(self.checkpoints()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(waits).collect()
    }

    /// Removes the networks that wait, but not those of the epoch `but`.
    pub fn drop_waiting(&self, best: Best, but: Option<u32>) {
        let kept = but.map(|epoch| self.waiting_best(best, epoch));
        for path in self.waiting(best).iter().filter(|path| Some(*path) != kept.as_ref()) {
            // A file that cannot be removed does no harm: that epoch writes it again before it is used.
            let _ = fs::remove_file(path);
        }
    }

    /// Moves the best networks that the checkpoint with `progress` knows to their places, and removes the other waiting files,
    /// which are of steps that this checkpoint does not have.
    ///
    /// # Errors
    /// If a file cannot be moved.
    pub fn settle_best(&self, progress: &Progress) -> Result<(), TrainError> {
        for best in Best::ALL {
            if let Some(waiting) = best.epoch(progress).map(|epoch| self.waiting_best(best, epoch))
                && waiting.exists()
            {
                files::rename(&waiting, &self.best(best))?;
            }
            self.drop_waiting(best, None);
        }
        Ok(())
    }

    /// The model as it was after so many epochs, if the run keeps it.
    pub fn kept_model(&self, epochs: u32) -> PathBuf {
        self.checkpoints().join(kept_name(epochs))
    }

    /// The final model.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The folder of TensorBoard's event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The metrics file.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// What the last checkpoint that can be read says of itself; `None` before the first.
    pub fn head(&self) -> Result<Option<Head>, TrainError> {
        let paths = [self.last_checkpoint(), self.previous_checkpoint()];
        let mut heads = paths.iter().filter(|path| path.exists()).map(|path| Head::load(path));
        match (heads.next(), heads.next()) {
            (None, _) => Ok(None),
            (Some(Err(_)), Some(Ok(head))) => Ok(Some(head)),
            (Some(head), _) => head.map(Some),
        }
    }

    /// How far the run was at that checkpoint.
    pub fn progress(&self) -> Result<Option<Progress>, TrainError> {
        Ok(self.head()?.map(|head| head.progress))
    }

    /// The checkpoint to go on from.
    ///
    /// # Errors
    /// If no checkpoint is whole, or there is none although the run has left other files: to begin anew would overwrite them.
    pub fn latest(&self) -> Result<Latest, TrainError> {
        let (last, previous) = (self.last_checkpoint(), self.previous_checkpoint());
        if !last.exists() && !previous.exists() {
            return match self.remains().first() {
                None => Ok(Latest::default()),
                Some(file) => Err(self.wrong(&format!(
                    "has no checkpoint to go on from, but {}, which a new start would overwrite; start from its weights with \
                     `from` MODEL, or anew with another `out`",
                    file.display()
                ))),
            };
        }
        let problem = match Checkpoint::load(&last) {
            Ok(checkpoint) => {
                return Ok(Latest { checkpoint: Some(checkpoint), path: last, fallback: None });
            }
            Err(problem) => problem,
        };
        match Checkpoint::load(&previous) {
            Ok(checkpoint) => {
                let step = checkpoint.head.progress.step;
                let why = if last.exists() { problem.to_string() } else { format!("{} is missing", last.display()) };
                let best = match self.best_model().exists() {
                    true => "; the best networks that it kept may be of steps that it does again",
                    false => "",
                };
                let fallback =
                    Some(format!("{why}; the run goes on from the checkpoint before it, at step {step}{best}"));
                Ok(Latest { checkpoint: Some(checkpoint), path: previous, fallback })
            }
            Err(_) if !previous.exists() => Err(problem),
            Err(second) => Err(self.wrong(&format!(
                "has no whole checkpoint ({problem}; {second}); start from the weights of its best model with `from` {}",
                self.best_model().display()
            ))),
        }
    }

    /// Writes a checkpoint. The one before it stays until this one is durable and was read back.
    pub fn save_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), TrainError> {
        self.check_lock()?;
        let last = self.last_checkpoint();
        let bytes = checkpoint.into_bytes().map_err(|refused| TrainError::Run {
            path: last.clone(),
            problem: format!("cannot be written: {refused}"),
        })?;
        let pending = Pending::write(&last, &bytes)?;
        if !files::holds(pending.temporary(), &bytes)? {
            let problem = "reads back other bytes than were written; check the disk".to_string();
            return Err(TrainError::Run { path: last, problem });
        }
        if last.exists() {
            files::rename(&last, &self.previous_checkpoint())?;
        }
        pending.put()?;
        Ok(())
    }

    /// Keeps a last checkpoint that cannot be read out of the way of the next ones.
    pub fn set_aside_last_checkpoint(&self) -> Result<(), TrainError> {
        let last = self.last_checkpoint();
        if last.exists() {
            files::rename(&last, &last.with_file_name(SET_ASIDE))?;
        }
        Ok(())
    }

    /// Refuses a model in `path` that another run has trained.
    pub fn check_own(&self, path: &Path, model: &Model, config: &TrainConfig) -> Result<(), TrainError> {
        match model.facts.run.as_ref().is_none_or(|run| *run == config.fingerprint()) {
            true => Ok(()),
            false => Err(TrainError::Run {
                path: path.to_path_buf(),
                problem: "is of another run than the config.toml beside it; put the run's own model back, or move this one out of \
                          the folder"
                    .to_string(),
            }),
        }
    }

    /// Whether the run is over: its last checkpoint is at its end, before which the final model is written. Neither another run's model
    /// counts, nor that of an earlier end, which the run had before it was given more steps.
    pub fn is_complete(&self, config: &TrainConfig) -> Result<bool, TrainError> {
        let Some(end) = self.progress()?.filter(|progress| progress.is_end_of(config)) else {
            return Ok(false);
        };
        Ok(self.model().exists() && self.has_model_of(config, end.step).unwrap_or(true))
    }

    /// Whether the final model is this run's, after so many steps. `None` if there is none, or one of an earlier build, which does not
    /// say so.
    pub fn has_model_of(&self, config: &TrainConfig, step: u64) -> Option<bool> {
        let facts = Facts::of_header(&self.model())?;
        let own = facts.run.is_none_or(|run| run == config.fingerprint());
        Some(own && facts.step? == step)
    }

    /// The steps after which the final model was written, if it says so and the run was elsewhere at its last checkpoint, `done`.
    pub fn other_step_of_model(&self, done: &Progress) -> Option<u64> {
        Facts::of_header(&self.model())?.step.filter(|step| *step != done.step)
    }

    /// Why the last attempt at this run failed, if it did.
    pub fn failure(&self) -> Option<String> {
        let text = files::read_at_most(&self.failure_path(), LARGEST_CONFIG).ok()?;
        Some(String::from_utf8_lossy(&text).trim_end().to_string())
    }

    /// Records why an attempt failed, or with `None` that it did not.
    pub fn record_failure(&self, reason: Option<&str>) -> Result<(), TrainError> {
        let path = self.failure_path();
        match reason {
            Some(reason) => files::write(&path, format!("{reason}\n").as_bytes())?,
            None if path.exists() => fs::remove_file(&path).map_err(file_error("remove", &path))?,
            None => {}
        }
        Ok(())
    }

    fn failure_path(&self) -> PathBuf {
        self.path.join("failed.txt")
    }

    /// Opens the metrics of the run with this configuration for appending, without what it will write again from
    /// `progress` on; the second value is a sentence about each kind of lines that are damaged, repeated or missing.
    ///
    /// # Errors
    /// If they are of another run.
    pub fn metrics(
        &self,
        config: &TrainConfig,
        progress: &Progress,
    ) -> Result<(MetricsFile, Vec<String>), TrainError> {
        let over = progress.is_end_of(config);
        MetricsFile::open(&self.metrics_path(), &config.fingerprint(), progress, over)
    }
}

/// Where a run goes on.
#[derive(Clone, Debug, Default)]
pub struct Latest {
    /// The last checkpoint that is whole; `None` at the beginning.
    pub checkpoint: Option<Checkpoint>,
    /// The file that it was read from.
    pub path: PathBuf,
    /// Why it is not the last one that was written.
    pub fallback: Option<String>,
}

/// Name of the file that keeps the model after so many epochs.
pub fn kept_name(epochs: u32) -> String {
    format!("epoch-{epochs:04}.safetensors")
}

//! The run folder: `config.toml` (enough to repeat the run), `metrics.jsonl`, `checkpoints/`, `model.safetensors`,
//! `failed.txt` if its last attempt failed, and the lock of whoever trains in it.

use super::TrainError;
use super::checkpoint::{Checkpoint, Progress};
use super::config::TrainConfig;
use super::lock::RunLock;
use super::options::TrainOptions;
use crate::files::{self, file_error};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held by whoever trains in it, until the last clone is gone.
    lock: Option<Arc<RunLock>>,
}

impl RunFolder {
    /// A new run in `path`, which must not hold one already; locked.
    pub fn create(path: &Path, config: &TrainConfig) -> Result<Self, TrainError> {
        let mut folder = Self { path: path.to_path_buf(), lock: None };
        folder.check_unused()?;
        let text = folder.config_text(config)?;
        files::create_folder(&path.join("checkpoints"))?;
        folder.lock()?;
        // Somebody may have been faster.
        folder.check_unused()?;
        files::write(&folder.config_path(), text.as_bytes())?;
        Ok(folder)
    }

    /// Refuses a folder with any of a run's files: a stray checkpoint would pass for this run's.
    fn check_unused(&self) -> Result<(), TrainError> {
        let files = [
            self.config_path(),
            self.metrics_path(),
            self.model(),
            self.last_checkpoint(),
            self.best_model(),
        ];
        match files.iter().any(|file| file.exists()) {
            true => {
                Err(self.wrong("holds a run already; continue it with --resume, or choose another --out"))
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

    /// Takes the folder's lock, if this does not have it yet.
    ///
    /// # Errors
    /// [`TrainError::Busy`] if somebody else trains in it.
    pub fn lock(&mut self) -> Result<(), TrainError> {
        if self.lock.is_none() {
            self.lock = Some(Arc::new(RunLock::take(&self.path)?));
        }
        Ok(())
    }

    /// An existing run and its configuration.
    pub fn open(path: &Path) -> Result<(Self, TrainConfig), TrainError> {
        let folder = Self { path: path.to_path_buf(), lock: None };
        if !Self::exists(path) {
            return Err(folder.wrong("is no run folder (it has no config.toml); check the path"));
        }
        let text = String::from_utf8_lossy(&files::read(&folder.config_path())?).into_owned();
        // Read as options, so that a run of an earlier version, which lacks newer ones, keeps their defaults.
        let options: TrainOptions = from_toml(&text, &folder.config_path())?;
        Ok((folder, TrainOptions::default().resolve(&options)))
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
        let head = "# The resolved configuration of this run; `pgn-wgpu train --config` with this file repeats it.\n";
        Ok(format!("{head}{text}"))
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

    /// The last checkpoint.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.path.join("checkpoints").join("last.safetensors")
    }

    /// The model with the best validation accuracy.
    pub fn best_model(&self) -> PathBuf {
        self.path.join("checkpoints").join("best.safetensors")
    }

    /// The model as it was after so many epochs, if the run keeps it.
    pub fn kept_model(&self, epochs: u32) -> PathBuf {
        self.path.join("checkpoints").join(kept_name(epochs))
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

    /// How far the run was at its last checkpoint; `None` before its first.
    pub fn progress(&self) -> Result<Option<Progress>, TrainError> {
        let path = self.last_checkpoint();
        if path.exists() { Checkpoint::load_progress(&path).map(Some) } else { Ok(None) }
    }

    /// Whether the run is over: its last checkpoint is at its end, before which the final model is written.
    pub fn is_complete(&self, config: &TrainConfig) -> Result<bool, TrainError> {
        let ended = self.progress()?.is_some_and(|progress| progress.is_end_of(config));
        Ok(ended && self.model().exists())
    }

    /// Why the last attempt at this run failed, if it did.
    pub fn failure(&self) -> Option<String> {
        let text = files::read(&self.failure_path()).ok()?;
        Some(String::from_utf8_lossy(&text).trim_end().to_string())
    }

    /// Records why an attempt failed, or with `None` that it did not.
    pub fn record_failure(&self, reason: Option<&str>) -> Result<(), TrainError> {
        let path = self.failure_path();
        match reason {
            Some(reason) => files::write(&path, format!("{reason}\n").as_bytes())?,
            None if path.exists() => std::fs::remove_file(&path).map_err(file_error("remove", &path))?,
            None => {}
        }
        Ok(())
    }

    fn failure_path(&self) -> PathBuf {
        self.path.join("failed.txt")
    }

    /// Opens the metrics for appending, without what the run will write again from `progress` on: lines of later
    /// steps and, unless the run is over, what was measured in the middle of the epoch that goes on.
    pub fn metrics(&self, progress: &Progress, over: bool) -> Result<MetricsFile, TrainError> {
        let path = self.metrics_path();
        if path.exists() {
            let text = String::from_utf8_lossy(&files::read(&path)?).into_owned();
            let kept: String =
                text.lines().filter(|line| stays(line, progress, over)).map(|l| format!("{l}\n")).collect();
            files::write(&path, kept.as_bytes())?;
        }
        let file =
            OpenOptions::new().create(true).append(true).open(&path).map_err(file_error("open", &path))?;
        Ok(MetricsFile { file, path })
    }
}

/// Whether a metrics line stays when a run goes on; a line cut off by a crash does not.
fn stays(line: &str, progress: &Progress, over: bool) -> bool {
    let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { return false };
    let number = |key: &str| line.get(key).and_then(serde_json::Value::as_u64);
    let unfinished = || number("epoch").is_some_and(|epoch| epoch >= u64::from(progress.epoch));
    let again = !over && line["kind"] == "epoch" && unfinished();
    number("step").is_some_and(|step| step <= progress.step) && !again
}

/// Name of the file that keeps the model after so many epochs.
pub fn kept_name(epochs: u32) -> String {
    format!("epoch-{epochs:04}.safetensors")
}

/// Parses the TOML text of the file `path`; an error names the line.
pub fn from_toml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, TrainError> {
    toml::from_str(text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(String::new(), |text| format!("line {}: ", 1 + text.matches('\n').count()));
        TrainError::Run {
            path: path.to_path_buf(),
            problem: format!("{line}{}", e.message().replace('\n', ", ")),
        }
    })
}

/// `metrics.jsonl`, open for appending.
pub struct MetricsFile {
    file: File,
    path: PathBuf,
}

impl MetricsFile {
    /// Appends one line.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), TrainError> {
        let mut line = serde_json::to_string(record).expect("metrics are plain values");
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(file_error("write", &self.path))?;
        Ok(())
    }
}

//! The run folder: `config.toml` (enough to repeat the run), `metrics.jsonl`, `checkpoints/`, `model.safetensors`.

use super::TrainError;
use super::config::TrainConfig;
use super::options::TrainOptions;
use crate::files::{self, file_error};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A new run in `path`, which must not hold one already.
    pub fn create(path: &Path, config: &TrainConfig) -> Result<Self, TrainError> {
        let folder = Self { path: path.to_path_buf() };
        // Any of its files: a stray checkpoint would pass for this run's.
        let files = [
            folder.config_path(),
            folder.metrics_path(),
            folder.model(),
            folder.last_checkpoint(),
            folder.best_model(),
        ];
        if files.iter().any(|file| file.exists()) {
            return Err(
                folder.wrong("holds a run already; continue it with --resume, or choose another --out")
            );
        }
        let text = folder.config_text(config)?;
        files::create_folder(&path.join("checkpoints"))?;
        files::write(&folder.config_path(), text.as_bytes())?;
        Ok(folder)
    }

    /// An existing run and its configuration.
    pub fn open(path: &Path) -> Result<(Self, TrainConfig), TrainError> {
        let folder = Self { path: path.to_path_buf() };
        if !folder.config_path().exists() {
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

    /// The final model.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The metrics file.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Opens the metrics for appending, without lines of steps after `step`, which a resumed run will write again.
    pub fn metrics(&self, step: u64) -> Result<MetricsFile, TrainError> {
        let path = self.metrics_path();
        if path.exists() {
            let text = String::from_utf8_lossy(&files::read(&path)?).into_owned();
            let kept: String =
                text.lines().filter(|line| step_of(line) <= step).map(|l| format!("{l}\n")).collect();
            files::write(&path, kept.as_bytes())?;
        }
        let file =
            OpenOptions::new().create(true).append(true).open(&path).map_err(file_error("open", &path))?;
        Ok(MetricsFile { file, path })
    }
}

/// The step of a metrics line; a line cut off by a crash has none and goes.
fn step_of(line: &str) -> u64 {
    serde_json::from_str::<serde_json::Value>(line)
        .ok()
        .and_then(|v| v.get("step")?.as_u64())
        .unwrap_or(u64::MAX)
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

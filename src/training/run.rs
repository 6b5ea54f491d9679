//! The run folder: `config.toml` (enough to repeat the run), `metrics.jsonl`, `checkpoints/`, `model.safetensors`.

use super::TrainError;
use super::config::TrainConfig;
use crate::files::{self, file_error};
use serde::Serialize;
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
        if folder.config_path().exists() {
            return Err(
                folder.wrong("holds a run already; continue it with --resume, or choose another --out")
            );
        }
        files::create_folder(&path.join("checkpoints"))?;
        folder.write_config(config)?;
        Ok(folder)
    }

    /// An existing run and its configuration.
    pub fn open(path: &Path) -> Result<(Self, TrainConfig), TrainError> {
        let folder = Self { path: path.to_path_buf() };
        if !folder.config_path().exists() {
            return Err(folder.wrong("is no run folder (it has no config.toml); check the path"));
        }
        let text = String::from_utf8_lossy(&files::read(&folder.config_path())?).into_owned();
        let config = toml::from_str(&text)
            .map_err(|e| TrainError::Run { path: folder.config_path(), problem: one_line(&e.to_string()) })?;
        Ok((folder, config))
    }

    /// Writes the resolved configuration.
    pub fn write_config(&self, config: &TrainConfig) -> Result<(), TrainError> {
        let text = toml::to_string(config).expect("a configuration is plain values");
        let head = "# The resolved configuration of this run; `pgn-wgpu train --config` with this file repeats it.\n";
        files::write(&self.config_path(), format!("{head}{text}").as_bytes())?;
        Ok(())
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

/// An error text without line breaks.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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

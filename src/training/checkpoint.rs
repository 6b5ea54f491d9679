//! Checkpoints: every state of the trainer and how far it was, in one safetensors file, enough to go on to
//! the same bits.

use super::TrainError;
use super::config::TrainConfig;
use crate::data::Position;
use crate::files;
use crate::models::file::{NamedTensor, to_bytes};
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const METADATA_KEY: &str = "pgn-wgpu.checkpoint";
/// Ours have a few kilobytes.
const LARGEST_HEADER: u64 = 1 << 20;

/// How far a run was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of the program that wrote it.
    pub version: String,
    /// Steps done.
    pub step: u64,
    /// Epoch of the next batch.
    pub epoch: u32,
    /// Index of the next batch in its epoch.
    pub index: u32,
    /// Updates of the classifier and the generator.
    pub updates: [u64; 2],
    /// Best validation accuracy so far.
    pub best: Option<f64>,
    /// Seconds of training so far, over all resumptions.
    pub seconds: f64,
}

impl Progress {
    /// The next batch.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, index: self.index }
    }

    /// Whether a run of this configuration has nothing left to do.
    pub fn is_end_of(&self, config: &TrainConfig) -> bool {
        self.epoch >= config.epochs || config.max_steps.is_some_and(|most| self.step >= most)
    }
}

/// All states of a trainer and its progress.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How far it was.
    pub progress: Progress,
    /// States by name, flat.
    pub states: Vec<(String, Vec<f32>)>,
}

impl Checkpoint {
    /// Writes it.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let tensors: Vec<NamedTensor> = self
            .states
            .iter()
            .map(|(name, values)| (name.clone(), vec![values.len()], values.clone()))
            .collect();
        let progress = serde_json::to_string(&self.progress).expect("progress is plain values");
        files::write(path, &to_bytes(&tensors, HashMap::from([(METADATA_KEY.to_string(), progress)])))?;
        Ok(())
    }

    /// Reads it.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let wrong = |problem: String| TrainError::Run { path: path.to_path_buf(), problem };
        let bytes = files::read(path)?;
        let damaged = |e: safetensors::SafeTensorError| wrong(format!("is not a whole checkpoint ({e})"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let progress = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY));
        let progress = parse_progress(progress.map(String::as_str), path)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let mut states: Vec<(String, Vec<f32>)> = Vec::new();
        for (name, tensor) in tensors.iter() {
            if tensor.dtype() != Dtype::F32 {
                return Err(wrong(format!(
                    "has {name} as {:?} instead of F32; start a new run",
                    tensor.dtype()
                )));
            }
            states.push((name.to_string(), bytemuck::pod_collect_to_vec(tensor.data())));
        }
        Ok(Self { progress, states })
    }

    /// Reads only how far it was, without the states.
    pub fn load_progress(path: &Path) -> Result<Progress, TrainError> {
        let header = || -> io::Result<serde_json::Value> {
            let mut file = File::open(path)?;
            let mut length = [0; 8];
            file.read_exact(&mut length)?;
            let mut text = Vec::new();
            file.take(u64::from_le_bytes(length).min(LARGEST_HEADER)).read_to_end(&mut text)?;
            Ok(serde_json::from_slice(&text)?)
        };
        let header = header().map_err(|e| TrainError::Run {
            path: path.to_path_buf(),
            problem: format!("is not a whole checkpoint ({e})"),
        })?;
        parse_progress(header["__metadata__"][METADATA_KEY].as_str(), path)
    }

    /// Refuses states that are not exactly those of a trainer (`expected`, by name and length), or that are not
    /// finite. `path` is where they come from.
    pub fn check(&self, expected: &[(String, Vec<f32>)], path: &Path) -> Result<(), TrainError> {
        let wrong = |problem: String| Err(TrainError::Run { path: path.to_path_buf(), problem });
        let other =
            |what: String| wrong(format!("{what}; it is of another run or another build, start a new one"));
        for (name, values) in expected {
            match self.states.iter().find(|(own, _)| own == name) {
                None => return other(format!("has no {name}")),
                Some((_, own)) if own.len() != values.len() => {
                    let (own, values) = (own.len(), values.len());
                    return other(format!("has {own} values of {name} instead of {values}"));
                }
                Some(_) => {}
            }
        }
        if let Some((name, _)) =
            self.states.iter().find(|(own, _)| !expected.iter().any(|(name, _)| name == own))
        {
            return other(format!("has {name}, which this run lacks"));
        }
        match not_finite(&self.states) {
            Some((name, value)) => {
                wrong(format!("has {value} in {name}; its training had diverged, start a new run"))
            }
            None => Ok(()),
        }
    }
}

fn parse_progress(text: Option<&str>, path: &Path) -> Result<Progress, TrainError> {
    let wrong = |problem: String| TrainError::Run { path: path.to_path_buf(), problem };
    let text = text.ok_or_else(|| {
        wrong("is a model, not a checkpoint; pass it with --from to start from its weights".into())
    })?;
    serde_json::from_str(text)
        .map_err(|e| wrong(format!("was written by another version of pgn-wgpu ({e}); start a new run")))
}

/// The first value that is not finite, with the name of its state.
pub fn not_finite(states: &[(String, Vec<f32>)]) -> Option<(&str, f32)> {
    states
        .iter()
        .find_map(|(name, values)| Some((name.as_str(), values.iter().copied().find(|v| !v.is_finite())?)))
}

//! What comes before the first step of a session: the networks on the device with the weights that the run has, and its folder made
//! ready for the steps that follow.

use super::TrainError;
use super::checkpoint::{Checkpoint, Head, Progress, StartedFrom, TrainingData};
use super::config::TrainConfig;
use super::material::Material;
use super::metrics::MetricsFile;
use super::record::Record;
use super::robust::RobustValidator;
use super::run::RunFolder;
use super::run_data::problem_of;
use super::session::SessionRecord;
use super::trainer::Trainer;
use super::validation::Validator;
use crate::data::Dataset;
use crate::executor::{Device, ExecutionError};
use std::path::{Path, PathBuf};

/// Where a run is trained.
#[derive(Clone, Debug)]
pub enum Home {
    /// A new folder, which is made after everything else has succeeded.
    New(PathBuf),
    /// The same, at the first unused place for a run of this name.
    Unused(String),
    /// The folder of a run, which begins or goes on there.
    Existing(RunFolder),
}

impl Home {
    /// The folder of a run that is there already.
    pub(super) fn existing(&self) -> Option<&RunFolder> {
        match self {
            Self::New(_) | Self::Unused(_) => None,
            Self::Existing(folder) => Some(folder),
        }
    }

    /// The folder, which is made if it is new.
    pub(super) fn folder(self, config: &TrainConfig) -> Result<RunFolder, TrainError> {
        match self {
            Self::New(path) => RunFolder::create(&path, config),
            Self::Unused(name) => RunFolder::create(&RunFolder::unused(&name), config),
            Self::Existing(folder) => Ok(folder),
        }
    }
}

/// A run that is ready for its first step: its data, its networks on the device, and what measures them.
pub(super) struct Prepared {
    pub(super) config: TrainConfig,
    pub(super) dataset: Dataset,
    pub(super) trainer: Trainer,
    pub(super) validator: Validator,
    pub(super) robust: Option<RobustValidator>,
    pub(super) device: String,
    /// What the run needs of the model that it started from.
    pub(super) started_from: Option<StartedFrom>,
    pub(super) notes: Vec<String>,
}

impl Prepared {
    /// The networks on the device: with the structure and the weights of the model in `material`, or new ones.
    pub(super) fn new(
        device: Device,
        mut config: TrainConfig,
        material: Material,
    ) -> Result<Self, TrainError> {
        let mut notes = material.notes(&config);
        let Material { dataset, from, micro_batch, .. } = material;
        let described = device.describe();
        if let Some(choices) = &config.kernels {
            device.pin(choices);
        }
        let mut trainer = Trainer::new(device, &config, problem_of(&dataset), from.as_ref(), micro_batch)?;
        notes.extend(trainer.split_note(micro_batch));
        let validator = Validator::new(&mut trainer)?;
        let robust = RobustValidator::new(&mut trainer, &dataset.validation)?;
        config.kernels = trainer.workspace().choices().cloned().filter(|choices| !choices.forms.is_empty());
        // The validators have taken their share.
        trainer.room_to_save().map_err(ExecutionError::from)?;
        let started_from = from.as_ref().map(|model| StartedFrom::of(model, &config));
        Ok(Self { config, dataset, trainer, validator, robust, device: described, started_from, notes })
    }

    /// Restores the states of a checkpoint that was read from the file `path`.
    pub(super) fn restore(
        &mut self,
        saved: Checkpoint,
        data: &TrainingData,
        path: &Path,
    ) -> Result<Progress, TrainError> {
        saved.head.check(&self.config, data, path)?;
        saved.head.check_network(self.trainer.classifier(), &self.config, path)?;
        saved.check_states(&self.trainer.snapshot()?.0, path)?;
        let Head { progress, started_from, .. } = saved.head;
        self.trainer.restore(&saved.states, progress.updates, progress.step)?;
        // The file that it started from may be another one by now.
        self.started_from = started_from;
        Ok(progress)
    }

    /// The checkpoint of a run before its first step.
    pub(super) fn first_checkpoint(
        &self,
        progress: &Progress,
        data: &TrainingData,
    ) -> Result<Checkpoint, TrainError> {
        let (config, started_from) = (self.config.clone(), self.started_from.clone());
        let head = Head { progress: progress.clone(), config, data: data.clone(), started_from };
        Ok(Checkpoint { head, states: self.trainer.snapshot()?.0 })
    }

    /// Makes the folder ready for the steps after `progress`. Returns the metrics, and a sentence about each kind of lines that are
    /// damaged, repeated or missing.
    pub(super) fn begin_session(
        &self,
        folder: &RunFolder,
        progress: &Progress,
        last_is_damaged: bool,
    ) -> Result<(MetricsFile, Vec<String>), TrainError> {
        let (mut metrics, notes) = folder.metrics(&self.config, progress)?;
        folder.settle_best(progress)?;
        folder.record_failure(None)?;
        folder.write_config(&self.config)?;
        if last_is_damaged {
            folder.set_aside_last_checkpoint()?;
        }
        metrics.append(&Record::Run(SessionRecord::new(progress.step, &self.device, &self.config)))?;
        Ok((metrics, notes))
    }
}

//! The loop around the trainer: batches in, metrics and checkpoints out, until the epochs are done or the process is
//! asked to stop.

use super::TrainError;
use super::checkpoint::{Checkpoint, Head, Progress, TrainingData, not_finite};
use super::config::TrainConfig;
use super::metrics::MetricsFile;
use super::record::{EpochRecord, Record, StepRecord};
use super::robust::{BestRobust, RobustValidator};
use super::run::RunFolder;
use super::schedule::Schedule;
use super::session::SessionRecord;
use super::start::starting_model;
use super::tensorboard::EventFile;
use super::trainer::{NamedStates, PendingStep, Trainer};
use super::validation::{Validation, Validator};
use crate::data::{self, BatchOptions, Dataset, DatasetKind, Prefetcher, Size, batches_per_epoch};
use crate::executor::{Device, ExecutionError};
use crate::models::file::{Facts, Model};
use crate::nn::Problem;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Steps whose metrics may be under way while the next one is submitted.
const STEPS_IN_FLIGHT: usize = 2;
/// Short epochs do not each write a checkpoint.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
/// Long epochs write one within them.
const LONGEST_WITHOUT_CHECKPOINT: Duration = Duration::from_secs(300);

/// Who watches a run.
pub trait Observer {
    /// A step's metrics; `total` is the number of steps that the run will have.
    fn step(&mut self, record: &StepRecord, total: u64);
    /// An epoch's end.
    fn epoch(&mut self, record: &EpochRecord, epochs: u32);
    /// Something that went wrong with the training itself, in a sentence.
    fn warning(&mut self, sentence: &str);
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it was asked to stop before its end.
    pub interrupted: bool,
    /// Steps done.
    pub steps: u64,
    /// Seconds of training, over all resumptions.
    pub seconds: f64,
    /// Training images per second in this session, without validation.
    pub images_per_second: f64,
    /// The final networks on the test split; `None` if interrupted.
    pub test: Option<Validation>,
    /// Seconds that the device side waited for data after the first batch.
    pub waited_for_data: f64,
}

/// A run in progress.
pub struct Fit<'a> {
    config: TrainConfig,
    folder: RunFolder,
    dataset: Dataset,
    trainer: Trainer,
    validator: Validator,
    robust: Option<RobustValidator>,
    /// Catastrophic overfitting is told once.
    told: bool,
    data: TrainingData,
    /// The method of the model that the run started from.
    defence: Option<String>,
    notes: Vec<String>,
    /// Steps that the last session had done.
    resumed_at: Option<u64>,
    metrics: MetricsFile,
    events: Option<EventFile>,
    progress: Progress,
    observer: &'a mut dyn Observer,
    stop: &'a AtomicBool,
    pending: VecDeque<PendingStep>,
    started: Instant,
    last_checkpoint: Instant,
    /// Images and seconds of training proper.
    trained: (usize, f64),
}

/// Opens the data set of a configuration. Arrays have the classes of the model that the run starts from: they need not have
/// images of all of them.
pub fn open_data(config: &TrainConfig) -> Result<Dataset, TrainError> {
    let mut options = config.data_options();
    if let (DatasetKind::Npy, Some(path), None) = (options.kind, &config.from, &options.class_index) {
        // A file that cannot be read is refused later, by its reason.
        options.class_names = Model::load(path, None).ok().map(|model| model.facts.classes());
    }
    let dataset = data::open(&options)?;
    dataset.check_training()?;
    Ok(dataset)
}

/// The problem that a data set poses.
pub fn problem_of(dataset: &Dataset) -> Problem {
    let Size { height, width } = dataset.size;
    Problem { height, width, channels: dataset.channels, classes: dataset.classes }
}

/// Steps of all epochs over `images` training images.
fn steps_of_epochs(config: &TrainConfig, images: usize) -> u64 {
    u64::from(batches_per_epoch(images, config.batch_size)) * u64::from(config.epochs)
}

/// Steps of a whole run over `images` training images.
pub fn steps_of(config: &TrainConfig, images: usize) -> u64 {
    let all = steps_of_epochs(config, images);
    config.max_steps.map_or(all, |most| most.min(all))
}

/// Settings that do less with these data than they say, a sentence each.
fn limited_by_data(config: &TrainConfig, dataset: &Dataset) -> Vec<String> {
    let mut notes = Vec::new();
    if config.robust_every() > 0 && dataset.validation.is_empty() {
        notes.push(
            "there are no validation images, so accuracy under PGD is not measured, catastrophic overfitting goes unseen, and \
             no epoch is chosen as the best"
                .to_string(),
        );
    }
    let images = dataset.train.len();
    let (steps, all) = (steps_of(config, images), steps_of_epochs(config, images));
    if config.schedule != Schedule::Constant && steps < all {
        notes.push(format!(
            "the schedule goes over the {all} steps of `epochs`, and `max-steps` ends the run after {steps}"
        ));
    }
    notes
}

impl<'a> Fit<'a> {
    /// Prepares a run: networks, data, and what the folder holds if it is resumed. The folder is given by a
    /// closure so that it is made only after everything else has succeeded.
    pub fn new(
        device: Device,
        mut config: TrainConfig,
        folder: impl FnOnce(&TrainConfig) -> Result<RunFolder, TrainError>,
        observer: &'a mut dyn Observer,
        stop: &'a AtomicBool,
    ) -> Result<Self, TrainError> {
        config.check()?;
        let described = device.describe();
        let dataset = open_data(&config)?;
        config.check_validation(dataset.validation.len())?;
        let problem = problem_of(&dataset);
        let from = starting_model(&config, &dataset)?;
        if let Some(choices) = &config.kernels {
            device.pin(choices);
        }
        let mut trainer = Trainer::new(device, &config, problem, from.as_ref(), None)?;
        let (classifier, generator) = (trainer.classifier().clone(), trainer.generator().cloned());
        let validator = Validator::new(trainer.workspace(), &config, &classifier, generator.as_ref())?;
        let robust = RobustValidator::new(trainer.workspace(), &config, &classifier, &dataset.validation)?;
        config.kernels = trainer.workspace().choices().cloned().filter(|choices| !choices.forms.is_empty());
        let data = TrainingData::of(&dataset.train, &dataset.class_names);
        // The validator has taken its share.
        trainer.room_to_save().map_err(ExecutionError::from)?;
        let mut folder = folder(&config)?;
        folder.lock()?;
        let latest = folder.latest()?;
        let mut progress = Progress { version: env!("CARGO_PKG_VERSION").to_string(), ..Default::default() };
        let resumed_at = latest.checkpoint.as_ref().map(|saved| saved.head.progress.step);
        if let Some(saved) = latest.checkpoint {
            let path = folder.last_checkpoint();
            saved.head.check(&config, &data, &path)?;
            saved.check_states(&trainer.snapshot()?.0, &path)?;
            trainer.restore(&saved.states, saved.head.progress.updates, saved.head.progress.step)?;
            progress = saved.head.progress;
        }
        // From here on the folder changes.
        if resumed_at.is_none() {
            // Metrics without a checkpoint are then always a sign of damage.
            let head = Head { progress: progress.clone(), config: config.clone(), data: data.clone() };
            folder.save_checkpoint(Checkpoint { head, states: trainer.snapshot()?.0 })?;
        }
        let (mut metrics, of_metrics) = folder.metrics(&config, &progress)?;
        folder.record_failure(None)?;
        folder.write_config(&config)?;
        if latest.fallback.is_some() {
            folder.set_aside_last_checkpoint()?;
        }
        metrics.append(&Record::Run(SessionRecord::new(progress.step, &described, &config)))?;
        let of_model = from.iter().flat_map(|model| model.notes.clone());
        let of_settings = limited_by_data(&config, &dataset);
        let notes = of_model.chain(latest.fallback).chain(of_metrics).chain(of_settings).collect();
        let events = folder.tensorboard();
        let goes_on = events.exists().then(|| EventFile::create(&events, progress.step + 1)).transpose()?;
        let (now, pending) = (Instant::now(), VecDeque::new());
        Ok(Self {
            config,
            folder,
            dataset,
            trainer,
            validator,
            robust,
            told: false,
            data,
            notes,
            resumed_at,
            defence: from.map(|model| model.facts.method),
            metrics,
            events: goes_on,
            progress,
            observer,
            stop,
            pending,
            started: now,
            last_checkpoint: now,
            trained: (0, 0.0),
        })
    }

    /// Writes TensorBoard's event files too. A run that has some goes on with them by itself.
    pub fn log_to_tensorboard(&mut self) -> Result<(), TrainError> {
        if self.events.is_none() {
            self.events = Some(EventFile::create(&self.folder.tensorboard(), self.progress.step + 1)?);
        }
        Ok(())
    }

    /// What the user should know, a sentence each: damage of files that were read and what was done about it, and settings
    /// that do less with these data than they say.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Steps done before this session, if it goes on with a run.
    pub fn resumed_at(&self) -> Option<u64> {
        self.resumed_at
    }

    /// The trainer, for what is said before the run.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The data.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The run folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        steps_of(&self.config, self.dataset.train.len())
    }

    /// Trains to the end, or until asked to stop.
    pub fn run(mut self) -> Result<Outcome, TrainError> {
        let options = BatchOptions {
            batch_size: self.config.batch_size,
            shuffle: self.config.shuffle,
            augment: self.config.augment,
            seed: self.config.seed,
        };
        let total = self.total_steps();
        let mut batches = Prefetcher::start(
            self.dataset.train.clone(),
            options,
            self.progress.position(),
            self.config.epochs,
        )?;
        let per_epoch = batches_per_epoch(self.dataset.train.len(), self.config.batch_size);
        let mut epoch_started = (Instant::now(), 0);
        while self.trainer.step() < total && !self.stop.load(Ordering::Relaxed) {
            let Some(batch) = batches.next() else { break };
            let pending = self.trainer.submit(&batch)?;
            self.pending.push_back(pending);
            self.drain(STEPS_IN_FLIGHT)?;
            epoch_started.1 += batch.real;
            let last = batch.index + 1 == per_epoch;
            let next = if last { (batch.epoch + 1, 0) } else { (batch.epoch, batch.index + 1) };
            (self.progress.epoch, self.progress.index) = next;
            if last || self.trainer.step() == total {
                self.drain(0)?;
                self.trained.0 += epoch_started.1;
                self.trained.1 += epoch_started.0.elapsed().as_secs_f64();
                self.end_epoch(batch.epoch, epoch_started)?;
                epoch_started = (Instant::now(), 0);
            } else if self.checkpoint_is_due(LONGEST_WITHOUT_CHECKPOINT) {
                self.checkpoint()?;
            }
        }
        self.drain(0)?;
        self.trained.0 += epoch_started.1;
        self.trained.1 += if epoch_started.1 > 0 { epoch_started.0.elapsed().as_secs_f64() } else { 0.0 };
        // In this order: a checkpoint at the end of the run says that its model is there. A run that was over before is not
        // written again.
        if self.resumed_at != Some(self.trainer.step()) || !self.folder.model().exists() {
            self.finite_states()?;
            self.save(&self.folder.model())?;
            self.checkpoint()?;
        }
        let interrupted = self.trainer.step() < total && self.stop.load(Ordering::Relaxed);
        let test = if interrupted { None } else { Some(self.validator.run(&self.dataset.test)?) };
        Ok(Outcome {
            interrupted,
            steps: self.trainer.step(),
            seconds: self.seconds(),
            images_per_second: self.trained.0 as f64 / self.trained.1.max(1e-9),
            test,
            waited_for_data: batches.waited().later.as_secs_f64(),
        })
    }

    fn seconds(&self) -> f64 {
        self.progress.seconds + self.started.elapsed().as_secs_f64()
    }

    /// Collects metrics until at most `most` steps are under way.
    fn drain(&mut self, most: usize) -> Result<(), TrainError> {
        while self.pending.len() > most {
            let pending = self.pending.pop_front().expect("not empty");
            let record = StepRecord { seconds: self.seconds(), ..self.trainer.collect(pending)? };
            if !record.loss.is_finite() {
                return Err(self.diverged("the loss", record.loss, record.step));
            }
            self.metrics.append(&Record::Step(record))?;
            if let Some(events) = &mut self.events {
                events.scalars(record.step, &record.scalars())?;
            }
            let total = self.total_steps();
            self.observer.step(&record, total);
        }
        Ok(())
    }

    fn diverged(&self, what: &str, value: f64, step: u64) -> TrainError {
        let last = self.folder.last_checkpoint();
        let checkpoint = match Head::load(&last) {
            Ok(head) => {
                let step = head.progress.step;
                format!("the last good weights (step {step}) are in {}", last.display())
            }
            Err(_) => "no checkpoint can be read".to_string(),
        };
        let (lr, precision) = (self.config.lr_at(step), self.config.precision);
        TrainError::Diverged { what: what.to_string(), value, step, lr, checkpoint, precision }
    }

    fn end_epoch(&mut self, epoch: u32, (since, images): (Instant, usize)) -> Result<(), TrainError> {
        let images_per_second = images as f64 / since.elapsed().as_secs_f64().max(1e-9);
        let validation = match self.dataset.validation.is_empty() {
            true => None,
            false => Some(self.validator.run(&self.dataset.validation)?),
        };
        let attacked = validation.and_then(|v| v.generator);
        let last = self.trainer.step() == self.total_steps();
        let robust = match &mut self.robust {
            Some(robust) if last || (epoch + 1).is_multiple_of(self.config.robust_every()) => {
                Some(robust.run()?)
            }
            _ => None,
        };
        let record = EpochRecord {
            step: self.trainer.step(),
            epoch,
            benign_accuracy: validation.map(|v| v.benign_accuracy),
            pgd_accuracy: robust.map(|r| r.pgd),
            fgm_accuracy: robust.map(|r| r.fgm),
            generator_accuracy: attacked.map(|a| a.accuracy),
            delta: attacked.map(|a| a.delta),
            generator_loss: attacked.map(|a| a.loss),
            fgm_loss: attacked.map(|a| a.fgm_loss),
            images_per_second,
            seconds: self.seconds(),
        };
        self.metrics.append(&Record::Epoch(record))?;
        if let Some(events) = &mut self.events {
            events.scalars(record.step, &record.scalars())?;
        }
        self.observer.epoch(&record, self.config.epochs);
        if let Some(validation) = validation
            && self.progress.best.is_none_or(|best| validation.benign_accuracy > best)
        {
            self.finite_states()?;
            self.progress.best = Some(validation.benign_accuracy);
            self.save(&self.folder.best_model())?;
        }
        if let Some(now) = record.robust() {
            self.keep_most_robust(now)?;
        }
        // An epoch that `max-steps` cuts short is none to keep.
        let whole = self.progress.index == 0;
        if whole && self.config.keep_every.is_some_and(|every| (epoch + 1).is_multiple_of(every)) {
            self.finite_states()?;
            self.save(&self.folder.kept_model(epoch + 1))?;
        }
        // The one at the end of the run comes after its model.
        if self.trainer.step() < self.total_steps() && self.checkpoint_is_due(CHECKPOINT_INTERVAL) {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Keeps the networks if they withstand more than those of earlier epochs, and says so if they have overfitted since.
    fn keep_most_robust(&mut self, now: BestRobust) -> Result<(), TrainError> {
        let best = self.progress.best_robust;
        if best.is_none_or(|best| now.beats(&best)) {
            self.finite_states()?;
            self.progress.best_robust = Some(now);
            self.save(&self.folder.best_robust_model())?;
        }
        if let Some(sentence) = best.and_then(|best| best.overfitted(&now)).filter(|_| !self.told) {
            self.told = true;
            let kept = self.folder.best_robust_model();
            self.observer.warning(&format!("{sentence}; the networks before are in {}", kept.display()));
        }
        Ok(())
    }

    /// Whether it is time for a checkpoint: by the count of steps if the configuration has one, else by the clock.
    fn checkpoint_is_due(&self, interval: Duration) -> bool {
        match self.config.checkpoint_every {
            Some(every) => self.trainer.step().is_multiple_of(every),
            None => self.last_checkpoint.elapsed() > interval,
        }
    }

    /// Writes the networks as they are now to `path`, if this process still trains the run.
    fn save(&mut self, path: &Path) -> Result<(), TrainError> {
        self.folder.check_lock()?;
        self.model()?.save(path)?;
        Ok(())
    }

    /// All states, unless the last step has left the numbers: that must not overwrite a good file.
    fn finite_states(&self) -> Result<(NamedStates, [u64; 2]), TrainError> {
        let (states, updates) = self.trainer.snapshot()?;
        match not_finite(&states) {
            Some((name, value)) => Err(self.diverged(name, f64::from(value), self.trainer.step())),
            None => Ok((states, updates)),
        }
    }

    fn checkpoint(&mut self) -> Result<(), TrainError> {
        self.drain(0)?;
        let (states, updates) = self.finite_states()?;
        let progress =
            Progress { step: self.trainer.step(), updates, seconds: self.seconds(), ..self.progress.clone() };
        // Lines up to this step shall not be missing when the run goes on from it.
        self.metrics.sync()?;
        let head = Head { progress, config: self.config.clone(), data: self.data.clone() };
        self.folder.save_checkpoint(Checkpoint { head, states })?;
        self.last_checkpoint = Instant::now();
        Ok(())
    }

    /// How the classifier was defended: a generator trained against a frozen one changes nothing about that.
    fn method(&self) -> String {
        match &self.defence {
            Some(method) if self.config.freeze_classifier => method.clone(),
            _ => self.config.method.name().to_string(),
        }
    }

    /// The networks as they are now.
    fn model(&mut self) -> Result<Model, TrainError> {
        let facts = Facts {
            version: env!("CARGO_PKG_VERSION").to_string(),
            problem: problem_of(&self.dataset),
            network: self.config.network,
            width: self.config.width,
            dataset: self.dataset.name.clone(),
            class_names: self.dataset.class_names.clone(),
            method: self.method(),
            generator: self.config.recipe(),
            run: Some(self.config.fingerprint()),
        };
        let generator = self.trainer.generator().cloned();
        let classifier = self.trainer.classifier().clone();
        let (live, average, values) = self.trainer.values()?;
        let generator = generator.zip(values);
        Ok(Model { facts, classifier, live, average, generator, notes: Vec::new() })
    }
}

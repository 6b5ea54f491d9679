//! The loop around the trainer: batches in, metrics and checkpoints out, until the epochs are done or the process is
//! asked to stop.

use super::TrainError;
use super::checkpoint::{Checkpoint, Head, Progress, StartedFrom, TrainingData, not_finite};
use super::config::TrainConfig;
use super::material::material;
use super::metrics::{MetricsFile, weak_generator};
use super::optimiser::Role;
use super::prepared::{Home, Prepared};
use super::record::{EpochRecord, Record, StepRecord};
use super::resume::nothing_left;
use super::robust::{BestRobust, RobustValidator};
use super::run::{Best, Latest, RunFolder};
use super::run_data::{problem_of, steps_of};
use super::schedule;
use super::tensorboard::EventFile;
use super::trainer::{NamedStates, PendingStep, Trainer};
use super::validation::{Validation, Validator};
use crate::data::{BatchOptions, Dataset, Prefetcher, batches_per_epoch};
use crate::executor::Device;
use crate::models::file::{Facts, Model};
use std::collections::VecDeque;
use std::mem::take;
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
    /// What the run needs of the model that it started from.
    started_from: Option<StartedFrom>,
    notes: Vec<String>,
    /// Steps that the last session had done.
    resumed_at: Option<u64>,
    /// In what the final networks count as the best, because no whole epoch was measured.
    best_at_end: Vec<Best>,
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

impl<'a> Fit<'a> {
    /// Prepares a run: networks, data, and what the folder holds if it is resumed. A new folder is made only after everything
    /// else has succeeded.
    pub fn new(
        device: Device,
        config: TrainConfig,
        home: Home,
        observer: &'a mut dyn Observer,
        stop: &'a AtomicBool,
    ) -> Result<Self, TrainError> {
        config.check()?;
        let material = material(&config, home.existing())?;
        let prepared = Prepared::new(device, config, material)?;
        let folder = home.folder(&prepared.config)?;
        Self::begin(prepared, folder, observer, stop)
    }

    /// Begins or goes on with what the folder holds.
    fn begin(
        mut prepared: Prepared,
        mut folder: RunFolder,
        observer: &'a mut dyn Observer,
        stop: &'a AtomicBool,
    ) -> Result<Self, TrainError> {
        let data = TrainingData::of(&prepared.dataset.train, &prepared.dataset.class_names);
        folder.lock()?;
        let Latest { checkpoint, path, fallback } = folder.latest()?;
        let resumed_at = checkpoint.as_ref().map(|saved| saved.head.progress.step);
        let version = env!("CARGO_PKG_VERSION").to_string();
        let progress = match checkpoint {
            Some(saved) => prepared.restore(saved, &data, &path)?,
            None => Progress { version, ..Progress::default() },
        };
        let progress = Progress { micro_batch: Some(prepared.trainer.micro_batch()), ..progress };
        // From here on the folder changes.
        if resumed_at.is_none() {
            // Metrics without a checkpoint are then always a sign of damage.
            folder.save_checkpoint(prepared.first_checkpoint(&progress, &data)?)?;
        }
        let (metrics, of_metrics) = prepared.begin_session(&folder, &progress, fallback.is_some())?;
        let Prepared { config, dataset, trainer, validator, robust, started_from, mut notes, .. } = prepared;
        notes.extend(fallback.into_iter().chain(of_metrics).chain(nothing_left(&progress, &config)));
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
            best_at_end: Vec::new(),
            started_from,
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

    /// What the user should know, a sentence each: how data and models were read, damage of files and what was done about it,
    /// settings that do less with these data than they say, and that nothing is left to do.
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
        self.save_end()?;
        let interrupted = self.trainer.step() < total && self.stop.load(Ordering::Relaxed);
        let test = if interrupted { None } else { Some(self.validator.run(&self.dataset.test)?) };
        if let Some(attacked) = test.and_then(|test| test.generator)
            && let Some((figure, remedy)) = weak_generator(&self.config, attacked.loss, attacked.fgm_loss)
        {
            self.observer.warning(&format!("{figure}; {remedy}"));
        }
        Ok(Outcome {
            interrupted,
            steps: self.trainer.step(),
            seconds: self.seconds(),
            images_per_second: self.trained.0 as f64 / self.trained.1.max(1e-9),
            test,
            waited_for_data: batches.waited().later.as_secs_f64(),
        })
    }

    /// Writes the final model, then a checkpoint, which says by its step that all other files of the end are there. A run that was
    /// over before is not written again, unless its final model is of another step: a run that was given more steps and was killed
    /// on the way still has the model of its earlier end.
    fn save_end(&mut self) -> Result<(), TrainError> {
        let step = self.trainer.step();
        if self.resumed_at == Some(step) && self.folder.has_model_of(&self.config, step) == Some(true) {
            return Ok(());
        }
        self.finite_states()?;
        self.save(&self.folder.model())?;
        for best in take(&mut self.best_at_end) {
            self.save(&self.folder.best(best))?;
        }
        self.checkpoint()
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
            self.log(&Record::Step(record), record.step, &record.scalars())?;
            let total = self.total_steps();
            self.observer.step(&record, total);
        }
        Ok(())
    }

    /// Adds a line to the metrics, and its numbers to the event file, if this process still trains the run.
    fn log(&mut self, record: &Record, step: u64, numbers: &[(&str, Option<f64>)]) -> Result<(), TrainError> {
        self.folder.check_lock_each_second()?;
        self.metrics.append(record)?;
        match &mut self.events {
            Some(events) => events.scalars(step, numbers),
            None => Ok(()),
        }
    }

    fn diverged(&self, what: &str, value: f64, step: u64) -> TrainError {
        let paths = [self.folder.last_checkpoint(), self.folder.previous_checkpoint()];
        let good = paths.iter().find_map(|path| Some((path, Head::load(path).ok()?.progress.step)));
        let checkpoint = match good {
            Some((path, step)) => format!("the last good weights (step {step}) are in {}", path.display()),
            None => "no checkpoint can be read".to_string(),
        };
        let (what, precision) = (what.to_string(), self.config.precision);
        let of_generator = self.config.freeze_classifier || what.starts_with(Role::Generator.name());
        let setting = if of_generator { "generator-lr" } else { "lr" };
        let lr = self.lr_of(step, of_generator);
        TrainError::Diverged { what, value, step, lr, setting, checkpoint, precision }
    }

    /// The learning rate of the classifier or the generator in a step, counted from 1.
    fn lr_of(&self, step: u64, of_generator: bool) -> f32 {
        let before = step.saturating_sub(1);
        let per_epoch = batches_per_epoch(self.dataset.train.len(), self.config.batch_size);
        let full = if of_generator { self.config.generator_lr_at(before) } else { self.config.lr_at(before) };
        schedule::factor(&self.config, before, per_epoch) * full
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
        self.log(&Record::Epoch(record), record.step, &record.scalars())?;
        self.observer.epoch(&record, self.config.epochs);
        if let Some(now) = record.benign_accuracy {
            self.keep_most_accurate(now, epoch)?;
        }
        if let Some(now) = record.robust() {
            self.keep_most_robust(now)?;
        }
        // An epoch that `max-steps` cuts short is none to keep.
        if self.epoch_is_whole()
            && self.config.keep_every.is_some_and(|every| (epoch + 1).is_multiple_of(every))
        {
            self.finite_states()?;
            self.save(&self.folder.kept_model(epoch + 1))?;
        }
        // The one at the end of the run comes after its model.
        if self.trainer.step() < self.total_steps() && self.checkpoint_is_due(CHECKPOINT_INTERVAL) {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Whether the epoch that ends now is whole. `max-steps` may cut it short; the run finishes it when it goes on.
    fn epoch_is_whole(&self) -> bool {
        self.progress.index == 0
    }

    /// Keeps the networks if they are more accurate than those of earlier epochs.
    fn keep_most_accurate(&mut self, now: f64, epoch: u32) -> Result<(), TrainError> {
        let better = self.progress.best.map(|best| now > best);
        if self.keep_if(better, Best::Benign, epoch)? {
            (self.progress.best, self.progress.best_epoch) = (Some(now), Some(epoch));
        }
        Ok(())
    }

    /// Keeps the networks if they are `better` than the best so far, or if there is no best (`None`). Returns whether it kept
    /// them. After an epoch that was cut short they are written only at the end of the run, if there is no best, and no
    /// checkpoint knows of them.
    fn keep_if(&mut self, better: Option<bool>, best: Best, epoch: u32) -> Result<bool, TrainError> {
        if !self.epoch_is_whole() {
            self.best_at_end.extend(better.is_none().then_some(best));
            return Ok(false);
        }
        if better == Some(false) {
            return Ok(false);
        }
        self.finite_states()?;
        // The next checkpoint puts them in their place.
        self.save(&self.folder.waiting_best(best, epoch))?;
        self.folder.drop_waiting(best, Some(epoch));
        Ok(true)
    }

    /// Keeps the networks if they withstand more than those of earlier epochs, and says so if they have overfitted since.
    fn keep_most_robust(&mut self, now: BestRobust) -> Result<(), TrainError> {
        let best = self.progress.best_robust;
        if self.keep_if(best.map(|best| now.beats(&best)), Best::Robust, now.epoch)? {
            self.progress.best_robust = Some(now);
        }
        if let Some(best) = best.filter(|_| !self.told)
            && let Some(sentence) = best.overfitted(&now)
        {
            self.told = true;
            let waits = self.folder.waiting_best(Best::Robust, best.epoch).exists();
            let when = if waits { " after the next checkpoint" } else { "" };
            let kept = self.folder.best_robust_model();
            let told = format!("{sentence}; the networks before are in {}{when}", kept.display());
            self.observer.warning(&told);
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
        let (config, data, started_from) =
            (self.config.clone(), self.data.clone(), self.started_from.clone());
        self.folder
            .save_checkpoint(Checkpoint { head: Head { progress, config, data, started_from }, states })?;
        self.folder.settle_best(&self.progress)?;
        self.last_checkpoint = Instant::now();
        Ok(())
    }

    /// How the classifier was defended: a generator trained against a frozen one changes nothing about that.
    fn method(&self) -> String {
        match &self.started_from {
            Some(started_from) if self.config.freeze_classifier => started_from.method.clone(),
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
            step: Some(self.trainer.step()),
        };
        let generator = self.trainer.generator().cloned();
        let classifier = self.trainer.classifier().clone();
        let (live, average, values) = self.trainer.values()?;
        let generator = generator.zip(values);
        Ok(Model { facts, classifier, live, average, generator, notes: Vec::new() })
    }
}

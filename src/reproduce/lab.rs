//! Where trained runs are looked at: finds a run by its name, attacks it or recalls what an attack did to it, and says
//! in a sentence what is missing instead of failing, so that one broken run costs an experiment a cell and no more.

use super::kept::Kept;
use super::settings::Settings;
use crate::attacks::{AttackKind, AttackOptions};
use crate::evaluation::record::{Record, fingerprint_of_images};
use crate::evaluation::statistics::Reading;
use crate::evaluation::suite::{Event, Suite, records_folder};
use crate::evaluation::{EvaluationError, ImageChoice, Place, Split, Subject};
use crate::executor::Device;
use crate::threat::Radius;
use crate::training::EpochRecord;
use crate::training::metrics::Metrics;
use crate::training::run::RunFolder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Why a number is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

impl From<EvaluationError> for Missing {
    fn from(error: EvaluationError) -> Self {
        Self(error.to_string())
    }
}

/// A number or the reason why there is none.
pub type Found<T> = Result<T, Missing>;

/// Trained runs and a device to attack them on.
pub struct Lab<'a> {
    /// What was trained.
    pub settings: &'a Settings,
    /// Where attacks run.
    pub device: Device,
    folder: PathBuf,
    failures: Vec<(String, String)>,
    watch: RefCell<&'a mut dyn FnMut(Event)>,
}

impl<'a> Lab<'a> {
    /// The runs in `folder`; `failures` are runs that could not be trained, with the reason.
    pub fn new(
        settings: &'a Settings,
        device: Device,
        folder: &Path,
        failures: Vec<(String, String)>,
        watch: &'a mut dyn FnMut(Event),
    ) -> Self {
        let (folder, watch) = (folder.to_path_buf(), RefCell::new(watch));
        Self { settings, device, folder, failures, watch }
    }

    /// A run or one of its files, such as `fgm-epsilon0.3-seed0/checkpoints/epoch-0002.safetensors`.
    pub fn place(&self, name: &str) -> Found<Place> {
        let run = name.split('/').next().unwrap_or(name);
        if let Some((_, reason)) = self.failures.iter().find(|(failed, _)| failed == run) {
            return Err(Missing(format!("{run} could not be trained: {reason}")));
        }
        let path = self.folder.join(name);
        let model = if path.is_dir() { path.join("model.safetensors") } else { path.clone() };
        if !model.is_file() {
            return Err(Missing(format!("{name} is not there; the same command trains it")));
        }
        Ok(Place::find(&path)?)
    }

    /// A run with its test images, or so many of them.
    pub fn subject(&self, name: &str, limit: Option<usize>) -> Found<Subject> {
        let choice = ImageChoice { split: Split::Test, limit, ..ImageChoice::default() };
        Ok(self.place(name)?.open(&choice)?)
    }

    /// What an attack does to a run's test images, or to so many of them; kept in the run's folder.
    pub fn record(&self, name: &str, attack: &AttackOptions, limit: Option<usize>) -> Found<Record> {
        let subject = self.subject(name, limit)?;
        let suite =
            Suite { device: self.device.clone(), attacks: vec![attack.clone()], radius: Radius::of(attack) };
        let images = (subject.images.as_ref(), fingerprint_of_images(&subject.images));
        let mut watch = self.watch.borrow_mut();
        let records =
            suite.white_box(&subject, &suite.attacks, (images.0, &images.1), &mut |e| (*watch)(e))?;
        records.into_iter().next().ok_or_else(|| Missing(format!("{name} has not been attacked")))
    }

    /// The record of an attack at the scale's budget on as many images as the scale says.
    pub fn attacked(&self, name: &str, kind: AttackKind) -> Found<Record> {
        self.record(name, &self.settings.attack(kind), Some(self.settings.attack_images))
    }

    /// What `compute` finds out about a run, or an earlier call did with the same `key`; kept in the run's folder.
    /// `kind` names the files, `label` is for the watcher.
    pub fn kept<V: Serialize + DeserializeOwned>(
        &self,
        place: &Place,
        (kind, label): (&str, &str),
        key: &impl Serialize,
        compute: impl FnOnce() -> Found<V>,
    ) -> Found<V> {
        let kept = Kept::new(&records_folder(&place.home), kind, key);
        match kept.load() {
            Ok(Some(value)) => {
                (self.watch.borrow_mut())(Event::Known(label));
                return Ok(value);
            }
            Ok(None) => {}
            Err(problem) => (self.watch.borrow_mut())(Event::Damaged(&problem)),
        }
        let started = Instant::now();
        let value = compute()?;
        kept.save(&value).map_err(EvaluationError::from)?;
        (self.watch.borrow_mut())(Event::Finished(label, started.elapsed().as_secs_f64()));
        // As the file says it, so that it is the same to the last digit when it is read again.
        Ok(kept.load().ok().flatten().unwrap_or(value))
    }

    /// Runs a whole evaluation.
    pub fn evaluate<T>(&self, evaluation: impl FnOnce(&mut dyn FnMut(Event)) -> T) -> T {
        let mut watch = self.watch.borrow_mut();
        evaluation(&mut |event| (*watch)(event))
    }

    /// Benign accuracy over all test images.
    pub fn benign_accuracy(&self, name: &str) -> Found<f64> {
        let record = self.record(name, &self.settings.attack(AttackKind::FGM), None)?;
        let correct = (0..record.len()).filter(|&i| record.correct(i)).count();
        Ok(correct as f64 / record.len().max(1) as f64)
    }

    /// Mean Carlini-Wagner distance in a reading.
    pub fn distance(&self, name: &str, reading: Reading) -> Found<f64> {
        let record = self.attacked(name, AttackKind::CW)?;
        let distances = (0..record.len()).filter_map(|i| reading.distance(record.attacked(i)));
        let distances: Vec<f64> = distances.collect();
        if distances.is_empty() {
            return Err(Missing(format!("C&W fooled {name} on no image that {} counts", reading.name())));
        }
        Ok(distances.iter().sum::<f64>() / distances.len() as f64)
    }

    /// The epochs of a run, from its metrics.
    pub fn epochs(&self, name: &str) -> Found<Vec<EpochRecord>> {
        let (folder, _) = RunFolder::open(&self.folder.join(name)).map_err(|e| Missing(e.to_string()))?;
        let path = folder.metrics_path();
        let metrics = Metrics::load(&path).map_err(|error| Missing(error.to_string()))?;
        match metrics.unreadable {
            0 => Ok(metrics.epochs),
            lines => Err(Missing(format!("{lines} lines of {} are damaged", path.display()))),
        }
    }

    /// A sentence about a run that has overfitted catastrophically.
    pub fn overfitted(&self, name: &str) -> Option<String> {
        let metrics = Metrics { epochs: self.epochs(name).ok()?, ..Metrics::default() };
        metrics.robust().1
    }

    /// The last epoch, which made the final weights.
    pub fn last_epoch(&self, name: &str) -> Found<EpochRecord> {
        let last = self.epochs(name)?.pop();
        last.ok_or_else(|| Missing(format!("{name} has no epoch in its metrics.jsonl")))
    }

    /// Benign accuracy of the final weights on the validation images.
    pub fn validation_accuracy(&self, name: &str) -> Found<f64> {
        let accuracy = self.last_epoch(name)?.benign_accuracy;
        accuracy.ok_or_else(|| Missing(format!("{name} was trained without validation images")))
    }
}

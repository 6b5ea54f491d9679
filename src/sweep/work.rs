//! Working off a plan: one worker per adapter takes the next point that nobody else trains, goes on where its folder
//! is, and records a failure instead of ending with it.

use super::state::own_folder;
use super::{Plan, Point, SweepError};
use crate::executor::{Device, Opening};
use crate::gpu::adapter::AdapterChoice;
use crate::shard::Shard;
use crate::training::fit::{Fit, Observer, Outcome};
use crate::training::prepared::Home;
use crate::training::run::RunFolder;
use crate::training::{EpochRecord, StepRecord, TrainError};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How a plan is worked off.
#[derive(Clone, Debug)]
pub struct Work {
    /// One worker each, at least one; the same adapter may be there several times.
    pub adapters: Vec<AdapterChoice>,
    /// Only this part of the plan.
    pub shard: Option<Shard>,
    /// Whether the runtime checks every index and loop of the shaders.
    pub checked: bool,
    /// Whether the runs write TensorBoard's event files.
    pub tensorboard: bool,
}

/// How a point ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// Trained to its end.
    Done(Outcome),
    /// It had been trained before.
    Skipped,
    /// Somebody else trains it, or has taken it over: the sentence that says who.
    Busy(String),
    /// Asked to stop; everything is saved.
    Interrupted(Outcome),
    /// Why it failed; also in its folder, as `failed.txt`, if that is the point's own.
    Failed(String),
}

/// What a watcher hears, from all workers' threads.
#[derive(Debug)]
pub enum Event<'a> {
    /// A point begins, or goes on from `step`.
    Begun {
        /// The device.
        device: String,
        /// Steps done before.
        step: u64,
        /// Steps of the whole run.
        total: u64,
    },
    /// A step's metrics, and the steps of the whole run.
    Step(&'a StepRecord, u64),
    /// An epoch's metrics, and the epochs of the whole run.
    Epoch(&'a EpochRecord, u32),
    /// What the user should know before a point trains, a sentence.
    Note(&'a str),
    /// Something went wrong with the training itself, a sentence.
    Warning(&'a str),
    /// A point has ended.
    Ended(&'a Ended),
}

/// Hears of every event with its point.
pub type Watcher<'a> = &'a (dyn Fn(&Point, &Event) + Sync);

/// What became of the points, by name and in the plan's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Trained to their end now.
    pub done: Vec<String>,
    /// Trained before.
    pub skipped: Vec<String>,
    /// Failed, with the reason.
    pub failed: Vec<(String, String)>,
    /// Trained by somebody else at the moment.
    pub busy: Vec<String>,
    /// Whether it was asked to stop before everything was tried.
    pub interrupted: bool,
}

/// Trains all points of a plan (or of its shard) that are not trained yet, in run folders below the plan's.
/// `stop` ends all workers with everything saved.
///
/// # Errors
/// If the plan is wrong, an adapter cannot be opened, or a folder holds another run than the plan's; nothing has been
/// trained then. A run that fails is no error but part of the summary.
pub fn run(plan: &Plan, work: &Work, stop: &AtomicBool, watcher: Watcher) -> Result<Summary, SweepError> {
    plan.check()?;
    if work.adapters.is_empty() {
        return Err(SweepError::NoWorker);
    }
    let part = work.shard.unwrap_or(Shard::WHOLE);
    let queue: Vec<&Point> =
        (0..plan.points.len()).filter(|&i| part.has(i)).map(|i| &plan.points[i]).collect();
    for point in &queue {
        let path = plan.folder.join(&point.name);
        if RunFolder::exists(&path) {
            own_folder(&path, &point.config)?;
        }
    }
    // A share without runs ends well on a machine without an adapter too.
    if queue.is_empty() {
        return Ok(Summary::default());
    }
    // They outlive all workers, so that none is closed while another one computes: NVIDIA's driver was seen to wait for itself
    // forever where threads of one process opened and closed devices beside each other.
    let mut devices = Vec::new();
    for choice in &work.adapters {
        let opening = queue[0].config.opening(work.checked);
        devices.push((choice, HashMap::from([(opening, Device::open(choice, opening)?)])));
    }
    let job =
        Job { plan, work, stop, watcher, queue: &queue, next: AtomicUsize::new(0), ended: Mutex::default() };
    let started = std::thread::scope(|scope| {
        let mut started = 0;
        for (choice, opened) in &mut devices {
            let job = &job;
            let work = move || job.worker(choice, opened);
            started += usize::from(std::thread::Builder::new().spawn_scoped(scope, work).is_ok());
        }
        started
    });
    if started == 0 {
        // The system starts no thread; where it starts some, they do the work of the others.
        let (choice, opened) = &mut devices[0];
        job.worker(choice, opened);
    }
    Ok(job.summary())
}

struct Job<'a> {
    plan: &'a Plan,
    work: &'a Work,
    stop: &'a AtomicBool,
    watcher: Watcher<'a>,
    queue: &'a [&'a Point],
    next: AtomicUsize,
    ended: Mutex<Vec<(usize, Ended)>>,
}

impl Job<'_> {
    /// Trains point after point. What it opens stays in `opened`, one device for each way of opening.
    fn worker(&self, choice: &AdapterChoice, opened: &mut HashMap<Opening, Device>) {
        while !self.stop.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(point) = self.queue.get(index) else { return };
            let wanted = point.config.opening(self.work.checked);
            let ready = opened.get(&wanted).cloned().map_or_else(|| Device::open(choice, wanted), Ok);
            let ended = match ready.map_err(TrainError::from).and_then(|ready| {
                let device = opened.entry(wanted).or_insert(ready);
                self.train(point, choice, device)
            }) {
                Ok(ended) => ended,
                Err(error @ (TrainError::Busy { .. } | TrainError::TakenOver { .. })) => {
                    Ended::Busy(error.to_string())
                }
                Err(error) => Ended::Failed(error.to_string()),
            };
            self.end(index, ended.clone());
            if let (Ended::Failed(_), Some(device)) = (ended, opened.get_mut(&wanted)) {
                // An adapter that has lost a buffer or itself would fail every run that follows.
                match Device::open(choice, wanted) {
                    Ok(again) => *device = again,
                    Err(_) => return,
                }
            }
        }
    }

    fn end(&self, index: usize, ended: Ended) {
        (self.watcher)(self.queue[index], &Event::Ended(&ended));
        self.ended.lock().expect("no worker panics with it").push((index, ended));
    }

    fn train(&self, point: &Point, choice: &AdapterChoice, device: &Device) -> Result<Ended, TrainError> {
        let mut config = point.config.clone();
        config.adapter = choice.to_string();
        let path = self.plan.folder.join(&point.name);
        let folder = locked_folder(&path, point, choice)?;
        if folder.is_complete(&config)? {
            return Ok(Ended::Skipped);
        }
        // Its clone keeps the lock until a failure is on record.
        let held = folder.clone();
        let fit = || {
            config.kernels = RunFolder::open(&path)?.1.kernels;
            let home = Home::Existing(folder);
            let mut relay = Relay { point, watcher: self.watcher };
            let mut fit = Fit::new(device.clone(), config, home, &mut relay, self.stop)?;
            if self.work.tensorboard {
                fit.log_to_tensorboard()?;
            }
            let (step, total) = (fit.trainer().step(), fit.total_steps());
            (self.watcher)(point, &Event::Begun { device: device.describe(), step, total });
            for note in fit.notes() {
                (self.watcher)(point, &Event::Note(note));
            }
            fit.run()
        };
        match fit() {
            Ok(outcome) if outcome.interrupted => Ok(Ended::Interrupted(outcome)),
            Ok(outcome) => Ok(Ended::Done(outcome)),
            Err(error @ TrainError::TakenOver { .. }) => Err(error),
            Err(error) => {
                // If the folder is another process's by now, nothing is to be written there, whatever went wrong here.
                if let Err(taken) = held.check_lock() {
                    return Ok(Ended::Failed(format!("{error}; and {taken}")));
                }
                let reason = error.to_string();
                held.record_failure(Some(&reason)).map_or_else(
                    |unrecorded| Ok(Ended::Failed(format!("{reason}; and {unrecorded}"))),
                    |()| Ok(Ended::Failed(reason.clone())),
                )
            }
        }
    }

    fn summary(self) -> Summary {
        let mut ended = self.ended.into_inner().expect("no worker panics with it");
        ended.sort_by_key(|(index, _)| *index);
        let untried = ended.len() < self.queue.len();
        let mut summary = Summary::default();
        if untried && !self.stop.load(Ordering::Relaxed) {
            let reason = "was not tried, because after an earlier failure no adapter could be opened again";
            let left = (0..self.queue.len()).filter(|i| ended.iter().all(|(index, _)| index != i));
            summary.failed = left.map(|i| (self.queue[i].name.clone(), reason.to_string())).collect();
        } else {
            summary.interrupted = untried;
        }
        for (index, ended) in ended {
            let name = self.queue[index].name.clone();
            match ended {
                Ended::Done(_) => summary.done.push(name),
                Ended::Skipped => summary.skipped.push(name),
                Ended::Busy(_) => summary.busy.push(name),
                Ended::Interrupted(_) => summary.interrupted = true,
                Ended::Failed(reason) => summary.failed.push((name, reason)),
            }
        }
        summary
    }
}

/// The point's own folder, new or as it is, locked.
fn locked_folder(path: &Path, point: &Point, choice: &AdapterChoice) -> Result<RunFolder, TrainError> {
    if !RunFolder::exists(path) {
        let mut config = point.config.clone();
        config.adapter = choice.to_string();
        match RunFolder::create(path, &config) {
            // Unless somebody has made it in the meantime.
            Err(TrainError::Run { .. }) if RunFolder::exists(path) => {}
            created => return created,
        }
    }
    let mut folder = own_folder(path, &point.config)?;
    folder.lock()?;
    // Read before it was locked, it may have changed since.
    own_folder(path, &point.config)?;
    Ok(folder)
}

/// Passes on what a run says, with its point.
struct Relay<'a> {
    point: &'a Point,
    watcher: Watcher<'a>,
}

impl Observer for Relay<'_> {
    fn step(&mut self, record: &StepRecord, total: u64) {
        (self.watcher)(self.point, &Event::Step(record, total));
    }

    fn epoch(&mut self, record: &EpochRecord, epochs: u32) {
        (self.watcher)(self.point, &Event::Epoch(record, epochs));
    }

    fn warning(&mut self, sentence: &str) {
        (self.watcher)(self.point, &Event::Warning(sentence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::training::{Method, Preset, TrainConfig};

    #[test]
    fn a_point_that_was_taken_over_is_anothers_and_nothing_is_recorded_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let preset = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        let (max_steps, checkpoint_every) = (Some(8), Some(4));
        let config =
            TrainConfig { method: Method::NATURAL, width: 0.03125, max_steps, checkpoint_every, ..preset };
        let points = vec![Point { name: "a".into(), config }];
        let plan = Plan { folder: folder.path().to_path_buf(), points };
        let own = folder.path().join("a");
        let watcher = |_: &Point, event: &Event| {
            if let Event::Step(record, _) = event
                && record.step == 1
            {
                std::fs::write(own.join("lock"), r#"{"host":"node17","pid":1,"since":0}"#).unwrap();
            }
        };
        let adapters = vec![AdapterChoice::Cpu];
        let work = Work { adapters, shard: None, checked: false, tensorboard: false };
        let summary = run(&plan, &work, &AtomicBool::new(false), &watcher).unwrap();
        assert_eq!((summary.busy, summary.failed), (vec!["a".to_string()], Vec::new()));
        assert!(own.join("config.toml").exists() && !own.join("failed.txt").exists());
    }

    #[test]
    fn a_warning_of_a_run_reaches_the_watcher_with_its_point() {
        let heard = Mutex::new(Vec::new());
        let watcher = |point: &Point, event: &Event| {
            heard.lock().unwrap().push(match event {
                Event::Warning(sentence) => format!("{}: {sentence}", point.name),
                other => format!("{other:?}"),
            });
        };
        let config = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        let point = Point { name: "fast-seed0".into(), config };
        Relay { point: &point, watcher: &watcher }.warning("catastrophic overfitting");
        assert_eq!(heard.into_inner().unwrap(), ["fast-seed0: catastrophic overfitting"]);
    }
}

//! A reproduction on one data set from its runs to the sections of its report.

use super::attack_plan::{Planned, attacks};
use super::cost::{self, Cost, Untrained};
use super::lab::Lab;
use super::{Experiment, Settings, experiments, plan};
use crate::attacks::AttackOptions;
use crate::data::Dataset;
use crate::evaluation::ImageChoice;
use crate::evaluation::Place;
use crate::evaluation::record::{Kept, Key, fingerprint_of_images};
use crate::evaluation::suite::{Event, records_in};
use crate::executor::Device;
use crate::report::Section;
use crate::shard::Shard;
use crate::sweep::{self, Plan, Point, State, SweepError, Work};
use crate::training::TrainError;
use crate::training::run_data::{open_data, problem_of};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Experiments on one data set.
pub struct Study {
    /// Everything that decides its runs.
    pub settings: Settings,
    /// What is asked for.
    pub experiments: Vec<Experiment>,
    /// The folder of its run folders.
    pub folder: PathBuf,
    /// The data set.
    pub dataset: Dataset,
}

/// Whether the model that a run starts from is there, if it needs one.
fn is_ready(point: &Point) -> bool {
    point.config.from.as_ref().is_none_or(|model| model.is_file())
}

/// What training left.
#[derive(Clone, Debug, Default)]
pub struct Trained {
    /// Runs that could not be trained, with the reason.
    pub failures: Vec<(String, String)>,
    /// Whether it was asked to stop; the same command goes on from there.
    pub interrupted: bool,
    /// Whether some runs are left to others: another shard's, or at work elsewhere.
    pub incomplete: bool,
}

impl Study {
    /// Experiments on the data set of `settings`; runs go to `runs/DATASET` in `out`.
    ///
    /// # Errors
    /// If the data set cannot be opened.
    pub fn new(settings: Settings, experiments: Vec<Experiment>, out: &Path) -> Result<Self, TrainError> {
        let dataset = open_data(&settings.base)?;
        let settings = settings.for_data(dataset.test.len(), dataset.class_names.len());
        let folder = out.join("runs").join(settings.base.dataset.name());
        Ok(Self { settings, experiments, folder, dataset })
    }

    /// The classifiers first, then the generators that are trained against some of them.
    pub fn plans(&self) -> [Plan; 2] {
        let classifiers = plan::classifiers(&self.experiments, &self.settings);
        let generators = plan::generators(&self.experiments, &self.settings, &self.folder);
        [classifiers, generators].map(|points| Plan { folder: self.folder.clone(), points })
    }

    /// The plans that a call trains. A shard leaves generators whose classifiers are not there to a later call; a plan is asked for
    /// them when its turn comes, after the classifiers are trained.
    fn plans_now(&self, shard: Option<Shard>) -> impl Iterator<Item = Plan> {
        let ready = move |plan: &Plan| shard.is_none() || plan.points.iter().all(is_ready);
        self.plans().into_iter().filter(move |plan| !plan.points.is_empty() && ready(plan))
    }

    /// How many runs there are, or how many of them are a shard's.
    pub fn runs(&self, shard: Option<Shard>) -> usize {
        let part = shard.unwrap_or(Shard::WHOLE);
        self.plans_now(shard).map(|plan| (0..plan.points.len()).filter(|&i| part.has(i)).count()).sum()
    }

    /// What is still to be trained and attacked here. A shard trains its own runs and attacks nothing.
    ///
    /// # Errors
    /// If a run folder holds another run, or a step cannot be measured.
    pub fn cost(&self, device: &Device, shard: Option<Shard>) -> Result<Cost, SweepError> {
        let part = shard.unwrap_or(Shard::WHOLE);
        let mut runs = Vec::new();
        for plan in self.plans_now(shard) {
            let states = sweep::state(&plan)?.into_iter().map(|(_, state)| state);
            let own = plan.points.into_iter().zip(states).enumerate().filter(|(i, _)| part.has(*i));
            runs.extend(own.filter_map(|(_, (Point { config, .. }, state))| match state {
                State::Done => None,
                State::Partial(done) => Some(Untrained { config, done }),
                State::Todo | State::Busy(_) | State::Failed(_) => Some(Untrained { config, done: 0 }),
            }));
        }
        let attacks = if shard.is_some() { Vec::new() } else { self.attacks_left(device) };
        Ok(cost::cost(device, &self.settings, (&runs, &attacks), &self.dataset)?)
    }

    /// The attacks of which no run keeps a record yet.
    fn attacks_left(&self, device: &Device) -> Vec<Planned> {
        let test = &self.dataset.test;
        let few = ImageChoice { limit: Some(self.settings.attack_images), ..ImageChoice::default() };
        let few = few.of(test).0;
        let fingerprints = [fingerprint_of_images(test), fingerprint_of_images(&few)];
        let mut left = attacks(&self.experiments, &self.settings, self.dataset.class_names.len());
        left.retain(|planned| {
            let images = &fingerprints[usize::from(planned.limit.is_some())];
            !planned.runs.iter().any(|run| self.is_known(run, &planned.options, images, device))
        });
        left
    }

    fn is_known(&self, run: &str, options: &AttackOptions, images: &str, device: &Device) -> bool {
        let Ok(place) = Place::find(&self.folder.join(run)) else { return false };
        let Ok(model) = place.model(Some(problem_of(&self.dataset))) else { return false };
        let key = Key::new(&model, None, options, images, device);
        matches!(records_in(&place.home).load(&key), Kept::Whole(_))
    }

    /// Trains what is not trained yet. A shard leaves generators whose classifiers are not there to a later call.
    ///
    /// # Errors
    /// If a plan cannot be begun; a run that fails is no error.
    pub fn train(
        &self,
        work: &Work,
        stop: &AtomicBool,
        watcher: sweep::Watcher,
    ) -> Result<Trained, SweepError> {
        let mut trained = Trained::default();
        for plan in self.plans_now(work.shard) {
            let summary = sweep::run(&plan, work, stop, watcher)?;
            trained.failures.extend(summary.failed);
            trained.interrupted |= summary.interrupted;
            trained.incomplete |= !summary.busy.is_empty();
            if trained.interrupted {
                return Ok(trained);
            }
        }
        let states = self.plans_now(None).map(|plan| sweep::state(&plan));
        for (_, state) in states.collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            trained.incomplete |= matches!(state, State::Todo | State::Partial(_));
        }
        Ok(trained)
    }

    /// Attacks the trained runs, as far as that has not been done, and says what came out.
    pub fn sections(
        &self,
        device: &Device,
        failures: Vec<(String, String)>,
        watch: &mut dyn FnMut(Event),
    ) -> Vec<Section> {
        let lab = Lab::new(&self.settings, device.clone(), &self.folder, failures, watch);
        self.experiments.iter().map(|&e| experiments::section(e, &lab, &self.dataset)).collect()
    }
}

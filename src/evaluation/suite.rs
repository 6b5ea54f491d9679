//! What an evaluation runs, in which order, and what of it is already known.
//!
//! For every run: each attack on its own weights; images made on the source and on the run's twin; and a short sweep
//! over settings that says whether the attacks themselves can be believed. Every (run, attack) is kept as soon as it
//! is finished, so whatever is repeated starts where it was interrupted.

use super::record::{Kept, Key, Record, Store, fingerprint_of_images};
use super::subject::{Place, Subject};
use super::{EvaluationError, predict};
use crate::attacks::attacker::Perturbed;
use crate::attacks::length;
use crate::attacks::{AttackKind, AttackOptions, AttackOutcome, Attacker, Goal};
use crate::data::{Images, classes, stratified};
use crate::executor::Device;
use crate::files;
use crate::models::file::{Model, UNKNOWN};
use crate::threat::Radius;
use std::path::{Path, PathBuf};

/// The sweep's checks are about the attacks, not about the classifier's exact accuracy; so many images will do.
const SWEEP_IMAGES: usize = 256;
/// Steps of PGD at the huge radius.
const HUGE_STEPS: usize = 20;
/// Folder of the records, in the run's.
const RECORDS: &str = "evaluation";

/// What an evaluation is made of.
pub struct Suite {
    /// Where it runs.
    pub device: Device,
    /// The attacks on each run.
    pub attacks: Vec<AttackOptions>,
    /// The radius of the worst case and of the attacks that have one.
    pub radius: Radius,
}

/// Another classifier that images are made on.
pub struct Source {
    /// `source` or `twin`.
    pub flag: &'static str,
    /// Where it is.
    pub place: Place,
    /// The runs, by index, that its images are tried on.
    pub runs: Vec<usize>,
}

/// What an evaluation tells while it runs.
pub enum Event<'a> {
    /// Nothing to do: the result is there from an earlier evaluation.
    Known(&'a str),
    /// A result of an earlier evaluation is damaged and will be computed again: a sentence that names its file.
    Damaged(&'a str),
    /// So many images are done, of how many.
    Progress(&'a str, usize, usize),
    /// A result is there, after so many seconds.
    Finished(&'a str, f64),
}

/// Who is told.
pub type Watcher<'a> = &'a mut dyn FnMut(Event);

/// Images made on another classifier, tried on a run.
pub struct BlackBox {
    /// `source` or `twin`.
    pub flag: &'static str,
    /// The other classifier's name.
    pub made_on: String,
    /// The seed that both were trained with, if it is the same.
    pub same_seed: Option<u64>,
    /// What they did.
    pub record: Record,
}

/// Everything that was found out about a run.
pub struct Findings {
    /// In the order of [`Suite::attacks`].
    pub white_box: Vec<Record>,
    /// Attacks with a radius, made elsewhere.
    pub black_box: Vec<BlackBox>,
    /// Other settings, over a few images only.
    pub sweep: Vec<Record>,
    /// An attack within a radius that nothing withstands, over the same few images.
    pub huge: Option<Record>,
    /// Those images, by their places in the other records.
    pub few: Vec<u32>,
}

impl Findings {
    /// The white-box record of an attack.
    pub fn of(&self, kind: AttackKind) -> Option<&Record> {
        self.white_box.iter().find(|record| record.kind() == kind)
    }

    /// All records over all images.
    pub fn all(&self) -> impl Iterator<Item = &Record> {
        self.white_box.iter().chain(self.black_box.iter().map(|b| &b.record))
    }
}

/// Refuses an attack that cannot run on a model, before anything is computed.
pub fn check(place: &Place, model: &Model, options: &AttackOptions) -> Result<(), EvaluationError> {
    options.check(model.facts.problem)?;
    if options.kind.goal == Goal::Generator && model.generator.is_none() {
        return Err(EvaluationError::NoGenerator { path: place.file.clone() });
    }
    Ok(())
}

/// Runs one attack; an error names the model.
pub fn attack(
    device: &Device,
    (place, model): (&Place, &Model),
    images: &Images,
    options: &AttackOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<AttackOutcome, EvaluationError> {
    let refused = |source| EvaluationError::Attack { name: place.name.clone(), source };
    let mut attacker = Attacker::new(device, model, options.clone(), images.len()).map_err(refused)?;
    attacker.run(images, progress).map_err(refused)
}

impl Suite {
    /// Evaluates every run.
    pub fn run(
        &self,
        runs: &[Subject],
        sources: &[Source],
        watch: Watcher,
    ) -> Result<Vec<Findings>, EvaluationError> {
        let Some(first) = runs.first() else { return Ok(Vec::new()) };
        let images = fingerprint_of_images(&first.images);
        for run in runs {
            self.check_run(first, run, &images)?;
        }
        let models =
            sources.iter().map(|source| check_source(source, runs)).collect::<Result<Vec<_>, _>>()?;
        let mut findings = Vec::new();
        for run in runs {
            let white_box = self.white_box(run, &self.attacks, (&run.images, &images), watch)?;
            let few = few_of(run);
            let images = run.images.subset(&few);
            let (settings, huge) = self.sweep(&run.model);
            let on = (&images, &*fingerprint_of_images(&images));
            let sweep = self.white_box(run, &settings, on, watch)?;
            let huge = self.white_box(run, &[huge], on, watch)?.pop();
            findings.push(Findings { white_box, black_box: Vec::new(), sweep, huge, few });
        }
        for (source, model) in sources.iter().zip(&models) {
            self.black_box(source, model, runs, &mut findings, watch)?;
        }
        Ok(findings)
    }

    fn check_run(&self, first: &Subject, run: &Subject, images: &str) -> Result<(), EvaluationError> {
        if fingerprint_of_images(&run.images) != images {
            return Err(EvaluationError::DifferentImages {
                first: first.place.name.clone(),
                first_data: format!("{} of {}", first.images.len(), first.data_set),
                other: run.place.name.clone(),
                other_data: format!("{} of {}", run.images.len(), run.data_set),
            });
        }
        self.attacks.iter().try_for_each(|options| check(&run.place, &run.model, options))
    }

    /// Settings that must leave less than those of the attacks, or no more: a larger radius, half the steps, and a
    /// radius that nothing withstands, which comes apart.
    fn sweep(&self, model: &Model) -> (Vec<AttackOptions>, AttackOptions) {
        let Radius { norm, epsilon } = self.radius;
        let box_norm = length::longest(norm, model.facts.problem.pixels());
        let epsilon = (2.0 * epsilon).min(box_norm);
        let mut settings = Vec::new();
        for options in self.attacks.iter().filter(|options| options.kind.has_radius()) {
            if !options.kind.iterates_in_ball() {
                settings.push(AttackOptions { epsilon, ..options.clone() });
            } else if options.iterations > 1 {
                let half = AttackOptions { iterations: options.iterations / 2, ..options.clone() };
                settings.push(AttackOptions { epsilon, ..half.clone() });
                settings.push(half);
            }
        }
        let huge = AttackOptions::new(AttackKind::PGD);
        let like = self.attacks.first().unwrap_or(&huge);
        let (ce_form, batch_size, seed) = (like.ce_form, like.batch_size, like.seed);
        let (epsilon, iterations) = (box_norm / 2.0, HUGE_STEPS);
        let huge = AttackOptions { batch_size, epsilon, norm, iterations, ce_form, seed, ..huge };
        (settings, huge)
    }

    /// The attacks on one run, from its records where they are kept there.
    pub fn white_box(
        &self,
        run: &Subject,
        attacks: &[AttackOptions],
        (images, fingerprint): (&Images, &str),
        watch: Watcher,
    ) -> Result<Vec<Record>, EvaluationError> {
        let store = store(run);
        // Before an attack is made whose result could not be kept.
        files::check_writable(&records_folder(&run.place.home))?;
        let mut records = Vec::new();
        for options in attacks {
            let label = format!("{} on {}", describe(options), run.place.name);
            let key = Key::new(&run.model, None, options, fingerprint, &self.device);
            if let Some(record) = known(&store, &key, watch) {
                watch(Event::Known(&label));
                records.push(record);
                continue;
            }
            let outcome = self.attack((&run.place, &run.model), images, options, &label, watch)?;
            let record = Record::white_box(key, outcome);
            store.save(&record)?;
            watch(Event::Finished(&label, record.seconds));
            records.push(record);
        }
        Ok(records)
    }

    fn attack(
        &self,
        attacked: (&Place, &Model),
        images: &Images,
        options: &AttackOptions,
        label: &str,
        watch: Watcher,
    ) -> Result<AttackOutcome, EvaluationError> {
        watch(Event::Progress(label, 0, images.len()));
        attack(&self.device, attacked, images, options, &mut |done, total| {
            watch(Event::Progress(label, done, total));
        })
    }

    /// Attacks all images for another classifier, also those that this one gets wrong.
    fn make(
        &self,
        (place, model): (&Place, &Model),
        images: &Images,
        options: &AttackOptions,
        label: &str,
        watch: Watcher,
    ) -> Result<Perturbed, EvaluationError> {
        let refused = |source| EvaluationError::Attack { name: place.name.clone(), source };
        let mut attacker =
            Attacker::new(&self.device, model, options.clone(), images.len()).map_err(refused)?;
        let progress = &mut |done, total| watch(Event::Progress(label, done, total));
        attacker.run_for_others(images, progress).map_err(refused)
    }

    /// Makes images on `source` with every attack that has a radius and tries them on its runs.
    fn black_box(
        &self,
        source: &Source,
        model: &Model,
        runs: &[Subject],
        findings: &mut [Findings],
        watch: Watcher,
    ) -> Result<(), EvaluationError> {
        for options in self.attacks.iter().filter(|options| options.kind.has_radius()) {
            let label = format!("{} images of {}", describe(options), source.place.name);
            let mut made = None;
            for &index in &source.runs {
                let (run, found) = (&runs[index], &mut findings[index]);
                let (images, store) = (fingerprint_of_images(&run.images), store(run));
                let key = Key::new(&run.model, Some(model), options, &images, &self.device);
                if key.made_on.as_ref() == Some(&key.classifier) {
                    // Its own images are no black box.
                    continue;
                }
                let record = match known(&store, &key, watch) {
                    Some(record) => {
                        watch(Event::Known(&format!("{label} on {}", run.place.name)));
                        record
                    }
                    None => {
                        let outcome = match made.take() {
                            Some(outcome) => outcome,
                            None => {
                                let outcome =
                                    self.make((&source.place, model), &run.images, options, &label, watch)?;
                                watch(Event::Finished(&label, outcome.seconds));
                                outcome
                            }
                        };
                        let record = self.tried(run, key, &outcome, found)?;
                        made = Some(outcome);
                        store.save(&record)?;
                        record
                    }
                };
                let made_on = source.place.name.clone();
                let same_seed = same_seed(&source.place, &run.place);
                found.black_box.push(BlackBox { flag: source.flag, made_on, same_seed, record });
            }
        }
        Ok(())
    }

    /// What images made elsewhere do to a run. One that the run gets wrong without them counts as not moved.
    fn tried(
        &self,
        run: &Subject,
        key: Key,
        made: &Perturbed,
        found: &Findings,
    ) -> Result<Record, EvaluationError> {
        let images = run.images.len();
        let answers = |pixels: &[f32]| {
            let refused = |source| EvaluationError::Attack { name: run.place.name.clone(), source };
            predict::answers(&self.device, &run.model, pixels, &mut |_, _| {}).map_err(refused)
        };
        let clean_predictions = match found.white_box.first() {
            Some(record) => record.clean_predictions.clone(),
            None => answers(&run.images.to_unit(0..images))?,
        };
        let labels: Vec<usize> = run.images.labels().iter().map(|&label| usize::from(label)).collect();
        let mut record = Record {
            key,
            predictions: answers(&made.adversarial)?,
            labels,
            clean_predictions,
            targets: None,
            l2: made.l2.clone(),
            linf: made.linf.clone(),
            zero_gradient: vec![false; images],
            seconds: made.seconds,
        };
        for i in 0..images {
            if !record.correct(i) {
                record.predictions[i] = record.clean_predictions[i];
                (record.l2[i], record.linf[i]) = (0.0, 0.0);
            }
        }
        Ok(record)
    }
}

/// The images of the sweep: of every class its share, also where all images are attacked, in the order of their file. The
/// beginning of fewer, chosen ones is such a choice.
fn few_of(run: &Subject) -> Vec<u32> {
    let all = run.images.len();
    match all > SWEEP_IMAGES && run.indices.is_sorted() {
        true => stratified(run.images.labels(), SWEEP_IMAGES, 0),
        false => (0..all.min(SWEEP_IMAGES) as u32).collect(),
    }
}

/// The attack with what the sweep varies.
fn describe(options: &AttackOptions) -> String {
    let kind = options.kind;
    match (kind.has_radius(), kind.iterates_in_ball()) {
        (true, true) => format!("{} {} x{}", kind.title, options.epsilon, options.iterations),
        (true, false) => format!("{} {}", kind.title, options.epsilon),
        _ => kind.title.to_string(),
    }
}

/// The seed that two runs share.
fn same_seed(a: &Place, b: &Place) -> Option<u64> {
    let (a, b) = (a.config()?, b.config()?);
    (a.seed == b.seed).then_some(a.seed)
}

/// The record of an earlier evaluation, if it is whole.
fn known(store: &Store, key: &Key, watch: Watcher) -> Option<Record> {
    match store.load(key) {
        Kept::Whole(record) => Some(*record),
        Kept::Absent => None,
        Kept::Damaged(problem) => {
            watch(Event::Damaged(&problem));
            None
        }
    }
}

fn store(run: &Subject) -> Store {
    records_in(&run.place.home)
}

/// The records that are kept in a run's folder.
pub fn records_in(home: &Path) -> Store {
    Store::new(&records_folder(home))
}

/// Where a run's folder keeps what attacks left.
pub fn records_folder(home: &Path) -> PathBuf {
    home.join(RECORDS)
}

/// Reads a source, which must be of the data set of the runs that it is tried on.
fn check_source(source: &Source, runs: &[Subject]) -> Result<Model, EvaluationError> {
    let run = &runs[source.runs.first().copied().unwrap_or(0)];
    source.place.check_model()?;
    let facts = Model::load(&source.place.file, None)?.facts;
    let known = facts.dataset != UNKNOWN && run.model.facts.dataset != UNKNOWN;
    if known && facts.dataset != run.model.facts.dataset {
        return Err(EvaluationError::ForeignSource {
            flag: source.flag,
            source_name: source.place.name.clone(),
            source_data: facts.dataset,
            name: run.place.name.clone(),
            data: run.model.facts.dataset.clone(),
        });
    }
    let compared = classes::compare(&facts.class_names, &run.class_names);
    compared
        .map_err(|mismatch| EvaluationError::Classes { path: source.place.file.clone(), source: mismatch })?;
    source.place.model(Some(run.model.facts.problem))
}

//! Runs an attack over a set of images and verifies what came out.
//!
//! Attacks of fixed length take batch after batch. Attacks that end image by image work in *slots*: every
//! few iterations the images that are done leave, and the next ones take their places, so that the batch stays full
//! and cost follows the images still working. (The other way, masking them and compacting the batch from time to time,
//! needs programs of several sizes and leaves the tail half empty.)
//!
//! Images that the classifier gets wrong without an attack are not attacked: there is nothing to win, and an attack could
//! only move them into their own class.

use super::carlini_wagner::CarliniWagner;
use super::deepfool::{DeepFool, STACKED};
use super::fgm::Fgm;
use super::generator::GeneratorAttack;
use super::mim::Mim;
use super::options::{AttackKind, AttackOptions, OptionError};
use super::outcome::AttackOutcome;
use super::pgd::Pgd;
use super::target::{IMAGES, LABELS, Target};
use super::verify::{Verifier, check_places};
use crate::data::Images;
use crate::executor::{Device, ExecutionError, Session};
use crate::memory::{self, OutOfMemory};
use crate::models::file::Model;
use crate::program::Program;
use std::sync::Arc;
use std::time::Instant;

/// Iterations between two looks at the device.
pub const READ_BACK_INTERVAL: usize = 10;

/// The smallest divisor of `iterations` from [`READ_BACK_INTERVAL`] on: how many run between two looks.
pub fn chunk_of(iterations: usize) -> usize {
    (READ_BACK_INTERVAL..iterations).find(|d| iterations.is_multiple_of(*d)).unwrap_or(iterations)
}

/// Why an attack could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttackError {
    /// An option.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The device.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// Memory for the images.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// A graph; a mistake of ours.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
    /// An adversarial image is where the attack promises that none is.
    #[error(
        "image {image} of {attack} {problem}: this adapter computes wrongly, none of its numbers can be believed; run \
         `pgn-wgpu validate` on it, and use --adapter cpu meanwhile"
    )]
    BrokenPromise {
        /// The attack.
        attack: &'static str,
        /// Index of the image.
        image: usize,
        /// Where it is.
        problem: String,
    },
    /// The attack does not suit the model.
    #[error("{0}")]
    Unsuitable(String),
}

/// An attack of fixed length over the batch that is loaded.
pub trait BatchAttack {
    /// The attacked images; `first` is the index of the batch's first image in its set. The others follow it if
    /// [`BatchAttack::goes_by_place`].
    fn attack(&mut self, target: &mut Target, first: usize) -> Result<Vec<f32>, ExecutionError>;
    /// Whether an image's place in its set matters, as it does for random starts.
    fn goes_by_place(&self) -> bool {
        false
    }
    /// Its programs.
    fn sessions(&self) -> Vec<&Session>;
}

/// An attack that ends image by image.
pub trait SlotAttack {
    /// Starts on a new image in `slot`.
    fn load(&mut self, target: &mut Target, slot: usize, image: &[f32]) -> Result<(), ExecutionError>;
    /// Runs iterations on all slots, then looks at how they are.
    fn advance(&mut self, target: &mut Target, iterations: usize) -> Result<(), ExecutionError>;
    /// Whether the slot's image needs no more iterations.
    fn finished(&self, slot: usize) -> bool;
    /// The images as they would come out now, of all slots.
    fn results(&mut self, target: &mut Target) -> Result<Vec<f32>, ExecutionError>;
    /// Its programs.
    fn sessions(&self) -> Vec<&Session>;
    /// Iterations between two looks.
    fn chunk(&self) -> usize;
}

enum Kind {
    Batch(Box<dyn BatchAttack>),
    Slots(Box<dyn SlotAttack>),
}

/// An attack prepared for a model on a device.
pub struct Attacker {
    options: AttackOptions,
    target: Target,
    kind: Kind,
    verifier: Verifier,
}

impl Attacker {
    /// Prepares `options` against the averaged weights of `model`, for about `images` images: it takes up no more
    /// places at a time than so many fill, and no more than a batch. Results depend neither on this nor on the batch size.
    pub fn new(
        device: &Device,
        model: &Model,
        options: AttackOptions,
        images: usize,
    ) -> Result<Self, AttackError> {
        options.check(model.facts.problem)?;
        let mut slots = slots_for(&options, images);
        loop {
            let error = match prepare(device, model, &options, slots) {
                Ok((target, kind, verifier)) => return Ok(Self { options, target, kind, verifier }),
                Err(AttackError::Execution(error)) if error.is_too_large() => error,
                Err(error) => return Err(error),
            };
            // As many as fit the adapter, or the memory that the CPU path gets.
            let fewer = fewer_slots(&options, slots);
            if fewer == slots {
                return Err(error.into());
            }
            device.forget_out_of_memory();
            slots = fewer;
        }
    }

    /// Images at a time.
    pub fn slots(&self) -> usize {
        self.target.slots
    }

    /// The programs that it runs, without those of the verification.
    pub fn programs(&self) -> Vec<Arc<Program>> {
        let sessions = match &self.kind {
            Kind::Batch(attack) => attack.sessions(),
            Kind::Slots(attack) => attack.sessions(),
        };
        sessions.into_iter().map(|s| s.program().clone()).collect()
    }

    /// Attacks those of `images` that the model classifies correctly and returns the others as they are; `progress` is told
    /// how many are done, of how many.
    pub fn run(
        &mut self,
        images: &Images,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<AttackOutcome, AttackError> {
        let (originals, labels) = pixels_and_labels(images)?;
        let clean = self.verifier.clean(&mut self.target, &originals, &labels)?;
        let right: Vec<usize> = (0..labels.len()).filter(|&i| clean.predictions[i] == labels[i]).collect();
        let moved = self.perturb(&originals, &labels, &right, progress)?;
        // The others are the same images as before, so they get the same answers.
        let (mut predictions, pixels) = (clean.predictions.clone(), self.target.pixels());
        let attacked: Vec<f32> =
            right.iter().flat_map(|&i| &moved.adversarial[i * pixels..][..pixels]).copied().collect();
        let answers = self.verifier.predictions(&mut self.target, &attacked)?;
        for (&i, answer) in right.iter().zip(answers) {
            predictions[i] = answer;
        }
        Ok(AttackOutcome {
            problem: self.target.problem(),
            images: originals,
            adversarial: moved.adversarial,
            labels,
            clean_predictions: clean.predictions,
            predictions,
            l2: moved.l2,
            linf: moved.linf,
            zero_gradient: clean.zero_gradient,
            seconds: moved.seconds,
        })
    }

    /// Attacks all of `images`, also those that the model gets wrong: another classifier, which is shown the result, may
    /// get them right.
    pub fn run_for_others(
        &mut self,
        images: &Images,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Perturbed, AttackError> {
        let (originals, labels) = pixels_and_labels(images)?;
        let all: Vec<usize> = (0..labels.len()).collect();
        self.perturb(&originals, &labels, &all, progress)
    }

    /// Attacks the images with these indices, and checks that all lie where the attack promises.
    fn perturb(
        &mut self,
        originals: &[f32],
        labels: &[usize],
        chosen: &[usize],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Perturbed, AttackError> {
        let (started, pixels) = (Instant::now(), self.target.pixels());
        let set = Set { pixels, images: originals, classes: labels, chosen };
        let adversarial = match &mut self.kind {
            Kind::Batch(attack) => over_batches(attack.as_mut(), &mut self.target, &set, progress)?,
            Kind::Slots(attack) => over_slots(attack.as_mut(), &mut self.target, &set, progress)?,
        };
        let moved = Perturbed::new(originals, adversarial, pixels, started.elapsed().as_secs_f64());
        check_places(&self.options, &moved, pixels)?;
        Ok(moved)
    }
}

/// What an attacker needs for `slots` images at a time.
fn prepare(
    device: &Device,
    model: &Model,
    options: &AttackOptions,
    slots: usize,
) -> Result<(Target, Kind, Verifier), AttackError> {
    let mut target = Target::new(device, model, slots)?;
    let verifier = Verifier::new(&mut target, options.ce_form)?;
    let kind = match options.kind {
        AttackKind::Fgm => Kind::Batch(Box::new(Fgm::new(&mut target, options)?)),
        AttackKind::Pgd => Kind::Batch(Box::new(Pgd::new(&mut target, options)?)),
        AttackKind::Mim => Kind::Batch(Box::new(Mim::new(&mut target, options)?)),
        AttackKind::DeepFool => Kind::Slots(Box::new(DeepFool::new(&mut target, options)?)),
        AttackKind::Cw => Kind::Slots(Box::new(CarliniWagner::new(&mut target, options)?)),
        AttackKind::Pgn => {
            let Some(generator) = &model.generator else {
                return Err(AttackError::Unsuitable(
                    "the model has no generator to attack with; make one with `pgn-wgpu train-generator`"
                        .into(),
                ));
            };
            let reading = model.facts.gradient_input;
            Kind::Batch(Box::new(GeneratorAttack::new(&mut target, options, generator, reading)?))
        }
    };
    Ok((target, kind, verifier))
}

fn pixels_and_labels(images: &Images) -> Result<(Vec<f32>, Vec<usize>), AttackError> {
    // Originals and results are in memory together, and so are parts of them.
    memory::with_room::<f32>(3 * images.len() * images.side() * images.side() * images.channels())?;
    let labels = images.labels().iter().map(|&l| usize::from(l)).collect();
    Ok((images.to_unit(0..images.len()), labels))
}

/// Attacked images on which no classifier has been asked yet.
#[derive(Clone, Debug)]
pub struct Perturbed {
    /// The images, `[n, s, s, c]`.
    pub adversarial: Vec<f32>,
    /// Euclidean norm of each perturbation.
    pub l2: Vec<f32>,
    /// Largest absolute value of each perturbation.
    pub linf: Vec<f32>,
    /// Seconds of the attack.
    pub seconds: f64,
}

impl Perturbed {
    /// Measures how far each image of so many `pixels` was moved.
    pub(super) fn new(originals: &[f32], adversarial: Vec<f32>, pixels: usize, seconds: f64) -> Self {
        let lengths = |measure: fn(f64, f64) -> f64| -> Vec<f64> {
            let pairs = adversarial.chunks(pixels).zip(originals.chunks(pixels));
            pairs
                .map(|(a, o)| {
                    a.iter()
                        .zip(o)
                        .fold(0.0, |sum, (a, o)| measure(sum, (f64::from(*a) - f64::from(*o)).abs()))
                })
                .collect()
        };
        let l2 = lengths(|sum, d| d.mul_add(d, sum)).iter().map(|v| v.sqrt() as f32).collect();
        let linf = lengths(f64::max).iter().map(|v| *v as f32).collect();
        Self { adversarial, l2, linf, seconds }
    }
}

/// How many of `images` images at a time: as few as go over all in the same number of batches, so that no place stays
/// empty for long.
fn slots_for(options: &AttackOptions, images: usize) -> usize {
    let images = images.max(1);
    let slots = images.div_ceil(images.div_ceil(options.batch_size));
    match options.kind {
        AttackKind::DeepFool => slots.next_multiple_of(STACKED),
        _ => slots,
    }
}

/// About half of `slots`; the same if there are no fewer.
fn fewer_slots(options: &AttackOptions, slots: usize) -> usize {
    match options.kind {
        AttackKind::DeepFool => slots.div_ceil(2).next_multiple_of(STACKED),
        _ => slots.div_ceil(2),
    }
}

/// Images with their classes, and the indices of those that are attacked.
struct Set<'a> {
    pixels: usize,
    images: &'a [f32],
    classes: &'a [usize],
    chosen: &'a [usize],
}

impl Set<'_> {
    fn image(&self, index: usize) -> &[f32] {
        &self.images[index * self.pixels..][..self.pixels]
    }

    /// Images that are done from the start.
    fn spared(&self) -> usize {
        self.classes.len() - self.chosen.len()
    }
}

fn over_batches(
    attack: &mut dyn BatchAttack,
    target: &mut Target,
    set: &Set,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<f32>, ExecutionError> {
    let (total, pixels) = (set.classes.len(), set.pixels);
    let mut adversarial = memory::copy(set.images)?;
    let all: Vec<usize> = (0..total).collect();
    let by_place = attack.goes_by_place();
    let members = if by_place { &all } else { set.chosen };
    let mut done = if by_place { 0 } else { set.spared() };
    progress(done, total);
    for batch in members.chunks(target.slots) {
        // The last batch is filled up with its own first image.
        let padded = batch.iter().chain(std::iter::repeat(&batch[0])).take(target.slots);
        let images: Vec<f32> = padded.clone().flat_map(|&i| set.image(i).iter().copied()).collect();
        let classes: Vec<f32> = padded.map(|&i| set.classes[i] as f32).collect();
        target.load(&images, &classes)?;
        let attacked = attack.attack(target, batch[0])?;
        for (&i, image) in batch.iter().zip(attacked.chunks(pixels)) {
            if set.chosen.binary_search(&i).is_ok() {
                adversarial[i * pixels..][..pixels].copy_from_slice(image);
            }
        }
        done += batch.len();
        progress(done, total);
    }
    Ok(adversarial)
}

fn over_slots(
    attack: &mut dyn SlotAttack,
    target: &mut Target,
    set: &Set,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<f32>, ExecutionError> {
    let total = set.classes.len();
    let mut adversarial = memory::copy(set.images)?;
    let mut members: Vec<Option<usize>> = vec![None; target.slots];
    let mut waiting = set.chosen.iter().copied();
    let mut done = set.spared();
    progress(done, total);
    target.load(&vec![0.5; target.slots * set.pixels], &vec![0.0; target.slots])?;
    for (slot, member) in members.iter_mut().enumerate() {
        *member = take(attack, target, set, slot, &mut waiting)?;
    }
    while done < total {
        attack.advance(target, attack.chunk())?;
        let leaving: Vec<usize> =
            (0..target.slots).filter(|&s| members[s].is_some() && attack.finished(s)).collect();
        if leaving.is_empty() {
            continue;
        }
        let results = attack.results(target)?;
        for slot in leaving {
            let index = members[slot].expect("leaving slots have images");
            adversarial[index * set.pixels..][..set.pixels]
                .copy_from_slice(&results[slot * set.pixels..][..set.pixels]);
            members[slot] = take(attack, target, set, slot, &mut waiting)?;
            done += 1;
        }
        progress(done, total);
    }
    Ok(adversarial)
}

/// Puts the next image of the set into `slot`; a slot for which none is left goes on with what it has.
fn take(
    attack: &mut dyn SlotAttack,
    target: &mut Target,
    set: &Set,
    slot: usize,
    waiting: &mut impl Iterator<Item = usize>,
) -> Result<Option<usize>, ExecutionError> {
    let Some(index) = waiting.next() else { return Ok(None) };
    target.workspace.write_part(IMAGES, slot * set.pixels, set.image(index))?;
    target.workspace.write_part(LABELS, slot, &[set.classes[index] as f32])?;
    attack.load(target, slot, set.image(index))?;
    Ok(Some(index))
}

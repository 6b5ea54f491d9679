//! Runs an attack over a set of images and verifies what came out.
//!
//! Images that the classifier gets wrong without an attack are not attacked: there is nothing to win, and an attack could
//! only move them into their own class.

use super::driver::{self, Prepared, Set};
use super::options::{AttackOptions, OptionError};
use super::outcome::AttackOutcome;
use super::target::Target;
use super::verify::{Verifier, check_places};
use crate::data::Images;
use crate::executor::{Device, ExecutionError};
use crate::memory::{self, OutOfMemory};
use crate::models::file::Model;
use crate::program::Program;
use std::sync::Arc;
use std::time::Instant;

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

/// Images with their classes and places.
#[derive(Clone, Copy)]
struct Originals<'a> {
    images: &'a [f32],
    classes: &'a [usize],
    places: &'a [usize],
}

/// An attack prepared for a model on a device.
pub struct Attacker {
    options: AttackOptions,
    target: Target,
    attack: Prepared,
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
                Ok((target, attack, verifier)) => return Ok(Self { options, target, attack, verifier }),
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
        let sessions = self.attack.sessions();
        sessions.into_iter().map(|s| s.program().clone()).collect()
    }

    /// Attacks those of `images` that the model classifies correctly and returns the others as they are; `progress` is told
    /// how many are done, of how many.
    pub fn run(
        &mut self,
        images: &Images,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<AttackOutcome, AttackError> {
        let places: Vec<usize> = (0..images.len()).collect();
        self.run_at(images, &places, progress)
    }

    /// The same of images that are a part of a whole, in which they have these places. Random numbers follow the places, so
    /// an image meets the same attack in every part.
    pub fn run_at(
        &mut self,
        images: &Images,
        places: &[usize],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<AttackOutcome, AttackError> {
        let (originals, labels) = pixels_and_labels(images)?;
        let clean = self.verifier.clean(&mut self.target, &originals, &labels)?;
        let right: Vec<usize> = (0..labels.len()).filter(|&i| clean.predictions[i] == labels[i]).collect();
        let moved =
            self.perturb(Originals { images: &originals, classes: &labels, places }, &right, progress)?;
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
        self.perturb(Originals { images: &originals, classes: &labels, places: &all }, &all, progress)
    }

    /// Attacks the images with these indices, and checks that all lie where the attack promises.
    fn perturb(
        &mut self,
        originals: Originals,
        chosen: &[usize],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Perturbed, AttackError> {
        let (started, pixels) = (Instant::now(), self.target.pixels());
        let Originals { images, classes, places } = originals;
        let set = Set { pixels, images, classes, chosen, places };
        let adversarial = self.attack.over(&mut self.target, &set, progress)?;
        let moved = Perturbed::new(images, adversarial, pixels, started.elapsed().as_secs_f64());
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
) -> Result<(Target, Prepared, Verifier), AttackError> {
    let mut target = Target::new(device, model, slots)?;
    let verifier = Verifier::new(&mut target, options.ce_form)?;
    let attack = Prepared::new(&mut target, options, model)?;
    Ok((target, attack, verifier))
}

fn pixels_and_labels(images: &Images) -> Result<(Vec<f32>, Vec<usize>), AttackError> {
    // Originals and results are in memory together, and so are parts of them.
    memory::with_room::<f32>(3 * images.len() * images.image_len())?;
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
    slots.next_multiple_of(driver::multiple(options))
}

/// About half of `slots`; the same if there are no fewer.
fn fewer_slots(options: &AttackOptions, slots: usize) -> usize {
    slots.div_ceil(2).next_multiple_of(driver::multiple(options))
}

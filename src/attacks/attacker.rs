//! Runs an attack over a set of images and verifies what came out.
//!
//! Images that the classifier gets wrong without an attack are not attacked: there is nothing to win, and an attack could
//! only move them into their own class.

use super::aim::Aim;
use super::driver::{self, Prepared, Set};
use super::options::{AttackOptions, Norm, OptionError};
use super::outcome::AttackOutcome;
use super::target::Target;
use super::verify::{Clean, Verifier, check_bounds};
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
         `pgn-wgpu validate` on it, and use `adapter` cpu meanwhile"
    )]
    BrokenPromise {
        /// The attack.
        attack: &'static str,
        /// Its place in the set.
        image: usize,
        /// Where it is.
        problem: String,
    },
    /// The attack does not suit the model.
    #[error("{0}")]
    Unsuitable(String),
}

impl AttackError {
    /// The model's answer to this image cannot be used.
    pub(crate) fn not_numbers(image: usize) -> Self {
        Self::Unsuitable(format!(
            "the model's logits for image {image} are not numbers; its weights have diverged, use another model"
        ))
    }
}

/// Images with their classes and places.
#[derive(Clone, Copy)]
struct Originals<'a> {
    images: &'a [f32],
    classes: &'a [usize],
    /// The classes that they are led to; empty where any other will do.
    aims: &'a [usize],
    /// The images at which the attack starts, if they are given.
    starts: &'a [f32],
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
    /// slots than so many fill, and no more than a batch. Results depend neither on this nor on the batch size.
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
        self.run_from(images, places, &[], progress)
    }

    /// The same from other images near them, `starts`, for an attack whose options say that it is
    /// [`started`](AttackOptions::started) there.
    pub fn run_from(
        &mut self,
        images: &Images,
        places: &[usize],
        starts: &[f32],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<AttackOutcome, AttackError> {
        let (originals, labels) = pixels_and_labels(images)?;
        if self.options.started && starts.len() != originals.len() {
            let problem =
                format!("{} starts at images that are given, and there are none", self.options.kind);
            return Err(AttackError::Unsuitable(problem));
        }
        let clean = self.verifier.clean(&mut self.target, &originals, &labels, places)?;
        let right: Vec<usize> = (0..labels.len()).filter(|&i| clean.predictions[i] == labels[i]).collect();
        let mut found = Found::new(&originals, &clean)?;
        let (rounds, n) = (self.options.target.rounds(self.target.problem().classes), labels.len());
        for round in 0..rounds {
            let aims = self.aims(round, &labels, &clean, places);
            let led = |&i: &usize| aims.get(i).is_none_or(|aim| *aim != labels[i]);
            let open = |&i: &usize| !(self.options.kind.has_radius() && found.succeeded[i]);
            let chosen: Vec<usize> = right.iter().copied().filter(led).filter(open).collect();
            if chosen.is_empty() {
                continue;
            }
            let from = Originals { images: &originals, classes: &labels, aims: &aims, starts, places };
            let moved = self.perturb(from, &chosen, &mut |done, _| {
                progress((round * n + done) / rounds, n);
            })?;
            let attacked: Vec<f32> = chosen.iter().flat_map(|&i| moved.image(i)).copied().collect();
            let own: Vec<usize> = chosen.iter().map(|&i| places[i]).collect();
            let answers = self.verifier.predictions(&mut self.target, &attacked, &own)?;
            found.add(&self.options, &labels, &aims, &moved, chosen.into_iter().zip(answers));
        }
        progress(n, n);
        let targets = (self.options.target != Aim::Away).then_some(found.targets);
        Ok(AttackOutcome {
            problem: self.target.problem(),
            images: originals,
            adversarial: found.moved.adversarial,
            labels,
            clean_predictions: clean.predictions,
            predictions: found.predictions,
            targets,
            l2: found.moved.l2,
            linf: found.moved.linf,
            zero_gradient: clean.zero_gradient,
            seconds: found.moved.seconds,
        })
    }

    /// The classes that images are led to in a round; none where any other will do.
    fn aims(&self, round: usize, labels: &[usize], clean: &Clean, places: &[usize]) -> Vec<usize> {
        let classes = self.target.problem().classes;
        let of = |(i, &label): (usize, &usize)| {
            let logits = &clean.logits[i * classes..][..classes];
            self.options.target.class(round, label, logits, places[i])
        };
        labels.iter().enumerate().filter_map(of).collect()
    }

    /// Attacks all of `images`, also those that the model gets wrong: another classifier, which is shown the result, may
    /// get them right.
    pub fn run_for_others(
        &mut self,
        images: &Images,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Perturbed, AttackError> {
        if self.options.target != Aim::Away || self.options.started {
            return Err(AttackError::Unsuitable(
                "images for another classifier start at the originals and lead away from their class; leave target and starts out".to_string(),
            ));
        }
        let (originals, labels) = pixels_and_labels(images)?;
        let all: Vec<usize> = (0..labels.len()).collect();
        let from = Originals { images: &originals, classes: &labels, aims: &[], starts: &[], places: &all };
        self.perturb(from, &all, progress)
    }

    /// Attacks the images with these indices, and checks that all lie where the attack promises.
    fn perturb(
        &mut self,
        originals: Originals,
        chosen: &[usize],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Perturbed, AttackError> {
        let (started, pixels) = (Instant::now(), self.target.pixels());
        let Originals { images, classes, aims, starts, places } = originals;
        let set = Set { pixels, images, classes, aims, starts, chosen, places };
        let adversarial = self.attack.over(&mut self.target, &set, progress)?;
        let moved = Perturbed::new(images, adversarial, pixels, started.elapsed().as_secs_f64());
        check_bounds(&self.options, &moved, places, pixels)?;
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
    (target.aimed, target.started) = (options.target != Aim::Away, options.started);
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
    /// The images, `[n, height, width, channels]`.
    pub adversarial: Vec<f32>,
    /// Euclidean norm of each perturbation.
    pub l2: Vec<f32>,
    /// Largest absolute value of each perturbation.
    pub linf: Vec<f32>,
    /// Values of one image.
    pub pixels: usize,
    /// Seconds of the attack.
    pub seconds: f64,
}

impl Perturbed {
    fn image(&self, i: usize) -> &[f32] {
        &self.adversarial[i * self.pixels..][..self.pixels]
    }

    /// How far an image was moved.
    pub(super) fn length(&self, norm: Norm, i: usize) -> f32 {
        match norm {
            Norm::L2 => self.l2[i],
            Norm::Linf => self.linf[i],
        }
    }

    /// Takes one image over from another attack on the same ones.
    fn take(&mut self, i: usize, other: &Self) {
        self.adversarial[i * self.pixels..][..self.pixels].copy_from_slice(other.image(i));
        (self.l2[i], self.linf[i]) = (other.l2[i], other.linf[i]);
    }

    /// Measures how far each image of so many `pixels` was moved.
    pub(super) fn new(originals: &[f32], adversarial: Vec<f32>, pixels: usize, seconds: f64) -> Self {
        let lengths = |norm: Norm| -> Vec<f32> {
            let pairs = originals.chunks(pixels).zip(adversarial.chunks(pixels));
            pairs.map(|(original, moved)| norm.distance(original, moved) as f32).collect()
        };
        let (l2, linf) = (lengths(Norm::L2), lengths(Norm::Linf));
        Self { adversarial, l2, linf, pixels, seconds }
    }
}

/// What the rounds of an attack have found: of every image, the one that is kept.
struct Found {
    moved: Perturbed,
    predictions: Vec<usize>,
    /// The class that each kept image was led to; of images that were not attacked, the last that was thought of.
    targets: Vec<usize>,
    succeeded: Vec<bool>,
    attempted: Vec<bool>,
}

impl Found {
    /// The images as they are.
    fn new(originals: &[f32], clean: &Clean) -> Result<Self, AttackError> {
        let n = clean.predictions.len();
        let (l2, linf) = (vec![0.0; n], vec![0.0; n]);
        let pixels = originals.len() / n.max(1);
        let moved = Perturbed { adversarial: memory::copy(originals)?, l2, linf, pixels, seconds: 0.0 };
        let predictions = clean.predictions.clone();
        let (succeeded, attempted) = (vec![false; n], vec![false; n]);
        Ok(Self { moved, predictions, targets: vec![0; n], succeeded, attempted })
    }

    /// Adds a round with the classifier's answers to its images. Kept are the first attempt, the first success, and then
    /// whatever success is nearer.
    fn add(
        &mut self,
        options: &AttackOptions,
        labels: &[usize],
        aims: &[usize],
        moved: &Perturbed,
        answers: impl Iterator<Item = (usize, usize)>,
    ) {
        self.moved.seconds += moved.seconds;
        for (i, &aim) in aims.iter().enumerate().filter(|(i, _)| !self.attempted[*i]) {
            self.targets[i] = aim;
        }
        for (i, answer) in answers {
            let success = aims.get(i).map_or(answer != labels[i], |&aim| answer == aim);
            let nearer = moved.length(options.norm, i) < self.moved.length(options.norm, i);
            let kept = match success {
                true => !self.succeeded[i] || nearer,
                false => !self.attempted[i],
            };
            self.attempted[i] = true;
            self.succeeded[i] |= success;
            if kept {
                self.moved.take(i, moved);
                self.predictions[i] = answer;
                self.targets[i] = aims.get(i).copied().unwrap_or_default();
            }
        }
    }
}

/// How many of `images` images at a time: as few as go over all in the same number of batches, so that no slot stays
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

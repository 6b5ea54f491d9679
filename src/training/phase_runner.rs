//! One phase of a training step on a device. A batch goes through its programs at once, or in parts (micro-batches) whose
//! gradients add up. With `--awp`, all parts go through a turn before the first of them learns.

use super::step::{self, ADVERSARIAL, Phase};
use crate::attacks::driver::LiveAttack;
use crate::data::Batch;
use crate::executor::{ExecutionError, Run, Session, Workspace};
use crate::memory;
use crate::program::Program;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// What a batch is in a graph. A whole batch is kept in states of these names, which all phases of a step read;
/// micro-batches are inputs.
pub const BATCH: [&str; 3] = ["images", "labels", "weights"];

/// A batch by the names of [`BATCH`], with the number of values for an image of `pixels`.
pub fn inputs(batch: &Batch, pixels: usize) -> [(&'static str, &[f32], usize); 3] {
    let [images, labels, weights] = BATCH;
    [(images, &batch.images, pixels), (labels, &batch.labels, 1), (weights, &batch.weights, 1)]
}

/// `values` and zeros after them; no copy where `len` values are there.
pub fn padded(values: &[f32], len: usize) -> Cow<'_, [f32]> {
    if values.len() == len {
        return Cow::Borrowed(values);
    }
    let mut padded = values.to_vec();
    padded.resize(len, 0.0);
    Cow::Owned(padded)
}

/// The programs of one phase.
pub struct PhaseRunner {
    /// Which.
    pub phase: Phase,
    /// Makes the images that the phase learns from, where the defense's attack has programs of its own.
    pub attack: Option<LiveAttack>,
    /// With `--awp`, what all parts of a batch go through before they learn.
    pub climb: Option<Climb>,
    /// Learns from the batch, or from one part of it.
    pub session: Session,
    /// Applies accumulated gradients; empty when the phase applies its own.
    pub apply: Vec<Session>,
}

/// The turn in which weights move up the loss of a batch in parts.
pub struct Climb {
    /// Adds up the gradient.
    pub session: Session,
    /// Moves the weights.
    pub apply: Session,
}

impl PhaseRunner {
    /// Writes an input to every program that has it; one of them must.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<(), ExecutionError> {
        let climb = self.climb.iter_mut().map(|climb| &mut climb.apply);
        let mut takers = std::iter::once(&mut self.session)
            .chain(&mut self.apply)
            .chain(climb)
            .filter(|session| session.program().declared(name).is_some())
            .peekable();
        if takers.peek().is_none() {
            return Err(ExecutionError::Unknown { kind: "input", name: name.to_string() });
        }
        takers.try_for_each(|session| session.write(name, values))
    }

    /// Its sessions, each with how often it runs on a batch of so many parts. Those of [`attack`](Self::attack) are not among them:
    /// how often they run depends on the images.
    pub fn sessions(&mut self, parts: usize) -> impl Iterator<Item = (&mut Session, usize)> {
        let climb = self.climb.iter_mut();
        let climb = climb.flat_map(move |climb| [(&mut climb.session, parts), (&mut climb.apply, 1)]);
        let apply = self.apply.iter_mut().map(|session| (session, 1));
        climb.chain([(&mut self.session, parts)]).chain(apply)
    }

    /// The programs of those sessions, each with how often it runs.
    pub fn programs(&self, parts: usize) -> impl Iterator<Item = (&Arc<Program>, usize)> {
        let climb = self.climb.iter().flat_map(move |climb| [(&climb.session, parts), (&climb.apply, 1)]);
        let apply = self.apply.iter().map(|session| (session, 1));
        let all = climb.chain([(&self.session, parts)]).chain(apply);
        all.map(|(session, runs)| (session.program(), runs))
    }

    /// Takes a batch through all of it. Returns the runs that learned, each with its number of real images.
    pub fn run(
        &mut self,
        feed: &mut Feed,
        workspace: &mut Workspace,
    ) -> Result<Vec<(Run, usize)>, ExecutionError> {
        if let Some(attack) = &mut self.attack {
            feed.attack(attack)?;
        }
        if let Some(climb) = &mut self.climb {
            feed.run(&mut climb.session, workspace)?;
            climb.apply.run()?;
        }
        let runs = feed.run(&mut self.session, workspace)?;
        for apply in &mut self.apply {
            apply.run()?;
        }
        Ok(runs)
    }
}

/// A batch on its way through a phase, part by part.
pub struct Feed<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// Images of a part.
    pub images: usize,
    /// Values of an image.
    pub pixels: usize,
    /// What random numbers are drawn from, beside the place in the batch.
    pub seed: [u32; 2],
    /// What the defense keeps of a batch in parts from step to step: states, and their values for an image. A whole batch has
    /// them in place.
    pub kept: Vec<(&'static str, usize)>,
    /// What an attack with programs of its own has made of each part; nothing before.
    pub adversarial: Vec<Vec<f32>>,
}

impl Feed<'_> {
    /// The places in the batch of each part with real images.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let (images, all) = (self.images, self.batch.labels.len());
        (0..self.batch.real).step_by(images).map(move |start| start..(start + images).min(all))
    }

    /// The places of a part's real images.
    fn real(&self, part: &Range<usize>) -> Range<usize> {
        part.start..part.end.min(self.batch.real)
    }

    /// Attacks all parts.
    fn attack(&mut self, attack: &mut LiveAttack) -> Result<(), ExecutionError> {
        memory::with_room::<f32>(self.parts().count() * self.images * self.pixels)?;
        let mut adversarial = Vec::new();
        for part in self.parts() {
            let real = self.real(&part);
            let classes: Vec<usize> =
                self.batch.labels[real.clone()].iter().map(|&label| label as usize).collect();
            let images = &self.batch.images[real.start * self.pixels..real.end * self.pixels];
            let first = self.seed[1] as usize * self.batch.labels.len() + real.start;
            let mut moved = attack.run(images, &classes, first)?;
            moved.resize(self.images * self.pixels, 0.0);
            adversarial.push(moved);
        }
        self.adversarial = adversarial;
        Ok(())
    }

    /// Writes what a program reads of a part.
    fn write(&self, session: &mut Session, index: usize, part: &Range<usize>) -> Result<(), ExecutionError> {
        let program = session.program().clone();
        for (name, values, per_image) in inputs(self.batch, self.pixels) {
            // A whole batch is in states.
            if program.declared(name).is_some() {
                let values = &values[part.start * per_image..part.end * per_image];
                session.write(name, &padded(values, self.images * per_image))?;
            }
        }
        if program.declared("seed").is_some() {
            let [seed, step] = self.seed;
            session.write("seed", &[seed, step, (part.start * self.pixels) as u32].map(f32::from_bits))?;
        }
        match self.adversarial.get(index) {
            Some(moved) => session.write(ADVERSARIAL, moved),
            None => Ok(()),
        }
    }

    /// One turn through a program, with the number of real images of each run.
    fn run(
        &self,
        session: &mut Session,
        workspace: &mut Workspace,
    ) -> Result<Vec<(Run, usize)>, ExecutionError> {
        let mut runs = Vec::new();
        for (index, part) in self.parts().enumerate() {
            self.write(session, index, &part)?;
            for &(name, per_image) in &self.kept {
                let own = workspace.read_part(name, part.start * per_image, part.len() * per_image)?;
                workspace.write(&step::part_of(name), &padded(&own, self.images * per_image))?;
            }
            runs.push((session.run()?, self.real(&part).len()));
            for &(name, per_image) in &self.kept {
                let own = workspace.read_part(&step::part_of(name), 0, part.len() * per_image)?;
                workspace.write_part(name, part.start * per_image, &own)?;
            }
        }
        Ok(runs)
    }
}

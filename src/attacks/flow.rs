//! Attacks in steps whose images come and go: an image leaves as soon as it needs no more steps, and the next one gets its
//! slot. Every image is at a step and a round of its own.
//!
//! Within a ball, an image leaves when it is fooled; if it is not, it goes through all rounds. A minimum-norm attack takes every
//! round to its end and keeps the nearest image; with a radius that is enough, the image leaves when one within it is found.

use super::Norm;
use super::driver::{Arrival, READ_BACK_INTERVAL, SlotAttack, Slots};
use super::objective;
use super::steps::{Start, Steps, Victim, assign, number, numbers_of, state, states};
use super::target::{IMAGES, Target};
use crate::executor::{ExecutionError, Session};
use crate::graph::{Binary, Graph, GraphError};
use crate::random::{Random, Stream};
use std::sync::Arc;

type Result<T> = std::result::Result<T, ExecutionError>;

/// State of the random numbers of a round.
const NOISE: &str = "attack.noise";
/// Input: 1 for images that begin a round, `[n, 1]`.
const FRESH: &str = "fresh";
/// Output: 1 for images that are fooled.
const FOOLED: &str = "fooled";

/// How far the image of a slot is.
#[derive(Clone, Default)]
struct Progress {
    /// Its place in the set; random numbers follow it.
    place: usize,
    round: usize,
    iteration: usize,
    fresh: bool,
    over: bool,
    /// The nearest adversarial image so far, with its distance, of an attack that looks for it.
    nearest: Option<(f64, Vec<f32>)>,
}

/// The programs of an attack in steps, over slots.
pub struct Flow {
    steps: Arc<dyn Steps>,
    leaving: Leaving,
    /// Of what is kept from step to step.
    kept: usize,
    enter: Session,
    step: Session,
    judge: Session,
    progress: Vec<Progress>,
}

/// How the images of a [`Flow`] leave.
#[derive(Clone, Copy)]
pub enum Leaving {
    /// When they are fooled.
    Fooled,
    /// After all rounds, or when they are fooled within this distance.
    Nearest(Norm, Option<f64>),
}

impl Flow {
    /// Prepares the programs.
    pub fn new(target: &mut Target, steps: Arc<dyn Steps>, leaving: Leaving) -> Result<Self> {
        let (enter, extents) = enter_graph(target, steps.as_ref())?;
        let enter = target.prepare(&enter)?;
        let step = target.prepare(&step_graph(target, steps.as_ref(), &extents)?)?;
        let judge = target.prepare(&judge_graph(target, &extents[0])?)?;
        // Slots without an image have nothing to do.
        let progress = vec![Progress { over: true, ..Progress::default() }; target.slots];
        Ok(Self { steps, leaving, kept: extents.len(), enter, step, judge, progress })
    }

    /// The numbers of one kind, written for every slot.
    fn write_numbers(session: &mut Session, all: &[Vec<f32>]) -> Result<()> {
        for index in 0..all.first().map_or(0, Vec::len) {
            let column: Vec<f32> = all.iter().map(|numbers| numbers[index]).collect();
            session.write(&number(index), &column)?;
        }
        Ok(())
    }

    /// Begins the round of the slots that are fresh.
    fn begin(&mut self, target: &mut Target) -> Result<()> {
        if !self.progress.iter().any(|image| image.fresh) {
            return Ok(());
        }
        let fresh: Vec<f32> = self.progress.iter().map(|image| f32::from(u8::from(image.fresh))).collect();
        self.enter.write(FRESH, &fresh)?;
        let numbers: Vec<Vec<f32>> =
            self.progress.iter().map(|image| self.steps.round_numbers(image.round)).collect();
        Self::write_numbers(&mut self.enter, &numbers)?;
        if self.steps.is_random() {
            let (random, pixels) = (Random::new(self.steps.seed(), Stream::Attack), target.pixels());
            for (slot, image) in self.progress.iter().enumerate().filter(|(_, image)| image.fresh) {
                let first = image.place * pixels;
                let noise = (0..pixels).map(|i| random.normal(image.round as u32, (first + i) as u32));
                target.workspace.write_part(NOISE, slot * pixels, &noise.collect::<Vec<f32>>())?;
            }
        }
        self.enter.run()?;
        self.progress.iter_mut().for_each(|image| image.fresh = false);
        Ok(())
    }

    /// Looks at the images that have ended a round, or that may leave earlier.
    fn look(&mut self, target: &mut Target) -> Result<()> {
        let ended = |image: &Progress| !image.over && image.iteration >= self.steps.iterations();
        let any_ended = self.progress.iter().any(ended);
        if !any_ended && !self.steps.ends_early() {
            return Ok(());
        }
        let outputs = self.judge.compute()?;
        let fooled: Vec<bool> = outputs.get(FOOLED).iter().map(|&fooled| fooled != 0.0).collect();
        if let Leaving::Nearest(norm, _) = self.leaving
            && any_ended
        {
            self.keep_nearest(target, norm, &fooled)?;
        }
        let (iterations, rounds) = (self.steps.iterations(), self.steps.rounds());
        for (image, fooled) in self.progress.iter_mut().zip(fooled) {
            let ended = image.iteration >= iterations;
            image.over |= match self.leaving {
                Leaving::Fooled => fooled && (ended || self.steps.ends_early()),
                Leaving::Nearest(_, enough) => {
                    let nearest = image.nearest.as_ref().map(|(distance, _)| *distance);
                    nearest.zip(enough).is_some_and(|(nearest, enough)| nearest <= enough)
                }
            };
            if ended && !image.over {
                image.round += 1;
                image.over = image.round >= rounds;
                (image.iteration, image.fresh) = (0, !image.over);
            }
        }
        Ok(())
    }

    fn keep_nearest(&mut self, target: &Target, norm: Norm, fooled: &[bool]) -> Result<()> {
        let pixels = target.pixels();
        let (originals, moved) = (target.workspace.read(IMAGES)?, target.workspace.read(&state(0))?);
        for (slot, image) in self.progress.iter_mut().enumerate() {
            if image.over || image.iteration < self.steps.iterations() || !fooled[slot] {
                continue;
            }
            let of = |all: &[f32]| all[slot * pixels..][..pixels].to_vec();
            let (original, moved) = (of(&originals), of(&moved));
            let distance = norm.distance(&original, &moved);
            if image.nearest.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
                image.nearest = Some((distance, moved));
            }
        }
        Ok(())
    }
}

impl SlotAttack for Flow {
    fn load(&mut self, _: &mut Target, slot: usize, arrival: Arrival) -> Result<()> {
        self.progress[slot] = Progress { place: arrival.place, fresh: true, ..Progress::default() };
        Ok(())
    }

    fn advance(&mut self, target: &mut Target, iterations: usize) -> Result<()> {
        self.begin(target)?;
        // Rounds end together with what is run at once, so that no image waits.
        let left = |image: &Progress| self.steps.iterations().saturating_sub(image.iteration);
        let least = self.progress.iter().filter(|image| !image.over).map(left).min().unwrap_or(0);
        for _ in 0..iterations.min(least.max(1)) {
            let numbers: Vec<Vec<f32>> = self
                .progress
                .iter()
                .map(|image| self.steps.numbers(image.iteration.min(self.steps.iterations() - 1)))
                .collect();
            Self::write_numbers(&mut self.step, &numbers)?;
            self.step.run()?;
            self.progress.iter_mut().for_each(|image| image.iteration += 1);
        }
        self.look(target)
    }

    fn finished(&self, slot: usize) -> bool {
        self.progress[slot].over
    }

    fn results(&mut self, target: &mut Target) -> Result<Vec<f32>> {
        let mut all = target.workspace.read(&state(0))?;
        if let Leaving::Nearest(..) = self.leaving {
            let (pixels, originals) = (target.pixels(), target.workspace.read(IMAGES)?);
            for (slot, image) in self.progress.iter().enumerate() {
                let own = slot * pixels..(slot + 1) * pixels;
                match &image.nearest {
                    Some((_, nearest)) => all[own].copy_from_slice(nearest),
                    // Nothing was found; the verification will count a failure.
                    None => all[own.clone()].copy_from_slice(&originals[own]),
                }
            }
        }
        Ok(all)
    }

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.enter, &self.step, &self.judge]
    }

    /// Any number will do: no more are run at a time than every round has left.
    fn chunk(&self) -> usize {
        READ_BACK_INTERVAL
    }

    fn narrowed(&self, target: &Target, slots: &[usize]) -> Result<Option<Slots>> {
        let mut narrow = target.narrowed(slots)?;
        let mut flow = Self::new(&mut narrow, self.steps.clone(), self.leaving)?;
        for index in 0..self.kept {
            target.hand_over(&state(index), slots, &mut narrow)?;
        }
        flow.progress = slots.iter().map(|&slot| self.progress[slot].clone()).collect();
        Ok(Some((narrow, Box::new(flow))))
    }
}

/// What is kept, of images that begin a round; and its extents.
fn enter_graph(
    target: &Target,
    steps: &dyn Steps,
) -> std::result::Result<(Graph, Vec<Vec<usize>>), GraphError> {
    let mut a = target.graph()?;
    let graph = &mut a.graph;
    let classifier = target.classifier(&a.states);
    let victim = Victim { classifier, images: a.images, labels: a.labels, aim: a.aim };
    let noise = steps.is_random().then(|| graph.state(NOISE, &target.extents())).transpose()?;
    let fresh = graph.input(FRESH, &[target.slots, 1])?;
    let numbers = numbers_of(graph, steps.round_numbers(0).len(), &[target.slots, 1])?;
    let begun = steps.start(graph, victim, Start { noise, from: a.starts, numbers })?;
    let stays = graph.affine(fresh, -1.0, 1.0);
    let mut extents = Vec::new();
    for (index, value) in begun.into_iter().enumerate() {
        extents.push(graph.shape(value).extents().to_vec());
        let old = graph.state(&state(index), &extents[index])?;
        let new = graph.binary(Binary::Select, value, fresh)?;
        let old = graph.binary(Binary::Select, old, stays)?;
        let next = graph.add(new, old)?;
        assign(graph, index, next)?;
    }
    Ok((a.graph, extents))
}

fn step_graph(
    target: &Target,
    steps: &dyn Steps,
    extents: &[Vec<usize>],
) -> std::result::Result<Graph, GraphError> {
    let mut a = target.graph()?;
    let classifier = target.classifier(&a.states);
    let victim = Victim { classifier, images: a.images, labels: a.labels, aim: a.aim };
    let kept = states(&mut a.graph, extents)?;
    let numbers = numbers_of(&mut a.graph, steps.numbers(0).len(), &[target.slots, 1])?;
    let next = steps.step(&mut a.graph, victim, &kept, &numbers)?;
    for (index, value) in next.into_iter().enumerate() {
        assign(&mut a.graph, index, value)?;
    }
    Ok(a.graph)
}

/// Whether the attack has succeeded on the images as it has moved them.
fn judge_graph(target: &Target, extents: &[usize]) -> std::result::Result<Graph, GraphError> {
    let mut a = target.graph()?;
    let moved = a.graph.state(&state(0), extents)?;
    let logits = target.classifier(&a.states).logits(&mut a.graph, moved)?;
    let fooled = objective::reached(&mut a.graph, logits, a.labels, a.aim)?;
    a.graph.output(FOOLED, fooled);
    Ok(a.graph)
}

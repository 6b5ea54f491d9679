//! Training in the page: the game of the paper from scratch, on the embedded digits.
//!
//! The programs are those of `train`, and so are the initial weights. What the host writes before each step (the step sizes of Adam
//! and the decay of the average) is written down here for all steps, so the page needs no formula of the schedule. The page makes
//! the batches itself, with the random numbers of [`random`](crate::random), as [`data`](crate::data) does: it takes the
//! steps that `pgn-wgpu train` takes with the same settings.

use super::describe::Description;
use super::programs::{IMAGES, LABELS};
use super::{Packed, WebError};
use crate::cpu::Mode;
use crate::data::{Augment, BatchOptions, DatasetKind, Images, batches_per_epoch, make_batch};
use crate::evaluation::Subject;
use crate::executor::Device;
use crate::program::{MemoryLimits, Program};
use crate::training::run_data::{open_data, problem_of, steps_of};
use crate::training::step::{self, Gradients, Phase};
use crate::training::{Preset, TrainConfig, TrainError, Trainer};
use serde::Serialize;
use std::collections::BTreeMap;

/// State of the weights of images in a batch.
const WEIGHTS: &str = "weights";

/// What a page needs to train.
#[derive(Debug, Serialize)]
pub struct Lesson {
    /// The phases of a step in order.
    phases: Vec<PhaseRow>,
    steps: u64,
    per_epoch: u32,
    batch_size: usize,
    /// Low and high word.
    seed: [u32; 2],
    shuffle: bool,
    /// Whether images are mirrored, and pixels of padding at both ends of the two sides, around which crops are taken.
    flip: bool,
    padding: [usize; 2],
    images: Packed,
    labels: Vec<u16>,
    /// What the states begin with; those that are not here are zero.
    states: BTreeMap<String, Packed>,
    /// The states that the programs of evaluation read, by their names there: the averaged classifier and the live generator.
    evaluated: BTreeMap<&'static str, &'static str>,
    /// The setting of the game.
    price: f32,
}

/// One phase.
#[derive(Debug, Serialize)]
struct PhaseRow {
    program: String,
    /// What is written to each input: as many values as it has for every step.
    inputs: BTreeMap<String, Packed>,
}

impl Lesson {
    /// Adds the programs of training. `None` if the model is not one of the digits, if the game needs more than a page can write, or
    /// if its networks are not those of the model: the page measures them with the model's programs.
    ///
    /// # Errors
    /// If a program exceeds what browsers allow.
    pub fn new(description: &mut Description, subject: &Subject) -> Result<Option<Self>, WebError> {
        if DatasetKind::of_data_set(&subject.data_set) != DatasetKind::Digits {
            return Ok(None);
        }
        let config = config(subject);
        if config.network.is_imported() {
            return Ok(None);
        }
        let dataset = open_data(&config)?;
        let mut trainer = Trainer::new(Device::Cpu(Mode::Fast), &config, problem_of(&dataset), None, None)?;
        let generator = subject.model.generator.as_ref().map(|(generator, _)| generator);
        let has_its_generator = generator.is_none() || generator == trainer.generator();
        if !trainer.classifier().computes_like(&subject.model.classifier) || !has_its_generator {
            return Ok(None);
        }
        let (states, _) = trainer.snapshot().map_err(TrainError::from)?;
        let steps = steps_of(&config, dataset.train.len());
        let phases = phases(&mut trainer, &config, &dataset.train, steps);
        for (phase, row) in &phases {
            let program = program(&trainer, &config, *phase)?;
            if program.inputs.iter().any(|(name, _)| !row.inputs.contains_key(name)) {
                return Ok(None);
            }
            description.add(&row.program, &program)?;
        }
        let zero = |values: &[f32]| values.iter().all(|&value| value == 0.0);
        let states = states.iter().filter(|(_, values)| !zero(values));
        Ok(Some(Self {
            phases: phases.into_iter().map(|(_, row)| row).collect(),
            steps,
            per_epoch: batches_per_epoch(dataset.train.len(), config.batch_size),
            batch_size: config.batch_size,
            seed: [config.seed as u32, (config.seed >> 32) as u32],
            shuffle: config.shuffle,
            flip: config.augment == Augment::FlipAndCrop,
            padding: config.augment.padding(dataset.size),
            images: Packed::images(&dataset.train),
            labels: dataset.train.labels().to_vec(),
            states: states.map(|(name, values)| (name.clone(), Packed::numbers(values))).collect(),
            evaluated: BTreeMap::from([
                ("classifier.parameters", "classifier.average"),
                ("classifier.buffers", "classifier.average-buffers"),
                ("generator.parameters", "generator.parameters"),
            ]),
            price: config.c_l,
        }))
    }
}

/// The run's own settings, if it played the paper's game; else those of `train` without flags, at the model's width.
fn config(subject: &Subject) -> TrainConfig {
    let is_the_papers = |config: &&TrainConfig| {
        config.method.generator && !config.freeze_classifier && config.recipe().is_the_papers()
    };
    let own = subject.place.config().filter(is_the_papers);
    let usual = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
    let width = Some(subject.model.facts.width).filter(|width| *width <= 1.0).unwrap_or(usual.width);
    let config = own.cloned().unwrap_or(TrainConfig { width, ..usual });
    TrainConfig { from: None, ..config }
}

/// The phases of a step, with what is written in each of `steps` steps.
fn phases(
    trainer: &mut Trainer,
    config: &TrainConfig,
    images: &Images,
    steps: u64,
) -> Vec<(Phase, PhaseRow)> {
    let options = BatchOptions {
        batch_size: config.batch_size,
        shuffle: config.shuffle,
        augment: Augment::None,
        seed: config.seed,
    };
    let per_epoch = u64::from(batches_per_epoch(images.len(), config.batch_size));
    let mut written: Vec<(Phase, BTreeMap<String, Vec<f32>>)> = Vec::new();
    for step in 0..steps {
        let batch = make_batch(images, &options, (step / per_epoch) as u32, (step % per_epoch) as u32);
        for (place, (phase, inputs)) in trainer.skip(&batch).into_iter().enumerate() {
            if written.len() == place {
                written.push((phase, BTreeMap::new()));
            }
            for (name, values) in inputs {
                written[place].1.entry(name).or_default().extend(values);
            }
        }
    }
    let row = |(phase, inputs): (Phase, BTreeMap<String, Vec<f32>>)| {
        let inputs = inputs.into_iter().map(|(name, values)| (name, Packed::numbers(&values)));
        (phase, PhaseRow { program: name(phase).to_string(), inputs: inputs.collect() })
    };
    written.into_iter().map(row).collect()
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Classifier => "train.classifier",
        Phase::Generator => "train.generator",
        Phase::Both => "train.both",
    }
}

fn program(trainer: &Trainer, config: &TrainConfig, phase: Phase) -> Result<Program, WebError> {
    let (net, generator) = (trainer.classifier(), trainer.generator());
    let mut graph = step::phase_graph(config, net, generator, phase, config.batch_size, Gradients::Apply)?;
    graph.keep_inputs(&[IMAGES, LABELS, WEIGHTS]);
    Ok(Program::compile(&graph, MemoryLimits::BROWSER)?)
}

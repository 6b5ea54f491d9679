//! The trainer: networks, their states on a device, and one training step at a time.
//!
//! A step is submitted and its metrics are collected later, so the device is never waited for. A batch that
//! the adapter cannot hold is split into micro-batches whose gradients add up.

use super::TrainError;
use super::config::{Method, TrainConfig};
use super::game::{self, Gradients, Phase};
use super::schedule;
use crate::data::Batch;
use crate::executor::{Device, ExecutionError, Run, Session, Workspace};
use crate::memory::{self, OutOfMemory};
use crate::models::file::Model;
use crate::models::layout::ParameterLayout;
use crate::models::{Classifier, Generator, Problem};
use crate::program::Program;
use std::sync::Arc;

/// The states of a network, by their last name; what a checkpoint holds. Of the generator's weights no average is kept: it
/// plays as it is.
pub fn network_states(network: &str) -> &'static [&'static str] {
    match network {
        "generator" => &["parameters", "momentum", "variance"],
        _ => &["parameters", "momentum", "variance", "average"],
    }
}

/// Means over the images of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepMetrics {
    /// Cross-entropy of what the classifier trains on.
    pub loss: f64,
    /// Share classified correctly.
    pub accuracy: f64,
    /// Mean ‖δ‖; 0 without a game.
    pub delta: f64,
    /// Mean of ‖∇x CE‖ / (2 c_L), the ‖δ‖ that a linear loss would give.
    pub predicted_delta: f64,
}

/// States by name, flat.
pub type NamedStates = Vec<(String, Vec<f32>)>;

/// A step whose metrics are still on the device.
pub struct PendingStep {
    runs: Vec<(Run, usize)>,
}

struct PhaseRunner {
    phase: Phase,
    session: Session,
    /// Applies accumulated gradients; empty when the phase applies its own.
    apply: Vec<Session>,
}

/// Networks in training on a device.
pub struct Trainer {
    config: TrainConfig,
    classifier: Classifier,
    generator: Option<Generator>,
    workspace: Workspace,
    runners: Vec<PhaseRunner>,
    micro_batch: usize,
    /// Updates that each network has had.
    updates: [u64; 2],
    /// Steps done.
    step: u64,
}

/// Writes all states of a network that starts at `weights`.
fn start(workspace: &mut Workspace, network: &str, weights: &[f32]) -> Result<(), ExecutionError> {
    let zeros = vec![0.0; weights.len()];
    for (state, values) in network_states(network).iter().zip([weights, &zeros, &zeros, weights]) {
        workspace.write(&format!("{network}.{state}"), values)?;
    }
    Ok(())
}

impl Trainer {
    /// Networks with initial weights, or those of `from`, ready for the first step. `largest` bounds the
    /// micro-batch; without it the largest one that fits is taken.
    pub fn new(
        device: Device,
        config: &TrainConfig,
        problem: Problem,
        from: Option<&Model>,
        largest: Option<usize>,
    ) -> Result<Self, TrainError> {
        config.check()?;
        config.check_lengths(Some(problem.pixels()))?;
        let classifier = Classifier::new(problem, config.width)?;
        let generator = match config.method {
            Method::Pgn => Some(Generator::new(problem, config.width)?.without(&config.without)),
            Method::Natural | Method::Fgm | Method::Pgd => None,
        };
        let weights = classifier.layout.len + generator.as_ref().map_or(0, |g| g.layout.len);
        // The states, and the vectors that they are written from.
        memory::with_room::<f32>(6 * weights).map_err(ExecutionError::from)?;
        let mut workspace = Workspace::new(device);
        // The averaged weights are the ones that were evaluated.
        let given = from.map(|m| m.average.clone());
        let weights = given.unwrap_or_else(|| classifier.initial(config.init, config.seed));
        start(&mut workspace, "classifier", &weights)?;
        if let Some(generator) = &generator {
            let given = from.and_then(|m| m.generator.as_ref()).map(|(_, weights)| weights.clone());
            let weights = given.unwrap_or_else(|| generator.initial(config.init, config.seed));
            start(&mut workspace, "generator", &weights)?;
        }
        let (config, largest) =
            (config.clone(), largest.unwrap_or(config.batch_size).min(config.batch_size).max(1));
        let mut trainer = Self {
            config,
            classifier,
            generator,
            workspace,
            runners: Vec::new(),
            micro_batch: largest,
            updates: [0, 0],
            step: 0,
        };
        trainer.runners = trainer.fit_runners()?;
        Ok(trainer)
    }

    /// Halves the micro-batch until it fits the adapter, or the memory that the CPU path gets.
    fn fit_runners(&mut self) -> Result<Vec<PhaseRunner>, TrainError> {
        loop {
            let error = match self.runners_at(self.micro_batch) {
                Ok(runners) => match self.room_to_save() {
                    Ok(()) => return Ok(runners),
                    Err(error) => error.into(),
                },
                Err(error) => error,
            };
            if !error.is_too_large() || self.micro_batch == 1 {
                return Err(error.into());
            }
            self.workspace.device().forget_out_of_memory();
            self.micro_batch = self.micro_batch.div_ceil(2);
        }
    }

    /// Sees whether there is room for a checkpoint beside the programs: a run that cannot save its first epoch has computed
    /// in vain. It is in memory as states and as the bytes of the file.
    pub(super) fn room_to_save(&self) -> Result<(), OutOfMemory> {
        memory::with_room::<u8>(2 * self.workspace.bytes() as usize).map(drop)
    }

    fn runners_at(&mut self, images: usize) -> Result<Vec<PhaseRunner>, ExecutionError> {
        let whole = images == self.config.batch_size;
        let how = if whole { Gradients::Apply } else { Gradients::Accumulate };
        let mut runners: Vec<PhaseRunner> = Vec::new();
        for phase in game::phases(&self.config) {
            let program = self.program(phase, images, how)?;
            let session = self.workspace.bind(Arc::new(program))?;
            let mut apply = Vec::new();
            if how == Gradients::Accumulate {
                for (name, layout) in self.movers(phase) {
                    apply.push(self.workspace.prepare(&game::apply_graph(name, &layout)?)?);
                }
            }
            runners.push(PhaseRunner { phase, session, apply });
        }
        Ok(runners)
    }

    fn program(&self, phase: Phase, images: usize, how: Gradients) -> Result<Program, ExecutionError> {
        let generator = self.generator.as_ref();
        let graph = game::phase_graph(&self.config, &self.classifier, generator, phase, images, how)?;
        Ok(Program::compile(&graph, self.workspace.device().memory_limits())?)
    }

    /// The networks that move in a phase.
    fn movers(&self, phase: Phase) -> Vec<(&'static str, ParameterLayout)> {
        let classifier = ("classifier", self.classifier.layout.clone());
        let generator = self.generator.as_ref().map(|g| ("generator", g.layout.clone()));
        match phase {
            Phase::Classifier => vec![classifier],
            Phase::Generator => generator.into_iter().collect(),
            Phase::Both => std::iter::once(classifier).chain(generator).collect(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The classifier.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// The generator, if the method has one.
    pub fn generator(&self) -> Option<&Generator> {
        self.generator.as_ref()
    }

    /// The states, for evaluation and checkpoints.
    pub fn workspace(&mut self) -> &mut Workspace {
        &mut self.workspace
    }

    /// Images per run; smaller than the batch where the adapter cannot hold it.
    pub fn micro_batch(&self) -> usize {
        self.micro_batch
    }

    /// Steps done so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The programs of one step.
    pub fn programs(&self) -> Vec<Arc<Program>> {
        self.runners.iter().map(|r| r.session.program().clone()).collect()
    }

    /// The sessions of one step, for profiling.
    pub fn sessions(&mut self) -> impl Iterator<Item = &mut Session> {
        self.runners.iter_mut().map(|r| &mut r.session)
    }

    /// Bytes that a step needs on the device: the arenas of its programs and all states.
    pub fn planned_bytes(&self) -> u64 {
        let programs = self.programs();
        let arenas: u64 = programs.iter().flat_map(|p| &p.memory.arenas).sum();
        arenas + self.workspace.bytes()
    }

    /// Floating-point operations of a step on a full batch.
    pub fn flops(&self) -> u64 {
        let per_run: u64 = self.programs().iter().map(|p| p.flops()).sum();
        per_run * self.config.batch_size.div_ceil(self.micro_batch) as u64
    }

    /// Submits one step.
    pub fn submit(&mut self, batch: &Batch) -> Result<PendingStep, ExecutionError> {
        let mut runs = Vec::new();
        for index in 0..self.runners.len() {
            runs = self.submit_phase(index, batch)?;
        }
        self.step += 1;
        Ok(PendingStep { runs })
    }

    fn submit_phase(&mut self, index: usize, batch: &Batch) -> Result<Vec<(Run, usize)>, ExecutionError> {
        let schedules = self.schedules(self.runners[index].phase);
        let pixels = self.classifier.problem.pixels();
        let runner = &mut self.runners[index];
        let mut runs = Vec::new();
        for start in (0..batch.real).step_by(self.micro_batch) {
            let end = (start + self.micro_batch).min(batch.labels.len());
            let padded = |values: &[f32], per_image: usize| {
                let mut own = values[start * per_image..end * per_image].to_vec();
                own.resize(self.micro_batch * per_image, 0.0);
                own
            };
            runner.session.write("images", &padded(&batch.images, pixels))?;
            runner.session.write("labels", &padded(&batch.labels, 1))?;
            runner.session.write("weights", &padded(&batch.weights, 1))?;
            let noise = [self.config.seed as u32, self.step as u32, (start * pixels) as u32];
            runner.session.write("seed", &noise.map(f32::from_bits))?;
            for (name, schedule) in &schedules {
                runner.session.write(name, schedule)?;
            }
            runs.push((runner.session.run()?, end.min(batch.real) - start));
        }
        for apply in &mut runner.apply {
            for (name, schedule) in &schedules {
                apply.write(name, schedule)?;
            }
            apply.run()?;
        }
        Ok(runs)
    }

    /// Counts an update for each network that moves and returns their schedules.
    fn schedules(&mut self, phase: Phase) -> Vec<(&'static str, [f32; 2])> {
        let mut schedules = Vec::new();
        if phase != Phase::Generator {
            self.updates[0] += 1;
            let t = self.updates[0];
            let step = schedule::step_size(self.config.lr_at(self.step), t);
            schedules.push(("classifier.schedule", [step, schedule::ema_decay(&self.config, t)]));
        }
        if phase != Phase::Classifier {
            self.updates[1] += 1;
            let t = self.updates[1];
            let step = schedule::step_size(self.config.generator_lr_at(self.step), t);
            schedules.push(("generator.schedule", [step, schedule::ema_decay(&self.config, t)]));
        }
        schedules
    }

    /// Waits for a step's metrics.
    pub fn collect(&mut self, pending: PendingStep) -> Result<StepMetrics, ExecutionError> {
        let (game, attacked) = (self.generator.is_some(), self.config.method != Method::Natural);
        let price = 2.0 * f64::from(self.config.c_l);
        let session = &mut self.runners.last_mut().expect("every step has a phase").session;
        let (mut sums, mut images) = (StepMetrics::default(), 0);
        for (run, real) in pending.runs {
            let outputs = session.finish(run)?;
            let sum = |name: &str| outputs.get(name)[..real].iter().map(|&v| f64::from(v)).sum::<f64>();
            let roots =
                |name: &str| outputs.get(name)[..real].iter().map(|&v| f64::from(v).sqrt()).sum::<f64>();
            sums.loss += sum("loss");
            sums.accuracy += sum("correct");
            if attacked {
                sums.delta += roots("norm2");
            }
            if game {
                sums.predicted_delta += roots("gradient_norm2") / price;
            }
            images += real;
        }
        let n = images.max(1) as f64;
        Ok(StepMetrics {
            loss: sums.loss / n,
            accuracy: sums.accuracy / n,
            delta: sums.delta / n,
            predicted_delta: sums.predicted_delta / n,
        })
    }

    /// Names of the networks.
    fn networks(&self) -> Vec<&'static str> {
        if self.generator.is_some() { vec!["classifier", "generator"] } else { vec!["classifier"] }
    }

    /// All states by name, and the updates each network has had.
    pub fn snapshot(&self) -> Result<(NamedStates, [u64; 2]), ExecutionError> {
        let mut states = Vec::new();
        for network in self.networks() {
            for state in network_states(network) {
                let name = format!("{network}.{state}");
                let values = self.workspace.read(&name)?;
                states.push((name, values));
            }
        }
        Ok((states, self.updates))
    }

    /// Puts a snapshot back.
    pub fn restore(
        &mut self,
        states: &[(String, Vec<f32>)],
        updates: [u64; 2],
        step: u64,
    ) -> Result<(), ExecutionError> {
        for (name, values) in states {
            self.workspace.write(name, values)?;
        }
        (self.updates, self.step) = (updates, step);
        Ok(())
    }
}

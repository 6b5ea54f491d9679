//! The trainer: networks, their states on a device, and one training step at a time.
//!
//! A step is submitted and its metrics are collected later, so the device is not waited for. A batch that the adapter cannot
//! hold is split into micro-batches whose gradients add up. Only a defense that keeps something of every image, or whose
//! attack has programs of its own, waits for each of them.

use super::TrainError;
use super::config::TrainConfig;
use super::defenses::awp;
use super::optimiser::{Optimiser, Role, Rule};
use super::phase_runner::{BATCH, Climb, Feed, PhaseRunner, inputs, padded};
use super::record::StepRecord;
use super::schedule;
use super::step::{self, ADVERSARIAL, Gradients, Phase};
use crate::attacks::AttackError;
use crate::attacks::driver::LiveAttack;
use crate::data::Batch;
use crate::executor::{Device, ExecutionError, Run, Session, Workspace};
use crate::memory::{self, OutOfMemory};
use crate::models::file::Model;
use crate::nn::{Net, Problem, Slots, Values};
use crate::pgn::Generator;
use crate::program::{self, Program, adam_step_size};
use crate::random;
use std::sync::Arc;

/// States or inputs by name, flat.
pub type NamedStates = Vec<(String, Vec<f32>)>;

/// A step whose metrics are still on the device.
pub struct PendingStep {
    runs: Vec<(Run, usize)>,
    /// Steps done, this one included.
    step: u64,
    epoch: u32,
}

/// Networks in training on a device.
pub struct Trainer {
    config: TrainConfig,
    classifier: Net,
    generator: Option<Generator>,
    workspace: Workspace,
    /// One for each kind of phase.
    runners: Vec<PhaseRunner>,
    /// The runner of each phase of a step, in order.
    order: Vec<usize>,
    micro_batch: usize,
    /// Updates that each network has had.
    updates: [u64; 2],
    /// Steps done.
    step: u64,
}

fn write(workspace: &mut Workspace, states: &NamedStates) -> Result<(), ExecutionError> {
    states.iter().try_for_each(|(name, values)| workspace.write(name, values))
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
        let classifier = match from {
            Some(model) => model.classifier.clone(),
            None => config.classifier(problem)?,
        };
        config.check_classes(problem.classes)?;
        let generator = config.generator(problem)?;
        let generator_weights = generator.as_ref().map_or(0, |g| g.slots.weights + g.slots.buffers);
        let weights = classifier.slots.weights + classifier.slots.buffers + generator_weights;
        // The states, and the vectors that they are written from.
        memory::with_room::<f32>(6 * weights).map_err(ExecutionError::from)?;
        let mut workspace = Workspace::new(device);
        // The averaged weights are the ones that were evaluated.
        let given = from.map(|m| m.average.clone());
        let values = given.unwrap_or_else(|| classifier.initial(config.init, config.seed));
        write(&mut workspace, &Role::Classifier.start(&classifier.slots, &values, config.rule()))?;
        if let Some(generator) = &generator {
            let given = from.and_then(|m| m.generator.as_ref()).map(|(_, weights)| weights.clone());
            let values = given.unwrap_or_else(|| generator.initial(config.init, config.seed));
            write(&mut workspace, &Role::Generator.start(&generator.slots, &values, Rule::ADAM))?;
        }
        for (name, len) in (config.method.kept)(config, problem) {
            workspace.write(name, &vec![0.0; len])?;
        }
        let (config, largest) =
            (config.clone(), largest.unwrap_or(config.batch_size).min(config.batch_size).max(1));
        let mut trainer = Self {
            config,
            classifier,
            generator,
            workspace,
            runners: Vec::new(),
            order: Vec::new(),
            micro_batch: largest,
            updates: [0, 0],
            step: 0,
        };
        trainer.runners = trainer.fit_runners()?;
        let kind = |phase| trainer.runners.iter().position(|runner| runner.phase == phase);
        trainer.order = step::phases(&trainer.config).into_iter().filter_map(kind).collect();
        Ok(trainer)
    }

    /// Halves the micro-batch until it fits the adapter, or the memory that the CPU path gets.
    fn fit_runners(&mut self) -> Result<Vec<PhaseRunner>, TrainError> {
        loop {
            let images = self.config.batch_size;
            // Each generator learns from its own places of the whole batch.
            let several = self.generator.as_ref().is_some_and(|generator| generator.members() > 1);
            if self.micro_batch < images && several {
                return Err(TrainError::WholeBatch { images });
            }
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
            self.workspace.forget(&BATCH);
            // These have the length of the parts that were too large.
            let kept = (self.config.method.kept)(&self.config, self.classifier.problem);
            for (name, _) in kept {
                self.workspace.forget(&[&step::part_of(name)]);
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
        for phase in step::phases(&self.config) {
            // Phases of a kind have the same program.
            if runners.iter().any(|runner| runner.phase == phase) {
                continue;
            }
            let program = self.program(phase, images, how)?;
            let session = self.workspace.bind(Arc::new(program))?;
            let mut apply = Vec::new();
            if how == Gradients::Accumulate {
                for (role, slots) in self.movers(phase) {
                    apply.push(self.workspace.prepare(&step::apply_graph(role, &self.config, &slots)?)?);
                }
            }
            let attack = self.live_attack(session.program(), images)?;
            let climb = if whole { None } else { self.climb(phase, images)? };
            runners.push(PhaseRunner { phase, attack, climb, session, apply });
        }
        Ok(runners)
    }

    /// The turn of `--awp` before a phase in parts.
    fn climb(&mut self, phase: Phase, images: usize) -> Result<Option<Climb>, ExecutionError> {
        if self.config.awp_gamma().is_none() || phase == Phase::Generator {
            return Ok(None);
        }
        let session = self.workspace.bind(Arc::new(self.program(phase, images, Gradients::Climb)?))?;
        let apply = self.workspace.prepare(&awp::climb_graph(&self.classifier.slots)?)?;
        Ok(Some(Climb { session, apply }))
    }

    fn program(&self, phase: Phase, images: usize, how: Gradients) -> Result<Program, ExecutionError> {
        // The graph takes as much as what is compiled from it, and comes first.
        program::room_to_compile()?;
        let generator = self.generator.as_ref();
        let mut graph = step::phase_graph(&self.config, &self.classifier, generator, phase, images, how)?;
        if how == Gradients::Apply {
            graph.keep_inputs(&BATCH);
        }
        Ok(Program::compile(&graph, self.workspace.device().memory_limits())?)
    }

    /// The attack whose images a program asks for.
    fn live_attack(&self, program: &Program, images: usize) -> Result<Option<LiveAttack>, ExecutionError> {
        let options = self.config.inner_attack().filter(|_| program.input(ADVERSARIAL).is_some());
        let Some(options) = options else { return Ok(None) };
        match LiveAttack::new(&self.workspace, &self.classifier, &options, images) {
            Ok(attack) => Ok(Some(attack)),
            Err(AttackError::Execution(error)) => Err(error),
            Err(AttackError::Graph(error)) => Err(error.into()),
            Err(other) => unreachable!("the configuration was checked: {other}"),
        }
    }

    /// The networks that move in a phase.
    fn movers(&self, phase: Phase) -> Vec<(Role, Slots)> {
        let classifier = (Role::Classifier, self.classifier.slots.clone());
        let generator = self.generator.as_ref().map(|g| (Role::Generator, g.slots.clone()));
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
    pub fn classifier(&self) -> &Net {
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

    /// A note if a batch is computed in parts, or in smaller parts than `before`, those of the steps so far.
    pub fn split_note(&self, before: Option<usize>) -> Option<String> {
        let (whole, part) = (self.config.batch_size, self.micro_batch);
        if let Some(before) = before.filter(|&before| part < before) {
            return Some(format!(
                "the steps so far computed {before} images at once, and only {part} fit the adapter now: gradients are added in \
                 another order from here on, and batch normalisation has the statistics of smaller parts"
            ));
        }
        if before == Some(part) && part < whole {
            return Some(format!(
                "a batch of {whole} is computed in micro-batches of {part}, as in the steps so far"
            ));
        }
        (part < whole).then(|| {
            format!(
                "a batch of {whole} does not fit the adapter at once; each is split into micro-batches of {part} whose gradients add up"
            )
        })
    }

    /// Steps done so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Parts of a full batch.
    fn parts(&self) -> usize {
        self.config.batch_size.div_ceil(self.micro_batch)
    }

    /// The programs of a step, each once, but for those of an inner attack that has its own.
    pub fn programs(&self) -> Vec<Arc<Program>> {
        let all = self.runners.iter().flat_map(|runner| runner.programs(1));
        all.map(|(program, _)| program.clone()).collect()
    }

    /// The sessions of a step on a full batch, each with how often it runs, for profiling. Those of an inner attack that has
    /// programs of its own are not among them.
    pub fn sessions(&mut self) -> impl Iterator<Item = (&mut Session, usize)> {
        let (parts, order) = (self.parts(), &self.order);
        self.runners.iter_mut().enumerate().flat_map(move |(index, runner)| {
            let phases = order.iter().filter(|&&own| own == index).count();
            runner.sessions(parts).map(move |(session, runs)| (session, phases * runs))
        })
    }

    /// Bytes that a step needs on the device: the arenas of its programs and all states.
    pub fn planned_bytes(&self) -> u64 {
        let programs = self.programs();
        let arenas: u64 = programs.iter().flat_map(|p| &p.memory.arenas).sum();
        arenas + self.workspace.bytes()
    }

    /// Floating-point operations of a step on a full batch.
    pub fn flops(&self) -> u64 {
        let parts = self.parts();
        let programs = self.order.iter().flat_map(|&index| self.runners[index].programs(parts));
        programs.map(|(program, runs)| program.flops() * runs as u64).sum()
    }

    /// Submits one step.
    pub fn submit(&mut self, batch: &Batch) -> Result<PendingStep, ExecutionError> {
        let mut runs = Vec::new();
        if self.micro_batch == self.config.batch_size {
            for (name, values, per_image) in inputs(batch, self.classifier.problem.pixels()) {
                self.workspace.write(name, &padded(values, self.micro_batch * per_image))?;
            }
        }
        for place in 0..self.order.len() {
            runs = self.submit_phase(self.order[place], batch)?;
        }
        self.step += 1;
        Ok(PendingStep { runs, step: self.step, epoch: batch.epoch })
    }

    fn submit_phase(&mut self, index: usize, batch: &Batch) -> Result<Vec<(Run, usize)>, ExecutionError> {
        let inputs = self.inputs_of_updates(self.runners[index].phase, batch);
        let kept = match self.micro_batch == self.config.batch_size {
            true => Vec::new(),
            false => (self.config.method.kept)(&self.config, self.classifier.problem),
        };
        let per_image = |(name, len)| (name, len / self.config.batch_size);
        let mut feed = Feed {
            batch,
            images: self.micro_batch,
            pixels: self.classifier.problem.pixels(),
            seed: [random::folded(self.config.seed), self.step as u32],
            kept: kept.into_iter().map(per_image).collect(),
            adversarial: Vec::new(),
        };
        let runner = &mut self.runners[index];
        for (name, values) in &inputs {
            runner.write(name, values)?;
        }
        runner.run(&mut feed, &mut self.workspace)
    }

    /// The phases of the next step in order, each with what is written to its program before it runs. The step counts as taken, but
    /// nothing is computed.
    pub fn skip(&mut self, batch: &Batch) -> Vec<(Phase, NamedStates)> {
        let order: Vec<Phase> = self.order.iter().map(|&index| self.runners[index].phase).collect();
        let written = order.into_iter().map(|phase| (phase, self.inputs_of_updates(phase, batch))).collect();
        self.step += 1;
        written
    }

    /// Counts an update of each network that moves, and returns the inputs of that update: rates, decays, and γ of `--awp`.
    fn inputs_of_updates(&mut self, phase: Phase, batch: &Batch) -> NamedStates {
        let per_epoch = batch.per_epoch.max(1);
        let before = u64::from(batch.epoch) * u64::from(per_epoch) + u64::from(batch.index);
        let factor = schedule::factor(&self.config, before, per_epoch);
        let mut inputs = Vec::new();
        if phase != Phase::Generator {
            self.updates[0] += 1;
            let rate = factor * self.config.lr_at(self.step);
            inputs.extend(self.inputs_of_update(Role::Classifier, rate, self.updates[0]));
            let gamma = self.config.awp_gamma_in(batch.epoch);
            inputs.extend(gamma.map(|gamma| (awp::GAMMA.to_string(), vec![gamma])));
        }
        if phase != Phase::Classifier {
            self.updates[1] += 1;
            let rate = factor * self.config.generator_lr_at(self.step);
            inputs.extend(self.inputs_of_update(Role::Generator, rate, self.updates[1]));
        }
        inputs
    }

    /// The inputs of update `t` of a network.
    fn inputs_of_update(&self, role: Role, rate: f32, t: u64) -> NamedStates {
        let decay = schedule::ema_decay(&self.config, t);
        let of = |input: &&str| match *input {
            "rate" => vec![rate],
            _ => vec![adam_step_size(rate, t), decay],
        };
        let rule = role.rule(&self.config);
        let mut inputs: Vec<_> = rule.inputs().iter().map(|input| (role.state(input), of(input))).collect();
        if role == Role::Classifier && (self.classifier.slots.buffers > 0 || rule.optimiser == Optimiser::Sgd)
        {
            inputs.push((role.state("decay"), vec![decay]));
        }
        inputs
    }

    /// Waits for a step's metrics.
    pub fn collect(&mut self, pending: PendingStep) -> Result<StepRecord, ExecutionError> {
        // At a fixed radius nothing is predicted.
        let game = self.generator.is_some() && !self.config.fixed_radius;
        let attacked = self.config.method.perturbs();
        let price = 2.0 * f64::from(self.config.c_l);
        let last = *self.order.last().expect("every step has a phase");
        let session = &mut self.runners[last].session;
        let ([mut loss, mut correct, mut norms, mut gradient_norms], mut images) = ([0.0; 4], 0);
        for (run, real) in pending.runs {
            let outputs = session.finish(run)?;
            let sum = |name: &str| outputs.get(name)[..real].iter().map(|&v| f64::from(v)).sum::<f64>();
            let roots =
                |name: &str| outputs.get(name)[..real].iter().map(|&v| f64::from(v).sqrt()).sum::<f64>();
            loss += sum("loss");
            correct += sum("correct");
            if attacked {
                norms += roots("norm2");
            }
            if game {
                gradient_norms += roots("gradient_norm2") / price;
            }
            images += real;
        }
        let n = images.max(1) as f64;
        let predicted = gradient_norms / n;
        Ok(StepRecord {
            step: pending.step,
            epoch: pending.epoch,
            loss: loss / n,
            accuracy: correct / n,
            delta: attacked.then_some(norms / n),
            predicted_delta: (game && predicted.is_finite()).then_some(predicted),
            seconds: 0.0,
        })
    }

    /// Names of all states.
    fn states(&self) -> Vec<String> {
        let generator = self.generator.iter().flat_map(|g| Role::Generator.states(&g.slots, Rule::ADAM));
        let kept = (self.config.method.kept)(&self.config, self.classifier.problem);
        Role::Classifier
            .states(&self.classifier.slots, self.config.rule())
            .into_iter()
            .chain(generator)
            .chain(kept.into_iter().map(|(name, _)| name.to_string()))
            .collect()
    }

    /// The networks as they are now: the classifier's live values, those of its average, and the generator's.
    pub fn values(&self) -> Result<(Values, Values, Option<Values>), ExecutionError> {
        let read = |role: Role, slots, averaged| role.read(&self.workspace, slots, averaged);
        let slots = &self.classifier.slots;
        let generator = self.generator.as_ref().map(|g| read(Role::Generator, &g.slots, false));
        Ok((
            read(Role::Classifier, slots, false)?,
            read(Role::Classifier, slots, true)?,
            generator.transpose()?,
        ))
    }

    /// All states by name, and the updates each network has had.
    pub fn snapshot(&self) -> Result<(NamedStates, [u64; 2]), ExecutionError> {
        let mut states = Vec::new();
        for name in self.states() {
            let values = self.workspace.read(&name)?;
            states.push((name, values));
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

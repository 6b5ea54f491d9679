//! The trainer: networks, their states on a device, and one training step at a time.
//!
//! A step is submitted and its metrics are collected later, so the device is not waited for. A batch that the adapter cannot
//! hold is split into micro-batches whose gradients add up. Only a defense that keeps something of every image, or whose
//! attack has programs of its own, waits for each of them.

use super::TrainError;
use super::config::TrainConfig;
use super::defenses::awp;
use super::optimiser::{Optimiser, Role, Rule};
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
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// What a batch is in a graph. A whole batch is kept in states of these names, which all phases of a step read;
/// micro-batches are inputs.
const BATCH: [&str; 3] = ["images", "labels", "weights"];

/// States or inputs by name, flat.
pub type NamedStates = Vec<(String, Vec<f32>)>;

/// A step whose metrics are still on the device.
pub struct PendingStep {
    runs: Vec<(Run, usize)>,
    /// Steps done, this one included.
    step: u64,
    epoch: u32,
}

struct PhaseRunner {
    phase: Phase,
    /// Makes the images that the phase learns from, where the defense's attack has programs of its own.
    attack: Option<LiveAttack>,
    /// With `--awp`, what all parts of a batch go through before they learn.
    climb: Option<Climb>,
    session: Session,
    /// Applies accumulated gradients; empty when the phase applies its own.
    apply: Vec<Session>,
}

/// The turn in which weights move up the loss of a batch in parts.
struct Climb {
    /// Adds up the gradient.
    session: Session,
    /// Moves the weights.
    apply: Session,
}

impl PhaseRunner {
    /// Writes an input to every program that has it; one of them must.
    fn write(&mut self, name: &str, values: &[f32]) -> Result<(), ExecutionError> {
        let mut takers = std::iter::once(&mut self.session)
            .chain(&mut self.apply)
            .filter(|session| session.program().declared(name).is_some())
            .peekable();
        if takers.peek().is_none() {
            return Err(ExecutionError::Unknown { kind: "input", name: name.to_string() });
        }
        takers.try_for_each(|session| session.write(name, values))
    }

    /// The sessions that run once for each part of a batch.
    fn sessions(&mut self) -> impl Iterator<Item = &mut Session> {
        self.climb.as_mut().map(|climb| &mut climb.session).into_iter().chain([&mut self.session])
    }

    /// The programs of those.
    fn programs(&self) -> impl Iterator<Item = &Arc<Program>> {
        self.climb
            .as_ref()
            .map(|climb| &climb.session)
            .into_iter()
            .chain([&self.session])
            .map(Session::program)
    }
}

/// A batch on its way through a phase, part by part.
struct Feed<'a> {
    batch: &'a Batch,
    /// Images of a part.
    images: usize,
    /// Values of an image.
    pixels: usize,
    /// What random numbers are drawn from, beside the place in the batch.
    seed: [u32; 2],
    /// What an attack with programs of its own has made of each part.
    adversarial: Vec<Vec<f32>>,
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
            let mut moved = attack.run(images, &classes)?;
            moved.resize(self.images * self.pixels, 0.0);
            adversarial.push(moved);
        }
        self.adversarial = adversarial;
        Ok(())
    }

    /// Writes what a program reads of a part.
    fn write(&self, session: &mut Session, index: usize, part: &Range<usize>) -> Result<(), ExecutionError> {
        let program = session.program().clone();
        let of_batch = [(&self.batch.images, self.pixels), (&self.batch.labels, 1), (&self.batch.weights, 1)];
        for (name, (values, per_image)) in BATCH.iter().zip(of_batch) {
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
}

/// What a defense keeps of a batch in parts, while the parts come and go: each part has its own in a state of the workspace.
struct Kept {
    name: &'static str,
    /// Of the whole batch.
    values: Vec<f32>,
    /// Values of an image.
    per_image: usize,
}

impl Kept {
    /// The values of a part.
    fn of(&mut self, part: &Range<usize>) -> &mut [f32] {
        &mut self.values[part.start * self.per_image..part.end * self.per_image]
    }
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

/// `values` and zeros after them; no copy where `len` values are there.
fn padded(values: &[f32], len: usize) -> Cow<'_, [f32]> {
    if values.len() == len {
        return Cow::Borrowed(values);
    }
    let mut padded = values.to_vec();
    padded.resize(len, 0.0);
    Cow::Owned(padded)
}

/// One turn of a batch through a program, with the real images of each run.
fn run_parts(
    session: &mut Session,
    feed: &Feed,
    kept: &mut [Kept],
    workspace: &mut Workspace,
) -> Result<Vec<(Run, usize)>, ExecutionError> {
    let mut runs = Vec::new();
    for (index, part) in feed.parts().enumerate() {
        feed.write(session, index, &part)?;
        for kept in &mut *kept {
            let len = feed.images * kept.per_image;
            workspace.write(&step::part_of(kept.name), &padded(kept.of(&part), len))?;
        }
        runs.push((session.run()?, feed.real(&part).len()));
        for kept in &mut *kept {
            let left = workspace.read(&step::part_of(kept.name))?;
            let own = kept.of(&part);
            own.copy_from_slice(&left[..own.len()]);
        }
    }
    Ok(runs)
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
        let Some(gamma) = self.config.awp_gamma().filter(|_| phase != Phase::Generator) else {
            return Ok(None);
        };
        let session = self.workspace.bind(Arc::new(self.program(phase, images, Gradients::Climb)?))?;
        let apply = self.workspace.prepare(&awp::climb_graph(&self.classifier.slots, gamma)?)?;
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

    /// Steps done so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The programs of a step, each once.
    pub fn programs(&self) -> Vec<Arc<Program>> {
        self.runners.iter().flat_map(PhaseRunner::programs).cloned().collect()
    }

    /// The sessions of a step, each with how often it runs, for profiling.
    pub fn sessions(&mut self) -> impl Iterator<Item = (&mut Session, usize)> {
        let order = &self.order;
        let runs = |index| order.iter().filter(|&&own| own == index).count();
        let all = self.runners.iter_mut().enumerate();
        all.flat_map(move |(index, runner)| runner.sessions().map(move |session| (session, runs(index))))
    }

    /// Bytes that a step needs on the device: the arenas of its programs and all states.
    pub fn planned_bytes(&self) -> u64 {
        let programs = self.programs();
        let arenas: u64 = programs.iter().flat_map(|p| &p.memory.arenas).sum();
        arenas + self.workspace.bytes()
    }

    /// Floating-point operations of a step on a full batch.
    pub fn flops(&self) -> u64 {
        let programs = self.order.iter().flat_map(|&index| self.runners[index].programs());
        let per_part: u64 = programs.map(|program| program.flops()).sum();
        per_part * self.config.batch_size.div_ceil(self.micro_batch) as u64
    }

    /// Submits one step.
    pub fn submit(&mut self, batch: &Batch) -> Result<PendingStep, ExecutionError> {
        let mut runs = Vec::new();
        if self.micro_batch == self.config.batch_size {
            let pixels = self.classifier.problem.pixels();
            let whole = [(&batch.images, pixels), (&batch.labels, 1), (&batch.weights, 1)];
            for (name, (values, per_image)) in BATCH.iter().zip(whole) {
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
        let schedules = self.schedules(self.runners[index].phase, batch);
        let mut kept = self.kept()?;
        let Self { runners, workspace, config, .. } = self;
        let runner = &mut runners[index];
        for (name, values) in &schedules {
            runner.write(name, values)?;
        }
        let mut feed = Feed {
            batch,
            images: self.micro_batch,
            pixels: self.classifier.problem.pixels(),
            seed: [config.seed as u32, self.step as u32],
            adversarial: Vec::new(),
        };
        if let Some(attack) = &mut runner.attack {
            feed.attack(attack)?;
        }
        if let Some(climb) = &mut runner.climb {
            run_parts(&mut climb.session, &feed, &mut kept, workspace)?;
            climb.apply.run()?;
        }
        let runs = run_parts(&mut runner.session, &feed, &mut kept, workspace)?;
        for apply in &mut runner.apply {
            apply.run()?;
        }
        for Kept { name, values, .. } in kept {
            workspace.write(name, &values)?;
        }
        Ok(runs)
    }

    /// What the defense keeps, if a batch is in parts; a whole batch has it in place.
    fn kept(&self) -> Result<Vec<Kept>, ExecutionError> {
        let batch = self.config.batch_size;
        if self.micro_batch == batch {
            return Ok(Vec::new());
        }
        let all = (self.config.method.kept)(&self.config, self.classifier.problem);
        let read =
            |(name, len)| Ok(Kept { name, values: self.workspace.read(name)?, per_image: len / batch });
        all.into_iter().map(read).collect()
    }

    /// The phases of the next step in order, each with what is written to its program before it runs. The step counts as taken, but
    /// nothing is computed.
    pub fn skip(&mut self, batch: &Batch) -> Vec<(Phase, NamedStates)> {
        let order: Vec<Phase> = self.order.iter().map(|&index| self.runners[index].phase).collect();
        let written = order.into_iter().map(|phase| (phase, self.schedules(phase, batch))).collect();
        self.step += 1;
        written
    }

    /// Counts an update for each network that moves and returns what it is written before: rates and decays.
    fn schedules(&mut self, phase: Phase, batch: &Batch) -> Vec<(String, Vec<f32>)> {
        let factor = schedule::factor(&self.config, batch);
        let mut schedules = Vec::new();
        if phase != Phase::Generator {
            self.updates[0] += 1;
            let rate = factor * self.config.lr_at(self.step);
            schedules.extend(self.schedule(Role::Classifier, rate, self.updates[0]));
        }
        if phase != Phase::Classifier {
            self.updates[1] += 1;
            let rate = factor * self.config.generator_lr_at(self.step);
            schedules.extend(self.schedule(Role::Generator, rate, self.updates[1]));
        }
        schedules
    }

    /// The inputs of update `t` of a network.
    fn schedule(&self, role: Role, rate: f32, t: u64) -> Vec<(String, Vec<f32>)> {
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

//! One interface over both executors: a [`Device`] runs programs, a [`Workspace`] holds the named states
//! that programs share (weights, moments, moving averages), a [`Session`] is a program bound to them.

pub use crate::cpu::executor::Patch;
use crate::cpu::{self, executor::CpuSession};
use crate::gpu::GpuError;
use crate::gpu::adapter::{self, AdapterChoice};
use crate::gpu::device::{Checks, Forms, Gpu, Options};
use crate::gpu::session::{GpuSession, Ticket};
use crate::gpu::tuning::{KernelChoices, Tune};
use crate::graph::Graph;
use crate::interruption;
use crate::memory::{self, OutOfMemory};
use crate::program::precision::Precision;
use crate::program::{MemoryLimits, Program, ProgramError, TensorId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Where programs run.
#[derive(Clone)]
pub enum Device {
    /// The CPU path; needs no driver.
    Cpu(cpu::Mode),
    /// An opened adapter.
    Gpu(Arc<Gpu>),
}

/// Why a computation could not be prepared or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutionError {
    /// The device refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The program does not fit the device.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The graph could not be built.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
    /// Somebody asked for an end, see [`interruption`](crate::interruption).
    #[error("interrupted")]
    Interrupted,
    /// The CPU path got no memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// A name that the program or workspace does not have.
    #[error("there is no {kind} named {name}")]
    Unknown {
        /// Input, output or state.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A tensor of another length than expected.
    #[error("{name} has {expected} values, not {actual}")]
    Length {
        /// The tensor.
        name: String,
        /// What the program or workspace has.
        expected: usize,
        /// What was given.
        actual: usize,
    },
}

impl ExecutionError {
    /// Whether less at a time might fit.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Program(
                ProgramError::TensorTooLarge { .. }
                    | ProgramError::TooManyValues { .. }
                    | ProgramError::GridTooLarge { .. }
                    | ProgramError::Memory(_)
            ) | Self::Gpu(GpuError::OutOfMemory { .. })
                | Self::Memory(_)
        )
    }
}

/// What the description of the CPU path begins with.
const CPU_PATH: &str = "CPU reference path";

/// What a sentence about a result adds for how the device stored activations: nothing for 32 bits.
pub fn precision_in_words(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "",
        Precision::Mixed => ", mixed precision",
    }
}

/// What of a device's [description](Device::describe) decides results: the CPU path computes the same with any number of
/// threads.
pub fn without_threads(description: &str) -> &str {
    match description.starts_with(CPU_PATH) {
        true => CPU_PATH,
        false => description,
    }
}

/// How a device is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Opening {
    /// Whether the runtime checks every index and loop of the shaders.
    pub checked: bool,
    /// How much is measured to choose the forms of kernels.
    pub tune: Tune,
    /// How numbers are stored.
    pub precision: Precision,
}

impl Device {
    /// Opens what `choice` means.
    ///
    /// # Errors
    /// Also if it has no f16 and [`Precision::Mixed`] is wanted; the CPU path has none.
    pub fn open(choice: &AdapterChoice, opening: Opening) -> Result<Self, GpuError> {
        let Opening { checked, tune, precision } = opening;
        let checks = if checked { Checks::Full } else { Checks::Trusted };
        let options = Options { checks, forms: Forms::Measured(tune), precision };
        match adapter::choose(choice)? {
            Some(listed) => Ok(Self::Gpu(Gpu::open_as(&listed, options)?)),
            None if precision == Precision::Mixed => Err(GpuError::NoHalf { adapter: "cpu".to_string() }),
            None => Ok(Self::Cpu(cpu::Mode::Fast)),
        }
    }

    /// What tells it from other devices: the adapter with its driver. The CPU path computes the same with any number of threads.
    pub fn identity(&self) -> String {
        match self {
            Self::Cpu(_) => "CPU path".to_string(),
            Self::Gpu(gpu) => gpu.identity(),
        }
    }

    /// How it stores activations.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Cpu(_) => Precision::F32,
            Self::Gpu(gpu) => gpu.precision,
        }
    }

    /// What memory plans must keep to.
    pub fn memory_limits(&self) -> MemoryLimits {
        match self {
            Self::Cpu(_) => MemoryLimits::NONE,
            Self::Gpu(gpu) => gpu.memory_limits(),
        }
    }

    /// Takes over the forms of kernels that a run has chosen, if it ran on this adapter and driver.
    pub fn pin(&self, choices: &KernelChoices) {
        if let Self::Gpu(gpu) = self {
            gpu.pin(choices);
        }
    }

    /// Makes it usable again after a program that did not fit.
    pub fn forget_out_of_memory(&self) {
        if let Self::Gpu(gpu) = self {
            gpu.forget_out_of_memory();
        }
    }

    /// One line for logs and results: name, kind and driver, and the precision unless that is 32 bits.
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu(_) => format!("{CPU_PATH} ({} threads)", rayon::current_num_threads()),
            Self::Gpu(gpu) => {
                let (info, precision) = (&gpu.info, precision_in_words(gpu.precision));
                let driver = format!("{} {}", info.driver, info.driver_info);
                format!("{} ({:?}, {driver}{precision})", info.name, info.backend)
            }
        }
    }
}

#[derive(Clone)]
enum State {
    Cpu(cpu::executor::State),
    Gpu(wgpu::Buffer),
}

/// A device with named states.
pub struct Workspace {
    device: Device,
    states: HashMap<String, (State, usize)>,
    choices: Option<KernelChoices>,
}

impl Workspace {
    /// An empty workspace.
    pub fn new(device: Device) -> Self {
        Self { device, states: HashMap::new(), choices: None }
    }

    /// A workspace that has the states of this one, not copies of them. States that either makes later are its own.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { device: self.device.clone(), states: self.states.clone(), choices: self.choices.clone() }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The forms of kernels that were chosen for its programs; `None` on the CPU path.
    pub fn choices(&self) -> Option<&KernelChoices> {
        self.choices.as_ref()
    }

    /// Compiles a graph and binds it. States that do not exist yet are made, filled with zeros.
    pub fn prepare(&mut self, graph: &Graph) -> Result<Session, ExecutionError> {
        let program = Program::compile(graph, self.device.memory_limits())?;
        self.bind(Arc::new(program))
    }

    /// Binds a compiled program.
    pub fn bind(&mut self, program: Arc<Program>) -> Result<Session, ExecutionError> {
        for root in &program.roots {
            if let crate::program::RootKind::State(name) = &root.kind {
                self.state(name, root.len)?;
            }
        }
        let states = &self.states;
        let gpu = match &self.device {
            Device::Cpu(mode) => {
                let session = CpuSession::new(program, *mode, |name, _| match &states[name].0 {
                    State::Cpu(values) => values.clone(),
                    State::Gpu(_) => unreachable!("a workspace has one device"),
                })?;
                return Ok(Session::Cpu(session));
            }
            Device::Gpu(gpu) => gpu.clone(),
        };
        let session = GpuSession::new(gpu, program, |name, _| match &states[name].0 {
            State::Gpu(buffer) => buffer.clone(),
            State::Cpu(_) => unreachable!("a workspace has one device"),
        })?;
        let new = session.choices();
        match &mut self.choices {
            Some(choices) => choices.forms.extend(new.forms),
            none => *none = Some(new),
        }
        Ok(Session::Gpu(Box::new(session)))
    }

    fn state(&mut self, name: &str, len: usize) -> Result<&State, ExecutionError> {
        if !self.states.contains_key(name) {
            let state = match &self.device {
                Device::Cpu(_) => State::Cpu(Arc::new(Mutex::new(memory::zeros(len)?))),
                Device::Gpu(gpu) => {
                    let bytes = 4 * len as u64;
                    let buffer = gpu.buffer(name, bytes);
                    // One that the adapter refused would be bound by the next, smaller program.
                    gpu.check(bytes)?;
                    State::Gpu(buffer)
                }
            };
            self.states.insert(name.to_string(), (state, len));
        }
        let (state, known) = &self.states[name];
        if *known != len {
            return Err(ExecutionError::Length { name: name.to_string(), expected: *known, actual: len });
        }
        Ok(state)
    }

    /// Writes a state, making it if need be.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<(), ExecutionError> {
        let gpu = match &self.device {
            Device::Gpu(gpu) => Some(gpu.clone()),
            Device::Cpu(_) => None,
        };
        match self.state(name, values.len())? {
            State::Cpu(state) => state.lock().expect("no thread panicked").copy_from_slice(values),
            State::Gpu(buffer) => {
                gpu.expect("GPU state").queue.write_buffer(buffer, 0, bytemuck::cast_slice(values));
            }
        }
        Ok(())
    }

    /// Writes a part of an existing state, from value `offset` on.
    pub fn write_part(&mut self, name: &str, offset: usize, values: &[f32]) -> Result<(), ExecutionError> {
        let state = self.part(name, offset, values.len())?;
        match (state, &self.device) {
            (State::Cpu(state), _) => {
                state.lock().expect("no thread panicked")[offset..][..values.len()].copy_from_slice(values);
            }
            (State::Gpu(buffer), Device::Gpu(gpu)) => {
                gpu.queue.write_buffer(buffer, 4 * offset as u64, bytemuck::cast_slice(values));
            }
            (State::Gpu(_), Device::Cpu(_)) => unreachable!("a workspace has one device"),
        }
        Ok(())
    }

    /// Forgets the states `names`; programs that were bound to them keep theirs.
    pub fn forget(&mut self, names: &[&str]) {
        self.states.retain(|name, _| !names.contains(&name.as_str()));
    }

    /// Bytes of all states.
    pub fn bytes(&self) -> u64 {
        self.states.values().map(|(_, len)| 4 * *len as u64).sum()
    }

    /// Reads a state; waits for what was submitted.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, ExecutionError> {
        let len = self.states.get(name).map_or(0, |(_, len)| *len);
        self.read_part(name, 0, len)
    }

    /// Reads `len` values of a state, from value `offset` on; waits for what was submitted.
    pub fn read_part(&self, name: &str, offset: usize, len: usize) -> Result<Vec<f32>, ExecutionError> {
        let state = self.part(name, offset, len)?;
        Ok(match (state, &self.device) {
            (State::Cpu(values), _) => {
                memory::copy(&values.lock().expect("no thread panicked")[offset..][..len])?
            }
            (State::Gpu(buffer), Device::Gpu(gpu)) => {
                bytemuck::cast_vec(gpu.read_words(buffer, 4 * offset as u64, len)?)
            }
            (State::Gpu(_), Device::Cpu(_)) => unreachable!("a workspace has one device"),
        })
    }

    /// An existing state that has these values.
    fn part(&self, name: &str, offset: usize, len: usize) -> Result<&State, ExecutionError> {
        let Some((state, known)) = self.states.get(name) else {
            return Err(ExecutionError::Unknown { kind: "state", name: name.to_string() });
        };
        if offset + len > *known {
            let (expected, actual) = (*known, offset + len);
            return Err(ExecutionError::Length { name: name.to_string(), expected, actual });
        }
        Ok(state)
    }
}

/// A program bound to a workspace.
pub enum Session {
    /// On the CPU path.
    Cpu(CpuSession),
    /// On a GPU.
    Gpu(Box<GpuSession>),
}

/// A run whose outputs have not been read yet.
pub enum Run {
    /// Finished already.
    Done(Vec<Vec<f32>>),
    /// On the device.
    Pending(Ticket),
}

/// The outputs of a run by name.
#[derive(Debug)]
pub struct Outputs(Vec<(String, Vec<f32>)>);

impl Outputs {
    /// The values of an output.
    ///
    /// # Panics
    /// If the program has no output of this name: a mistake in the code that built the graph.
    pub fn get(&self, name: &str) -> &[f32] {
        let found = self.0.iter().find(|(n, _)| n == name);
        &found.unwrap_or_else(|| panic!("the program has no output named {name}")).1
    }
}

impl Session {
    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        match self {
            Self::Cpu(session) => session.program(),
            Self::Gpu(session) => session.program(),
        }
    }

    /// Writes an input for the next run. An input of the graph that nothing depends on is checked and left out.
    ///
    /// # Errors
    /// If the graph has no input of this name, or one of another length. [`Program::declared`] tells beforehand.
    pub fn write(&mut self, input: &str, values: &[f32]) -> Result<(), ExecutionError> {
        let program = self.program().clone();
        let Some(expected) = program.declared(input) else {
            return Err(ExecutionError::Unknown { kind: "input", name: input.to_string() });
        };
        if expected != values.len() {
            let (name, actual) = (input.to_string(), values.len());
            return Err(ExecutionError::Length { name, expected, actual });
        }
        match (program.input(input), self) {
            (Some(root), Self::Cpu(session)) => session.write(root, values),
            (Some(root), Self::Gpu(session)) => session.write(root, values),
            (None, _) => {}
        }
        Ok(())
    }

    /// Starts a run; on a GPU nothing is waited for.
    ///
    /// # Errors
    /// Also if an end was asked for, see [`interruption`].
    pub fn run(&mut self) -> Result<Run, ExecutionError> {
        if interruption::is_asked_for() {
            return Err(ExecutionError::Interrupted);
        }
        Ok(match self {
            Self::Cpu(session) => Run::Done(session.run()?),
            Self::Gpu(session) => Run::Pending(session.run()?),
        })
    }

    /// Waits for a run and returns its outputs.
    pub fn finish(&mut self, run: Run) -> Result<Outputs, ExecutionError> {
        let values = match (run, &mut *self) {
            (Run::Done(values), _) => values,
            (Run::Pending(ticket), Self::Gpu(session)) => session.finish(ticket)?,
            (Run::Pending(_), Self::Cpu(_)) => unreachable!("tickets come from GPU sessions"),
        };
        let names = self.program().outputs.iter().map(|(name, _)| name.clone());
        Ok(Outputs(names.zip(values).collect()))
    }

    /// Runs and waits.
    pub fn compute(&mut self) -> Result<Outputs, ExecutionError> {
        let run = self.run()?;
        self.finish(run)
    }

    /// Keeps all results from now on, so that [`Session::compute_patches`] computes little. Returns whether it does, as
    /// [`CpuSession::follow`]; never on a GPU.
    pub fn follow(&mut self, input: &str, size: [usize; 2], of_image: usize) -> bool {
        match self {
            Self::Cpu(session) => session.follow(input, size, of_image),
            Self::Gpu(_) => false,
        }
    }

    /// Stops following and gives the memory of the kept results back.
    pub fn stop_following(&mut self) {
        if let Self::Cpu(session) = self {
            session.stop_following();
        }
    }

    /// As [`Session::compute`], on images that differ from those of the last run in these patches only.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn compute_patches(&mut self, patches: &[Patch]) -> Result<Outputs, ExecutionError> {
        let run = match self {
            Self::Cpu(_) if interruption::is_asked_for() => return Err(ExecutionError::Interrupted),
            Self::Cpu(session) => Run::Done(session.run_patches(patches)?),
            Self::Gpu(_) => self.run()?,
        };
        self.finish(run)
    }

    /// Brings back the results that some images, counted over the batch, had before the last run with patches.
    pub fn take_back(&mut self, takes_back: impl Fn(usize) -> bool) {
        if let Self::Cpu(session) = self {
            session.take_back(takes_back);
        }
    }

    /// Takes the states for single calls; see [`Session::call_keeping`].
    pub fn begin(&mut self) {
        if let Self::Cpu(session) = self {
            session.begin();
        }
    }

    /// Runs one call of the program and waits; its tensors stay readable until [`Session::release`].
    pub fn call_keeping(&mut self, index: usize) -> Result<(), ExecutionError> {
        match self {
            Self::Cpu(session) => session.call_keeping(index)?,
            Self::Gpu(session) => session.call(index)?,
        }
        Ok(())
    }

    /// Takes memory for what a call writes, so that it can be read or written before the call.
    pub fn allocate(&mut self, index: usize) -> Result<(), ExecutionError> {
        if let Self::Cpu(session) = self {
            session.allocate(index)?;
        }
        Ok(())
    }

    /// Lets memory that is dead after a call be used again.
    pub fn release(&mut self, index: usize) {
        if let Self::Cpu(session) = self {
            session.release(index);
        }
    }

    /// Gives the states back after single calls.
    pub fn end(&mut self) {
        if let Self::Cpu(session) = self {
            session.end();
        }
    }

    /// Overwrites a tensor between calls.
    pub fn write_tensor(&mut self, id: TensorId, values: &[f32]) {
        match self {
            Self::Cpu(session) => session.write_tensor(id, values),
            Self::Gpu(session) => session.write_tensor(id, values),
        }
    }

    /// Reads a tensor between calls; empty if its memory is not in use.
    pub fn read(&self, id: TensorId) -> Result<Vec<f32>, ExecutionError> {
        Ok(match self {
            Self::Cpu(session) => session.read(id)?,
            Self::Gpu(session) => session.read(id)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_tells_devices_and_precisions_apart_but_no_numbers_of_threads() {
        let cpu = Device::Cpu(cpu::Mode::Fast).describe();
        assert_eq!(without_threads(&cpu), without_threads("CPU reference path (999 threads)"));
        let gpu = |precision| format!("GPU (Vulkan, driver 1{})", precision_in_words(precision));
        let [f32, mixed] = [Precision::F32, Precision::Mixed].map(gpu);
        assert_eq!(f32, "GPU (Vulkan, driver 1)");
        assert_ne!(without_threads(&f32), without_threads(&mixed));
    }
}

//! A session: a program bound to a workspace, its runs, and their outputs.

use super::{ExecutionError, Patch};
use crate::cpu::executor::CpuSession;
use crate::gpu::session::{GpuSession, Ticket};
use crate::interruption;
use crate::program::{Program, TensorId};
use std::sync::Arc;

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

//! A workspace: a device and the named states that its programs share.

use super::{Device, ExecutionError, Session};
use crate::cpu::executor::{self, CpuSession};
use crate::gpu::session::GpuSession;
use crate::gpu::tuning::KernelChoices;
use crate::graph::Graph;
use crate::memory;
use crate::program::{Program, RootKind};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

#[derive(Clone)]
enum State {
    Cpu(executor::State),
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
            if let RootKind::State(name) = &root.kind {
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

//! Replays a program on the CPU. Every root is a vector; its memory is taken from a pool at its first call
//! and given back after its last, so that the path needs what the plan says and not the sum of all tensors.

use super::Mode;
use crate::program::{Program, RootKind, TensorId};
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A state's values, shared between the sessions of a workspace.
pub type State = Arc<Mutex<Vec<f32>>>;

/// A program bound to memory.
pub struct CpuSession {
    program: Arc<Program>,
    mode: Mode,
    /// One vector per root; states are here only while a run is under way.
    memory: Vec<Vec<f32>>,
    states: Vec<(usize, State)>,
    pool: HashMap<usize, Vec<Vec<f32>>>,
}

impl CpuSession {
    /// Binds `program` to the states of a workspace (`state` gives one for a name and length).
    pub fn new(program: Arc<Program>, mode: Mode, mut state: impl FnMut(&str, usize) -> State) -> Self {
        let mut memory = vec![Vec::new(); program.roots.len()];
        let mut states = Vec::new();
        for (i, root) in program.roots.iter().enumerate() {
            match &root.kind {
                RootKind::State(name) => states.push((i, state(name, root.len))),
                RootKind::Constant(value) => memory[i] = vec![*value; root.len],
                RootKind::Input(_) => memory[i] = vec![0.0; root.len],
                RootKind::Computed => {}
            }
        }
        Self { program, mode, memory, states, pool: HashMap::new() }
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Writes root `root`.
    pub fn write(&mut self, root: usize, values: &[f32]) {
        self.memory[root].copy_from_slice(values);
    }

    /// Runs every call and returns the outputs in the program's order.
    pub fn run(&mut self) -> Vec<Vec<f32>> {
        self.begin();
        for call in 0..self.program.calls.len() {
            self.call(call);
        }
        let outputs = self.program.clone().outputs.iter().map(|(_, id)| self.read(*id)).collect();
        self.end();
        outputs
    }

    /// Takes the states; calls may follow.
    pub fn begin(&mut self) {
        for (root, state) in &self.states {
            self.memory[*root] = std::mem::take(&mut *state.lock().expect("no thread panicked"));
        }
    }

    /// Gives the states and all other memory back.
    pub fn end(&mut self) {
        for (root, state) in &self.states {
            *state.lock().expect("no thread panicked") = std::mem::take(&mut self.memory[*root]);
        }
        let computed = |i: &usize| self.program.roots[*i].kind == RootKind::Computed;
        for root in (0..self.program.roots.len()).filter(computed) {
            give_back(&mut self.pool, &mut self.memory[root]);
        }
    }

    /// Runs one call and gives memory back that is dead after it.
    fn call(&mut self, index: usize) {
        self.call_keeping(index);
        self.release(index);
    }

    /// Runs one call; what it read and wrote stays readable until [`CpuSession::release`].
    pub fn call_keeping(&mut self, index: usize) {
        self.allocate(index);
        let program = self.program.clone();
        self.execute(&program.calls[index]);
    }

    /// Takes memory for what call `index` writes.
    pub fn allocate(&mut self, index: usize) {
        let program = self.program.clone();
        let call = &program.calls[index];
        for id in &call.writes {
            let root = program.tensor(*id).root;
            if self.memory[root].is_empty() {
                let len = program.roots[root].len;
                let reused = self.pool.get_mut(&len).and_then(Vec::pop);
                self.memory[root] = reused.unwrap_or_else(|| vec![0.0; len]);
            }
        }
    }

    /// Gives memory back that is dead after call `index`.
    pub fn release(&mut self, index: usize) {
        let program = self.program.clone();
        let call = &program.calls[index];
        for id in call.reads.iter().chain(&call.writes) {
            let root = program.tensor(*id).root;
            if program.roots[root].kind == RootKind::Computed && program.roots[root].last == index {
                let output = program.outputs.iter().any(|(_, id)| program.tensor(*id).root == root);
                if !output {
                    give_back(&mut self.pool, &mut self.memory[root]);
                }
            }
        }
    }

    fn execute(&mut self, call: &crate::program::Call) {
        let program = self.program.clone();
        let span = |id: &TensorId| {
            let info = program.tensor(*id);
            (info.root, info.offset..info.offset + info.shape.len())
        };
        // A part of a pack may be computed from another part, which leaves the table with it.
        let beside = |id: &TensorId| {
            let (root, range) = span(id);
            call.writes.iter().any(|w| span(w).0 == root).then(|| self.memory[root][range].to_vec())
        };
        let copies: Vec<Option<Vec<f32>>> = call.reads.iter().map(beside).collect();
        // What is written leaves the table while the twin borrows the rest.
        let mut taken: Vec<Vec<f32>> =
            call.writes.iter().map(|id| std::mem::take(&mut self.memory[span(id).0])).collect();
        let reads: Vec<&[f32]> = call
            .reads
            .iter()
            .zip(&copies)
            .map(|(id, copy)| {
                let (root, range) = span(id);
                copy.as_deref().unwrap_or_else(|| &self.memory[root][range])
            })
            .collect();
        let mut writes: Vec<&mut [f32]> =
            taken.iter_mut().zip(&call.writes).map(|(values, id)| &mut values[span(id).1]).collect();
        let function = match self.mode {
            Mode::Fast => call.kernel.fast.unwrap_or(call.kernel.twin),
            Mode::Reference => call.kernel.twin,
        };
        function(&mut call.arguments(&reads, &mut writes));
        for (mut values, id) in taken.into_iter().zip(&call.writes) {
            let (root, range) = span(id);
            flush_denormals(&mut values[range]);
            self.memory[root] = values;
        }
    }

    /// The values of a tensor between calls of a run; empty if its memory is not in use.
    pub fn read(&self, id: TensorId) -> Vec<f32> {
        let info = self.program.tensor(id);
        self.memory[info.root].get(info.offset..info.offset + info.shape.len()).unwrap_or_default().to_vec()
    }

    /// Overwrites a tensor between calls of a run.
    pub fn write_tensor(&mut self, id: TensorId, values: &[f32]) {
        let info = self.program.tensor(id);
        if let Some(own) = self.memory[info.root].get_mut(info.offset..info.offset + info.shape.len()) {
            own.copy_from_slice(values);
        }
    }
}

fn give_back(pool: &mut HashMap<usize, Vec<Vec<f32>>>, memory: &mut Vec<f32>) {
    if !memory.is_empty() {
        pool.entry(memory.len()).or_default().push(std::mem::take(memory));
    }
}

fn flush_denormals(values: &mut [f32]) {
    values.par_chunks_mut(super::CHUNK).for_each(|chunk| {
        // Only looking is cheaper, and hardly ever is there one. Numbers, so that the compiler uses vectors.
        let small =
            |value: &f32| u32::from(value.to_bits() != 0) & u32::from(value.abs() < f32::MIN_POSITIVE);
        if chunk.iter().fold(0, |any, value| any | small(value)) != 0 {
            for value in chunk {
                *value = super::flushed(*value);
            }
        }
    });
}

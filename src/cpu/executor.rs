//! Replays a program on the CPU. Every root is a vector. Its memory comes from a pool at its first call and goes back after its last call,
//! so the path needs the memory of the plan and not the sum of all tensors.
//!
//! The pool is filled when a program is bound. If the system refuses memory, it does so at this point and not in the middle of a
//! step. The caller gets an error and can split its batch.

use super::scratch::refusable;
use super::{Mode, simd};
use crate::kernels::expression::Expression;
use crate::memory::{self, OutOfMemory};
use crate::program::{Call, Program, RootKind, TensorId};
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

mod follow;
mod patches;

pub use patches::Patch;

/// Bytes that every thread may take for itself while it computes: inputs with zeros around them, blocks of fused calls.
const PER_THREAD: usize = 8 << 20;

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
    /// Copies of what a call reads from memory that it also writes.
    copies: Vec<f32>,
    /// Of a session that follows an input.
    followed: Option<follow::Followed>,
}

impl CpuSession {
    /// Binds `program` to the states of a workspace (`state` gives one for a name and length), and takes all memory that
    /// its runs need.
    pub fn new(
        program: Arc<Program>,
        mode: Mode,
        mut state: impl FnMut(&str, usize) -> State,
    ) -> Result<Self, OutOfMemory> {
        let mut memory = vec![Vec::new(); program.roots.len()];
        let mut states = Vec::new();
        for (i, root) in program.roots.iter().enumerate() {
            match &root.kind {
                RootKind::State(name) => states.push((i, state(name, root.len))),
                RootKind::Constant(value) => {
                    memory[i] = memory::zeros(root.len)?;
                    memory[i].fill(*value);
                }
                RootKind::Input(_) => memory[i] = memory::zeros(root.len)?,
                RootKind::Computed => {}
            }
        }
        let copies = memory::with_room(program.calls.iter().map(|c| copied(&program, c)).max().unwrap_or(0))?;
        let mut session =
            Self { program, mode, memory, states, pool: HashMap::new(), copies, followed: None };
        session.fill_pool()?;
        session.check_machine()?;
        session.check_room()?;
        Ok(session)
    }

    /// Takes the memory of all calls as a run does, without computing.
    fn fill_pool(&mut self) -> Result<(), OutOfMemory> {
        for call in 0..self.program.calls.len() {
            self.allocate(call)?;
            self.release(call);
        }
        self.give_all_back();
        Ok(())
    }

    /// Sees whether the machine holds what the calls take.
    fn check_machine(&self) -> Result<(), OutOfMemory> {
        let taken: usize = self.pool.iter().map(|(len, all)| len * all.len() * size_of::<f32>()).sum();
        memory::check_machine(taken as u64)
    }

    /// Sees whether there is room for what a run takes beside its plan and gives back.
    fn check_room(&self) -> Result<(), OutOfMemory> {
        let len = |id: &TensorId| self.program.tensor(*id).shape.len();
        let outputs: usize = self.program.outputs.iter().map(|(_, id)| len(id)).sum();
        let largest = self.program.calls.iter().flat_map(|c| &c.reads).map(len).max().unwrap_or(0);
        let bytes = size_of::<f32>() * (outputs + largest) + PER_THREAD * rayon::current_num_threads();
        memory::with_room::<u8>(bytes).map(drop)
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
    pub fn run(&mut self) -> Result<Vec<Vec<f32>>, OutOfMemory> {
        // From one of the threads that compute, so that no call has to wake one and to wait for it.
        rayon::scope(|_| self.run_here())
    }

    fn run_here(&mut self) -> Result<Vec<Vec<f32>>, OutOfMemory> {
        self.begin();
        if let Some(followed) = &mut self.followed {
            followed.begin_anew();
        }
        let program = self.program.clone();
        let ran = (0..program.calls.len()).try_for_each(|call| self.call(call));
        let outputs = ran.and_then(|()| program.outputs.iter().map(|(_, id)| self.read(*id)).collect());
        self.end();
        outputs
    }

    /// Takes the states; calls may follow.
    pub fn begin(&mut self) {
        for (root, state) in &self.states {
            self.memory[*root] = std::mem::take(&mut *state.lock().expect("no thread panicked"));
        }
    }

    /// Gives the states back, and all other memory unless it is kept.
    pub fn end(&mut self) {
        for (root, state) in &self.states {
            *state.lock().expect("no thread panicked") = std::mem::take(&mut self.memory[*root]);
        }
        if self.followed.is_none() {
            self.give_all_back();
        }
    }

    fn give_all_back(&mut self) {
        let computed = |i: &usize| self.program.roots[*i].kind == RootKind::Computed;
        for root in (0..self.program.roots.len()).filter(computed) {
            give_back(&mut self.pool, &mut self.memory[root]);
        }
    }

    /// Runs one call and gives memory back that is dead after it, unless it is kept.
    fn call(&mut self, index: usize) -> Result<(), OutOfMemory> {
        self.call_keeping(index)?;
        if self.followed.is_none() {
            self.release(index);
        }
        Ok(())
    }

    /// Runs one call; what it read and wrote stays readable until [`CpuSession::release`].
    pub fn call_keeping(&mut self, index: usize) -> Result<(), OutOfMemory> {
        self.allocate(index)?;
        let program = self.program.clone();
        self.execute(&program.calls[index])
    }

    /// Takes memory for what call `index` writes. States have theirs, which is here while a run is under way.
    pub fn allocate(&mut self, index: usize) -> Result<(), OutOfMemory> {
        let program = self.program.clone();
        let call = &program.calls[index];
        for id in &call.writes {
            let root = program.tensor(*id).root;
            if program.roots[root].kind == RootKind::Computed && self.memory[root].is_empty() {
                let len = program.roots[root].len;
                self.memory[root] = match self.pool.get_mut(&len).and_then(Vec::pop) {
                    Some(reused) => reused,
                    None => memory::zeros(len)?,
                };
            }
        }
        Ok(())
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

    fn execute(&mut self, call: &Call) -> Result<(), OutOfMemory> {
        let program = self.program.clone();
        let span = |id: &TensorId| {
            let info = program.tensor(*id);
            (info.root, info.offset..info.offset + info.shape.len())
        };
        let mut copies = std::mem::take(&mut self.copies);
        copies.clear();
        for id in call.reads.iter().filter(|id| is_beside(&program, call, **id)) {
            let (root, range) = span(id);
            copies.extend_from_slice(&self.memory[root][range]);
        }
        // What is written leaves the table while the twin borrows the rest.
        let mut taken: Vec<Vec<f32>> =
            call.writes.iter().map(|id| std::mem::take(&mut self.memory[span(id).0])).collect();
        let mut rest = copies.as_slice();
        let reads = call.reads.iter().map(|id| {
            let (root, range) = span(id);
            if is_beside(&program, call, *id) {
                let (copy, others) = rest.split_at(range.len());
                rest = others;
                copy
            } else {
                &self.memory[root][range]
            }
        });
        let reads: Vec<&[f32]> = reads.collect();
        let mut writes: Vec<&mut [f32]> =
            taken.iter_mut().zip(&call.writes).map(|(values, id)| &mut values[span(id).1]).collect();
        let function = match self.mode {
            Mode::Fast => call.kernel.fast.unwrap_or(call.kernel.twin),
            Mode::Reference => call.kernel.twin,
        };
        let computed = refusable(|| function(&mut call.arguments(&reads, &mut writes)));
        let fast = self.mode == Mode::Fast && call.kernel.fast.is_some();
        let flushed = fast || call.expression.as_deref().is_some_and(Expression::writes_results);
        for (mut values, id) in taken.into_iter().zip(&call.writes) {
            let (root, range) = span(id);
            match flushed {
                true => debug_assert!(!simd::has_small(&values[range]), "{} flushes", call.kernel.name),
                false => flush_denormals(&mut values[range]),
            }
            self.memory[root] = values;
        }
        self.copies = copies;
        computed
    }

    /// The values of a tensor between calls of a run; empty if its memory is not in use.
    pub fn read(&self, id: TensorId) -> Result<Vec<f32>, OutOfMemory> {
        let info = self.program.tensor(id);
        let values = self.memory[info.root].get(info.offset..info.offset + info.shape.len());
        memory::copy(values.unwrap_or_default())
    }

    /// Overwrites a tensor between calls of a run.
    pub fn write_tensor(&mut self, id: TensorId, values: &[f32]) {
        let info = self.program.tensor(id);
        if let Some(own) = self.memory[info.root].get_mut(info.offset..info.offset + info.shape.len()) {
            own.copy_from_slice(values);
        }
    }
}

/// Whether a call also writes to the memory that it reads as `id`: a part of a pack may be computed from another part.
fn is_beside(program: &Program, call: &Call, id: TensorId) -> bool {
    call.writes.iter().any(|w| program.tensor(*w).root == program.tensor(id).root)
}

/// Values that are copied before a call.
fn copied(program: &Program, call: &Call) -> usize {
    let beside = call.reads.iter().filter(|id| is_beside(program, call, **id));
    beside.map(|id| program.tensor(*id).shape.len()).sum()
}

fn give_back(pool: &mut HashMap<usize, Vec<Vec<f32>>>, memory: &mut Vec<f32>) {
    if !memory.is_empty() {
        pool.entry(memory.len()).or_default().push(std::mem::take(memory));
    }
}

fn flush_denormals(values: &mut [f32]) {
    values.par_chunks_mut(super::CHUNK).for_each(simd::flush);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::program::MemoryLimits;

    #[test]
    fn all_memory_of_a_run_is_taken_when_it_is_bound_and_that_of_states_is_theirs() {
        let mut graph = Graph::new();
        let x = graph.input("x", &[40, 50]).unwrap();
        let softmax = graph.softmax(x);
        let sums = graph.sum_columns(softmax);
        graph.output("sums", sums);
        let state = graph.state("state", &[40, 50]).unwrap();
        graph.assign(state, softmax).unwrap();
        let again = graph.softmax(state);
        let sums = graph.sum_columns(again);
        graph.output("sums of the state", sums);
        let program = Arc::new(Program::compile(&graph, MemoryLimits::NONE).unwrap());
        let state = |_: &str, len| Arc::new(Mutex::new(vec![0.0; len]));
        let mut session = CpuSession::new(program, Mode::Fast, state).unwrap();
        let held = |session: &CpuSession| -> usize {
            let inside: usize = session.memory.iter().map(Vec::len).sum();
            inside + session.pool.values().flatten().map(Vec::len).sum::<usize>()
        };
        // The input, one softmax after the other in the same memory, and the sums.
        assert_eq!(held(&session), 2 * 40 * 50 + 2 * 40);
        session.run().unwrap();
        assert_eq!(held(&session), 2 * 40 * 50 + 2 * 40);
    }
}

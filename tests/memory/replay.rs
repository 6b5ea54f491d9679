//! Runs a program inside its planned memory on the host: one slice of numbers per arena, in which every tensor is
//! exactly where the plan puts it. Memory that is reused too early shows as a wrong result.

use crate::common::{Values, session};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::Graph;
use pgn_wgpu::program::{Call, MemoryLimits, Program, RootKind, TensorId};

/// Fails unless two runs in planned memory, which start from garbage, give to the bit what the CPU reference path
/// gives, whose tensors all have memory of their own.
pub fn assert_same(graph: &Graph, inputs: &Values, states: &Values) {
    let program = Program::compile(graph, MemoryLimits::NONE).unwrap();
    let (workspace, mut session) = session(&Device::Cpu(Mode::Reference), graph, inputs, states);
    let mut planned = Planned::new(&program, states);
    for run in 0..2 {
        let expected = session.compute().unwrap();
        planned.run(inputs);
        for (name, id) in &program.outputs {
            assert_eq!(planned.tensor(*id), expected.get(name), "{name} of run {run}");
        }
        for (root, values) in program.roots.iter().zip(&planned.states) {
            if let RootKind::State(name) = &root.kind {
                assert_eq!(*values, workspace.read(name).unwrap(), "{name} after run {run}");
            }
        }
    }
}

/// Fails unless a run of the fused program gives to the bit what a run of single calls gives.
pub fn assert_same_unfused(graph: &Graph, inputs: &Values, states: &Values) {
    let [fused, plain] = [Program::compile, Program::compile_unfused].map(|compile| {
        let program = compile(graph, MemoryLimits::NONE).unwrap();
        let mut planned = Planned::new(&program, states);
        planned.run(inputs);
        let outputs = program.outputs.iter().map(|(name, id)| (name.clone(), *id)).collect::<Vec<_>>();
        let outputs = outputs.into_iter().map(|(name, id)| (name, planned.tensor(id)));
        let outputs: Vec<_> = outputs.collect();
        let states =
            program.roots.iter().zip(&planned.states).filter_map(|(root, values)| match &root.kind {
                RootKind::State(name) => Some((name.clone(), values.clone())),
                _ => None,
            });
        outputs.into_iter().chain(states).collect::<Vec<_>>()
    });
    assert_eq!(fused.len(), plain.len());
    for ((name, own), (same, expected)) in fused.iter().zip(&plain) {
        assert_eq!((name, own.len()), (same, expected.len()));
        let differ = own.iter().zip(expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(differ, 0, "of {} values of {name}", own.len());
    }
}

struct Planned<'p> {
    program: &'p Program,
    arenas: Vec<Vec<f32>>,
    /// Per root; empty for those in an arena.
    states: Vec<Vec<f32>>,
}

impl<'p> Planned<'p> {
    fn new(program: &'p Program, states: &Values) -> Self {
        let arenas = program.memory.arenas.iter().map(|&bytes| vec![f32::NAN; bytes as usize / 4]).collect();
        let find = |name: &str| states.iter().find(|(n, _)| n == name).map(|(_, values)| values.clone());
        let states = program.roots.iter().map(|root| match &root.kind {
            RootKind::State(name) => find(name).unwrap_or_else(|| vec![0.0; root.len]),
            _ => Vec::new(),
        });
        let mut planned = Self { program, arenas, states: states.collect() };
        for (i, root) in program.roots.iter().enumerate() {
            if let RootKind::Constant(value) = root.kind {
                planned.root(i).fill(value);
            }
        }
        planned
    }

    fn root(&mut self, root: usize) -> &mut [f32] {
        match self.program.memory.places[root] {
            Some(place) => {
                let first = place.offset as usize / 4;
                &mut self.arenas[place.arena][first..first + self.program.roots[root].len]
            }
            None => &mut self.states[root],
        }
    }

    fn tensor(&mut self, id: TensorId) -> Vec<f32> {
        let info = self.program.tensor(id).clone();
        self.root(info.root)[info.offset..info.offset + info.shape.len()].to_vec()
    }

    fn run(&mut self, inputs: &Values) {
        for (name, values) in inputs {
            if let Some(root) = self.program.input(name) {
                self.root(root).copy_from_slice(values);
            }
        }
        let program = self.program;
        for call in &program.calls {
            self.call(call);
        }
    }

    fn call(&mut self, call: &Call) {
        let reads: Vec<Vec<f32>> = call.reads.iter().map(|id| self.tensor(*id)).collect();
        let mut writes: Vec<Vec<f32>> = call.writes.iter().map(|id| self.tensor(*id)).collect();
        let reads: Vec<&[f32]> = reads.iter().map(Vec::as_slice).collect();
        let mut slots: Vec<&mut [f32]> = writes.iter_mut().map(Vec::as_mut_slice).collect();
        (call.kernel.twin)(&mut call.arguments(&reads, &mut slots));
        for (id, mut values) in call.writes.iter().zip(writes) {
            // As the executor does after every call.
            for value in &mut values {
                if value.abs() < f32::MIN_POSITIVE {
                    *value = 0.0;
                }
            }
            let info = self.program.tensor(*id).clone();
            self.root(info.root)[info.offset..][..values.len()].copy_from_slice(&values);
        }
    }
}

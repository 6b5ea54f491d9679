//! Fused programs against the same graphs with every operation in a call of its own: random graphs with every function and
//! broadcast, values that several consumers share, states that are read before and after they are written, sums.
//! The twins agree to the bit, and so do the fast CPU forms; on the adapter every fused call is judged on its own.

#[path = "fusion/batch_norm.rs"]
mod batch_norm;
#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;

use common::judge::{Case, judge_all};
use common::{Values, named, normals};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Workspace};
use pgn_wgpu::graph::{Binary, Graph, Tensor, Unary};
use pgn_wgpu::program::{MemoryLimits, Program};
use pgn_wgpu::random::{Random, Stream};
use std::sync::Arc;

/// Outputs and states by name, after each of two runs.
fn results(program: Program, values: &Values, mode: Mode) -> Values {
    let mut workspace = Workspace::new(Device::Cpu(mode));
    let states: Vec<&str> =
        values.iter().map(|(n, _)| n.as_str()).filter(|n| n.starts_with("state")).collect();
    for (name, values) in values.iter().filter(|(n, _)| n.starts_with("state")) {
        workspace.write(name, values).unwrap();
    }
    let outputs: Vec<String> = program.outputs.iter().map(|(name, _)| name.clone()).collect();
    let mut session = workspace.bind(Arc::new(program)).unwrap();
    let mut results = Vec::new();
    for _ in 0..2 {
        for (name, values) in values.iter().filter(|(n, _)| n.starts_with("input")) {
            session.write(name, values).unwrap();
        }
        let run = session.compute().unwrap();
        results.extend(outputs.iter().map(|name| named(name, run.get(name).to_vec())));
        results.extend(states.iter().map(|name| named(name, workspace.read(name).unwrap())));
    }
    results
}

fn calls(program: &Program, kernel: &str) -> usize {
    program.calls.iter().filter(|call| call.kernel.name == kernel).count()
}

fn fused(graph: &Graph) -> Program {
    Program::compile(graph, MemoryLimits::NONE).unwrap()
}

/// Fails unless fusing changes no bit; returns the fused program.
fn assert_same(graph: &Graph, values: &Values, name: &str) -> Program {
    for mode in [Mode::Reference, Mode::Fast] {
        let plain = Program::compile_unfused(graph, MemoryLimits::NONE).unwrap();
        let [own, expected] = [fused(graph), plain].map(|program| results(program, values, mode));
        assert_eq!(own.len(), expected.len(), "{name}, {mode:?}");
        for ((result, own), (same, expected)) in own.iter().zip(&expected) {
            assert_eq!((result, own.len()), (same, expected.len()), "{name}, {mode:?}");
            let differs = own
                .iter()
                .zip(expected)
                .position(|(a, b)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()));
            assert_eq!(differs, None, "{name}, {mode:?}: {result} of {} values", expected.len());
        }
    }
    fused(graph)
}

/// A random graph over images `[rows, side, side, 3]`: everything that an element-wise operation may meet.
struct Writer {
    graph: Graph,
    values: Values,
    random: Random,
    drawn: u32,
    images: Vec<usize>,
    /// Tensors of the images' shape.
    whole: Vec<Tensor>,
    /// Tensors that are broadcast to it.
    parts: Vec<Tensor>,
    states: Vec<Tensor>,
}

impl Writer {
    fn new(seed: u64, images: &[usize]) -> Self {
        let mut writer = Self {
            graph: Graph::new(),
            values: Vec::new(),
            random: Random::new(seed, Stream::Bootstrap),
            drawn: 0,
            images: images.to_vec(),
            whole: Vec::new(),
            parts: Vec::new(),
            states: Vec::new(),
        };
        let [rows, height, width, channels] = *images else { panic!("four extents") };
        for _ in 0..2 {
            let input = writer.leaf("input", images);
            writer.whole.push(input);
            let state = writer.leaf("state", images);
            writer.whole.push(state);
            writer.states.push(state);
        }
        for extents in [&[rows, 1][..], &[channels], &[height, width, channels], &[1], &[rows, 1]] {
            let input = writer.leaf("input", extents);
            writer.parts.push(input);
        }
        let constant = writer.graph.constant(0.75, &[1]).unwrap();
        writer.parts.push(constant);
        writer
    }

    fn leaf(&mut self, kind: &str, extents: &[usize]) -> Tensor {
        let name = format!("{kind} {}", self.values.len());
        self.values.push(named(&name, normals(self.values.len() as u32, extents.iter().product())));
        match kind {
            "input" => self.graph.input(&name, extents).unwrap(),
            _ => self.graph.state(&name, extents).unwrap(),
        }
    }

    fn pick(&mut self, below: usize) -> usize {
        self.drawn += 1;
        self.random.bits(7, self.drawn)[0] as usize % below
    }

    fn any(&mut self, among: &[Tensor]) -> Tensor {
        let at = self.pick(among.len());
        among[at]
    }

    fn unary(&mut self) -> Unary {
        let functions = [
            Unary::Affine(-0.75, 0.25),
            Unary::Clamp(-0.5, 1.5),
            Unary::LeakyRelu(0.2),
            Unary::Tanh,
            Unary::Sigmoid,
            Unary::Square,
            Unary::Abs,
            Unary::Sign,
            Unary::Identity,
            Unary::Erf,
            Unary::Softplus,
            Unary::Power(3.0),
        ];
        functions[self.pick(functions.len())]
    }

    fn binary(&mut self) -> Binary {
        let functions = [
            Binary::Add,
            Binary::Subtract,
            Binary::Multiply,
            Binary::Maximum,
            Binary::Minimum,
            Binary::Greater,
            Binary::LeakyMask(0.2),
            Binary::ClampMask(-0.5, 0.5),
            Binary::Select,
            Binary::Equal,
        ];
        functions[self.pick(functions.len())]
    }

    /// One more node.
    fn step(&mut self) {
        let whole = self.whole.clone();
        match self.pick(14) {
            0..=2 => {
                let (function, x) = (self.unary(), self.any(&whole));
                let y = self.graph.unary(function, x);
                self.whole.push(y);
            }
            3..=8 => {
                let (function, l) = (self.binary(), self.any(&whole));
                let part = self.pick(3) == 0;
                let among = if part { self.parts.clone() } else { whole };
                let r = self.any(&among);
                let [l, r] = if self.pick(4) == 0 { [r, l] } else { [l, r] };
                let y = self.graph.binary(function, l, r).unwrap();
                self.whole.push(y);
            }
            9 => {
                let x = self.any(&whole);
                let small = self.graph.affine(x, 0.01, 0.0);
                let sum = self.graph.sum_columns(small);
                self.parts.push(sum);
            }
            10 => {
                let among = self.states.clone();
                let (state, x) = (self.any(&among), self.any(&whole));
                let bounded = self.graph.unary(Unary::Clamp(-4.0, 4.0), x);
                self.graph.assign(state, bounded).unwrap();
            }
            // Over rows, in several parts where there are many.
            11 | 12 => {
                let x = self.any(&whole);
                let small = self.graph.affine(x, 0.01, 0.0);
                let sum = self.graph.sum_rows(small, self.images[3]).unwrap();
                self.parts.push(sum);
            }
            // Something that is not element-wise stands between.
            _ => {
                let x = self.any(&whole);
                let channels = self.images[3];
                let part = self.graph.slice(x, 0, 1).unwrap();
                let rest = self.graph.slice(x, 1, channels - 1).unwrap();
                let turned = self.graph.concatenate(&[rest, part]).unwrap();
                self.whole.push(turned);
            }
        }
    }

    fn case(mut self, name: &str, steps: usize) -> Case {
        for _ in 0..steps {
            self.step();
        }
        for i in 0..3 {
            let whole = self.whole.clone();
            let x = if i == 0 { *whole.last().unwrap() } else { self.any(&whole) };
            self.graph.output(&format!("output {i}"), x);
        }
        if self.parts.len() > 6 {
            self.graph.output("sum", *self.parts.last().unwrap());
        }
        Case { name: name.to_string(), graph: self.graph, values: self.values, matrix_products: false }
    }
}

/// Rows shorter and longer than a workgroup's block.
const IMAGES: [[usize; 4]; 3] = [[3, 2, 3, 3], [2, 16, 12, 3], [5, 9, 7, 5]];

fn random_cases(seeds: std::ops::Range<u64>, steps: usize) -> Vec<Case> {
    let case = |seed: u64| {
        let images = &IMAGES[seed as usize % IMAGES.len()];
        Writer::new(seed, images).case(&format!("graph {seed} over {images:?}"), steps)
    };
    seeds.map(case).collect()
}

#[test]
fn fusing_a_random_graph_changes_no_bit_of_its_results() {
    let (mut before, mut after) = (0, 0);
    for steps in [6, 15, 40] {
        for case in random_cases(0..60, steps) {
            before += Program::compile_unfused(&case.graph, MemoryLimits::NONE).unwrap().calls.len();
            after +=
                assert_same(&case.graph, &case.values, &format!("{} after {steps}", case.name)).calls.len();
        }
    }
    assert!(3 * after < 2 * before, "{after} calls instead of {before}");
}

#[test]
fn fused_calls_agree_on_the_adapter() {
    judge_all(&random_cases(100..112, 15));
}

fn image_graph() -> (Graph, Tensor, Tensor, Values) {
    let mut graph = Graph::new();
    let x = graph.input("input 0", &[4, 8, 8, 3]).unwrap();
    let state = graph.state("state 1", &[4, 8, 8, 3]).unwrap();
    let values = vec![named("input 0", normals(1, 768)), named("state 1", normals(2, 768))];
    (graph, x, state, values)
}

#[test]
fn a_chain_becomes_one_call_that_writes_only_its_end() {
    let (mut graph, x, state, values) = image_graph();
    let square = graph.unary(Unary::Square, x);
    let sum = graph.add(square, state).unwrap();
    let end = graph.unary(Unary::Tanh, sum);
    graph.output("end", end);
    let program = assert_same(&graph, &values, "chain");
    assert_eq!(program.calls.len(), 1);
    assert_eq!((program.calls[0].reads.len(), program.calls[0].writes.len()), (2, 1));
    assert_eq!(program.memory.live_bytes, 3 * 768 * 4, "the input, the state and the result");
}

#[test]
fn reads_of_a_state_see_what_was_there_when_they_were_written_down() {
    let (mut graph, x, state, values) = image_graph();
    let old = graph.affine(state, 1.0, 1.0);
    let new = graph.add(state, x).unwrap();
    graph.assign(state, new).unwrap();
    let seen = graph.affine(state, 2.0, 0.0);
    let newer = graph.multiply(seen, old).unwrap();
    graph.assign(state, newer).unwrap();
    let last = graph.affine(state, 1.0, 0.5);
    for (name, tensor) in [("old", old), ("seen", seen), ("last", last)] {
        graph.output(name, tensor);
    }
    let program = assert_same(&graph, &values, "one state");
    assert_eq!(program.calls.len(), 1, "each invocation reads its old value before it writes the new one");
}

#[test]
fn a_state_that_others_read_at_another_place_is_written_after_them() {
    let (mut graph, x, state, values) = image_graph();
    // One batch repeated: the second copy reads what another invocation would overwrite.
    let twice = graph.input("input 2", &[8, 8, 8, 3]).unwrap();
    let tiled = graph.add(twice, state).unwrap();
    let next = graph.multiply(state, x).unwrap();
    graph.assign(state, next).unwrap();
    let after = graph.subtract(twice, state).unwrap();
    graph.output("before", tiled);
    graph.output("after", after);
    let values = [values, vec![named("input 2", normals(3, 1536))]].concat();
    assert_same(&graph, &values, "tiled state");
}

#[test]
fn a_part_of_a_state_that_every_place_reads_is_read_before_the_state_is_written() {
    let (mut graph, x, state, values) = image_graph();
    let first = graph.view(state, 0, &[3]).unwrap();
    let scaled = graph.multiply(x, first).unwrap();
    graph.assign(state, scaled).unwrap();
    let program = assert_same(&graph, &values, "part of a state");
    assert_eq!(program.calls.len(), 2, "one invocation would read what another one writes");
}

#[test]
fn what_stands_between_two_operations_keeps_its_place() {
    let (mut graph, x, state, values) = image_graph();
    let double = graph.affine(x, 2.0, 0.0);
    // The sum of one image goes into each of its values: no invocation has it when `double` is computed.
    let sum = graph.sum_columns(double);
    let centred = graph.subtract(double, sum).unwrap();
    graph.assign(state, centred).unwrap();
    let rows = graph.sum_rows(state, 3).unwrap();
    let end = graph.add(centred, rows).unwrap();
    graph.output("end", end);
    let program = assert_same(&graph, &values, "sums between");
    assert_eq!(calls(&program, "sum_columns"), 0, "the sum of each image is part of the first call");
    assert_eq!(calls(&program, "elementwise"), 1 + usize::from(program.calls.len() == 4));
}

#[test]
fn the_penalty_and_its_gradient_are_two_calls_around_the_sum() {
    let (mut graph, x, output, values) = image_graph();
    let images = graph.unary(Unary::Sigmoid, x);
    let adversarial = graph.binary(Binary::Compose, images, output).unwrap();
    let delta = graph.subtract(adversarial, images).unwrap();
    let square = graph.unary(Unary::Square, delta);
    let norm2 = graph.sum_columns(square);
    let one = graph.constant(1.0, &[4, 1]).unwrap();
    let gradient = graph.gradient(norm2, one, &[output]).unwrap()[0];
    graph.output("norm2", norm2);
    graph.output("gradient", gradient);
    let program = assert_same(&graph, &values, "penalty");
    assert_eq!(calls(&program, "unary") + calls(&program, "binary") + calls(&program, "sum_columns"), 0);
    assert!(program.calls.len() <= 2, "{} calls", program.calls.len());
}

#[test]
fn groups_never_wait_for_each_other_by_way_of_an_earlier_call() {
    let (mut graph, x, z, values) = image_graph();
    let turned = |graph: &mut Graph, tensor| {
        let [first, rest] = [(0, 1), (1, 2)].map(|(start, len)| graph.slice(tensor, start, len).unwrap());
        graph.concatenate(&[rest, first]).unwrap()
    };
    let early = graph.unary(Unary::Tanh, x);
    let between = turned(&mut graph, early);
    // These two read the same; the first needs what the earlier call makes, the second is needed by what joins that call.
    let after = graph.add(between, z).unwrap();
    let before = graph.affine(z, 2.0, 0.0);
    let far = turned(&mut graph, before);
    let late = graph.add(early, far).unwrap();
    graph.output("after", after);
    graph.output("late", late);
    assert_same(&graph, &values, "groups around others");
}

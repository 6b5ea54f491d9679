//! Properties of the memory plan: nothing alive is overwritten, the printed bytes are the allocated bytes, views and
//! packs cost nothing; and that a step repeats to the bit.

#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;
#[path = "memory/replay.rs"]
mod replay;
#[path = "memory/session.rs"]
mod sessions;

use common::{devices, labels, named, normals, session};
use pgn_wgpu::data::{Batch, DatasetKind};
use pgn_wgpu::executor::Device;
use pgn_wgpu::gpu::device::{Checks, Forms};
use pgn_wgpu::graph::{Graph, Unary};
use pgn_wgpu::nn::{Network, Plan, Problem};
use pgn_wgpu::pgn::Generator;
use pgn_wgpu::program::{ALIGNMENT, MemoryLimits, MemoryPlan, Program, Root, RootKind};
use pgn_wgpu::random::{Random, Stream};
use pgn_wgpu::training::step::{Gradients, phase_graph, phases};
use pgn_wgpu::training::{GradientInput, Method, PenaltySpace, Preset, TrainConfig, Trainer, Update};

const PROBLEM: Problem = Problem { height: 12, width: 12, channels: 3, classes: 3 };
const WIDTH: f32 = 0.0625;
const BATCH: usize = 5;

fn config(method: Method) -> TrainConfig {
    let small = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
    TrainConfig { method, width: WIDTH, batch_size: BATCH, ..small }
}

/// Training in all its variants, whose graphs differ most.
fn configs() -> Vec<TrainConfig> {
    let pgn = config(Method::PGN);
    vec![
        config(Method::NATURAL),
        pgn.clone(),
        TrainConfig { adv_coeff: 0.5, penalty_space: PenaltySpace::Tanh, ..pgn.clone() },
        TrainConfig { update: Update::Alternating, gradient_input: GradientInput::Rms, ..pgn.clone() },
        TrainConfig { through_attack: true, gradient_input: GradientInput::Raw, ..pgn.clone() },
        TrainConfig { generator_rounds: 2, fixed_radius: true, ..pgn },
    ]
}

/// The graphs of one training step, at once and in micro-batches.
fn step_graphs(config: &TrainConfig) -> Vec<Graph> {
    let classifier = Network::default().build(Plan::new(PROBLEM, WIDTH)).unwrap();
    let generator = config.generator(PROBLEM).unwrap();
    let graph = |phase, how| phase_graph(config, &classifier, generator.as_ref(), phase, BATCH, how).unwrap();
    let hows = [Gradients::Apply, Gradients::Accumulate];
    phases(config).into_iter().flat_map(|phase| hows.map(|how| graph(phase, how))).collect()
}

fn programs() -> Vec<Program> {
    let graphs = configs().iter().flat_map(step_graphs).collect::<Vec<_>>();
    graphs.iter().map(|graph| Program::compile(graph, MemoryLimits::NONE).unwrap()).collect()
}

/// Fails unless every root has a place within the limits that it shares with nothing alive at the same time.
fn assert_sound(roots: &[Root], plan: &MemoryPlan, largest: u64) {
    let bytes = |root: &Root| 4 * root.len as u64;
    let mut ends = vec![0; plan.arenas.len()];
    for (i, root) in roots.iter().enumerate() {
        let Some(place) = plan.places[i] else {
            assert!(matches!(root.kind, RootKind::State(_)), "root {i} has no place");
            continue;
        };
        assert!(place.offset.is_multiple_of(256), "root {i} starts at {}", place.offset);
        let end = place.offset + bytes(root);
        assert!(end <= plan.arenas[place.arena], "root {i} ends at {end}");
        assert!(end <= largest || place.offset == 0, "root {i} made arena {} too large", place.arena);
        ends[place.arena] = end.max(ends[place.arena]);
        for (j, other) in roots.iter().enumerate().take(i) {
            let Some(there) = plan.places[j].filter(|p| p.arena == place.arena) else { continue };
            let together = root.first <= other.last && other.first <= root.last;
            let apart = end <= there.offset || there.offset + bytes(other) <= place.offset;
            assert!(
                !together || apart,
                "roots {i} and {j} overlap: {root:?} at {place:?}, {other:?} at {there:?}"
            );
        }
    }
    for (arena, (&end, &size)) in ends.iter().zip(&plan.arenas).enumerate() {
        assert!(size - end < 256, "arena {arena} is {size} bytes, but its last root ends at {end}");
    }
}

/// What is alive at the busiest call, counted here once more.
fn most_alive(program: &Program) -> u64 {
    let bytes = |root: &Root| 4 * root.len.next_multiple_of(ALIGNMENT) as u64;
    let alive =
        |call| program.roots.iter().filter(move |r| r.first <= call && call <= r.last).map(bytes).sum();
    (0..program.calls.len()).map(alive).max().unwrap_or(0)
}

#[test]
fn no_two_tensors_of_a_training_step_share_memory_while_both_are_needed() {
    for program in programs() {
        assert_sound(&program.roots, &program.memory, u64::MAX);
    }
}

#[test]
fn no_two_roots_of_random_sets_share_memory_while_both_are_needed() {
    for set in 0..400 {
        let random = Random::new(set, Stream::Bootstrap);
        let pick = |i: u32, minor: u32, below: u32| (random.bits(i, minor)[0] % below) as usize;
        let count = 1 + pick(u32::MAX, 0, 60) as u32;
        let roots: Vec<Root> = (0..count)
            .map(|i| {
                let kind = match pick(i, 0, 8) {
                    0 => RootKind::State(i.to_string()),
                    1 => RootKind::Constant(0.0),
                    2 => RootKind::Input(i.to_string()),
                    _ => RootKind::Computed,
                };
                let (len, first) = (1 + pick(i, 1, 3000), pick(i, 2, 50));
                Root { kind, len, first, last: first + pick(i, 3, 20), half: false }
            })
            .collect();
        for largest in [u64::MAX, 40_000, 4096] {
            assert_sound(&roots, &MemoryPlan::new(&roots, largest), largest);
        }
    }
}

#[test]
fn every_tensor_lives_from_its_first_use_to_its_last_and_outputs_to_the_end() {
    for program in programs() {
        let end = program.calls.len() - 1;
        for (at, call) in program.calls.iter().enumerate() {
            for id in call.reads.iter().chain(&call.writes) {
                let info = program.tensor(*id);
                let root = &program.roots[info.root];
                assert!(root.first <= at && at <= root.last, "{} at call {at}: {root:?}", info.label);
                assert!(info.offset + info.shape.len() <= root.len, "{} is larger than its root", info.label);
            }
        }
        for (name, id) in &program.outputs {
            assert_eq!(program.roots[program.tensor(*id).root].last, end, "{name}");
        }
    }
}

#[test]
fn a_step_computes_the_same_in_its_planned_memory_as_with_memory_for_every_tensor() {
    for config in configs() {
        for graph in step_graphs(&config) {
            replay::assert_same(&graph, &inputs(&config, &graph), &states());
            replay::assert_same_unfused(&graph, &inputs(&config, &graph), &states());
        }
    }
}

#[test]
fn the_plan_of_a_training_step_needs_hardly_more_than_what_is_alive() {
    for program in programs() {
        let (planned, alive) = (program.memory.bytes(), most_alive(&program));
        assert_eq!(program.memory.live_bytes, alive);
        assert!(planned as f64 <= 1.1 * alive as f64, "{planned} bytes for {alive}");
    }
}

#[test]
fn the_adapter_allocates_what_the_plan_says() {
    let Some(gpu) = common::open(Checks::Trusted, Forms::Best) else { return };
    let Some(before) = gpu.device.generate_allocator_report() else {
        return common::not_tested("what the adapter allocates", "its backend in wgpu does not report that");
    };
    assert!(before.allocations.iter().all(|a| a.name != "arena"), "a fresh device has nothing of ours");
    let config = config(Method::PGN);
    let graph = &step_graphs(&config)[0];
    let (_workspace, mut session) =
        session(&Device::Gpu(gpu.clone()), graph, &inputs(&config, graph), &states());
    session.compute().unwrap();
    let program = session.program();
    let after = gpu.device.generate_allocator_report().unwrap();
    let is_state =
        |name: &str| program.roots.iter().any(|r| matches!(&r.kind, RootKind::State(n) if n == name));
    let ours: Vec<u64> =
        after.allocations.iter().filter(|a| a.name == "arena" || is_state(&a.name)).map(|a| a.size).collect();
    // The allocator may leave an allocation a remainder that is of no use to another.
    let (planned, allocated, padding) =
        (program.memory.bytes(), ours.iter().sum::<u64>(), 256 * ours.len() as u64);
    assert!((planned..planned + padding).contains(&allocated), "{allocated} bytes for {planned} planned");
}

/// Outputs and states of two runs of a step on `device`, as bits.
fn bits(device: &Device, graph: &Graph, values: &common::Values) -> Vec<(String, Vec<u32>)> {
    let declared = graph.inputs();
    let is_input = |(name, _): &&(String, Vec<f32>)| declared.iter().any(|(known, _)| known == name);
    let inputs: common::Values = values.iter().filter(is_input).cloned().collect();
    let kept = values.iter().filter(|value| !is_input(value));
    let (workspace, mut run) = session(device, graph, &inputs, &kept.cloned().chain(states()).collect());
    run.compute().unwrap();
    for (name, values) in &inputs {
        run.write(name, values).unwrap();
    }
    let outputs = run.compute().unwrap();
    let names = run.program().outputs.iter().map(|(name, _)| (name.clone(), outputs.get(name).to_vec()));
    let states = states().into_iter().map(|(name, _)| (name.clone(), workspace.read(&name).unwrap()));
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    names.chain(states).map(|(name, values)| (name, bits(values))).collect()
}

#[test]
fn a_batch_that_is_kept_for_all_phases_gives_the_bits_of_one_that_is_written_for_each() {
    for (name, device) in devices().into_iter().filter(|(name, _)| !name.contains("portable")) {
        for config in configs() {
            for graph in step_graphs(&config) {
                let values = inputs(&config, &graph);
                let mut kept = graph.clone();
                kept.keep_inputs(&["images", "labels", "weights"]);
                assert!(kept.inputs().len() + 3 == graph.inputs().len(), "three inputs less");
                assert_eq!(bits(&device, &kept, &values), bits(&device, &graph, &values), "{name}");
            }
        }
    }
}

/// Values for every input of a step's graph.
fn inputs(config: &TrainConfig, graph: &Graph) -> common::Values {
    let batch = batch();
    let schedule = vec![config.lr, 0.9];
    let mut values = vec![
        named("images", batch.images),
        named("labels", batch.labels),
        named("weights", batch.weights),
        named("classifier.schedule", schedule.clone()),
        named("generator.schedule", schedule),
    ];
    let declared = graph.inputs();
    values.retain(|(name, _)| declared.iter().any(|(known, _)| known == name));
    values
}

fn batch() -> Batch {
    let images =
        normals(1, BATCH * PROBLEM.pixels()).iter().map(|v| (0.5 + 0.3 * v).clamp(0.0, 1.0)).collect();
    Batch::whole(images, labels(2, BATCH, PROBLEM.classes))
}

/// Initial weights of both networks and everything that belongs to them.
fn states() -> common::Values {
    let config = config(Method::PGN);
    let classifier = Network::default().build(Plan::new(PROBLEM, WIDTH)).unwrap().initial(config.init, 1);
    let generator = Generator::new(PROBLEM, WIDTH).unwrap().initial(config.init, 1);
    let mut states = Vec::new();
    for (network, values) in [("classifier", classifier), ("generator", generator)] {
        let weights = values.weights;
        for zeros in ["momentum", "variance", "gradient"] {
            states.push(named(&format!("{network}.{zeros}"), vec![0.0; weights.len()]));
        }
        if network == "classifier" {
            states.push(named("classifier.average", weights.clone()));
        }
        states.push(named(&format!("{network}.parameters"), weights));
    }
    states
}

#[test]
fn views_reshapes_detached_tensors_and_packs_copy_nothing() {
    let mut g = Graph::new();
    let state = g.state("state", &[256]).unwrap();
    let view = g.view(state, 64, &[4, 5]).unwrap();
    let flat = g.reshape(view, &[20]).unwrap();
    let still = g.detach(flat);
    let square = g.unary(Unary::Square, still);
    let sum = g.sum_rows(view, 5).unwrap();
    let packed = g.pack(&[(square, 0), (sum, 64)], 128).unwrap();
    let root = g.unary(Unary::Abs, packed);
    g.output("result", root);
    let program = Program::compile(&g, MemoryLimits::NONE).unwrap();
    let kernels: Vec<&str> = program.calls.iter().map(|call| call.kernel.name).collect();
    assert_eq!(kernels, ["unary", "sum_rows", "unary"], "square, sum, absolute value");
    let place = |id| (program.tensor(id).root, program.tensor(id).offset);
    let [square, sum, abs] = [0, 1, 2].map(|i| &program.calls[i]);
    assert_eq!(place(square.reads[0]), place(sum.reads[0]), "both read the state where it lies");
    assert_eq!(place(abs.reads[0]), place(square.writes[0]));
    assert_eq!(place(sum.writes[0]), (place(abs.reads[0]).0, 64));
}

#[test]
fn a_pack_is_right_whatever_its_parts_are() {
    let mut g = Graph::new();
    let x = g.input("x", &[3]).unwrap();
    let square = g.unary(Unary::Square, x);
    let fourth = g.unary(Unary::Square, square);
    let constant = g.constant(7.0, &[2]).unwrap();
    // An input, a tensor and what is computed from it, the same tensor again, a constant, a gap.
    let parts = [(x, 0), (square, 64), (fourth, 128), (square, 192), (constant, 320)];
    let pack = g.pack(&parts, 384).unwrap();
    g.output("pack", pack);
    let mut expected = vec![0.0; 384];
    for (offset, part) in [(0, [1., 2., 3.]), (64, [1., 4., 9.]), (128, [1., 16., 81.]), (192, [1., 4., 9.])]
    {
        expected[offset..offset + 3].copy_from_slice(&part);
    }
    expected[320..322].copy_from_slice(&[7., 7.]);
    for (name, device) in devices() {
        let inputs = vec![named("x", vec![1., 2., 3.])];
        let (_workspace, mut session) = session(&device, &g, &inputs, &vec![]);
        for _ in 0..2 {
            assert_eq!(session.compute().unwrap().get("pack"), expected, "{name}");
        }
    }
}

/// All states after three steps on `device`, as bits.
fn after_three_steps(device: &Device, method: Method) -> Vec<(String, Vec<u32>)> {
    let mut trainer = Trainer::new(device.clone(), &config(method), PROBLEM, None, None).unwrap();
    for _ in 0..3 {
        let step = trainer.submit(&batch()).unwrap();
        trainer.collect(step).unwrap();
    }
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    trainer.snapshot().unwrap().0.into_iter().map(|(name, values)| (name, bits(values))).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits_on_the_same_device() {
    for (name, device) in devices() {
        for method in [Method::NATURAL, Method::PGN] {
            assert_eq!(
                after_three_steps(&device, method),
                after_three_steps(&device, method),
                "{name}, {method:?}"
            );
        }
    }
}

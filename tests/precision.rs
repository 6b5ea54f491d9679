//! Activations stored as f16: every kernel can read and write them, a step in mixed precision passes the same comparison
//! kernel by kernel, takes less memory, and ends near the f32 one.

#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;

use common::{Values, labels, named};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use pgn_wgpu::executor::Device;
use pgn_wgpu::gpu::GpuError;
use pgn_wgpu::gpu::device::{Checks, Forms, Gpu, Options};
use pgn_wgpu::gpu::half;
use pgn_wgpu::graph::Graph;
use pgn_wgpu::kernels;
use pgn_wgpu::lockstep::{Case, compare, effects};
use pgn_wgpu::nn::{Init, Network, Plan, Problem};
use pgn_wgpu::pgn::Generator;
use pgn_wgpu::program::precision::Precision;
use pgn_wgpu::program::{MemoryLimits, Program, RootKind};
use pgn_wgpu::random::{Random, Stream};
use pgn_wgpu::training::step::{Gradients, Phase, phase_graph};
use pgn_wgpu::training::{Method, Preset, TrainConfig};

/// More than classes, so that the generator works class by class.
const IMAGES: usize = 12;
const PROBLEM: Problem = Problem { height: 8, width: 8, channels: 1, classes: 10 };
const HALF: MemoryLimits = MemoryLimits { half: true, ..MemoryLimits::NONE };

/// A PGN step of small networks, with its states and inputs.
fn step() -> (Graph, Values, Values) {
    let preset = TrainConfig::preset(Preset::Small, pgn_wgpu::data::DatasetKind::Digits);
    let config = TrainConfig { method: Method::PGN, width: 0.125, batch_size: IMAGES, ..preset };
    let (classifier, generator) = (
        Network::default().build(Plan::new(PROBLEM, config.width)).unwrap(),
        Generator::new(PROBLEM, config.width).unwrap(),
    );
    let graph =
        phase_graph(&config, &classifier, Some(&generator), Phase::Both, IMAGES, Gradients::Apply).unwrap();
    let random = Random::new(1, Stream::Augment);
    let images = (0..(IMAGES * 64) as u32).map(|i| random.uniform(0, i)).collect();
    let states = vec![
        named("classifier.parameters", classifier.initial(Init::He, 0).weights),
        named("generator.parameters", generator.initial(Init::He, 0).weights),
    ];
    let inputs = vec![
        named("images", images),
        named("labels", labels(2, IMAGES, 10)),
        named("weights", vec![1.0 / IMAGES as f32; IMAGES]),
        named("classifier.schedule", vec![1e-3, 0.5]),
        named("generator.schedule", vec![1e-3, 0.5]),
    ];
    (graph, states, inputs)
}

#[test]
fn every_shader_takes_every_tensor_as_f16() {
    for kernel in kernels::ALL {
        for form in kernel.forms.iter().filter(|form| !form.needs.int64) {
            // A seed is no number.
            let number = |mask: &u32| kernel.name != "random_normal" || mask & 2 == 0;
            let all = (0..kernel.reads + kernel.writes).map(|b| 2u32 << b).filter(number);
            for mask in all.clone().chain([all.sum()]) {
                let text = half::rewrite(form.source, mask);
                let name = format!("{} ({}), bindings {mask:b}", kernel.name, form.name);
                let module = naga::front::wgsl::parse_str(&text)
                    .unwrap_or_else(|e| panic!("{name}:\n{}", e.emit_to_string(&text)));
                Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16)
                    .validate(&module)
                    .unwrap_or_else(|e| panic!("{name}:\n{}", e.emit_to_string(&text)));
                let arrays = [": array<f16>;", ": array<vec4<f16>>;"];
                let changed: usize = arrays.iter().map(|array| text.matches(array).count()).sum();
                assert_eq!(changed, mask.count_ones() as usize, "{name}");
            }
        }
    }
}

#[test]
fn only_activations_are_f16_and_they_halve() {
    let (graph, ..) = step();
    let (whole, mixed) =
        (Program::compile(&graph, MemoryLimits::NONE).unwrap(), Program::compile(&graph, HALF).unwrap());
    assert!(whole.roots.iter().all(|root| !root.half));
    let halves: Vec<_> = mixed.roots.iter().filter(|root| root.half).collect();
    // Three layers of the classifier in each of its two passes, and all of the generator but its last, whatever kernel makes it.
    assert_eq!(halves.len(), 2 * 3 + 5);
    assert!(halves.iter().all(|root| root.kind == RootKind::Computed));
    assert!(mixed.outputs.iter().all(|(_, id)| !mixed.is_half(*id)));
    let arenas = |program: &Program| program.memory.arenas.iter().sum::<u64>();
    assert!(arenas(&mixed) < arenas(&whole), "{} of {}", arenas(&mixed), arenas(&whole));
}

#[test]
fn a_step_in_mixed_precision_passes_kernel_by_kernel_and_ends_near_the_whole_one() {
    let Some(listed) = common::adapter() else { return };
    for checks in [Checks::Trusted, Checks::Full] {
        let options = Options { checks, forms: Forms::Best, precision: Precision::Mixed };
        let gpu = match Gpu::open_as(listed, options) {
            Err(GpuError::NoHalf { .. }) => {
                return common::not_tested("a step in mixed precision", "the adapter has no f16");
            }
            gpu => gpu.unwrap(),
        };
        let (graph, states, inputs) = step();
        let case = Case { graph: &graph, states: &states, inputs: &inputs, runs: 1 };
        let device = Device::Gpu(gpu);
        for report in compare(&device, &case, None).unwrap() {
            assert!(report.pass, "{report:?}");
        }
        let all = effects(&device, &case).unwrap();
        let of =
            |name: &str| all.iter().find(|e| e.tensor == name).unwrap_or_else(|| panic!("{name}")).relative;
        // Each activation is rounded to 11 bits, 5e-4; f32 alone would be off by 1e-6.
        assert!((1e-6..3e-3).contains(&of("loss")), "{}", of("loss"));
        assert!((1e-5..5e-2).contains(&of("classifier.momentum")), "{}", of("classifier.momentum"));
    }
}

#[test]
fn every_step_on_a_device_gets_its_inputs_whatever_the_step_before_left_in_their_memory() {
    let Some(gpu) = common::open(Checks::Trusted, Forms::Best) else { return };
    let (graph, states, inputs) = step();
    let case = Case { graph: &graph, states: &states, inputs: &inputs, runs: 3 };
    let all = effects(&Device::Gpu(gpu), &case).unwrap();
    let loss = all.iter().find(|effect| effect.tensor == "loss").expect("a step has a loss").relative;
    // Rounding makes 1e-6 of it. Labels that were overwritten are other labels.
    assert!(loss < 1e-4, "{loss}");
}

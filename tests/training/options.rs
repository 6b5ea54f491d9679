//! Every option of the game makes a step that is finite and the same on the adapter, and degenerate inputs too.

use super::common::{compare, labels, largest, named, normals, session};
use super::{DIGITS, batch, close, cpu, devices, names, tiny};
use bytemuck::pod_read_unaligned;
use pgn_wgpu::attacks::Norm;
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::{Graph, Shape};
use pgn_wgpu::kernels::Tolerance;
use pgn_wgpu::kernels::params::ConvolutionParams;
use pgn_wgpu::nn::{Init, Pass, Problem};
use pgn_wgpu::pgn::{Generator, GeneratorInputs, Recipe};
use pgn_wgpu::program::{MemoryLimits, Program};
use pgn_wgpu::training::{
    GeneratorInput, GeneratorLoss, GradientInput, Method, PenaltySpace, StepRecord, TrainConfig, Trainer,
    Update,
};

/// Errors of single kernels (at most 1e-4 of a tensor's largest value) that pile up over a step.
const PILED_UP: Tolerance = Tolerance { absolute: 1e-3, relative: 1e-3 };

/// Every option that is not the default of either preset, alone; and the paper's.
fn variants() -> Vec<(String, TrainConfig)> {
    let base = TrainConfig { batch_size: 12, ..tiny(Method::PGN) };
    let with = |name: &str, change: fn(&mut TrainConfig)| {
        let mut config = base.clone();
        change(&mut config);
        (name.to_string(), config)
    };
    let mut all = vec![
        with("defaults", |_| ()),
        with("alternating", |c| c.update = Update::Alternating),
        with("two generator steps", |c| c.generator_steps = 2),
        with("two generator steps, alternating", |c| {
            (c.generator_steps, c.update) = (2, Update::Alternating);
        }),
        with("tanh penalty", |c| c.penalty_space = PenaltySpace::Tanh),
        with("half clean", |c| c.adv_coeff = 0.5),
        with("label smoothing", |c| c.label_smoothing = 0.1),
        with("through the attack", |c| c.through_attack = true),
        with("half clean, through the attack", |c| (c.adv_coeff, c.through_attack) = (0.5, true)),
        with("no penalty", |c| c.c_l = 0.0),
        with("the library's initial weights", |c| c.init = Init::Library),
        with("without the gradient", |c| c.without = vec![GeneratorInput::Gradient]),
        with("without the image", |c| c.without = vec![GeneratorInput::Image]),
        with("without the label, through the attack", |c| {
            (c.without, c.through_attack) = (vec![GeneratorInput::Label], true);
        }),
        with("two rounds", |c| c.generator_rounds = 2),
        with("a fixed radius in L2", |c| c.fixed_radius = true),
        with("a fixed radius in Linf", |c| (c.fixed_radius, c.norm) = (true, Norm::Linf)),
        with("the margin", |c| c.generator_objective = GeneratorLoss::Margin),
        with("DLR, half clean", |c| (c.generator_objective, c.adv_coeff) = (GeneratorLoss::Dlr, 0.5)),
        with("noise", |c| c.generator_noise = true),
        with("three generators", |c| c.generators = 3),
        with("a wider generator", |c| c.generator_width = Some(0.0625)),
        with("a deeper generator, alternating", |c| {
            (c.generator_depth, c.update) = (1, Update::Alternating);
        }),
        with("batch normalisation", |c| c.generator_batch_norm = true),
        with("the gradient of DLR", |c| c.gradient_of = GeneratorLoss::Dlr),
        with("two rounds, through the attack", |c| {
            (c.generator_rounds, c.fixed_radius, c.through_attack) = (2, true, true);
        }),
        with("natural", |c| c.method = Method::NATURAL),
    ];
    for input in [GradientInput::Rms, GradientInput::L2, GradientInput::Raw] {
        let config = TrainConfig { gradient_input: input, ..base.clone() };
        all.push((format!("{input:?} gradient input"), config.clone()));
        all.push((
            format!("{input:?} gradient input, through the attack"),
            TrainConfig { through_attack: true, ..config },
        ));
    }
    all
}

/// States and metrics after one step.
fn step(device: &Device, config: &TrainConfig) -> (Vec<(String, Vec<f32>)>, StepRecord) {
    let mut trainer = Trainer::new(device.clone(), config, DIGITS, None, None).unwrap();
    let pending = trainer.submit(&batch(config.batch_size)).unwrap();
    let metrics = trainer.collect(pending).unwrap();
    (trainer.snapshot().unwrap().0, metrics)
}

#[test]
fn a_step_with_any_option_is_finite_moves_every_network_and_agrees_with_the_reference() {
    for (variant, mut config) in variants() {
        // Between the phases of a step weights move by Adam, whose first step is a sign that rounding may turn; the
        // phases after it are compared at weights that have hardly moved.
        config.lr = 1e-6;
        let (expected, reference) = step(&Device::Cpu(Mode::Reference), &config);
        for (name, device) in devices() {
            let (actual, metrics) = step(&device, &config);
            let what = format!("{variant} on {name}");
            assert!(
                (metrics.loss - reference.loss).abs() <= 1e-4 * reference.loss,
                "{what}: {metrics:?}, {reference:?}"
            );
            assert!(close(metrics.delta, reference.delta, 1e-3), "{what}: {metrics:?}, {reference:?}");
            assert_eq!(names(&actual), names(&expected), "{what}");
            for ((state, actual), (_, expected)) in actual.iter().zip(&expected) {
                assert!(actual.iter().all(|v| v.is_finite()), "{what}: {state} is not finite");
                assert!(largest(actual) > 0.0, "{what}: {state} is all zeros");
                // Gradients and their squares; weights have only moved by Adam's signs.
                let of_gradients = state.ends_with(".momentum") || state.ends_with(".variance");
                let shape = Shape::new(&[expected.len()]);
                if of_gradients && let Err(difference) = compare(actual, expected, &shape, PILED_UP) {
                    panic!("{what}, {state}: {difference}");
                }
            }
        }
    }
}

#[test]
fn options_of_the_game_change_what_is_learned() {
    let momenta = |config: &TrainConfig| -> Vec<f32> {
        let (states, _) = step(&cpu(), config);
        states
            .into_iter()
            .filter(|(name, _)| name.ends_with(".momentum"))
            .flat_map(|(_, values)| values)
            .collect()
    };
    let all: Vec<(String, Vec<f32>)> =
        variants().iter().map(|(name, config)| (name.clone(), momenta(config))).collect();
    for (i, (name, own)) in all.iter().enumerate() {
        for (other, theirs) in &all[..i] {
            assert!(own != theirs, "{name} and {other} learn the same");
        }
    }
}

#[test]
fn a_gradient_image_of_zeros_gives_no_nan() {
    // With all weights zero the loss is ln 10 everywhere.
    for (name, device) in devices() {
        for gradient_input in [GradientInput::Log, GradientInput::Rms, GradientInput::L2, GradientInput::Raw]
        {
            for through_attack in [false, true] {
                let config =
                    TrainConfig { gradient_input, through_attack, batch_size: 3, ..tiny(Method::PGN) };
                let what = format!("{gradient_input:?} on {name}, through the attack: {through_attack}");
                let mut trainer = Trainer::new(device.clone(), &config, DIGITS, None, None).unwrap();
                let zeros = vec![0.0; trainer.classifier().slots.weights];
                trainer.workspace().write("classifier.parameters", &zeros).unwrap();
                let pending = trainer.submit(&batch(3)).unwrap();
                let metrics = trainer.collect(pending).unwrap();
                assert!((metrics.loss - 10f64.ln()).abs() < 1e-5, "{what}: loss {}", metrics.loss);
                assert!(metrics.delta.is_some_and(f64::is_finite), "{what}: {metrics:?}");
                assert_eq!(metrics.predicted_delta, Some(0.0), "{what}");
                for (state, values) in trainer.snapshot().unwrap().0 {
                    assert!(values.iter().all(|v| v.is_finite()), "{what}: {state} is not finite");
                }
            }
        }
    }
}

#[test]
fn a_generator_does_not_see_what_it_is_without_and_sees_all_else() {
    use GeneratorInput::{Gradient, Image, Label};
    let perturbation = |without: &[GeneratorInput], other: Option<GeneratorInput>| {
        let recipe = Recipe { without: without.to_vec(), ..Recipe::default() };
        let generator = Generator::of(DIGITS, 0.03125, recipe).unwrap();
        let weights = generator.initial(Init::He, 1);
        let mut graph = Graph::new();
        let views = generator.live(&mut graph).unwrap();
        let inputs = GeneratorInputs {
            labels: graph.input("labels", &[2, 1]).unwrap(),
            images: graph.input("images", &[2, 8, 8, 1]).unwrap(),
            gradient: graph.input("gradient", &[2, 8, 8, 1]).unwrap(),
            noise: None,
        };
        let output = generator.output(&mut graph, (&views, 0), inputs, Pass::Evaluate).unwrap();
        graph.output("perturbation", output);
        let seed = |input, own| if other == Some(input) { own + 10 } else { own };
        let all = vec![
            named("labels", labels(seed(Label, 1), 2, 10)),
            named("images", normals(seed(Image, 2), 128)),
            named("gradient", normals(seed(Gradient, 3), 128)),
        ];
        let states = vec![named("generator.parameters", weights.weights)];
        let (_workspace, mut session) = session(&cpu(), &graph, &all, &states);
        let run = session.run().unwrap();
        session.finish(run).unwrap().get("perturbation").to_vec()
    };
    for without in [None, Some(Gradient), Some(Image), Some(Label)] {
        let without: Vec<_> = without.into_iter().collect();
        let before = perturbation(&without, None);
        for changed in [Gradient, Image, Label] {
            let same = before == perturbation(&without, Some(changed));
            assert_eq!(same, without.contains(&changed), "without {without:?}, another {changed:?}");
        }
    }
}

/// The batches of a generator's convolutions, forward and backward, for so many images of a problem; programs as adapters
/// get them that compute convolutions by matrix products, or not.
fn batches(problem: Problem, width: f32, images: usize, matrix_products: bool) -> Vec<u32> {
    let generator = Generator::new(problem, width).unwrap();
    let mut graph = Graph::new();
    let views = generator.live(&mut graph).unwrap();
    let inputs = GeneratorInputs {
        labels: graph.input("labels", &[images, 1]).unwrap(),
        images: graph.input("images", &problem.batch(images)).unwrap(),
        gradient: graph.input("gradient", &problem.batch(images)).unwrap(),
        noise: None,
    };
    let output = generator.output(&mut graph, (&views, 0), inputs, Pass::Evaluate).unwrap();
    let gradients = graph.gradient(output, output, &views.learned).unwrap();
    let packed = generator.slots.pack(&mut graph, &gradients).unwrap();
    graph.output("gradients", packed);
    let limits = MemoryLimits { matrix_products, biases_with_weights: true, ..MemoryLimits::NONE };
    let program = Program::compile(&graph, limits).unwrap();
    let convolutions = program.calls.iter().filter(|call| call.kernel.name.starts_with("conv2d"));
    convolutions.map(|call| pod_read_unaligned::<ConvolutionParams>(&call.params).batch).collect()
}

#[test]
fn of_more_images_than_classes_what_the_label_says_is_computed_once_per_class() {
    let count = |batches: &[u32], batch: u32| batches.iter().filter(|&&b| b == batch).count();
    // Forward two dense layers and three up-convolutions, two of which have biases by the label; backward the gradients of their
    // weights and of what they read, but for the label's.
    let few = batches(DIGITS, 0.03125, 11, false);
    assert_eq!(count(&few, 10), 7 + 7 + 4, "{few:?}");
    // Image and gradient, and the last layer; backward their weights, what the last one reads, and the rows that images chose.
    assert_eq!(count(&few, 11), 2 + 2 + 1 + 1, "{few:?}");
    // As many images as classes, and images that are too large for one dispatch to add up.
    let many = batches(DIGITS, 0.03125, 10, false);
    assert_eq!(many.len(), count(&many, 10));
    for matrix_products in [false, true] {
        let large =
            batches(Problem { height: 96, width: 96, channels: 1, classes: 2 }, 1.0, 3, matrix_products);
        assert_eq!(count(&large, 2), 0, "{large:?}");
    }
}

//! A batch that does not fit is split, and the split step is the unsplit one to rounding.

use super::common::{compare, gpus, not_tested, worst};
use super::{DIGITS, batch, close, cpu, devices, digits, names, tiny};
use pgn_wgpu::attacks::AttackKind;
use pgn_wgpu::data::{Batch, BatchOptions, make_batch};
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::Shape;
use pgn_wgpu::kernels::{self, Tolerance};
use pgn_wgpu::nn::{Network, Plan};
use pgn_wgpu::pgn::Generator;
use pgn_wgpu::program::{MemoryLimits, Program, ProgramError};
use pgn_wgpu::training::defenses::awp::Gamma;
use pgn_wgpu::training::robust::RobustValidator;
use pgn_wgpu::training::step::{self, Gradients, Phase};
use pgn_wgpu::training::validation::Validator;
use pgn_wgpu::training::{GeneratorLoss, Method, StepRecord, TrainConfig, Trainer, Update};

/// The sums of gradients over images are made in another order; that kernel says what its sums may differ by.
fn rounding() -> Tolerance {
    kernels::by_name("conv2d_weight_gradient").unwrap().tolerance
}

/// Both momenta after two steps (the gradients, weighted), what the defense keeps, and the metrics of the second.
fn steps(
    device: &Device,
    config: &TrainConfig,
    batch: &Batch,
    largest: usize,
) -> (Vec<(String, Vec<f32>)>, StepRecord) {
    // Adam's first steps are signs, which rounding may turn where a gradient is nearly 0. With steps this small the
    // gradients after them are those of the same weights.
    let config = TrainConfig { lr: 1e-9, ..config.clone() };
    let mut trainer = Trainer::new(device.clone(), &config, DIGITS, None, Some(largest)).unwrap();
    assert_eq!(trainer.micro_batch(), largest.min(config.batch_size));
    let first = trainer.submit(batch).unwrap();
    trainer.collect(first).unwrap();
    let second = trainer.submit(batch).unwrap();
    let metrics = trainer.collect(second).unwrap();
    let (states, updates) = trainer.snapshot().unwrap();
    let moves = step::phases(&config).iter().filter(|&&phase| phase != Phase::Generator).count();
    assert_eq!(updates[0], 2 * moves as u64, "as many updates of the classifier, however many micro-batches");
    let compared = |name: &str| name.ends_with(".momentum") || name == "free.perturbation";
    (states.into_iter().filter(|(name, _)| compared(name)).collect(), metrics)
}

/// Compares split steps with unsplit ones.
fn agree(what: &str, device: &Device, config: &TrainConfig, batch: &Batch, largest: usize) {
    let (whole, metrics) = steps(device, config, batch, batch.labels.len());
    let (split, own) = steps(device, config, batch, largest);
    assert_eq!(names(&whole), names(&split), "{what}");
    for ((name, expected), (_, actual)) in whole.iter().zip(&split) {
        assert!(expected.iter().any(|&v| v != 0.0), "{what}: {name} is all zeros");
        if let Err(difference) = compare(actual, expected, &Shape::new(&[expected.len()]), rounding()) {
            panic!("{what}, micro-batches of {largest}, {name}: {difference}");
        }
    }
    assert!(
        close(Some(own.loss), Some(metrics.loss), 1e-5)
            && close(Some(own.accuracy), Some(metrics.accuracy), 1e-5)
            && close(own.delta, metrics.delta, 1e-5)
            && close(own.predicted_delta, metrics.predicted_delta, 1e-5),
        "{what}, micro-batches of {largest}: {own:?} instead of {metrics:?}"
    );
}

#[test]
fn micro_batches_add_up_to_the_unsplit_step_whether_or_not_they_divide_the_batch() {
    for (name, device) in devices() {
        for method in [Method::NATURAL, Method::PGN] {
            // More images than classes, of which the generator makes what the label says once for each; and fewer.
            let config = TrainConfig { batch_size: 12, ..tiny(method) };
            for largest in [11, 5, 1] {
                agree(&format!("{name}, {}", method.name()), &device, &config, &batch(12), largest);
            }
        }
    }
}

#[test]
fn variants_of_the_generator_that_know_one_image_at_a_time_add_up_too() {
    for (name, device) in devices() {
        let base = TrainConfig { batch_size: 10, ..tiny(Method::PGN) };
        let variants = [
            TrainConfig { generator_rounds: 2, generator_noise: true, ..base.clone() },
            TrainConfig {
                fixed_radius: true,
                gradient_of: GeneratorLoss::Dlr,
                generator_depth: 1,
                ..base.clone()
            },
            TrainConfig { generator_objective: GeneratorLoss::Margin, generator_width: Some(0.0625), ..base },
        ];
        for config in variants {
            agree(&format!("{name}, {:?}", config.recipe()), &device, &config, &batch(10), 4);
        }
    }
}

#[test]
fn a_random_start_is_the_same_in_micro_batches() {
    for (name, device) in devices() {
        let config = TrainConfig { batch_size: 10, random_start: true, iterations: 2, ..tiny(Method::PGD) };
        agree(&format!("{name}, PGD"), &device, &config, &batch(10), 4);
        for method in [Method::TRADES, Method::MART, Method::FAST, Method::N_FGSM] {
            let config = TrainConfig { batch_size: 10, iterations: 2, ..tiny(method) };
            agree(&format!("{name}, {method}"), &device, &config, &batch(10), 4);
        }
    }
}

#[test]
fn weights_are_moved_along_the_gradient_of_all_parts_before_the_first_of_them_learns() {
    for (name, device) in devices() {
        let base =
            TrainConfig { batch_size: 10, iterations: 2, awp: Some(Gamma::Of(0.05)), ..tiny(Method::PGN) };
        let alternating = TrainConfig { update: Update::Alternating, ..base.clone() };
        let defenses = [Method::PGD, Method::TRADES, Method::MART, Method::PGN];
        let defenses = defenses.map(|method| TrainConfig { method, ..base.clone() });
        for config in defenses.into_iter().chain([alternating]) {
            agree(
                &format!("{name}, {} with AWP, {:?}", config.method, config.update),
                &device,
                &config,
                &batch(10),
                4,
            );
        }
    }
}

#[test]
fn an_attack_with_programs_of_its_own_moves_every_part() {
    for awp in [None, Some(Gamma::Of(0.05))] {
        let inner = Some(AttackKind::DEEPFOOL);
        let config = TrainConfig { batch_size: 10, inner, iterations: 2, awp, ..tiny(Method::ADVERSARIAL) };
        agree(&format!("CPU fast, DeepFool, {awp:?}"), &cpu(), &config, &batch(10), 4);
    }
}

#[test]
fn perturbations_that_go_on_from_step_to_step_are_those_of_their_place_in_the_batch() {
    for (name, device) in devices() {
        for awp in [None, Some(Gamma::Of(0.05))] {
            let config = TrainConfig { batch_size: 10, replays: 3, awp, ..tiny(Method::FREE) };
            for largest in [7, 4] {
                agree(&format!("{name}, free, {awp:?}"), &device, &config, &batch(10), largest);
            }
            // Seven real images, and three places without one.
            let (images, options) = (digits().train, BatchOptions::in_order(10));
            let last = make_batch(&images, &options, 0, 119);
            assert_eq!((last.real, last.labels.len()), (7, 10));
            agree(&format!("{name}, free, {awp:?}, the last batch"), &device, &config, &last, 4);
        }
    }
}

#[test]
fn the_turn_in_which_weights_move_teaches_nothing_else() {
    let steps = |awp| {
        let config = TrainConfig {
            batch_size: 10,
            network: "resnet18".parse().unwrap(),
            width: 0.0625,
            generator_batch_norm: true,
            awp,
            ..tiny(Method::PGN)
        };
        let mut trainer = Trainer::new(cpu(), &config, DIGITS, None, Some(4)).unwrap();
        let step = trainer.submit(&batch(10)).unwrap();
        trainer.collect(step).unwrap();
        trainer.snapshot().unwrap().0
    };
    // So short a way up changes nothing but by rounding; statistics that learned twice would be others.
    let mut compared = 0;
    let moved = steps(Some(Gamma::Of(1e-7)));
    for (name, expected) in &steps(None) {
        if name.contains("buffers") || name == "generator.momentum" {
            compared += 1;
            let farthest = expected.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
            let (_, actual) = moved.iter().find(|(own, _)| own == name).expect("the same states");
            let difference = worst(actual, expected);
            assert!(farthest > 0.0 && difference < 1e-4 * farthest, "{name}: {difference} of {farthest}");
        }
    }
    assert_eq!(
        compared, 4,
        "statistics of both networks, those of the average, and the generator's momentum"
    );
}

#[test]
fn a_run_in_parts_goes_on_from_a_snapshot_as_if_it_had_not_stopped() {
    let config = TrainConfig { batch_size: 10, replays: 2, awp: Some(Gamma::Of(0.05)), ..tiny(Method::FREE) };
    let new = || Trainer::new(cpu(), &config, DIGITS, None, Some(4)).unwrap();
    let step = |trainer: &mut Trainer| {
        let step = trainer.submit(&batch(10)).unwrap();
        trainer.collect(step).unwrap();
    };
    let mut whole = new();
    step(&mut whole);
    let (states, updates) = whole.snapshot().unwrap();
    let mut resumed = new();
    resumed.restore(&states, updates, whole.step()).unwrap();
    step(&mut whole);
    step(&mut resumed);
    assert_eq!(resumed.snapshot().unwrap(), whole.snapshot().unwrap());
}

#[test]
fn fillers_of_the_last_batch_count_for_nothing_in_micro_batches_either() {
    // 1,197 images in batches of 17 leave 7 for the last one: with micro-batches of 5 the second is part real, the
    // others all fillers.
    let (images, options) = (digits().train, BatchOptions::in_order(17));
    let last = make_batch(&images, &options, 0, 70);
    assert_eq!((last.real, last.labels.len()), (7, 17));
    let alone = make_batch(&images.subset(&last.indices[..7]), &BatchOptions::in_order(7), 0, 0);
    for (name, device) in devices() {
        let config = TrainConfig { batch_size: 17, ..tiny(Method::PGN) };
        for largest in [5, 7, 16] {
            agree(name, &device, &config, &last, largest);
        }
        // And the unsplit one is the step of the seven real images.
        let (padded, _) = steps(&device, &config, &last, 17);
        let (real, _) = steps(&device, &TrainConfig { batch_size: 7, ..config }, &alone, 7);
        assert_eq!(names(&real), names(&padded), "{name}");
        for ((state, expected), (_, actual)) in real.iter().zip(&padded) {
            if let Err(difference) = compare(actual, expected, &Shape::new(&[expected.len()]), rounding()) {
                panic!("{name}, padded, {state}: {difference}");
            }
        }
    }
}

#[test]
fn every_phase_of_a_step_is_split() {
    let config = TrainConfig { batch_size: 6, update: Update::Alternating, ..tiny(Method::PGN) };
    agree("CPU fast, alternating", &cpu(), &config, &batch(6), 4);
}

#[test]
fn all_phases_read_a_whole_batch_from_one_place_and_micro_batches_as_inputs() {
    let config = TrainConfig { batch_size: 6, update: Update::Alternating, ..tiny(Method::PGN) };
    let batch = batch(6);
    for (largest, whole) in [(6, true), (4, false)] {
        let mut trainer = Trainer::new(cpu(), &config, DIGITS, None, Some(largest)).unwrap();
        let step = trainer.submit(&batch).unwrap();
        trainer.collect(step).unwrap();
        let (programs, phases) = (trainer.programs(), step::phases(&config).len());
        assert!(phases > 1, "there are several phases");
        for name in ["images", "labels", "weights"] {
            let inputs = programs.iter().filter(|program| program.declared(name).is_some()).count();
            assert_eq!(inputs, if whole { 0 } else { phases }, "{name}, at most {largest} at once");
        }
        let kept = trainer.workspace().read("images").ok();
        assert_eq!(kept, whole.then(|| batch.images.clone()), "at most {largest} at once");
    }
}

#[test]
fn every_part_goes_through_a_phase_and_its_sums_are_applied_once() {
    // Two phases of one kind.
    let config = TrainConfig { batch_size: 10, replays: 2, awp: Some(Gamma::Of(0.05)), ..tiny(Method::FREE) };
    // Three parts: they move the weights up and then learn.
    for (largest, expected) in [(10, vec![2]), (4, vec![6, 2, 6, 2])] {
        let mut trainer = Trainer::new(cpu(), &config, DIGITS, None, Some(largest)).unwrap();
        let runs: Vec<usize> = trainer.sessions().map(|(_, runs)| runs).collect();
        assert_eq!((trainer.programs().len(), runs), (expected.len(), expected));
    }
}

#[test]
fn validation_takes_no_more_images_at_a_time_than_a_training_step() {
    let config = TrainConfig { batch_size: 12, robust_every: Some(1), ..tiny(Method::PGN) };
    let images = digits().validation;
    let measured = [12, 5].map(|largest| {
        let mut trainer = Trainer::new(cpu(), &config, DIGITS, None, Some(largest)).unwrap();
        let mut validator = Validator::new(&mut trainer).unwrap();
        let mut robust = RobustValidator::new(&mut trainer, &images).unwrap().expect("it is asked for");
        assert_eq!([validator.micro_batch(), robust.micro_batch()], [largest; 2]);
        let under_attack = robust.run().unwrap();
        [validator.run(&images).unwrap().benign_accuracy, under_attack.pgd, under_attack.fgm]
    });
    // Rounding may turn a few predictions.
    let near = |(whole, split): (&f64, &f64)| (whole - split).abs() < 0.03;
    assert!(measured[0].iter().zip(&measured[1]).all(near), "{measured:?}");
}

/// The first phase of a step over `images` images.
fn compile(config: &TrainConfig, images: usize, limits: MemoryLimits) -> Result<Program, ProgramError> {
    let (classifier, generator) = (
        Network::default().build(Plan::new(DIGITS, config.width)).unwrap(),
        Generator::new(DIGITS, config.width).unwrap(),
    );
    let phase = step::phases(config)[0];
    let graph =
        step::phase_graph(config, &classifier, Some(&generator), phase, images, Gradients::Accumulate)
            .unwrap();
    Program::compile(&graph, limits)
}

#[test]
fn a_tensor_beyond_the_limit_of_a_binding_is_refused_by_name_and_fits_in_a_smaller_batch() {
    let config = tiny(Method::PGN);
    let program = compile(&config, 512, MemoryLimits::NONE).unwrap();
    let largest = program.tensors.iter().map(|t| t.shape.bytes()).max().unwrap();
    let limits = MemoryLimits { binding: largest - 1, ..MemoryLimits::NONE };

    let error = compile(&config, 512, limits).map(|program| program.memory).unwrap_err();

    let ProgramError::TensorTooLarge { bytes, limit, .. } = error else { panic!("{error}") };
    assert_eq!((bytes, limit), (largest, largest - 1));
    let text = error.to_string();
    assert!(text.contains(&limit.to_string()) && text.contains("smaller batch"), "{text}");
    let half = compile(&config, 256, limits);
    assert!(half.is_ok(), "{:?}", half.err());
}

#[test]
fn a_tensor_with_more_values_than_kernels_count_is_refused_by_name() {
    let error = compile(&tiny(Method::PGN), 1 << 27, MemoryLimits::NONE).map(|program| program.memory);

    let text = error.unwrap_err().to_string();
    assert!(text.contains("more than the 4294967295 values") && text.contains("smaller batch"), "{text}");
    assert!(text.contains("134217728"), "{text}");
}

#[test]
fn a_batch_beyond_the_adapters_limits_is_halved_until_it_fits() {
    let Some(gpu) = gpus().pop() else { return };
    let limits = gpu.memory_limits();
    // With width 0.125, the second convolution makes 16 channels of 8x8 for every image.
    let images = (limits.binding / (16 * 64 * 4) + 1) as usize;
    if images > 65_536 {
        return not_tested("a batch that does not fit", "on this adapter it takes gigabytes");
    }
    let config = TrainConfig { width: 0.125, batch_size: images, ..tiny(Method::NATURAL) };
    assert!(compile(&config, images, limits).is_err(), "{images} images do not fit");

    let trainer = Trainer::new(Device::Gpu(gpu.clone()), &config, DIGITS, None, None).unwrap();

    let halves: Vec<usize> = std::iter::successors(Some(images), |n| Some(n.div_ceil(2))).take(17).collect();
    let at = halves.iter().position(|&n| n == trainer.micro_batch()).expect("a half of a half");
    assert!(
        at > 0 && compile(&config, halves[at - 1], limits).is_err(),
        "split to {}, further than needed",
        halves[at]
    );
    let largest = trainer.programs().iter().flat_map(|p| &p.tensors).map(|t| t.shape.bytes()).max().unwrap();
    assert!(largest <= limits.binding, "{largest} > {}", limits.binding);
}

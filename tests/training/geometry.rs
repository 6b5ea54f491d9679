//! Networks whose convolutions meet images of odd sides.

use super::{cpu, devices};
use pgn_wgpu::bench::steps::{general, synthetic_batch};
use pgn_wgpu::data::DatasetKind;
use pgn_wgpu::executor::Device;
use pgn_wgpu::nn::Problem;
use pgn_wgpu::training::{Method, Preset, TrainConfig, Trainer};

const GREY: Problem = Problem { height: 28, width: 28, channels: 1, classes: 10 };
const WIDE: Problem = Problem { height: 30, width: 45, channels: 3, classes: 4 };

/// A small `ResNet`, trained on the batch that it is asked about again and again.
fn resnet(method: Method) -> TrainConfig {
    TrainConfig {
        method,
        network: "resnet18".parse().unwrap(),
        width: 0.03125,
        batch_size: 8,
        ..TrainConfig::preset(Preset::Small, DatasetKind::Digits)
    }
}

/// Losses of `steps` steps on one batch.
fn losses(device: &Device, problem: Problem, method: Method, steps: usize) -> Vec<f64> {
    let config = resnet(method);
    let mut trainer = Trainer::new(device.clone(), &config, problem, None, None).unwrap();
    let batch = synthetic_batch(problem, config.batch_size);
    (0..steps)
        .map(|_| {
            let pending = trainer.submit(&batch).unwrap();
            trainer.collect(pending).unwrap().loss
        })
        .collect()
}

#[test]
fn a_resnet_learns_images_of_odd_sides() {
    for problem in [GREY, WIDE] {
        let losses = losses(&cpu(), problem, Method::NATURAL, 12);
        assert!(losses.iter().all(|loss| loss.is_finite()), "{problem:?}: {losses:?}");
        assert!(losses[11] < 0.8 * losses[0], "{problem:?}: {losses:?}");
    }
}

#[test]
fn an_attacked_step_on_images_of_odd_sides_is_the_same_on_every_device() {
    let expected = losses(&cpu(), GREY, Method::PGD, 1)[0];
    for (name, device) in devices() {
        let own = losses(&device, GREY, Method::PGD, 1)[0];
        assert!((own - expected).abs() <= 1e-3 * expected.abs(), "{name}: {own}, not {expected}");
    }
}

#[test]
fn the_convolutions_that_the_usual_kernels_do_not_serve_are_named_with_the_reason() {
    let lines = |problem| {
        let mut trainer = Trainer::new(cpu(), &resnet(Method::NATURAL), problem, None, None).unwrap();
        general(&mut trainer)
    };
    let odd = lines(GREY);
    let shapes = "[8, 7, 7, 8] and [8, 4, 4, 16], kernel 3x3: sides that are no multiple of the stride";
    assert!(odd.iter().any(|line| line.starts_with("convolution ") && line.ends_with(shapes)), "{odd:?}");
    assert!(odd.iter().any(|line| line.starts_with("convolution_weight_gradient ")), "{odd:?}");
    assert!(lines(Problem::square(32, 3, 10)).is_empty());
}

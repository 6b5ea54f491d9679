//! Networks with batch normalisation against PyTorch: `networks.json`, which `make_networks.py` writes.
//!
//! Weights, statistics, images and labels follow from formulas that the script has too. Of tensors the file holds digests.

use crate::common::{devices, named, session, worst};
use crate::digests::{self, close, known_values, numbers};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::data::{Batch, DatasetKind};
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::Graph;
use pgn_wgpu::nn::{Net, Pass, Plan, Problem, Values};
use pgn_wgpu::training::config::AttackMode;
use pgn_wgpu::training::optimiser::{Decayed, Optimiser, Role};
use pgn_wgpu::training::schedule::Schedule;
use pgn_wgpu::training::step::{Gradients, Phase, phase_graph};
use pgn_wgpu::training::{Method, Preset, TrainConfig, Trainer};
use serde_json::Value;

const PROBLEM: Problem = Problem { height: 16, width: 16, channels: 3, classes: 5 };
const BATCH: usize = 4;
const SEED: u64 = 7;
/// No input of a ReLU comes near 0 with it; see the script.
const FREQUENCY: f64 = 0.300;
/// What a number may differ, in units of the tensor's norm: rounding of f32 through eighteen layers and their statistics.
const TOLERANCE: f64 = 3e-5;

/// The networks in the file, and whether SGD looks ahead and decays everything in its run.
const NETWORKS: [(&str, bool); 2] = [("resnet18", true), ("preact-resnet18", false)];

fn file() -> Value {
    let path = crate::values::file("networks.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn config(network: &str, nesterov: bool) -> TrainConfig {
    TrainConfig {
        method: Method::NATURAL,
        network: network.parse().unwrap(),
        width: 0.125,
        batch_size: BATCH,
        epsilon: 0.5,
        nesterov,
        decayed: if nesterov { Decayed::All } else { Decayed::Kernels },
        seed: SEED,
        ..TrainConfig::preset(Preset::Small, DatasetKind::Cifar10)
    }
}

fn net(config: &TrainConfig) -> Net {
    config.network.build(Plan::new(PROBLEM, config.width)).unwrap()
}

fn batch() -> Batch {
    let images = (0..BATCH * PROBLEM.pixels()).map(|i| (0.5 + 0.45 * (FREQUENCY * i as f64).sin()) as f32);
    let labels = (0..BATCH).map(|n| (7 * n % PROBLEM.classes) as f32);
    Batch::whole(images.collect(), labels.collect())
}

fn inputs() -> crate::common::Values {
    let Batch { images, labels, weights, .. } = batch();
    vec![named("images", images), named("labels", labels), named("weights", weights)]
}

fn states(net: &Net, values: &Values) -> crate::common::Values {
    let states = [("parameters", &values.weights), ("buffers", &values.buffers)];
    let zeros = named("classifier.gradient", vec![0.0; net.slots.weights]);
    states
        .map(|(part, values)| named(&Role::Classifier.state(part), values.clone()))
        .into_iter()
        .chain([zeros])
        .collect()
}

/// The gradient that one phase hands to the optimiser, the statistics after it, and the mean loss.
fn phase(device: &Device, config: &TrainConfig) -> (Net, Values, f64) {
    let net = net(config);
    let graph = phase_graph(config, &net, None, Phase::Classifier, BATCH, Gradients::Accumulate).unwrap();
    let (workspace, mut session) =
        session(device, &graph, &inputs(), &states(&net, &known_values(&net, SEED)));
    let outputs = session.compute().unwrap();
    let loss = outputs.get("loss").iter().map(|&v| f64::from(v)).sum::<f64>() / BATCH as f64;
    let weights = workspace.read("classifier.gradient").unwrap();
    let buffers = workspace.read("classifier.buffers").unwrap();
    (net, Values { weights, buffers }, loss)
}

#[track_caller]
fn slots_agree(what: &str, net: &Net, values: &Values, expected: &Value) {
    digests::slots_agree(what, net, values, expected, TOLERANCE);
}

#[test]
fn initial_weights_and_known_statistics_are_those_of_the_script() {
    let file = file();
    for (network, _) in NETWORKS {
        let net = net(&config(network, true));
        slots_agree(network, &net, &known_values(&net, SEED), &file[network]["parameters"]);
    }
}

#[test]
fn logits_with_running_statistics_and_with_those_of_the_batch() {
    let file = file();
    for (network, _) in NETWORKS {
        let net = net(&config(network, true));
        for (device, open) in devices() {
            let mut graph = Graph::new();
            let images = graph.input("images", &PROBLEM.batch(BATCH)).unwrap();
            let real = graph.constant(1.0, &[BATCH, 1]).unwrap();
            let live = net.live(&mut graph, "classifier").unwrap();
            for (name, pass) in
                [("evaluate", Pass::Evaluate), ("train", Pass::Train { real, update_statistics: false })]
            {
                let logits = net.forward(&mut graph, &live, images, pass).unwrap();
                graph.output(name, logits);
            }
            let images = vec![named("images", batch().images)];
            let (_workspace, mut session) =
                session(&open, &graph, &images, &states(&net, &known_values(&net, SEED)));
            let outputs = session.compute().unwrap();
            for name in ["evaluate", "train"] {
                let own: Vec<f64> = outputs.get(name).iter().map(|&v| f64::from(v)).collect();
                let expected = numbers(&file[network][format!("{name}.logits")]);
                let scale = expected.iter().fold(0.0f64, |most, v| most.max(v.abs()));
                close(&format!("{network} on {device}, {name}"), &own, &expected, TOLERANCE * scale);
            }
        }
    }
}

#[test]
fn gradients_and_running_statistics_of_a_step() {
    let file = file();
    for (network, _) in NETWORKS {
        let natural = config(network, true);
        let smoothed = TrainConfig { label_smoothing: 0.1, ..natural.clone() };
        for (device, open) in devices() {
            let what = format!("{network} on {device}");
            let (net, found, _) = phase(&open, &natural);
            slots_agree(&format!("{what}, gradient"), &net, &found, &file[network]["train.gradient"]);
            slots_agree(&format!("{what}, statistics"), &net, &found, &file[network]["train.statistics"]);
            let (net, found, _) = phase(&open, &smoothed);
            slots_agree(&format!("{what}, smoothed"), &net, &found, &file[network]["smoothed.gradient"]);
        }
    }
}

#[test]
fn a_step_on_attacked_images_learns_statistics_from_those_alone_and_goes_through_the_attack() {
    let file = file();
    for (network, _) in NETWORKS {
        for (mode, attack_mode) in [("evaluate", AttackMode::Evaluate), ("train", AttackMode::Train)] {
            for (how, through_attack) in [("detached", false), ("through", true)] {
                let config =
                    TrainConfig { method: Method::FGM, attack_mode, through_attack, ..config(network, true) };
                for (device, open) in devices() {
                    let (net, found, loss) = phase(&open, &config);
                    let key = format!("fgm.{mode}.{how}");
                    let what = format!("{network} on {device}, {key}");
                    let expected = |part: &str| &file[network][format!("{key}.{part}")];
                    close(&format!("{what}, loss"), &[loss], &numbers(expected("loss")), TOLERANCE);
                    slots_agree(&what, &net, &found, expected("gradient"));
                    slots_agree(&what, &net, &found, expected("statistics"));
                }
            }
        }
    }
}

/// Three steps from the known values; the losses before each, and the network after.
fn three_steps(device: &Device, config: &TrainConfig) -> (Net, Values, Vec<f64>) {
    let net = net(config);
    let mut trainer = Trainer::new(device.clone(), config, PROBLEM, None, None).unwrap();
    let start = Role::Classifier.start(&net.slots, &known_values(&net, SEED), config.rule());
    trainer.restore(&start, [0, 0], 0).unwrap();
    let losses = (0..3).map(|_| {
        let pending = trainer.submit(&batch()).unwrap();
        trainer.collect(pending).unwrap().loss
    });
    let losses = losses.collect();
    (net, trainer.values().unwrap().0, losses)
}

#[test]
fn three_steps_of_sgd_and_of_adam() {
    let file = file();
    for (network, nesterov) in NETWORKS {
        let adam = TrainConfig { lr: 2e-3, ..config(network, nesterov) };
        let sgd = TrainConfig { optimiser: Optimiser::Sgd, lr: 0.05, weight_decay: 5e-4, ..adam.clone() };
        for (name, config) in [("sgd", sgd), ("adam", adam)] {
            for (device, open) in devices() {
                let (net, found, losses) = three_steps(&open, &config);
                let what = format!("{network} on {device}, {name}");
                let expected = |part: &str| &file[network][format!("{name}.{part}")];
                close(&format!("{what}, losses"), &losses, &numbers(expected("losses")), 5.0 * TOLERANCE);
                slots_agree(&what, &net, &found, expected("parameters"));
                slots_agree(&what, &net, &found, expected("statistics"));
            }
        }
    }
}

/// One step of a network from the known values.
fn one_step(config: &TrainConfig, batch: &Batch) -> (Net, Values, Values) {
    let net = net(config);
    let mut trainer = Trainer::new(Device::Cpu(Mode::Fast), config, PROBLEM, None, None).unwrap();
    let start = Role::Classifier.start(&net.slots, &known_values(&net, SEED), config.rule());
    trainer.restore(&start, [0, 0], 0).unwrap();
    let pending = trainer.submit(batch).unwrap();
    trainer.collect(pending).unwrap();
    let (live, average, _) = trainer.values().unwrap();
    (net, live, average)
}

fn moved(from: &[f32], to: &[f32]) -> Vec<f32> {
    to.iter().zip(from).map(|(to, from)| to - from).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

/// Fails unless two lists differ by rounding of numbers of `size`.
#[track_caller]
fn same_but_for_rounding(what: &str, one: &[f32], other: &[f32], size: f32) {
    let apart = worst(one, other);
    assert!(apart <= 4.0 * f32::EPSILON * size, "{what}: {apart:e}");
}

#[test]
fn averages_of_weights_and_of_statistics_follow_every_optimiser() {
    for optimiser in [Optimiser::Adam, Optimiser::AdamW, Optimiser::Sgd] {
        let config = TrainConfig { optimiser, ..config("resnet18", true) };
        let (net, live, average) = one_step(&config, &batch());
        let start = known_values(&net, SEED);
        // The first decay of the warm-up is 2 / 11.
        for (start, live, average) in [
            (&start.weights, &live.weights, &average.weights),
            (&start.buffers, &live.buffers, &average.buffers),
        ] {
            assert_ne!(start, live, "{optimiser:?}");
            let expected: Vec<f32> = start.iter().zip(live).map(|(s, l)| s + 9.0 / 11.0 * (l - s)).collect();
            same_but_for_rounding(&format!("{optimiser:?}"), average, &expected, 2.0);
        }
    }
}

#[test]
fn weight_decay_of_adam_goes_through_the_gradient_and_that_of_adamw_past_it() {
    let plain = TrainConfig { lr: 0.01, ..config("resnet18", true) };
    let (net, adam, _) = one_step(&plain, &batch());
    let start = known_values(&net, SEED);
    let decayed = TrainConfig { weight_decay: 0.5, decayed: Decayed::All, ..plain.clone() };
    let (_, adamw, _) = one_step(&TrainConfig { optimiser: Optimiser::AdamW, ..decayed.clone() }, &batch());
    let expected: Vec<f32> = adam.weights.iter().zip(&start.weights).map(|(a, s)| a - 0.005 * s).collect();
    same_but_for_rounding("AdamW", &adamw.weights, &expected, 2.0);
    // Adam's first step has the length of the rate whatever the gradient is, so decay changes directions alone.
    let (_, through, _) = one_step(&decayed, &batch());
    assert_ne!(through.weights, adam.weights);
    let longest = worst(&through.weights, &start.weights);
    assert!(longest < 0.010_01, "{longest}");
}

#[test]
fn a_long_gradient_is_clipped_and_a_short_one_is_not() {
    let sgd = |clip_norm| TrainConfig {
        optimiser: Optimiser::Sgd,
        lr: 0.1,
        momentum: 0.0,
        nesterov: false,
        clip_norm,
        ..config("resnet18", true)
    };
    let length = |config: &TrainConfig| {
        let (net, live, _) = one_step(config, &batch());
        norm(&moved(&known_values(&net, SEED).weights, &live.weights))
    };
    let free = length(&sgd(None));
    assert!((length(&sgd(Some(0.5))) - 0.05).abs() < 1e-5);
    assert!((length(&sgd(Some(1e3))) - free).abs() < 1e-6 && free > 0.06, "{free}");
}

#[test]
fn schedule_and_warm_up_scale_the_steps_of_the_trainer() {
    let sgd = TrainConfig {
        optimiser: Optimiser::Sgd,
        lr: 0.1,
        momentum: 0.0,
        nesterov: false,
        epochs: 4,
        ..config("resnet18", true)
    };
    let length = |config: &TrainConfig, epoch| {
        let (net, live, _) = one_step(config, &Batch { epoch, ..batch() });
        norm(&moved(&known_values(&net, SEED).weights, &live.weights))
    };
    let whole = length(&sgd, 2);
    let cosine = TrainConfig { schedule: Schedule::Cosine, ..sgd.clone() };
    assert!((length(&cosine, 2) / whole - 0.5).abs() < 1e-4);
    let warm_up = TrainConfig { warm_up: 4.0, ..sgd };
    assert!((length(&warm_up, 2) / whole - 0.75).abs() < 1e-4);
}

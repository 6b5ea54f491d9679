//! Defenses beside the paper's against PyTorch: `defenses.json`, which `make_defenses.py` writes. Five steps of each, and
//! the attacks of TRADES and MART image by image.
//!
//! Weights, statistics, images, labels and random numbers follow from formulas that the script has too. What is compared of
//! weights is the way that they have gone, in digests.

use crate::common::{self, named, session};
use crate::digests::{close, digest, known_values, numbers, slots_agree};
use pgn_wgpu::attacks::registry::Run;
use pgn_wgpu::attacks::steps::{self, Victim};
use pgn_wgpu::attacks::{AttackOptions, Norm};
use pgn_wgpu::data::{Batch, DatasetKind};
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::Graph;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::layer::{Activation, Layer};
use pgn_wgpu::nn::{Classifier, Net, Plan, Problem, Values};
use pgn_wgpu::random::{Random, Stream};
use pgn_wgpu::training::defenses::Inner;
use pgn_wgpu::training::defenses::awp::Gamma;
use pgn_wgpu::training::optimiser::Optimiser;
use pgn_wgpu::training::{Method, Preset, TrainConfig, Trainer};
use serde_json::Value;

const BATCH: usize = 4;
const SEED: u64 = 7;
const STEPS: usize = 5;
const WIDTH: f32 = 0.0625;
/// The paper's network ends with so much larger weights.
const LAST_GAIN: f32 = 16.0;
/// What the start of an attack on given images is farther away than usual.
const GIVEN_NOISE: f32 = 50.0;
/// What losses may differ, and ways and statistics in units of their norm: PyTorch's float32 is within 5e-5.
const TOLERANCE: f64 = 2e-4;
/// The same of TRADES, whose attack begins next to the minimum of the divergence. There its gradient is a small difference
/// of large numbers: PyTorch's float32 is within 1e-4, and a turned sign of a pixel costs as much.
const BESIDE_THE_MINIMUM: f64 = 1e-3;

/// The CPU path in both modes, and the adapter as people train on it.
fn devices() -> Vec<(&'static str, Device)> {
    common::devices().into_iter().filter(|(name, _)| *name != "adapter, portable forms").collect()
}

struct Case {
    network: &'static str,
    method: Method,
    norm: Norm,
    awp: Option<Gamma>,
}

impl Case {
    fn all() -> Vec<Self> {
        let far = Some(Gamma::Of(0.05));
        let defenses = [
            (Method::TRADES, None),
            (Method::MART, None),
            (Method::PGD, far),
            (Method::TRADES, Some(Gamma::Usual)),
            (Method::FAST, None),
            (Method::N_FGSM, None),
            (Method::FREE, None),
        ];
        let networks = [("all-convolutional", Norm::Linf), ("resnet18", Norm::L2)];
        let of = |(network, norm)| defenses.map(move |(method, awp)| Self { network, method, norm, awp });
        networks.into_iter().flat_map(of).collect()
    }

    fn name(&self) -> String {
        let awp = if self.awp.is_some() { ".awp" } else { "" };
        format!("{}.{}.{}{awp}", self.network, self.norm.flag(), self.method)
    }

    fn tolerance(&self) -> f64 {
        if self.method == Method::TRADES { BESIDE_THE_MINIMUM } else { TOLERANCE }
    }

    fn config(&self) -> TrainConfig {
        TrainConfig {
            method: self.method,
            network: self.network.parse().unwrap(),
            width: WIDTH,
            batch_size: BATCH,
            norm: self.norm,
            epsilon: epsilon(self.norm),
            iterations: 4,
            replays: 3,
            awp: self.awp,
            optimiser: Optimiser::Sgd,
            lr: 0.002,
            weight_decay: 0.05,
            seed: SEED,
            ..TrainConfig::preset(Preset::Small, DatasetKind::Cifar10)
        }
    }
}

fn epsilon(norm: Norm) -> f32 {
    match norm {
        Norm::Linf => 8.0 / 255.0,
        Norm::L2 => 0.1,
    }
}

fn file() -> Value {
    let path = crate::values::file("defenses.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn problem(network: &str) -> Problem {
    match network {
        "resnet18" => Problem::square(16, 3, 5),
        _ => Problem::square(12, 1, 5),
    }
}

/// The network of the script: softplus stands in place of ReLU.
fn net(network: &str) -> Net {
    let mut net =
        network.parse::<pgn_wgpu::nn::Network>().unwrap().build(Plan::new(problem(network), WIDTH)).unwrap();
    for node in &mut net.nodes {
        if node.layer == Layer::Activation(Activation::LeakyRelu(0.0)) {
            node.layer = Layer::Activation(Activation::Softplus);
        }
    }
    net
}

/// What the network of the script starts from.
fn start(net: &Net) -> Values {
    let mut values = known_values(net, SEED);
    if let Some(last) =
        net.slots.all.iter().rposition(|slot| slot.name.starts_with("convs") && slot.is_kernel())
    {
        net.slots.get_mut(&mut values, last).iter_mut().for_each(|weight| *weight *= LAST_GAIN);
    }
    values
}

fn model(config: &TrainConfig, classifier: Net) -> Model {
    let live = start(&classifier);
    let mut model = Model::new(classifier, live);
    (model.facts.network, model.facts.width) = (config.network, config.width);
    model
}

/// The batch of a step: the same images and labels, moved on by one place every step.
fn batch(problem: Problem, frequency: f64, step: usize) -> Batch {
    let pixels = problem.pixels();
    let place = |n: usize| (n + BATCH - step % BATCH) % BATCH;
    let pixel = |i: usize| (0.5 + 0.45 * (frequency * i as f64).sin()) as f32;
    let images = (0..BATCH).flat_map(|n| (0..pixels).map(move |i| pixel(place(n) * pixels + i)));
    let labels = (0..BATCH).map(|n| (7 * place(n) % problem.classes) as f32);
    Batch::whole(images.collect(), labels.collect())
}

/// Losses of five steps from the known values, and the trainer after them.
fn train(device: &Device, case: &Case, frequency: f64) -> (Vec<f64>, Trainer) {
    let config = case.config();
    let model = model(&config, net(case.network));
    let problem = model.classifier.problem;
    let mut trainer = Trainer::new(device.clone(), &config, problem, Some(&model), None).unwrap();
    let losses = (0..STEPS).map(|step| {
        let pending = trainer.submit(&batch(problem, frequency, step)).unwrap();
        trainer.collect(pending).unwrap().loss
    });
    (losses.collect(), trainer)
}

#[test]
fn five_steps_of_every_defense() {
    let file = file();
    for case in Case::all() {
        let expected = &file[case.name()];
        for (device, open) in devices() {
            let (losses, trainer) = train(&open, &case, expected["frequency"].as_f64().unwrap());
            let (what, tolerance) = (format!("{} on {device}", case.name()), case.tolerance());
            close(&format!("{what}, losses"), &losses, &numbers(&expected["losses"]), tolerance);
            let net = trainer.classifier();
            let (start, live) = (start(net), trainer.values().unwrap().0);
            let weights = live.weights.iter().zip(&start.weights).map(|(live, start)| live - start).collect();
            let way = Values { weights, buffers: live.buffers.clone() };
            slots_agree(&format!("{what}, way"), net, &way, &expected["way"], tolerance);
            slots_agree(&format!("{what}, statistics"), net, &live, &expected["statistics"], tolerance);
            if case.method == Method::FREE {
                let states = trainer.snapshot().unwrap().0;
                let (_, own) = states.iter().find(|(name, _)| name == "free.perturbation").unwrap();
                let expected = numbers(&expected["perturbation"]);
                let limit = tolerance * expected[0] * (own.len() as f64).sqrt();
                close(&format!("{what}, perturbation"), &digest(own), &expected, limit);
            }
        }
    }
}

#[test]
fn the_attacks_of_trades_and_mart_on_given_images_and_noise() {
    let (file, net) = (file(), net("all-convolutional"));
    let problem = net.problem;
    let Batch { images, labels, .. } = batch(problem, 0.730, 0);
    let random = Random::new(SEED, Stream::Attack);
    let noise = (0..images.len() as u32).map(|i| GIVEN_NOISE * random.normal(0, i)).collect();
    let inputs = vec![named("images", images), named("labels", labels), named("noise", noise)];
    let states = vec![named("classifier.parameters", start(&net).weights)];
    for method in [Method::TRADES, Method::MART] {
        for norm in Norm::ALL {
            let Inner::Fixed(kind) = method.inner else { panic!("{method} has one attack") };
            let Run::Steps(prepare) = kind.run else { panic!("{kind} is unrolled") };
            let options =
                AttackOptions { epsilon: epsilon(norm), norm, iterations: 4, ..AttackOptions::new(kind) };
            let mut graph = Graph::new();
            let images = graph.input("images", &problem.batch(BATCH)).unwrap();
            let labels = graph.input("labels", &[BATCH, 1]).unwrap();
            let noise = graph.input("noise", &problem.batch(BATCH)).unwrap();
            let live = net.live(&mut graph, "classifier").unwrap();
            let victim = Victim { classifier: Classifier::evaluated(&net, &live), images, labels, aim: None };
            let attack = prepare(&options, problem);
            let moved = steps::unroll(&mut graph, attack.as_ref(), victim, Some(noise), false).unwrap();
            graph.output("moved", moved);
            let key = format!("{method}.{}", norm.flag());
            let expected = numbers(&file["images"][&key]);
            for (device, open) in devices() {
                let (_workspace, mut session) = session(&open, &graph, &inputs, &states);
                let outputs = session.compute().unwrap();
                let own: Vec<f64> = outputs.get("moved").iter().map(|&v| f64::from(v)).collect();
                close(&format!("{key} on {device}"), &own, &expected, 1e-6);
            }
        }
    }
}

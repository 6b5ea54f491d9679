//! The defenses beside the paper's: what they train on keeps to its ball, resuming is exact, and what cannot be split or
//! combined is refused. Their numbers are compared with PyTorch's in `tests/golden.rs`.

use super::common::{largest, worst};
use super::{DIGITS, batch, bits, cpu, devices, digits, run, tiny};
use pgn_wgpu::attacks::steps::{self, Victim};
use pgn_wgpu::attacks::{AttackKind, AttackOptions, Norm, Run};
use pgn_wgpu::bench::steps::synthetic_batch;
use pgn_wgpu::data::{Batch, BatchOptions, DatasetKind, make_batch};
use pgn_wgpu::executor::{Device, Workspace};
use pgn_wgpu::graph::Graph;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::{Classifier, Init, Network, Plan, Problem};
use pgn_wgpu::random::{Random, Stream};
use pgn_wgpu::training::config::AttackLabel;
use pgn_wgpu::training::defenses::Inner;
use pgn_wgpu::training::defenses::awp::Gamma;
use pgn_wgpu::training::{GeneratorLoss, Method, Preset, TrainConfig, Trainer, Update};
use std::path::Path;

const AWP: Option<Gamma> = Some(Gamma::Usual);

/// Every defense that this file is about, then AWP on four defenses.
fn all() -> Vec<TrainConfig> {
    let plain = [Method::TRADES, Method::MART, Method::FAST, Method::N_FGSM, Method::FREE];
    let perturbed = [Method::PGD, Method::TRADES, Method::FREE, Method::PGN];
    let plain = plain.into_iter().map(|method| (method, None));
    let all = plain.chain(perturbed.into_iter().map(|method| (method, AWP)));
    all.map(|(method, awp)| TrainConfig { awp, iterations: 3, replays: 3, ..tiny(method) }).collect()
}

fn name(config: &TrainConfig) -> String {
    format!("{}{}", config.method, if config.awp.is_some() { " with AWP" } else { "" })
}

#[test]
fn every_defense_that_is_interrupted_ends_with_the_bits_of_one_that_is_not() {
    for (device_name, device) in devices() {
        for config in all() {
            let folder = tempfile::tempdir().unwrap();
            let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
            // Into the second epoch, whose first batches follow one with fillers.
            let config = TrainConfig { max_steps: Some(15), ..config };
            run(&device, &config, &whole, None).unwrap();
            assert!(run(&device, &config, &pieces, Some(7)).unwrap().interrupted);
            run(&device, &config, &pieces, None).unwrap();
            assert!(bits(&whole) == bits(&pieces), "{device_name}, {}: other bits", name(&config));
        }
    }
}

/// What the attack of a defense makes of digits with random numbers of `seed`, and the digits.
fn attacked(method: Method, norm: Norm, epsilon: f32, seed: u64) -> [Vec<f32>; 2] {
    let Inner::Fixed(kind) = method.inner else { panic!("{method} has one attack") };
    let Run::Steps(prepare) = kind.run else { panic!("{kind} is unrolled") };
    let options = AttackOptions { norm, epsilon, ..AttackOptions::new(kind) };
    let net = Network::default().build(Plan::new(DIGITS, 0.0625)).unwrap();
    let images = batch(64);
    let random = Random::new(seed, Stream::Attack);
    let mut graph = Graph::new();
    let [x, noise] = ["images", "noise"].map(|name| graph.input(name, &DIGITS.batch(64)).unwrap());
    let labels = graph.input("labels", &[64, 1]).unwrap();
    let live = net.live(&mut graph, "classifier").unwrap();
    let victim = Victim { classifier: Classifier::evaluated(&net, &live), images: x, labels, aim: None };
    let attack = prepare(&options, DIGITS);
    let moved = steps::unroll(&mut graph, attack.as_ref(), victim, Some(noise), false).unwrap();
    graph.output("moved", moved);
    let mut workspace = Workspace::new(cpu());
    workspace.write("classifier.parameters", &net.initial(Init::He, 3).weights).unwrap();
    let mut session = workspace.prepare(&graph).unwrap();
    let normal: Vec<f32> = (0..images.images.len() as u32).map(|i| random.normal(0, i)).collect();
    session.write("images", &images.images).unwrap();
    session.write("noise", &normal).unwrap();
    session.write("labels", &images.labels).unwrap();
    [session.compute().unwrap().get("moved").to_vec(), images.images]
}

#[test]
fn attacked_images_are_within_box_and_ball_but_for_n_fgsm_which_goes_farther() {
    for norm in Norm::ALL {
        let epsilon = if norm == Norm::L2 { 0.5 } else { 0.1 };
        for method in [Method::TRADES, Method::MART, Method::FAST, Method::N_FGSM] {
            let [moved, images] = attacked(method, norm, epsilon, 1);
            assert!(moved.iter().all(|v| (0.0..=1.0).contains(v)), "{method}");
            let distances = moved.chunks(64).zip(images.chunks(64)).map(|(a, b)| norm.distance(b, a));
            let farthest = distances.fold(0.0, f64::max) / f64::from(epsilon);
            let what = format!("{method} in {}: {farthest} epsilon", norm.name());
            let range = if method == Method::N_FGSM { 1.2..3.0 + 1e-5 } else { 0.9..1.0 + 1e-5 };
            assert!(range.contains(&farthest), "{what}");
            let [other, _] = attacked(method, norm, epsilon, 2);
            assert!(other != moved, "{method}: the start is not random");
        }
    }
}

/// The perturbations of `free`, one per image.
fn perturbations(trainer: &Trainer) -> Vec<f32> {
    let states = trainer.snapshot().unwrap().0;
    states.into_iter().find(|(name, _)| name == "free.perturbation").unwrap().1
}

#[test]
fn free_updates_once_per_replay_and_its_perturbation_goes_on_within_the_ball() {
    for (norm, epsilon) in [(Norm::Linf, 0.1), (Norm::L2, 0.5)] {
        let config = TrainConfig { norm, epsilon, replays: 3, batch_size: 17, ..tiny(Method::FREE) };
        let mut trainer = Trainer::new(cpu(), &config, DIGITS, None, None).unwrap();
        // The last batch of an epoch has 7 images and fillers.
        let last = make_batch(&digits().train, &BatchOptions::in_order(17), 0, 70);
        assert_eq!(last.real, 7);
        let pending = trainer.submit(&last).unwrap();
        let record = trainer.collect(pending).unwrap();
        assert!(record.delta.is_some_and(|delta| delta > 0.0), "{record:?}");
        assert_eq!(trainer.snapshot().unwrap().1[0], 3, "updates of the classifier");
        let first = perturbations(&trainer);
        assert!(first[7 * 64..].iter().all(|&v| v == 0.0), "fillers have no gradient");
        let pending = trainer.submit(&batch(17)).unwrap();
        trainer.collect(pending).unwrap();
        let second = perturbations(&trainer);
        assert!(second != first && second.iter().all(|v| v.is_finite()));
        let zero = [0.0; 64];
        let lengths: Vec<f64> = second.chunks(64).map(|delta| norm.distance(&zero, delta)).collect();
        let farthest = lengths.iter().fold(0.0f64, |most, &v| most.max(v)) / f64::from(epsilon);
        assert!((0.9..1.0 + 1e-5).contains(&farthest), "{farthest} epsilon in {}", norm.name());
    }
}

/// Weights after one step on the digits.
fn weights_after(config: &TrainConfig) -> Vec<f32> {
    let mut trainer = Trainer::new(cpu(), config, DIGITS, None, None).unwrap();
    let pending = trainer.submit(&batch(config.batch_size)).unwrap();
    trainer.collect(pending).unwrap();
    trainer.values().unwrap().0.weights
}

#[test]
fn weights_that_are_not_moved_learn_as_without_awp_and_moved_ones_do_not() {
    for method in [Method::NATURAL, Method::FGM, Method::TRADES, Method::PGN] {
        let config = TrainConfig { batch_size: 12, ..tiny(method) };
        let plain = weights_after(&config);
        let at = |gamma| weights_after(&TrainConfig { awp: Some(gamma), ..config.clone() });
        assert!(plain == at(Gamma::Of(0.0)), "{method}");
        assert!(plain != at(Gamma::Usual), "{method}");
        assert!(at(Gamma::Of(0.05)) != at(Gamma::Usual), "{method}");
    }
}

#[test]
fn the_generator_climbs_the_loss_of_weights_that_are_not_moved() {
    for update in [Update::Simultaneous, Update::Alternating] {
        // Its gradient comes out of the classifier's own backward pass, and out of one apart.
        for generator_objective in [GeneratorLoss::CrossEntropy, GeneratorLoss::Margin] {
            let momenta = |awp| {
                let config =
                    TrainConfig { batch_size: 12, update, generator_objective, awp, ..tiny(Method::PGN) };
                let mut trainer = Trainer::new(cpu(), &config, DIGITS, None, None).unwrap();
                let pending = trainer.submit(&batch(12)).unwrap();
                trainer.collect(pending).unwrap();
                let read = |name| trainer.workspace().read(name).unwrap();
                ["generator.momentum", "classifier.momentum"].map(read)
            };
            let [plain, moved] = [None, Some(Gamma::Of(0.05))].map(momenta);
            let off = |network: usize| worst(&moved[network], &plain[network]) / largest(&plain[network]);
            let what = format!("{update:?}, {generator_objective:?}");
            assert!(off(0) <= 1e-5, "{what}, the generator: {}", off(0));
            assert!(off(1) > 1e-3, "{what}, the classifier: {}", off(1));
        }
    }
}

#[test]
fn weights_move_from_the_epoch_on_in_which_awp_begins_also_in_a_batch_in_parts() {
    let after = |awp, awp_warm_up, epoch, largest| {
        let config = TrainConfig { batch_size: 10, awp, awp_warm_up, ..tiny(Method::TRADES) };
        let mut trainer = Trainer::new(cpu(), &config, DIGITS, None, largest).unwrap();
        let pending = trainer.submit(&Batch { epoch, ..batch(10) }).unwrap();
        trainer.collect(pending).unwrap();
        trainer.values().unwrap().0.weights
    };
    for largest in [None, Some(4)] {
        let [plain, moved] = [None, AWP].map(|awp| after(awp, 0, 1, largest));
        assert!(plain != moved);
        assert!(after(AWP, 2, 1, largest) == plain, "the last epoch without it, {largest:?}");
        assert!(after(AWP, 1, 1, largest) == moved, "the first epoch with it, {largest:?}");
    }
}

#[test]
fn settings_of_the_paper_preset_that_a_defense_does_not_read_do_not_change_it() {
    for method in [Method::TRADES, Method::MART, Method::FREE] {
        let config = TrainConfig { batch_size: 12, ..tiny(method) };
        let paper =
            TrainConfig { through_attack: true, attack_label: AttackLabel::Predicted, ..config.clone() };
        assert!(weights_after(&config) == weights_after(&paper), "{method}");
    }
}

/// The losses of the first and of the last of three steps on one batch, before each.
fn losses(device: &Device, config: &TrainConfig, problem: Problem, from: Option<&Model>) -> [f64; 2] {
    let mut trainer = Trainer::new(device.clone(), config, problem, from, None).unwrap();
    let batch = synthetic_batch(problem, config.batch_size);
    let losses = [(); 3].map(|()| {
        let pending = trainer.submit(&batch).unwrap();
        trainer.collect(pending).unwrap().loss
    });
    [losses[0], losses[2]]
}

/// What a network is trained by here. Those with AWP do most. The others are for the paper's network and for one with batch
/// statistics; `tests/golden.rs` has them on another.
fn for_network(network: Network) -> Vec<TrainConfig> {
    let mut all = all();
    if network == Network::default() {
        let beside = [Method::MART, Method::FAST, Method::N_FGSM];
        all.extend(beside.map(|method| TrainConfig { awp: AWP, ..tiny(method) }));
    }
    let every = network == Network::default() || network.name() == "preact-resnet18";
    all.retain(|config| every || config.awp.is_some());
    all
}

#[test]
fn every_network_of_the_zoo_and_an_imported_one_have_finite_losses_under_every_defense() {
    let problem = Problem::square(32, 3, 10);
    for network in Network::all() {
        for config in for_network(network) {
            let config = TrainConfig { network, batch_size: 4, iterations: 2, ..config };
            let found = losses(&cpu(), &config, problem, None);
            assert!(found.iter().all(|loss| loss.is_finite()), "{network}, {}: {found:?}", name(&config));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx/residual.onnx");
    let imported = Model::load(&path, None).unwrap();
    for config in all().into_iter().filter(|config| !config.method.generator) {
        let config = TrainConfig { network: imported.facts.network, batch_size: 4, ..config };
        let found = losses(&cpu(), &config, imported.classifier.problem, Some(&imported));
        assert!(found.iter().all(|loss| loss.is_finite()), "imported, {}: {found:?}", name(&config));
    }
}

#[test]
fn an_inner_attack_that_needs_more_classes_than_there_are_is_refused() {
    for (inner, classes, needed) in [(AttackKind::APGD_DLR, 2, 3), (AttackKind::APGD_T, 3, 4)] {
        let config = TrainConfig { inner: Some(inner), ..tiny(Method::ADVERSARIAL) };
        let new = |classes| Trainer::new(cpu(), &config, Problem { classes, ..DIGITS }, None, None);
        let refused = format!(
            "`inner` {inner} is not possible; it must be an attack for {classes} classes, because {inner} needs {needed}"
        );
        assert_eq!(new(classes).err().map(|error| error.to_string()), Some(refused));
        assert!(new(needed).is_ok(), "{inner} for {needed} classes");
    }
}

#[test]
fn an_inner_attack_of_a_defense_is_no_attack_of_the_command_line() {
    let listed = |name: &str| AttackKind::all().iter().any(|kind| kind.name() == name);
    for method in [Method::TRADES, Method::MART, Method::FAST, Method::N_FGSM] {
        let config = TrainConfig { method, ..TrainConfig::preset(Preset::Small, DatasetKind::Digits) };
        let kind = config.inner().expect("it has an inner attack");
        assert!(!listed(kind.name()), "{kind}");
    }
}

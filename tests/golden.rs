//! Networks, gradients and training steps against an independent PyTorch implementation, on the CPU path and on the
//! adapter. What the numbers are and why the tolerances are what they are stands in golden/README.md.

#[path = "golden/apgd.rs"]
mod apgd;
#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;
#[path = "golden/defenses.rs"]
mod defenses;
#[path = "golden/digests.rs"]
mod digests;
#[path = "golden/networks.rs"]
mod networks;
#[path = "golden/state_dicts.rs"]
mod state_dicts;
#[path = "golden/through_attack.rs"]
mod through_attack;
#[path = "golden/values.rs"]
mod values;

use common::{Values, devices, named, session};
use pgn_wgpu::executor::{Device, Outputs, Workspace};
use pgn_wgpu::graph::{Graph, GraphError};
use pgn_wgpu::nn::{Classifier, Pass};
use pgn_wgpu::pgn::{Turn, gradient_image};
use pgn_wgpu::training::step::{BatchTensors, Gradients, Phase, phase_graph};
use pgn_wgpu::training::{GradientInput, Method, PenaltySpace, TrainConfig, Trainer, Update};
use values::Allowed::{self, Absolute, Relative};
use values::{Golden, close};

/// Logits, losses, gradient images, generator output.
const FORWARD: Allowed = Relative(1e-5);
/// Composed images; the clamp is what rounds.
const COMPOSED: Allowed = Absolute(3e-5);
/// Gradients of both networks, all variants.
const GRADIENT: Allowed = Relative(2e-5);
/// The classifier's weights and their average after steps.
const CLASSIFIER_AFTER: Allowed = Absolute(3e-6);

/// The generator's weights after steps, in learning rates: Adam divides by the gradient's own size.
fn generator_after(config: &TrainConfig) -> Allowed {
    Absolute(0.05 * config.generator_lr_at(0))
}

/// What the host writes before a run.
fn inputs(golden: &Golden) -> Values {
    let batch = golden.batch();
    vec![named("images", batch.images), named("labels", batch.labels), named("weights", batch.weights)]
}

/// Both networks' weights, and empty gradients.
fn states(golden: &Golden) -> Values {
    let generator = &golden.model.generator.as_ref().unwrap().1;
    let mut states = Values::new();
    for (network, values) in [("classifier", &golden.model.live), ("generator", generator)] {
        let weights = &values.weights;
        states.push(named(&format!("{network}.parameters"), weights.clone()));
        states.push(named(&format!("{network}.gradient"), vec![0.0; weights.len()]));
    }
    states
}

/// Builds a graph over the file's batch and the classifier's weights and runs it.
fn run(
    golden: &Golden,
    device: &Device,
    build: impl FnOnce(&mut Graph, BatchTensors) -> Result<(), GraphError>,
) -> Outputs {
    let mut graph = Graph::new();
    let batch = BatchTensors::inputs(&mut graph, golden.classifier().problem, golden.settings.batch).unwrap();
    build(&mut graph, batch).unwrap();
    let (_workspace, mut session) = session(device, &graph, &inputs(golden), &states(golden));
    session.compute().unwrap()
}

#[test]
fn logits_losses_and_gradient_images() {
    let readings = [
        ("log", GradientInput::Log),
        ("rms", GradientInput::Rms),
        ("l2", GradientInput::L2),
        ("raw", GradientInput::Raw),
    ];
    for golden in Golden::all() {
        for (name, device) in devices() {
            let outputs = run(&golden, &device, |g, batch| {
                let states = golden.classifier().live(g, "classifier")?;
                let classifier = Classifier::evaluated(golden.classifier(), &states);
                let logits = classifier.logits(g, batch.images)?;
                let loss = g.cross_entropy(logits, batch.labels)?;
                g.output("logits", logits);
                g.output("cross_entropy", loss);
                let one = g.constant(1.0, &[1])?;
                let gradient = g.gradient(loss, one, &[batch.images])?[0];
                g.output("input_gradient", gradient);
                for (reading, kind) in readings {
                    let image = gradient_image(g, kind, loss, batch.images)?;
                    g.output(&format!("gradient_image.{reading}"), image);
                }
                Ok(())
            });
            for tensor in ["logits", "cross_entropy", "input_gradient"] {
                golden.assert(name, tensor, outputs.get(tensor), FORWARD);
            }
            for (reading, _) in readings {
                let tensor = format!("gradient_image.{reading}");
                golden.assert(name, &tensor, outputs.get(&tensor), FORWARD);
            }
        }
    }
}

#[test]
fn the_generators_move_and_what_the_classifier_makes_of_it() {
    for golden in Golden::all() {
        for (name, device) in devices() {
            let outputs = run(&golden, &device, |g, batch| {
                let generator = golden.generator();
                let states = golden.classifier().live(g, "classifier")?;
                let classifier = Classifier::evaluated(golden.classifier(), &states);
                let logits = classifier.logits(g, batch.images)?;
                let loss = g.cross_entropy(logits, batch.labels)?;
                let own = generator.live(g)?;
                let turn = Turn {
                    generator,
                    states: &own,
                    pass: Pass::Evaluate,
                    classifier,
                    images: batch.images,
                    labels: batch.labels,
                    clean: [logits, loss],
                    noise: None,
                    through: false,
                };
                let answer = turn.shared(g)?;
                let logits = classifier.logits(g, answer.adversarial)?;
                g.output("generator_output", answer.output);
                g.output("x_adv", answer.adversarial);
                g.output("norm2", answer.norm2);
                g.output("adversarial_logits", logits);
                Ok(())
            });
            golden.assert(name, "generator_output", outputs.get("generator_output"), FORWARD);
            golden.assert(name, "x_adv", outputs.get("x_adv"), COMPOSED);
            golden.assert(name, "adversarial_logits", outputs.get("adversarial_logits"), FORWARD);
            let norms: Vec<f32> = outputs.get("norm2").iter().map(|v| v.sqrt()).collect();
            golden.assert(name, "delta_norms", &norms, FORWARD);
        }
    }
}

fn mean(values: &[f32]) -> f32 {
    (values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64) as f32
}

/// What one phase reports, and the states after it.
fn run_phase(golden: &Golden, device: &Device, config: &TrainConfig, phase: Phase) -> (Workspace, Outputs) {
    let classifier = golden.classifier();
    let generator = config.generator(classifier.problem).unwrap();
    let images = golden.settings.batch;
    let graph =
        phase_graph(config, classifier, generator.as_ref(), phase, images, Gradients::Accumulate).unwrap();
    let (workspace, mut session) = session(device, &graph, &inputs(golden), &states(golden));
    let outputs = session.compute().unwrap();
    (workspace, outputs)
}

/// The gradients that one phase hands to Adam: the classifier's, the generator's.
fn phase_gradients(golden: &Golden, device: &Device, config: &TrainConfig, phase: Phase) -> [Vec<f32>; 2] {
    let (workspace, _) = run_phase(golden, device, config, phase);
    ["classifier", "generator"].map(|network| workspace.read(&format!("{network}.gradient")).unwrap())
}

/// The generator climbs; what Adam gets is the negative.
fn negative(values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| -v).collect()
}

#[test]
fn gradients_of_natural_and_adversarial_training() {
    for golden in Golden::all() {
        let (natural, pgn) = (golden.config(Method::NATURAL), golden.config(Method::PGN));
        for (name, device) in devices() {
            let [classifier, _] = phase_gradients(&golden, &device, &natural, Phase::Classifier);
            golden.assert_network(name, "natural.gradient.classifier", &classifier, GRADIENT);
            let [classifier, generator] = phase_gradients(&golden, &device, &pgn, Phase::Both);
            golden.assert_network(name, "pgn.gradient.classifier", &classifier, GRADIENT);
            golden.assert_network(name, "pgn.gradient.generator", &negative(&generator), GRADIENT);
            // A phase of one network has that network's gradient and leaves the other's alone.
            let [none, alone] = phase_gradients(&golden, &device, &pgn, Phase::Generator);
            golden.assert_network(name, "pgn.gradient.generator", &negative(&alone), GRADIENT);
            assert!(none.iter().all(|&v| v == 0.0), "{name}");
            let [alone, none] = phase_gradients(&golden, &device, &pgn, Phase::Classifier);
            golden.assert_network(name, "pgn.gradient.classifier", &alone, GRADIENT);
            assert!(none.iter().all(|&v| v == 0.0), "{name}");
        }
    }
}

#[test]
fn gradients_of_the_variants() {
    for golden in Golden::all().into_iter().filter(|g| g.settings.variants) {
        let pgn = golden.config(Method::PGN);
        let tanh = TrainConfig { penalty_space: PenaltySpace::Tanh, ..pgn.clone() };
        let mixed = TrainConfig { adv_coeff: golden.settings.adv_coeff.unwrap(), ..pgn.clone() };
        let detached = TrainConfig { gradient_input: GradientInput::Raw, ..pgn };
        let through = TrainConfig { through_attack: true, ..detached.clone() };
        for (name, device) in devices() {
            let gradients = |config| phase_gradients(&golden, &device, config, Phase::Both);
            let [classifier, generator] = gradients(&tanh);
            golden.assert_network(name, "penalty_tanh.gradient.generator", &negative(&generator), GRADIENT);
            golden.assert_network(name, "pgn.gradient.classifier", &classifier, GRADIENT);
            let [classifier, generator] = gradients(&mixed);
            golden.assert_network(name, "adv_coeff.gradient.classifier", &classifier, GRADIENT);
            golden.assert_network(name, "pgn.gradient.generator", &negative(&generator), GRADIENT);
            let [classifier, _] = gradients(&detached);
            golden.assert_network(name, "detached_pgn.gradient.classifier", &classifier, GRADIENT);
            let [classifier, _] = gradients(&through);
            golden.assert_network(name, "through_pgn.gradient.classifier", &classifier, GRADIENT);
        }
    }
}

#[test]
fn losses_of_the_variants() {
    for golden in Golden::all().into_iter().filter(|g| g.settings.variants) {
        let (natural, pgn) = (golden.config(Method::NATURAL), golden.config(Method::PGN));
        let share = golden.settings.adv_coeff.unwrap();
        let mixed = TrainConfig { adv_coeff: share, ..pgn.clone() };
        let through = TrainConfig { gradient_input: GradientInput::Raw, through_attack: true, ..pgn };
        for (name, device) in devices() {
            let loss = |config, phase| mean(run_phase(&golden, &device, config, phase).1.get("loss"));
            let (clean, attacked) = (loss(&natural, Phase::Classifier), loss(&mixed, Phase::Both));
            golden.assert(name, "adv_coeff.loss", &[share * attacked + (1.0 - share) * clean], FORWARD);
            golden.assert(name, "through_pgn.loss", &[loss(&through, Phase::Both)], FORWARD);
        }
    }
}

/// Steps of the trainer on the file's batch: loss and mean ‖δ‖ before each, and the states afterwards by name.
fn train(golden: &Golden, device: &Device, config: &TrainConfig, steps: usize) -> ([Vec<f32>; 2], Values) {
    let problem = golden.classifier().problem;
    let mut trainer = Trainer::new(device.clone(), config, problem, Some(&golden.model), None).unwrap();
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let step = trainer.submit(&golden.batch()).unwrap();
        let metrics = trainer.collect(step).unwrap();
        losses.push(metrics.loss as f32);
        norms.push(metrics.delta.unwrap_or(0.0) as f32);
    }
    ([losses, norms], trainer.snapshot().unwrap().0)
}

fn state<'a>(states: &'a Values, name: &str) -> &'a [f32] {
    &states.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no state {name}")).1
}

#[test]
fn three_natural_steps() {
    for golden in Golden::all() {
        for (name, device) in devices() {
            let ([losses, _], states) = train(&golden, &device, &golden.config(Method::NATURAL), 3);
            golden.assert(name, "natural.losses", &losses, FORWARD);
            let (live, average) =
                (state(&states, "classifier.parameters"), state(&states, "classifier.average"));
            golden.assert_network(name, "natural.after.classifier", live, CLASSIFIER_AFTER);
            golden.assert_network(name, "natural.after.classifier_ema", average, CLASSIFIER_AFTER);
        }
    }
}

#[test]
fn three_adversarial_steps() {
    for golden in Golden::all() {
        let config = golden.config(Method::PGN);
        for (name, device) in devices() {
            let ([losses, norms], states) = train(&golden, &device, &config, 3);
            golden.assert(name, "pgn.cross_entropies", &losses, FORWARD);
            golden.assert(name, "pgn.mean_delta_norms", &norms, FORWARD);
            let (live, average) =
                (state(&states, "classifier.parameters"), state(&states, "classifier.average"));
            golden.assert_network(name, "pgn.after.classifier", live, CLASSIFIER_AFTER);
            golden.assert_network(name, "pgn.after.classifier_ema", average, CLASSIFIER_AFTER);
            let generator = state(&states, "generator.parameters");
            golden.assert_network(name, "pgn.after.generator", generator, generator_after(&config));
        }
    }
}

#[test]
fn an_alternating_step() {
    for golden in Golden::all().into_iter().filter(|g| g.settings.variants) {
        let config = TrainConfig { update: Update::Alternating, ..golden.config(Method::PGN) };
        for (name, device) in devices() {
            let ([losses, _], states) = train(&golden, &device, &config, 1);
            golden.assert(name, "alternating.cross_entropy", &losses, FORWARD);
            let (f, g) = (state(&states, "classifier.parameters"), state(&states, "generator.parameters"));
            golden.assert_network(name, "alternating.after.classifier", f, CLASSIFIER_AFTER);
            golden.assert_network(name, "alternating.after.generator", g, generator_after(&config));
        }
    }
}

#[test]
fn micro_batches_add_up_to_the_whole_batch() {
    for golden in Golden::all() {
        let problem = golden.classifier().problem;
        let config = golden.config(Method::PGN);
        for (name, device) in devices() {
            // Neither 5 nor 3 is a multiple of 2: the last micro-batch is filled up.
            let mut trainer =
                Trainer::new(device.clone(), &config, problem, Some(&golden.model), Some(2)).unwrap();
            for _ in 0..3 {
                let step = trainer.submit(&golden.batch()).unwrap();
                trainer.collect(step).unwrap();
            }
            let states = trainer.snapshot().unwrap().0;
            let (f, g) = (state(&states, "classifier.parameters"), state(&states, "generator.parameters"));
            golden.assert_network(name, "pgn.after.classifier", f, CLASSIFIER_AFTER);
            golden.assert_network(name, "pgn.after.generator", g, generator_after(&config));
        }
    }
}

#[test]
#[should_panic(expected = "difference 1e0")]
fn a_wrong_value_is_noticed() {
    close("a tensor", &[1.0, 2.0], &[1.0, 3.0], Relative(0.1));
}

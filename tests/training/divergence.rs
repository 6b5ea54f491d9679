//! A run that leaves the numbers stops with the facts, and never writes over what was good.

use super::{DIGITS, checkpoint, cpu, run, step_numbers, tiny};
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::{Init, Network, Plan};
use pgn_wgpu::program::precision::Precision;
use pgn_wgpu::training::checkpoint::Checkpoint;
use pgn_wgpu::training::schedule::{self, Schedule};
use pgn_wgpu::training::{Method, TrainConfig, TrainError};
use std::fs;
use std::path::Path;

/// Weights that are numbers, but whose logits are not.
const TOO_LARGE: f32 = 1e30;

fn config(max_steps: u64) -> TrainConfig {
    TrainConfig { max_steps: Some(max_steps), ..tiny(Method::NATURAL) }
}

/// Overwrites one state of the last checkpoint.
fn tamper(folder: &Path, state: &str, value: f32) {
    let mut saved = checkpoint(folder);
    let (_, values) = saved.states.iter_mut().find(|(name, _)| name == state).unwrap();
    values.fill(value);
    pgn_wgpu::files::write(&folder.join("checkpoints/last.safetensors"), &saved.into_bytes().unwrap())
        .unwrap();
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_with_step_and_learning_rate() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.safetensors");
    let classifier = Network::default().build(Plan::new(DIGITS, 0.03125)).unwrap();
    let mut live = classifier.initial(Init::He, 0);
    live.weights.iter_mut().for_each(|weight| *weight *= TOO_LARGE);
    let mut model = Model::new(classifier, live);
    (model.facts.network, model.facts.width) = (Network::default(), 0.03125);
    model.save(&file).unwrap();
    let path = folder.path().join("run");
    let config = TrainConfig { from: Some(file), lr: 9.5, ..config(5) };
    let mixed = TrainConfig { precision: Precision::Mixed, ..config.clone() };
    let of_mixed = run(&cpu(), &mixed, &folder.path().join("mixed"), None).unwrap_err().to_string();
    assert!(of_mixed.contains("f16") && of_mixed.contains("`precision` f32"), "{of_mixed}");

    let error = run(&cpu(), &config, &path, None).unwrap_err();

    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
    let text = error.to_string();
    assert!(!text.contains("f16"), "{text}");
    for part in ["the loss became", "at step 1 ", "learning rate 9.5", "(step 0)", "`lr`"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(!path.join("model.safetensors").exists());
    assert_eq!(checkpoint(&path).head.progress.step, 0);
}

#[test]
fn the_last_checkpoint_survives_a_loss_that_is_no_number_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    run(&cpu(), &config(3), &path, None).unwrap();
    tamper(&path, "classifier.parameters", TOO_LARGE);
    let last = path.join("checkpoints/last.safetensors");
    let (before, model) = (fs::read(&last).unwrap(), fs::read(path.join("model.safetensors")).unwrap());

    let text = run(&cpu(), &config(20), &path, None).unwrap_err().to_string();

    for part in ["the loss became", "at step 4 ", "(step 3)", last.to_str().unwrap()] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(fs::read(&last).unwrap() == before && fs::read(path.join("model.safetensors")).unwrap() == model);
    assert_eq!(step_numbers(&path), [1, 2, 3], "the metrics have numbers only");
}

#[test]
fn the_learning_rate_of_a_step_that_left_the_numbers_is_the_one_that_its_schedule_gave() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let config = |max_steps| TrainConfig { schedule: Schedule::OneCycle, ..config(max_steps) };
    run(&cpu(), &config(2), &path, None).unwrap();
    tamper(&path, "classifier.parameters", TOO_LARGE);

    let text = run(&cpu(), &config(20), &path, None).unwrap_err().to_string();

    // Two of twelve steps of an epoch are done.
    let config = config(20);
    let rate = schedule::factor(&config, 2, 12) * config.lr;
    assert!(rate > 0.0 && rate < 0.5 * config.lr, "{rate}");
    let expected = format!("at step 3 with learning rate {rate};");
    assert!(text.contains(&expected), "{expected:?} is not in: {text}");
}

#[test]
fn weights_that_are_no_numbers_after_a_last_good_loss_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    run(&cpu(), &config(3), &path, None).unwrap();
    // The fourth loss is a number still; the update after it is not.
    tamper(&path, "classifier.momentum", 3e38);
    let last = path.join("checkpoints/last.safetensors");
    let before = fs::read(&last).unwrap();
    let best = fs::read(path.join("checkpoints/best.safetensors")).unwrap();

    let text = run(&cpu(), &config(4), &path, None).unwrap_err().to_string();

    for part in ["classifier.", "became", "at step 4 ", "(step 3)"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert_eq!(step_numbers(&path), [1, 2, 3, 4]);
    assert!(fs::read(&last).unwrap() == before, "the checkpoint was overwritten");
    assert!(
        fs::read(path.join("checkpoints/best.safetensors")).unwrap() == best,
        "the best model was overwritten"
    );
}

#[test]
fn a_generator_that_left_the_numbers_names_its_own_learning_rate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let config =
        |steps| TrainConfig { generator_lr: Some(0.25), max_steps: Some(steps), ..tiny(Method::PGN) };
    run(&cpu(), &config(3), &path, None).unwrap();
    tamper(&path, "generator.momentum", 3e38);

    let text = run(&cpu(), &config(4), &path, None).unwrap_err().to_string();

    for part in ["generator.", "at step 4 with learning rate 0.25;", "try a smaller `generator-lr`"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    run(&cpu(), &config(3), &path, None).unwrap();
    let last = path.join("checkpoints/last.safetensors");
    let good = checkpoint(&path);
    let without = |name: &str| good.states.iter().filter(|(own, _)| own != name).cloned().collect::<Vec<_>>();
    let mut shorter = good.states.clone();
    shorter[0].1.pop();
    let mut longer = good.states.clone();
    longer.push(("generator.parameters".to_string(), vec![0.0; 4]));
    let mut broken = good.states.clone();
    broken[0].1[1] = f32::NAN;
    let cases = [
        (without("classifier.variance"), "has no classifier.variance"),
        (shorter, "instead of"),
        (longer, "has generator.parameters, which"),
        (broken, "has NaN in"),
    ];
    for (states, expected) in cases {
        let bad = Checkpoint { states, ..good.clone() };
        pgn_wgpu::files::write(&last, &bad.into_bytes().unwrap()).unwrap();
        let before = fs::read(&last).unwrap();
        let text = run(&cpu(), &config(5), &path, None).unwrap_err().to_string();
        assert!(text.contains(expected) && text.contains("last.safetensors"), "{text}");
        assert!(fs::read(&last).unwrap() == before);
    }
}

//! Training does what it is for.

use super::{cpu, devices, run, steps, tiny};
use pgn_wgpu::data::Augment;
use pgn_wgpu::training::{Method, TrainConfig};

/// Enough for the digits.
fn config(method: Method) -> TrainConfig {
    TrainConfig { width: 0.125, batch_size: 32, augment: Augment::None, ..tiny(method) }
}

#[test]
fn natural_training_learns_the_digits_on_every_device() {
    for (name, device) in devices() {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { epochs: 8, ..config(Method::NATURAL) };
        let test = run(&device, &config, &folder.path().join("run"), None).unwrap().test.unwrap();
        assert_eq!(test.images, 400);
        assert!(test.benign_accuracy > 0.6, "{name}: 0.78 is usual, chance is 0.1: {test:?}");
        assert!(test.generator.is_none());
    }
}

#[test]
fn the_game_learns_the_digits_and_an_attack_of_the_predicted_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let config = TrainConfig { epochs: 8, ..config(Method::PGN) };
    let test = run(&cpu(), &config, &path, None).unwrap().test.unwrap();
    let attacked = test.generator.unwrap();
    assert!(test.benign_accuracy > 0.6, "0.8 is usual, chance is 0.1: {test:?}");
    assert!(attacked.loss > test.benign_loss, "the generator's answers raise the loss: {test:?}");
    assert!(attacked.accuracy < test.benign_accuracy, "{test:?}");

    // On a linear loss the best answer has ‖δ‖ = ‖∇CE‖ / (2 c_L); a real loss bends.
    let all = steps(&path);
    let mean = |key: &str| all[all.len() - 30..].iter().map(|s| s[key].as_f64().unwrap()).sum::<f64>() / 30.0;
    let ratio = mean("delta") / mean("predicted_delta");
    assert!((0.5..2.0).contains(&ratio), "‖δ‖ is {ratio} of the prediction");
}

#[test]
fn a_higher_price_makes_the_generators_answers_smaller() {
    let delta = |c_l| {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { epochs: 4, c_l, ..config(Method::PGN) };
        run(&cpu(), &config, &folder.path().join("run"), None).unwrap().test.unwrap().generator.unwrap().delta
    };
    let (cheap, dear) = (delta(1.0), delta(30.0));
    assert!(dear < 0.5 * cheap, "{dear} at c_L = 30, {cheap} at c_L = 1");
}

#[test]
fn an_epoch_that_the_last_step_cuts_short_is_not_kept_as_one() {
    let folder = tempfile::tempdir().unwrap();
    // Twelve steps an epoch.
    let config = TrainConfig { keep_every: Some(1), max_steps: Some(15), ..tiny(Method::NATURAL) };
    run(&cpu(), &config, folder.path(), None).unwrap();
    let kept = |name: &str| folder.path().join("checkpoints").join(name).exists();
    assert!(kept("epoch-0001.safetensors") && !kept("epoch-0002.safetensors"));
}

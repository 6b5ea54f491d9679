//! ONNX files on the command line: a model that leaves as one comes back wherever a model is read.

use super::{Scratch, assert_mentions, npy};
use std::fs;

/// A trained model as `own.onnx` in the scratch folder, with its run in `own`.
fn exported() -> Scratch {
    let scratch = Scratch::new();
    scratch.train(&[
        "--max-steps",
        "3",
        "--method",
        "natural",
        "--mean",
        "0.3",
        "--std",
        "0.4",
        "--out",
        "own",
    ]);
    scratch.succeed(["export", "own", "--onnx", "own.onnx"]);
    let pictures: Vec<u8> = (0..192_u8).map(|i| i.wrapping_mul(37)).collect();
    fs::write(scratch.path("images.npy"), npy("|u1", "(3, 1, 8, 8)", &pictures)).unwrap();
    scratch
}

#[test]
fn arrays_need_not_have_images_of_all_classes_of_the_model_that_training_starts_from() {
    let scratch = exported();
    fs::create_dir(scratch.path("set")).unwrap();
    for part in ["train", "test"] {
        fs::copy(scratch.path("images.npy"), scratch.path(&format!("set/x_{part}.npy"))).unwrap();
        fs::write(scratch.path(&format!("set/y_{part}.npy")), npy("|u1", "(3,)", &[0, 3, 1])).unwrap();
    }
    let train = ["train", "--adapter", "cpu", "--from", "own.onnx", "--dataset", "npy", "--data", "set"];
    let natural = ["--method", "natural", "--max-steps", "1", "--validation-share", "0", "--out", "few"];
    scratch.succeed(train.iter().chain(&natural));
    fs::write(scratch.path("set/y_train.npy"), npy("|u1", "(3,)", &[0, 10, 1])).unwrap();
    let sentence = scratch.refuse(train.iter().chain(&natural[..6]).chain(&["--out", "more"]));
    assert_mentions(&sentence, &["labels up to 10", "10 classes"]);
}

fn logits(scratch: &Scratch, model: &str) -> Vec<f32> {
    let saved = format!("{model}.npy");
    let line = ["predict", model, "--adapter", "cpu", "--images", "images.npy", "--save", &saved];
    assert_mentions(&scratch.succeed(line), &["class 1", "%", "written"]);
    let bytes = fs::read(scratch.path(&saved)).unwrap();
    let numbers = &bytes[bytes.len() - 4 * 30..];
    numbers.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

#[test]
fn a_model_answers_as_an_onnx_file_what_it_answers_as_a_run() {
    let scratch = exported();
    let (own, back) = (logits(&scratch, "own"), logits(&scratch, "own.onnx"));
    assert_close(&own, &back);
    assert_mentions(
        &scratch.succeed(["summary", "own.onnx"]),
        &["own.onnx", "parameters", "training step", "natural"],
    );
    assert_mentions(&scratch.refuse(["summary", "own.onnx", "--width", "0.5"]), &["--width"]);
}

#[track_caller]
fn assert_close(own: &[f32], back: &[f32]) {
    let largest = own.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert_eq!(own.len(), back.len());
    assert!(own.iter().zip(back).all(|(a, b)| (a - b).abs() <= 1e-5 * largest), "{own:?} {back:?}");
}

#[test]
fn an_onnx_file_is_attacked_trained_resumed_and_exported_again() {
    let scratch = exported();
    let attack =
        ["attack", "--adapter", "cpu", "--model", "own.onnx", "--dataset", "digits", "--attack", "fgm"];
    assert_mentions(
        &scratch.succeed(attack.iter().chain(&["--limit", "20"])),
        &["own: benign accuracy", "FGM"],
    );
    let train = ["train", "--adapter", "cpu", "--from", "own.onnx", "--method", "fgm", "--epsilon", "0.1"];
    scratch.succeed(train.iter().chain(&["--max-steps", "2", "--out", "tuned"]));
    scratch.succeed(["train", "--resume", "tuned", "--max-steps", "4"]);
    scratch.succeed(["export", "tuned", "--onnx", "tuned.onnx"]);
    let tuned = logits(&scratch, "tuned");
    assert!(tuned != logits(&scratch, "own"), "training changed nothing");
    assert_close(&logits(&scratch, "tuned.onnx"), &tuned);
}

#[test]
fn a_configuration_beside_an_onnx_file_does_not_make_a_run_of_its_folder() {
    let scratch = exported();
    for text in ["title = \"of another program\"", "method = \"pgd\""] {
        fs::write(scratch.path("config.toml"), text).unwrap();
        scratch.succeed(["predict", "own.onnx", "--adapter", "cpu", "--images", "images.npy"]);
    }
}

#[test]
fn an_onnx_file_for_other_images_or_with_a_normalisation_of_its_own_is_told_apart() {
    let scratch = exported();
    let line = ["predict", "own.onnx", "--adapter", "cpu", "--images", "images.npy", "--mean", "0.5"];
    assert_mentions(&scratch.refuse(line), &["normalises pixels itself", "--mean"]);
    let cifar = ["train", "--adapter", "cpu", "--from", "own.onnx", "--network", "resnet18"];
    let advice = ["network of its own", "resnet18", "leave --network and --width out"];
    assert_mentions(&scratch.refuse(cifar.iter().chain(&["--out", "x"])), &advice);
    scratch.succeed(cifar[..5].iter().chain(&["--method", "natural", "--max-steps", "1", "--out", "x"]));
    fs::write(scratch.path("broken.onnx"), b"\x08\x08\x12\x07pytorch").unwrap();
    let broken = ["predict", "broken.onnx", "--adapter", "cpu", "--images", "images.npy"];
    assert_mentions(&scratch.refuse(broken), &["broken.onnx"]);
}

//! ONNX files on the command line: a model that leaves as one comes back wherever a model is read.

use super::{Scratch, assert_mentions};
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
    // 8x8 pictures as NumPy's array of bytes.
    let mut head = "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 1, 8, 8), }".to_string();
    head.extend(std::iter::repeat_n(' ', 127 - 10 - head.len()).chain(['\n']));
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.as_bytes());
    bytes.extend((0..192_u8).map(|i| i.wrapping_mul(37)));
    fs::write(scratch.path("images.npy"), bytes).unwrap();
    scratch
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
    let largest = own.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(own.iter().zip(&back).all(|(a, b)| (a - b).abs() <= 1e-5 * largest), "{own:?} {back:?}");
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
    assert!(logits(&scratch, "tuned") != logits(&scratch, "own"), "training changed nothing");
    assert_eq!(logits(&scratch, "tuned.onnx").len(), 30);
}

#[test]
fn an_onnx_file_for_other_images_or_with_a_normalisation_of_its_own_is_told_apart() {
    let scratch = exported();
    let line = ["predict", "own.onnx", "--adapter", "cpu", "--images", "images.npy", "--mean", "0.5"];
    assert_mentions(&scratch.refuse(line), &["normalises pixels itself", "--mean"]);
    let cifar = ["train", "--adapter", "cpu", "--from", "own.onnx", "--network", "resnet18"];
    assert_mentions(&scratch.refuse(cifar.iter().chain(&["--out", "x"])), &["imported", "resnet18"]);
    fs::write(scratch.path("broken.onnx"), b"\x08\x08\x12\x07pytorch").unwrap();
    let broken = ["predict", "broken.onnx", "--adapter", "cpu", "--images", "images.npy"];
    assert_mentions(&scratch.refuse(broken), &["broken.onnx"]);
}

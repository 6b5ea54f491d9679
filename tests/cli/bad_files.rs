//! Data and weight files that are missing, damaged or for something else: the sentence has the file and the remedy.

use super::{Scratch, assert_mentions};
use pgn_wgpu::models::file::{Facts, Model, NamedTensor, export, to_bytes};
use pgn_wgpu::models::{Classifier, Init, Problem};
use pgn_wgpu::training::GradientInput;
use std::collections::HashMap;
use std::fs;

const DIGITS: Problem = Problem { side: 8, channels: 1, classes: 10 };

/// A file that `--from` takes for the digits at the smallest width, changed before it is written.
fn save(scratch: &Scratch, problem: Problem, width: f32, change: impl Fn(&mut Model)) {
    let classifier = Classifier::new(problem, width).unwrap();
    let weights = classifier.initial(Init::He, 0);
    let facts = Facts {
        version: "0".into(),
        problem,
        width,
        dataset: "any".into(),
        class_names: Vec::new(),
        method: "natural".into(),
        gradient_input: GradientInput::Log,
        without: Vec::new(),
    };
    let mut model =
        Model { facts, classifier, average: weights.clone(), weights, generator: None, notes: Vec::new() };
    change(&mut model);
    model.save(&scratch.path("weights.safetensors")).unwrap();
}

/// A classifier's tensors as PyTorch writes them, changed before they are written.
fn save_bare(scratch: &Scratch, change: impl Fn(&mut Vec<NamedTensor>)) {
    let classifier = Classifier::new(DIGITS, 0.03125).unwrap();
    let mut tensors = Vec::new();
    export(&classifier.layout, &classifier.initial(Init::He, 0), "classifier", &mut tensors);
    change(&mut tensors);
    fs::write(scratch.path("weights.safetensors"), to_bytes(&tensors, HashMap::new())).unwrap();
}

/// What a run says that starts from the file.
#[track_caller]
fn refused(scratch: &Scratch, expected: &[&str]) {
    let sentence = scratch.refuse_to_train(&["--max-steps", "1", "--from", "weights.safetensors"]);
    assert_mentions(&sentence, &["weights.safetensors"]);
    assert_mentions(&sentence, expected);
}

#[test]
fn good_weights_are_taken_with_and_without_our_metadata() {
    let scratch = Scratch::new();
    save(&scratch, DIGITS, 0.03125, |_| ());
    scratch.train(&["--max-steps", "1", "--from", "weights.safetensors"]);
    save_bare(&scratch, |_| ());
    scratch.train(&["--max-steps", "1", "--from", "weights.safetensors"]);
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let scratch = Scratch::new();
    save(&scratch, DIGITS, 0.03125, |model| model.average[0] = f32::NAN);
    refused(&scratch, &["classifier_ema.convs.0.weight", "NaN", "index 0"]);
    save_bare(&scratch, |tensors| tensors[2].2[5] = f32::INFINITY);
    refused(&scratch, &["classifier.convs.1.weight", "inf", "index 5"]);
}

#[test]
fn weights_for_something_else_are_refused_with_both_sides() {
    let scratch = Scratch::new();
    save(&scratch, Problem { classes: 7, ..DIGITS }, 0.03125, |_| ());
    refused(&scratch, &["7 classes", "10 classes"]);
    save(&scratch, Problem { side: 32, channels: 3, ..DIGITS }, 0.03125, |_| ());
    refused(&scratch, &["32x32", "8x8", "3 channels", "1 channels"]);
    save(&scratch, DIGITS, 0.0625, |_| ());
    refused(&scratch, &["width 0.0625", "--width 0.0625"]);
}

#[test]
fn tensors_that_are_missing_or_of_another_shape_are_named() {
    let scratch = Scratch::new();
    save_bare(&scratch, |tensors| drop(tensors.remove(1)));
    refused(&scratch, &["classifier.convs.0.bias", "[2]", "missing"]);
    save_bare(&scratch, |tensors| drop(tensors.remove(0)));
    refused(&scratch, &["no tensor classifier.convs.0.weight"]);
    save_bare(&scratch, |tensors| tensors.truncate(4));
    refused(&scratch, &["2 convolutions", "odd number"]);
    save_bare(&scratch, |tensors| (tensors[1].1, tensors[1].2) = (vec![3], vec![0.0; 3]));
    refused(&scratch, &["classifier.convs.0.bias", "[3]", "expected F32 [2]"]);
    save_bare(&scratch, |tensors| {
        let last = tensors[4].clone();
        tensors.extend(
            (3..201).map(|i| (format!("classifier.convs.{i}.weight"), last.1.clone(), last.2.clone())),
        );
    });
    refused(&scratch, &["201 convolutions", "at most 17"]);
}

#[test]
fn files_that_are_no_weights_are_refused() {
    let scratch = Scratch::new();
    save(&scratch, DIGITS, 0.03125, |_| ());
    let whole = fs::read(scratch.path("weights.safetensors")).unwrap();
    for length in [0, 7, 100, whole.len() - 1] {
        fs::write(scratch.path("weights.safetensors"), &whole[..length]).unwrap();
        refused(&scratch, &["no whole safetensors file", "cut short"]);
    }
    fs::write(scratch.path("weights.safetensors"), "a letter, not a model").unwrap();
    refused(&scratch, &["no whole safetensors file", "another format"]);
    fs::remove_file(scratch.path("weights.safetensors")).unwrap();
    refused(&scratch, &["cannot read", "check the path"]);
    fs::create_dir(scratch.path("weights.safetensors")).unwrap();
    refused(&scratch, &["cannot read", if cfg!(unix) { "a folder is where a file should be" } else { "" }]);
}

#[test]
#[cfg(unix)]
fn a_path_that_no_configuration_file_can_hold_is_refused_before_anything_is_written() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    save(&scratch, DIGITS, 0.03125, |_| ());
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff");
    if fs::rename(scratch.path("weights.safetensors"), scratch.0.path().join(odd)).is_err() {
        return super::skipped("a path that is no Unicode text, because this file system allows none");
    }
    let arguments = super::TINY.iter().map(std::ffi::OsStr::new).chain([std::ffi::OsStr::new("--from"), odd]);
    assert_mentions(&scratch.refuse(arguments), &["config.toml", "UTF-8", "rename"]);
}

#[test]
fn data_that_are_missing_or_damaged_are_named() {
    let scratch = Scratch::new();
    let cifar = |expected: &[&str]| {
        let arguments = ["--dataset", "cifar10", "--data", "data", "--max-steps", "1"];
        assert_mentions(&scratch.refuse_to_train(&arguments), expected);
    };
    assert_mentions(&scratch.refuse_to_train(&["--dataset", "cifar10"]), &["cifar10", "--data DIR"]);
    assert_mentions(&scratch.refuse_to_train(&["--data", "data"]), &["digits is built in", "--dataset"]);
    cifar(&["cannot read data", "--data"]);
    fs::create_dir(scratch.path("data")).unwrap();
    cifar(&["data has no", "--data"]);
    for (name, bytes) in [("data_batch_1.bin", vec![0; 2 * 3073 - 1]), ("test_batch.bin", vec![0; 3073])] {
        fs::write(scratch.path("data").join(name), bytes).unwrap();
    }
    cifar(&["data_batch_1.bin", "6145 bytes", "3073", "cut short"]);
    let mut record = vec![0; 2 * 3073];
    record[3073] = 10;
    fs::write(scratch.path("data/data_batch_1.bin"), record).unwrap();
    cifar(&["data_batch_1.bin", "image 1", "label 10", "0 to 9"]);
    fs::write(scratch.path("data/train-images-idx3-ubyte.gz"), b"\x1f\x8b\x08 cut").unwrap();
    let arguments = ["--dataset", "mnist", "--data", "data", "--max-steps", "1"];
    assert_mentions(&scratch.refuse_to_train(&arguments), &["idx"]);
    fs::create_dir_all(scratch.path("pictures/only-one")).unwrap();
    let arguments = ["--dataset", "folder", "--data", "pictures", "--max-steps", "1"];
    assert_mentions(&scratch.refuse_to_train(&arguments), &["pictures", "1 class folders", "2 to 1000"]);
}

//! Data and weight files that are missing, damaged or for something else: the sentence has the file and the remedy.

use super::{Scratch, assert_mentions};
use pgn_wgpu::models::file::{Model, NamedTensor, export, to_bytes};
use pgn_wgpu::nn::{Init, Network, Plan, Problem};
use std::collections::HashMap;
use std::fs;

const DIGITS: Problem = Problem { height: 8, width: 8, channels: 1, classes: 10 };

/// A file that `--from` takes for the digits at the smallest width, changed before it is written.
fn save(scratch: &Scratch, problem: Problem, width: f32, change: impl Fn(&mut Model)) {
    let classifier = Network::default().build(Plan::new(problem, width)).unwrap();
    let live = classifier.initial(Init::He, 0);
    let mut model = Model::new(classifier, live);
    (model.facts.network, model.facts.width) = (Network::default(), width);
    change(&mut model);
    model.save(&scratch.path("weights.safetensors")).unwrap();
}

/// A classifier's tensors as PyTorch writes them, changed before they are written.
fn save_bare(scratch: &Scratch, change: impl Fn(&mut Vec<NamedTensor>)) {
    let classifier = Network::default().build(Plan::new(DIGITS, 0.03125)).unwrap();
    let mut tensors = Vec::new();
    export(&classifier.slots, &classifier.initial(Init::He, 0), "classifier", &mut tensors);
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
    save(&scratch, DIGITS, 0.03125, |model| model.average.weights[0] = f32::NAN);
    refused(&scratch, &["classifier_ema.convs.0.weight", "NaN", "index 0"]);
    // Before images are read, in which something else may be wrong.
    let line = [
        "attack",
        "--model",
        "weights.safetensors",
        "--attack",
        "fgm",
        "--dataset",
        "npy",
        "--data",
        "nowhere",
    ];
    assert_mentions(&scratch.refuse(line), &["weights.safetensors", "NaN"]);
    save_bare(&scratch, |tensors| tensors[2].2[5] = f32::INFINITY);
    refused(&scratch, &["classifier.convs.1.weight", "inf", "index 5"]);
}

#[test]
fn weights_for_something_else_are_refused_with_both_sides() {
    let scratch = Scratch::new();
    save(&scratch, Problem { classes: 7, ..DIGITS }, 0.03125, |_| ());
    refused(&scratch, &["7 classes", "10 classes"]);
    save(&scratch, Problem { height: 32, width: 32, channels: 3, ..DIGITS }, 0.03125, |_| ());
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
    refused(&scratch, &["classifier.convs.0.weight"]);
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
    cifar(&["cannot read ", "data: ", "check the path"]);
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

/// A picture of one colour.
fn paint(scratch: &Scratch, path: &str, size: (u32, u32), colour: [u8; 3]) {
    let path = scratch.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(size.0, size.1, image::Rgb(colour)).save(path).unwrap();
}

/// Six pictures of 8x8 in each class of a folder.
fn pictures(scratch: &Scratch, folder: &str, classes: &[&str], tint: u8) {
    for (class, name) in classes.iter().enumerate() {
        for i in 0..6 {
            let grey = 40 * class as u8 + i;
            paint(scratch, &format!("{folder}/{name}/{i}.png"), (8, 8), [grey, grey, grey + tint]);
        }
    }
}

const FOLDER: [&str; 6] = ["--dataset", "folder", "--resize", "8", "--method", "natural"];

/// Trains one step on the pictures in a folder.
fn train_on(scratch: &Scratch, folder: &str, more: &[&str]) -> String {
    scratch.train(&[&FOLDER[..], &["--max-steps", "1", "--out", "run", "--data", folder], more].concat())
}

fn attack(flags: &[&str]) -> Vec<String> {
    let usual = ["attack", "--adapter", "cpu", "--attack", "fgm", "--epsilon", "0.1", "--model"];
    usual.iter().chain(flags).map(ToString::to_string).collect()
}

#[test]
fn a_picture_that_claims_a_size_it_does_not_have_is_refused_by_every_command() {
    let scratch = Scratch::new();
    pictures(&scratch, "good", &["cat", "dog"], 9);
    train_on(&scratch, "good", &[]);
    pictures(&scratch, "bad", &["cat", "dog"], 9);
    let evil = scratch.path("bad/dog/evil.png");
    let mut bytes = fs::read(scratch.path("bad/dog/1.png")).unwrap();
    bytes[16..24].copy_from_slice(&[0x77; 8]);
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    fs::write(&evil, &bytes[..68.min(bytes.len())]).unwrap();
    let expected = ["evil.png", "2004318071x2004318071", "scale it down"];
    assert_mentions(&scratch.refuse_to_train(&[&FOLDER[..], &["--data", "bad"]].concat()), &expected);
    assert_mentions(&scratch.refuse(attack(&["run", "--data", "bad"])), &expected);
    let evaluate = ["evaluate", "--adapter", "cpu", "run", "--data", "bad"];
    assert_mentions(&scratch.refuse(evaluate), &expected);
}

#[test]
fn classes_that_are_not_the_models_are_refused_with_their_names() {
    let scratch = Scratch::new();
    pictures(&scratch, "good", &["cat", "dog"], 9);
    train_on(&scratch, "good", &[]);
    scratch.succeed(attack(&["run"]));
    let model = scratch.path("run/model.safetensors").display().to_string();
    for (folder, classes, expected) in [
        ("renamed", &["cat", "hound"][..], &["class 1", "\"dog\" in the model", "\"hound\" in the data"][..]),
        ("more", &["cat", "dog", "emu"], &["2 classes", "3", "only the data have \"emu\""]),
        ("order", &["dog", "zcat"], &["class 0 is \"cat\" in the model and \"dog\" in the data"]),
    ] {
        pictures(&scratch, folder, classes, 9);
        assert_mentions(&scratch.refuse(attack(&["run", "--data", folder])), expected);
        fs::copy(&model, scratch.path("alone.safetensors")).unwrap();
        assert_mentions(&scratch.refuse(attack(&["alone.safetensors", "--data", folder])), expected);
    }
}

#[test]
fn a_model_takes_pictures_of_another_size_and_other_channels() {
    let scratch = Scratch::new();
    pictures(&scratch, "colour", &["cat", "dog"], 9);
    pictures(&scratch, "grey", &["cat", "dog"], 0);
    train_on(&scratch, "colour", &[]);
    // The file alone does not say that the run had --resize 8.
    fs::rename(scratch.path("run/model.safetensors"), scratch.path("colour.safetensors")).unwrap();
    fs::remove_dir_all(scratch.path("run")).unwrap();
    train_on(&scratch, "grey", &[]);
    let output = scratch.run(attack(&["colour.safetensors", "--data", "grey"]));
    assert!(output.status.success(), "{output:?}");
    assert_mentions(&String::from_utf8_lossy(&output.stderr), &["note: ", "three equal channels"]);
    let output = scratch.run(attack(&["run", "--data", "colour"]));
    assert!(output.status.success(), "{output:?}");
    assert_mentions(&String::from_utf8_lossy(&output.stderr), &["note: ", "converted to grey"]);
}

#[test]
fn a_run_finds_its_data_from_everywhere_and_says_what_it_skipped() {
    let scratch = Scratch::new();
    pictures(&scratch, "set", &["cat", "dog"], 9);
    fs::write(scratch.path("set/cat/notes.txt"), "text").unwrap();
    let train = ["--max-steps", "1", "--out", "run", "--data", "set"];
    let text = scratch.notes(super::TINY.iter().chain(&FOLDER).chain(&train));
    let note = "note: skipped 1 of 13 files: 1 of unsupported formats (.txt)";
    assert_eq!(text.matches(note).count(), 1, "{text}");
    let options = "adapter = \"cpu\"\nmethod = \"natural\"\nwidth = 0.03125\nmax-steps = 1\n";
    let data = "dataset = \"folder\"\ndata = \"set\"\nresize = 8\n[grid]\nseed = [1]\n";
    fs::write(scratch.path("sweep.toml"), [options, data].concat()).unwrap();
    assert_mentions(&scratch.succeed(["sweep", "sweep.toml"]), &["seed1: note: skipped 1 of 13 files"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let run = scratch.path("run").display().to_string();
    let output = crate::program::command(elsewhere.path(), attack(&[&run])).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_mentions(&String::from_utf8_lossy(&output.stderr), &["note: skipped 1 of 13 files"]);
}

#[test]
fn a_run_without_its_final_model_names_the_best_one_so_far() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "12", "--batch-size", "100", "--method", "natural", "--out", "run"]);
    fs::remove_file(scratch.path("run/model.safetensors")).unwrap();
    let best = std::path::Path::new("run").join("checkpoints").join("best.safetensors").display().to_string();
    assert_mentions(
        &scratch.refuse(attack(&["run"])),
        &["run: has no model.safetensors", &format!("--model {best}")],
    );
    for command in [
        &["train-generator", "--adapter", "cpu", "--model", "run"][..],
        &["predict", "run", "--adapter", "cpu", "--images", "a.npy"],
        &["export", "run", "--onnx", "run.onnx"],
        &["summary", "run"],
    ] {
        assert_mentions(&scratch.refuse(command), &["run: has no model.safetensors", &best]);
    }
    scratch.succeed(attack(&[&best]));
    fs::remove_file(scratch.path(&best)).unwrap();
    assert_mentions(&scratch.refuse(attack(&["run"])), &["run: has no model", "--resume"]);
}

#[test]
fn a_few_images_are_of_all_classes() {
    let scratch = Scratch::new();
    for part in ["train", "test"] {
        pictures(&scratch, &format!("set/{part}"), &["cat", "dog", "emu"], 9);
    }
    train_on(&scratch, "set", &[]);
    scratch.succeed(attack(&["run", "--limit", "6", "--csv", "a.csv"]));
    let csv = fs::read_to_string(scratch.path("a.csv")).unwrap();
    for class in ["cat", "dog", "emu"] {
        let of_class = |line: &&str| line.split(',').nth(5) == Some(class);
        assert_eq!(csv.lines().filter(of_class).count(), 2, "{csv}");
    }
    let seeded = attack(&["run", "--limit", "6", "--limit-seed", "5", "--csv", "b.csv"]);
    scratch.succeed(seeded);
    assert_ne!(fs::read_to_string(scratch.path("b.csv")).unwrap(), csv);
    assert_mentions(&scratch.refuse(attack(&["run", "--limit-seed", "5"])), &["required arguments"]);
}

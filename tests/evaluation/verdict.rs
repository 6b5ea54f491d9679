//! `pgn-wgpu verdict`: every image that it counts as broken is confirmed by the reference path, it goes on where it was
//! interrupted, and what cannot be judged is named.

use crate::{answers, assert_mentions, copy, refuse, run_folder, succeed, trained};
use pgn_wgpu::attacks::Norm;
use pgn_wgpu::data::{self, DataOptions};
use pgn_wgpu::models::file::Model;
use safetensors::SafeTensors;
use serde_json::Value;
use std::fs;
use std::path::Path;

const PIXELS: usize = 64;
const EPSILON: f64 = 0.5;

fn numbers(file: &Path, name: &str) -> Vec<f32> {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    bytemuck::pod_collect_to_vec(tensors.tensor(name).unwrap().data())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_reference_path_confirms_every_broken_image_and_the_table_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let files = ["--out", "out", "--csv", "images.csv", "--save", "broken.safetensors"];
    let run = trained("naive");
    let arguments = [&["verdict", "--adapter", "cpu", "--limit", "60", &run], &files[..]].concat();
    let text = succeed(folder.path(), &arguments);
    let report = json(&at("out/verdict.json"));
    let (adversarial, index) =
        (numbers(&at("broken.safetensors"), "adversarial"), numbers(&at("broken.safetensors"), "index"));
    assert!(index.len() > 5, "this classifier breaks: {text}");
    let digits = data::open(&DataOptions::default()).unwrap().test;
    let model = Model::load(&run_folder("naive").join("model.safetensors"), None).unwrap();
    let answers = answers(&model, &adversarial);
    for (i, &place) in index.iter().enumerate() {
        let place = place as usize;
        let original = digits.to_unit(place..place + 1);
        let moved = &adversarial[i * PIXELS..][..PIXELS];
        assert_ne!(answers[i], usize::from(digits.label(place)), "image {place} is not broken");
        assert!(moved.iter().all(|v| (0.0..=1.0).contains(v)), "image {place} leaves the box");
        assert!(Norm::L2.distance(&original, moved) <= EPSILON * (1.0 + 1e-4), "image {place} is too far");
    }
    let csv = fs::read_to_string(at("images.csv")).unwrap();
    assert_eq!(csv.lines().count(), 61);
    let robust = csv.lines().filter(|line| line.split(',').nth(3) == Some("true")).count();
    let share = |key: &str| report[key].as_f64().unwrap();
    assert!((report["robust-accuracy"]["value"].as_f64().unwrap() - robust as f64 / 60.0).abs() < 1e-9);
    assert!((share("benign-accuracy") - (robust + index.len()) as f64 / 60.0).abs() < 1e-9);
    assert!(text.starts_with(&format!("robust accuracy {:.2} %", 100.0 * robust as f64 / 60.0)), "{text}");
}

#[test]
fn a_verdict_goes_on_from_its_pieces_and_never_believes_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = copy("naive", folder.path());
    let judge = |epsilon: &str| {
        let arguments =
            ["verdict", "--adapter", "cpu", "--limit", "20", "--norm", "linf", "--epsilon", epsilon, &run];
        succeed(folder.path(), &arguments);
        json(&Path::new(&run).join("verdict/verdict.json"))
    };
    let first = judge("0.05");
    let pieces = Path::new(&run).join("verdict/pieces");
    let all = || -> Vec<_> {
        let mut all: Vec<_> = fs::read_dir(&pieces).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    };
    let (files, bytes) = (all(), all().iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>());
    assert_eq!(judge("0.05"), first, "seconds and all");
    assert_eq!(files, all());
    let mut damaged = bytes[0].clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&files[0], damaged).unwrap();
    let again = judge("0.05");
    assert_eq!(again["robust-accuracy"], first["robust-accuracy"]);
    assert_eq!(files, all(), "the damaged piece was written again");
    assert_ne!(judge("0.1")["attacks"], first["attacks"], "another radius has pieces of its own");
    assert!(all().len() > files.len());
}

#[test]
fn the_smallest_version_keeps_every_image_and_comes_nearer_than_each_of_its_searches() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = trained("naive");
    let judge = |norm: &str| {
        let files = ["--out", norm, "--csv", "images.csv", "--save", "nearest.safetensors", "--force"];
        let flags =
            ["verdict", "--adapter", "cpu", "--limit", "20", "--version", "smallest", "--norm", norm, &run];
        succeed(folder.path(), &[&flags[..], &files].concat())
    };
    for (norm, kind) in [("l2", Norm::L2), ("linf", Norm::Linf)] {
        let text = judge(norm);
        assert_mentions(
            &text,
            &["of the images stand up to", "fmn", "runner-up 3", "from the nearest", "images were fooled"],
        );
        let report = json(&at(norm).join("verdict.json"));
        let found = &report["smallest"];
        let count = |key: &str| found[key].as_u64().unwrap();
        assert_eq!(count("fooled") + count("wrong") + count("not-fooled"), 20);
        let mean = found["mean"].as_f64().unwrap();
        for search in found["searches"].as_array().unwrap() {
            let whole = search["fooled"] == found["fooled"];
            assert!(!whole || search["mean"].as_f64().unwrap() >= mean, "{search} for {mean}");
        }
        // Distances as they are in the file of images.
        let (images, index) = (
            numbers(&at("nearest.safetensors"), "adversarial"),
            numbers(&at("nearest.safetensors"), "index"),
        );
        let digits = data::open(&DataOptions::default()).unwrap().test;
        let model = Model::load(&run_folder("naive").join("model.safetensors"), None).unwrap();
        let answers = answers(&model, &images);
        let mut sum = 0.0;
        for (i, &place) in index.iter().enumerate() {
            let (place, moved) = (place as usize, &images[i * PIXELS..][..PIXELS]);
            assert_ne!(answers[i], usize::from(digits.label(place)), "image {place} is not fooled");
            sum += kind.distance(&digits.to_unit(place..place + 1), moved);
        }
        assert_eq!(index.len() as u64, count("fooled"));
        assert!((sum / index.len() as f64 - mean).abs() < 1e-6, "{sum} for {mean}");
        let curve = found["curve"].as_array().unwrap();
        let share = |point: &Value| point[1].as_f64().unwrap();
        assert!((share(&curve[0]) - report["benign-accuracy"].as_f64().unwrap()).abs() < 1e-9);
        assert!(curve.windows(2).all(|pair| share(&pair[0]) >= share(&pair[1])));
        let (csv, again) = (fs::read_to_string(at("images.csv")).unwrap(), judge(norm));
        assert_eq!(csv.lines().count(), 21);
        assert_eq!(again, text, "seconds and all: nothing is computed twice");
    }
}

#[test]
fn a_radius_that_proves_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained("naive");
    let judge = |flags: &[&str]| {
        let sentence =
            refuse(folder.path(), &[&["verdict", "--adapter", "cpu", "--out", "out", &run], flags].concat());
        assert!(!folder.path().join("out/verdict.json").exists(), "{sentence}");
        sentence
    };
    assert_mentions(&judge(&["--epsilon", "0"]), &["--epsilon 0", "above 0"]);
    assert_mentions(&judge(&["--epsilon", "-1"]), &["--epsilon", "-1"]);
    assert_mentions(&judge(&["--epsilon", "9"]), &["--epsilon 9", "9/255"]);
    assert_mentions(&judge(&["--norm", "linf", "--epsilon", "2"]), &["--epsilon 2", "from 0 to 1.000"]);
    assert_mentions(&judge(&["--limit", "0"]), &["--limit", "0"]);
}

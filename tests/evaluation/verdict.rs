//! `pgn-wgpu verdict`: every image that it counts as broken is confirmed by the reference path, it goes on where it was
//! interrupted, and what cannot be judged is named.

use crate::{
    answers, assert_mentions, command, copy, json, numbers, refuse, run_folder, scale_last_layer, succeed,
    trained,
};
use pgn_wgpu::attacks::{AttackKind, Norm};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::data::{self, DataOptions};
use pgn_wgpu::evaluation::{ImageChoice, Place, Subject};
use pgn_wgpu::executor::Device;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::threat::Radius;
use pgn_wgpu::verdict::piece::Pieces;
use pgn_wgpu::verdict::report::About;
use pgn_wgpu::verdict::{self, Plan, Version};
use serde_json::Value;
use std::fs;
use std::path::Path;

const PIXELS: usize = 64;
const EPSILON: f32 = 0.5;

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
        let distance = Norm::L2.distance(&original, moved);
        assert!(Radius::l2(EPSILON).holds(distance, PIXELS), "image {place} is too far");
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
fn images_in_memory_are_judged_as_those_of_a_data_set_and_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::Cpu(Mode::Fast);
    let choice = ImageChoice { limit: Some(30), ..ImageChoice::default() };
    let mut of_digits = Place::find(&run_folder("naive")).unwrap().open(&choice).unwrap();
    // Random numbers follow the places, and images in memory have no others.
    of_digits.indices = (0..30).collect();
    let Subject { place, model, images, .. } = &of_digits;
    let given = Subject::given(place.clone(), model.clone(), (**images).clone());
    let radius = Radius { norm: Norm::L2, epsilon: 0.5 };
    let plan = Plan::new(Version::Quick, radius.norm, radius.epsilon, 10);
    let judge = |subject: &Subject, pieces: &Pieces| {
        let about = About::new(subject, device.describe(), ("test", Version::Quick));
        verdict::judge(&device, subject, (&plan, radius, &about), pieces, &mut |_| {}).unwrap()
    };
    let kept = folder.path().join("kept");
    let (outcome, report) = judge(&of_digits, &Pieces::new(&kept));
    let before = fs::read_dir(&kept).unwrap().count();
    let (in_memory, own) = judge(&given, &Pieces::not_kept());
    assert!(before > 0 && fs::read_dir(folder.path()).unwrap().count() == 1, "only the first kept pieces");
    assert_eq!(in_memory.images, outcome.images);
    assert_eq!((own.robust_accuracy, own.warnings), (report.robust_accuracy, report.warnings));
    assert!(outcome.images.iter().any(|image| image.broken_by.is_some()), "this classifier breaks");
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
    assert_mentions(&succeed(folder.path(), &["verify", &run]), &["pieces"]);
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
        // Means can be compared where they are over the same images.
        let searches = found["searches"].as_array().unwrap().iter();
        let whole: Vec<&Value> = searches.filter(|search| search["fooled"] == found["fooled"]).collect();
        assert!(!whole.is_empty(), "{found}");
        for search in whole {
            assert!(search["mean"].as_f64().unwrap() >= mean, "{search} for {mean}");
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

/// A verdict's text, JSON, CSV and images without what is measured by the clock.
fn timeless(folder: &Path, text: &str, out: &str) -> (Vec<String>, Value, String, Vec<f32>) {
    let lines = text.lines().filter(|line| !line.starts_with("written"));
    let columns = |line: &str| -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let timed = words.first().is_some_and(|word| word.parse::<AttackKind>().is_ok());
        words[..words.len() - if timed { 2 } else { 0 }].join(" ")
    };
    let mut report = json(&folder.join(out).join("verdict.json"));
    report["checksum"] = Value::Null;
    for list in ["/attacks", "/smallest/searches"] {
        for attack in report.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            attack["seconds"] = Value::Null;
        }
    }
    let at = |name: &str| folder.join(format!("{out}-{name}"));
    let images = [numbers(&at("broken"), "adversarial"), numbers(&at("broken"), "index")].concat();
    (lines.map(columns).collect(), report, fs::read_to_string(at("images.csv")).unwrap(), images)
}

#[test]
fn shards_make_the_verdict_of_a_single_run() {
    let folder = tempfile::tempdir().unwrap();
    // One that a warning puts in doubt, which must survive.
    let mut model = Model::load(&run_folder("naive").join("model.safetensors"), None).unwrap();
    scale_last_layer(&mut model, 0.0);
    let flat = folder.path().join("flat.safetensors").display().to_string();
    model.save(Path::new(&flat)).unwrap();
    for (name, model) in [("naive", &trained("naive")), ("flat", &flat)] {
        let judge = |more: &[&str]| {
            let flags = ["verdict", "--adapter", "cpu", "--limit", "31", "--epsilon", "0.3"];
            succeed(folder.path(), &[&flags[..], more].concat())
        };
        let files = |out: &str| [format!("--csv={out}-images.csv"), format!("--save={out}-broken")];
        let whole = format!("{name}-whole");
        let [csv, save] = files(&whole);
        let text = judge(&[model, "--out", &whole, &csv, &save]);
        let single = timeless(folder.path(), &text, &whole);
        // Two in one folder, the third in its own.
        let (two, third) = (format!("{name}-two"), format!("{name}-third"));
        for (shard, out) in [("3/3", &third), ("1/3", &two), ("2/3", &two)] {
            let text = judge(&[model, "--out", out, "--shard", shard]);
            assert_mentions(&text, &[&format!("shard {shard}: 1"), "of 31 test images", "verdict --merge"]);
            // A shard has no verdict; its table has a column of robust accuracies.
            assert!(text.starts_with("shard ") && !text.contains("\nrobust accuracy "), "{text}");
            assert!(!folder.path().join(out).join("verdict.json").exists());
        }
        let merged = format!("{name}-merged");
        let [csv, save] = files(&merged);
        let arguments = ["verdict", "--merge", &two, &third, "--out", &merged, &csv, &save];
        let text = succeed(folder.path(), &arguments);
        assert_eq!(timeless(folder.path(), &text, &merged), single);
        assert_eq!(single.0[0].contains("in doubt"), name == "flat", "{:?}", single.0);
        // Whatever shards have judged is known to a single run.
        let [csv, save] = files(&two);
        let again = [
            "verdict",
            "--adapter",
            "cpu",
            "--limit",
            "31",
            "--epsilon",
            "0.3",
            model,
            "--out",
            &two,
            &csv,
            &save,
        ];
        let output = command(folder.path(), again).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let attacked =
            |text: &str| text.lines().filter(|line| line.contains("APGD") && !line.contains("known")).count();
        assert!(attacked(&said) > 0, "a third was judged elsewhere: {said}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(timeless(folder.path(), &text, &two), single);
    }
}

#[test]
fn shards_of_smallest_perturbations_make_the_verdict_of_a_single_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained("naive");
    let judge = |more: &[&str]| {
        let flags = ["verdict", "--adapter", "cpu", "--version", "smallest", "--norm", "linf"];
        succeed(folder.path(), &[&flags[..], more].concat())
    };
    let files = |out: &str| [format!("--csv={out}-images.csv"), format!("--save={out}-broken")];
    let [csv, save] = files("whole");
    let text = judge(&["--limit", "13", &run, "--out", "whole", &csv, &save]);
    for shard in ["2/2", "1/2"] {
        let text = judge(&["--limit", "13", &run, "--out", "parts", "--shard", shard]);
        assert_mentions(&text, &[&format!("shard {shard}: "), "of 13 test images", "verdict --merge"]);
    }
    let [csv, save] = files("merged");
    let merged = succeed(folder.path(), &["verdict", "--merge", "parts", "--out", "merged", &csv, &save]);
    assert_mentions(&merged, &["half of the images stand up to", "from the nearest"]);
    assert_eq!(timeless(folder.path(), &merged, "merged"), timeless(folder.path(), &text, "whole"));
}

#[test]
fn shards_that_are_no_whole_are_refused_and_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let (naive, pgn) = (trained("naive"), trained("pgn"));
    let judge = |out: &str, more: &[&str]| {
        let flags = ["verdict", "--adapter", "cpu", "--limit", "4", "--out", out];
        succeed(folder.path(), &[&flags[..], more].concat());
    };
    let merge = |folders: &[&str]| {
        let sentence = refuse(folder.path(), &[&["verdict", "--merge", "--out", "out"], folders].concat());
        assert!(!folder.path().join("out").exists(), "{sentence}");
        sentence
    };
    for (shard, expected) in [
        ("5/3", "the first of 3 is 1/3 and the last 3/3"),
        ("0/3", "the first of 3 is 1/3 and the last 3/3"),
        ("3/5", "5 shards of 4 images"),
        ("no", "such as 1/4"),
    ] {
        let arguments =
            ["verdict", "--adapter", "cpu", "--limit", "4", "--out", "out", "--shard", shard, &naive];
        assert_mentions(&refuse(folder.path(), &arguments), &["--shard", shard, expected]);
        assert!(!folder.path().join("out").exists());
    }
    assert_mentions(&merge(&["nowhere"]), &["no shard", "nowhere"]);
    judge("a", &[&naive, "--shard", "2/3"]);
    assert_mentions(&merge(&["a"]), &["of 3 shards", "missing", "1/3, 3/3"]);
    judge("b", &[&naive, "--shard", "2/3"]);
    assert_mentions(&merge(&["a", "b"]), &["both shard 2/3", "a/shard-2-of-3", "b/shard-2-of-3"]);
    judge("c", &[&naive, "--shard", "1/2"]);
    assert_mentions(&merge(&["a", "c"]), &["one of 3 shards", "one of 2"]);
    let differing: [(&str, &str, &[&str]); 6] = [
        ("d", "model", &[&pgn]),
        ("e", "norm", &[&naive, "--norm", "linf"]),
        ("f", "epsilon is 0.5 in one and 0.25 in the other", &[&naive, "--epsilon", "0.25"]),
        ("g", "version is quick in one and full", &[&naive, "--version", "full", "--epsilon", "0.5"]),
        ("h", "data", &[&naive, "--split", "validation"]),
        ("i", "data", &[&naive, "--limit-seed", "7"]),
    ];
    for (out, expected, flags) in differing {
        judge(out, &[flags, &["--shard", "1/3"]].concat());
        assert_mentions(&merge(&["a", out]), &["different verdicts", &format!("the {expected}")]);
    }
    judge("a", &[&naive, "--shard", "1/3"]);
    judge("a", &[&naive, "--shard", "3/3"]);
    assert_mentions(&merge(&["a", "--epsilon", "0.3"]), &["--epsilon 0.3", "0.5"]);
    let path = folder.path().join("a/shard-3-of-3.safetensors");
    let mut damaged = fs::read(&path).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&path, damaged).unwrap();
    assert_mentions(&merge(&["a"]), &["a/shard-3-of-3.safetensors"]);
}

#[test]
fn more_images_begin_with_what_is_known_of_fewer() {
    let folder = tempfile::tempdir().unwrap();
    let naive = trained("naive");
    let judge = |out: &str, limit: &str| {
        let flags =
            ["verdict", "--adapter", "cpu", "--out", out, "--limit", limit, "--csv", "images.csv", "--force"];
        let output = command(folder.path(), [&flags[..], &[&naive]].concat()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (
            String::from_utf8(output.stderr).unwrap(),
            fs::read_to_string(folder.path().join("images.csv")).unwrap(),
        )
    };
    let (_, all_at_once) = judge("whole", "30");
    judge("grown", "10");
    let (_, grown) = judge("grown", "30");
    assert_eq!(grown, all_at_once);
    let attacked = |out: &str| {
        let report = json(&folder.path().join(out).join("verdict.json"));
        report["attacks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a["attacked"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(attacked("grown"), attacked("whole"));
    let (said, fewer) = judge("grown", "20");
    assert_eq!(said.matches("known from before").count(), 2, "{said}");
    assert_eq!(fewer.lines().collect::<Vec<_>>(), all_at_once.lines().take(21).collect::<Vec<_>>());
}

/// An ONNX file that gives the mean of a grey image of 8x8 pixels, as the logit of a single class.
fn one_class() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let node = |operator: &str, from: &str, to: &str| {
        let words = [field(1, from.as_bytes()), field(2, to.as_bytes()), field(4, operator.as_bytes())];
        field(1, &words.concat())
    };
    let extent = |value: u8| field(1, &[1 << 3, value]);
    let shape = [field(1, &field(2, b"n")), extent(1), extent(8), extent(8)].concat();
    let tensor = field(1, &[vec![1 << 3, 1], field(2, &shape)].concat());
    let input = field(11, &[field(1, b"image"), field(2, &tensor)].concat());
    let nodes = [node("GlobalAveragePool", "image", "mean"), node("Flatten", "mean", "out")].concat();
    let graph = [nodes, input, field(12, &field(1, b"out"))].concat();
    [vec![1 << 3, 8], field(8, &[2 << 3, 13]), field(7, &graph)].concat()
}

#[test]
fn a_model_that_answers_no_numbers_or_has_one_class_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::load(&run_folder("naive").join("model.safetensors"), None).unwrap();
    model.average.weights.iter_mut().for_each(|weight| *weight *= 1e20);
    model.save(&folder.path().join("huge.safetensors")).unwrap();
    let flags = ["verdict", "--adapter", "cpu", "--limit", "8", "--out", "out", "huge.safetensors"];
    assert_mentions(&refuse(folder.path(), &flags), &["huge", "not numbers", "use another model"]);
    // Numbers still, but the square of a million times its gradients is none.
    let mut model = Model::load(&run_folder("naive").join("model.safetensors"), None).unwrap();
    scale_last_layer(&mut model, 1e15);
    model.save(&folder.path().join("large.safetensors")).unwrap();
    let flags =
        ["attack", "--adapter", "cpu", "--limit", "8", "--attack", "fgm", "--model", "large.safetensors"];
    assert_mentions(&refuse(folder.path(), &flags), &["too large to compute with", "use another model"]);
    fs::write(folder.path().join("one.onnx"), one_class()).unwrap();
    let flags = ["verdict", "--adapter", "cpu", "--dataset", "digits", "--out", "out", "one.onnx"];
    assert_mentions(&refuse(folder.path(), &flags), &["one.onnx", "class count of 1", "from 2 to 1000"]);
    assert!(!folder.path().join("out/verdict.json").exists());
}

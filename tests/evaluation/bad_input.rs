//! What cannot be attacked or evaluated: one sentence, before anything is computed or written.

use crate::{assert_mentions, copy, refuse, run_folder, trained};
use pgn_wgpu::models::file::Model;
use std::fs;

#[test]
fn an_attack_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let naive = trained("naive");
    let cases: &[(&[&str], &[&str])] = &[
        (&["--attack", "magic"], &["magic"]),
        (&["--attack", "fgm", "--epsilon", "-1"], &["--epsilon", "-1", "from 0 to 8.000"]),
        (&["--attack", "fgm", "--epsilon", "9"], &["--epsilon", "9", "from 0 to 8.000"]),
        (&["--attack", "fgm", "--epsilon", "0.5,nan"], &["--epsilon", "nan", "a number such as 0.5"]),
        (&["--attack", "fgm", "--epsilon", "8 of 255"], &["--epsilon", "8 of 255", "8/255"]),
        (&["--attack", "fgm,deepfool", "--norm", "linf"], &["--norm linf", "l2 for deepfool"]),
        (
            &["--attack", "pgd", "--norm", "linf", "--epsilon", "8"],
            &["--epsilon 8", "pixels are in [0, 1]", "8/255"],
        ),
        (&["--attack", "pgn", "--radius", "16"], &["--radius 16", "16/255"]),
        (&["--attack", "pgd", "--norm", "linf", "--epsilon", "2"], &["--epsilon", "2", "from 0 to 1.000"]),
        (&["--attack", "mim", "--iterations", "0"], &["--iterations", "0"]),
        (&["--attack", "pgd", "--step-size", "-1"], &["--step-size", "-1"]),
        (&["--attack", "fgm", "--batch-size", "0"], &["--batch-size", "0"]),
        (&["--attack", "fgm", "--limit", "0"], &["--limit", "0", "from 1 on"]),
        (&["--attack", "pgn"], &["model.safetensors", "no generator", "train-generator"]),
        (&["--attack", "fgm", "--data", "."], &["--data", "digits is built in"]),
        (&["--attack", "fgm", "--dataset", "mnist"], &["mnist", "--data"]),
        (&["--attack", "fgm", "--save", "no/out.safetensors"], &["no/out.safetensors", "the folder no"]),
        (&["--attack", "fgm", "--save", "a", "--csv", "a"], &["a is named for two outputs"]),
    ];
    for (flags, expected) in cases {
        let arguments = [&["attack", "--adapter", "cpu", "--model", &naive], *flags].concat();
        assert_mentions(&refuse(folder.path(), &arguments), expected);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{flags:?}");
    }
}

#[test]
fn a_model_that_does_not_fit_its_data_or_answers_no_numbers_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let attack = |file: &str| {
        let arguments = ["attack", "--adapter", "cpu", "--attack", "fgm", "--save", "out", "--model", file];
        let sentence = refuse(folder.path(), &arguments);
        assert!(!folder.path().join("out").exists(), "{sentence}");
        sentence
    };
    let mut model = Model::load(&run_folder("naive").join("model.safetensors"), None).unwrap();
    let path = folder.path().join("huge.safetensors");
    for weight in &mut model.average.weights {
        *weight *= 1e20;
    }
    model.save(&path).unwrap();
    assert_mentions(&attack("huge.safetensors"), &["huge", "not numbers"]);
    model.facts.dataset = "MNIST".into();
    model.save(&path).unwrap();
    assert_mentions(&attack("huge.safetensors"), &["mnist", "--data"]);
    model.facts.dataset = "unknown".into();
    model.save(&path).unwrap();
    assert_mentions(&attack("huge.safetensors"), &["huge.safetensors", "--dataset"]);
    assert_mentions(&attack("none.safetensors"), &["none.safetensors"]);
    assert_mentions(&attack("."), &["no run folder"]);
}

#[test]
fn runs_and_sources_that_do_not_belong_together_are_both_named() {
    let folder = tempfile::tempdir().unwrap();
    let (naive, pgn) = (trained("naive"), trained("pgn"));
    let evaluate = |more: &[&str]| {
        let arguments = [&["evaluate", "--adapter", "cpu", "--out", "out", &naive], more].concat();
        let sentence = refuse(folder.path(), &arguments);
        assert!(!folder.path().join("out").exists(), "{sentence}");
        sentence
    };
    let mut model = Model::load(&run_folder("pgn").join("model.safetensors"), None).unwrap();
    model.facts.dataset = "CIFAR-10".into();
    let path = folder.path().join("foreign.safetensors");
    model.save(&path).unwrap();
    let foreign = path.display().to_string();
    let sentence = evaluate(&["--source", &foreign]);
    assert_mentions(&sentence, &["--source foreign", "CIFAR-10", "naive", "UCI optical digits"]);
    assert_mentions(&evaluate(&[&pgn, "--twin", &pgn]), &["--twin", "1 times for 2 runs"]);
    assert_mentions(&evaluate(&["--norm", "linf", "--attack", "fgm,cw"]), &["--norm linf", "l2 for cw"]);
    assert_mentions(&evaluate(&["--epsilon", "-1"]), &["--epsilon", "-1"]);
    // These attacks read no radius; the worst case has one.
    assert_mentions(&evaluate(&["--attack", "cw", "--epsilon", "-1"]), &["--epsilon", "-1"]);
    let eight = ["--norm", "linf", "--attack", "fmn", "--epsilon", "8", "--no-verdict"];
    assert_mentions(&evaluate(&eight), &["--epsilon 8", "8/255"]);
    let unfinished = copy("pgn", folder.path());
    let [model, best] =
        ["model", "checkpoints/best"].map(|name| folder.path().join(format!("pgn/{name}.safetensors")));
    fs::create_dir(best.parent().unwrap()).unwrap();
    fs::rename(model, best).unwrap();
    assert_mentions(
        &evaluate(&["--source", &unfinished]),
        &["pgn", "best.safetensors", "not come to its end"],
    );
}

#[test]
fn training_refuses_the_lengths_that_an_attack_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let train = ["train", "--adapter", "cpu", "--width", "0.03125", "--method", "pgd", "--max-steps", "1"];
    let cases: &[(&[&str], &[&str])] = &[
        (&["--norm", "linf", "--epsilon", "8"], &["--epsilon 8", "from 0 to 1.000", "8/255"]),
        (&["--norm", "linf", "--step-size", "2"], &["--step-size 2", "2/255"]),
        // The box of the digits' 64 pixels.
        (&["--epsilon", "9"], &["--epsilon 9", "from 0 to 8.000", "9/255"]),
        (&["--epsilon", "-1"], &["--epsilon -1", "from 0"]),
        (&["--epsilon", "a/b"], &["--epsilon", "a/b", "8/255"]),
    ];
    for (flags, expected) in cases {
        assert_mentions(&refuse(folder.path(), &[&train[..], flags].concat()), expected);
    }
    fs::write(folder.path().join("c.toml"), "epsilon = \"eight\"").unwrap();
    let sentence = refuse(folder.path(), &[&train[..], &["--config", "c.toml"]].concat());
    assert_mentions(&sentence, &["c.toml", "line 1", "eight", "8/255"]);
    assert!(!folder.path().join("runs").exists());
}

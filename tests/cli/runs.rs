//! Run folders: what they hold, that none is overwritten, and what happens when they cannot be written.

use super::{Scratch, assert_mentions, files};
use std::fs;
use std::path::Path;

#[test]
fn a_run_ends_with_the_facts_and_leaves_what_it_promises() {
    let scratch = Scratch::new();
    let text = scratch.train(&["--max-steps", "13", "--batch-size", "100"]);
    let run = format!("{} (13 steps)", Path::new("runs").join("pgn-digits").display());
    let model = Path::new("runs").join("pgn-digits").join("model.safetensors").display().to_string();
    let parts = [
        "CPU reference path",
        "UCI optical digits",
        "1,197 train, 200 validation, 400 test",
        "planned on the device",
        &run,
        "benign accuracy (400 test images)",
        "accuracy under the generator's own attack",
        "mean L2 of the perturbation",
        "training images per second",
        &model,
    ];
    assert_mentions(&text, &parts);
    assert!(
        text.lines().all(|line| !line.contains('\r') && !line.contains('\u{1b}')),
        "no bar in a pipe: {text}"
    );
    for file in [
        "config.toml",
        "metrics.jsonl",
        "model.safetensors",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
    ] {
        assert!(scratch.path("runs/pgn-digits").join(file).is_file(), "{file}");
    }
    let metrics = fs::read_to_string(scratch.path("runs/pgn-digits/metrics.jsonl")).unwrap();
    let kinds: Vec<String> = metrics
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_string()
        })
        .collect();
    // An epoch has twelve steps.
    let expected: Vec<&str> = [&["run"], &["step"; 12][..], &["epoch", "step", "epoch"]].concat();
    assert_eq!(kinds, expected);
    assert_mentions(
        metrics.lines().next().unwrap(),
        &["CPU reference path", env!("CARGO_PKG_VERSION"), "Z\""],
    );
}

#[test]
fn a_natural_run_says_nothing_about_a_generator() {
    let text = Scratch::new().train(&["--method", "natural", "--max-steps", "2", "--validation-share", "0"]);
    assert_mentions(&text, &["natural training, 2 steps", "benign accuracy"]);
    assert!(!text.contains("generator") && !text.contains("‖δ‖"), "{text}");
}

#[test]
fn a_run_says_what_its_data_and_its_length_keep_from_having_an_effect() {
    let short = ["--max-steps", "2", "--schedule", "cosine", "--epochs", "3"];
    let noted = |more: &[&str]| Scratch::new().notes(super::TINY.iter().chain(more));
    let limited = [&["--method", "fgm", "--validation-share", "0"], &short[..]].concat();
    let all = [
        "note: there are no validation images, so accuracy under PGD is not measured",
        "note: the schedule goes over the",
        "steps of --epochs, and --max-steps ends the run after 2",
    ];
    let text = noted(&limited);
    assert_mentions(&text, &all);
    assert_eq!(text.matches("note: ").count(), 2, "each once: {text}");
    assert_mentions(&noted(&[&limited[..], &["--dry-run"]].concat()), &all);
    assert_eq!(noted(&[&limited[..], &["--quiet"]].concat()), "");
    let all = ["--method", "natural", "--max-steps", "2", "--schedule", "step", "--milestones", "1"];
    // The first four of them alone, and all of them.
    for arguments in [&all[..4], &all[..]] {
        let text = noted(arguments);
        assert!(!text.contains("note: "), "{text}");
    }
}

#[test]
fn a_second_run_without_a_name_gets_a_folder_of_its_own() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "1"]);
    let first = files(&scratch.path("runs/pgn-digits"));
    let text = scratch.train(&["--max-steps", "1"]);
    assert_mentions(&text, &["pgn-digits-2 (1 steps)"]);
    assert!(files(&scratch.path("runs/pgn-digits")) == first);
}

#[test]
fn a_folder_that_has_anything_of_a_run_is_not_trained_into() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "1", "--out", "run"]);
    let again = ["--max-steps", "1", "--out", "run"];
    assert_mentions(&scratch.refuse_to_train(&again), &["run: holds a run already", "--resume", "--out"]);
    // Whose checkpoint would otherwise be gone on from, and whose model overwritten.
    let best = ["checkpoints/best.safetensors", "checkpoints/best-robust.safetensors"];
    for file in ["config.toml", "metrics.jsonl", "model.safetensors"].iter().chain(&best) {
        fs::remove_file(scratch.path("run").join(file)).unwrap();
        assert_mentions(&scratch.refuse_to_train(&again), &["run: holds a run already"]);
    }
    for file in ["checkpoints/last.safetensors", "checkpoints/previous.safetensors"] {
        assert_mentions(&scratch.refuse_to_train(&again), &["run: holds a run already"]);
        fs::remove_file(scratch.path("run").join(file)).unwrap();
    }
    scratch.train(&again);
}

#[test]
fn a_run_folder_below_a_file_is_refused() {
    let scratch = Scratch::new();
    fs::write(scratch.path("file"), "precious").unwrap();
    let sentence = scratch.refuse_to_train(&["--max-steps", "1", "--out", "file/run"]);
    assert_mentions(&sentence, &["cannot create", "file/run"]);
    if cfg!(unix) {
        assert_mentions(&sentence, &["a file is where a folder should be"]);
    }
    assert_mentions(&scratch.refuse_to_train(&["--max-steps", "1", "--out", "file"]), &["file"]);
}

#[test]
fn a_run_is_repeated_from_its_configuration() {
    let scratch = Scratch::new();
    let flags =
        ["--max-steps", "3", "--seed", "5", "--no-shuffle", "--no-augment", "--no-ema-warmup", "--c-l", "2"];
    scratch.train(&[&flags[..], &["--out", "first"]].concat());
    scratch.succeed(["train", "--config", "first/config.toml", "--out", "second"]);
    assert!(super::bits(&scratch.path("first")) == super::bits(&scratch.path("second")));
    let config = |run: &str| fs::read_to_string(scratch.path(run).join("config.toml")).unwrap();
    assert_eq!(config("first"), config("second"));
    assert_mentions(
        &config("first"),
        &["seed = 5", "shuffle = false", "augment = \"none\"", "ema-warmup = false"],
    );
}

#[test]
fn only_a_run_can_be_resumed_and_only_as_it_was() {
    let scratch = Scratch::new();
    assert_mentions(
        &scratch.refuse(["train", "--resume", "nowhere"]),
        &["nowhere", "no run folder", "config.toml"],
    );
    fs::create_dir(scratch.path("empty")).unwrap();
    assert_mentions(&scratch.refuse(["train", "--resume", "empty"]), &["empty", "no run folder"]);
    scratch.train(&["--max-steps", "2", "--out", "run"]);
    for (flag, value) in
        [("--c-l", "0.1"), ("--seed", "3"), ("--method", "natural"), ("--width", "1"), ("--preset", "paper")]
    {
        let sentence = scratch.refuse(["train", "--resume", "run", flag, value]);
        assert_mentions(&sentence, &[flag, "resumed run", "--from run", "model.safetensors"]);
    }
    assert_mentions(&scratch.refuse(["train", "--resume", "run", "--out", "other"]), &["--resume", "--out"]);
    scratch.succeed(["train", "--resume", "run", "--max-steps", "3", "--adapter", "cpu"]);
}

#[test]
fn a_run_whose_files_are_damaged_is_not_resumed() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "2", "--out", "run"]);
    let last = scratch.path("run/checkpoints/last.safetensors");
    let whole = fs::read(&last).unwrap();
    fs::remove_file(scratch.path("run/checkpoints/previous.safetensors")).unwrap();
    let refused = |expected: &[&str]| {
        let sentence = scratch.refuse(["train", "--resume", "run"]);
        assert_mentions(&sentence, expected);
    };
    fs::write(&last, &whole[..whole.len() / 2]).unwrap();
    refused(&["last.safetensors", "no whole safetensors file"]);
    fs::copy(scratch.path("run/model.safetensors"), &last).unwrap();
    refused(&["last.safetensors", "a model, not a checkpoint", "--from"]);
    fs::write(&last, &whole).unwrap();
    let config = fs::read_to_string(scratch.path("run/config.toml")).unwrap();
    fs::write(scratch.path("run/config.toml"), config.replace("seed", "sead")).unwrap();
    refused(&["config.toml", "sead"]);
    // Another width than the checkpoint has.
    fs::write(scratch.path("run/config.toml"), config.replace("0.03125", "0.0625")).unwrap();
    refused(&["config.toml", "edited", "width is 0.0625 there and 0.03125 in the checkpoint"]);
}

#[test]
#[cfg(unix)]
fn a_run_that_can_write_no_more_stops_with_its_last_checkpoint_and_model_whole() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "2", "--out", "run"]);
    let last = scratch.path("run/checkpoints/last.safetensors");
    let model = scratch.path("run/model.safetensors");
    let before = [fs::read(&last).unwrap(), fs::read(&model).unwrap()];
    // No file beyond some kilobytes, without the signal that would come with it: writing fails as on a full disk.
    let shell = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pgn-wgpu")])
        .args(["train", "--resume", "run", "--max-steps", "4"])
        .current_dir(scratch.0.path())
        .output()
        .unwrap();
    assert_mentions(
        &super::refusal(&shell),
        &["cannot write run/model.safetensors", "what was there is intact"],
    );
    assert!([fs::read(&last).unwrap(), fs::read(&model).unwrap()] == before);
    let left: Vec<_> = files(&scratch.path("run"))
        .into_keys()
        .filter(|p| p.extension().is_some_and(|e| e == "tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    scratch.succeed(["train", "--resume", "run", "--max-steps", "4"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_to_be_full_and_the_run_can_go_on_elsewhere() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("disk")).unwrap();
    // A mount that only this shell sees; what is on the disk is copied away from it before it goes.
    let script = "mount -t tmpfs -o size=128k tmpfs disk || exit 99
                  \"$0\" \"$@\" --out disk/run; code=$?; cp -r disk/run copy; exit $code";
    let output = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_pgn-wgpu")])
        .args(super::TINY)
        .args(["--max-steps", "2000", "--batch-size", "10"])
        .current_dir(scratch.0.path())
        .output();
    let Some(output) = output.ok().filter(|o| o.status.code() != Some(99) && scratch.path("copy").exists())
    else {
        return super::skipped("the full disk, because this user may not mount one");
    };
    assert_mentions(
        &super::refusal(&output),
        &["cannot write disk/run/", "No space left", "free some space"],
    );
    assert!(scratch.path("copy/config.toml").exists());
    scratch.succeed(["train", "--resume", "copy", "--max-steps", "3"]);
}

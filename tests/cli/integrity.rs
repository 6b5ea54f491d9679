//! Damage is found: every file that is read again has a checksum, belongs to its run, and is never written over while
//! it is the only one.

use super::{Scratch, assert_mentions, bits, files};
use std::fs;
use std::path::Path;

/// A run of four steps with checkpoints at 0, 2 and 4, and its evaluation.
fn evaluated() -> Scratch {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "4", "--checkpoint-every", "2", "--tensorboard", "--out", "run"]);
    scratch.succeed(["evaluate", "run", "--adapter", "cpu", "--attack", "fgm", "--limit", "20"]);
    scratch
}

/// The files that the program reads again.
fn own_files(run: &Path) -> Vec<std::path::PathBuf> {
    let derived = |path: &Path| path.ends_with("lock");
    files(run).into_keys().filter(|path| path.is_file() && !derived(path)).collect()
}

/// Flips one bit in the middle of a file.
fn damage(path: &Path) -> Vec<u8> {
    let whole = fs::read(path).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 4;
    fs::write(path, damaged).unwrap();
    whole
}

#[test]
fn a_run_as_it_was_written_is_whole_and_one_bit_in_any_of_its_files_is_found() {
    let scratch = evaluated();
    let text = scratch.succeed(["verify", "run"]);
    let all = own_files(&scratch.path("run"));
    assert!(all.len() >= 9, "{all:?}");
    assert_mentions(&text, &[&format!("{0} files: {0} whole, 0 unverified, 0 damaged", all.len())]);
    for path in all {
        let whole = damage(&path);
        let output = scratch.run(["verify", "run"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{path:?}: {text}");
        let name = path.file_name().unwrap().to_str().unwrap();
        let named = |line: &str| line.starts_with("DAMAGED") && line.contains(name);
        assert!(text.lines().any(named), "{text}");
        assert_mentions(&String::from_utf8_lossy(&output.stderr), &["error: ", "damaged"]);
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn runs_in_a_folder_that_is_called_report_are_checked_as_all_others() {
    for run in ["runs/report", "runs/report/seed0"] {
        let scratch = Scratch::new();
        scratch.train(&["--max-steps", "1", "--out", run]);
        damage(&scratch.path(run).join("model.safetensors"));
        let output = scratch.run(["verify", "runs"]);
        assert_eq!(output.status.code(), Some(1), "{run}");
        assert_mentions(&String::from_utf8_lossy(&output.stdout), &["DAMAGED", "model.safetensors"]);
    }
}

#[test]
fn damaged_files_are_not_computed_with() {
    let scratch = evaluated();
    let attack = ["attack", "--model", "run", "--adapter", "cpu", "--attack", "fgm", "--limit", "5"];
    for file in ["model.safetensors", "config.toml"] {
        let path = scratch.path("run").join(file);
        let whole = damage(&path);
        assert_mentions(&scratch.refuse(attack), &[file]);
        fs::write(&path, whole).unwrap();
    }
    let record = own_files(&scratch.path("run/evaluation")).swap_remove(0);
    damage(&record);
    let again = ["evaluate", "run", "--adapter", "cpu", "--attack", "fgm", "--limit", "20", "--force"];
    let output = scratch.run(again);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_mentions(&text, &[record.file_name().unwrap().to_str().unwrap(), "computed again"]);
    assert_mentions(&scratch.succeed(["verify", "run"]), &["0 damaged"]);
}

#[test]
fn files_of_another_run_are_found_although_each_is_whole() {
    let scratch = Scratch::new();
    for (name, seed) in [("one", "1"), ("two", "2")] {
        scratch.train(&["--max-steps", "2", "--seed", seed, "--out", name]);
    }
    for file in ["model.safetensors", "checkpoints/last.safetensors", "config.toml"] {
        let own = scratch.path("one").join(file);
        let whole = fs::read(&own).unwrap();
        fs::copy(scratch.path("two").join(file), &own).unwrap();
        let output = scratch.run(["verify", "one"]);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert_mentions(&String::from_utf8_lossy(&output.stdout), &["of another run"]);
        if file != "model.safetensors" {
            let sentence = scratch.refuse(["train", "--resume", "one", "--max-steps", "3"]);
            assert_mentions(&sentence, &["seed"]);
        }
        fs::write(&own, whole).unwrap();
    }
    let metrics = scratch.path("one/metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    let shorter: String =
        text.lines().filter(|line| !line.contains("\"step\":1,")).map(|line| format!("{line}\n")).collect();
    fs::write(&metrics, shorter).unwrap();
    let output = scratch.run(["verify", "one"]);
    assert_mentions(&String::from_utf8_lossy(&output.stdout), &["no line for step 1"]);
}

#[test]
fn the_model_of_another_run_is_taken_by_no_command() {
    let scratch = Scratch::new();
    for (name, seed) in [("one", "1"), ("two", "2")] {
        scratch.train(&["--method", "natural", "--max-steps", "1", "--seed", seed, "--out", name]);
    }
    fs::copy(scratch.path("two/model.safetensors"), scratch.path("one/model.safetensors")).unwrap();
    for command in [
        &["attack", "--adapter", "cpu", "--attack", "fgm", "--model", "one"][..],
        &["predict", "one", "--adapter", "cpu", "--images", "a.npy"],
        &["export", "one", "--onnx", "one.onnx"],
        &["summary", "one"],
        &["train-generator", "--adapter", "cpu", "--model", "one", "--out", "generator"],
    ] {
        let sentence = scratch.refuse(command);
        assert_mentions(&sentence, &["is of another run than the config.toml beside it"]);
    }
}

#[test]
fn metrics_of_another_run_are_neither_continued_nor_shown_and_repeated_lines_are_moved_aside() {
    let scratch = Scratch::new();
    for (name, seed) in [("one", "1"), ("two", "2")] {
        scratch.train(&["--max-steps", "2", "--seed", seed, "--out", name]);
    }
    let path = scratch.path("one/metrics.jsonl");
    let own = fs::read_to_string(&path).unwrap();
    fs::copy(scratch.path("two/metrics.jsonl"), &path).unwrap();
    let parts = ["metrics.jsonl", "of another run"];
    let output = scratch.run(["verify", "one"]);
    assert_eq!(output.status.code(), Some(1));
    assert_mentions(&String::from_utf8_lossy(&output.stdout), &parts);
    assert_mentions(&scratch.refuse(["train", "--resume", "one", "--max-steps", "3"]), &parts);
    let said = String::from_utf8_lossy(&scratch.run(["report", "one", "--out", "page"]).stderr).into_owned();
    assert_mentions(&said, &parts);
    assert_mentions(&fs::read_to_string(scratch.path("page/report.html")).unwrap(), &parts);

    fs::write(&path, own.repeat(2)).unwrap();
    let output = scratch.run(["verify", "one"]);
    assert_eq!(output.status.code(), Some(1));
    assert_mentions(
        &String::from_utf8_lossy(&output.stdout),
        &["metrics.jsonl", "lines repeat earlier ones"],
    );
    let said = String::from_utf8_lossy(&scratch.run(["report", "one", "--out", "page"]).stderr).into_owned();
    assert_mentions(&said, &["lines of metrics.jsonl repeat earlier ones"]);
    let said = scratch.notes(["train", "--resume", "one", "--max-steps", "3"]);
    assert_mentions(&said, &["lines of metrics.jsonl repeat earlier ones", "metrics.damaged.jsonl"]);
    assert_mentions(&scratch.succeed(["verify", "one"]), &["0 damaged"]);

    fs::remove_file(&path).unwrap();
    let said = scratch.notes(["train", "--resume", "one", "--max-steps", "4"]);
    assert_mentions(&said, &["metrics.jsonl has no line for the first session"]);
}

#[test]
fn evaluations_of_another_run_are_named() {
    let scratch = Scratch::new();
    for (name, seed) in [("one", "1"), ("two", "2")] {
        scratch.train(&["--max-steps", "2", "--seed", seed, "--out", name]);
        scratch.succeed(["evaluate", name, "--adapter", "cpu", "--attack", "fgm", "--limit", "20"]);
    }
    assert_mentions(&scratch.succeed(["verify", "one"]), &["0 damaged"]);
    let all = |run: &str| own_files(&scratch.path(run).join("evaluation"));
    let (own, other) = (all("one"), all("two"));
    let damaged = |file: &str| {
        let output = scratch.run(["verify", "one"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{file}: {text}");
        assert_mentions(&text, &[file, "another"]);
        text
    };
    // A record of the other run with its own name, and with that of one of this run.
    for path in &other {
        let name = path.file_name().unwrap();
        let place = scratch.path("one/evaluation").join(name);
        let before = fs::read(&place).ok();
        fs::copy(path, &place).unwrap();
        assert_mentions(&damaged(name.to_str().unwrap()), &["of another run"]);
        match before {
            Some(bytes) => fs::write(&place, bytes).unwrap(),
            None => fs::remove_file(&place).unwrap(),
        }
    }
    let record = own.iter().find(|path| path.to_string_lossy().contains("/fgm-")).unwrap();
    let name = record.file_name().unwrap().to_str().unwrap();
    fs::copy(other.iter().find(|path| path.to_string_lossy().contains("/fgm-")).unwrap(), record).unwrap();
    assert_mentions(&damaged(name), &["another record than its name says"]);
    let output = scratch.run(["evaluate", "one", "--adapter", "cpu", "--attack", "fgm", "--limit", "20"]);
    assert_mentions(&String::from_utf8_lossy(&output.stderr), &[name, "computed again"]);
    assert_mentions(&scratch.succeed(["verify", "one"]), &["0 damaged"]);

    fs::copy(scratch.path("two/evaluation.json"), scratch.path("one/evaluation.json")).unwrap();
    fs::copy(scratch.path("two/evaluation.csv"), scratch.path("one/evaluation.csv")).unwrap();
    damaged("evaluation.json");
    let said = String::from_utf8_lossy(&scratch.run(["report", "one", "--out", "page"]).stderr).into_owned();
    assert_mentions(&said, &["evaluation.json is of another run"]);
}

#[test]
fn an_edited_configuration_is_refused_with_the_key_that_differs() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "2", "--out", "run"]);
    let path = scratch.path("run/config.toml");
    let whole = fs::read_to_string(&path).unwrap();
    let refused = |text: &str, expected: &[&str]| {
        fs::write(&path, text).unwrap();
        assert_mentions(&scratch.refuse(["train", "--resume", "run", "--max-steps", "3"]), expected);
    };
    refused(
        &whole.replace("seed = 0", "seed = 7"),
        &["config.toml", "seed is 7 there and 0 in the checkpoint"],
    );
    refused(&whole.replace("max-steps = 2\n", ""), &["max-steps is not set there and 2 in the checkpoint"]);
    refused(&whole.replace("seed = 0\n", ""), &["config.toml", "seed"]);
    refused(&whole.replace("# The", "# the"), &["config.toml", "checksum"]);
    refused("", &["config.toml", "method"]);
    // A copy may be edited: it is what a new run is told.
    fs::write(scratch.path("copy.toml"), whole.replace("seed = 0", "seed = 7")).unwrap();
    scratch.succeed(["train", "--config", "copy.toml", "--out", "other"]);
}

#[test]
fn a_damaged_or_missing_last_checkpoint_falls_back_to_the_one_before_and_ends_with_the_same_bits() {
    let scratch = Scratch::new();
    let flags = ["--max-steps", "6", "--checkpoint-every", "2", "--out"];
    scratch.train(&[&flags[..], &["whole"]].concat());
    scratch.train(&[&flags[..], &["damaged"]].concat());
    scratch.train(&[&flags[..], &["missing"]].concat());
    let last = |run: &str| scratch.path(run).join("checkpoints/last.safetensors");
    let bad = damage(&last("damaged"));
    fs::remove_file(last("missing")).unwrap();
    for (run, why) in [("damaged", "cannot be believed"), ("missing", "is missing")] {
        let text = scratch.notes(["train", "--resume", run]);
        assert_mentions(
            &text,
            &["last.safetensors", why, "goes on from the checkpoint before it, at step 4"],
        );
        assert!(bits(&scratch.path(run)) == bits(&scratch.path("whole")), "{run}: other bits");
        let model = |run: &str| fs::read(scratch.path(run).join("model.safetensors")).unwrap();
        assert!(model(run) == model("whole"), "{run}: another model");
    }
    let aside = fs::read(scratch.path("damaged/checkpoints/damaged.safetensors")).unwrap();
    assert_eq!(aside.len(), bad.len());
    // The run is whole again, and the file that nothing needs is no reason to doubt it.
    assert_mentions(&scratch.succeed(["verify", "damaged"]), &["damaged.safetensors", "nothing needs it"]);
    // Neither is whole: nothing is trained, nothing is changed.
    damage(&last("whole"));
    damage(&scratch.path("whole/checkpoints/previous.safetensors"));
    let sentence = scratch.refuse(["train", "--resume", "whole", "--max-steps", "8"]);
    assert_mentions(
        &sentence,
        &["no whole checkpoint", "last.safetensors", "previous.safetensors", "--from"],
    );
}

#[test]
fn a_run_without_a_checkpoint_is_not_begun_anew_over_what_it_left() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "2", "--out", "run"]);
    for name in ["last", "previous"] {
        fs::remove_file(scratch.path("run/checkpoints").join(format!("{name}.safetensors"))).unwrap();
    }
    let best = ["checkpoints/best.safetensors", "checkpoints/best-robust.safetensors"];
    for file in ["metrics.jsonl", "model.safetensors"].iter().chain(&best) {
        let sentence = scratch.refuse(["train", "--resume", "run"]);
        assert_mentions(&sentence, &["no checkpoint", file, "--from", "--out"]);
        fs::remove_file(scratch.path("run").join(file)).unwrap();
    }
    // As after a kill before the first checkpoint, at step 0.
    scratch.succeed(["train", "--resume", "run"]);
}

#[test]
fn a_resumed_run_cannot_end_before_where_it_is_and_says_when_it_is_at_its_end() {
    let scratch = Scratch::new();
    scratch.train(&["--epochs", "2", "--batch-size", "400", "--out", "run"]);
    let sentence = scratch.refuse(["train", "--resume", "run", "--epochs", "1"]);
    assert_mentions(&sentence, &["has done 2 epochs", "cannot end after 1", "--epochs"]);
    let sentence = scratch.refuse(["train", "--resume", "run", "--max-steps", "3"]);
    assert_mentions(&sentence, &["has done 6 steps", "cannot end after 3", "--max-steps"]);
    let before = fs::read(scratch.path("run/model.safetensors")).unwrap();
    for command in [&["train", "--resume", "run"][..], &["train", "--resume", "run", "--dry-run"]] {
        let text = scratch.notes(command);
        assert_mentions(&text, &["note: the run has done its 2 epochs (step 6)", "--epochs"]);
    }
    assert!(fs::read(scratch.path("run/model.safetensors")).unwrap() == before);
}

#[test]
fn a_learning_rate_changed_by_a_resumption_is_recorded_and_repeated_by_the_configuration() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "3", "--out", "run"]);
    scratch.succeed(["train", "--resume", "run", "--max-steps", "6", "--lr", "0.01"]);
    let config = fs::read_to_string(scratch.path("run/config.toml")).unwrap();
    assert_mentions(&config, &["lr = 0.002", "[[changes]]", "step = 3", "lr = 0.01"]);
    let metrics = fs::read_to_string(scratch.path("run/metrics.jsonl")).unwrap();
    let sessions: Vec<&str> = metrics.lines().filter(|line| line.contains("\"kind\":\"run\"")).collect();
    assert_eq!(sessions.len(), 2);
    assert_mentions(sessions[1], &["\"lr\":0.01", "\"max_steps\":6", "\"epochs\":80"]);
    scratch.succeed(["report", "run"]);
    let page = fs::read_to_string(scratch.path("run/report/report.html")).unwrap();
    assert_mentions(&page, &["resumed at step 3", "lr 0.002 -&gt; 0.01", "max-steps 3 -&gt; 6"]);

    scratch.succeed(["train", "--config", "run/config.toml", "--out", "again"]);
    assert!(
        bits(&scratch.path("run")) == bits(&scratch.path("again")),
        "the configuration repeats another run"
    );
    scratch.train(&["--max-steps", "6", "--out", "constant"]);
    assert!(bits(&scratch.path("run")) != bits(&scratch.path("constant")), "the learning rate has no effect");
}

#[test]
fn damaged_lines_of_the_metrics_are_kept_aside_and_named() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "3", "--out", "run"]);
    let metrics = scratch.path("run/metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    let line = text.lines().nth(1).unwrap();
    let changed = line.replace("\"loss\":", "\"loss\":1");
    fs::write(&metrics, text.replace(line, &changed)).unwrap();
    let said = scratch.notes(["train", "--resume", "run", "--max-steps", "4"]);
    assert_mentions(&said, &["a line of metrics.jsonl was cut off or damaged", "metrics.damaged.jsonl"]);
    let kept = fs::read_to_string(scratch.path("run/metrics.damaged.jsonl")).unwrap();
    assert_eq!(kept.trim_end(), changed);
}

#[test]
#[cfg(unix)]
fn leftovers_of_a_killed_process_are_removed_and_links_stay_links() {
    let scratch = Scratch::new();
    scratch.train(&["--max-steps", "2", "--out", "run"]);
    let leftovers = ["run/.config.toml.aB3xYz.tmp", "run/checkpoints/.last.safetensors.aB3xYz.tmp"];
    for file in leftovers {
        fs::write(scratch.path(file), "half").unwrap();
    }
    fs::create_dir(scratch.path("elsewhere")).unwrap();
    for file in ["model.safetensors", "checkpoints/last.safetensors"] {
        let (link, real) =
            (scratch.path("run").join(file), scratch.path("elsewhere").join(file.replace('/', "-")));
        fs::rename(&link, &real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
    }
    scratch.succeed(["train", "--resume", "run", "--max-steps", "4"]);
    for file in leftovers {
        assert!(!scratch.path(file).exists(), "{file}");
    }
    for file in ["model.safetensors", "checkpoints/last.safetensors"] {
        assert!(fs::symlink_metadata(scratch.path("run").join(file)).unwrap().is_symlink(), "{file}");
    }
    assert_mentions(&scratch.succeed(["verify", "run"]), &["0 damaged"]);
}

#[test]
fn verify_names_files_of_other_programs_and_paths_without_any() {
    let scratch = Scratch::new();
    assert_mentions(&scratch.refuse(["verify", "nothing"]), &["nothing does not exist"]);
    fs::create_dir(scratch.path("empty")).unwrap();
    assert_mentions(&scratch.refuse(["verify", "empty"]), &["no file of a run"]);
}

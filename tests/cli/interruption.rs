//! Signals: the run says that it heard one, saves, says how to go on, and going on gives the bits of a run that was left
//! alone. The exit code says which signal it was.
#![cfg(unix)]

use super::{Scratch, assert_mentions, bits};
use pgn_wgpu::training::checkpoint::Checkpoint;
use std::fs;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// A run without an end.
fn endless(scratch: &Scratch, method: &str) -> Child {
    let more = ["--method", method, "--epochs", "100000", "--batch-size", "50", "--out", "run"];
    let mut command = scratch.command(super::TINY.iter().chain(&more));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_steps(scratch);
    child
}

fn wait_for_steps(scratch: &Scratch) {
    let metrics = scratch.path("run/metrics.jsonl");
    let start = Instant::now();
    while fs::read_to_string(&metrics).unwrap_or_default().lines().count() < 5 {
        assert!(start.elapsed() < Duration::from_secs(60), "no steps after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// How it ends, which takes no minute: a signal that is ignored, as tests under `nohup` inherit it, fails a test and does not stop
/// all of them.
fn end_of(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!(
                "not ended a minute after the signal; run tests neither under nohup nor in the background"
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn output_of(mut child: Child) -> Output {
    end_of(&mut child);
    child.wait_with_output().unwrap()
}

#[test]
fn an_interrupted_run_exits_with_130_and_resumes_to_the_same_bits() {
    for method in ["natural", "pgn"] {
        let scratch = Scratch::new();
        let child = endless(&scratch, method);
        signal(&child, "-INT");
        let output = output_of(child);
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let heard = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            heard,
            "interrupt heard; finishing the step and saving, press Ctrl-C again to leave at once\n"
        );
        let text = String::from_utf8(output.stdout).unwrap();
        assert_mentions(&text, &["interrupted at step", "pgn-wgpu train --resume run"]);

        let saved =
            Checkpoint::load(&scratch.path("run/checkpoints/last.safetensors")).unwrap().head.progress.step;
        assert!(saved >= 5);
        assert_mentions(&text, &[&format!("interrupted at step {saved};")]);
        assert!(scratch.path("run/model.safetensors").exists());

        let end = (saved + 7).to_string();
        let text = scratch.succeed(["train", "--resume", "run", "--max-steps", &end]);
        assert_mentions(&text, &[&format!("resumed  at step {saved}")]);
        let left_alone =
            ["--method", method, "--epochs", "100000", "--batch-size", "50", "--max-steps", &end];
        scratch.train(&[&left_alone[..], &["--out", "whole"]].concat());
        assert!(bits(&scratch.path("run")) == bits(&scratch.path("whole")), "{method}: other bits");
    }
}

#[test]
fn a_run_that_is_asked_to_terminate_or_hung_up_on_saves_too() {
    for (name, code) in [("-TERM", 143), ("-HUP", 129)] {
        let scratch = Scratch::new();
        let child = endless(&scratch, "natural");
        signal(&child, name);
        let output = output_of(child);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_mentions(&String::from_utf8_lossy(&output.stderr), &["request to end heard"]);
        let saved = Checkpoint::load(&scratch.path("run/checkpoints/last.safetensors")).unwrap();
        let more = (saved.head.progress.step + 1).to_string();
        scratch.succeed(["train", "--resume", "run", "--max-steps", &more]);
    }
}

#[test]
fn a_second_signal_ends_a_run_at_once_with_the_code_of_the_first() {
    let scratch = Scratch::new();
    let mut child = endless(&scratch, "natural");
    // Sent together, while the step is under way; whichever is seen first gives the code.
    signal(&child, "-INT");
    signal(&child, "-INT");
    assert_eq!(end_of(&mut child).code(), Some(130));
}

#[test]
fn a_run_under_nohup_is_not_hung_up_on() {
    let scratch = Scratch::new();
    let shell = ["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pgn-wgpu")];
    let flags = ["--method", "natural", "--epochs", "100000", "--batch-size", "50", "--out", "run"];
    let mut command = Command::new("sh");
    command.args(shell).args(super::TINY).args(flags).current_dir(scratch.0.path());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_steps(&scratch);
    signal(&child, "-HUP");
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "-TERM");
    let output = output_of(child);
    assert_eq!(output.status.code(), Some(143), "{output:?}");
}

#[test]
fn an_attack_that_is_interrupted_ends_with_the_signals_code_and_leaves_no_file() {
    let scratch = Scratch::new();
    scratch.train(&["--method", "natural", "--max-steps", "1", "--out", "run"]);
    let before = super::files(scratch.0.path());
    for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let long = ["--attack", "cw", "--iterations", "100000", "--no-abort", "--save", "out.safetensors"];
        let arguments = ["attack", "--adapter", "cpu", "--model", "run"];
        let mut command = scratch.command(arguments.iter().chain(&long));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        signal(&child, name);
        assert_eq!(end_of(&mut child).code(), Some(code), "{name}");
        assert!(super::files(scratch.0.path()) == before, "{name} left files");
    }
}

#[test]
fn a_run_that_is_killed_without_warning_starts_again_from_what_it_had() {
    let scratch = Scratch::new();
    let mut child = endless(&scratch, "natural");
    child.kill().unwrap();
    child.wait().unwrap();
    // Killed before its first checkpoint, so from the beginning; every step is in the metrics once.
    scratch.succeed(["train", "--resume", "run", "--max-steps", "8"]);
    let metrics = fs::read_to_string(scratch.path("run/metrics.jsonl")).unwrap();
    let steps: Vec<u64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|record| record["kind"] == "step")
        .map(|record| record["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, (1..=8).collect::<Vec<_>>());
}

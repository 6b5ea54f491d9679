//! Ctrl-C: the run saves, says how to go on, and going on gives the bits of a run that was left alone.
#![cfg(unix)]

use super::{Scratch, assert_mentions, bits};
use pgn_wgpu::training::checkpoint::Checkpoint;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A run without an end.
fn endless(scratch: &Scratch, method: &str) -> Child {
    let more = ["--method", method, "--epochs", "100000", "--batch-size", "50", "--out", "run"];
    let mut command = scratch.command(super::TINY.iter().chain(&more));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = scratch.path("run/metrics.jsonl");
    let start = Instant::now();
    while fs::read_to_string(&metrics).unwrap_or_default().lines().count() < 5 {
        assert!(start.elapsed() < Duration::from_secs(60), "no steps after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn an_interrupted_run_exits_with_130_and_resumes_to_the_same_bits() {
    for method in ["natural", "pgn"] {
        let scratch = Scratch::new();
        let child = endless(&scratch, method);
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
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
fn a_run_that_is_asked_to_terminate_saves_too() {
    let scratch = Scratch::new();
    let child = endless(&scratch, "natural");
    signal(&child, "-TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    let saved = Checkpoint::load(&scratch.path("run/checkpoints/last.safetensors")).unwrap();
    let more = (saved.head.progress.step + 1).to_string();
    scratch.succeed(["train", "--resume", "run", "--max-steps", &more]);
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

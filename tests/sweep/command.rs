//! `pgn-wgpu sweep` as people run it, killed and in two processes at once.

use crate::program;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const SWEEP: &str = "method = \"natural\"\nwidth = 0.03125\nbatch-size = 100\nadapter = \"cpu\"\n";

fn sweep(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program::command(folder, ["sweep", "sweep.toml"]);
    command.args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The steps in the metrics of a run.
fn steps(folder: &Path, name: &str) -> Vec<u64> {
    let metrics = fs::read_to_string(folder.join("runs/sweep").join(name).join("metrics.jsonl"));
    let metrics = metrics.unwrap_or_default();
    let records = metrics.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    records.filter(|record| record["kind"] == "step").map(|record| record["step"].as_u64().unwrap()).collect()
}

#[test]
fn a_sweep_ends_with_a_table_and_says_what_is_done() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sweep.toml"), format!("{SWEEP}max-steps = 3\n[grid]\nseed = [1, 2]\n"))
        .unwrap();
    let before = text(&sweep(folder.path(), &["--dry-run"]).output().unwrap());
    assert!(before.starts_with("2 runs in ") && before.contains("seed2  to do"), "{before}");
    assert!(!folder.path().join("runs").exists(), "a dry run leaves nothing");

    let output = sweep(folder.path(), &[]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let rows: Vec<String> = text(&output)
        .lines()
        .filter(|l| l.starts_with("seed") && l.contains(" %  "))
        .map(String::from)
        .collect();
    assert!(
        rows.len() == 2 && rows.iter().all(|row| row.contains("  done  ") && row.ends_with(" s")),
        "{rows:?}"
    );
    let after = text(&sweep(folder.path(), &["--dry-run", "--shard", "1/2"]).output().unwrap());
    assert!(after.starts_with("1 runs in ") && after.contains("seed1   done"), "{after}");
}

#[test]
fn a_failed_run_makes_a_failed_sweep_and_the_rest_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let grids = "[[grid]]\nfrom = [\"absent.safetensors\"]\n[[grid]]\nseed = [1]\n";
    fs::write(folder.path().join("sweep.toml"), format!("{SWEEP}max-steps = 3\n{grids}")).unwrap();
    let output = sweep(folder.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("error: a run of the sweep failed"), "{errors}");
    let failed = format!(
        "failed   from-absent.safetensors: cannot read {}",
        folder.path().canonicalize().unwrap().join("absent.safetensors").display()
    );
    assert!(text(&output).contains(&failed), "{output:?}");
    assert_eq!(steps(folder.path(), "seed1"), [1, 2, 3]);
}

#[test]
fn a_killed_sweep_goes_on_without_training_again_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    // The first is over at once, the second never.
    let grids = "[[grid]]\nseed = [1]\nmax-steps = [3]\n[[grid]]\nseed = [2]\nepochs = [100000]\n";
    fs::write(folder.path().join("sweep.toml"), format!("{SWEEP}{grids}")).unwrap();
    let mut child = sweep(folder.path(), &[]).spawn().unwrap();
    let (first, second) = ("max-steps3-seed1", "epochs100000-seed2");
    let started = Instant::now();
    while steps(folder.path(), second).len() < 5 {
        assert!(started.elapsed() < Duration::from_secs(60), "no steps after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let model = folder.path().join("runs/sweep").join(first).join("model.safetensors");
    let written = fs::metadata(&model).unwrap().modified().unwrap();

    // Its lock is still there, but not its process.
    let output = sweep(folder.path(), &["--shard", "1/2"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output).contains("done before"), "{output:?}");
    assert_eq!(fs::metadata(&model).unwrap().modified().unwrap(), written);
    let dry = text(&sweep(folder.path(), &["--dry-run"]).output().unwrap());
    assert!(!dry.contains("being trained"), "{dry}");
}

#[test]
fn processes_that_work_at_the_same_sweep_train_every_run_once() {
    let folder = tempfile::tempdir().unwrap();
    let grid = "max-steps = 30\n[grid]\nseed = [0, 1, 2, 3, 4, 5]\n";
    fs::write(folder.path().join("sweep.toml"), format!("{SWEEP}{grid}")).unwrap();
    let children: Vec<_> = (0..2)
        .map(|_| sweep(folder.path(), &["--adapter", "cpu", "--adapter", "cpu"]).spawn().unwrap())
        .collect();
    let mut trained = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines: Vec<String> = text(&output)
            .lines()
            .filter(|line| line.contains(": begins, "))
            .map(|line| line.split(':').next().unwrap().to_string())
            .collect();
        trained.extend(lines);
    }
    let once: BTreeSet<&String> = trained.iter().collect();
    assert_eq!((trained.len(), once.len()), (6, 6), "{trained:?}");
    for name in once {
        assert_eq!(steps(folder.path(), name), (1..=30).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_saves_all_workers_runs() {
    let folder = tempfile::tempdir().unwrap();
    let grid = "epochs = 100000\n[grid]\nseed = [1, 2, 3]\n";
    fs::write(folder.path().join("sweep.toml"), format!("{SWEEP}{grid}")).unwrap();
    let child = sweep(folder.path(), &["--adapter", "cpu", "--adapter", "cpu"]).spawn().unwrap();
    let started = Instant::now();
    while ["seed1", "seed2"].iter().any(|name| steps(folder.path(), name).len() < 3) {
        assert!(started.elapsed() < Duration::from_secs(60), "no steps after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(text(&output).contains("everything is saved"), "{output:?}");
    let dry = text(&sweep(folder.path(), &["--dry-run"]).output().unwrap());
    assert_eq!(dry.matches("saved at step").count(), 2, "{dry}");
    assert!(dry.contains("to do"), "{dry}");
}

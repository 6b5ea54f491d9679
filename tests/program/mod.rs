//! What the tests of the command line share: the binary in a folder, its success and its refusal.
#![allow(dead_code, reason = "no test binary needs all of it")]

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

/// The program, to be run in `folder`.
pub fn command(folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgn-wgpu"));
    // What is measured of the kernels stays with the tests.
    command.env("PGN_WGPU_CACHE", env!("CARGO_TARGET_TMPDIR"));
    command.current_dir(folder).args(arguments);
    command
}

/// Everything it said, on both streams.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What it prints when it succeeds.
#[track_caller]
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one sentence with which it refuses.
#[track_caller]
pub fn refuse(folder: &Path, arguments: &[&str]) -> String {
    refusal(&command(folder, arguments).output().unwrap())
}

/// The sentence of a refusal: on one line, and without a panic.
#[track_caller]
pub fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    // Beside it there is room for what `auto` chose, and for clap's usage.
    errors[0].to_string()
}

#[track_caller]
pub fn assert_mentions(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// A note that a test could not do its work here.
pub fn skipped(reason: &str) {
    // Not eprintln!, which the test harness swallows when the test passes; one write, so that lines stay whole.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {reason}\n").as_bytes());
}

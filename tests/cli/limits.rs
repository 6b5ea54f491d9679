//! Little memory and few threads: a smaller batch, a note or a sentence, and never an abort.
#![cfg(target_os = "linux")]

use super::{Scratch, TINY, assert_mentions, program};
use std::process::{Command, Output};

/// The program under a limit of the shell, such as `-v 1000000` (KiB of address space).
fn under(scratch: &Scratch, limit: &str, arguments: &[&str]) -> Output {
    let plain = scratch.command(arguments);
    let mut command = Command::new("sh");
    // Every further thread may take 64 MiB of address space for malloc alone.
    command.env("RAYON_NUM_THREADS", "2").env("MALLOC_ARENA_MAX", "1").env("RUST_BACKTRACE", "0");
    command.current_dir(plain.get_current_dir().unwrap());
    command.args(["-c", &format!("ulimit {limit}; ulimit -c 0; exec \"$0\" \"$@\"")]);
    command.arg(plain.get_program()).args(plain.get_args());
    command.output().unwrap()
}

/// A batch whose step needs some 400 MiB at once.
const LARGE: [&str; 10] =
    ["--width", "0.5", "--batch-size", "1197", "--max-steps", "1", "--out", "run", "--method", "natural"];

#[test]
fn a_batch_that_memory_does_not_hold_is_split_or_refused_but_nothing_aborts() {
    let scratch = Scratch::new();
    let mut split = false;
    for mebibytes in [60, 100, 140, 200, 280] {
        let limit = format!("-v {}", mebibytes * 1024);
        let output = under(&scratch, &limit, &[&["train", "--adapter", "cpu"], &LARGE[..]].concat());
        let text = program::text(&output);
        match output.status.code() {
            Some(0) => split |= text.contains("micro") || !text.contains("batches of 1197"),
            Some(1) => assert_mentions(&program::refusal(&output), &["memory"]),
            _ => panic!("{mebibytes} MiB: {output:?}"),
        }
        let _ = std::fs::remove_dir_all(scratch.path("run"));
    }
    assert!(split, "no limit led to smaller batches");
}

#[test]
fn refused_threads_are_a_note_or_a_sentence() {
    let scratch = Scratch::new();
    let arguments = [&TINY[..], &["--max-steps", "1"]].concat();
    // Stacks larger than the address space: the system refuses every thread.
    let plain = scratch.command(&arguments);
    let mut command = Command::new("sh");
    command.env("RUST_MIN_STACK", "4000000000").env("RUST_BACKTRACE", "0");
    command.current_dir(plain.get_current_dir().unwrap());
    command.args(["-c", "ulimit -v 2000000; ulimit -c 0; exec \"$0\" \"$@\""]);
    command.arg(plain.get_program()).args(plain.get_args());
    let output = command.output().unwrap();
    let text = program::text(&output);
    assert_mentions(&text, &["note: the system does not start", "1 compute"]);
    assert!(matches!(output.status.code(), Some(0 | 1)) && !text.contains("panicked"), "{output:?}");
}

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

/// A batch whose step needs some 52 MiB at once, beside some 60 that the program itself takes.
const LARGE: [&str; 11] = [
    "train",
    "--adapter",
    "cpu",
    "--width",
    "0.5",
    "--batch-size",
    "1197",
    "--max-steps",
    "1",
    "--out",
    "run",
];

/// MiB that a step is planned to need, as the program prints it.
fn planned(text: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with("memory")).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_batch_that_memory_does_not_hold_is_split_or_refused_but_nothing_aborts() {
    let scratch = Scratch::new();
    let arguments = [&LARGE[..], &["--method", "natural"]].concat();
    let whole = planned(&scratch.succeed(&arguments));
    let mut split = 0;
    // From too little for anything to enough for all of it.
    for mebibytes in [50, 60, 70, 80, 90, 100, 120, 400] {
        std::fs::remove_dir_all(scratch.path("run")).unwrap();
        std::fs::create_dir(scratch.path("run")).unwrap();
        let output = under(&scratch, &format!("-v {}", mebibytes * 1024), &arguments);
        match output.status.code() {
            Some(0) => split += usize::from(planned(&program::text(&output)) < whole),
            Some(1) => assert_mentions(&program::refusal(&output), &["memory"]),
            _ => panic!("{mebibytes} MiB: {output:?}"),
        }
    }
    assert!(split > 0, "no limit led to smaller batches");
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

//! Runs killed at every n-th system call that touches their folder, and runs whose n-th call fails, through strace.
//!
//! A killed run continues to the end of one left alone. A failed call ends a run with one sentence, or has no
//! consequence for the run at all; either way it too can be continued to that end.

use super::child::{PROGRAM, Running, at_home};
use super::runs::{Fixture, LONG, RUN, complete, in_parallel, train_whole};
use super::tally::{Report, Try, Verdict};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Calls that change files, and those with which files are found.
const TRACED: &str = "openat,mkdir,mkdirat,write,pwrite64,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,flock";

/// The n-th call of its name in the main thread.
struct Call {
    name: String,
    number: usize,
    /// What it was called with, for messages and for choosing an error.
    text: String,
}

impl Call {
    /// An error that this call may meet in practice.
    fn error(&self) -> Option<&'static str> {
        match self.name.as_str() {
            "write" | "pwrite64" | "ftruncate" | "mkdir" | "mkdirat" => Some("ENOSPC"),
            "openat" if self.text.contains("O_CREAT") => Some("ENOSPC"),
            "fsync" | "fdatasync" | "rename" | "renameat" | "renameat2" => Some("EIO"),
            _ => None,
        }
    }
}

pub fn run(fixture: &Fixture, report: &mut Report) {
    let folder = fixture.folder();
    let ended = traced(&folder, &[]).wait(LONG);
    let log = fs::read_to_string(folder.join("trace")).unwrap_or_default();
    let calls = parse(&log);
    if calls.is_empty() {
        let why = format!("there is no strace that can follow a process here ({})", ended.brief());
        report.skip("calls", &why);
        return;
    }
    fixture.done_with(&folder);
    let all: Vec<&Call> = calls.iter().collect();
    report.add("calls/kill", tries(fixture, "calls/kill", &all, "signal=KILL"));
    for error in ["ENOSPC", "EIO"] {
        let failing: Vec<&Call> = calls.iter().filter(|call| call.error() == Some(error)).collect();
        let group = format!("calls/{error}");
        report.add(&group, tries(fixture, &group, &failing, &format!("error={error}")));
    }
}

fn traced(folder: &Path, more: &[String]) -> Running {
    let mut command = Command::new("strace");
    let trace = format!("trace={TRACED}");
    // Without --seccomp-bpf, with which strace 6.1 sends no signals.
    command.args(["-f", "-qq", "-y", "-s", "0", "-o", "trace", "-e", &trace]).args(more);
    command.arg(PROGRAM).args(train_whole());
    at_home(&mut command, folder);
    // Where there is none, its absence is told by the missing log.
    if Command::new("strace").arg("-V").output().is_err() {
        return Running::start(Command::new("true"), folder, "traced");
    }
    Running::start(command, folder, "traced")
}

/// The main thread's calls that touch the run folder.
fn parse(log: &str) -> Vec<Call> {
    let Some(main) = log.split_whitespace().next() else { return Vec::new() };
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut calls = Vec::new();
    let inside = [format!("/{RUN}/"), format!("\"{RUN}/"), format!("/{RUN}>"), format!("\"{RUN}\"")];
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, text)) = call.trim_start().split_once('(') else { continue };
        // The second half of a call that another thread interrupted begins with <.
        if thread != main || name.starts_with('<') {
            continue;
        }
        let number = counts.entry(name).or_default();
        *number += 1;
        if inside.iter().any(|mark| text.contains(mark)) {
            calls.push(Call { name: name.to_string(), number: *number, text: text.to_string() });
        }
    }
    calls
}

/// As many of the calls as are asked for, spread over all.
fn tries(fixture: &Fixture, group: &str, calls: &[&Call], fault: &str) -> Vec<Try> {
    let stride = calls.len().div_ceil(fixture.settings.calls.max(1)).max(1);
    let name = |call: &Call| format!("{group}/{}-{}", call.name, call.number);
    let chosen: Vec<&Call> =
        calls.iter().step_by(stride).copied().filter(|call| fixture.settings.wants(&name(call))).collect();
    in_parallel(fixture.settings.jobs, &chosen, |call| {
        let folder = fixture.folder();
        let inject = format!("inject={}:{fault}:when={}", call.name, call.number);
        let ended = traced(&folder, &["-e".to_string(), inject]).wait(LONG);
        let killed = fault.starts_with("signal");
        let verdict = match (ended.broke(), complete(fixture, &folder)) {
            (None, _) if killed => Verdict::Wrong(format!("the call did not come ({})", call.text)),
            (Some(how), _) if !killed => Verdict::Broke(format!("{how} ({})", call.text)),
            (_, Err(problem)) => Verdict::Wrong(format!("{problem} ({})", call.text)),
            (_, Ok(_)) if killed || ended.succeeded() || ended.sentence().is_some() => Verdict::Expected,
            (_, Ok(_)) => Verdict::Wrong(format!("{} ({})", ended.brief(), call.text)),
        };
        fixture.done_with(&folder);
        // The peak would be strace's.
        Try { name: name(call), verdict, peak: 0 }
    })
}

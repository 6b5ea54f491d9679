//! The command line in an interpreter.

use pyo3::prelude::*;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command line `line`, whose first entry is the program's name, and ends the process with its exit code.
/// `itself` starts the same program again, without arguments.
///
/// The interpreter does not come back: it would turn a Ctrl-C that the command has dealt with into a second end.
#[pyfunction]
pub fn command(py: Python<'_>, itself: Vec<OsString>, line: Vec<OsString>) {
    let code = py.detach(|| number(pgn_wgpu::command_line::run(itself, line)));
    std::process::exit(i32::from(code));
}

/// The standard library does not tell the number of an exit code, but compares two.
fn number(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|&number| ExitCode::from(number) == code).unwrap_or(1)
}

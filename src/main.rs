//! The program `pgn-wgpu`: the command line of the library, in a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let itself = std::env::current_exe().into_iter().map(Into::into).collect();
    pgn_wgpu::command_line::run(itself, std::env::args_os().collect())
}

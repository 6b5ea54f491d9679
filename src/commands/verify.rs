//! `pgn-wgpu verify`: whether runs and files are as they were written.

use super::{CommandResult, fail};
use pgn_wgpu::verify::{State, verify};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// Run folders, folders of runs, or files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let (mut files, mut damaged, mut unverified) = (0, 0, 0);
    for path in &arguments.paths {
        if !path.exists() {
            return fail(format!("{} does not exist; check the path", path.display()));
        }
        let all = verify(path);
        if all.is_empty() {
            return fail(format!("{} has no file of a run; name a run folder or a file", path.display()));
        }
        for checked in all {
            files += 1;
            let path = checked.path.display();
            match checked.state {
                State::Whole => println!("whole       {path}"),
                State::Unverified(reason) => {
                    unverified += 1;
                    println!("unverified  {path}: {reason}");
                }
                State::Damaged(reason) => {
                    damaged += 1;
                    println!("DAMAGED     {path}: {reason}");
                }
            }
        }
    }
    println!(
        "\n{files} files: {} whole, {unverified} unverified, {damaged} damaged",
        files - unverified - damaged
    );
    Ok(if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

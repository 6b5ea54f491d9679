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
    let (mut files, mut unverified, mut damaged) = (0, 0, Vec::new());
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
                    println!("DAMAGED     {path}: {reason}");
                    damaged.push(path.to_string());
                }
            }
        }
    }
    let whole = files - unverified - damaged.len();
    println!("\n{files} files: {whole} whole, {unverified} unverified, {} damaged", damaged.len());
    match damaged.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        [one] => fail(format!("{one} is damaged or of another run; use another copy of it")),
        [first, ..] => fail(format!(
            "{} of {files} files are damaged or of another run, {first} is the first",
            damaged.len()
        )),
    }
}

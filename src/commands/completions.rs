//! `pgn-wgpu completions` and `pgn-wgpu man`: what shells and `man` want to know about the command line, made from its own
//! description.

use super::{CommandResult, fail};
use clap_complete::Shell;
use clap_mangen::Man;
use pgn_wgpu::files;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The shell; the script goes to the standard output
    shell: Shell,
}

#[derive(clap::Args)]
pub struct ManArguments {
    /// Write a page for each command into this folder [default: the main page to the standard output]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, mut program: clap::Command) {
    let name = program.get_name().to_string();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, name, &mut script);
    print!("{}", String::from_utf8_lossy(&script));
}

pub fn man(arguments: &ManArguments, mut program: clap::Command) -> CommandResult {
    let Some(folder) = &arguments.out else {
        print!("{}", String::from_utf8_lossy(&page(program)?));
        return Ok(ExitCode::SUCCESS);
    };
    // Names such as pgn-wgpu-train, and the flags of every command, on the pages of the commands.
    program.build();
    files::create_folder(folder)?;
    write(folder, "pgn-wgpu", program.clone())?;
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        let Some(name) = command.get_display_name() else { return fail("a command has no name") };
        write(folder, name, command.clone())?;
    }
    println!("written  {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, name: &str, command: clap::Command) -> Result<(), Box<dyn std::error::Error>> {
    files::write(&folder.join(format!("{name}.1")), &page(command)?)?;
    Ok(())
}

fn page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    page.flush()?;
    Ok(page)
}

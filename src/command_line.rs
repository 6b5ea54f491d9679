//! The command line: types and dispatch only. Every subcommand is one file under `commands/`.
//!
//! It is part of the library, so that a program in another language has the commands, and their options with all checks,
//! without a second binary: [`run`] is the whole program, and [`options`] reads the options of a command by name.

pub(crate) mod names;
pub mod options;
pub(crate) mod settings;

use crate::commands;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Trains image classifiers against a perturbation generator network, and measures how far they withstand
/// adversarial attacks, on any GPU and without one.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Say nothing but results, warnings about them, and errors: no progress and no notes
    #[arg(short, long, global = true, action = ArgAction::SetTrue, conflicts_with = "verbose")]
    quiet: bool,
    /// Also say how long opening the device and the whole command took, and which forms of kernels a run begins with
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    verbose: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Train a classifier; without arguments: against a generator, on the embedded digits
    Train(Box<commands::train::Arguments>),
    /// Attack a model and look at what comes out
    Attack(Box<commands::attack::Arguments>),
    /// Show what a model answers to images, and save its logits
    Predict(commands::predict::Arguments),
    /// Write a model for other programs: ONNX, PyTorch's names with a small module, or a page for browsers
    Export(commands::export::Arguments),
    /// Measure how far runs withstand attacks: the rows of the paper's tables, with intervals and warnings
    Evaluate(Box<commands::evaluate::Arguments>),
    /// Judge a model by strong attacks: robust accuracy within a radius, as AutoAttack measures it
    Verdict(Box<commands::verdict::Arguments>),
    /// Write a page about runs: curves, evaluations, images and every setting
    Report(commands::report::Arguments),
    /// Train a generator against a frozen classifier, to attack it with
    TrainGenerator(Box<commands::train_generator::Arguments>),
    /// Train every combination of a file's values, each as a run of its own, on one or several adapters
    Sweep(commands::sweep::Arguments),
    /// Repeat the paper's experiments, from training to report
    Reproduce(commands::reproduce::Arguments),
    /// Check that runs and files are as they were written
    Verify(commands::verify::Arguments),
    /// List the adapters that can compute
    Adapters(commands::adapters::Arguments),
    /// Print a model's layers, parameters, multiply-adds and memory
    Summary(commands::summary::Arguments),
    /// Compare every kernel with the CPU reference on real training steps
    Validate(commands::validate::Arguments),
    /// Measure the adapter, its kernels and training steps
    Bench(commands::bench::Arguments),
    /// Print a script with which a shell completes commands and flags
    Completions(commands::completions::Arguments),
    /// Print or write the manual pages
    Man(commands::completions::ManArguments),
}

/// The command line's description, from which it is read, completed and documented.
pub(crate) fn program() -> clap::Command {
    Cli::command()
        .mut_subcommand("train-generator", commands::effects::without_those_of_a_classifier)
        // It is refused there, with the reason.
        .mut_subcommand("evaluate", |command| command.mut_arg("target", |argument| argument.hide(true)))
}

/// Reads a command line, does what it says, and returns the exit code of the process; mistakes in the line and help end the
/// process themselves. `itself` is what starts this program again without arguments, for commands that measure in processes
/// of their own: the file of the binary, or an interpreter and a module.
///
/// It hears signals and sets what is said beside results for the whole process, so it is called once.
pub fn run(itself: Vec<OsString>, line: Vec<OsString>) -> ExitCode {
    commands::end_with_the_output();
    commands::started_as(itself, &line);
    run_line(line).unwrap_or_else(|error| {
        commands::output::print_error(format_args!("error: {}\n", settings::with_flags(&error.to_string())));
        ExitCode::FAILURE
    })
}

fn run_line(line: Vec<OsString>) -> commands::CommandResult {
    let program = program();
    let matches = program.clone().get_matches_from(line);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    matches.subcommand_name().and_then(|name| program.find_subcommand(name)).map(settings::runs);
    commands::effects::check(&program, &matches)?;
    let timer = commands::loudness::begin(cli.quiet, cli.verbose);
    // Before any other thread is started, because it leaves room for those that follow.
    if let Some(note) = crate::cpu::threads::start() {
        commands::loudness::note(&format!("note: {note}"));
    }
    if let Err(error) = commands::signals::install() {
        let note = format!("signals are not heard ({error}), so Ctrl-C ends the program without saving");
        commands::loudness::note(&format!("note: {note}"));
    }
    let code = dispatch(cli.command, program);
    timer.say("the whole command");
    code
}

pub(crate) fn dispatch(command: Command, program: clap::Command) -> commands::CommandResult {
    match command {
        Command::Train(arguments) => commands::train::run(*arguments),
        Command::Attack(arguments) => commands::attack::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Predict(arguments) => commands::predict::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Verdict(arguments) => commands::verdict::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::TrainGenerator(arguments) => commands::train_generator::run(*arguments),
        Command::Sweep(arguments) => commands::sweep::run(arguments),
        Command::Reproduce(arguments) => commands::reproduce::run(&arguments),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Adapters(arguments) => commands::adapters::run(&arguments),
        Command::Summary(arguments) => commands::summary::run(&arguments),
        Command::Validate(arguments) => commands::validate::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::Completions(arguments) => {
            commands::completions::run(&arguments, program);
            Ok(ExitCode::SUCCESS)
        }
        Command::Man(arguments) => commands::completions::man(&arguments, program),
    }
}

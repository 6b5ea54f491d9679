//! The command line: types and dispatch only. Every subcommand is one file under `commands/`.

mod commands;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Trains image classifiers against a perturbation generator network, and measures how far they withstand
/// adversarial attacks, on any GPU and without one.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a classifier; without arguments: against a generator, on the embedded digits
    Train(Box<commands::train::Arguments>),
    /// Attack a model and look at what comes out
    Attack(Box<commands::attack::Arguments>),
    /// Measure how far runs withstand attacks: the rows of the paper's tables, with intervals and warnings
    Evaluate(Box<commands::evaluate::Arguments>),
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
}

fn main() -> ExitCode {
    commands::end_with_the_output();
    let command = Cli::parse().command;
    if let Some(note) = pgn_wgpu::cpu::threads::start() {
        eprintln!("note: {note}");
    }
    let result = match command {
        Command::Train(arguments) => commands::train::run(*arguments),
        Command::Attack(arguments) => commands::attack::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::TrainGenerator(arguments) => commands::train_generator::run(*arguments),
        Command::Sweep(arguments) => commands::sweep::run(arguments),
        Command::Reproduce(arguments) => commands::reproduce::run(&arguments),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Adapters(arguments) => commands::adapters::run(&arguments),
        Command::Summary(arguments) => commands::summary::run(&arguments),
        Command::Validate(arguments) => commands::validate::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

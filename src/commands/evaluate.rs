//! `pgn-wgpu evaluate`: the rows of the paper's tables for each run, with intervals and warnings, as a table, JSON and
//! CSV. What an interrupted evaluation had finished is not computed again.

use super::attack_flags::AttackFlags;
use super::progress::Progress;
use super::{CommandResult, DeviceArguments, duration, fail, table};
use pgn_wgpu::attacks::{AttackKind, Norm};
use pgn_wgpu::evaluation::doubts::doubts;
use pgn_wgpu::evaluation::measures::measures;
use pgn_wgpu::evaluation::report::{Report, RunReport, published};
use pgn_wgpu::evaluation::suite::{Findings, Source};
use pgn_wgpu::evaluation::{EvaluationError, Event, ImageChoice, Paper, Place, Subject, Suite};
use pgn_wgpu::files;
use pgn_wgpu::report::runs::evaluated;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// Run folders or model files of one data set
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Try images made on this naive run or model, too (black box)
    #[arg(long, value_name = "RUN")]
    source: Option<PathBuf>,
    /// Try images made on another run of the same defense, too; one for each RUN, in their order
    #[arg(long, value_name = "RUN")]
    twin: Vec<PathBuf>,
    /// The attacks
    #[arg(long, value_delimiter = ',', default_value = "fgm,mim,deepfool,cw")]
    attack: Vec<AttackKind>,
    /// Radius of fgm, pgd and mim and of the worst case, pixels being in [0, 1]
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true)]
    epsilon: f32,
    /// Show the paper's numbers beside
    #[arg(long)]
    paper: Option<Paper>,
    #[command(flatten)]
    flags: AttackFlags,
    #[command(flatten)]
    images: ImageChoice,
    #[command(flatten)]
    device: DeviceArguments,
    /// Folder for evaluation.json and evaluation.csv [default: the first run's]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    if arguments.flags.norm() == Some(Norm::Linf) {
        return fail("an evaluation measures in L2; use `pgn-wgpu attack` for --norm linf");
    }
    let places = find(&arguments.runs)?;
    let out = arguments.out.clone().unwrap_or_else(|| places[0].home.clone());
    let outputs = ["evaluation.json", "evaluation.csv"].map(|name| out.join(name));
    for path in &outputs {
        super::check_overwriting(path, arguments.force)?;
    }
    let sources = sources(arguments)?;
    let runs: Vec<Subject> =
        places.into_iter().map(|place| place.open(&arguments.images)).collect::<Result<_, _>>()?;
    let device = arguments.device.open()?;
    let attacks = arguments.flags.attacks(&arguments.attack, &[arguments.epsilon]);
    let suite = Suite { device, attacks, epsilon: arguments.epsilon };
    let mut progress = Progress::new();
    let findings = suite.run(&runs, &sources, &mut |event| match event {
        Event::Known(label) => progress.line(&format!("{label}: known from before")),
        Event::Progress(label, done, total) => progress.show(label, done, total),
        Event::Finished(label, seconds) => progress.line(&format!("{label}: {}", duration(seconds))),
    });
    progress.finish();
    let report = report(arguments, &suite, &runs, &findings?);
    println!("{}", table(&report.rows()));
    println!("{}", report.legend());
    for run in &report.runs {
        for warning in &run.warnings {
            println!("\nwarning: {}: {}; {}", run.name, warning.figure, warning.explanation);
        }
    }
    files::create_folder(&out)?;
    let [json, csv] = outputs;
    files::write(&json, report.json().as_bytes())?;
    files::write(&csv, report.csv().as_bytes())?;
    // A report about any of the runs finds it.
    runs.iter().try_for_each(|run| evaluated::keep(&report, run))?;
    println!("\nwritten  {}\nwritten  {}", json.display(), csv.display());
    Ok(ExitCode::SUCCESS)
}

/// Finds all runs; those that would have the same name in the table get their paths.
fn find(paths: &[PathBuf]) -> Result<Vec<Place>, EvaluationError> {
    let mut places: Vec<Place> = paths.iter().map(|path| Place::find(path)).collect::<Result<_, _>>()?;
    let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    for (place, path) in places.iter_mut().zip(paths) {
        if names.iter().filter(|name| **name == place.name).count() > 1 {
            place.name = path.display().to_string();
        }
    }
    Ok(places)
}

fn sources(arguments: &Arguments) -> Result<Vec<Source>, Box<dyn std::error::Error>> {
    let (runs, twins) = (arguments.runs.len(), arguments.twin.len());
    if twins != 0 && twins != runs {
        return fail(format!(
            "--twin is given {twins} times for {runs} runs; give one for each run, in their order"
        ));
    }
    let mut sources = Vec::new();
    if let Some(path) = &arguments.source {
        sources.push(Source { flag: "source", place: Place::find(path)?, runs: (0..runs).collect() });
    }
    for (run, path) in arguments.twin.iter().enumerate() {
        sources.push(Source { flag: "twin", place: Place::find(path)?, runs: vec![run] });
    }
    Ok(sources)
}

fn report(arguments: &Arguments, suite: &Suite, runs: &[Subject], findings: &[Findings]) -> Report {
    let (epsilon, seed) = (arguments.epsilon, arguments.flags.seed);
    let reports = runs.iter().zip(findings).map(|(run, findings)| RunReport {
        name: run.place.name.clone(),
        model: run.place.file.display().to_string(),
        method: run.model.facts.method.clone(),
        measures: measures(run, findings, epsilon, seed),
        warnings: doubts(findings, epsilon, run.model.facts.problem.classes),
    });
    Report {
        version: env!("CARGO_PKG_VERSION").to_string(),
        device: suite.device.describe(),
        data_set: runs[0].data_set.clone(),
        split: arguments.images.split.name().to_string(),
        images: runs[0].images.len(),
        epsilon,
        attacks: suite.attacks.clone(),
        runs: reports.collect(),
        published: published(arguments.paper),
    }
}

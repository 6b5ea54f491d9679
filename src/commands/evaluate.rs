//! `pgn-wgpu evaluate`: for each run benign accuracy, a quick verdict and the median of the smallest perturbations, and below
//! them the rows of the paper's tables, with intervals and warnings, as a table, JSON and CSV. What an interrupted evaluation
//! had finished is not computed again.

use super::attack_flags::AttackFlags;
use super::progress::Progress;
use super::{CommandResult, DeviceArguments, fail, table, warned};
use crate::command_line::names::attacks as attack_names;
use pgn_wgpu::attacks::options::BATCH_SIZE;
use pgn_wgpu::attacks::{AttackKind, AttackOptions, Norm, length};
use pgn_wgpu::data::corruptions::Corruptions;
use pgn_wgpu::evaluation::corruptions::{self, Corrupted, wrote_csv};
use pgn_wgpu::evaluation::doubts::doubts;
use pgn_wgpu::evaluation::measures::{Measure, WORST_CASE, first, measures};
use pgn_wgpu::evaluation::record::{LARGEST_RECORD, fingerprint_of_classifier, fingerprint_of_images};
use pgn_wgpu::evaluation::report::{Report, RunReport, published};
use pgn_wgpu::evaluation::suite::{Findings, Source};
use pgn_wgpu::evaluation::warnings::{Pair, verdict_above_worst_case};
use pgn_wgpu::evaluation::{EvaluationError, ImageChoice, Paper, Place, Subject, Suite, Warning};
use pgn_wgpu::executor::Device;
use pgn_wgpu::files;
use pgn_wgpu::models::pixels::PixelChoice;
use pgn_wgpu::program::precision::Precision;
use pgn_wgpu::report::runs::evaluated;
use pgn_wgpu::threat::Radius;
use pgn_wgpu::verdict::piece::Pieces;
use pgn_wgpu::verdict::{self, Quick as Judged, VerdictError};
use std::path::{Path, PathBuf};
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
    #[arg(long, value_delimiter = ',', value_parser = attack_names(), help = usual_attacks())]
    attack: Vec<AttackKind>,
    /// Radius of the attacks that keep to one and of the worst case, pixels being in [0, 1]: a number or a fraction such as 8/255
    /// [default: 0.5 in l2, 8/255 in linf]
    #[arg(long, allow_negative_numbers = true, value_parser = length::parse)]
    epsilon: Option<f32>,
    /// Leave out the quick verdict
    #[arg(long)]
    no_verdict: bool,
    /// Try corrupted images, too: a folder of arrays as CIFAR-10-C has them, with labels.npy; corruptions.csv then has the
    /// accuracies
    #[arg(long, value_name = "DIR")]
    corruptions: Option<PathBuf>,
    /// Show the paper's numbers beside
    #[arg(long)]
    paper: Option<Paper>,
    #[command(flatten)]
    flags: AttackFlags,
    #[command(flatten)]
    images: ImageChoice,
    #[command(flatten)]
    pixels: PixelChoice,
    #[command(flatten)]
    device: DeviceArguments,
    /// Folder for evaluation.json and evaluation.csv, which replace those of an earlier evaluation [default: the first
    /// run's]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite files of these names that are no evaluation
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let places = of_others(find(&arguments.runs)?, &arguments.pixels)?;
    let out = arguments.out.clone().unwrap_or_else(|| places[0].home.clone());
    let outputs = ["evaluation.json", "evaluation.csv"].map(|name| out.join(name));
    check_output(&outputs[0], Report::wrote_json, arguments.force)?;
    check_output(&outputs[1], Report::wrote_csv, arguments.force)?;
    let corruptions = out.join("corruptions.csv");
    if arguments.corruptions.is_some() {
        check_output(&corruptions, wrote_csv, arguments.force)?;
    }
    let sources = sources(arguments)?;
    let runs: Vec<Subject> =
        places.into_iter().map(|place| place.open(&arguments.images)).collect::<Result<_, _>>()?;
    for run in &runs {
        super::print_notes(&run.notes);
    }
    let norm = arguments.flags.norm().unwrap_or(Norm::L2);
    let radius = Radius { norm, epsilon: arguments.epsilon.unwrap_or(norm.usual_epsilon()) };
    let problem = runs[0].model.facts.problem;
    // The worst case is judged within this radius, so it is checked even if no attack reads it.
    AttackOptions { epsilon: radius.epsilon, norm, ..AttackOptions::new(AttackKind::PGD) }.check(problem)?;
    let device = arguments.device.open()?;
    let attacks = arguments.flags.attacks(&attacks(arguments, norm), &[radius.epsilon]);
    let suite = Suite { device, attacks, radius };
    let mut progress = Progress::new();
    let set = arguments.corruptions.as_ref().map(|folder| corruptions::open(folder, problem)).transpose()?;
    let findings = suite.run(&runs, &sources, &mut |event| progress.tell(&event));
    progress.finish();
    let findings = findings?;
    let verdicts = verdicts(arguments, &suite, &runs, &mut progress)?;
    let corrupted = corrupted(arguments, &suite.device, set.as_ref(), &runs)?;
    let report = report(arguments, &suite, &runs, &findings, (&verdicts, corrupted));
    let mut outputs = outputs.to_vec();
    outputs.extend(arguments.corruptions.is_some().then_some(corruptions));
    // If a file cannot be written, the result is still shown.
    let written = write(&report, &runs, &out, &outputs);
    show(&report);
    written?;
    println!();
    for path in outputs {
        println!("written  {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the files: JSON, CSV and, where they were asked for, the corrupted images' accuracies.
fn write(
    report: &Report,
    runs: &[Subject],
    out: &Path,
    outputs: &[PathBuf],
) -> Result<(), Box<dyn std::error::Error>> {
    files::create_folder(out)?;
    let corrupted = corruptions::csv(report.corrupted());
    let contents = [report.json(), report.csv().into_bytes(), corrupted.into_bytes()];
    for (path, content) in outputs.iter().zip(&contents) {
        files::write(path, content)?;
    }
    // A report about any of the runs finds it.
    runs.iter().try_for_each(|run| evaluated::keep(report, run))?;
    Ok(())
}

/// Prints the tables with what they mean, and the reasons to doubt them.
fn show(report: &Report) {
    let [first, rest] = report.rows();
    println!("{}\n{}", table(&first), table(&rest));
    println!("{}", report.legend());
    if report.precision == Precision::Mixed {
        println!("measured on {}", report.device);
    }
    for run in &report.runs {
        for warning in &run.warnings {
            println!("\nwarning: {}: {}", run.name, warned(warning));
        }
    }
    for (name, _, corrupted) in report.corrupted() {
        println!("\n{}", table(&corrupted.rows(name)));
    }
}

/// The quick verdict on a run's images, from the pieces that `verdict` keeps, where they are there.
fn verdict(suite: &Suite, run: &Subject, progress: &mut Progress) -> Result<Judged, VerdictError> {
    let batch = suite.attacks.first().map_or(BATCH_SIZE, |options| options.batch_size);
    let pieces = Pieces::of_verdict(&run.place.home.join(verdict::report::FOLDER));
    verdict::quick(&suite.device, run, (suite.radius, batch), &pieces, &mut |event| progress.tell(&event))
}

/// The attacks asked for, or the usual ones that know the norm.
fn attacks(arguments: &Arguments, norm: Norm) -> Vec<AttackKind> {
    if !arguments.attack.is_empty() {
        return arguments.attack.clone();
    }
    if norm == Norm::Linf {
        let left_out = AttackKind::usual(Norm::L2).into_iter().filter(|kind| !kind.knows(norm));
        let names: Vec<&str> = left_out.map(AttackKind::name).collect();
        let names = names.join(" and ");
        let note = format!("{names} measure in L2 alone and are left out, so there are no distances");
        super::print_notes(&[note]);
    }
    AttackKind::usual(norm)
}

/// Help that names the attacks that are run where none is named.
fn usual_attacks() -> String {
    let usual = Norm::ALL.map(|norm| {
        let names: Vec<&str> = AttackKind::usual(norm).into_iter().map(AttackKind::name).collect();
        format!("{} in {}", names.join(","), norm.flag())
    });
    format!("The attacks [default: {}]", usual.join("; "))
}

/// An earlier evaluation may be replaced: it follows from the records, which stay. Other files of these names are kept.
fn check_output(
    path: &Path,
    wrote: fn(&[u8]) -> bool,
    force: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    if path.exists() && !force && !wrote(&files::read_at_most(path, LARGEST_RECORD)?) {
        return fail(format!(
            "{} exists and is no evaluation that this version can read; choose another place with `out`, or overwrite it \
             with `force`",
            path.display()
        ));
    }
    Ok(())
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

/// The places with what `pixels` asks for in front of the models of other programs, which lie in no run folder.
fn of_others(places: Vec<Place>, pixels: &PixelChoice) -> Result<Vec<Place>, Box<dyn std::error::Error>> {
    if pixels.is_given() && places.iter().all(|place| place.run_folder().is_some()) {
        return fail(
            "`normalise`, `mean`, `std` and `scale` are for model files of other programs, and all of these are runs; leave \
             them out",
        );
    }
    Ok(places.into_iter().map(|place| normalised(place, pixels)).collect())
}

fn normalised(place: Place, pixels: &PixelChoice) -> Place {
    match place.run_folder() {
        Some(_) => place,
        None => place.with_pixels(pixels),
    }
}

fn sources(arguments: &Arguments) -> Result<Vec<Source>, Box<dyn std::error::Error>> {
    let (runs, twins) = (arguments.runs.len(), arguments.twin.len());
    if twins != 0 && twins != runs {
        return fail(format!(
            "`twin` is given {twins} times for {runs} runs; give one for each run, in their order"
        ));
    }
    let mut sources = Vec::new();
    if let Some(path) = &arguments.source {
        sources.push(Source {
            flag: "source",
            place: normalised(Place::find(path)?, &arguments.pixels),
            runs: (0..runs).collect(),
        });
    }
    for (run, path) in arguments.twin.iter().enumerate() {
        sources.push(Source {
            flag: "twin",
            place: normalised(Place::find(path)?, &arguments.pixels),
            runs: vec![run],
        });
    }
    Ok(sources)
}

/// The quick verdict on every run, unless it is left out or there is no radius.
fn verdicts(
    arguments: &Arguments,
    suite: &Suite,
    runs: &[Subject],
    progress: &mut Progress,
) -> Result<Vec<Option<Judged>>, VerdictError> {
    let mut verdicts = Vec::new();
    for run in runs {
        let judged = match !arguments.no_verdict && suite.radius.epsilon > 0.0 {
            true => verdict(suite, run, progress).map(Some),
            false => Ok(None),
        };
        progress.finish();
        verdicts.push(judged?);
    }
    Ok(verdicts)
}

/// What every run answers to corrupted images, if there are any.
fn corrupted(
    arguments: &Arguments,
    device: &Device,
    set: Option<&Corruptions>,
    runs: &[Subject],
) -> Result<Vec<Option<Corrupted>>, EvaluationError> {
    let Some(set) = set else { return Ok(vec![None; runs.len()]) };
    let mut progress = Progress::new();
    let found = corruptions::evaluate(device, set, runs, &arguments.images, &mut |label, done, all| {
        progress.show(label, done, all);
    });
    progress.finish();
    Ok(found?.into_iter().map(Some).collect())
}

/// `warnings`, one if the verdict leaves more than all attacks beside it, and the verdict's own, each once.
fn with_those_of(verdict: &Judged, measures: &[Measure], mut warnings: Vec<Warning>) -> Vec<Warning> {
    let worst = measures.iter().find(|measure| measure.key == WORST_CASE);
    let worst = worst.and_then(|worst| Some((worst.value?, worst.images?)));
    warnings.extend(worst.and_then(|(weaker, images)| {
        verdict_above_worst_case(Pair { weaker, stronger: verdict.robust_accuracy.value, images })
    }));
    for warning in &verdict.warnings {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
    warnings
}

fn report(
    arguments: &Arguments,
    suite: &Suite,
    runs: &[Subject],
    findings: &[Findings],
    (verdicts, corrupted): (&[Option<Judged>], Vec<Option<Corrupted>>),
) -> Report {
    let (radius, seed) = (suite.radius, arguments.flags.seed());
    let all = runs.iter().zip(findings).zip(verdicts).zip(corrupted);
    let reports = all.map(|(((run, findings), verdict), corrupted)| {
        let mut measures = measures(run, findings, radius, seed);
        let first = first(findings, radius, seed, verdict.as_ref().map(|verdict| verdict.robust_accuracy));
        // After benign accuracy.
        let second = measures.len().min(1);
        measures.splice(second..second, first);
        measures.extend(corrupted.as_ref().map(Corrupted::measure));
        let of_findings = doubts(findings, radius, run.model.facts.problem.classes);
        let warnings = match verdict {
            Some(verdict) => with_those_of(verdict, &measures, of_findings),
            None => of_findings,
        };
        RunReport {
            name: run.place.name.clone(),
            model: run.place.file.display().to_string(),
            run: run.model.facts.run.clone(),
            classifier: fingerprint_of_classifier(&run.model),
            method: run.model.facts.method.clone(),
            measures,
            warnings,
            corrupted,
        }
    });
    Report {
        version: env!("CARGO_PKG_VERSION").to_string(),
        device: suite.device.describe(),
        precision: suite.device.precision(),
        data_set: runs[0].data_set.clone(),
        split: arguments.images.split.name().to_string(),
        images: runs[0].images.len(),
        fingerprint: fingerprint_of_images(&runs[0].images),
        epsilon: radius.epsilon,
        norm: radius.norm,
        attacks: suite.attacks.clone(),
        runs: reports.collect(),
        published: published(arguments.paper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgn_wgpu::evaluation::measures::Unit;
    use pgn_wgpu::evaluation::statistics::Estimate;

    #[test]
    fn a_verdict_is_held_against_all_attacks_beside_it() {
        let estimate = |value: f64| Estimate { value, low: value, high: value, images: 100 };
        let own = Warning::new("own".to_string(), "of the verdict");
        let judged = Judged { robust_accuracy: estimate(0.6), warnings: vec![own.clone()] };
        let measure = |value: f64| Measure {
            key: WORST_CASE.to_string(),
            name: "worst case accuracy".to_string(),
            unit: Unit::Share,
            value: Some(value),
            interval: None,
            images: Some(100),
        };
        let found = with_those_of(&judged, &[measure(0.2)], vec![own.clone()]);
        let [first, warning] = &found[..] else { panic!("{found:?}") };
        assert_eq!(first, &own, "each is there once");
        assert!(warning.figure.contains("60.0 %") && warning.figure.contains("20.0 %"), "{}", warning.figure);
        assert_eq!(with_those_of(&judged, &[measure(0.6)], Vec::new()), judged.warnings);
        assert_eq!(with_those_of(&judged, &[], Vec::new()), [own]);
    }
}

//! `pgn-wgpu verdict`: robust accuracy within a radius under a fixed set of strong attacks, with everything that says
//! whether it can be believed. What an interrupted verdict had finished is not computed again. Several processes may judge
//! a shard of the images each; `--merge` puts them together. With `--csv -` the lines go to standard output, and everything for
//! people to standard error.

use super::progress::Progress;
use super::{
    CommandResult, DeviceArguments, STANDARD_OUTPUT, check_distinct, check_new_file, check_overwriting, fail,
    table, warned,
};
use crate::numbers::number;
use pgn_wgpu::attacks::options::BATCH_SIZE;
use pgn_wgpu::attacks::{Norm, length};
use pgn_wgpu::evaluation::{Event, ImageChoice, Place, Subject};
use pgn_wgpu::executor::precision_in_words;
use pgn_wgpu::models::pixels::PixelChoice;
use pgn_wgpu::shard::Shard;
use pgn_wgpu::threat::Radius;
use pgn_wgpu::verdict::merge;
use pgn_wgpu::verdict::piece::Pieces;
use pgn_wgpu::verdict::report::{self, About, FOLDER, Report};
use pgn_wgpu::verdict::shard_file::Judgement;
use pgn_wgpu::verdict::smallest::Distances;
use pgn_wgpu::verdict::{Outcome, Plan, Version, checks};
use pgn_wgpu::{files, integrity};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a run folder or a model file; with --merge, the folders that have the shards
    #[arg(required = true, value_name = "RUN|FILE")]
    models: Vec<PathBuf>,
    /// Norm of the radius [default: l2]
    #[arg(long)]
    norm: Option<Norm>,
    /// The radius, pixels being in [0, 1]: a number or a fraction such as 8/255 [default: 0.5 in l2, 8/255 in linf]
    #[arg(long, allow_negative_numbers = true, value_parser = length::parse)]
    epsilon: Option<f32>,
    /// How thorough [default: quick]
    #[arg(long = "version", value_enum)]
    thoroughness: Option<Version>,
    #[command(flatten)]
    images: ImageChoice,
    #[command(flatten)]
    pixels: PixelChoice,
    #[command(flatten)]
    device: DeviceArguments,
    /// Images at a time
    #[arg(long, default_value_t = BATCH_SIZE, allow_negative_numbers = true, value_parser = number(1..=65_536_usize))]
    batch_size: usize,
    /// Judge only the i-th of n equal shares of the images, for --merge: one of every n images in a row
    #[arg(long, value_name = "I/N", conflicts_with_all = ["merge", "csv", "save"])]
    shard: Option<Shard>,
    /// Make one verdict of all shards in the folders named, in their `verdict` folders and in that of --out
    #[arg(long)]
    merge: bool,
    /// Folder for verdict.json and what an interrupted verdict goes on from [default: verdict in the run's folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a line per image as CSV; - is standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the images that were broken as safetensors
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
}

impl Arguments {
    /// Whether the lines of CSV go to standard output.
    fn prints_lines(&self) -> bool {
        self.csv.as_deref() == Some(Path::new(STANDARD_OUTPUT))
    }

    /// The file for the lines of CSV.
    fn csv_file(&self) -> Option<&Path> {
        self.csv.as_deref().filter(|_| !self.prints_lines())
    }

    /// The files beside the verdict itself.
    fn others(&self) -> impl Iterator<Item = &Path> {
        [self.csv_file(), self.save.as_deref()].into_iter().flatten()
    }
}

pub fn run(arguments: &Arguments) -> CommandResult {
    if arguments.merge {
        return merged(arguments);
    }
    let [model] = arguments.models.as_slice() else {
        return fail("verdict judges one model at a time; several folders belong to `merge`");
    };
    let place = Place::find(model)?.with_pixels(&arguments.pixels);
    let out = arguments.out.clone().unwrap_or_else(|| place.home.join(FOLDER));
    check_outputs(arguments, &out)?;
    let subject = place.open(&arguments.images)?;
    check_earlier(arguments, &out, &subject)?;
    super::print_notes(&subject.notes);
    let norm = arguments.norm.unwrap_or(Norm::L2);
    let radius = Radius { norm, epsilon: arguments.epsilon.unwrap_or(norm.usual_epsilon()) };
    let version = arguments.thoroughness.unwrap_or_default();
    let problem = subject.model.facts.problem;
    let plan = Plan::new(version, norm, radius.epsilon, problem.classes).at_a_time(arguments.batch_size);
    plan.check(radius, problem)?;
    let shard = arguments.shard.unwrap_or(Shard::WHOLE);
    // Before a device is opened.
    pgn_wgpu::verdict::check_shard(shard, subject.images.len())?;
    let device = arguments.device.open()?;
    let mut progress = Progress::new();
    let pieces = Pieces::of_verdict(&out);
    let watch = &mut |event: Event| progress.tell(&event);
    let about = About::new(&subject, device.describe(), (arguments.images.split.name(), version));
    if arguments.shard.is_some() {
        let (asked, part) = ((&plan, version), (radius, shard));
        let answers = checks::answers(&device, &subject)?;
        let judged = pgn_wgpu::verdict::judge_shard(&device, &subject, asked, part, &pieces, watch);
        progress.finish();
        let (outcome, hunted) = judged?;
        // Of a shard's report the attacks are shown alone.
        let report = Report::new((&about, device.precision()), &outcome, Vec::new());
        let text = shard_text(&report, shard, subject.images.len(), &out);
        let judgement =
            Judgement { shard, about, plan: &plan, answers, outcome: &outcome, hunted: hunted.as_ref() };
        let path = judgement.save(&subject, &device, &out)?;
        print!("{text}");
        println!("\nwritten  {}", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let judged = pgn_wgpu::verdict::judge(&device, &subject, (&plan, radius, &about), &pieces, watch);
    progress.finish();
    let (outcome, report) = judged?;
    write(arguments, &out, &about, (&outcome, report))
}

/// Makes one verdict of shards.
fn merged(arguments: &Arguments) -> CommandResult {
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in &arguments.models {
        let inner = folder.join(FOLDER);
        folders.push(if merge::has_shards(&inner) { inner } else { folder.clone() });
    }
    folders.extend(arguments.out.clone().filter(|out| merge::has_shards(out)));
    let out = arguments.out.clone().unwrap_or_else(|| folders[0].clone());
    check_outputs(arguments, &out)?;
    let merged = merge::merge(&folders)?;
    let Radius { norm, epsilon } = merged.outcome.radius;
    let asked = [
        ("norm", arguments.norm.map(|norm| norm.flag().to_string()), norm.flag().to_string()),
        ("epsilon", arguments.epsilon.map(|epsilon| epsilon.to_string()), epsilon.to_string()),
        (
            "version",
            arguments.thoroughness.map(|version| version.name().to_string()),
            merged.about.version.name().to_string(),
        ),
    ];
    for (flag, asked, own) in asked {
        if let Some(asked) = asked.filter(|asked| *asked != own) {
            return fail(format!(
                "`{flag}` {asked} is not what the shards were judged with, which is {own}; leave it out"
            ));
        }
    }
    let about = (&merged.about, merged.precision);
    let report =
        Report { smallest: merged.distances, ..Report::new(about, &merged.outcome, merged.warnings) };
    write(arguments, &out, &merged.about, (&merged.outcome, report))
}

/// Refuses to replace the verdict on another model. A folder has one verdict, and several models may lie beside each other.
fn check_earlier(
    arguments: &Arguments,
    out: &Path,
    subject: &Subject,
) -> Result<(), Box<dyn std::error::Error>> {
    let json = out.join(report::FILE);
    let Some(earlier) = earlier(&json)?.filter(|earlier| earlier.is_about_another(subject)) else {
        return Ok(());
    };
    match arguments.force || arguments.shard.is_some() {
        true => Ok(()),
        false => fail(format!(
            "{} is the verdict on {}; name another folder with `out`, or replace it with `force`",
            json.display(),
            earlier.model
        )),
    }
}

/// The verdict in a file, if there is one that this program wrote.
fn earlier(json: &Path) -> Result<Option<Report>, Box<dyn std::error::Error>> {
    if !json.exists() {
        return Ok(None);
    }
    Ok(report::read(&files::read_at_most(json, report::LARGEST)?))
}

/// An earlier verdict follows from its pieces, which stay; other files of these names are kept.
fn check_outputs(arguments: &Arguments, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let json = out.join(report::FILE);
    if json.exists() && earlier(&json)?.is_none() {
        check_overwriting(&json, arguments.force)?;
    }
    check_distinct(&std::iter::once(json.as_path()).chain(arguments.others()).collect::<Vec<_>>())?;
    for path in arguments.others() {
        // The verdict's own folder is made before they are written.
        match path.parent() == Some(out) {
            true => check_overwriting(path, arguments.force)?,
            false => check_new_file(path, arguments.force)?,
        }
    }
    Ok(())
}

/// Writes a whole verdict's files and shows it.
fn write(
    arguments: &Arguments,
    out: &Path,
    about: &About,
    (outcome, report): (&Outcome, Report),
) -> CommandResult {
    let json = out.join(report::FILE);
    // If a file cannot be written, the result is still shown.
    let written = write_files(arguments, &json, about, (outcome, &report));
    let mut text = match &report.smallest {
        Some(distances) => distances_text(&report, distances),
        None => text(&report),
    };
    if written.is_ok() {
        text += "\n";
        let files = std::iter::once(json.as_path()).chain(arguments.others());
        text.extend(files.map(|path| format!("written  {}\n", path.display())));
    }
    if arguments.prints_lines() {
        eprint!("{text}");
        print!("{}", report::csv(outcome));
    } else {
        print!("{text}");
    }
    written?;
    Ok(ExitCode::SUCCESS)
}

fn write_files(
    arguments: &Arguments,
    json: &Path,
    about: &About,
    (outcome, report): (&Outcome, &Report),
) -> Result<(), Box<dyn std::error::Error>> {
    files::create_folder(json.parent().unwrap_or(Path::new("")))?;
    files::write(json, &integrity::to_pretty_json(report))?;
    if let Some(path) = arguments.csv_file() {
        files::write(path, report::csv(outcome).as_bytes())?;
    }
    if let Some(path) = &arguments.save {
        files::write(path, &report::images(about, outcome, report)?)?;
    }
    Ok(())
}

/// A shard for people: its attacks, and how the whole comes about. It has no verdict of its own.
fn shard_text(report: &Report, shard: Shard, images: usize, out: &Path) -> String {
    format!(
        "shard {shard}: {} of {images} {} images of {}, {}\n\n{}\n\
         when all shards are there: pgn-wgpu verdict --merge {}\n",
        report.images,
        report.split,
        report.data_set,
        version(report),
        attacks(report),
        out.display()
    )
}

/// The verdict for people.
fn text(report: &Report) -> String {
    let mut text = format!(
        "{}\n{} {} images of {}, {}\n\n{}\n",
        report.headline(),
        report.images,
        report.split,
        report.data_set,
        version(report),
        attacks(report)
    );
    text += &warnings(report);
    text
}

/// How thorough, and in which precision unless that is 32 bits.
fn version(report: &Report) -> String {
    format!("{} version{}", report.version.name(), precision_in_words(report.precision))
}

/// A line for each attack.
fn attacks(report: &Report) -> String {
    let empty = String::new;
    let head = ["attack", "attacked", "broken", "robust accuracy", "seconds", "images/s"];
    let mut rows = vec![
        head.map(str::to_string).to_vec(),
        vec!["none".into(), empty(), empty(), percent(report.benign_accuracy), empty(), empty()],
    ];
    rows.extend(report.attacks.iter().map(|attack| {
        vec![
            attack.name.clone(),
            attack.attacked.to_string(),
            attack.broken.to_string(),
            percent(attack.robust_accuracy),
            format!("{:.1}", attack.seconds),
            format!("{:.1}", attack.attacked as f64 / attack.seconds.max(1e-9)),
        ]
    }));
    table(&rows)
}

/// The distances of the smallest version for people.
fn distances_text(report: &Report, distances: &Distances) -> String {
    let name = report.norm.name();
    let mean = format!("mean {name}");
    let head = ["search", "target", "fooled", &mean, "nearest for", "seconds", "images/s"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    rows.extend(distances.searches.iter().map(|search| {
        vec![
            search.name.clone(),
            search.target.clone(),
            search.fooled.to_string(),
            search.mean.map_or("-".to_string(), |mean| format!("{mean:.4}")),
            search.nearest.to_string(),
            format!("{:.1}", search.seconds),
            format!("{:.1}", search.attacked as f64 / search.seconds.max(1e-9)),
        ]
    }));
    format!(
        "{}\n{} {} images of {}, {}, benign accuracy {}\n\n{}\n{}within {name} {}: {} of all images robust\n{}",
        distances.headline(report.norm, report.warnings.len()),
        report.images,
        report.split,
        report.data_set,
        version(report),
        percent(report.benign_accuracy),
        table(&rows),
        distances.words(report.norm),
        report.epsilon,
        percent(report.robust_accuracy.value),
        warnings(report)
    )
}

fn warnings(report: &Report) -> String {
    report.warnings.iter().map(|warning| format!("\nwarning: {}\n", warned(warning))).collect()
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

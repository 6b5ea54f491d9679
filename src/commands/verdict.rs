//! `pgn-wgpu verdict`: robust accuracy within a radius under a fixed set of strong attacks, with everything that says
//! whether it can be believed. What an interrupted verdict had finished is not computed again.

use super::progress::Progress;
use super::{CommandResult, DeviceArguments, check_overwriting, duration, table};
use pgn_wgpu::attacks::options::BATCH_SIZE;
use pgn_wgpu::attacks::{Norm, length};
use pgn_wgpu::evaluation::suite::Radius;
use pgn_wgpu::evaluation::{Event, ImageChoice, Place};
use pgn_wgpu::models::pixels::PixelChoice;
use pgn_wgpu::numbers::number;
use pgn_wgpu::verdict::piece::Pieces;
use pgn_wgpu::verdict::report::{self, Report};
use pgn_wgpu::verdict::{Plan, Version, checks};
use pgn_wgpu::{files, integrity};
use std::path::PathBuf;
use std::process::ExitCode;

/// The folder of a verdict, in the run's.
const FOLDER: &str = "verdict";
/// Bytes of the largest verdict.json that is read.
const LARGEST: u64 = 1 << 24;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a run folder or a model file
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    /// Norm of the radius
    #[arg(long, default_value = "l2")]
    norm: Norm,
    /// The radius, pixels being in [0, 1]: a number or a fraction such as 8/255 [default: 0.5 in l2, 8/255 in linf]
    #[arg(long, allow_negative_numbers = true, value_parser = length::parse)]
    epsilon: Option<f32>,
    /// How thorough
    #[arg(long = "version", value_enum, default_value_t)]
    thoroughness: Version,
    #[command(flatten)]
    images: ImageChoice,
    #[command(flatten)]
    pixels: PixelChoice,
    #[command(flatten)]
    device: DeviceArguments,
    /// Images at a time
    #[arg(long, default_value_t = BATCH_SIZE, allow_negative_numbers = true, value_parser = number(1..=65_536_usize))]
    batch_size: usize,
    /// Folder for verdict.json and what an interrupted verdict goes on from [default: verdict in the run's folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a line per image as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the images that were broken as safetensors
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let place = Place::find(&arguments.model)?.with_pixels(&arguments.pixels);
    let out = arguments.out.clone().unwrap_or_else(|| place.home.join(FOLDER));
    let json = out.join("verdict.json");
    // An earlier verdict follows from its pieces, which stay; another file of this name is kept.
    if json.exists() && !report::wrote(&files::read_at_most(&json, LARGEST)?) {
        check_overwriting(&json, arguments.force)?;
    }
    for path in [&arguments.csv, &arguments.save].into_iter().flatten() {
        check_overwriting(path, arguments.force)?;
    }
    let subject = place.open(&arguments.images)?;
    super::print_notes(&subject.notes);
    let norm = arguments.norm;
    let radius = Radius { norm, epsilon: arguments.epsilon.unwrap_or(norm.usual_epsilon()) };
    let problem = subject.model.facts.problem;
    let mut plan = Plan::new(arguments.thoroughness, norm, radius.epsilon, problem.classes);
    for options in &mut plan.attacks {
        options.batch_size = arguments.batch_size;
        options.check(problem)?;
    }
    let device = arguments.device.open()?;
    let mut progress = Progress::new();
    let pieces = Pieces::new(&out.join("pieces"));
    let outcome =
        pgn_wgpu::verdict::run(&device, &subject, &plan, radius, &pieces, &mut |event| match event {
            Event::Damaged(problem) => progress.line(&format!("note: {problem}; it is computed again")),
            Event::Known(label) => progress.line(&format!("{label}: known from before")),
            Event::Progress(label, done, total) => progress.show(label, done, total),
            Event::Finished(label, seconds) => progress.line(&format!("{label}: {}", duration(seconds))),
        });
    progress.finish();
    let outcome = outcome?;
    let warnings = checks::warnings(&device, &subject, &plan, &outcome)?;
    let split = arguments.images.split.name();
    let report =
        Report::new(&subject, device.describe(), (split, arguments.thoroughness), &outcome, warnings);
    files::create_folder(&out)?;
    files::write(&json, &integrity::to_pretty_json(&report))?;
    print!("{}", text(&report));
    println!("\nwritten  {}", json.display());
    if let Some(path) = &arguments.csv {
        files::write(path, report::csv(&outcome).as_bytes())?;
        println!("written  {}", path.display());
    }
    if let Some(path) = &arguments.save {
        files::write(path, &report::images(&subject, &outcome, &report)?)?;
        println!("written  {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The verdict for people.
fn text(report: &Report) -> String {
    let mut rows = vec![
        ["attack", "attacked", "broken", "robust accuracy", "seconds", "images/s"]
            .map(str::to_string)
            .to_vec(),
        vec![
            "none".into(),
            String::new(),
            String::new(),
            percent(report.benign_accuracy),
            String::new(),
            String::new(),
        ],
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
    let mut text = format!(
        "{}\n{} {} images of {}, {} version\n\n{}\n",
        report.headline(),
        report.images,
        report.split,
        report.data_set,
        report.version.name(),
        table(&rows)
    );
    for warning in &report.warnings {
        text += &format!("\nwarning: {}; {}\n", warning.figure, warning.explanation);
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

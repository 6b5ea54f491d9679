//! `pgn-wgpu report`: one page about run folders, from what lies in them, and its figures and tables as files.

use super::{CommandResult, DeviceArguments, fail};
use crate::command_line::settings::with_flags;
use pgn_wgpu::attacks::{AttackKind, AttackOptions, length};
use pgn_wgpu::evaluation::{ImageChoice, Place, sheet, suite};
use pgn_wgpu::executor::Device;
use pgn_wgpu::report::earlier::{Earlier, Origin};
use pgn_wgpu::report::files;
use pgn_wgpu::report::page::Picture;
use pgn_wgpu::report::runs::{Run, Runs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Images on a sheet.
const SHEET_IMAGES: usize = 6;

#[derive(clap::Args)]
pub struct Arguments {
    /// Run folders
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Folder for report.html and what belongs to it [default: RUN/report; report for several runs]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite other files, and a report that says more; a report about the same runs is always renewed
    #[arg(long)]
    force: bool,
    /// Attack a few test images of each run with PGD, and show them
    #[arg(long)]
    sheets: bool,
    /// L2 radius of that attack, pixels being in [0, 1]: a number or a fraction such as 8/255
    #[arg(long, default_value = "0.5", value_parser = length::parse)]
    epsilon: f32,
    #[command(flatten)]
    device: DeviceArguments,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let out = arguments.out.clone().unwrap_or_else(|| match arguments.runs.as_slice() {
        [only] => only.join("report"),
        _ => PathBuf::from("report"),
    });
    let origin = origin(arguments, &out);
    if !arguments.force {
        Earlier::find(&out).check(&out, &origin)?;
    }
    let mut runs = Runs::open(&arguments.runs);
    if runs.runs.is_empty() {
        return fail(runs.refused.join("; "));
    }
    for note in runs.runs.iter().flat_map(Run::notes) {
        super::print_notes(&[format!("{}: {}; {}", note.about, note.figure, note.explanation)]);
    }
    if arguments.sheets {
        let device = arguments.device.open()?;
        for run in &mut runs.runs {
            match sheet(&device, run, arguments.epsilon) {
                Ok(picture) => run.pictures.push(picture),
                Err(error) => {
                    let error = with_flags(&error.to_string());
                    eprintln!("warning: there is no image sheet of {}: {error}", run.name);
                }
            }
        }
    }
    let page = runs.page();
    // If a file cannot be written, the result is still shown.
    let written = files::write(&page, &out, &origin, arguments.force);
    for sentence in &page.summary {
        println!("{}", with_flags(sentence));
    }
    println!("\nwritten  {}", written?.display());
    match runs.refused.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => fail(format!("{}; the report is of the others", runs.refused.join("; "))),
    }
}

/// A report in a run's own folder can only be about that run.
fn origin(arguments: &Arguments, out: &Path) -> Origin {
    let own = arguments.out.is_none() && arguments.runs.len() == 1;
    Origin::new("report", if own { &[] } else { &arguments.runs }, out)
}

/// A few test images of a run under PGD.
fn sheet(device: &Device, run: &Run, epsilon: f32) -> Result<Picture, Box<dyn std::error::Error>> {
    let choice = ImageChoice { limit: Some(SHEET_IMAGES), ..ImageChoice::default() };
    let subject = Place::find(&run.path)?.open(&choice)?;
    let options = AttackOptions { epsilon, ..AttackOptions::new(AttackKind::PGD) };
    suite::check(&subject.place, &subject.model, &options)?;
    let attacked = (&subject.place, &subject.model);
    let outcome = suite::attack(device, attacked, &subject.images, &options, &mut |_, _| {})?;
    let title = format!("{}: PGD, L2 epsilon {epsilon}, {} iterations", run.name, options.iterations);
    let caption = format!(
        "{} test images, as `limit` chooses them, what PGD within L2 epsilon {epsilon} makes of them, and the difference, amplified as stated, \
         around grey; beside them the true class and what {} answers before and after. An image that is wrong without an attack stays as it \
         is.",
        outcome.len(),
        run.name
    );
    let png = sheet::png(&outcome, &subject.class_names, &title, SHEET_IMAGES)?;
    Ok(Picture {
        id: format!("{}-pgd", run.name),
        title: format!("{}: images under PGD", run.name),
        caption,
        png,
    })
}

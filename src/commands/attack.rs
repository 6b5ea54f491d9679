//! `pgn-wgpu attack`: one or several attacks on a model, over a split of a data set; a table, and what was found as
//! files.

use super::attack_flags::AttackFlags;
use super::progress::Progress;
use super::{CommandResult, DeviceArguments, fail, table};
use pgn_wgpu::attacks::{AttackKind, AttackOptions, AttackOutcome};
use pgn_wgpu::evaluation::statistics::{Reading, Statistic};
use pgn_wgpu::evaluation::suite::{self, title};
use pgn_wgpu::evaluation::{ImageChoice, Place, Subject, export, sheet};
use pgn_wgpu::files;
use pgn_wgpu::numbers::number;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a run folder or a safetensors file
    #[arg(long, value_name = "RUN|FILE")]
    model: PathBuf,
    /// The attack; several by commas or by repeating the flag
    #[arg(long, required = true, value_delimiter = ',')]
    attack: Vec<AttackKind>,
    /// Radius of fgm, pgd and mim, pixels being in [0, 1]; several by commas or by repeating the flag
    #[arg(long, default_value = "0.5", value_delimiter = ',', allow_negative_numbers = true)]
    epsilon: Vec<f32>,
    #[command(flatten)]
    flags: AttackFlags,
    #[command(flatten)]
    images: ImageChoice,
    #[command(flatten)]
    device: DeviceArguments,
    /// Write images and results as safetensors; several attacks get their names into the file's
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write a line per image and attack as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the first images as PNG; several attacks get their names into the file's
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Images on the sheet
    #[arg(long, default_value_t = 10, allow_negative_numbers = true, value_parser = number(1..=1000_usize))]
    sheet_images: usize,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let attacks = arguments.flags.attacks(&arguments.attack, &arguments.epsilon);
    check_outputs(arguments, &attacks)?;
    let subject = Place::find(&arguments.model)?.open(&arguments.images)?;
    for options in &attacks {
        suite::check(&subject.place, &subject.model, options)?;
    }
    let device = arguments.device.open()?;
    let mut rows = vec![
        ["attack", "epsilon", "accuracy", "fooled", "mean L2", "median L2", "images/s"]
            .map(str::to_string)
            .to_vec(),
    ];
    let (mut lines, mut benign) = (export::CSV_HEAD.to_string(), None);
    let mut progress = Progress::new();
    for options in &attacks {
        let label = match export::radius(options) {
            Some(radius) => format!("{} {radius}", title(options.kind)),
            None => title(options.kind).to_string(),
        };
        let attacked = (&subject.place, &subject.model);
        let images = &subject.images;
        progress.show(&label, 0, images.len());
        let outcome = suite::attack(&device, attacked, images, options, &mut |done, total| {
            progress.show(&label, done, total);
        });
        progress.finish();
        let outcome = outcome?;
        write_outcome(arguments, &subject, &attacks, options, &outcome)?;
        lines += &export::csv_lines(&outcome, options, &subject.class_names);
        benign.get_or_insert(outcome.benign_accuracy());
        rows.push(row(options, &outcome));
    }
    if let Some(path) = &arguments.csv {
        files::write(path, lines.as_bytes())?;
    }
    println!(
        "{}: benign accuracy {:.4} on {} {} images of {}\n",
        subject.place.name,
        benign.unwrap_or_default(),
        subject.images.len(),
        arguments.images.split.name(),
        subject.data_set
    );
    print!("{}", table(&rows));
    println!(
        "\nfooled: of the images classified correctly; L2 is over those that were fooled ({})",
        Reading::R2.name()
    );
    for (path, _) in outputs(arguments, &attacks) {
        println!("written  {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn row(options: &AttackOptions, outcome: &AttackOutcome) -> Vec<String> {
    let correct: Vec<usize> =
        (0..outcome.len()).filter(|&i| outcome.clean_predictions[i] == outcome.labels[i]).collect();
    let fooled = correct.iter().filter(|&&i| outcome.predictions[i] != outcome.labels[i]);
    let mut lengths: Vec<f64> = fooled.map(|&i| f64::from(outcome.l2[i])).collect();
    let share = lengths.len() as f64 / correct.len().max(1) as f64;
    let mut length =
        |statistic: Statistic| statistic.of(&mut lengths).map_or("-".to_string(), |l2| format!("{l2:.4}"));
    vec![
        title(options.kind).to_string(),
        export::radius(options).map_or("-".to_string(), |radius| radius.to_string()),
        format!("{:.4}", outcome.accuracy()),
        if correct.is_empty() { "-".to_string() } else { format!("{share:.4}") },
        length(Statistic::Mean),
        length(Statistic::Median),
        format!("{:.1}", outcome.len() as f64 / outcome.seconds.max(1e-9)),
    ]
}

/// What goes into which file.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    Save,
    Sheet,
    Csv,
}

/// Every file that will be written.
fn outputs(arguments: &Arguments, attacks: &[AttackOptions]) -> Vec<(PathBuf, Content)> {
    let mut all = Vec::new();
    for (path, content) in [(&arguments.save, Content::Save), (&arguments.sheet, Content::Sheet)] {
        if let Some(path) = path {
            all.extend(attacks.iter().map(|options| (file_for(path, attacks, options), content)));
        }
    }
    all.extend(arguments.csv.iter().map(|path| (path.clone(), Content::Csv)));
    all
}

/// `out.safetensors`, or with several attacks `out-fgm-0.5.safetensors`.
fn file_for(path: &Path, attacks: &[AttackOptions], options: &AttackOptions) -> PathBuf {
    if attacks.len() == 1 {
        return path.to_path_buf();
    }
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(format!("-{}", options.kind.name()));
    if options.kind.has_radius() {
        name.push(format!("-{}", options.epsilon));
    }
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

/// Refuses to compute what could not be written.
fn check_outputs(arguments: &Arguments, attacks: &[AttackOptions]) -> Result<(), Box<dyn std::error::Error>> {
    let all = outputs(arguments, attacks);
    for (i, (path, _)) in all.iter().enumerate() {
        super::check_overwriting(path, arguments.force)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return fail(format!(
                "{} cannot be written: the folder {} does not exist; make it first",
                path.display(),
                folder.display()
            ));
        }
        if all[..i].iter().any(|(other, _)| other == path) {
            return fail(format!("{} is named for two outputs; give each its own file", path.display()));
        }
    }
    Ok(())
}

fn write_outcome(
    arguments: &Arguments,
    subject: &Subject,
    attacks: &[AttackOptions],
    options: &AttackOptions,
    outcome: &AttackOutcome,
) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(path) = &arguments.save {
        files::write(&file_for(path, attacks, options), &export::safetensors(outcome, options))?;
    }
    if let Some(path) = &arguments.sheet {
        let radius = export::radius(options).map_or(String::new(), |radius| format!(", epsilon {radius}"));
        let heading = format!("{} on {}{radius}", title(options.kind), subject.place.name);
        let picture = sheet::png(outcome, &subject.class_names, &heading, arguments.sheet_images)?;
        files::write(&file_for(path, attacks, options), &picture)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_attacks_get_their_names_and_radii_into_the_files_names() {
        let [fgm, cw] = [AttackKind::Fgm, AttackKind::Cw].map(AttackOptions::new);
        let path = Path::new("to/out.v2.safetensors");
        let alone = std::slice::from_ref(&fgm);
        assert_eq!(file_for(path, alone, &fgm), path);
        let both = [fgm.clone(), cw.clone()];
        assert_eq!(file_for(path, &both, &fgm), Path::new("to/out.v2-fgm-0.5.safetensors"));
        assert_eq!(file_for(path, &both, &cw), Path::new("to/out.v2-cw.safetensors"));
    }
}

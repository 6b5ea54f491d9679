//! `pgn-wgpu attack`: one or several attacks on a model, over a split of a data set; a table with its doubts, and what was
//! found as files. With `--csv -` the lines go to standard output, and everything for people to standard error. If an attack fails or
//! a file cannot be written, what was found before is still shown.

use super::attack_flags::AttackFlags;
use super::progress::Progress;
use super::{CommandResult, DeviceArguments, STANDARD_OUTPUT, check_new_files, fail, table, warned};
use crate::command_line::names::attacks;
use crate::numbers::number;
use pgn_wgpu::attacks::{AttackKind, AttackOptions, AttackOutcome, ImageVerdict, Norm, length};
use pgn_wgpu::evaluation::doubts::doubts_about_attacks;
use pgn_wgpu::evaluation::record::{Key, Record, fingerprint_of_images};
use pgn_wgpu::evaluation::statistics::{Reading, Statistic};
use pgn_wgpu::evaluation::suite;
use pgn_wgpu::evaluation::{ImageChoice, Place, Subject, export, sheet};
use pgn_wgpu::executor::Device;
use pgn_wgpu::files;
use pgn_wgpu::models::pixels::PixelChoice;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a run folder, a safetensors file or an ONNX file
    #[arg(long, value_name = "RUN|FILE")]
    model: PathBuf,
    /// The attack; several by commas or by repeating the flag
    #[arg(long, required = true, value_delimiter = ',', value_parser = attacks())]
    attack: Vec<AttackKind>,
    /// Radius of the attacks that keep to one, pixels being in [0, 1]: a number or a fraction such as 8/255; several by commas or by
    /// repeating the flag [default: 0.5 in l2, 8/255 in linf]
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true, value_parser = length::parse)]
    epsilon: Vec<f32>,
    #[command(flatten)]
    flags: AttackFlags,
    #[command(flatten)]
    images: ImageChoice,
    #[command(flatten)]
    pixels: PixelChoice,
    #[command(flatten)]
    device: DeviceArguments,
    /// Write images and results as safetensors; several attacks get their names into the file's
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write a line per image and attack as CSV; - is standard output
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

impl Arguments {
    fn norm(&self) -> Norm {
        self.flags.norm().unwrap_or(Norm::L2)
    }

    /// Every attack with its options.
    ///
    /// # Errors
    /// If one cannot lead images to the class that is asked for.
    pub fn attacks(&self) -> Result<Vec<AttackOptions>, Box<dyn std::error::Error>> {
        let usual = [self.norm().usual_epsilon()];
        let epsilons = if self.epsilon.is_empty() { &usual[..] } else { &self.epsilon };
        if let Some(target) = self.flags.target()
            && let Some(kind) = self.attack.iter().find(|kind| kind.aims.is_none())
        {
            return fail(format!(
                "`target` {target} is not possible with `attack` {kind}, which cannot lead images to a class; leave {kind} out"
            ));
        }
        Ok(self.flags.attacks(&self.attack, epsilons))
    }
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let mut attacks = arguments.attacks()?;
    check_outputs(arguments, &attacks)?;
    let subject = Place::find(&arguments.model)?.with_pixels(&arguments.pixels).open(&arguments.images)?;
    super::print_notes(&subject.notes);
    for options in &mut attacks {
        options.target = options.target.resolve(&subject.class_names)?;
        suite::check(&subject.place, &subject.model, options)?;
    }
    let device = arguments.device.open()?;
    let mut found = Found::new();
    let attacked = attack_all(arguments, &device, &subject, &attacks, &mut found);
    let shown = show(arguments, &subject, &mut found);
    attacked.and(shown)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes one attack after the other and writes the files of each. What was `found` before an error stays in it.
fn attack_all(
    arguments: &Arguments,
    device: &Device,
    subject: &Subject,
    attacks: &[AttackOptions],
    found: &mut Found,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut progress = Progress::new();
    for options in attacks {
        let outcome = attack(device, subject, options, &mut progress)?;
        let written = write_outcome(arguments, subject, attacks, options, &outcome, &mut found.files);
        found.add(device, subject, options, outcome);
        written?;
    }
    Ok(())
}

/// Writes the CSV, then shows what was found and names the files. The CSV comes first, because the reader of standard output may close it
/// early.
fn show(
    arguments: &Arguments,
    subject: &Subject,
    found: &mut Found,
) -> Result<(), Box<dyn std::error::Error>> {
    if found.records.is_empty() {
        return Ok(());
    }
    let csv = arguments.csv.as_deref();
    let lines_are_the_output = csv == Some(Path::new(STANDARD_OUTPUT));
    let written = match csv.filter(|_| !lines_are_the_output) {
        Some(path) => {
            files::write(path, found.lines.as_bytes()).map(|()| found.files.push(path.to_path_buf()))
        }
        None => Ok(()),
    };
    let mut text = found.text(arguments, subject, arguments.norm());
    text.extend(found.files.iter().map(|path| format!("written  {}\n", path.display())));
    if lines_are_the_output {
        eprint!("{text}");
        print!("{}", found.lines);
    } else {
        print!("{text}");
    }
    Ok(written?)
}

fn attack(
    device: &Device,
    subject: &Subject,
    options: &AttackOptions,
    progress: &mut Progress,
) -> Result<AttackOutcome, Box<dyn std::error::Error>> {
    let label = match export::radius(options) {
        Some(radius) => format!("{} {radius}", options.kind.title),
        None => options.kind.title.to_string(),
    };
    let images = &subject.images;
    progress.show(&label, 0, images.len());
    let attacked = (&subject.place, &subject.model);
    let outcome = suite::attack(device, attacked, images, options, &mut |done, total| {
        progress.show(&label, done, total);
    });
    progress.finish();
    Ok(outcome?)
}

/// The columns of the table.
const HEAD: [&str; 7] = ["attack", "epsilon", "accuracy", "fooled", "mean L2", "median L2", "images/s"];

/// What all attacks came to.
struct Found {
    rows: Vec<Vec<String>>,
    /// As CSV.
    lines: String,
    records: Vec<Record>,
    /// The files that were written.
    files: Vec<PathBuf>,
}

impl Found {
    fn new() -> Self {
        let rows = vec![HEAD.map(str::to_string).to_vec()];
        Self { rows, lines: export::csv_head(), records: Vec::new(), files: Vec::new() }
    }

    fn add(&mut self, device: &Device, subject: &Subject, options: &AttackOptions, outcome: AttackOutcome) {
        self.rows.push(row(options, &outcome));
        self.lines += &export::csv_lines(&outcome, options, &subject.indices, &subject.class_names);
        let images = fingerprint_of_images(&subject.images);
        let key = Key::new(&subject.model, None, options, &images, device);
        self.records.push(Record::white_box(key, outcome));
    }

    /// The table with what it is over, and the reasons to doubt it.
    fn text(&self, arguments: &Arguments, subject: &Subject, norm: Norm) -> String {
        let of = |record: &Record| (record.len(), record.count(ImageVerdict::AlreadyWrong));
        let (all, wrong) = self.records.first().map_or((0, 0), of);
        let mut text = format!(
            "{}: benign accuracy {:.4} on {all} {} images of {}\n{wrong} images are wrong without an attack; they stay as \
             they are\n\n{}\n\
             epsilon: radius in {}, pixels in [0, 1]; fooled: of the images that were attacked; L2: over those that were \
             fooled ({})\n",
            subject.place.name,
            (all - wrong) as f64 / all.max(1) as f64,
            arguments.images.split.name(),
            subject.data_set,
            table(&self.rows),
            norm.name(),
            Reading::R2.name()
        );
        text += &self.targets(&subject.class_names);
        for warning in doubts_about_attacks(&self.records, subject.model.facts.problem.classes) {
            text += &format!("\nwarning: {}\n", warned(&warning));
        }
        text
    }
}

impl Found {
    /// What fooled means for attacks that lead to a class, and the images that they spare.
    fn targets(&self, class_names: &[String]) -> String {
        let mut aimed = self.records.iter().filter(|record| record.targets.is_some()).peekable();
        let Some(first) = aimed.peek() else { return String::new() };
        let success = first.key.options.target.success(class_names).unwrap_or_default();
        let of_target = first.count(ImageVerdict::OfTarget);
        let names: Vec<&str> = aimed.map(|record| record.kind().title).collect();
        let mut text = format!(
            "target of {}: an image counts as fooled if {success}, and else stays in the accuracy\n",
            names.join(", ")
        );
        if of_target > 0 {
            text += &format!("{of_target} images are of that class; they are not attacked\n");
        }
        text
    }
}

fn row(options: &AttackOptions, outcome: &AttackOutcome) -> Vec<String> {
    let fooled = (0..outcome.len()).filter(|&i| outcome.verdict(i) == ImageVerdict::Fooled);
    let mut lengths: Vec<f64> = fooled.map(|i| f64::from(outcome.l2[i])).collect();
    let attacked = outcome.attacked();
    let share = lengths.len() as f64 / attacked.max(1) as f64;
    let mut length =
        |statistic: Statistic| statistic.of(&mut lengths).map_or("-".to_string(), |l2| format!("{l2:.4}"));
    vec![
        options.kind.title.to_string(),
        export::radius(options).map_or("-".to_string(), |radius| radius.to_string()),
        format!("{:.4}", outcome.accuracy()),
        if attacked == 0 { "-".to_string() } else { format!("{share:.4}") },
        length(Statistic::Mean),
        length(Statistic::Median),
        format!("{:.1}", attacked as f64 / outcome.seconds.max(1e-9)),
    ]
}

/// Every file that will be written.
fn outputs(arguments: &Arguments, attacks: &[AttackOptions]) -> Vec<PathBuf> {
    let of_attacks = [&arguments.save, &arguments.sheet].into_iter().flatten();
    let mut all: Vec<PathBuf> = of_attacks
        .flat_map(|path| attacks.iter().map(move |options| file_for(path, attacks, options)))
        .collect();
    all.extend(arguments.csv.iter().filter(|path| *path != Path::new(STANDARD_OUTPUT)).cloned());
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
    let paths: Vec<&Path> = all.iter().map(PathBuf::as_path).collect();
    check_new_files(&paths, arguments.force)
}

/// Writes the files of one attack, and adds them to `files`.
fn write_outcome(
    arguments: &Arguments,
    subject: &Subject,
    attacks: &[AttackOptions],
    options: &AttackOptions,
    outcome: &AttackOutcome,
    files: &mut Vec<PathBuf>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut write = |path: &Path, bytes: &[u8]| {
        let path = file_for(path, attacks, options);
        files::write(&path, bytes).map(|()| files.push(path))
    };
    if let Some(path) = &arguments.save {
        write(path, &export::safetensors(outcome, options))?;
    }
    if let Some(path) = &arguments.sheet {
        let radius = export::radius(options)
            .map_or(String::new(), |radius| format!(", {} epsilon {radius}", options.norm.name()));
        let heading = format!("{} on {}{radius}", options.kind.title, subject.place.name);
        let picture = sheet::png(outcome, &subject.class_names, &heading, arguments.sheet_images)?;
        write(path, &picture)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_attacks_get_their_names_and_radii_into_the_files_names() {
        let [fgm, cw] = [AttackKind::FGM, AttackKind::CW].map(AttackOptions::new);
        let path = Path::new("to/out.v2.safetensors");
        let alone = std::slice::from_ref(&fgm);
        assert_eq!(file_for(path, alone, &fgm), path);
        let both = [fgm.clone(), cw.clone()];
        assert_eq!(file_for(path, &both, &fgm), Path::new("to/out.v2-fgm-0.5.safetensors"));
        assert_eq!(file_for(path, &both, &cw), Path::new("to/out.v2-cw.safetensors"));
    }
}

//! `pgn-wgpu predict`: what a model of any kind answers to images: the most likely classes of each, and all logits as a
//! file.

use super::progress::Progress;
use super::{CommandResult, DeviceArguments, fail, table};
use pgn_wgpu::data::npy::{self, Array, Elements};
use pgn_wgpu::data::{picture, pictures_in};
use pgn_wgpu::evaluation::{Place, predict};
use pgn_wgpu::files;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::{Normalisation, Problem, onnx};
use pgn_wgpu::numbers::{above, number};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Images whose answers are printed; all are saved.
const PRINTED: usize = 100;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a run folder, a safetensors file or an ONNX file
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    /// The images: an .npy file [images, channels, height, width] of float32 as the model takes them, or of uint8; a picture;
    /// or a folder of pictures
    #[arg(long, value_name = "FILE|DIR")]
    images: PathBuf,
    /// Write the logits [images, classes] as float32 .npy
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Classes to print of each image
    #[arg(long, default_value_t = 3, allow_negative_numbers = true, value_parser = number(1..=1000_usize))]
    top: usize,
    #[command(flatten)]
    pixels: PixelArguments,
    #[command(flatten)]
    device: DeviceArguments,
    /// Overwrite a file that exists
    #[arg(long)]
    force: bool,
}

/// What an ONNX file that does not normalise by itself expects of pixels.
#[derive(clap::Args)]
pub struct PixelArguments {
    /// What is subtracted from each channel before the model, pixels being in [0, 1] [default: nothing]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", allow_negative_numbers = true, value_parser = number(-1e6..=1e6_f32))]
    mean: Vec<f32>,
    /// What each channel is divided by after that; with --mean [default: 1]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = above(0.0, Some(1e6_f32)))]
    std: Vec<f32>,
    /// The largest pixel that the model takes, such as 255 [default: 1, or as its first layers show]
    #[arg(long, value_name = "NUMBER", value_parser = above(0.0, Some(1e6_f32)))]
    scale: Option<f32>,
}

impl PixelArguments {
    /// The model with what the flags say in front.
    pub fn apply(&self, model: Model) -> Result<Model, Box<dyn std::error::Error>> {
        let channels = model.facts.problem.channels;
        if self.mean.is_empty() && self.std.is_empty() && self.scale.is_none() {
            return Ok(model);
        }
        if let Some(by) = model.classifier.normalisation(&model.average) {
            return fail(format!(
                "the model normalises pixels itself (--mean {:?} --std {:?}); leave --mean, --std and --scale out",
                by.mean, by.deviation
            ));
        }
        let each = |given: &[f32], default: f32| match given {
            [] => vec![default; channels],
            [one] => vec![*one; channels],
            several => several.to_vec(),
        };
        let scale = self.scale.unwrap_or(1.0);
        let deviation = each(&self.std, 1.0).iter().map(|value| value / scale).collect();
        let by = Normalisation { mean: each(&self.mean, 0.0), deviation };
        let (classifier, average) = model.classifier.normalised(&model.average, &by)?;
        let (_, live) = model.classifier.normalised(&model.live, &by)?;
        Ok(Model { classifier, average, live, ..model })
    }
}

pub fn run(arguments: &Arguments) -> CommandResult {
    if let Some(path) = &arguments.save {
        super::check_overwriting(path, arguments.force)?;
    }
    let place = Place::find(&arguments.model)?;
    place.check_model()?;
    let model = arguments.pixels.apply(Model::load(&place.file, None)?)?;
    super::print_notes(&model.notes);
    let problem = model.facts.problem;
    let largest = arguments.pixels.scale.unwrap_or(1.0) * own_range(&place.file, &model);
    let (names, pixels) = read(&arguments.images, problem, largest)?;
    let device = arguments.device.open()?;
    let mut progress = Progress::new();
    let logits =
        predict::logits(&device, &model, &pixels, &mut |done, all| progress.show("images", done, all))?;
    progress.finish();
    print!("{}", table(&rows(arguments.top, &names, &logits, &model)));
    if names.len() > PRINTED {
        println!("and {} more", names.len() - PRINTED);
    }
    if let Some(path) = &arguments.save {
        files::write(path, &npy::encode(&[names.len(), problem.classes], &logits)?)?;
        println!("written  {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The largest pixel that the model's own file takes.
fn own_range(path: &Path, model: &Model) -> f32 {
    let imported = model.facts.network.is_imported().then(|| onnx::read(path).ok()).flatten();
    imported.map_or(1.0, |imported| imported.range)
}

/// The most likely classes of each image with their probabilities.
fn rows(top: usize, names: &[String], logits: &[f32], model: &Model) -> Vec<Vec<String>> {
    let classes = model.facts.problem.classes;
    let head = std::iter::once("image".to_string())
        .chain((1..=top.min(classes)).map(|place| format!("class {place}")));
    let mut rows = vec![head.collect::<Vec<_>>()];
    for (name, own) in names.iter().zip(logits.chunks(classes)).take(PRINTED) {
        let mut order: Vec<usize> = (0..classes).collect();
        order.sort_by(|&a, &b| own[b].total_cmp(&own[a]));
        let largest = own[order[0]];
        let sum: f32 = own.iter().map(|logit| (logit - largest).exp()).sum();
        let class = |&class: &usize| {
            let share = 100.0 * (own[class] - largest).exp() / sum;
            let name = model.facts.class_names.get(class).map_or_else(|| class.to_string(), String::clone);
            format!("{name} {share:.1} %")
        };
        rows.push(std::iter::once(name.clone()).chain(order.iter().take(top).map(class)).collect());
    }
    rows
}

/// The names of the images and their pixels, channels last, in [0, 1]; real numbers of a file go up to `largest`.
fn read(
    path: &Path,
    problem: Problem,
    largest: f32,
) -> Result<(Vec<String>, Vec<f32>), Box<dyn std::error::Error>> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) {
        return array(path, &npy::read(path)?, problem, largest);
    }
    let paths = if path.is_dir() { pictures_in(path)? } else { vec![path.to_path_buf()] };
    if paths.is_empty() {
        return fail(format!("{} has no pictures; give a folder that holds some, or a file", path.display()));
    }
    let Problem { height, width, channels, .. } = problem;
    if height != width || ![1, 3].contains(&channels) {
        return fail(format!(
            "the model takes images of {height}x{width} with {channels} channels, which pictures are not; give an .npy file"
        ));
    }
    let mut pixels = Vec::new();
    let mut names = Vec::new();
    for path in &paths {
        pixels.extend(picture(path, height, channels)?.iter().map(|&byte| f32::from(byte) / 255.0));
        names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    Ok((names, pixels))
}

fn array(
    path: &Path,
    array: &Array,
    problem: Problem,
    largest: f32,
) -> Result<(Vec<String>, Vec<f32>), Box<dyn std::error::Error>> {
    let Problem { height, width, channels, .. } = problem;
    let [images, own @ ..] = &array.extents[..] else {
        return fail(format!(
            "{} holds a single number; it needs [images, channels, height, width]",
            path.display()
        ));
    };
    if *images == 0 || own != [channels, height, width] {
        let hint = if own == [height, width, channels] { "; transpose it by (0, 3, 1, 2)" } else { "" };
        return fail(format!(
            "{} has the shape {:?}, the model takes [n, {channels}, {height}, {width}]{hint}",
            path.display(),
            array.extents
        ));
    }
    let values: Vec<f32> = match &array.elements {
        Elements::Bytes(bytes) => bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect(),
        Elements::Floats(values) => values.iter().map(|value| value / largest).collect(),
    };
    let (image, positions) = (problem.pixels(), height * width);
    let place = |i: usize| i / image * image + i % channels * positions + i % image / channels;
    let pixels: Vec<f32> = (0..values.len()).map(|i| values[place(i)]).collect();
    Ok(((0..*images).map(|i| i.to_string()).collect(), pixels))
}

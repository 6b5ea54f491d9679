//! `pgn-wgpu predict`: what a model of any kind answers to images: the most likely classes of each, and all logits as a
//! file. Pictures are read when their turn comes, so a folder may hold more of them than the memory. All are read once before, so
//! that a damaged one does not end the work of hours.

use super::progress::Progress;
use super::{CommandResult, DeviceArguments, fail, table};
use crate::numbers::number;
use pgn_wgpu::data::layout::Layout;
use pgn_wgpu::data::npy::{self, Array, Elements};
use pgn_wgpu::data::{self, DataError, Framing, Resize, Size, picture, pictures_in};
use pgn_wgpu::evaluation::Place;
use pgn_wgpu::evaluation::predict::Predictor;
use pgn_wgpu::files;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::models::pixels::PixelChoice;
use pgn_wgpu::nn::{Problem, onnx};
use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Images whose answers are printed; all are saved.
const PRINTED: usize = 100;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a run folder, a safetensors file or an ONNX file
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    /// The images: an .npy file of float32 as the model takes them, or of uint8, channels first or last; a picture; or a
    /// folder of pictures
    #[arg(long, value_name = "FILE|DIR")]
    images: PathBuf,
    /// Write the logits [images, classes] as float32 .npy
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Classes to print of each image
    #[arg(long, default_value_t = 3, allow_negative_numbers = true, value_parser = number(1..=1000_usize))]
    top: usize,
    /// Resize pictures: their shorter side to SIDE, or both sides to a height and a width; then the model's size is cut out of
    /// their middle [default: so that they just cover that]
    #[arg(long, value_name = "SIDE|HxW", allow_negative_numbers = true)]
    resize: Option<Resize>,
    /// Cut this size, which must be the model's, out of the middle of pictures, after --resize
    #[arg(long, value_name = "SIDE|HxW", allow_negative_numbers = true)]
    crop: Option<Size>,
    /// The names of the model's classes: a class index in JSON, or text with a line `folder name` for each class
    #[arg(long, value_name = "FILE")]
    class_index: Option<PathBuf>,
    #[command(flatten)]
    pub pixels: PixelChoice,
    #[command(flatten)]
    pub device: DeviceArguments,
    /// Overwrite a file that exists
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    if let Some(path) = &arguments.save {
        super::check_new_file(path, arguments.force)?;
    }
    let place = Place::find(&arguments.model)?.with_pixels(&arguments.pixels);
    let mut model = load(arguments, &place)?;
    if let Some(path) = &arguments.class_index {
        model.facts.class_names = class_names(path, model.facts.problem.classes)?;
    }
    super::print_notes(&model.notes);
    let problem = model.facts.problem;
    let largest = arguments.pixels.scale.unwrap_or(1.0) * own_range(&place.file, &model);
    let (names, images) = find(arguments, problem, largest)?;
    let mut predictor = Predictor::new(&arguments.device.open()?, &model, names.len())?;
    let mut progress = Progress::new();
    let mut logits = Vec::new();
    for first in (0..names.len()).step_by(predictor.batch()) {
        let part = images.read(first..names.len().min(first + predictor.batch()), problem)?;
        logits.extend(predictor.logits(&part, &mut |_| {})?);
        progress.show("images", logits.len() / problem.classes, names.len());
    }
    progress.finish();
    // If a file cannot be written, the result is still shown.
    let saved = save(arguments, [names.len(), problem.classes], &logits);
    print!("{}", table(&rows(arguments.top, &names, &logits, &model)));
    if names.len() > PRINTED {
        println!("and {} more", names.len() - PRINTED);
    }
    if let Some(path) = saved? {
        println!("written  {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the logits, if they are wanted, and returns the path.
fn save<'a>(
    arguments: &'a Arguments,
    extents: [usize; 2],
    logits: &[f32],
) -> Result<Option<&'a Path>, Box<dyn std::error::Error>> {
    let Some(path) = &arguments.save else { return Ok(None) };
    files::write(path, &npy::encode(&extents, logits)?)?;
    Ok(Some(path))
}

/// The model; where its file does not tell the size of images, for those that are given.
fn load(arguments: &Arguments, place: &Place) -> Result<Model, Box<dyn std::error::Error>> {
    let mut model = place.model(None)?;
    if model.tells_size(&place.file) {
        return Ok(model);
    }
    let size = if is_array(&arguments.images) {
        Layout::of(&npy::extents(&arguments.images)?).ok().map(|layout| layout.size)
    } else {
        let asked = arguments.resize.is_some() || arguments.crop.is_some();
        asked.then(|| Framing::new(arguments.resize, arguments.crop, None)).transpose()?.map(|own| own.size)
    };
    let Some(Size { height, width }) = size else {
        if !is_array(&arguments.images) {
            model.notes.push(Model::size_is_a_guess(model.facts.problem));
        }
        return Ok(model);
    };
    Ok(place.model(Some(Problem { height, width, ..model.facts.problem }))?)
}

/// As many names as the model has classes.
fn class_names(path: &Path, classes: usize) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let names = data::class_names(path)?;
    match names.len() == classes {
        true => Ok(names),
        false => fail(format!(
            "{} names {} classes, the model has {classes}; name each of them",
            path.display(),
            names.len()
        )),
    }
}

fn is_array(path: &Path) -> bool {
    files::has_ending(path, "npy")
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

/// The images to answer.
enum Images {
    /// The pixels of all, channels last, in [0, 1].
    Array(Vec<f32>),
    /// Files that are read when their turn comes.
    Pictures(Vec<PathBuf>, Framing),
}

impl Images {
    /// The pixels of some, channels last, in [0, 1].
    fn read(&self, range: Range<usize>, problem: Problem) -> Result<Cow<'_, [f32]>, DataError> {
        let pixels = problem.pixels();
        Ok(match self {
            Self::Array(values) => Cow::Borrowed(&values[range.start * pixels..range.end * pixels]),
            Self::Pictures(paths, framing) => {
                let mut values = Vec::with_capacity(range.len() * pixels);
                for path in &paths[range] {
                    let bytes = picture(path, *framing, problem.channels)?;
                    values.extend(bytes.iter().map(|&byte| f32::from(byte) / 255.0));
                }
                Cow::Owned(values)
            }
        })
    }
}

/// The images and their names; real numbers of a file go up to `largest`.
fn find(
    arguments: &Arguments,
    problem: Problem,
    largest: f32,
) -> Result<(Vec<String>, Images), Box<dyn std::error::Error>> {
    let path = &arguments.images;
    if is_array(path) {
        return array(path, npy::read(path)?, problem, largest);
    }
    if files::has_ending(path, "npz") && path.is_file() {
        return fail(format!(
            "{} may hold several arrays; save the images alone with numpy.save, as an .npy file",
            path.display()
        ));
    }
    let paths = if path.is_dir() { pictures_in(path)? } else { vec![path.clone()] };
    if paths.is_empty() {
        return fail(format!("{} has no pictures; give a folder that holds some, or a file", path.display()));
    }
    let Problem { height, width, channels, .. } = problem;
    if ![1, 3].contains(&channels) {
        return fail(format!(
            "the model takes images with {channels} channels, which pictures do not have; give an .npy file"
        ));
    }
    let framing = Framing::new(arguments.resize, arguments.crop, Some(Size { height, width }))?;
    // One that cannot be read is refused before anything is computed.
    for path in &paths {
        picture(path, framing, channels)?;
    }
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((paths.iter().map(name).collect(), Images::Pictures(paths, framing)))
}

/// The images of an array, channels first or last.
fn array(
    path: &Path,
    array: Array,
    problem: Problem,
    largest: f32,
) -> Result<(Vec<String>, Images), Box<dyn std::error::Error>> {
    let wrong = |problem: String| format!("{}: {problem}", path.display());
    let Problem { height, width, channels, .. } = problem;
    let layout = Layout::for_model(&array.extents, Size { height, width }, channels).map_err(wrong)?;
    if layout.images == 0 {
        return fail(format!("{} has no images", path.display()));
    }
    let values: Vec<f32> = match array.elements {
        Elements::Bytes(bytes) => bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect(),
        Elements::Floats(values) => values.iter().map(|value| value / largest).collect(),
        Elements::Integers(_) => {
            return fail(format!(
                "{} holds whole numbers of many bits; save it as uint8 or float32",
                path.display()
            ));
        }
    };
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        let image = place / problem.pixels();
        return fail(format!("{} has {} in image {image}; mend the array", path.display(), values[place]));
    }
    let outside = values.iter().filter(|value| !(0.0..=1.0).contains(*value)).count();
    if outside > 0 {
        super::print_notes(&[format!(
            "{outside} of {} numbers of {} are outside of 0 to {largest}, between which this model's pixels are",
            values.len(),
            path.display()
        )]);
    }
    let names = (0..layout.images).map(|i| i.to_string()).collect();
    Ok((names, Images::Array(layout.channels_last(values)?)))
}

//! `pgn-wgpu export`: a model for other programs: ONNX, PyTorch's names in safetensors with a small `model.py`, or a page that computes
//! in a browser.

use super::{CommandResult, bytes, check_new_files, fail};
use pgn_wgpu::data::Size;
use pgn_wgpu::evaluation::{ImageChoice, Place};
use pgn_wgpu::files;
use pgn_wgpu::models::file::{Model, export, to_bytes};
use pgn_wgpu::models::pixels::PixelChoice;
use pgn_wgpu::models::python;
use pgn_wgpu::nn::{Problem, onnx};
use pgn_wgpu::web;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a run folder, a safetensors file or an ONNX file
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    /// Write it as ONNX: images [n, channels, height, width] in [0, 1] to logits, normalisation inside
    #[arg(long, value_name = "FILE", required_unless_present_any = ["safetensors", "web"])]
    onnx: Option<PathBuf>,
    /// Write its weights with PyTorch's names, and model.py beside them, which rebuilds the network in PyTorch
    #[arg(long, value_name = "FILE")]
    safetensors: Option<PathBuf>,
    /// Write a page for browsers that attacks the model as one file, without a server or a network; for the digits it also trains
    #[arg(long, value_name = "FILE")]
    web: Option<PathBuf>,
    /// Size of the images of a file that does not tell it, in pixels: a side, or a height and a width
    #[arg(long, value_name = "SIDE|HxW", allow_negative_numbers = true)]
    size: Option<Size>,
    #[command(flatten)]
    pixels: PixelChoice,
    #[command(flatten, next_help_heading = "Images of a page (--web)")]
    images: ImageChoice,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let python = arguments.safetensors.as_ref().map(|path| path.with_file_name("model.py"));
    let outputs = [&arguments.onnx, &arguments.safetensors, &python, &arguments.web];
    let outputs: Vec<&Path> = outputs.into_iter().flatten().map(PathBuf::as_path).collect();
    check_new_files(&outputs, arguments.force)?;
    let place = Place::find(&arguments.model)?.with_pixels(&arguments.pixels);
    let written = arguments.onnx.is_some() || arguments.safetensors.is_some();
    let model = of_size(&place, arguments.size, written)?;
    super::print_notes(&model.notes);
    let page = arguments.web.as_ref().map(|_| page(place, &model, &arguments.images)).transpose()?;
    if let (Some(path), Some(python)) = (&arguments.safetensors, &python) {
        let module = python::module(&model.classifier)?;
        let mut tensors = Vec::new();
        export(&model.classifier.slots, &model.average, PREFIX, &mut tensors);
        for (name, ..) in &mut tensors {
            *name = name.split_off(PREFIX.len() + 1);
        }
        let format = HashMap::from([("format".to_string(), "pt".to_string())]);
        files::write(path, &to_bytes(&tensors, format))?;
        files::write(python, module.as_bytes())?;
        println!("written  {}\nwritten  {}", path.display(), python.display());
    }
    if let Some(path) = &arguments.onnx {
        files::write(path, &onnx::export::encode(&model.classifier, &model.average)?)?;
        println!("written  {}", path.display());
    }
    if let (Some(path), Some(page)) = (&arguments.web, page) {
        files::write(path, page.as_bytes())?;
        println!("written  {} ({})", path.display(), bytes(page.len() as u64));
    }
    Ok(ExitCode::SUCCESS)
}

/// The model for images of a size. For a file that does not tell it, it is guessed, with a note if it is `written` into another file.
fn of_size(place: &Place, size: Option<Size>, written: bool) -> Result<Model, Box<dyn std::error::Error>> {
    let mut model = place.model(None)?;
    let Problem { height, width, .. } = model.facts.problem;
    match size {
        Some(size) if (size.height, size.width) == (height, width) => {}
        Some(_) if model.tells_size(&place.file) => {
            return fail(format!(
                "`size` is for files that do not tell the size of images; {} is for {height}x{width}, leave `size` out",
                place.file.display()
            ));
        }
        Some(Size { height, width }) => {
            return Ok(place.model(Some(Problem { height, width, ..model.facts.problem }))?);
        }
        None if written && !model.tells_size(&place.file) => model.notes.push(format!(
            "the weights do not tell the size of images, so what is written takes {height}x{width}; `size` says otherwise"
        )),
        None => {}
    }
    Ok(model)
}

/// The page about a model, whose own notes are printed, and the images that are asked for: a hundred, unless it is said.
fn page(place: Place, model: &Model, images: &ImageChoice) -> Result<String, Box<dyn std::error::Error>> {
    let choice = ImageChoice { limit: images.limit.or(Some(web::IMAGES)), ..images.clone() };
    let mut subject = place.open(&choice)?;
    subject.notes.retain(|note| !model.notes.contains(note));
    super::print_notes(&subject.notes);
    Ok(web::page(&subject)?)
}

/// Stands before the names until they are PyTorch's.
const PREFIX: &str = "classifier";

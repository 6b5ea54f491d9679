//! `pgn-wgpu train-generator`: a perturbation generator against a frozen classifier, so that it can be used
//! as an attack. It is the game of `train` in which only the generator moves.

use super::{CommandResult, fail, train};
use pgn_wgpu::data::absolute;
use pgn_wgpu::evaluation::Place;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::models::pixels::PixelChoice;
use pgn_wgpu::training::Method;
use pgn_wgpu::training::options::TrainOptions;
use std::path::{Path, PathBuf};

/// The flags that this command sets, and those that have no effect while the classifier stays as it is, are not offered:
/// `effects.rs` hides and refuses them.
#[derive(clap::Args)]
pub struct Arguments {
    /// The classifier to attack: a model file or a run folder
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    train: train::Arguments,
}

pub fn run(arguments: Arguments) -> CommandResult {
    let Arguments { model, mut train } = arguments;
    let place = Place::find(&model)?;
    place.check_model()?;
    let path = place.file;
    let asked = PixelChoice {
        normalise: train.options.normalise,
        mean: train.options.mean.clone().unwrap_or_default(),
        std: train.options.std.clone().unwrap_or_default(),
        scale: train.options.scale,
    };
    let model = asked.apply(Model::load(&path, None)?, &path)?;
    let normalisation = model.classifier.normalisation(&model.average);
    if let Some(file) = &train.config {
        check_file(file, &path, model.facts.width)?;
    }
    let options = &mut train.options;
    options.method = Some(Method::PGN);
    options.freeze_classifier = Some(true);
    options.network = Some(model.facts.network);
    options.width = Some(model.facts.width);
    if model.facts.network.is_imported() {
        // Its file says how it normalises.
        options.from = Some(path);
        return train::run(train);
    }
    (options.normalise, options.scale) = (None, None);
    options.mean = normalisation.as_ref().map(|by| by.mean.clone());
    options.std = normalisation.map(|by| by.deviation);
    options.from = Some(path);
    train::run(train)
}

/// Refuses a `--config` file whose keys say something else than this command sets: they would have no effect.
fn check_file(file: &Path, model: &Path, width: f32) -> Result<(), Box<dyn std::error::Error>> {
    let options = TrainOptions::from_file(file)?;
    let wrong = [
        (
            "method",
            options.method.is_some_and(|method| method != Method::PGN),
            "a generator is always trained by pgn",
        ),
        (
            "freeze-classifier",
            options.freeze_classifier == Some(false),
            "the classifier always stays as it is",
        ),
        (
            "width",
            options.width.is_some_and(|own| own.to_bits() != width.to_bits()),
            "the generator is as wide as the classifier",
        ),
        (
            "from",
            options.from.is_some_and(|own| absolute(&own) != absolute(model)),
            "`model` names the classifier",
        ),
    ];
    match wrong.iter().find(|(_, wrong, _)| *wrong) {
        None => Ok(()),
        Some((key, _, reason)) => fail(format!(
            "{}: {key} has no effect with train-generator: {reason}; leave it out",
            file.display()
        )),
    }
}

//! `pgn-wgpu train-generator`: a perturbation generator against a frozen classifier, so that it can be used
//! as an attack. It is the game of `train` in which only the generator moves.

use super::{CommandResult, train};
use pgn_wgpu::evaluation::Place;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::training::Method;
use std::path::PathBuf;

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
    let model = Model::load(&path, None)?;
    let normalisation = model.classifier.normalisation(&model.average);
    let options = &mut train.options;
    options.method = Some(Method::Pgn);
    options.freeze_classifier = Some(true);
    options.network = Some(model.facts.network);
    options.width = Some(model.facts.width);
    options.mean = normalisation.as_ref().map(|by| by.mean.clone());
    options.std = normalisation.map(|by| by.deviation);
    options.from = Some(path);
    train::run(train)
}

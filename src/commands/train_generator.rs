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
    let facts = Model::load(&path, None)?.facts;
    let options = &mut train.options;
    options.method = Some(Method::Pgn);
    options.freeze_classifier = Some(true);
    options.width = Some(facts.width);
    options.from = Some(path);
    train::run(train)
}

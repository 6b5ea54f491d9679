//! `pgn-wgpu train-generator`: a perturbation generator against a frozen classifier, so that it can be used
//! as an attack. It is the game of `train` in which only the generator moves.

use super::{CommandResult, effects, fail, train};
use pgn_wgpu::data::absolute;
use pgn_wgpu::evaluation::Place;
use pgn_wgpu::models::file::Facts;
use pgn_wgpu::models::pixels::PixelChoice;
use pgn_wgpu::training::Method;
use pgn_wgpu::training::effects::key;
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
    let asked = PixelChoice {
        normalise: train.options.normalise,
        mean: train.options.mean.clone().unwrap_or_default(),
        std: train.options.std.clone().unwrap_or_default(),
        scale: train.options.scale,
    };
    let place = Place::find(&model)?.with_pixels(&asked);
    let model = place.model(None)?;
    // The model's other notes come with the training's.
    super::print_notes(place.half_trained().as_slice());
    let path = place.file;
    let normalisation = model.classifier.normalisation(&model.average);
    if let Some(file) = &train.config {
        check_file(file, &path, &model.facts)?;
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
fn check_file(file: &Path, model: &Path, facts: &Facts) -> Result<(), Box<dyn std::error::Error>> {
    let options = TrainOptions::from_file(file)?;
    let otherwise = [
        ("method", options.method.is_some_and(|own| own != Method::PGN)),
        ("freeze_classifier", options.freeze_classifier == Some(false)),
        ("network", options.network.is_some_and(|own| own != facts.network)),
        ("width", options.width.is_some_and(|own| own.to_bits() != facts.width.to_bits())),
        ("from", options.from.is_some_and(|own| absolute(&own) != absolute(model))),
    ];
    match otherwise.into_iter().find(|(_, otherwise)| *otherwise) {
        None => Ok(()),
        Some((flag, _)) => fail(format!(
            "{}: {} has no effect with train-generator: {}; leave it out",
            file.display(),
            key(flag),
            effects::why_set("train-generator", flag).unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_a_file_must_not_say_otherwise_has_a_reason() {
        for flag in ["method", "freeze_classifier", "network", "width", "from"] {
            assert!(effects::why_set("train-generator", flag).is_some(), "{flag}");
        }
        assert_eq!(effects::why_set("train-generator", "lr"), None);
    }
}

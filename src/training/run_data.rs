//! The data of a run: how they are opened, and what they make of its settings.

use super::TrainError;
use super::config::TrainConfig;
use crate::data::{self, Dataset, DatasetKind, Size, batches_per_epoch};
use crate::models::file::Model;
use crate::nn::Problem;
use std::path::Path;

/// Opens the data set of a configuration. Arrays have the classes of the model that the run starts from: they need not have
/// images of all of them.
pub fn open_data(config: &TrainConfig) -> Result<Dataset, TrainError> {
    // A file that cannot be read is refused later, by its reason.
    data_of(config, |from| Model::load(from, None).ok().map(|model| model.facts.classes()))
}

/// The same, with `classes` of the model in a file for those of the arrays.
pub(super) fn data_of(
    config: &TrainConfig,
    classes: impl FnOnce(&Path) -> Option<Vec<String>>,
) -> Result<Dataset, TrainError> {
    let mut options = config.data_options();
    if let (DatasetKind::Npy, Some(path), None) = (options.kind, &config.from, &options.class_index) {
        options.class_names = classes(path);
    }
    let dataset = data::open(&options)?;
    dataset.check_training()?;
    Ok(dataset)
}

/// The problem that a data set poses.
pub fn problem_of(dataset: &Dataset) -> Problem {
    let Size { height, width } = dataset.size;
    Problem { height, width, channels: dataset.channels, classes: dataset.classes }
}

/// The same of a kind of data set before it is opened, as such sets usually are.
pub fn usual_problem(dataset: DatasetKind) -> Problem {
    let (side, channels, classes) = match dataset {
        DatasetKind::Digits => (8, 1, 10),
        DatasetKind::Cifar10 | DatasetKind::Folder | DatasetKind::Npy => (32, 3, 10),
        DatasetKind::Cifar100 => (32, 3, 100),
        DatasetKind::Mnist => (28, 1, 10),
    };
    Problem::square(side, channels, classes)
}

/// Steps of all epochs over `images` training images.
pub(super) fn steps_of_epochs(config: &TrainConfig, images: usize) -> u64 {
    u64::from(batches_per_epoch(images, config.batch_size)) * u64::from(config.epochs)
}

/// Steps of a whole run over `images` training images.
pub fn steps_of(config: &TrainConfig, images: usize) -> u64 {
    let all = steps_of_epochs(config, images);
    config.max_steps.map_or(all, |most| most.min(all))
}

/// Settings that do less with these data than they say, a sentence each.
pub(super) fn limited_by_data(config: &TrainConfig, dataset: &Dataset) -> Vec<String> {
    let mut notes = Vec::new();
    if config.robust_every() > 0 && dataset.validation.is_empty() {
        notes.push(
            "there are no validation images, so accuracy under PGD is not measured, catastrophic overfitting goes unseen, and \
             no epoch is chosen as the best"
                .to_string(),
        );
    }
    let images = dataset.train.len();
    let (steps, all) = (steps_of(config, images), steps_of_epochs(config, images));
    if config.depends_on_epochs() && steps < all {
        notes.push(format!(
            "the schedule goes over the {all} steps of `epochs`, and `max-steps` ends the run after {steps}"
        ));
    }
    notes
}

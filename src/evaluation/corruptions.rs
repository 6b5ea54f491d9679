//! Accuracy on corrupted images, for every corruption and severity of a set as CIFAR-10-C.
//!
//! The mean over all corruptions and severities is what RobustBench ranks by. It is no mean corruption error, which compares
//! with another network.

use super::measures::{Measure, Unit};
use super::statistics::sum;
use super::subject::ImageChoice;
use super::{EvaluationError, Subject, predict};
use crate::csv::{self, Cell};
use crate::data::corruptions::{Corruptions, SEVERITIES};
use crate::data::{DataError, Size, stratified};
use crate::executor::Device;
use crate::nn::Problem;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The columns of [`csv`].
const COLUMNS: [&str; 6] = ["run", "method", "corruption", "severity", "accuracy", "images"];

/// What one model answered to corrupted images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Corrupted {
    /// Images of each corruption and severity.
    pub images: usize,
    /// Every corruption, in the order of their names.
    pub corruptions: Vec<Accuracies>,
}

/// The accuracy on the images of one corruption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracies {
    /// As its array is called.
    pub name: String,
    /// At each severity, from the mildest.
    pub accuracy: [f64; SEVERITIES],
}

impl Accuracies {
    /// The mean over the severities.
    pub fn mean(&self) -> f64 {
        self.accuracy.iter().sum::<f64>() / SEVERITIES as f64
    }
}

impl Corrupted {
    /// The mean over all corruptions and severities.
    pub fn mean(&self) -> f64 {
        sum(self.corruptions.iter().map(Accuracies::mean)) / self.corruptions.len().max(1) as f64
    }

    /// That mean, for the table of all measures.
    pub fn measure(&self) -> Measure {
        let images = self.images * SEVERITIES * self.corruptions.len();
        Measure {
            key: "mean-corruption-accuracy".to_string(),
            name: "mean corruption accuracy".to_string(),
            unit: Unit::Share,
            value: Some(self.mean()),
            interval: None,
            images: Some(images),
        }
    }

    /// Rows for the terminal: corruptions down, severities across.
    pub fn rows(&self, run: &str) -> Vec<Vec<String>> {
        let head = std::iter::once(format!("{run}, {} images at each severity", self.images))
            .chain((1..=SEVERITIES).map(|severity| severity.to_string()))
            .chain(["mean".to_string()]);
        let row = |own: &Accuracies| {
            let numbers =
                own.accuracy.iter().chain([&own.mean()]).map(|v| format!("{v:.4}")).collect::<Vec<_>>();
            std::iter::once(own.name.clone()).chain(numbers).collect()
        };
        let mut last = vec!["mean".to_string()];
        let count = self.corruptions.len().max(1) as f64;
        last.extend((0..SEVERITIES).map(|at| {
            format!("{:.4}", self.corruptions.iter().map(|own| own.accuracy[at]).sum::<f64>() / count)
        }));
        last.push(format!("{:.4}", self.mean()));
        std::iter::once(head.collect()).chain(self.corruptions.iter().map(row)).chain([last]).collect()
    }
}

/// One line per run, corruption and severity. Of every run its name, its method and what it answered.
pub fn csv<'a>(runs: impl Iterator<Item = (&'a str, &'a str, &'a Corrupted)>) -> String {
    let mut text = csv::head(COLUMNS);
    for (run, method, corrupted) in runs {
        for own in &corrupted.corruptions {
            for (accuracy, severity) in own.accuracy.iter().zip(1_usize..) {
                text += &csv::line([
                    Cell::text(run),
                    Cell::text(method),
                    Cell::text(&own.name),
                    Cell::number(severity),
                    Cell::number(*accuracy),
                    Cell::number(corrupted.images),
                ]);
            }
        }
    }
    text
}

/// Whether `bytes` are a table that [`csv`] wrote.
pub fn wrote_csv(bytes: &[u8]) -> bool {
    bytes.starts_with(csv::head(COLUMNS).as_bytes())
}

/// The set in `folder`, for models that take what `model` takes.
///
/// # Errors
/// If it cannot be read, or is not for such models.
pub fn open(folder: &Path, model: Problem) -> Result<Corruptions, DataError> {
    let Problem { height, width, channels, classes } = model;
    Corruptions::open(folder, Size { height, width }, channels, classes)
}

/// The answers of every run to a set, or to as many of its images at each severity as `choice` limits it to. `progress`
/// hears of a corruption how many images of it are done, and of how many.
///
/// # Errors
/// If an array cannot be read, or the device fails.
pub fn evaluate(
    device: &Device,
    set: &Corruptions,
    runs: &[Subject],
    choice: &ImageChoice,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Vec<Corrupted>, EvaluationError> {
    let all = set.labels().len();
    let few = choice.limit.filter(|limit| *limit < all);
    let places = match few {
        Some(limit) => stratified(set.labels(), limit, choice.limit_seed),
        None => (0..all as u32).collect(),
    };
    let mut found = vec![Corrupted { images: places.len(), corruptions: Vec::new() }; runs.len()];
    for name in &set.names {
        let images = set.read(name)?;
        for (run, found) in runs.iter().zip(&mut found) {
            let mut accuracy = [0.0; SEVERITIES];
            for (severity, accuracy) in accuracy.iter_mut().enumerate() {
                let own: Vec<u32> = places.iter().map(|place| (severity * all) as u32 + place).collect();
                let own = images.subset(&own);
                let label = format!("{}: {name} {}", run.place.name, severity + 1);
                let pixels = own.to_unit(0..own.len());
                let answers = predict::answers(device, &run.model, &pixels, &mut |done, of| {
                    progress(&label, done, of);
                })
                .map_err(|source| EvaluationError::Attack { name: run.place.name.clone(), source })?;
                let pairs = answers.iter().zip(own.labels());
                let right = pairs.filter(|(answer, label)| **answer == usize::from(**label)).count();
                *accuracy = right as f64 / own.len() as f64;
            }
            found.corruptions.push(Accuracies { name: name.clone(), accuracy });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrupted() -> Corrupted {
        let of = |name: &str, accuracy| Accuracies { name: name.to_string(), accuracy };
        let corruptions = vec![of("fog", [1.0, 0.9, 0.8, 0.7, 0.6]), of("snow", [0.5, 0.4, 0.3, 0.2, 0.1])];
        Corrupted { images: 20, corruptions }
    }

    #[test]
    fn the_mean_is_over_all_corruptions_and_severities() {
        let measure = corrupted().measure();
        assert!((measure.value.unwrap() - 0.55).abs() < 1e-12);
        assert_eq!(measure.images, Some(200));
    }

    #[test]
    fn the_table_has_severities_across_and_means_at_both_ends() {
        let rows = corrupted().rows("mine");
        assert_eq!(rows[0], ["mine, 20 images at each severity", "1", "2", "3", "4", "5", "mean"]);
        assert_eq!(rows[2], ["snow", "0.5000", "0.4000", "0.3000", "0.2000", "0.1000", "0.3000"]);
        assert_eq!(rows[3], ["mean", "0.7500", "0.6500", "0.5500", "0.4500", "0.3500", "0.5500"]);
    }

    #[test]
    fn csv_has_a_line_for_each_severity() {
        let text = csv([("mine", "pgn", &corrupted())].into_iter());
        assert!(wrote_csv(text.as_bytes()));
        assert_eq!(text.lines().count(), 11);
        assert!(text.contains("\nmine,pgn,snow,2,0.4,20\n"), "{text}");
    }
}

//! A verdict in words, as JSON, as CSV, as images, and as the row that RobustBench asks for.

use super::plan::Version;
use super::run::{Judged, Outcome};
use crate::csv::{self, Cell};
use crate::evaluation::Subject;
use crate::evaluation::record::fingerprint_of_classifier;
use crate::evaluation::statistics::{Estimate, estimate_share};
use crate::evaluation::warnings::Warning;
use crate::memory::OutOfMemory;
use crate::models::file::NamedTensor;
use crate::models::sealed;
use crate::nn::Problem;
use crate::program::precision::Precision;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

/// The folder of a verdict, in the run's.
pub const FOLDER: &str = "verdict";
/// A verdict's file, there.
pub const FILE: &str = "verdict.json";
/// Bytes of the largest of these files that is read.
pub const LARGEST: u64 = 1 << 24;
/// What an interrupted verdict goes on from, there.
pub const PIECES: &str = "pieces";
/// Key of the facts in the metadata of the file of images.
pub const METADATA_KEY: &str = "pgn-wgpu.verdict";
/// Seed of the interval's bootstrap.
const BOOTSTRAP_SEED: u64 = 0;

/// What a verdict is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// The model's name in tables.
    pub name: String,
    /// The model's file.
    pub model: String,
    /// Fingerprint of its classifier.
    pub classifier: String,
    /// Fingerprint of the run that made it, if it is known.
    pub run: Option<String>,
    /// Where it was computed.
    pub device: String,
    /// The data set.
    pub data_set: String,
    /// Which of its images.
    pub split: String,
    /// How thorough.
    pub version: Version,
    /// What the images look like.
    pub problem: Problem,
}

impl About {
    /// Of a subject that is judged on `device`.
    pub fn new(subject: &Subject, device: String, (split, version): (&str, Version)) -> Self {
        Self {
            name: subject.place.name.clone(),
            model: subject.place.file.display().to_string(),
            classifier: fingerprint_of_classifier(&subject.model),
            run: subject.model.facts.run.clone(),
            device,
            data_set: subject.data_set.clone(),
            split: split.to_string(),
            version,
            problem: subject.model.facts.problem,
        }
    }
}

/// A verdict as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Version of the program.
    pub program: String,
    /// The model.
    pub model: String,
    /// Fingerprint of its classifier.
    pub classifier: String,
    /// Fingerprint of the run that made it, if it is known.
    pub run: Option<String>,
    /// Where it was computed.
    pub device: String,
    /// How numbers were stored there.
    pub precision: Precision,
    /// The data set, and which of its images.
    pub data_set: String,
    /// The split.
    pub split: String,
    /// Images.
    pub images: usize,
    /// Norm of the radius.
    pub norm: crate::attacks::Norm,
    /// The radius.
    pub epsilon: f32,
    /// How thorough.
    pub version: Version,
    /// Share classified correctly.
    pub benign_accuracy: f64,
    /// Share that withstood everything, with its 95 % interval.
    pub robust_accuracy: Estimate,
    /// What each attack did.
    pub attacks: Vec<Attack>,
    /// How far the nearest adversarial images are, of the version that looks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smallest: Option<super::smallest::Distances>,
    /// Reasons to doubt it.
    pub warnings: Vec<Warning>,
    /// The row of RobustBench's tables, as far as it is known here.
    pub robustbench: Value,
}

/// One attack of a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attack {
    /// As on the command line.
    pub name: String,
    /// Images that it got: those that are classified correctly and, but for the version `smallest`, have withstood all before.
    pub attacked: usize,
    /// Images that it broke and none before had broken; of the version `smallest`, within the radius.
    pub broken: usize,
    /// Robust accuracy after it.
    pub robust_accuracy: f64,
    /// Seconds.
    pub seconds: f64,
}

impl Report {
    /// The report of an outcome that was computed in this precision.
    pub fn new((about, precision): (&About, Precision), outcome: &Outcome, warnings: Vec<Warning>) -> Self {
        let n = outcome.images.len().max(1) as f64;
        let correct = outcome.images.iter().filter(|image| image.clean_prediction == image.label).count();
        let robust_accuracy = robust_accuracy(outcome);
        let mut standing = correct;
        let attacks = outcome.stages.iter().map(|stage| {
            standing -= stage.broken;
            Attack {
                name: stage.options.kind.name().to_string(),
                attacked: stage.attacked,
                broken: stage.broken,
                robust_accuracy: standing as f64 / n,
                seconds: stage.seconds,
            }
        });
        let attacks: Vec<Attack> = attacks.collect();
        let benign_accuracy = correct as f64 / n;
        let percent = |share: f64| format!("{:.2}", 100.0 * share);
        // With few classes some of the attacks are left out, and the number is not AutoAttack's.
        let ran = outcome.stages.iter().map(|stage| stage.options.kind);
        let standard = about.version == Version::Full && ran.eq(Version::Full.attacks().iter().copied());
        let robustbench = json!({
            "name": about.name,
            "dataset": about.data_set,
            "architecture": Value::Null,
            "eps": outcome.radius.epsilon,
            "threat_model": outcome.radius.norm.name(),
            "clean_acc": percent(benign_accuracy),
            "autoattack_acc": standard.then(|| percent(robust_accuracy.value)),
            "reported": percent(robust_accuracy.value),
        });
        Self {
            program: env!("CARGO_PKG_VERSION").to_string(),
            model: about.model.clone(),
            classifier: about.classifier.clone(),
            run: about.run.clone(),
            device: about.device.clone(),
            precision,
            data_set: about.data_set.clone(),
            split: about.split.clone(),
            images: outcome.images.len(),
            norm: outcome.radius.norm,
            epsilon: outcome.radius.epsilon,
            version: about.version,
            benign_accuracy,
            robust_accuracy,
            attacks,
            smallest: None,
            warnings,
            robustbench,
        }
    }

    /// The first line: the number with its interval, and whether it is in doubt.
    pub fn headline(&self) -> String {
        let Estimate { value, low, high, .. } = self.robust_accuracy;
        let doubt = doubt(self.warnings.len());
        format!(
            "robust accuracy {:.2} % [{:.2}, {:.2}] within {} epsilon {}{doubt}",
            100.0 * value,
            100.0 * low,
            100.0 * high,
            self.norm.name(),
            self.epsilon
        )
    }
}

/// What the first line adds where there are warnings.
pub(super) fn doubt(warnings: usize) -> String {
    match warnings {
        0 => String::new(),
        1 => " (in doubt: 1 warning below)".to_string(),
        n => format!(" (in doubt: {n} warnings below)"),
    }
}

/// The share of images that withstood everything, with its interval.
pub fn robust_accuracy(outcome: &Outcome) -> Estimate {
    let robust: Vec<Option<f64>> =
        outcome.images.iter().map(|image| Some(f64::from(u8::from(image.robust())))).collect();
    let nothing = Estimate { value: 0.0, low: 0.0, high: 0.0, images: 0 };
    estimate_share(&robust, BOOTSTRAP_SEED).unwrap_or(nothing)
}

/// The verdict in bytes that this program wrote; `None` of others.
pub fn read(bytes: &[u8]) -> Option<Report> {
    crate::integrity::from_json(bytes).ok()
}

impl Report {
    /// Whether it is about another model file with another classifier than `subject`. A file that was trained further has the same
    /// name, and one that was moved the same classifier.
    pub fn is_about_another(&self, subject: &Subject) -> bool {
        let names = [Path::new(&self.model), &subject.place.file].map(Path::file_name);
        names[0] != names[1] && self.classifier != fingerprint_of_classifier(&subject.model)
    }
}

/// One line per image. Distances are those of the image that broke it; in the smallest version, of the nearest adversarial
/// image, also where that is beyond the radius. `broken_by` is empty there; within the radius it is the attack that found the nearest
/// image, so its counts differ from those of [`Attack::broken`].
pub fn csv(outcome: &Outcome) -> String {
    let names = ["index", "label", "clean_prediction", "robust", "broken_by", "l2", "linf"];
    let line = |image: &Judged| {
        let by = image
            .broken_by
            .map_or_else(Cell::empty, |stage| Cell::text(outcome.stages[stage].options.kind.name()));
        csv::line([
            Cell::number(image.index),
            Cell::number(image.label),
            Cell::number(image.clean_prediction),
            Cell::number(image.robust()),
            by,
            Cell::optional(image.distance.map(|[l2, _]| l2)),
            Cell::optional(image.distance.map(|[_, linf]| linf)),
        ])
    };
    csv::head(names) + &outcome.images.iter().map(line).collect::<String>()
}

/// The images that were broken, `adversarial` `[n, c, h, w]` in [0, 1], with `index` `[n]`: their places in the split.
///
/// # Errors
/// If there is no memory for them.
pub fn images(about: &About, outcome: &Outcome, report: &Report) -> Result<Vec<u8>, OutOfMemory> {
    let problem = about.problem;
    let broken: Vec<&Judged> = outcome.images.iter().filter(|image| image.adversarial.is_some()).collect();
    let pixels: Vec<f32> =
        broken.iter().flat_map(|image| image.adversarial.clone().unwrap_or_default()).collect();
    let planes =
        crate::evaluation::export::channels_first(&pixels, problem.height * problem.width, problem.channels);
    let n = broken.len();
    let index: Vec<f32> = broken.iter().map(|image| image.index as f32).collect();
    let tensors: [NamedTensor; 2] = [
        ("adversarial".to_string(), vec![n, problem.channels, problem.height, problem.width], planes),
        ("index".to_string(), vec![n], index),
    ];
    sealed::file_of(&tensors, METADATA_KEY, report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;
    use crate::threat::Radius;
    use crate::verdict::Plan;
    use crate::verdict::run::Stage;

    /// The report of a verdict in which every attack of the plan for so many classes ran, on no images.
    fn report(version: Version, classes: usize) -> Report {
        let about = About {
            name: "m".into(),
            model: "m.safetensors".into(),
            classifier: "a".into(),
            run: None,
            device: "d".into(),
            data_set: "c".into(),
            split: "test".into(),
            version,
            problem: Problem { height: 1, width: 2, channels: 1, classes },
        };
        let radius = Radius::l2(0.5);
        let ran = |options| Stage { options, attacked: 0, broken: 0, zero_gradients: 0, seconds: 0.0 };
        let stages = Plan::new(version, radius.norm, radius.epsilon, classes).attacks.into_iter().map(ran);
        let outcome = Outcome { radius, stages: stages.collect(), images: Vec::new() };
        Report::new((&about, Precision::F32), &outcome, Vec::new())
    }

    #[test]
    fn a_verdict_is_autoattacks_where_all_of_its_attacks_have_run() {
        let all = report(Version::Full, 10);
        assert_eq!(all.attacks.last().unwrap().name, AttackKind::SQUARE.name());
        assert!(all.robustbench["autoattack_acc"].is_string());
        let few = report(Version::Full, 3);
        assert!(few.attacks.len() < all.attacks.len() && few.robustbench["autoattack_acc"].is_null());
        assert!(report(Version::Quick, 10).robustbench["autoattack_acc"].is_null());
    }
}

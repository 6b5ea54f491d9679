//! What an attack did to each image of a run, kept in a file from the moment it is known: an interrupted evaluation
//! goes on from there. A file's name tells for which weights, options and images it holds, so results of other
//! settings lie beside each other and nothing is ever taken for something else. A checksum finds damage; a damaged record is
//! named and computed again.

use super::statistics::{Attacked, sum};
use crate::attacks::{AttackKind, AttackOptions, AttackOutcome, Goal, ImageVerdict, Norm};
use crate::data::Images;
use crate::executor::Device;
use crate::files::{self, FileError};
use crate::integrity;
use crate::models::file::Model;
use crate::pgn::Recipe;
use crate::program::precision::Precision;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the names of records begin whose images were made on another classifier.
const BLACK_BOX: &str = "black-box-";
/// Bytes of the largest record that is read: half a million images.
pub const LARGEST_RECORD: u64 = 64 << 20;
/// A temporary file that old belongs to a process that was killed: writing a record takes seconds.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// Everything that decides a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Key {
    /// Version of the program.
    pub version: String,
    /// Fingerprint of the attacked classifier.
    pub classifier: String,
    /// Fingerprint of the run that trained it, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Fingerprint of the classifier that the images were made on, if it is another one.
    pub made_on: Option<String>,
    /// The attack.
    pub options: AttackOptions,
    /// Fingerprint of the images and labels.
    pub images: String,
    /// How the device stored activations.
    #[serde(default, skip_serializing_if = "is_f32")]
    pub precision: Precision,
    /// The device with its driver: another one rounds differently, and may be asked because this one is in doubt. Shards of a verdict
    /// may come from different ones and have none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_f32(precision: &Precision) -> bool {
    *precision == Precision::F32
}

/// Grows when an attack changes, or what counts as its success. What was kept before is computed again.
const RULES: u32 = 2;

impl Key {
    /// The key for attacking `model` on a device, on images of this fingerprint, with images made on itself or on `made_on`.
    pub fn new(
        model: &Model,
        made_on: Option<&Model>,
        options: &AttackOptions,
        images: &str,
        device: &Device,
    ) -> Self {
        Self {
            version: format!("{}+{RULES}", env!("CARGO_PKG_VERSION")),
            classifier: fingerprint_of_model(model, options.kind),
            run: model.facts.run.clone(),
            made_on: made_on.map(|m| fingerprint_of_model(m, options.kind)),
            options: options.clone(),
            images: images.to_string(),
            precision: device.precision(),
            device: Some(device.identity()),
        }
    }

    fn file_name(&self) -> String {
        let text = serde_json::to_string(self).expect("keys are plain values");
        let kind = if self.made_on.is_some() { BLACK_BOX } else { "" };
        format!("{kind}{}-{}.json", self.options.kind.name(), fingerprint_of_text(&text))
    }
}

/// One attack on one run, image by image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// What it is a record of.
    pub key: Key,
    /// True classes.
    pub labels: Vec<usize>,
    /// The classifier's answers to the images.
    pub clean_predictions: Vec<usize>,
    /// Its answers to the attacked images.
    pub predictions: Vec<usize>,
    /// The class that each image was led to, if the attack leads to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<usize>>,
    /// Euclidean norms of the perturbations.
    pub l2: Vec<f32>,
    /// Largest absolute values of the perturbations.
    pub linf: Vec<f32>,
    /// Whether the gradient of the image's own class at the image is exactly zero, also where the attack has a target or starts
    /// at random.
    pub zero_gradient: Vec<bool>,
    /// Seconds of the attack.
    pub seconds: f64,
}

impl Record {
    /// The record of an attack on the classifier itself.
    pub fn white_box(key: Key, outcome: AttackOutcome) -> Self {
        let AttackOutcome { labels, clean_predictions, predictions, targets, l2, linf, .. } = outcome;
        let (zero_gradient, seconds) = (outcome.zero_gradient, outcome.seconds);
        Self { key, labels, clean_predictions, predictions, targets, l2, linf, zero_gradient, seconds }
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The record of some of its images.
    #[must_use]
    pub fn subset(&self, images: &[u32]) -> Self {
        fn of<T: Copy>(all: &[T], images: &[u32]) -> Vec<T> {
            images.iter().map(|&i| all[i as usize]).collect()
        }
        Self {
            key: self.key.clone(),
            labels: of(&self.labels, images),
            clean_predictions: of(&self.clean_predictions, images),
            predictions: of(&self.predictions, images),
            targets: self.targets.as_ref().map(|targets| of(targets, images)),
            l2: of(&self.l2, images),
            linf: of(&self.linf, images),
            zero_gradient: of(&self.zero_gradient, images),
            seconds: self.seconds,
        }
    }

    /// The attack.
    pub fn kind(&self) -> AttackKind {
        self.key.options.kind
    }

    /// What the attack came to on image `i`.
    pub fn verdict(&self, i: usize) -> ImageVerdict {
        let target = self.targets.as_ref().map(|targets| targets[i]);
        ImageVerdict::of(self.labels[i], self.clean_predictions[i], self.predictions[i], target)
    }

    /// Images with this verdict.
    pub fn count(&self, verdict: ImageVerdict) -> usize {
        (0..self.len()).filter(|&i| self.verdict(i) == verdict).count()
    }

    /// Whether image `i` was classified correctly before the attack.
    pub fn correct(&self, i: usize) -> bool {
        self.verdict(i) != ImageVerdict::AlreadyWrong
    }

    /// Whether image `i` is classified correctly before the attack, which did not succeed on it.
    pub fn robust(&self, i: usize) -> bool {
        matches!(self.verdict(i), ImageVerdict::Withstood | ImageVerdict::OfTarget)
    }

    /// How far image `i` was moved, in a norm.
    pub fn length(&self, norm: Norm, i: usize) -> f64 {
        f64::from(match norm {
            Norm::L2 => self.l2[i],
            Norm::Linf => self.linf[i],
        })
    }

    /// Mean Euclidean norm of the perturbations of the images that were attacked.
    pub fn mean_l2(&self) -> f64 {
        let lengths = (0..self.len()).filter(|&i| self.correct(i)).map(|i| f64::from(self.l2[i]));
        sum(lengths) / (self.len() - self.count(ImageVerdict::AlreadyWrong)).max(1) as f64
    }

    /// Share of the first `images` images that are robust.
    pub fn accuracy(&self, images: usize) -> f64 {
        (0..images).filter(|&i| self.robust(i)).count() as f64 / images.max(1) as f64
    }

    /// Image `i` as the statistics of distances want it.
    pub fn attacked(&self, i: usize) -> Attacked {
        Attacked { verdict: self.verdict(i), length: self.length(self.key.options.norm, i) }
    }

    fn whole(&self) -> bool {
        let n = self.len();
        let numbers = [self.clean_predictions.len(), self.predictions.len(), self.l2.len()];
        let answers = [self.linf.len(), self.zero_gradient.len()];
        let targets = self.targets.as_ref().map(Vec::len);
        numbers.into_iter().chain(answers).chain(targets).all(|len| len == n)
    }
}

/// The folder in which a run's records are kept.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Records in `folder`, which is made when the first one is saved.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// Looks for the record for `key`.
    pub fn load(&self, key: &Key) -> Kept {
        let path = self.folder.join(key.file_name());
        if !path.exists() {
            return Kept::Absent;
        }
        match read(&path) {
            Ok(record) if record.key == *key => Kept::Whole(Box::new(record)),
            // Two keys of one fingerprint, which is as good as impossible.
            Ok(_) => Kept::Absent,
            Err(problem) => Kept::Damaged(problem),
        }
    }

    /// All whole records of attacks on this classifier itself, however they were set, and a sentence for each file that
    /// cannot be read.
    pub fn white_box(&self, model: &Model) -> (Vec<Record>, Vec<String>) {
        let own = |record: &Record| {
            let fingerprint = fingerprint_of_model(model, record.kind());
            record.key.made_on.is_none() && record.key.classifier == fingerprint
        };
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for path in self.paths() {
            match read(&path) {
                Ok(record) if own(&record) => records.push(record),
                Ok(_) => {}
                Err(problem) => damaged.push(problem),
            }
        }
        (records, damaged)
    }

    /// The files of all records, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_record(path)).collect();
        paths.sort();
        paths
    }

    /// Keeps a record.
    pub fn save(&self, record: &Record) -> Result<(), FileError> {
        files::create_folder(&self.folder)?;
        files::remove_leftovers(&self.folder, ABANDONED_AFTER, |_| true);
        files::write(&self.folder.join(record.key.file_name()), &integrity::to_json(record))
    }
}

/// What the folder has for a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// The record.
    Whole(Box<Record>),
    /// Nothing.
    Absent,
    /// A file that cannot be believed: a sentence that names it.
    Damaged(String),
}

/// Whether a file has the name of a record.
pub fn is_record(path: &Path) -> bool {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let kind = name.strip_prefix(BLACK_BOX).unwrap_or(&name).rsplit_once('-').map_or("", |(kind, _)| kind);
    path.extension().is_some_and(|e| e == "json")
        && AttackKind::all().iter().any(|known| known.name() == kind)
}

/// The record in a file.
///
/// # Errors
/// A sentence that names the file, if it is damaged, its lists have different lengths, or it has the name of another record.
pub fn read(path: &Path) -> Result<Record, String> {
    let bytes = files::read_at_most(path, LARGEST_RECORD).map_err(|error| error.to_string())?;
    let record: Record = integrity::from_json(&bytes)
        .map_err(|reason| format!("{} cannot be believed: {reason}", path.display()))?;
    let name = record.key.file_name();
    match (record.whole(), path.file_name().is_some_and(|own| *own == *name)) {
        (true, true) => Ok(record),
        (false, _) => Err(format!("{} has lists of different lengths", path.display())),
        (_, false) => Err(format!(
            "{} has another record than its name says: that of {name}, of other weights, images or settings",
            path.display()
        )),
    }
}

/// FNV-1a over 64 bits: tells weights and images apart, and is the same on every machine.
struct Fingerprint(u64);

impl Fingerprint {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn hex(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// Of what an attack of `kind` sees of a model: the network, its averaged values and, for PGN, the generator.
fn fingerprint_of_model(model: &Model, kind: AttackKind) -> String {
    let mut hash = Fingerprint::new();
    let generator = model.generator.as_ref().filter(|_| kind.goal == Goal::Generator);
    // The same values compute something else in other layers.
    hash.add(&serde_json::to_vec(&model.classifier).expect("networks are plain data"));
    // So does another recipe; the paper's adds nothing.
    let recipe = generator.map(|(generator, _)| &generator.recipe);
    let usual = Recipe { gradient_input: model.facts.generator.gradient_input, ..Recipe::default() };
    if let Some(recipe) = recipe.filter(|recipe| **recipe != usual) {
        hash.add(&serde_json::to_vec(recipe).expect("recipes are plain data"));
    }
    let networks = std::iter::once(&model.average).chain(generator.map(|(_, values)| values));
    for weight in networks.flat_map(|values| values.weights.iter().chain(&values.buffers)) {
        hash.add(&weight.to_le_bytes());
    }
    hash.hex()
}

/// Of a model's classifier with its averaged values.
pub fn fingerprint_of_classifier(model: &Model) -> String {
    // Any attack on the classifier alone sees all that counts.
    fingerprint_of_model(model, AttackKind::FGM)
}

/// Of a text, such as a key.
pub fn fingerprint_of_text(text: &str) -> String {
    let mut hash = Fingerprint::new();
    hash.add(text.as_bytes());
    hash.hex()
}

/// Of numbers.
pub fn fingerprint_of_values(values: &[f32]) -> String {
    let mut hash = Fingerprint::new();
    for value in values {
        hash.add(&value.to_le_bytes());
    }
    hash.hex()
}

/// Of images and labels.
pub fn fingerprint_of_images(images: &Images) -> String {
    let mut hash = Fingerprint::new();
    // The width follows from the number of bytes.
    hash.add(&(images.size().height as u64).to_le_bytes());
    for i in 0..images.len() {
        hash.add(&images.label(i).to_le_bytes());
        hash.add(images.image(i));
    }
    hash.hex()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record of three images of classes 0, 1, 2: robust, fooled at 0.5, misclassified from the start.
    pub fn record(kind: AttackKind) -> Record {
        let key = Key {
            version: "1".into(),
            classifier: "a".into(),
            run: None,
            made_on: None,
            options: AttackOptions::new(kind),
            images: "b".into(),
            precision: Precision::F32,
            device: None,
        };
        Record {
            key,
            labels: vec![0, 1, 2],
            clean_predictions: vec![0, 1, 0],
            predictions: vec![0, 2, 0],
            targets: None,
            l2: vec![0.75, 0.5, 0.0],
            linf: vec![0.3, 0.2, 0.0],
            zero_gradient: vec![false; 3],
            seconds: 1.0,
        }
    }

    #[test]
    fn a_record_comes_back_for_its_own_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("evaluation"));
        let record = record(AttackKind::MIM);
        store.save(&record).unwrap();
        assert_eq!(store.load(&record.key), Kept::Whole(Box::new(record.clone())));
        let other_weights = Key { classifier: "c".into(), ..record.key.clone() };
        let other_source = Key { made_on: Some("c".into()), ..record.key.clone() };
        let mut other_epsilon = record.key.clone();
        other_epsilon.options.epsilon = 0.25;
        let other_precision = Key { precision: Precision::Mixed, ..record.key.clone() };
        let other_device = Key { device: Some("d".into()), ..record.key.clone() };
        for key in [other_weights, other_source, other_epsilon, other_precision, other_device] {
            assert_eq!(store.load(&key), Kept::Absent, "{key:?}");
        }
    }

    #[test]
    fn a_record_that_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let mut record = record(AttackKind::CW);
        let path = folder.path().join(record.key.file_name());
        let problem = || match store.load(&record.key) {
            Kept::Damaged(problem) => problem,
            other => panic!("{other:?}"),
        };
        store.save(&record).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(store.paths(), std::slice::from_ref(&path));
        for byte in [0, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[byte] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(problem().contains("cw-"), "{}", problem());
        }
        std::fs::write(&path, b"{").unwrap();
        assert!(problem().contains("no checksum"), "{}", problem());
        let other = Record { key: Key { classifier: "c".into(), ..record.key.clone() }, ..record.clone() };
        std::fs::write(&path, integrity::to_json(&other)).unwrap();
        assert!(problem().contains("another record than its name says"), "{}", problem());
        record.l2.pop();
        store.save(&record).unwrap();
        let Kept::Damaged(problem) = store.load(&record.key) else { panic!("not damaged") };
        assert!(problem.contains("different lengths"), "{problem}");
    }

    #[test]
    fn an_image_that_was_wrong_from_the_start_is_no_gain_even_in_its_own_class() {
        let mut record = record(AttackKind::FGM);
        record.predictions[2] = 2;
        assert_eq!([record.accuracy(3), record.accuracy(1)], [1.0 / 3.0, 1.0]);
        assert_eq!(ImageVerdict::ALL.map(|verdict| record.count(verdict)), [1, 1, 1, 0]);
    }

    #[test]
    fn a_mean_norm_is_over_the_images_that_were_attacked() {
        assert_eq!(record(AttackKind::FGM).mean_l2(), 0.625);
    }
}

//! A piece of a verdict: what one attack did to some images, in a file of its own from the moment it is known. An
//! interrupted verdict goes on from its pieces, and one of more images begins with those of fewer.
//!
//! What an attack does to an image depends on no other image. So pieces are searched image by image, and it does not matter
//! which images were judged together. A checksum finds damage; what a damaged piece holds is computed again.

use super::report::PIECES;
use crate::attacks::{AttackOptions, AttackOutcome, ImageVerdict, Norm};
use crate::data::Images;
use crate::evaluation::record::{Key, fingerprint_of_images, fingerprint_of_text, fingerprint_of_values};
use crate::files::{self, FileError};
use crate::models::container::Container;
use crate::models::file::ModelFileError;
use crate::models::file::NamedTensor;
use crate::models::sealed::{self, Origin};
use crate::threat::Radius;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Key of the facts in a piece's metadata.
pub const METADATA_KEY: &str = "pgn-wgpu.verdict-piece";

/// Everything that decides what happens to an image, beside the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Model, attack and precision; of no images.
    pub attack: Key,
    /// Norm and radius that count, also for a minimum-norm attack.
    pub norm: Norm,
    /// See `norm`.
    pub epsilon: f32,
}

/// An image: where it is in its split, which random numbers follow, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageKey(u32, String);

impl ImageKey {
    /// Of image `i` of `images`, which has this place in its split.
    pub fn new(images: &Images, i: u32, place: u32) -> Self {
        Self(place, fingerprint_of_images(&images.subset(&[i])))
    }

    /// Of the same image for an attack that starts at another one.
    #[must_use]
    pub fn from(&self, start: &[f32]) -> Self {
        Self(self.0, format!("{} from {}", self.1, fingerprint_of_values(start)))
    }
}

/// What one attack did to some images.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// For each image, whether it was classified correctly before.
    pub correct: Vec<bool>,
    /// The class that it was taken for before the attack.
    pub clean_predictions: Vec<usize>,
    /// Whether its gradient is exactly zero; false of images that were wrong before.
    pub zero_gradient: Vec<bool>,
    /// For each image that the attack has broken within the radius, its place in the piece and the image.
    pub broken: Vec<(usize, Vec<f32>)>,
    /// Seconds of the attack.
    pub seconds: f64,
}

/// The facts of a file.
#[derive(Serialize, Deserialize)]
struct Facts {
    question: Question,
    images: Vec<ImageKey>,
    seconds: f64,
    zero_gradient: Vec<bool>,
    clean_predictions: Vec<usize>,
    correct: Vec<bool>,
    broken: Vec<usize>,
}

impl Piece {
    /// What of an outcome counts within the attack's radius.
    pub fn new(outcome: &AttackOutcome, options: &AttackOptions) -> Self {
        let (pixels, radius) = (outcome.problem.pixels(), Radius::of(options));
        let lengths = if radius.norm == Norm::L2 { &outcome.l2 } else { &outcome.linf };
        let within = |i: usize| radius.holds(f64::from(lengths[i]), pixels);
        let broken = (0..outcome.len()).filter(|&i| outcome.verdict(i) == ImageVerdict::Fooled && within(i));
        let correct: Vec<bool> =
            (0..outcome.len()).map(|i| outcome.verdict(i) != ImageVerdict::AlreadyWrong).collect();
        Self {
            broken: broken.map(|i| (i, outcome.adversarial[i * pixels..][..pixels].to_vec())).collect(),
            clean_predictions: outcome.clean_predictions.clone(),
            zero_gradient: (0..outcome.len()).map(|i| correct[i] && outcome.zero_gradient[i]).collect(),
            seconds: outcome.seconds,
            correct,
        }
    }

    /// The image that broke the classifier at this place of the piece, if one did.
    pub fn broken(&self, place: usize) -> Option<&[f32]> {
        let found = self.broken.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        Some(&self.broken[found].1)
    }
}

/// What is known of images under one question.
#[derive(Default)]
pub struct Known {
    pieces: Vec<Piece>,
    /// The piece of each image, and its place there.
    places: HashMap<ImageKey, (usize, usize)>,
}

impl Known {
    /// Adds a piece about these images.
    pub fn add(&mut self, images: &[ImageKey], piece: Piece) {
        let number = self.pieces.len();
        for (i, image) in images.iter().enumerate() {
            self.places.entry(image.clone()).or_insert((number, i));
        }
        self.pieces.push(piece);
    }

    /// The number of the piece that has an image, and the image's place there.
    pub fn place(&self, image: &ImageKey) -> Option<(usize, usize)> {
        self.places.get(image).copied()
    }

    /// A piece by its number.
    pub fn piece(&self, number: usize) -> &Piece {
        &self.pieces[number]
    }
}

/// The folder of pieces.
pub struct Pieces {
    /// Nothing is kept without one.
    folder: Option<PathBuf>,
}

impl Pieces {
    /// Pieces in `folder`, which is made before the first attack.
    pub fn new(folder: &Path) -> Self {
        Self { folder: Some(folder.to_path_buf()) }
    }

    /// The pieces that the verdict in `folder` goes on from.
    pub fn of_verdict(folder: &Path) -> Self {
        Self::new(&folder.join(PIECES))
    }

    /// Pieces that are not kept: an interrupted verdict begins anew.
    pub fn not_kept() -> Self {
        Self { folder: None }
    }

    /// What the folder holds about a question; `damaged` is told a sentence about each file that cannot be believed.
    pub fn known(&self, question: &Question, damaged: &mut dyn FnMut(&str)) -> Known {
        let mut known = Known::default();
        let Some(Ok(entries)) = self.folder.as_ref().map(std::fs::read_dir) else { return known };
        let prefix = format!("{}-", question.attack.options.kind.name());
        let own = |path: &PathBuf| {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            // Names of attacks have hyphens too; a fingerprint has none.
            name.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('-'))
                && name.ends_with(".safetensors")
        };
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(own).collect();
        paths.sort();
        for path in paths {
            match read(&path, question) {
                Ok(Some((images, piece))) => known.add(&images, piece),
                Ok(None) => {}
                Err(problem) => damaged(&problem.to_string()),
            }
        }
        known
    }

    /// Tries to write, before an attack is made whose result could not be kept.
    ///
    /// # Errors
    /// If the folder cannot be made or written into.
    pub fn check_writable(&self) -> Result<(), FileError> {
        self.folder.as_deref().map_or(Ok(()), files::check_writable)
    }

    /// Keeps a piece about these images.
    pub fn save(
        &self,
        question: &Question,
        images: &[ImageKey],
        piece: &Piece,
    ) -> Result<(), super::run::VerdictError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        files::create_folder(folder)?;
        let text = serde_json::to_string(&(question, images)).expect("keys are plain values");
        let kind = question.attack.options.kind.name();
        let path = folder.join(format!("{kind}-{}.safetensors", fingerprint_of_text(&text)));
        let facts = Facts {
            question: question.clone(),
            images: images.to_vec(),
            seconds: piece.seconds,
            zero_gradient: piece.zero_gradient.clone(),
            clean_predictions: piece.clean_predictions.clone(),
            correct: piece.correct.clone(),
            broken: piece.broken.iter().map(|(place, _)| *place).collect(),
        };
        let tensors: Vec<NamedTensor> = piece
            .broken
            .iter()
            .map(|(i, image)| (format!("{i:06}"), vec![image.len()], image.clone()))
            .collect();
        let bytes = sealed::file_of(&tensors, METADATA_KEY, &facts)?;
        files::write(&path, &bytes)?;
        Ok(())
    }
}

/// The images and the content of a piece about `question`; nothing if it is about another one, or if another version of the
/// program wrote it.
fn read(path: &Path, question: &Question) -> Result<Option<(Vec<ImageKey>, Piece)>, ModelFileError> {
    let damaged = |reason: String| ModelFileError::Format { path: path.to_path_buf(), reason };
    let mut file = Container::open(path)?;
    // The facts have a checksum of their own, so that a piece about something else is not read to its end.
    let facts = file.metadata.get(METADATA_KEY).map(|entry| sealed::facts::<Facts>(entry));
    if matches!(&facts, Some(Ok(facts)) if facts.question != *question) {
        return Ok(None);
    }
    let Origin::Ours(Some(_)) = file.origin(METADATA_KEY)? else {
        return Err(damaged("it is no piece of a verdict".to_string()));
    };
    let Some(Ok(facts)) = facts else { return Ok(None) };
    let mut tensors: Vec<(String, usize)> =
        file.tensors.iter().enumerate().map(|(index, (name, _))| (name.clone(), index)).collect();
    tensors.sort();
    let mut images = Vec::new();
    for (_, index) in tensors {
        images.push(file.values(index)?);
    }
    let count = facts.images.len();
    let lengths = [facts.correct.len(), facts.zero_gradient.len(), facts.clean_predictions.len()];
    if images.len() != facts.broken.len() || lengths != [count; 3] {
        return Err(damaged("its lists have different lengths".to_string()));
    }
    if !facts.broken.is_sorted() || facts.broken.iter().any(|&place| place >= count) {
        return Err(damaged("it names images that it does not have".to_string()));
    }
    let Facts { images: keys, seconds, zero_gradient, clean_predictions, correct, broken, .. } = facts;
    let broken = broken.into_iter().zip(images).collect();
    Ok(Some((keys, Piece { correct, clean_predictions, zero_gradient, broken, seconds })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;
    use crate::nn::Problem;

    #[test]
    fn a_success_counts_that_rounding_brings_beyond_a_small_radius() {
        const EPSILON: f32 = 5e-5;
        let images = vec![0.75; 64];
        let adversarial: Vec<f32> = images.iter().map(|pixel| pixel + EPSILON).collect();
        let linf = adversarial[0] - 0.75;
        assert!(linf > EPSILON * 1.0001, "{linf}");
        let outcome = AttackOutcome {
            problem: Problem { height: 8, width: 8, channels: 1, classes: 2 },
            images,
            adversarial,
            labels: vec![0],
            clean_predictions: vec![0],
            predictions: vec![1],
            targets: None,
            l2: vec![8.0 * linf],
            linf: vec![linf],
            zero_gradient: vec![false],
            seconds: 0.0,
        };
        let at = |epsilon| AttackOptions { epsilon, norm: Norm::Linf, ..AttackOptions::new(AttackKind::PGD) };
        assert!(Piece::new(&outcome, &at(EPSILON)).broken(0).is_some());
        assert!(Piece::new(&outcome, &at(0.99 * EPSILON)).broken(0).is_none());
    }
}

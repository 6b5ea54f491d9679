//! A piece of a verdict: what one attack did to some images, in a file of its own from the moment it is known. An
//! interrupted verdict goes on from its pieces.
//!
//! The name of a piece is the fingerprint of everything that decides it. A checksum finds damage; a damaged piece is
//! computed again.

use crate::attacks::{AttackOptions, AttackOutcome, Norm, Verdict};
use crate::evaluation::record::{Key, fingerprint_of_text};
use crate::files;
use crate::models::container::Container;
use crate::models::file::ModelFileError;
use crate::models::file::NamedTensor;
use crate::models::sealed::{self, Origin};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Key of the facts in a piece's metadata.
const METADATA_KEY: &str = "pgn-wgpu.verdict-piece";

/// Everything that decides a piece.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PieceKey {
    /// Model, attack, images and precision.
    pub attack: Key,
    /// Norm and radius that count, also for an attack that looks for the smallest perturbation.
    pub norm: Norm,
    /// See `norm`.
    pub epsilon: f32,
    /// Places of the images in their split; random numbers follow them.
    pub places: Vec<u32>,
}

/// What one attack did to some images.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// For each image, whether it was classified correctly before.
    pub correct: Vec<bool>,
    /// The class that it was taken for before the attack.
    pub clean_predictions: Vec<usize>,
    /// For each image that the attack has broken within the radius, its place in the piece and the image.
    pub broken: Vec<(usize, Vec<f32>)>,
    /// Share of the attacked images whose gradient is exactly zero.
    pub zero_gradients: usize,
    /// Seconds of the attack.
    pub seconds: f64,
}

/// The facts of a file.
#[derive(Serialize, Deserialize)]
struct Facts {
    key: PieceKey,
    seconds: f64,
    zero_gradients: usize,
    clean_predictions: Vec<usize>,
    correct: Vec<bool>,
    broken: Vec<usize>,
}

impl Piece {
    /// What of an outcome counts within the attack's radius. Rounding is allowed for where the radius is compared.
    pub fn new(outcome: &AttackOutcome, options: &AttackOptions) -> Self {
        let pixels = outcome.problem.pixels();
        let within = |i: usize| {
            let lengths = if options.norm == Norm::L2 { &outcome.l2 } else { &outcome.linf };
            f64::from(lengths[i]) <= f64::from(options.epsilon) * (1.0 + RADIUS_ROUNDING)
        };
        let broken = (0..outcome.len()).filter(|&i| outcome.verdict(i) == Verdict::Fooled && within(i));
        let correct: Vec<bool> =
            (0..outcome.len()).map(|i| outcome.verdict(i) != Verdict::AlreadyWrong).collect();
        let zero = (0..outcome.len()).filter(|&i| correct[i] && outcome.zero_gradient[i]).count();
        Self {
            broken: broken.map(|i| (i, outcome.adversarial[i * pixels..][..pixels].to_vec())).collect(),
            clean_predictions: outcome.clean_predictions.clone(),
            zero_gradients: zero,
            seconds: outcome.seconds,
            correct,
        }
    }
}

/// What a projection's length may be off by, in units of the radius; as every attack's images are checked.
const RADIUS_ROUNDING: f64 = 1e-4;

/// The folder of pieces.
pub struct Pieces {
    folder: PathBuf,
}

impl Pieces {
    /// Pieces in `folder`, which is made when the first one is kept.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    fn path(&self, key: &PieceKey) -> PathBuf {
        let text = serde_json::to_string(key).expect("keys are plain values");
        let name = key.attack.options.kind.name();
        self.folder.join(format!("{name}-{}.safetensors", fingerprint_of_text(&text)))
    }

    /// The piece of this key, if it is there; a sentence about it if it is damaged.
    pub fn load(&self, key: &PieceKey) -> Result<Option<Piece>, String> {
        let path = self.path(key);
        if !path.exists() {
            return Ok(None);
        }
        match read(&path) {
            Ok((facts, images)) if facts.key == *key => {
                let broken = facts.broken.into_iter().zip(images).collect();
                let Facts { seconds, zero_gradients, clean_predictions, correct, .. } = facts;
                Ok(Some(Piece { correct, clean_predictions, broken, zero_gradients, seconds }))
            }
            Ok(_) => Ok(None),
            Err(problem) => Err(problem.to_string()),
        }
    }

    /// Keeps a piece.
    pub fn save(&self, key: &PieceKey, piece: &Piece) -> Result<(), super::run::VerdictError> {
        files::create_folder(&self.folder)?;
        let facts = Facts {
            key: key.clone(),
            seconds: piece.seconds,
            zero_gradients: piece.zero_gradients,
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
        files::write(&self.path(key), &bytes)?;
        Ok(())
    }
}

/// The facts of a piece, and its images in order.
fn read(path: &Path) -> Result<(Facts, Vec<Vec<f32>>), ModelFileError> {
    let damaged = |reason: String| ModelFileError::Format { path: path.to_path_buf(), reason };
    let mut file = Container::open(path)?;
    let Origin::Ours(Some(entry)) = file.origin(METADATA_KEY)? else {
        return Err(damaged("it is no piece of a verdict".to_string()));
    };
    let facts: Facts = sealed::facts(&entry).map_err(|reason| damaged(reason.to_string()))?;
    let mut tensors: Vec<(String, usize)> =
        file.tensors.iter().enumerate().map(|(index, (name, _))| (name.clone(), index)).collect();
    tensors.sort();
    let mut images = Vec::new();
    for (_, index) in tensors {
        let bytes = file.bytes(index)?;
        images.push(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect());
    }
    let (count, places) = (facts.correct.len(), facts.key.places.len());
    if images.len() != facts.broken.len() || count != places || facts.clean_predictions.len() != count {
        return Err(damaged("its lists have different lengths".to_string()));
    }
    Ok((facts, images))
}

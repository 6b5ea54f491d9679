//! Runs the attacks of a plan, one after the other, each on the images that still stand.

use super::piece::{Piece, PieceKey, Pieces};
use super::plan::Plan;
use crate::attacks::{AttackError, AttackOptions, Attacker, Norm};
use crate::evaluation::record::{Key, fingerprint_of_images, fingerprint_of_values};
use crate::evaluation::suite::{Radius, Watcher};
use crate::evaluation::{Event, Subject};
use crate::executor::Device;
use crate::files::FileError;
use crate::memory::OutOfMemory;

/// Images of one piece: so many are lost at most when a verdict is interrupted.
pub(super) const PIECE: usize = 500;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerdictError {
    /// An attack.
    #[error("{name}: {source}")]
    Attack {
        /// The model.
        name: String,
        /// What went wrong.
        source: AttackError,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// A radius of 0.
    #[error(
        "--epsilon 0 is not possible; it must be above 0, because every classifier withstands changes of nothing"
    )]
    NoRadius,
}

/// What became of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Its place in the split.
    pub index: u32,
    /// Its class.
    pub label: usize,
    /// The class that it was taken for before any attack.
    pub clean_prediction: usize,
    /// The attack that broke it, by its place in the plan.
    pub broken_by: Option<usize>,
    /// The image that did it.
    pub adversarial: Option<Vec<f32>>,
    /// How far that is from the original, in L2 and Linf.
    pub distance: Option<[f64; 2]>,
}

impl Judged {
    /// Whether it was classified correctly, before and after every attack.
    pub fn robust(&self) -> bool {
        self.clean_prediction == self.label && self.broken_by.is_none()
    }
}

/// What one attack did.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The attack.
    pub options: AttackOptions,
    /// Images that it got.
    pub attacked: usize,
    /// Images that it broke.
    pub broken: usize,
    /// Of the images that it got, those whose gradient is exactly zero.
    pub zero_gradients: usize,
    /// Seconds, without verification.
    pub seconds: f64,
}

/// Everything that was found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The radius.
    pub radius: Radius,
    /// In the order of the plan.
    pub stages: Vec<Stage>,
    /// In the order of the images.
    pub images: Vec<Judged>,
}

/// Judges the images of `subject`.
///
/// # Errors
/// If an attack cannot run, or a piece cannot be written.
pub fn run(
    device: &Device,
    subject: &Subject,
    plan: &Plan,
    radius: Radius,
    pieces: &Pieces,
    watch: Watcher,
) -> Result<Outcome, VerdictError> {
    if radius.epsilon == 0.0 {
        return Err(VerdictError::NoRadius);
    }
    let labels = subject.images.labels();
    let judged = |(i, &index): (usize, &u32)| {
        let label = usize::from(labels[i]);
        // Until the first attack has looked, every image stands.
        Judged { index, label, clean_prediction: label, broken_by: None, adversarial: None, distance: None }
    };
    let mut images: Vec<Judged> = subject.indices.iter().enumerate().map(judged).collect();
    let mut stages = Vec::new();
    for (number, options) in plan.attacks.iter().enumerate() {
        let standing: Vec<u32> = (0..images.len() as u32).filter(|&i| images[i as usize].robust()).collect();
        let attacker = Stand { device, subject, options, pieces };
        stages.push(attacker.stage(number, &standing, &mut images, watch)?);
    }
    Ok(Outcome { radius, stages, images })
}

/// One attack on some images.
pub(super) struct Stand<'a> {
    pub device: &'a Device,
    pub subject: &'a Subject,
    pub options: &'a AttackOptions,
    pub pieces: &'a Pieces,
}

impl Stand<'_> {
    fn stage(
        &self,
        number: usize,
        standing: &[u32],
        images: &mut [Judged],
        watch: Watcher,
    ) -> Result<Stage, VerdictError> {
        let label = format!("{} on {}", self.options.kind.title, self.subject.place.name);
        let (mut broken, mut zero_gradients, mut seconds, mut done) = (0, 0, 0.0, 0);
        for chosen in standing.chunks(PIECE) {
            let piece = self.piece(chosen, &[], &mut |event| match event {
                Event::Progress(_, own, _) => watch(Event::Progress(&label, done + own, standing.len())),
                other => watch(other),
            })?;
            zero_gradients += piece.zero_gradients;
            seconds += piece.seconds;
            for (place, clean) in chosen.iter().zip(&piece.clean_predictions) {
                images[*place as usize].clean_prediction = *clean;
            }
            broken += piece.broken.len();
            for (place, adversarial) in piece.broken {
                let at = chosen[place] as usize;
                let original = self.subject.images.to_unit(at..at + 1);
                let distance = Norm::ALL.map(|norm| norm.distance(&original, &adversarial));
                let image = &mut images[at];
                (image.broken_by, image.adversarial) = (Some(number), Some(adversarial));
                image.distance = Some(distance);
            }
            done += chosen.len();
        }
        if !standing.is_empty() {
            watch(Event::Finished(&label, seconds));
        }
        let attacked = standing.len();
        Ok(Stage { options: self.options.clone(), attacked, broken, zero_gradients, seconds })
    }

    /// From its file where it is kept there. `starts` are the images at which the attack starts, if it starts at given ones.
    pub fn piece(&self, chosen: &[u32], starts: &[f32], watch: Watcher) -> Result<Piece, VerdictError> {
        let images = self.subject.images.subset(chosen);
        let mut fingerprint = fingerprint_of_images(&images);
        if !starts.is_empty() {
            fingerprint += &format!(" from {}", fingerprint_of_values(starts));
        }
        let precision = self.device.precision();
        let attack = Key::new(&self.subject.model, None, self.options, &fingerprint, precision);
        let places: Vec<u32> = chosen.iter().map(|&i| self.subject.indices[i as usize]).collect();
        let AttackOptions { norm, epsilon, .. } = *self.options;
        let key = PieceKey { attack, norm, epsilon, places };
        match self.pieces.load(&key) {
            Ok(Some(piece)) => return Ok(piece),
            Ok(None) => {}
            Err(problem) => watch(Event::Damaged(&problem)),
        }
        let refused = |source| VerdictError::Attack { name: self.subject.place.name.clone(), source };
        let mut attacker =
            Attacker::new(self.device, &self.subject.model, self.options.clone(), images.len())
                .map_err(refused)?;
        let places: Vec<usize> = key.places.iter().map(|&place| place as usize).collect();
        let progress = &mut |done, total| watch(Event::Progress("", done, total));
        let outcome = attacker.run_from(&images, &places, starts, progress).map_err(refused)?;
        let piece = Piece::new(&outcome, self.options);
        self.pieces.save(&key, &piece)?;
        Ok(piece)
    }
}

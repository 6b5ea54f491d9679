//! Runs the attacks of a plan, one after the other, each on the images that still stand. What pieces know of an image is
//! not computed again.

use super::piece::{ImageKey, Known, Piece, Pieces, Question};
use super::plan::Plan;
use crate::attacks::{AttackError, AttackOptions, Attacker, Norm};
use crate::evaluation::record::Key;
use crate::evaluation::statistics;
use crate::evaluation::suite::Watcher;
use crate::evaluation::{Event, Subject};
use crate::executor::Device;
use crate::files::FileError;
use crate::memory::OutOfMemory;
use crate::shard::Shard;
use crate::threat::Radius;

/// Images of one piece: so many are lost at most when a verdict is interrupted.
const PIECE: usize = 500;

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
        "`epsilon` 0 is not possible; it must be above 0, because every classifier withstands changes of nothing"
    )]
    NoRadius,
    /// More shards than images.
    #[error(
        "`shard` {shard} cannot be: {} shards of {images} images leave some of them without an image; take at most {images}",
        shard.of()
    )]
    EmptyShards {
        /// The shard.
        shard: Shard,
        /// Images of the whole.
        images: usize,
    },
    /// No attack of the plan suits the model.
    #[error("{name} has too few classes for every attack of this verdict, so nothing would be attacked")]
    NothingToRun {
        /// The model.
        name: String,
    },
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
    /// Images that it attacked: of those that it got, the ones that are classified correctly.
    pub attacked: usize,
    /// Images that it broke.
    pub broken: usize,
    /// Of the images that it attacked, those whose gradient is exactly zero.
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

/// Refuses more shards than images: some would have none.
///
/// # Errors
/// [`VerdictError::EmptyShards`].
pub fn check_shard(shard: Shard, images: usize) -> Result<(), VerdictError> {
    match shard.of() > images {
        true => Err(VerdictError::EmptyShards { shard, images }),
        false => Ok(()),
    }
}

/// What pieces know the images at these positions by.
pub(super) fn keys(subject: &Subject, positions: &[u32]) -> Vec<ImageKey> {
    let key = |&i: &u32| ImageKey::new(&subject.images, i, subject.indices[i as usize]);
    positions.iter().map(key).collect()
}

/// Judges the shard's images of `subject`.
///
/// # Errors
/// If the shard has no images, an attack cannot run, or a piece cannot be written.
pub fn run(
    device: &Device,
    subject: &Subject,
    plan: &Plan,
    (radius, shard): (Radius, Shard),
    pieces: &Pieces,
    watch: Watcher,
) -> Result<Outcome, VerdictError> {
    if radius.epsilon == 0.0 {
        return Err(VerdictError::NoRadius);
    }
    if plan.attacks.is_empty() {
        return Err(VerdictError::NothingToRun { name: subject.place.name.clone() });
    }
    check_shard(shard, subject.images.len())?;
    let positions = shard.positions(subject.images.len());
    let judged = |&position: &u32| {
        let label = usize::from(subject.images.labels()[position as usize]);
        let index = subject.indices[position as usize];
        // Until the first attack has looked, every image stands.
        Judged { index, label, clean_prediction: label, broken_by: None, adversarial: None, distance: None }
    };
    let mut images: Vec<Judged> = positions.iter().map(judged).collect();
    let keys = keys(subject, &positions);
    let mut stages = Vec::new();
    for (number, options) in plan.attacks.iter().enumerate() {
        let label = format!("{} on {}", options.kind.title, subject.place.name);
        let (positions, keys, starts) = (&positions, &keys, &[]);
        let attempt = Attempt { device, subject, options, pieces, label, positions, keys, starts };
        let standing: Vec<usize> = (0..images.len()).filter(|&i| images[i].robust()).collect();
        let known = attempt.all_known(&standing, watch)?;
        stages.push(attempt.tally(number, &standing, &known, &mut images));
    }
    Ok(Outcome { radius, stages, images })
}

/// One attack on some of the images. Images are meant by their numbers in the shard.
pub(super) struct Attempt<'a> {
    pub device: &'a Device,
    pub subject: &'a Subject,
    pub options: &'a AttackOptions,
    pub pieces: &'a Pieces,
    /// What people who wait are told.
    pub label: String,
    /// Of the shard's images among those of the subject.
    pub positions: &'a [u32],
    pub keys: &'a [ImageKey],
    /// Where the attack starts at each image, for one that starts at given images.
    pub starts: &'a [Vec<f32>],
}

impl Attempt<'_> {
    /// Everything about the images that stand: from pieces, and for the rest by the attack.
    pub fn all_known(&self, standing: &[usize], watch: Watcher) -> Result<Known, VerdictError> {
        let attack = Key::new(&self.subject.model, None, self.options, "", self.device);
        let AttackOptions { norm, epsilon, .. } = *self.options;
        let question = Question { attack, norm, epsilon };
        let mut known = self.pieces.known(&question, &mut |problem| watch(Event::Damaged(problem)));
        let missing: Vec<usize> =
            standing.iter().copied().filter(|&i| known.place(&self.keys[i]).is_none()).collect();
        let label = &self.label;
        if missing.is_empty() && !standing.is_empty() {
            watch(Event::Known(label));
        }
        if !missing.is_empty() {
            self.pieces.check_writable()?;
        }
        let (mut done, mut seconds) = (standing.len() - missing.len(), 0.0);
        for chosen in missing.chunks(PIECE) {
            let images: Vec<ImageKey> = chosen.iter().map(|&i| self.keys[i].clone()).collect();
            watch(Event::Progress(label, done, standing.len()));
            let piece =
                self.attack(chosen, &mut |own| watch(Event::Progress(label, done + own, standing.len())))?;
            self.pieces.save(&question, &images, &piece)?;
            done += chosen.len();
            seconds += piece.seconds;
            known.add(&images, piece);
        }
        if !missing.is_empty() {
            watch(Event::Finished(label, seconds));
        }
        Ok(known)
    }

    /// Attacks these images; `progress` is told how many are done.
    fn attack(&self, chosen: &[usize], progress: &mut dyn FnMut(usize)) -> Result<Piece, VerdictError> {
        let positions: Vec<u32> = chosen.iter().map(|&i| self.positions[i]).collect();
        let images = self.subject.images.subset(&positions);
        let places: Vec<usize> =
            positions.iter().map(|&position| self.subject.indices[position as usize] as usize).collect();
        let refused = |source| VerdictError::Attack { name: self.subject.place.name.clone(), source };
        let mut attacker =
            Attacker::new(self.device, &self.subject.model, self.options.clone(), images.len())
                .map_err(refused)?;
        let starts: Vec<f32> = match self.starts {
            [] => Vec::new(),
            starts => chosen.iter().flat_map(|&i| starts[i].iter().copied()).collect(),
        };
        let outcome =
            attacker.run_from(&images, &places, &starts, &mut |done, _| progress(done)).map_err(refused)?;
        Ok(Piece::new(&outcome, self.options))
    }

    /// Enters what is known of the images that stand, and counts it.
    fn tally(&self, number: usize, standing: &[usize], known: &Known, images: &mut [Judged]) -> Stage {
        let (mut attacked, mut broken, mut zero_gradients) = (0, 0, 0);
        for &i in standing {
            let (at, place) = known.place(&self.keys[i]).expect("all are known");
            let piece = known.piece(at);
            attacked += usize::from(piece.clean_predictions[place] == images[i].label);
            zero_gradients += usize::from(piece.zero_gradient[place]);
            images[i].clean_prediction = piece.clean_predictions[place];
            if let Some(adversarial) = piece.broken(place) {
                let position = self.positions[i] as usize;
                let original = self.subject.images.to_unit(position..position + 1);
                let distance = Norm::ALL.map(|norm| norm.distance(&original, adversarial));
                images[i].broken_by = Some(number);
                images[i].adversarial = Some(adversarial.to_vec());
                images[i].distance = Some(distance);
                broken += 1;
            }
        }
        let seconds = self.seconds(standing, known);
        Stage { options: self.options.clone(), attacked, broken, zero_gradients, seconds }
    }

    /// Seconds of the attack on these images: of a piece with other images too, their share.
    pub fn seconds(&self, images: &[usize], known: &Known) -> f64 {
        // The pieces in the order in which they are needed, and how many of these images each has.
        let mut used: Vec<(usize, usize)> = Vec::new();
        for &i in images {
            let (at, _) = known.place(&self.keys[i]).expect("all are known");
            match used.iter_mut().find(|(piece, _)| *piece == at) {
                Some((_, count)) => *count += 1,
                None => used.push((at, 1)),
            }
        }
        let share = |&(piece, count): &(usize, usize)| {
            let piece = known.piece(piece);
            piece.seconds * (count as f64 / piece.correct.len() as f64)
        };
        statistics::sum(used.iter().map(share))
    }
}

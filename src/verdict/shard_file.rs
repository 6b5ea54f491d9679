//! The file of a shard: writing and reading it.
//!
//! It has everything that the whole needs: which verdict it is a part of, what became of each of its images, the images that were
//! broken, and of minimum-norm attacks how far each came.
//!
//! What a file tells of each image is a tensor with a number for each, because the header of a file may not be long.

use super::plan::{Plan, Version};
use super::report::About;
use super::run::{Judged, Outcome, VerdictError};
use super::smallest::Hunted;
use crate::attacks::Norm;
use crate::evaluation::record::{Key, fingerprint_of_images, fingerprint_of_text};
use crate::evaluation::{Subject, Warning};
use crate::executor::Device;
use crate::files;
use crate::memory::OutOfMemory;
use crate::models::container::Container;
use crate::models::file::{ModelFileError, TypedTensor};
use crate::models::sealed::{self, Origin};
use crate::shard::Shard;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Key of the facts in a shard's metadata.
pub const METADATA_KEY: &str = "pgn-wgpu.verdict-shard";
/// How names of shards begin.
pub(super) const PREFIX: &str = "shard-";
/// The tensors with a number for each image: its place in the split, its class, and the class that it was taken for.
const INDEX: &str = "index";
const LABEL: &str = "label";
const CLEAN_PREDICTION: &str = "clean_prediction";
/// The tensors about each image that was fooled: which of the shard's images it is, the attack that did it within the radius
/// (-1 if none did), and how far it is in L2 and Linf.
const FOOLED: &str = "fooled";
const BROKEN_BY: &str = "broken_by";
const DISTANCES: &str = "distances";
/// The tensor with the images that were broken.
const ADVERSARIAL: &str = "adversarial";
/// The tensor with the distances at which each search fooled each image.
const LENGTHS: &str = "lengths";

/// What the shards of one verdict have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Whole {
    /// One for each attack: model, options, precision, and the fingerprint of all images with their places.
    pub(super) attacks: Vec<Key>,
    pub(super) images: usize,
    pub(super) norm: Norm,
    pub(super) epsilon: f32,
    pub(super) version: Version,
    pub(super) data_set: String,
    pub(super) split: String,
}

impl Whole {
    /// The first thing in which two differ, with both values.
    pub(super) fn difference(&self, other: &Self) -> Option<(&'static str, [String; 2])> {
        let of = |value: fn(&Self) -> String| [value(self), value(other)];
        let first =
            |whole: &Self, value: fn(&Key) -> String| whole.attacks.first().map_or_else(String::new, value);
        let of_key = |value: fn(&Key) -> String| [first(self, value), first(other, value)];
        let data = |whole: &Self| {
            let images = first(whole, |key| key.images.clone());
            format!("{} {} images of {} ({images})", whole.images, whole.split, whole.data_set)
        };
        let run = |key: &Key| key.run.clone().map_or_else(String::new, |run| format!(" of run {run}"));
        let model = |whole: &Self| {
            first(whole, |key| key.classifier.clone()) + &whole.attacks.first().map_or_else(String::new, run)
        };
        let options = |whole: &Self| {
            let all: Vec<_> = whole.attacks.iter().map(|key| &key.options).collect();
            serde_json::to_string(&all).unwrap_or_default()
        };
        [
            ("program's version", of_key(|key| key.version.clone())),
            ("model", [model(self), model(other)]),
            ("norm", of(|whole| whole.norm.name().to_string())),
            ("epsilon", of(|whole| whole.epsilon.to_string())),
            ("version", of(|whole| whole.version.name().to_string())),
            ("data", [data(self), data(other)]),
            ("precision", of_key(|key| key.precision.name().to_string())),
            ("list of attacks", [options(self), options(other)]),
        ]
        .into_iter()
        .find(|(_, [own, other])| own != other)
    }
}

/// The facts of a file, whatever the number of its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) number: usize,
    pub(super) of: usize,
    pub(super) whole: Whole,
    pub(super) about: About,
    pub(super) notes: Vec<String>,
    pub(super) answers: Vec<Warning>,
    /// Attacked, broken and without a gradient, of each attack.
    pub(super) counts: Vec<[usize; 3]>,
    pub(super) seconds: Vec<f64>,
    /// Of minimum-norm attacks: where each led images, and images of which it came nearest.
    pub(super) hunted: Vec<(String, usize)>,
}

/// What a file tells of each image.
struct Columns {
    index: Vec<u32>,
    label: Vec<usize>,
    clean_prediction: Vec<usize>,
    /// Of each image that was fooled: which of the shard's images, by which attack if within the radius, and how far in L2
    /// and Linf.
    broken: Vec<(usize, Option<usize>, f64, f64)>,
}

impl Columns {
    fn of(images: &[Judged]) -> Self {
        let broken = |(i, image): (usize, &Judged)| {
            let [l2, linf] = image.distance?;
            Some((i, image.broken_by, l2, linf))
        };
        Self {
            index: images.iter().map(|image| image.index).collect(),
            label: images.iter().map(|image| image.label).collect(),
            clean_prediction: images.iter().map(|image| image.clean_prediction).collect(),
            broken: images.iter().enumerate().filter_map(broken).collect(),
        }
    }

    /// The columns as tensors.
    fn tensors(&self) -> Vec<Tensor> {
        let (images, fooled) = (self.index.len(), self.broken.len());
        let by = |by: Option<usize>| by.map_or(-1, |by| by as i64);
        let distances = self.broken.iter().flat_map(|&(.., l2, linf)| [l2, linf]);
        vec![
            whole(INDEX, images, self.index.iter().map(|&index| i64::from(index))),
            whole(LABEL, images, self.label.iter().map(|&label| label as i64)),
            whole(CLEAN_PREDICTION, images, self.clean_prediction.iter().map(|&class| class as i64)),
            whole(FOOLED, fooled, self.broken.iter().map(|&(i, ..)| i as i64)),
            whole(BROKEN_BY, fooled, self.broken.iter().map(|broken| by(broken.1))),
            (DISTANCES, Dtype::F64, vec![fooled, 2], distances.flat_map(f64::to_le_bytes).collect()),
        ]
    }

    /// The columns in a file's tensors; nothing if it does not have them all, or numbers that cannot be.
    fn read(file: &mut Container) -> Result<Option<Self>, ModelFileError> {
        let mut whole = |name: &str| numbers(file, name, Dtype::I64, i64::from_le_bytes);
        let of_all = [whole(INDEX)?, whole(LABEL)?, whole(CLEAN_PREDICTION)?];
        let of_fooled = [whole(FOOLED)?, whole(BROKEN_BY)?];
        let distances = numbers(file, DISTANCES, Dtype::F64, f64::from_le_bytes)?;
        let ([Some(index), Some(label), Some(clean)], [Some(fooled), Some(by)], Some(distances)) =
            (of_all, of_fooled, distances)
        else {
            return Ok(None);
        };
        let (Some(index), Some(label), Some(clean_prediction), Some(fooled)) =
            (natural(&index), natural(&label), natural(&clean), natural(&fooled))
        else {
            return Ok(None);
        };
        let of_fooled = fooled.into_iter().zip(by).zip(distances.as_chunks::<2>().0);
        let broken =
            of_fooled.map(|((i, by), &[l2, linf])| (i, usize::try_from(by).ok(), l2, linf)).collect();
        Ok(Some(Self { index, label, clean_prediction, broken }))
    }

    /// Refuses columns that cannot be those of a shard with these facts.
    fn check(&self, facts: &Facts, shard: Shard) -> Result<(), &'static str> {
        let images = self.index.len();
        // Before memory is taken for them.
        if facts.whole.images > (images + 1) * shard.of() {
            return Err("it has too few images");
        }
        let (positions, stages) = (shard.positions(facts.whole.images).len(), facts.whole.attacks.len());
        let lengths = [images, self.label.len(), self.clean_prediction.len()];
        if lengths != [positions; 3] || [facts.counts.len(), facts.seconds.len()] != [stages; 2] {
            return Err("its lists have different lengths");
        }
        Ok(())
    }

    /// What became of each image. `values` are the pixels of the images that were fooled, one image after the other.
    ///
    /// # Errors
    /// If they cannot be those of a shard with these facts.
    fn judged(&self, facts: &Facts, values: &[f32]) -> Result<Vec<Judged>, &'static str> {
        let (pixels, stages) = (facts.about.problem.pixels(), facts.whole.attacks.len());
        let possible = |(i, by, ..): &(usize, Option<usize>, f64, f64)| {
            *i < self.index.len() && by.is_none_or(|by| by < stages)
        };
        if values.len() != self.broken.len() * pixels || !self.broken.iter().all(possible) {
            return Err("it has other images than it names");
        }
        let mut images: Vec<Judged> = (0..self.index.len())
            .map(|i| Judged {
                index: self.index[i],
                label: self.label[i],
                clean_prediction: self.clean_prediction[i],
                broken_by: None,
                adversarial: None,
                distance: None,
            })
            .collect();
        for (&(i, by, l2, linf), adversarial) in self.broken.iter().zip(values.chunks_exact(pixels.max(1))) {
            images[i].broken_by = by;
            images[i].adversarial = Some(adversarial.to_vec());
            images[i].distance = Some([l2, linf]);
        }
        Ok(images)
    }
}

/// The same numbers, if all of them are possible.
fn natural<T: TryFrom<i64>>(numbers: &[i64]) -> Option<Vec<T>> {
    numbers.iter().map(|&number| T::try_from(number).ok()).collect()
}

/// A tensor of a file: its name, type, extents and bytes.
type Tensor = (&'static str, Dtype, Vec<usize>, Vec<u8>);

/// A tensor of so many whole numbers.
fn whole(name: &'static str, count: usize, numbers: impl Iterator<Item = i64>) -> Tensor {
    (name, Dtype::I64, vec![count], numbers.flat_map(i64::to_le_bytes).collect())
}

/// The bytes of numbers, one part after the other.
fn bytes_of(parts: &[&[f32]]) -> Vec<u8> {
    let parts: Vec<&[u8]> = parts.iter().map(|part| bytemuck::cast_slice(part)).collect();
    parts.concat()
}

/// A judged shard.
pub struct Judgement<'a> {
    /// Which.
    pub shard: Shard,
    /// What it is about.
    pub about: About,
    /// The attacks.
    pub plan: &'a Plan,
    /// What [`checks::answers`] found.
    pub answers: Vec<Warning>,
    /// What became of its images.
    pub outcome: &'a Outcome,
    /// What each minimum-norm attack found, of the version `smallest`.
    pub hunted: Option<&'a Hunted>,
}

impl Judgement<'_> {
    /// Writes the shard into `folder` and returns its path.
    ///
    /// # Errors
    /// If there is no memory, or the file cannot be written.
    pub fn save(&self, subject: &Subject, device: &Device, folder: &Path) -> Result<PathBuf, VerdictError> {
        let places = serde_json::to_string(&subject.indices).expect("plain numbers");
        let images = fingerprint_of_text(&(fingerprint_of_images(&subject.images) + &places));
        let attacks = self.plan.attacks.iter();
        let whole = Whole {
            attacks: attacks
                .map(|options| Key {
                    device: None,
                    ..Key::new(&subject.model, None, options, &images, device)
                })
                .collect(),
            images: subject.images.len(),
            norm: self.outcome.radius.norm,
            epsilon: self.outcome.radius.epsilon,
            version: self.about.version,
            data_set: self.about.data_set.clone(),
            split: self.about.split.clone(),
        };
        let bytes = self.bytes(whole)?;
        files::create_folder(folder)?;
        let path = folder.join(format!("{PREFIX}{}-of-{}.safetensors", self.shard.number(), self.shard.of()));
        files::write(&path, &bytes)?;
        Ok(path)
    }

    /// The file's bytes.
    fn bytes(&self, whole: Whole) -> Result<Vec<u8>, OutOfMemory> {
        let mut tensors = Columns::of(&self.outcome.images).tensors();
        tensors.extend(self.pixels_and_lengths());
        let typed: Vec<TypedTensor<'_>> = tensors
            .iter()
            .map(|(name, dtype, extents, bytes)| (*name, *dtype, extents.as_slice(), bytes.as_slice()))
            .collect();
        sealed::file_of_typed(&typed, METADATA_KEY, &self.facts(whole))
    }

    /// The images that were broken and, of minimum-norm attacks, how far each came.
    fn pixels_and_lengths(&self) -> Vec<Tensor> {
        let images = &self.outcome.images;
        let broken: Vec<&[f32]> = images.iter().filter_map(|image| image.adversarial.as_deref()).collect();
        let shape = vec![broken.len(), self.about.problem.pixels()];
        let mut tensors = vec![(ADVERSARIAL, Dtype::F32, shape, bytes_of(&broken))];
        if let Some(hunted) = self.hunted {
            let lengths: Vec<&[f32]> = hunted.lengths.iter().map(Vec::as_slice).collect();
            tensors.push((LENGTHS, Dtype::F32, vec![lengths.len(), images.len()], bytes_of(&lengths)));
        }
        tensors
    }

    fn facts(&self, whole: Whole) -> Facts {
        let stages = &self.outcome.stages;
        let counts = |hunted: &Hunted| {
            let searches = hunted.targets.iter().zip(&hunted.nearest);
            searches.map(|(target, &nearest)| (target.clone(), nearest)).collect()
        };
        Facts {
            number: self.shard.number(),
            of: self.shard.of(),
            whole,
            about: self.about.clone(),
            notes: self.plan.notes.clone(),
            answers: self.answers.clone(),
            counts: stages.iter().map(|s| [s.attacked, s.broken, s.zero_gradients]).collect(),
            seconds: stages.iter().map(|stage| stage.seconds).collect(),
            hunted: self.hunted.map(counts).unwrap_or_default(),
        }
    }
}

/// A shard that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) path: PathBuf,
    pub(super) shard: Shard,
    pub(super) facts: Facts,
    pub(super) images: Vec<Judged>,
    /// The distances of every minimum-norm attack.
    pub(super) lengths: Vec<Vec<f32>>,
}

impl Read {
    pub(super) fn load(path: &Path) -> Result<Self, ModelFileError> {
        let damaged =
            |reason: &str| ModelFileError::Format { path: path.to_path_buf(), reason: reason.to_string() };
        let mut file = Container::open(path)?;
        let Origin::Ours(Some(entry)) = file.origin(METADATA_KEY)? else {
            return Err(damaged("it is no shard of a verdict"));
        };
        let of_another_build = |_| ModelFileError::Architecture {
            path: path.to_path_buf(),
            problem: "another build wrote this shard; judge it again".to_string(),
        };
        let facts: Facts = sealed::facts(&entry).map_err(of_another_build)?;
        let without = "it lacks the numbers of its images; judge this shard again";
        let columns = Columns::read(&mut file)?.ok_or_else(|| damaged(without))?;
        let shard =
            Shard::new(facts.number, facts.of).ok_or_else(|| damaged("it is a shard that cannot be"))?;
        columns.check(&facts, shard).map_err(damaged)?;
        let pixels = numbers(&mut file, ADVERSARIAL, Dtype::F32, f32::from_le_bytes)?
            .ok_or_else(|| damaged("it has no images"))?;
        let images = columns.judged(&facts, &pixels).map_err(damaged)?;
        let lengths = numbers(&mut file, LENGTHS, Dtype::F32, f32::from_le_bytes)?.unwrap_or_default();
        let lengths = of_each_search(&lengths, &facts, images.len()).map_err(damaged)?;
        Ok(Self { path: path.to_path_buf(), shard, facts, images, lengths })
    }
}

/// The distances of each search over so many images. `lengths` are those of all searches, one after the other.
///
/// # Errors
/// If they cannot be those of a shard with these facts.
fn of_each_search(lengths: &[f32], facts: &Facts, images: usize) -> Result<Vec<Vec<f32>>, &'static str> {
    let smallest = facts.whole.version == Version::Smallest;
    let searches = if smallest { facts.whole.attacks.len() } else { 0 };
    if facts.hunted.len() != searches || lengths.len() != searches * images {
        return Err("it has other distances than it names");
    }
    Ok(lengths.chunks(images.max(1)).map(<[f32]>::to_vec).collect())
}

/// The numbers of a tensor of this type, if the file has it.
fn numbers<T, const N: usize>(
    file: &mut Container,
    name: &str,
    dtype: Dtype,
    number: fn([u8; N]) -> T,
) -> Result<Option<Vec<T>>, ModelFileError> {
    let own = file.tensors.iter().position(|(own, info)| own == name && info.dtype == dtype);
    let Some(own) = own else { return Ok(None) };
    Ok(Some(file.bytes(own)?.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::{AttackKind, AttackOptions};
    use crate::nn::Problem;
    use crate::program::precision::Precision;
    use crate::threat::Radius;
    use crate::verdict::merge::{Merged, merge};
    use crate::verdict::run::Stage;

    fn options() -> AttackOptions {
        AttackOptions::new(AttackKind::APGD_CE)
    }

    /// So many images, nine of ten fooled, every fifth of those beyond the radius.
    fn outcome(images: usize) -> Outcome {
        let image = |i: usize| {
            let fooled = !i.is_multiple_of(10);
            Judged {
                index: i as u32,
                label: i % 4,
                clean_prediction: i % 3,
                broken_by: (fooled && !i.is_multiple_of(5)).then_some(0),
                adversarial: fooled.then(|| vec![i as f32, 0.5]),
                distance: fooled.then(|| [i as f64 / 7.0, 1.0 / 3.0]),
            }
        };
        let stage =
            Stage { options: options(), attacked: images, broken: 2, zero_gradients: 1, seconds: 1.5 };
        let radius = Radius { norm: Norm::L2, epsilon: 0.5 };
        Outcome { radius, stages: vec![stage], images: (0..images).map(image).collect() }
    }

    fn whole_of(images: usize) -> Whole {
        let key = Key {
            version: "1".into(),
            classifier: "a".into(),
            run: None,
            made_on: None,
            options: options(),
            images: "b".into(),
            precision: Precision::Mixed,
            device: None,
        };
        Whole {
            attacks: vec![key],
            images,
            norm: Norm::L2,
            epsilon: 0.5,
            version: Version::Quick,
            data_set: "c".into(),
            split: "test".into(),
        }
    }

    /// The bytes of a file of this outcome.
    fn file(outcome: &Outcome) -> Vec<u8> {
        let about = About {
            name: "m".into(),
            model: "m.safetensors".into(),
            classifier: "a".into(),
            run: None,
            device: "d".into(),
            data_set: "c".into(),
            split: "test".into(),
            version: Version::Quick,
            problem: Problem { height: 1, width: 2, channels: 1, classes: 4 },
        };
        let plan = Plan { attacks: vec![options()], notes: Vec::new() };
        let (shard, answers) = (Shard::WHOLE, Vec::new());
        let judgement = Judgement { shard, about, plan: &plan, answers, outcome, hunted: None };
        judgement.bytes(whole_of(outcome.images.len())).unwrap()
    }

    fn merged_from(bytes: &[u8]) -> Merged {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shard-1-of-1.safetensors"), bytes).unwrap();
        merge(&[folder.path().to_path_buf()]).unwrap()
    }

    #[test]
    fn a_shard_of_any_number_of_images_comes_back_to_the_last_digit() {
        let judged = outcome(100_000);
        let merged = merged_from(&file(&judged));
        assert_eq!((merged.outcome, merged.precision), (judged, Precision::Mixed));
    }

    #[test]
    fn numbers_that_cannot_be_are_none() {
        assert_eq!(natural::<u32>(&[0, 7]), Some(vec![0, 7]));
        assert!(natural::<usize>(&[-1]).is_none() && natural::<u32>(&[1 << 40]).is_none());
    }
}

//! Shards in files, and how they become one verdict.
//!
//! A shard's file has everything that the whole needs: which verdict it is a part of, what became of each of its images, and
//! the images that were broken, and of searches for the smallest perturbation how far each came. So merging needs neither the model nor the data nor a device. Shards of different
//! verdicts are refused with the first thing in which they differ.

use super::checks;
use super::plan::{Plan, Version};
use super::report::About;
use super::run::{Judged, Outcome, Stage, VerdictError};
use super::smallest::{Distances, Hunted};
use crate::attacks::Norm;
use crate::evaluation::record::{Key, fingerprint_of_images, fingerprint_of_text};
use crate::evaluation::suite::Radius;
use crate::evaluation::{Subject, Warning};
use crate::executor::Device;
use crate::files;
use crate::models::container::Container;
use crate::models::file::{ModelFileError, NamedTensor};
use crate::models::sealed::{self, Origin};
use crate::program::precision::Precision;
use crate::shard::Shard;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Key of the facts in a shard's metadata.
pub const METADATA_KEY: &str = "pgn-wgpu.verdict-shard";
/// How names of shards begin.
const PREFIX: &str = "shard-";
/// More missing shards are counted, not named.
const MOST_NAMED: usize = 20;
/// The tensor with the images that were broken.
const ADVERSARIAL: &str = "adversarial";
/// The tensor with the distances at which each search fooled each image.
const LENGTHS: &str = "lengths";

/// Why shards are no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A file.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// No shard.
    #[error(
        "there is no shard of a verdict in {folders}; judge some with `pgn-wgpu verdict MODEL --shard 1/4` and so on"
    )]
    None {
        /// Where.
        folders: String,
    },
    /// Shards of different numbers.
    #[error("{} is one of {first_of} shards and {} one of {other_of}, so they overlap; merge those of one number and leave the others out", first.display(), other.display())]
    Numbers {
        /// A shard.
        first: PathBuf,
        /// How many it belongs to.
        first_of: usize,
        /// Another.
        other: PathBuf,
        /// How many that belongs to.
        other_of: usize,
    },
    /// A shard that is there twice.
    #[error("{} and {} are both shard {shard}, so they overlap; leave one of them out", first.display(), other.display())]
    Twice {
        /// A file.
        first: PathBuf,
        /// Another.
        other: PathBuf,
        /// The shard.
        shard: Shard,
    },
    /// Shards that are not there.
    #[error(
        "of {of} shards these are missing in {folders}: {missing}; judge them with `shard`, then merge again"
    )]
    Missing {
        /// How many there should be.
        of: usize,
        /// Where.
        folders: String,
        /// Which.
        missing: String,
    },
    /// Shards of different verdicts.
    #[error("{} and {} are shards of different verdicts: the {what} is {first_value} in one and {other_value} in the other", first.display(), other.display())]
    Different {
        /// A shard.
        first: PathBuf,
        /// Another.
        other: PathBuf,
        /// In what they differ.
        what: &'static str,
        /// Of the first.
        first_value: String,
        /// Of the other.
        other_value: String,
    },
}

/// What the shards of one verdict have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Whole {
    /// One for each attack: model, options, precision, and the fingerprint of all images with their places.
    attacks: Vec<Key>,
    images: usize,
    norm: Norm,
    epsilon: f32,
    version: Version,
    data_set: String,
    split: String,
}

impl Whole {
    /// The first thing in which two differ, with both values.
    fn difference(&self, other: &Self) -> Option<(&'static str, [String; 2])> {
        let of = |value: fn(&Self) -> String| [value(self), value(other)];
        let first =
            |whole: &Self, value: fn(&Key) -> String| whole.attacks.first().map_or_else(String::new, value);
        let of_key = |value: fn(&Key) -> String| [first(self, value), first(other, value)];
        let data = |whole: &Self| {
            let images = first(whole, |key| key.images.clone());
            format!("{} {} images of {} ({images})", whole.images, whole.split, whole.data_set)
        };
        let precision = |key: &Key| match key.precision {
            Precision::F32 => "f32".to_string(),
            Precision::Mixed => "mixed".to_string(),
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
            ("precision", of_key(precision)),
            ("list of attacks", [options(self), options(other)]),
        ]
        .into_iter()
        .find(|(_, [own, other])| own != other)
    }
}

/// The facts of a file. Images are told in columns, because the header of a file may not be long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Facts {
    number: usize,
    of: usize,
    whole: Whole,
    about: About,
    notes: Vec<String>,
    answers: Vec<Warning>,
    /// Attacked, broken and without a gradient, of each attack.
    counts: Vec<[usize; 3]>,
    seconds: Vec<f64>,
    index: Vec<u32>,
    label: Vec<usize>,
    clean_prediction: Vec<usize>,
    /// Of each image that was fooled: which of the shard's images, by which attack if within the radius, and how far in L2
    /// and Linf.
    broken: Vec<(usize, Option<usize>, f64, f64)>,
    /// Of searches for the smallest perturbation: where each led images, images attacked, and images of which it came nearest.
    hunted: Vec<(String, usize, usize)>,
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
    /// What each search for the smallest perturbation found, of the version of that name.
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
        let facts = self.facts(whole);
        let broken: Vec<&[f32]> =
            self.outcome.images.iter().filter_map(|image| image.adversarial.as_deref()).collect();
        let shape = vec![broken.len(), self.about.problem.pixels()];
        let mut tensors: Vec<NamedTensor> = vec![(ADVERSARIAL.to_string(), shape, broken.concat())];
        if let Some(hunted) = self.hunted {
            let shape = vec![hunted.lengths.len(), self.outcome.images.len()];
            tensors.push((LENGTHS.to_string(), shape, hunted.lengths.concat()));
        }
        let bytes = sealed::file_of(&tensors, METADATA_KEY, &facts)?;
        files::create_folder(folder)?;
        let path = folder.join(format!("{PREFIX}{}-of-{}.safetensors", self.shard.number(), self.shard.of()));
        files::write(&path, &bytes)?;
        Ok(path)
    }

    fn facts(&self, whole: Whole) -> Facts {
        let Outcome { stages, images, .. } = self.outcome;
        let broken = |(i, image): (usize, &Judged)| {
            let [l2, linf] = image.distance?;
            Some((i, image.broken_by, l2, linf))
        };
        let counts = |hunted: &Hunted| {
            let searches = hunted.targets.iter().zip(&hunted.attacked).zip(&hunted.nearest);
            searches.map(|((target, &attacked), &nearest)| (target.clone(), attacked, nearest)).collect()
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
            index: images.iter().map(|image| image.index).collect(),
            label: images.iter().map(|image| image.label).collect(),
            clean_prediction: images.iter().map(|image| image.clean_prediction).collect(),
            broken: images.iter().enumerate().filter_map(broken).collect(),
            hunted: self.hunted.map(counts).unwrap_or_default(),
        }
    }
}

/// A shard that was read.
#[derive(Clone, Debug, PartialEq)]
struct Read {
    path: PathBuf,
    shard: Shard,
    facts: Facts,
    images: Vec<Judged>,
    /// The distances of every search for the smallest perturbation.
    lengths: Vec<Vec<f32>>,
}

impl Read {
    fn load(path: &Path) -> Result<Self, ModelFileError> {
        let damaged =
            |reason: &str| ModelFileError::Format { path: path.to_path_buf(), reason: reason.to_string() };
        let mut file = Container::open(path)?;
        let Origin::Ours(Some(entry)) = file.origin(METADATA_KEY)? else {
            return Err(damaged("it is no shard of a verdict"));
        };
        let facts: Facts = sealed::facts(&entry).map_err(|reason| damaged(&reason.to_string()))?;
        let shard =
            Shard::new(facts.number, facts.of).ok_or_else(|| damaged("it is a shard that cannot be"))?;
        // Before memory is taken for them.
        if facts.whole.images > (facts.index.len() + 1) * shard.of() {
            return Err(damaged("it has too few images"));
        }
        let positions = shard.positions(facts.whole.images);
        let stages = facts.whole.attacks.len();
        let lengths = [facts.index.len(), facts.label.len(), facts.clean_prediction.len()];
        if lengths != [positions.len(); 3] || [facts.counts.len(), facts.seconds.len()] != [stages; 2] {
            return Err(damaged("its lists have different lengths"));
        }
        let values = values_of(&mut file, ADVERSARIAL)?.ok_or_else(|| damaged("it has no images"))?;
        let pixels = facts.about.problem.pixels();
        let possible = |(i, by, ..): &(usize, Option<usize>, f64, f64)| {
            *i < positions.len() && by.is_none_or(|by| by < stages)
        };
        if values.len() != facts.broken.len() * pixels || !facts.broken.iter().all(possible) {
            return Err(damaged("it has other images than it names"));
        }
        let lengths = values_of(&mut file, LENGTHS)?.unwrap_or_default();
        let searches = if facts.whole.version == Version::Smallest { stages } else { 0 };
        if facts.hunted.len() != searches || lengths.len() != searches * positions.len() {
            return Err(damaged("it has other distances than it names"));
        }
        let lengths = lengths.chunks(positions.len().max(1)).map(<[f32]>::to_vec).collect();
        let mut images: Vec<Judged> = (0..positions.len())
            .map(|i| Judged {
                index: facts.index[i],
                label: facts.label[i],
                clean_prediction: facts.clean_prediction[i],
                broken_by: None,
                adversarial: None,
                distance: None,
            })
            .collect();
        for (&(i, by, l2, linf), adversarial) in facts.broken.iter().zip(values.chunks_exact(pixels.max(1))) {
            images[i].broken_by = by;
            images[i].adversarial = Some(adversarial.to_vec());
            images[i].distance = Some([l2, linf]);
        }
        Ok(Self { path: path.to_path_buf(), shard, facts, images, lengths })
    }
}

/// The values of a tensor, if the file has it.
fn values_of(file: &mut Container, name: &str) -> Result<Option<Vec<f32>>, ModelFileError> {
    let tensor = file.tensors.iter().position(|(own, _)| own == name);
    tensor.map(|tensor| file.values(tensor)).transpose()
}

/// One verdict of all its shards.
#[derive(Debug)]
pub struct Merged {
    /// What it is about.
    pub about: About,
    /// What became of all images, as from a single process.
    pub outcome: Outcome,
    /// What searches for the smallest perturbation found, of the version of that name.
    pub distances: Option<Distances>,
    /// The warnings of all.
    pub warnings: Vec<Warning>,
}

/// The files of shards in these folders, sorted; a folder that is named twice counts once.
fn shards_in(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths = BTreeMap::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            if name.starts_with(PREFIX) && name.ends_with(".safetensors") {
                let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
                paths.entry(real).or_insert(path);
            }
        }
    }
    let mut paths: Vec<PathBuf> = paths.into_values().collect();
    paths.sort();
    paths
}

/// Whether a folder has shards.
pub fn has_shards(folder: &Path) -> bool {
    !shards_in(&[folder.to_path_buf()]).is_empty()
}

/// Puts the shards in these folders together.
///
/// # Errors
/// If one is damaged, missing or there twice, or if they belong to different verdicts.
pub fn merge(folders: &[PathBuf]) -> Result<Merged, MergeError> {
    let named = || {
        let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        names.join(", ")
    };
    let shards: Vec<Read> =
        shards_in(folders).iter().map(|path| Read::load(path)).collect::<Result<_, _>>()?;
    let Some(first) = shards.first() else { return Err(MergeError::None { folders: named() }) };
    let of = first.shard.of();
    let mut numbered: Vec<Option<&Read>> = vec![None; of];
    for shard in &shards {
        check_pair(first, shard)?;
        if let Some(before) = numbered[shard.shard.number() - 1].replace(shard) {
            let (first, other) = (before.path.clone(), shard.path.clone());
            return Err(MergeError::Twice { first, other, shard: shard.shard });
        }
    }
    let missing: Vec<String> =
        (1..=of).filter(|i| numbered[i - 1].is_none()).map(|i| format!("{i}/{of}")).collect();
    if !missing.is_empty() {
        let more = match missing.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let missing = missing[..missing.len().min(MOST_NAMED)].join(", ") + &more;
        return Err(MergeError::Missing { of, folders: named(), missing });
    }
    Ok(merged(&numbered.into_iter().flatten().collect::<Vec<_>>()))
}

/// Refuses two shards that are not of one verdict.
fn check_pair(first: &Read, other: &Read) -> Result<(), MergeError> {
    let paths = || (first.path.clone(), other.path.clone());
    if let Some((what, [first_value, other_value])) = first.facts.whole.difference(&other.facts.whole) {
        let (first, other) = paths();
        return Err(MergeError::Different { first, other, what, first_value, other_value });
    }
    let (first_of, other_of) = (first.shard.of(), other.shard.of());
    if first_of != other_of {
        let (first, other) = paths();
        return Err(MergeError::Numbers { first, first_of, other, other_of });
    }
    Ok(())
}

/// All shards of one verdict in their order.
fn merged(shards: &[&Read]) -> Merged {
    let facts = &shards[0].facts;
    // Where every image is: its position, its shard, and its number there.
    let mut places: Vec<(u32, &Read, usize)> = Vec::new();
    for shard in shards {
        let positions = shard.shard.positions(facts.whole.images);
        places.extend(positions.into_iter().enumerate().map(|(number, position)| (position, *shard, number)));
    }
    places.sort_by_key(|(position, ..)| *position);
    let sum = |stage: usize, count: usize| shards.iter().map(|s| s.facts.counts[stage][count]).sum();
    let stage = |(i, key): (usize, &Key)| Stage {
        options: key.options.clone(),
        attacked: sum(i, 0),
        broken: sum(i, 1),
        zero_gradients: sum(i, 2),
        seconds: shards.iter().map(|shard| shard.facts.seconds[i]).sum(),
    };
    let outcome = Outcome {
        radius: Radius { norm: facts.whole.norm, epsilon: facts.whole.epsilon },
        stages: facts.whole.attacks.iter().enumerate().map(stage).collect(),
        images: places.iter().map(|(_, shard, number)| shard.images[*number].clone()).collect(),
    };
    let smallest = facts.whole.version == Version::Smallest;
    let distances = smallest.then(|| hunted(shards, &places).distances(&outcome));
    let answers = once(shards.iter().flat_map(|shard| shard.facts.answers.clone()));
    let notes = once(shards.iter().flat_map(|shard| shard.facts.notes.clone()));
    let device = once(shards.iter().map(|shard| shard.facts.about.device.clone())).join(" and ");
    let warnings = checks::warnings(answers, &notes, &outcome);
    Merged { about: About { device, ..facts.about.clone() }, outcome, distances, warnings }
}

/// What the searches of all shards found of the images at these places.
fn hunted(shards: &[&Read], places: &[(u32, &Read, usize)]) -> Hunted {
    let first = &shards[0].facts.hunted;
    let searches = first.len();
    let of = |search: usize| shards.iter().map(move |shard| &shard.facts.hunted[search]);
    let lengths = |search: usize| places.iter().map(move |(_, shard, number)| shard.lengths[search][*number]);
    Hunted {
        targets: first.iter().map(|(target, ..)| target.clone()).collect(),
        attacked: (0..searches).map(|search| of(search).map(|(_, attacked, _)| attacked).sum()).collect(),
        nearest: (0..searches).map(|search| of(search).map(|(.., nearest)| nearest).sum()).collect(),
        lengths: (0..searches).map(|search| lengths(search).collect()).collect(),
    }
}

/// Without what came before already.
fn once<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

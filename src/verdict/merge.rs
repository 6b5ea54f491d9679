//! How the shards of a verdict become one.
//!
//! A [shard's file](super::shard_file) has everything that the whole needs, so merging needs neither the model nor the data nor a
//! device. Shards of different verdicts are refused with the first thing in which they differ.

use super::checks;
use super::plan::Version;
use super::report::About;
use super::run::{Outcome, Stage};
use super::shard_file::{PREFIX, Read};
use super::smallest::{Distances, Hunted};
use crate::evaluation::Warning;
use crate::evaluation::record::Key;
use crate::evaluation::statistics;
use crate::models::file::ModelFileError;
use crate::program::precision::Precision;
use crate::shard::Shard;
use crate::threat::Radius;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// More missing shards are counted, not named.
const MOST_NAMED: usize = 20;

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

/// One verdict of all its shards.
#[derive(Debug)]
pub struct Merged {
    /// What it is about.
    pub about: About,
    /// In which precision all shards were judged.
    pub precision: Precision,
    /// What became of all images, as from a single process.
    pub outcome: Outcome,
    /// What minimum-norm attacks found, of the version `smallest`.
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
        seconds: statistics::sum(shards.iter().map(|shard| shard.facts.seconds[i])),
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
    let precision = facts.whole.attacks.first().map_or(Precision::F32, |key| key.precision);
    let about = About { device, ..facts.about.clone() };
    Merged { about, precision, outcome, distances, warnings }
}

/// What the searches of all shards found of the images at these places.
fn hunted(shards: &[&Read], places: &[(u32, &Read, usize)]) -> Hunted {
    let first = &shards[0].facts.hunted;
    let searches = first.len();
    let of = |search: usize| shards.iter().map(move |shard| &shard.facts.hunted[search]);
    let lengths = |search: usize| places.iter().map(move |(_, shard, number)| shard.lengths[search][*number]);
    Hunted {
        targets: first.iter().map(|(target, _)| target.clone()).collect(),
        nearest: (0..searches).map(|search| of(search).map(|(_, nearest)| nearest).sum()).collect(),
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

//! Are the files of a run as they were written? Every file that the program reads again is checked: its checksum, its
//! content, and whether the files of a folder belong to one run.
//!
//! What is made from other files (pages, pictures) is not looked at: it can be made again.

use crate::evaluation::export;
use crate::evaluation::record::{self, LARGEST_RECORD};
use crate::evaluation::report::Report;
use crate::evaluation::suite::records_in;
use crate::files::{self, Lines};
use crate::integrity::{self, Seal};
use crate::models::container::Container;
use crate::models::file::Model;
use crate::models::sealed::Origin;
use crate::report::runs::evaluated;
use crate::training::TrainConfig;
use crate::training::checkpoint::{self, Checkpoint};
use crate::training::metrics::{LARGEST_METRICS, LONGEST_LINE, Metrics, record_of};
use crate::training::optimiser::Role;
use crate::training::run::{CHECKPOINTS, RunFolder, SET_ASIDE};
use crate::training::tensorboard;
use crate::verdict;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders within folders are followed to this depth; a run in a sweep in a folder of sweeps has files at depth 4.
const DEEPEST: usize = 8;

/// What was found of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As it was written.
    Whole,
    /// Readable, but nothing tells whether it is as it was written: the reason.
    Unverified(String),
    /// Not as it was written, or not of the run in whose folder it lies: the reason.
    Damaged(String),
}

/// A file and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The file, or the folder where the reason is about several files.
    pub path: PathBuf,
    /// What was found.
    pub state: State,
}

/// Checks a file, a run folder, or all runs and files below a folder.
pub fn verify(path: &Path) -> Vec<Checked> {
    let mut all = Vec::new();
    visit(path, DEEPEST, &mut all);
    all
}

fn visit(path: &Path, depth: usize, all: &mut Vec<Checked>) {
    if !path.is_dir() {
        all.push(Checked { path: path.to_path_buf(), state: file(path) });
        return;
    }
    let before = all.len();
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) => {
            let state = State::Damaged(format!("cannot be read ({e})"));
            return all.push(Checked { path: path.to_path_buf(), state });
        }
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for entry in paths {
        if entry.is_dir() && depth > 0 && !is_derived(&entry) {
            visit(&entry, depth - 1, all);
        } else if kind(&entry).is_some() {
            all.push(Checked { state: file(&entry), path: entry });
        }
    }
    let whole = all[before..].iter().all(|checked| !matches!(checked.state, State::Damaged(_)));
    if whole
        && RunFolder::exists(path)
        && let Err(reason) = belongs_together(path)
    {
        all.push(Checked { path: path.to_path_buf(), state: State::Damaged(reason) });
    }
}

/// Whether a folder is the page of `report`, which it makes again. A run may have that name too, or a folder of runs.
fn is_derived(folder: &Path) -> bool {
    let is_called_so = folder.file_name().is_some_and(|name| name == "report");
    is_called_so && folder.join("report.html").exists() && !RunFolder::exists(folder)
}

/// Keys of the metadata of files that hold results and no model.
const RESULTS: [&str; 4] = [
    export::METADATA_KEY,
    verdict::report::METADATA_KEY,
    verdict::piece::METADATA_KEY,
    verdict::shard_file::METADATA_KEY,
];

/// What a file is, by its name and place.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Configuration,
    Metrics,
    Tensors,
    Sealed,
    Record,
    Table,
    Events,
}

fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    let ends_with = |ending: &str| path.extension().is_some_and(|e| e == ending);
    match name.as_str() {
        "config.toml" => Some(Kind::Configuration),
        "metrics.jsonl" => Some(Kind::Metrics),
        "evaluation.json" | verdict::report::FILE => Some(Kind::Sealed),
        "evaluation.csv" => Some(Kind::Table),
        name if name.starts_with('.') => None,
        _ if ends_with("safetensors") => Some(Kind::Tensors),
        _ if folder == "evaluation" && record::is_record(path) => Some(Kind::Record),
        _ if ends_with("json") && folder == "evaluation" => Some(Kind::Sealed),
        name if tensorboard::is_event_file(name) => Some(Kind::Events),
        _ => None,
    }
}

/// What is wrong with a whole file in the folder of another run.
const OF_ANOTHER_RUN: &str = "is of another run than the config.toml beside it; put the run's own file back, or move this one out of the folder";

/// Whether a file is the checkpoint that a run could not read and went on without.
fn is_set_aside(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    folder == CHECKPOINTS && path.file_name().is_some_and(|name| name == SET_ASIDE)
}

fn file(path: &Path) -> State {
    if is_set_aside(path) {
        let reason =
            "it could not be read, and the run went on from the checkpoint before it; nothing needs it";
        return State::Unverified(reason.to_string());
    }
    let read = |limit| files::read_at_most(path, limit).map_err(|e| e.to_string());
    let result = match kind(path) {
        Some(Kind::Tensors) => return tensors(path).unwrap_or_else(State::Damaged),
        Some(Kind::Configuration) => configuration(path),
        Some(Kind::Metrics) => metrics(path),
        Some(Kind::Table) => return table(path).unwrap_or_else(State::Damaged),
        Some(Kind::Events) => read(LARGEST_METRICS).and_then(|bytes| tensorboard::check(&bytes)),
        Some(Kind::Record) => record::read(path).map(|_| ()),
        // Or a file of any name that the user asks about.
        Some(Kind::Sealed) | None => read(LARGEST_RECORD).and_then(|bytes| sealed(&bytes)),
    };
    result.map_or_else(State::Damaged, |()| State::Whole)
}

fn sealed(bytes: &[u8]) -> Result<(), String> {
    match integrity::check(bytes) {
        Seal::Whole => Ok(()),
        Seal::Damaged => Err(integrity::Unreadable::Damaged.to_string()),
        Seal::Absent => Err(integrity::Unreadable::Unsealed.to_string()),
    }
}

/// The table of an evaluation, which has no room for a checksum but follows from the JSON beside it.
fn table(path: &Path) -> Result<State, String> {
    let json = path.with_extension("json");
    if !json.exists() {
        return Ok(State::Unverified(format!("there is no {} that it should follow from", json.display())));
    }
    let read = |path: &Path| files::read_at_most(path, LARGEST_RECORD).map_err(|e| e.to_string());
    let report: Report = integrity::from_json(&read(&json)?)
        .map_err(|_| format!("it cannot be held against {}, which is damaged", json.display()))?;
    match read(path)? == report.csv().as_bytes() {
        true => Ok(State::Whole),
        false => {
            Err(format!("it does not follow from {}; `pgn-wgpu evaluate` writes it anew", json.display()))
        }
    }
}

fn configuration(path: &Path) -> Result<(), String> {
    RunFolder::open(path.parent().unwrap_or(Path::new(""))).map(|_| ()).map_err(|e| e.to_string())
}

fn metrics(path: &Path) -> Result<(), String> {
    let (mut wrong, mut all) = (Vec::<usize>::new(), Metrics::default());
    let mut lines = Lines::open(path, LONGEST_LINE).map_err(|e| e.to_string())?;
    for number in 1.. {
        let Some(line) = lines.line().map_err(|e| e.to_string())? else { break };
        if !whole_line(&String::from_utf8_lossy(line)) {
            wrong.push(number);
        }
        all.take(line);
    }
    match wrong.as_slice() {
        [] if all.unreadable > 0 => Err(format!("{} lines are no records of this version", all.unreadable)),
        [] if all.repeated > 0 => Err(format!(
            "{} lines repeat earlier ones; `pgn-wgpu train --resume` moves them to a file beside it",
            all.repeated
        )),
        [] => Ok(()),
        [line] => Err(format!("line {line} is damaged or cut off")),
        [first, ..] => {
            Err(format!("{} lines are damaged or cut off, the first is line {first}", wrong.len()))
        }
    }
}

fn whole_line(line: &str) -> bool {
    line.strip_suffix('\n').is_some_and(|line| record_of(line).is_some())
}

/// A model, a checkpoint, or what an attack saved.
fn tensors(path: &Path) -> Result<State, String> {
    let mut container = Container::open(path).map_err(|e| e.to_string())?;
    let origin = container.origin(checkpoint::METADATA_KEY).map_err(|e| e.to_string())?;
    if container.metadata.contains_key(checkpoint::METADATA_KEY) {
        Checkpoint::load(path).map_err(|e| e.to_string())?;
    } else if !RESULTS.iter().any(|key| container.metadata.contains_key(*key)) {
        Model::load(path, None).map_err(|e| e.to_string())?;
    }
    Ok(match origin {
        Origin::Ours(_) => State::Whole,
        Origin::Foreign => {
            State::Unverified("it has no checksum, as files of other programs and exported ones".to_string())
        }
    })
}

/// Whether the files of a run folder, each whole, are those of one run.
fn belongs_together(path: &Path) -> Result<(), String> {
    let (folder, config) = RunFolder::open(path).map_err(|e| e.to_string())?;
    for model in models_of(path) {
        let own = Model::load(&model, None).map_err(|e| e.to_string())?;
        folder.check_own(&model, &own, &config).map_err(|e| e.to_string())?;
    }
    let run = config.fingerprint();
    let of_another = |path: &Path| format!("{} {OF_ANOTHER_RUN}", path.display());
    for record in records_in(path).paths() {
        let key = record::read(&record)?.key;
        if key.run.is_some_and(|own| own != run) {
            return Err(of_another(&record));
        }
    }
    if let Some(table) = evaluated::of_other_runs(path, &run).into_iter().next() {
        return Err(of_another(&table));
    }
    let written = path.join("evaluation.json");
    if written.exists() && of_others_alone(&written, &run)? {
        return Err(of_another(&written));
    }
    let metrics = folder.metrics_path();
    if metrics.exists() {
        let found = Metrics::load(&metrics).map_err(|e| e.to_string())?.of_another_run(&run);
        if let Some(problem) = found {
            return Err(format!("{} {problem}", metrics.display()));
        }
    }
    let checkpoints = [folder.last_checkpoint(), folder.previous_checkpoint()];
    let mut there = checkpoints.iter().filter(|path| path.exists());
    there.try_for_each(|path| checkpoint_belongs(path, &folder, &config))
}

/// Whether a checkpoint is of the run in whose folder it lies. The last one must fit the metrics and, at the end, the model.
fn checkpoint_belongs(path: &Path, folder: &RunFolder, config: &TrainConfig) -> Result<(), String> {
    let saved = Checkpoint::load(path).map_err(|e| e.to_string())?;
    if let Some(found) = saved.head.difference(config) {
        let (name, key) = (path.display(), found.key);
        return Err(format!(
            "{name} is of another run: {key} is {} there and {} in config.toml",
            found.second, found.first
        ));
    }
    if path != folder.last_checkpoint() {
        return Ok(());
    }
    let metrics = Metrics::load(&folder.metrics_path()).map_err(|e| e.to_string())?;
    if let Some(missing) = metrics.missing(&saved.head.progress) {
        return Err(missing);
    }
    match saved.head.progress.is_end_of(config) && folder.model().exists() {
        true => model_is_the_checkpoint(&folder.model(), &saved),
        false => Ok(()),
    }
}

/// Whether the evaluation in the file `path` is of runs, but not of the one with the fingerprint `run`.
fn of_others_alone(path: &Path, run: &str) -> Result<bool, String> {
    let bytes = files::read_at_most(path, LARGEST_RECORD).map_err(|e| e.to_string())?;
    let report: Report = integrity::from_json(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(report.is_of_others_alone(run))
}

/// The models in a run folder.
fn models_of(path: &Path) -> Vec<PathBuf> {
    let entries =
        [path.to_path_buf(), path.join(CHECKPOINTS)].into_iter().filter_map(|f| fs::read_dir(f).ok());
    let files = entries.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_model = |path: &PathBuf| {
        let container = Container::open(path).ok().filter(|_| kind(path) == Some(Kind::Tensors));
        container.is_some_and(|file| {
            let mut others = std::iter::once(&checkpoint::METADATA_KEY).chain(&RESULTS);
            !others.any(|key| file.metadata.contains_key(*key))
        })
    };
    files.filter(is_model).collect()
}

/// The final model has the weights of the checkpoint at the end.
fn model_is_the_checkpoint(path: &Path, saved: &Checkpoint) -> Result<(), String> {
    let model = Model::load(path, None).map_err(|e| e.to_string())?;
    let same = |part: &str, values: &[f32]| {
        let saved = saved.states.iter().find(|(name, _)| *name == Role::Classifier.state(part));
        saved.map_or(values.is_empty(), |(_, saved)| saved == values)
    };
    let parts = [
        ("parameters", &model.live.weights),
        ("average", &model.average.weights),
        ("buffers", &model.live.buffers),
        ("average-buffers", &model.average.buffers),
    ];
    match parts.into_iter().all(|(part, values)| same(part, values)) {
        true => Ok(()),
        false => Err(format!(
            "{} has other weights than the last checkpoint: it is of another run or of an earlier end of this one, which \
             `pgn-wgpu train --resume` brings up to date",
            path.display()
        )),
    }
}

//! The runs that are tortured: small, on the embedded digits and the CPU path; and what "the same end" means.

use super::child::{self, finish, program};
use super::settings::Settings;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The run folder's name, in whichever folder it lies.
pub const RUN: &str = "run";
/// Twelve steps an epoch: several validations and kept models, and a checkpoint after every step.
const TRAIN: [&str; 14] = [
    "train",
    "--adapter",
    "cpu",
    "--width",
    "0.0625",
    "--batch-size",
    "100",
    "--epochs",
    "5",
    "--keep-every",
    "2",
    "--checkpoint-every",
    "1",
    "--seed",
];
/// The end of every run.
const STEPS: &str = "60";
/// Where the runs to be damaged were interrupted, so that they have an earlier checkpoint too; the end of an epoch,
/// because the end of a run within one is measured and may become the best.
const HALFWAY: &str = "36";

/// Finished runs to copy from.
pub struct Fixture<'a> {
    /// The command line.
    pub settings: &'a Settings,
    root: PathBuf,
    /// Removes the folder at the end; `None` if it is kept.
    _scratch: Option<TempDir>,
    /// How long a run takes that is left alone.
    pub duration: Duration,
    made: AtomicUsize,
}

impl<'a> Fixture<'a> {
    /// Trains and evaluates the runs.
    ///
    /// # Errors
    /// What the program said where it should have succeeded.
    pub fn new(settings: &'a Settings) -> Result<Self, String> {
        let io = |error: std::io::Error| error.to_string();
        let (root, scratch) = match &settings.keep {
            Some(folder) => {
                fs::create_dir_all(folder).map_err(io)?;
                (folder.canonicalize().map_err(io)?, None)
            }
            None => {
                let scratch = tempfile::tempdir().map_err(io)?;
                (scratch.path().canonicalize().map_err(io)?, Some(scratch))
            }
        };
        let mut fixture =
            Self { settings, root, _scratch: scratch, duration: Duration::ZERO, made: AtomicUsize::new(0) };
        fixture.make()?;
        Ok(fixture)
    }

    fn make(&mut self) -> Result<(), String> {
        for (folder, _) in [("whole", 0), ("a", 0), ("b", 1)] {
            fs::create_dir_all(self.root.join(folder)).map_err(|error| error.to_string())?;
        }
        let started = Instant::now();
        self.succeed("whole", &train_whole())?;
        self.duration = started.elapsed();
        for (folder, seed) in [("a", 0), ("b", 1)] {
            self.succeed(folder, &train(seed, HALFWAY))?;
            self.succeed(folder, &resume())?;
            self.succeed(folder, &evaluate())?;
        }
        same_end(&self.whole(), &self.a())?;
        self.succeed("a", &["verify".to_string(), RUN.to_string()])
    }

    fn succeed(&self, folder: &str, arguments: &[String]) -> Result<(), String> {
        let folder = self.root.join(folder);
        let ended = finish(program(&folder, arguments), &folder, "fixture");
        match ended.succeeded() {
            true => Ok(()),
            false => Err(format!("pgn-wgpu {}: {}", arguments.join(" "), ended.brief())),
        }
    }

    /// The run that was left alone.
    pub fn whole(&self) -> PathBuf {
        self.root.join("whole").join(RUN)
    }

    /// The same run in two sessions, evaluated.
    pub fn a(&self) -> PathBuf {
        self.root.join("a").join(RUN)
    }

    /// A run from another seed, evaluated.
    pub fn b(&self) -> PathBuf {
        self.root.join("b").join(RUN)
    }

    /// A new, empty folder.
    pub fn folder(&self) -> PathBuf {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let folder = self.root.join(format!("try-{number}"));
        fs::create_dir_all(&folder).expect("a scratch folder");
        folder
    }

    /// A new folder with a copy of `run`.
    pub fn copy_of(&self, run: &Path) -> PathBuf {
        let folder = self.folder();
        copy(run, &folder.join(RUN));
        folder
    }

    /// Is done with a folder.
    pub fn done_with(&self, folder: &Path) {
        if self.settings.keep.is_none() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The flags of a new run.
fn train(seed: u64, steps: &str) -> Vec<String> {
    let seed = seed.to_string();
    let own = [seed.as_str(), "--max-steps", steps, "--out", RUN];
    TRAIN.into_iter().chain(own).map(str::to_string).collect()
}

/// The flags of the run that all killed ones must equal.
pub fn train_whole() -> Vec<String> {
    train(0, STEPS)
}

/// The flags that go on with the run to its end.
pub fn resume() -> Vec<String> {
    ["train", "--resume", RUN, "--max-steps", STEPS].map(str::to_string).to_vec()
}

/// The flags that evaluate the run, or read its evaluation again.
pub fn evaluate() -> Vec<String> {
    ["evaluate", RUN, "--adapter", "cpu", "--attack", "fgm,deepfool", "--limit", "40", "--force"]
        .map(str::to_string)
        .to_vec()
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a scratch folder");
    for (path, _) in files(from) {
        let target = to.join(&path);
        fs::create_dir_all(target.parent().expect("below a folder")).expect("a scratch folder");
        fs::copy(from.join(path), target).expect("a copy");
    }
}

/// Every file below a folder with its length, by its path in it, in order.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut all = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inside)).into_iter().flatten().flatten() {
            let path = inside.join(entry.file_name());
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(path),
                Ok(found) => drop(all.insert(path, found.len())),
                Err(_) => {}
            }
        }
    }
    all
}

/// Whether a run ended as the one that was left alone: the same models to the bit, the same metrics but for times and
/// sessions, and nothing that was only for the time being.
pub fn same_end(whole: &Path, run: &Path) -> Result<(), String> {
    let (wanted, found) = (files(whole), files(run));
    let models = |files: &BTreeMap<PathBuf, u64>| -> Vec<PathBuf> {
        let model = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".safetensors")
                && (name.starts_with("model") || name.starts_with("best") || name.starts_with("epoch"))
        };
        files.keys().filter(model).cloned().collect()
    };
    for path in models(&wanted) {
        let [one, other] = [whole, run].map(|folder| fs::read(folder.join(&path)).ok());
        if one != other {
            let what =
                if other.is_none() { "is missing" } else { "has other bits than that of a run left alone" };
            return Err(format!("{} {what}", path.display()));
        }
    }
    if let Some(extra) = found.keys().find(|path| path.to_string_lossy().contains("tmp")) {
        return Err(format!("{} was left behind", extra.display()));
    }
    let [one, other] = [whole, run].map(|folder| metrics(&folder.join("metrics.jsonl")));
    match one == other {
        true => Ok(()),
        false => {
            let at = (0..).find(|&i| one.get(i) != other.get(i)).unwrap_or(0);
            let shown = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing".to_string());
            Err(format!("record {at} of metrics.jsonl is {} instead of {}", shown(&other), shown(&one)))
        }
    }
}

/// The records of a metrics file without times and sessions, and without what makes a line checkable.
fn metrics(path: &Path) -> Vec<String> {
    const COMPARED: [&str; 11] = [
        "kind",
        "step",
        "epoch",
        "loss",
        "accuracy",
        "delta",
        "predicted_delta",
        "benign_accuracy",
        "generator_accuracy",
        "generator_loss",
        "fgm_loss",
    ];
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let record = |line: &str| {
        let from = &line[line.find('{')?..];
        let value: Value = serde_json::Deserializer::from_str(from).into_iter().next()?.ok()?;
        let fields = COMPARED.iter().filter_map(|key| Some(format!("{key} {}", value.get(key)?)));
        (value["kind"] != "run").then(|| fields.collect::<Vec<_>>().join(", "))
    };
    text.lines().filter_map(record).collect()
}

/// Does `work` for every item, as many at a time as there are jobs; the results are in the items' order.
pub fn in_parallel<T: Sync, R: Send>(jobs: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, R>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(items.len()) {
            scope.spawn(|| {
                while let Some((i, item)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    items.get(i).map(|item| (i, item))
                } {
                    let result = work(item);
                    results.lock().expect("no worker panics").insert(i, result);
                }
            });
        }
    });
    results.into_inner().expect("no worker panics").into_values().collect()
}

/// Goes on with a run until it is done, from nothing if there is nothing yet; then it must have ended as the one left
/// alone.
///
/// # Errors
/// What is wrong with its end.
pub fn complete(fixture: &Fixture, folder: &Path) -> Result<u64, String> {
    let ended = finish(program(folder, next_session(folder)), folder, "last");
    if !ended.succeeded() {
        return Err(format!("it cannot be continued: {}", ended.brief()));
    }
    let mut peak = ended.peak;
    let ended = finish(program(folder, ["verify", RUN]), folder, "verify");
    peak = peak.max(ended.peak);
    if !ended.succeeded() {
        return Err(format!("verify refuses it: {}", ended.brief()));
    }
    same_end(&fixture.whole(), &folder.join(RUN)).map(|()| peak)
}

/// The command line that goes on with what there is: a run that was killed before it had a configuration starts again.
pub fn next_session(folder: &Path) -> Vec<String> {
    match folder.join(RUN).join("config.toml").exists() {
        true => resume(),
        false => train_whole(),
    }
}

/// Patience for a whole run under a debugger.
pub const LONG: Duration = Duration::from_secs(4 * child::PATIENCE.as_secs());

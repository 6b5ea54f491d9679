//! The program as people run it: the binary in an empty folder of its own. On the CPU path, but for the tests that say
//! otherwise.

#[path = "cli/bad_files.rs"]
mod bad_files;
#[path = "cli/bad_values.rs"]
mod bad_values;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/integrity.rs"]
mod integrity;
#[path = "cli/interruption.rs"]
mod interruption;
#[path = "cli/library.rs"]
mod library;
#[path = "cli/limits.rs"]
mod limits;
#[path = "cli/onnx.rs"]
mod onnx;
#[path = "cli/own_data.rs"]
mod own_data;
#[path = "cli/runs.rs"]
mod runs;
#[path = "cli/variants.rs"]
mod variants;
#[path = "cli/weights.rs"]
mod weights;

mod program;

use pgn_wgpu::training::checkpoint::Checkpoint;
use program::{assert_mentions, refusal, skipped};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The smallest networks on the embedded digits, without a driver.
const TINY: [&str; 5] = ["train", "--adapter", "cpu", "--width", "0.03125"];

/// An empty folder in which the program runs.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program, to be run in this folder.
    fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        program::command(self.0.path(), arguments)
    }

    fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints when it succeeds.
    #[track_caller]
    fn succeed(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it notes when it succeeds, beside its results.
    #[track_caller]
    fn notes(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// A training run of the smallest networks.
    #[track_caller]
    fn train(&self, more: &[&str]) -> String {
        self.succeed(TINY.iter().chain(more))
    }

    /// The sentence with which it refuses: on one line, without a panic, and with every file as it was.
    #[track_caller]
    fn refuse(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        let before = files(self.0.path());
        let output = self.run(arguments);
        let sentence = refusal(&output);
        assert!(files(self.0.path()) == before, "files have changed, although: {sentence}");
        sentence
    }

    /// The same of a training run.
    #[track_caller]
    fn refuse_to_train(&self, more: &[&str]) -> String {
        self.refuse(TINY.iter().chain(more))
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
            // A folder counts too.
            all.insert(path, Vec::new());
        } else {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

/// The bytes of an .npy file of any type, right or wrong; the library writes numbers of 32 bits alone.
fn npy(kind: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [&b"\x93NUMPY\x01\0"[..], &(head.len() as u16).to_le_bytes()[..], head.as_bytes(), body].concat()
}

/// Every state of a run's last checkpoint by name, as bits.
fn bits(run: &Path) -> BTreeMap<String, Vec<u32>> {
    let saved = Checkpoint::load(&run.join("checkpoints/last.safetensors")).unwrap();
    saved
        .states
        .into_iter()
        .map(|(name, values)| (name, values.into_iter().map(f32::to_bits).collect()))
        .collect()
}

/// The kinds and names of the adapters that the program lists, without the CPU path.
fn adapters() -> Vec<(String, String)> {
    let text = Scratch::new().succeed(["adapters", "--json"]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let field = |adapter: &serde_json::Value, key: &str| adapter[key].as_str().unwrap().to_string();
    let named = all.iter().map(|adapter| (field(adapter, "kind"), field(adapter, "name")));
    named.filter(|(kind, _)| kind != "cpu").collect()
}

/// What the engine's tests run on too (`tests/common`): a value of --adapter, unless that is the CPU path or nothing.
fn adapter() -> Option<String> {
    let wanted = std::env::var("PGN_TEST_ADAPTER").unwrap_or_default();
    if wanted == "cpu" || (wanted.is_empty() && adapters().is_empty()) {
        skipped("the run on an adapter, because there is none or PGN_TEST_ADAPTER=cpu");
        return None;
    }
    // The first in the list, software too.
    Some(if wanted.is_empty() { "0".to_string() } else { wanted })
}

//! `attack` and `evaluate` from end to end, on the embedded digits and the CPU path: what they write is confirmed by
//! the reference path, what they were told not to touch stays, and a classifier that only hides its gradients is
//! found out.

#[path = "evaluation/attack.rs"]
mod attack;
#[path = "evaluation/bad_input.rs"]
mod bad_input;
#[path = "evaluation/table.rs"]
mod table;
#[path = "evaluation/verdict.rs"]
mod verdict;

mod program;

use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Workspace};
use pgn_wgpu::graph::Graph;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::Classifier;
use program::{assert_mentions, command, refuse, succeed};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;

/// Three small runs, trained once: two naive ones of different seeds, and one against its generator.
static RUNS: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    for (name, method, seed) in [("naive", "natural", "1"), ("other", "natural", "2"), ("pgn", "pgn", "3")] {
        let flags = ["train", "--adapter", "cpu", "--width", "0.0625", "--epochs", "25"];
        let own = ["--method", method, "--seed", seed, "--out", name];
        succeed(folder.path(), &[&flags[..], &own].concat());
    }
    folder
});

/// The folder of a trained run.
fn run_folder(name: &str) -> PathBuf {
    RUNS.path().join(name)
}

/// The folder of a trained run as an argument.
fn trained(name: &str) -> String {
    run_folder(name).display().to_string()
}

/// A copy of a run without results, for tests that write into it.
fn copy(name: &str, folder: &Path) -> String {
    let to = folder.join(name);
    std::fs::create_dir(&to).unwrap();
    for file in ["config.toml", "metrics.jsonl", "model.safetensors"] {
        std::fs::copy(run_folder(name).join(file), to.join(file)).unwrap();
    }
    to.display().to_string()
}

/// A tensor of a saved file as numbers.
fn numbers(file: &Path, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    bytemuck::pod_collect_to_vec(tensors.tensor(name).unwrap().data())
}

/// A file as JSON.
fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Multiplies the logits: the last layer is a convolution with leaky ReLU, whose mean they are.
fn scale_last_layer(model: &mut Model, by: f32) {
    let slots = model.classifier.slots.clone();
    for slot in [slots.all.len() - 2, slots.all.len() - 1] {
        slots.get_mut(&mut model.average, slot).iter_mut().for_each(|value| *value *= by);
    }
}

/// What a model's averaged weights answer to images, `[n, s, s, c]`, by the reference path.
fn answers(model: &Model, images: &[f32]) -> Vec<usize> {
    let problem = model.facts.problem;
    let n = images.len() / problem.pixels();
    let mut workspace = Workspace::new(Device::Cpu(Mode::Reference));
    workspace.write("net.parameters", &model.average.weights).unwrap();
    let mut graph = Graph::new();
    let input = graph.input("images", &problem.batch(n)).unwrap();
    let states = model.classifier.live(&mut graph, "net").unwrap();
    let logits = Classifier::evaluated(&model.classifier, &states).logits(&mut graph, input).unwrap();
    let classes = graph.arg_max(logits);
    graph.output("classes", classes);
    let mut session = workspace.prepare(&graph).unwrap();
    session.write("images", images).unwrap();
    session.compute().unwrap().get("classes").iter().map(|&class| class as usize).collect()
}

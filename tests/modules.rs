//! The modules of the engine and of the networks form layers: each uses those below it and none above. A circle between two
//! modules means that neither can be read, tested or replaced alone.

use std::fs;
use std::path::{Path, PathBuf};

/// Used by all, and using only each other.
const BASE: [&str; 7] = ["csv", "files", "integrity", "memory", "numbers", "random", "interruption"];

/// Each layer with the lower ones that it uses; lowest first. Twins are homes of kernels, so the registry and they are one layer.
const LAYERS: [(&str, &[&str]); 13] = [
    ("graph", &[]),
    ("kernels", &["graph"]),
    ("program", &["graph", "kernels"]),
    ("cpu", &["graph", "kernels", "program"]),
    ("gpu", &["graph", "kernels", "program"]),
    ("executor", &["graph", "kernels", "program", "cpu", "gpu"]),
    ("lockstep", &["graph", "kernels", "program", "cpu", "executor"]),
    ("data", &[]),
    ("nn", &["graph"]),
    ("threat", &["graph", "nn"]),
    ("pgn", &["graph", "nn", "threat"]),
    ("models", &["graph", "nn", "pgn"]),
    ("base", &[]),
];

/// The layer of a source file or of a module of the crate; `None` above all layers.
fn layer(path: &str) -> Option<&'static str> {
    let module = path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    match module {
        "cpu" if path.contains("executor") => Some("cpu"),
        // Everything else of the CPU path is twins, their fast forms, and what they share.
        "cpu" => Some("kernels"),
        base if BASE.contains(&base) => Some("base"),
        module => LAYERS.iter().map(|(name, _)| *name).find(|name| *name == module),
    }
}

/// The lines of a file that are neither comments nor tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let own = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    own.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// What a line of code names of the crate, as `module::item`.
fn named(line: &str, at_the_root: bool) -> Vec<&str> {
    let mut all: Vec<&str> = line.split("crate::").skip(1).collect();
    // Indented, it is inside a module of the file.
    all.extend(line.strip_prefix("use super::").filter(|_| at_the_root));
    all
}

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path);
        }
    }
}

/// Every use of a layer by another that the table does not have.
fn circles(path: &str, text: &str) -> Vec<String> {
    // Tests use what they need, in a file of their own too.
    let Some(own) = layer(path).filter(|_| !path.ends_with("_tests.rs")) else { return Vec::new() };
    let (_, below) = LAYERS.iter().find(|(name, _)| *name == own).unwrap();
    // There `super` is the root of the crate.
    let at_the_root = !path.contains('/') || path.split_once('/').is_some_and(|(_, rest)| rest == "mod.rs");
    let mut found = Vec::new();
    for line in code(text) {
        for used in named(line, at_the_root) {
            let allowed = match layer(used) {
                Some(used) => used == own || used == "base" || below.contains(&used),
                // A list would hide what it names.
                None => false,
            };
            if !allowed {
                found.push(format!("src/{path} ({own}): {}", line.trim()));
            }
        }
    }
    found
}

#[test]
fn no_module_uses_one_of_a_higher_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&root, &mut all);
    let found: Vec<String> = all
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            circles(&path, &fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    let layered = all.iter().filter(|file| {
        layer(&file.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/")).is_some()
    });
    assert!(layered.count() > 100, "the sources are where they are looked for");
}

#[test]
fn the_table_of_layers_is_in_order() {
    for (at, (name, below)) in LAYERS.iter().enumerate() {
        for lower in *below {
            assert!(LAYERS[..at].iter().any(|(known, _)| known == lower), "{name} uses {lower} above it");
        }
    }
}

#[test]
fn uses_of_higher_layers_are_found_however_they_are_written() {
    let found = |path, text| circles(path, text).len();
    assert_eq!(found("kernels/mod.rs", "use crate::program::Call;"), 1);
    assert_eq!(found("kernels/mod.rs", "use super::program::Call;"), 1);
    assert_eq!(found("gpu/tuning/trial.rs", "    let worst = crate::lockstep::worst(a, b);"), 1);
    assert_eq!(found("graph/build.rs", "use crate::{cpu, graph};"), 1);
    assert_eq!(found("cpu/softmax.rs", "use crate::cpu::executor::scratch;"), 1);
    assert_eq!(found("memory.rs", "use crate::graph::Graph;"), 1);
    assert_eq!(found("nn/slot.rs", "use crate::program::ALIGNMENT;"), 1);
    assert_eq!(found("graph/build.rs", "/// As in [`crate::program`].\nuse super::Graph;"), 0);
    assert_eq!(found("cpu/softmax.rs", "use crate::kernels::Arguments;\nuse crate::cpu::largest;"), 0);
    assert_eq!(found("data/mod.rs", "use crate::files;\n#[cfg(test)]\nmod tests {\nuse crate::graph;\n}"), 0);
    assert_eq!(found("nn/builder_tests.rs", "use crate::training::Trainer;"), 0);
    assert_eq!(found("training/fit.rs", "use crate::lockstep::worst;"), 0, "above all layers");
}

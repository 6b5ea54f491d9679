//! Sweep files: which runs they mean, and what they are told when they mean none.

use pgn_wgpu::sweep::file::{Overrides, read};
use pgn_wgpu::sweep::{Plan, SweepError};
use pgn_wgpu::training::{GeneratorInput, Method};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn read_text(text: &str) -> Result<Plan, SweepError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    fs::write(&path, text).unwrap();
    read(&path, &Overrides::default())
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.points.iter().map(|point| point.name.as_str()).collect()
}

#[test]
fn a_grid_is_every_combination_named_by_what_varies() {
    let plan = read_text(
        "epochs = 3\nlr = 0.5\n[grid]\nseed = [1, 2]\nepsilon = [0.30, 1e-1]\nmethod = [\"fgm\", \"pgd\"]\nwidth = [0.25]\n",
    )
    .unwrap();
    assert_eq!(plan.folder, Path::new("runs").join("mine"));
    let expected = [
        "fgm-epsilon0.3-seed1",
        "fgm-epsilon0.3-seed2",
        "fgm-epsilon0.1-seed1",
        "fgm-epsilon0.1-seed2",
        "pgd-epsilon0.3-seed1",
        "pgd-epsilon0.3-seed2",
        "pgd-epsilon0.1-seed1",
        "pgd-epsilon0.1-seed2",
    ];
    assert_eq!(names(&plan), expected);
    let config = &plan.points[5].config;
    assert_eq!((config.method, config.epsilon, config.seed), (Method::PGD, 0.3, 2));
    assert_eq!((config.epochs, config.lr, config.width), (3, 0.5, 0.25));
}

#[test]
fn several_grids_are_a_union() {
    let plan = read_text(
        "out = \"here\"\n[[grid]]\nmethod = [\"fgm\"]\nepsilon = [0.1, 0.2]\n[[grid]]\nmethod = [\"pgn\"]\n\
         without = [[], [\"gradient\"], [\"image\", \"label\"]]\n",
    )
    .unwrap();
    assert_eq!(plan.folder, Path::new("here"));
    let expected = [
        "fgm-epsilon0.1",
        "fgm-epsilon0.2",
        "pgn-without-none",
        "pgn-without-gradient",
        "pgn-without-image-label",
    ];
    assert_eq!(names(&plan), expected);
    assert_eq!(plan.points[4].config.without, [GeneratorInput::Image, GeneratorInput::Label]);
}

#[test]
fn a_command_line_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    fs::write(&path, "out = \"here\"\ndata = \"old\"\n[grid]\nseed = [1]\n").unwrap();
    let plan = read(&path, &Overrides { out: Some("there".into()), data: Some("new".into()) }).unwrap();
    assert_eq!((plan.folder.as_path(), names(&plan)), (Path::new("there"), vec!["seed1"]));
    let absolute = std::path::absolute("new").unwrap();
    assert_eq!(plan.points[0].config.data.as_deref(), Some(absolute.as_path()));
}

#[test]
fn paths_of_data_and_weights_are_kept_as_absolute_ones() {
    let paths = "data = \"here\"\nclass-index = \"index.json\"\n[grid]\nfrom = [\"a.safetensors\"]\n";
    let plan = read_text(paths).unwrap();
    let config = &plan.points[0].config;
    let absolute = |path: &str| Some(std::path::absolute(path).unwrap());
    assert_eq!([&config.data, &config.class_index], [&absolute("here"), &absolute("index.json")]);
    assert_eq!(config.from, absolute("a.safetensors"));
    assert_eq!(names(&plan), ["from-a.safetensors"]);
}

/// A grid of `axes` axes of `values` values.
fn grid(axes: &[&str], values: usize) -> String {
    let values = (1..=values).map(|value| value.to_string()).collect::<Vec<_>>().join(", ");
    axes.iter().fold("[grid]\n".to_string(), |text, axis| format!("{text}{axis} = [{values}]\n"))
}

#[test]
fn more_runs_than_a_sweep_may_have_are_counted_and_not_made() {
    let five = ["seed", "epochs", "batch-size", "iterations", "generator-steps"];
    let error = read_text(&grid(&five, 100)).unwrap_err().to_string();
    assert!(error.contains("describes 10000000000 runs, at most 10000"), "{error}");
    let two_grids = [grid(&five[..2], 100), grid(&["lr"], 1)].concat().replace("[grid]", "[[grid]]");
    let error = read_text(&two_grids).unwrap_err().to_string();
    assert!(error.contains("describes 10001 runs"), "{error}");
    assert_eq!(read_text(&grid(&five[..2], 30)).unwrap().points.len(), 900);
}

#[test]
fn a_file_that_is_no_sweep_file_at_all_is_not_read_whole() {
    let error = read_text(&"#".repeat(2 << 20)).unwrap_err().to_string();
    assert!(error.contains("mine.toml") && error.contains("more than the 1048576 bytes"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = read(folder.path(), &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("a folder is where a file should be"), "{error}");
}

#[test]
fn every_mistake_in_a_sweep_file_is_one_sentence_with_its_line() {
    for (text, parts) in [
        ("epochs = 3\nwdith = 1.0\n[grid]\nseed = [1]\n", &["line 2: ", "wdith"][..]),
        ("[grid]\nseed = [1]\nepsilom = [1]\n", &["line 3: ", "epsilom"]),
        ("[grid]\n\nmethod = [\"fgm\", \"fgn\"]\n", &["line 3: ", "fgn"]),
        ("epochs = \"many\"\n[grid]\nseed = [1]\n", &["line 1: epochs: ", "many"]),
        ("epochs = 3\n", &["has no [grid]"]),
        ("epochs = 3\n[grid]\n", &["line 2: ", "the grid is empty"]),
        ("[grid]\nseed = []\n", &["line 2: ", "seed has no values"]),
        ("[grid]\nseed = 1\n", &["line 2: ", "seed in a grid needs a list"]),
        ("grid = 1\n", &["line 1: ", "[grid]"]),
        ("out = 1\n[grid]\nseed = [1]\n", &["line 1: ", "out"]),
        ("[grid]\nadapter = [\"cpu\"]\n", &["line 2: ", "`adapter` several times"]),
        ("[grid]\nseed = [1\n", &["line "]),
        ("[grid]\nepsilon = [0.1, 0.10]\n", &["epsilon0.1", "same run"]),
        (
            "[[grid]]\nmethod = [\"fgm\"]\n[[grid]]\nmethod = [\"fgm\"]\nepsilon = [0.1]\n",
            &["fgm and epsilon0.1 are the same run"],
        ),
        ("[grid]\nlr = [0.1, -1.0]\n", &["lr--1", "`lr` -1"]),
        (
            "[grid]\nfrom = [\"a_b\", \"a-b\"]\n",
            &["two runs would have the folder from-a-b", "another sweep file"],
        ),
        ("[grid]\nfrom = [\"A\", \"a\"]\n", &["two runs would have the folder from-a:"]),
    ] {
        let error = read_text(text).unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        for part in [&["mine.toml"], parts].concat() {
            assert!(error.contains(part), "{part:?} is not in {error:?}, of {text:?}");
        }
    }
    let absent = read(Path::new("absent.toml"), &Overrides::default()).unwrap_err().to_string();
    assert!(absent.contains("absent.toml"), "{absent}");
}

#[test]
fn the_sweeps_in_the_examples_are_read() {
    let last_variant = "pgn-epsilon8-255-fixed-radius-true-generator-rounds2-norm-linf-seed1";
    let known = BTreeMap::from([
        ("curves.toml", (20, "pgn-c-l10-seed2")),
        ("pgn-variants.toml", (48, last_variant)),
        ("sweep.toml", (30, "pgn-c-l10-seed3")),
        ("whole-cifar10.toml", (26, "pgn-epsilon0.5-fixed-radius-true-generator-rounds2-seed1")),
    ]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|own| own == "toml")).collect();
    assert_eq!(files.len(), known.len(), "{files:?}");
    for path in files {
        let plan = read(&path, &Overrides::default()).unwrap();
        let found = (plan.points.len(), plan.points.last().unwrap().name.as_str());
        let file = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(known.get(file), Some(&found), "{file}");
    }
}

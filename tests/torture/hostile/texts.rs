//! Configurations, sweep files, metrics, evaluations and the tuning cache: deep, huge, absurd, contradictory.

use super::build::{repeated, sparse};
use super::{Case, Expected, Make};
use crate::runs::{Fixture, RUN, copy, evaluate, files};
use pgn_wgpu::integrity;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const CONFIG: [&str; 9] =
    ["train", "--adapter", "cpu", "--max-steps", "1", "--config", "hostile.toml", "--out", "new"];
const SWEEP: [&str; 3] = ["sweep", "hostile.toml", "--dry-run"];
const REPORT: [&str; 4] = ["report", RUN, "--out", "page"];
const RESUME: [&str; 5] = ["train", "--resume", RUN, "--max-steps", "61"];
const FILE: &str = "hostile.toml";
const DEEP: usize = 200_000;

/// TOML that is too much whatever it is for.
fn too_much() -> Vec<(&'static str, Make)> {
    vec![
        ("deep-lists", |path| fs::write(path, format!("without = {}", "[".repeat(DEEP)))),
        ("deep-closed-lists", |path| {
            fs::write(path, format!("without = {}{}", "[".repeat(DEEP), "]".repeat(DEEP)))
        }),
        ("deep-tables", |path| fs::write(path, format!("a = {}", "{a=".repeat(DEEP)))),
        ("deep-keys", |path| fs::write(path, format!("{}a = 1", "a.".repeat(DEEP)))),
        ("deep-heads", |path| fs::write(path, format!("[{}a]", "a.".repeat(DEEP)))),
        ("100-megabytes-of-comments", |path| repeated(path, b"", b"# nothing\n", 10_000_000, b"")),
        ("100-megabytes-of-keys", |path| repeated(path, b"", b"seed = 1\n", 11_000_000, b"")),
        ("100-megabytes-of-text", |path| repeated(path, b"method = \"", b"xxxxxxxxxx", 10_000_000, b"\"\n")),
        ("100-megabytes-of-numbers", |path| repeated(path, b"without = [", b"1,", 50_000_000, b"]\n")),
        ("sparse-gigabytes", |path| sparse(path, b"", 3 << 30)),
        ("no-text", |path| fs::write(path, b"\xff\xfe\x00\x01")),
        ("a-number-of-a-million-digits", |path| fs::write(path, format!("seed = {}", "9".repeat(1_000_000)))),
        ("folder", |path| fs::create_dir(path)),
        ("pipe", super::build::fifo),
        ("device-without-an-end", |path| std::os::unix::fs::symlink("/dev/zero", path)),
    ]
}

/// Values that no run can have.
const ABSURD: [&str; 25] = [
    "width = 1e30",
    "width = nan",
    "width = -1.0",
    "width = 0.0",
    "width = 100000.0",
    "batch-size = 9223372036854775807",
    "batch-size = -1",
    "batch-size = 0",
    "epochs = 4294967295",
    "epochs = 4294967296",
    "lr = inf",
    "lr = -0.0",
    "seed = -1",
    "seed = 99999999999999999999",
    "iterations = 4294967295",
    "generator-steps = 4294967295",
    "validation-share = nan",
    "epsilon = inf",
    "step-size = nan",
    "ema-decay = 1.0",
    "adv-coeff = nan",
    "c-l = -inf",
    "keep-every = 0",
    "resize = 8",
    "method = \"\\u0000\"",
];

/// Grids that are too large, or none.
fn grids() -> Vec<(&'static str, String)> {
    let axis = |key: &str, values: usize| {
        let values: Vec<String> = (1..=values).map(|i| i.to_string()).collect();
        format!("{key} = [{}]\n", values.join(","))
    };
    let floats = |key: &str| axis(key, 100).replace(',', ".0,").replace(']', ".0]");
    let five = ["epochs", "batch-size", "max-steps", "seed", "iterations"].map(|key| axis(key, 100)).concat();
    vec![
        ("five-axes-of-100", format!("[grid]\n{five}")),
        (
            "ten-axes-of-100",
            format!("[grid]\n{five}{}", ["lr", "epsilon", "c-l", "width", "step-size"].map(floats).concat()),
        ),
        ("an-axis-of-a-million", format!("[grid]\n{}", axis("seed", 1_000_000))),
        ("a-million-grids", "[[grid]]\nseed = [1]\n".repeat(1_000_000)),
        ("values-twice", "[grid]\nseed = [1, 1]\n".to_string()),
        ("no-list", "[grid]\nseed = 1\n".to_string()),
        ("lists-in-lists", format!("[grid]\nwithout = [{}{}]\n", "[".repeat(1000), "]".repeat(1000))),
    ]
}

pub fn cases(fixture: &Fixture) -> Vec<Case> {
    let mut all = Vec::new();
    for (name, make) in too_much() {
        all.push(Case::new(format!("config/{name}"), &CONFIG, FILE, move |folder| make(&folder.join(FILE))));
        all.push(Case::new(format!("sweep/{name}"), &SWEEP, FILE, move |folder| make(&folder.join(FILE))));
        let run = fixture.a();
        all.push(Case::new(format!("run/{name}"), &RESUME, "config.toml", move |folder| {
            copy(&run, &folder.join(RUN));
            fs::remove_file(folder.join(RUN).join("config.toml"))?;
            make(&folder.join(RUN).join("config.toml"))
        }));
    }
    for line in ABSURD {
        // The sentence has the flag's name, wherever the value came from.
        let key = line.split(' ').next().unwrap_or_default();
        all.push(Case::new(format!("config/{}", line.replace(' ', "")), &CONFIG, key, move |folder| {
            fs::write(folder.join(FILE), format!("{line}\n"))
        }));
    }
    for (name, text) in grids() {
        all.push(Case::new(format!("sweep/{name}"), &SWEEP, FILE, move |folder| {
            fs::write(folder.join(FILE), &text)
        }));
    }
    all.extend(metrics(fixture));
    all.extend(evaluations(fixture));
    all.extend(caches());
    all
}

/// A copy of the run in which one file is made anew.
fn with_file(
    fixture: &Fixture,
    file: PathBuf,
    make: impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static,
) -> impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static {
    let run = fixture.a();
    move |folder| {
        copy(&run, &folder.join(RUN));
        make(&folder.join(RUN).join(&file))
    }
}

fn metrics(fixture: &Fixture) -> Vec<Case> {
    // What cannot be read at all stops a resumption; lines that cannot are kept.
    const KEPT: &[&str] = &["of metrics.jsonl", "cut off or damaged", "kept in run/metrics.damaged.jsonl"];
    const UNREAD: &[&str] = &["cannot read run/metrics.jsonl", "there are no curves of this run"];
    let kinds: [(&str, &[&str], Make); 7] = [
        ("a-line-of-200-megabytes", UNREAD, |path| {
            repeated(path, b"{\"kind\":\"", b"xxxxxxxxxx", 20_000_000, b"\"}\n")
        }),
        (
            "a-deep-line",
            &["the last line of metrics.jsonl is cut off", "the curves are without it"],
            |path| fs::write(path, "[".repeat(1_000_000)),
        ),
        ("ten-million-lines", &["10000000 lines of metrics.jsonl are damaged"], |path| {
            repeated(path, b"", b"{}\n", 10_000_000, b"")
        }),
        ("no-text", &["2 lines of metrics.jsonl are damaged"], |path| fs::write(path, b"\xff\xfe\n\xff\n")),
        ("numbers-beyond", &["2 lines of metrics.jsonl are damaged"], |path| {
            fs::write(
                path,
                "{\"kind\":\"step\",\"step\":18446744073709551615,\"epoch\":4294967295,\"loss\":1e400}\n\n",
            )
        }),
        ("sparse-gigabytes", UNREAD, |path| sparse(path, b"{", 3 << 30)),
        ("pipe", UNREAD, |path| fs::remove_file(path).and_then(|()| super::build::fifo(path))),
    ];
    let mut all = Vec::new();
    for (name, reported, make) in kinds {
        for (command, arguments, said) in [("report", &REPORT[..], reported), ("resume", &RESUME[..], KEPT)] {
            let make = with_file(fixture, "metrics.jsonl".into(), make);
            let case = Case::new(format!("metrics/{command}/{name}"), arguments, "metrics.jsonl", make);
            all.push(case.expecting(Expected::Said(said)));
        }
    }
    all
}

/// Changes a record.
type Change = fn(&mut Value);

/// Records that cannot be under checksums that fit, and reports that are none.
fn evaluations(fixture: &Fixture) -> Vec<Case> {
    let Some(record) = files(&fixture.a()).into_keys().find(|path| path.starts_with("evaluation")) else {
        return Vec::new();
    };
    let arguments = evaluate();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let name = record.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let named: &'static str = Box::leak(name.clone().into_boxed_str());
    let again = Expected::Said(Box::leak(Box::new([named, "; it is computed again"])));
    let changes: [(&str, Expected, Change); 5] = [
        ("fewer-distances", again, |record| drop(list(record, "l2").pop())),
        ("no-labels", again, |record| list(record, "labels").clear()),
        ("a-negative-class", again, |record| list(record, "labels")[0] = json!(-1)),
        // Nothing else in the record speaks against these two.
        ("a-class-of-2^63", Expected::Either, |record| list(record, "predictions")[0] = json!(1_u64 << 63)),
        ("a-huge-distance", Expected::Either, |record| list(record, "l2")[0] = json!(1e300)),
    ];
    let mut all = Vec::new();
    for (what, expected, change) in changes {
        let make = with_file(fixture, record.clone(), move |path| {
            let mut value: Value = serde_json::from_slice(&fs::read(path)?)?;
            value.as_object_mut().expect("a record").remove("checksum");
            change(&mut value);
            fs::write(path, integrity::to_json(&value))
        });
        let case = Case::new(format!("record/{what}"), &arguments, &name, make);
        all.push(case.expecting(expected).beyond_checksums());
    }
    let files: [(&str, Make); 4] = [
        ("deep", |path| fs::write(path, "[".repeat(1_000_000))),
        ("of-200-megabytes", |path| repeated(path, b"{\"key\":\"", b"xxxxxxxxxx", 20_000_000, b"\"}")),
        ("sparse-gigabytes", |path| sparse(path, b"{", 3 << 30)),
        ("of-another-shape", |path| fs::write(path, "{\"labels\":7}")),
    ];
    for (what, make) in files {
        let record = with_file(fixture, record.clone(), make);
        all.push(Case::new(format!("record/{what}"), &arguments, &name, record).expecting(again));
        let report = with_file(fixture, "evaluation.json".into(), make);
        let case = Case::new(format!("evaluation/{what}"), &REPORT, "evaluation.json", report);
        all.push(case.expecting(Expected::Said(&["evaluation.json", "it counts as not there"])));
    }
    all
}

fn list<'a>(record: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    record[key].as_array_mut().expect("a list of the record")
}

/// The cache is only ever a help: whatever is in it, the program goes on.
fn caches() -> Vec<Case> {
    let adapters = crate::child::finish(
        crate::child::program(&std::env::temp_dir(), ["adapters", "--json"]),
        &std::env::temp_dir(),
        "pgn-wgpu-adapters",
    );
    // Without an adapter nothing reads the cache.
    let adapter = if adapters.output.contains("\"kind\"") { "auto" } else { "cpu" };
    let arguments = [
        "train",
        "--adapter",
        adapter,
        "--width",
        "0.0625",
        "--method",
        "natural",
        "--max-steps",
        "1",
        "--out",
        "new",
    ];
    let kinds: [(&str, Make); 5] = [
        ("garbage", |path| fs::write(path, b"\xff\x00")),
        ("deep", |path| fs::write(path, "[".repeat(1_000_000))),
        ("of-another-shape", |path| fs::write(path, "{\"a\":{\"b\":{\"form\":1}}}")),
        ("sparse-gigabytes", |path| sparse(path, b"{", 3 << 30)),
        ("folder", |path| fs::create_dir(path)),
    ];
    let case = |(name, make): (&str, Make)| {
        let case = Case::new(format!("cache/{name}"), &arguments, "cache", move |folder| {
            fs::create_dir(folder.join("cache"))?;
            make(&folder.join("cache/tuning-1.json"))
        });
        case.expecting(Expected::Accepted)
    };
    kinds.into_iter().map(case).collect()
}

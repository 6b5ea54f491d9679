//! Weights and checkpoints that are none.

use super::build::{fifo, repeated, safetensors, sparse};
use super::{Case, Expected, Make};
use crate::runs::{Fixture, RUN, copy};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

const FILE: &str = "hostile.safetensors";
const GIGABYTE: u64 = 1 << 30;
/// How `attack` reads a model.
const ATTACK: [&str; 11] = [
    "attack",
    "--adapter",
    "cpu",
    "--dataset",
    "digits",
    "--attack",
    "fgm",
    "--limit",
    "20",
    "--model",
    FILE,
];
/// How `train` starts from one.
const FROM: [&str; 9] = ["train", "--adapter", "cpu", "--max-steps", "1", "--out", "new", "--from", FILE];

fn written(header: &str, claimed: Option<u64>, data: &[u8], path: &Path) -> io::Result<()> {
    fs::write(path, safetensors(header, claimed, data))
}

fn one(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(
        "{{\"classifier.convs.0.weight\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}"
    )
}

/// Our own metadata with a value of the problem or the width changed, before no tensors at all.
fn facts(side: &str, channels: &str, classes: &str, width: &str) -> String {
    let facts = format!(
        "{{\"version\":\"0.1.0\",\"problem\":{{\"side\":{side},\"channels\":{channels},\"classes\":{classes}}},\
         \"width\":{width},\"dataset\":\"UCI optical digits\",\"class_names\":[],\"method\":\"natural\"}}"
    );
    format!("{{\"__metadata__\":{{\"pgn-wgpu\":{facts:?}}}}}")
}

fn parsing() -> Vec<(&'static str, Make)> {
    vec![
        ("header-2^63", |path| written("{}", Some(1 << 63), b"", path)),
        ("header-2^64-1", |path| written("{}", Some(u64::MAX), b"", path)),
        ("header-beyond-the-file", |path| written("{}", Some(1000), b"", path)),
        ("header-of-a-sparse-gigabyte", |path| sparse(path, &(GIGABYTE - 8).to_le_bytes(), GIGABYTE)),
        ("header-within-a-sparse-gigabyte", |path| {
            sparse(path, &[2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}'], GIGABYTE)
        }),
        ("header-empty", |path| written("", None, b"", path)),
        ("header-no-json", |path| written("\u{0}\u{0}\u{0}\u{0}", None, b"", path)),
        ("header-90-megabytes-of-spaces", |path| {
            repeated(path, &90_000_000_u64.to_le_bytes(), b"          ", 9_000_000, b"")
        }),
        ("header-deep-lists", |path| written(&format!("{{\"a\":{}", "[".repeat(1_000_000)), None, b"", path)),
        ("header-deep-tables", |path| written(&"{\"a\":".repeat(1_000_000), None, b"", path)),
        ("header-100000-tensors", |path| {
            let mut header = "{".to_string();
            for i in 0..100_000 {
                let _ =
                    write!(header, "\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},");
            }
            written(&format!("{}}}", header.trim_end_matches(',')), None, b"", path)
        }),
        ("keys-twice", |path| {
            let tensor = one("F32", "[1]", "[0,4]");
            let inside = &tensor[1..tensor.len() - 1];
            written(&format!("{{{inside},{inside}}}"), None, &[0; 4], path)
        }),
        ("offsets-overlap", |path| {
            let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\
                          \"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}";
            written(header, None, &[0; 12], path)
        }),
        ("offsets-beyond", |path| written(&one("F32", "[1000]", "[0,4000]"), None, &[0; 4], path)),
        ("offsets-backwards", |path| written(&one("F32", "[1]", "[8,4]"), None, &[0; 8], path)),
        ("offsets-negative", |path| written(&one("F32", "[1]", "[-4,0]"), None, &[0; 4], path)),
        ("offsets-2^64", |path| {
            written(&one("F32", "[1]", "[18446744073709551612,18446744073709551615]"), None, &[0; 4], path)
        }),
        ("shape-overflows", |path| {
            written(&one("F32", "[4294967296,4294967296,4]", "[0,0]"), None, b"", path)
        }),
        ("shape-negative", |path| written(&one("F32", "[-1]", "[0,4]"), None, &[0; 4], path)),
        ("shape-of-none", |path| written(&one("F32", "[0,1,3,3]", "[0,0]"), None, b"", path)),
        ("dtype-unknown", |path| written(&one("F33", "[1]", "[0,4]"), None, &[0; 4], path)),
        ("dtype-int", |path| written(&one("I64", "[1]", "[0,8]"), None, &[0; 8], path)),
        ("numbers-nan", |path| {
            let nan = f32::NAN.to_le_bytes().repeat(4 * 9);
            written(&one("F32", "[4,1,3,3]", "[0,144]"), None, &nan, path)
        }),
        ("zip", |path| fs::write(path, [b"PK\x03\x04".as_slice(), &[0; 2000]].concat())),
        ("pickle", |path| {
            fs::write(path, b"\x80\x02}q\x00(X\x06\x00\x00\x00weightq\x01ctorch._utils\n_rebuild")
        }),
        ("empty", |path| fs::write(path, b"")),
        ("folder", |path| fs::create_dir(path)),
        ("pipe", fifo),
        ("link-to-itself", |path| std::os::unix::fs::symlink(FILE, path)),
        ("device-without-an-end", |path| std::os::unix::fs::symlink("/dev/zero", path)),
    ]
}

/// Files that parse and describe a model that cannot be.
fn impossible() -> Vec<(&'static str, String)> {
    let good = ["8", "1", "10", "0.0625"];
    let with = |i: usize, value: &'static str| {
        let mut all = good;
        all[i] = value;
        facts(all[0], all[1], all[2], all[3])
    };
    vec![
        ("width-huge", with(3, "1e30")),
        ("width-large", with(3, "30000.0")),
        ("width-zero", with(3, "0.0")),
        ("width-negative", with(3, "-1.0")),
        ("width-beyond-numbers", with(3, "1e400")),
        ("side-huge", with(0, "4611686018427387904")),
        ("side-zero", with(0, "0")),
        ("side-odd", with(0, "9")),
        ("channels-huge", with(1, "4611686018427387904")),
        ("channels-zero", with(1, "0")),
        ("classes-huge", with(2, "1000000000000")),
        ("classes-zero", with(2, "0")),
        ("classes-negative", with(2, "-1")),
        ("metadata-deep", format!("{{\"__metadata__\":{{\"pgn-wgpu\":{:?}}}}}", "[".repeat(100_000))),
        ("metadata-no-json", "{\"__metadata__\":{\"pgn-wgpu\":\"x\"}}".to_string()),
    ]
}

pub fn cases(fixture: &Fixture) -> Vec<Case> {
    let mut all = Vec::new();
    for (name, make) in parsing() {
        all.push(Case::new(format!("attack/{name}"), &ATTACK, FILE, move |folder| make(&folder.join(FILE))));
        all.push(Case::new(format!("from/{name}"), &FROM, FILE, move |folder| make(&folder.join(FILE))));
        // As the checkpoint of a run, which an earlier one may replace if that is said.
        let run = fixture.a();
        let resume = ["train", "--resume", RUN, "--max-steps", "61"];
        let case = Case::new(format!("resume/{name}"), &resume, "last.safetensors", move |folder| {
            copy(&run, &folder.join(RUN));
            let path = folder.join(RUN).join("checkpoints/last.safetensors");
            fs::remove_file(&path)?;
            make(&path)
        });
        all.push(case.expecting(Expected::Said(&[
            "last.safetensors",
            "; the run goes on from the checkpoint before it, at step 59",
        ])));
    }
    for (name, header) in impossible() {
        let make = move |folder: &Path| written(&header, None, b"", &folder.join(FILE));
        all.push(Case::new(format!("attack/{name}"), &ATTACK, FILE, make));
    }
    all.extend(locks(fixture));
    all
}

/// Locks of run folders that no run has left.
fn locks(fixture: &Fixture) -> Vec<Case> {
    let kinds: [(&str, Make); 8] = [
        ("garbage", |path| fs::write(path, b"\xff\x00 garbage")),
        ("deep", |path| fs::write(path, "[".repeat(1_000_000))),
        ("sparse-gigabyte", |path| sparse(path, b"{", GIGABYTE)),
        ("pid-negative", |path| fs::write(path, "{\"host\":\"h\",\"pid\":-1,\"since\":-1}")),
        ("from-the-future", |path| {
            fs::write(path, "{\"host\":\"elsewhere\",\"pid\":1,\"since\":18446744073709551615}")?;
            let far = std::time::SystemTime::now() + std::time::Duration::from_secs(1 << 33);
            fs::OpenOptions::new().write(true).open(path)?.set_modified(far)
        }),
        ("folder", |path| fs::create_dir(path)),
        ("pipe", fifo),
        ("link-to-itself", |path| std::os::unix::fs::symlink("lock", path)),
    ];
    let resume = ["train", "--resume", RUN, "--max-steps", "61"];
    let case = |(name, make): (&str, Make)| {
        let run = fixture.a();
        let case = Case::new(format!("lock/{name}"), &resume, RUN, move |folder| {
            copy(&run, &folder.join(RUN));
            let path = folder.join(RUN).join("lock");
            let _ = fs::remove_file(&path);
            make(&path)
        });
        case.expecting(Expected::Either)
    };
    kinds.into_iter().map(case).collect()
}

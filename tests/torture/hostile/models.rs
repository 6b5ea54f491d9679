//! Weights and checkpoints that are none.

use super::build::{fifo, repeated, safetensors, sparse};
use super::{Case, Expected, Make};
use crate::runs::{Fixture, RUN, copy};
use pgn_wgpu::integrity::{self, EMPTY_SEAL};
use pgn_wgpu::models::sealed;
use serde_json::{Value, json};
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
/// How a model is read whatever its images are.
const EXPORT: [&str; 4] = ["export", FILE, "--onnx", "new.onnx"];
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

/// The model with another text for its facts. Its checksums fit, so that the text has to be judged by itself.
fn with_facts(model: &[u8], change: impl FnOnce(&str) -> String) -> Vec<u8> {
    let (length, rest) = model.split_first_chunk::<8>().expect("a model");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Value = serde_json::from_slice(header).expect("the header of a model");
    let entry = &mut header["__metadata__"]["pgn-wgpu"];
    let (_, line) = entry.as_str().and_then(|text| text.split_once(' ')).expect("a checksum and facts");
    let text = change(&integrity::from_line(line).expect("whole facts"));
    // By hand, because the text need not be JSON.
    let open = text.strip_suffix('}').unwrap_or(&text);
    let crc = crc32c::crc32c(open.as_bytes());
    *entry = json!(format!("{EMPTY_SEAL} {open},\"crc32c\":\"{crc:08x}\"}}"));
    sealed::seal(safetensors(&header.to_string(), None, data))
}

/// The model with another value of its facts, in the description of the network too where that has it.
fn with_value(model: &[u8], at: &str, value: &Value) -> Vec<u8> {
    with_facts(model, |facts| {
        let mut facts: Value = serde_json::from_str(facts).expect("facts");
        *facts.pointer_mut(at).expect("a value of the facts") = value.clone();
        if let Some(same) = facts.pointer_mut(&format!("/classifier{at}")) {
            *same = value.clone();
        }
        facts.to_string()
    })
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

/// Whole files, made of a good one, that describe a model that cannot be.
fn impossible(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let with = |at: &str, value: Value| with_value(good, at, &value);
    vec![
        ("width-huge", with("/width", json!(1e30))),
        ("width-large", with("/width", json!(30000.0))),
        ("width-zero", with("/width", json!(0.0))),
        ("width-negative", with("/width", json!(-1.0))),
        ("width-beyond-f32", with("/width", json!(1e300))),
        ("height-huge", with("/problem/height", json!(1_u64 << 62))),
        ("height-zero", with("/problem/height", json!(0))),
        ("height-odd", with("/problem/height", json!(9))),
        ("channels-huge", with("/problem/channels", json!(1_u64 << 62))),
        ("channels-zero", with("/problem/channels", json!(0))),
        ("classes-huge", with("/problem/classes", json!(1_000_000_000_000_u64))),
        ("classes-zero", with("/problem/classes", json!(0))),
        ("classes-negative", with("/problem/classes", json!(-1))),
        (
            "width-beyond-numbers",
            with_facts(good, |facts| facts.replacen("\"width\":0.0625", "\"width\":1e400", 1)),
        ),
        ("metadata-deep", with_facts(good, |_| "[".repeat(100_000))),
        ("metadata-no-json", with_facts(good, |_| "x".to_string())),
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
    let good = fs::read(fixture.a().join("model.safetensors")).expect("the model of a finished run");
    for (name, bytes) in impossible(&good) {
        for (command, arguments) in [("attack", &ATTACK[..]), ("export", &EXPORT[..])] {
            let bytes = bytes.clone();
            let make = move |folder: &Path| fs::write(folder.join(FILE), &bytes);
            all.push(Case::new(format!("{command}/{name}"), arguments, FILE, make).beyond_checksums());
        }
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

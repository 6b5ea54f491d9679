//! Files of a finished run that are cut short, too long, partly zero, edited by hand, or another run's: all are
//! refused, or the damage is named.

use super::readers::{self, Reader};
use super::runs::{Fixture, RUN, files, in_parallel};
use super::tally::{Report, Try};
use std::fs;
use std::path::{Path, PathBuf};

/// What a disk loses at a time.
const BLOCK: usize = 512;

/// A file of the run as it should not be.
struct Mixup {
    name: String,
    file: PathBuf,
    bytes: Vec<u8>,
    reader: Reader,
}

pub fn run(fixture: &Fixture, report: &mut Report) {
    let [a, b] = [fixture.a(), fixture.b()];
    for kind in ["length", "zeros", "swapped", "edited"] {
        let group = format!("mixups/{kind}");
        if !fixture.settings.wants(&group) {
            continue;
        }
        let mut all = Vec::new();
        for (file, length) in files(&a) {
            if length == 0 {
                continue;
            }
            let good = fs::read(a.join(&file)).expect("a file of the run");
            let versions = match kind {
                "length" => lengths(&good),
                "zeros" => zeros(&good),
                "swapped" => swapped(&b, &file, &good),
                _ => edited(&file, &good),
            };
            let mut readers = readers::of(fixture, &file);
            readers.push(readers::verify(fixture, &file));
            for (what, bytes) in versions {
                for reader in &readers {
                    let name = format!("{group}/{}/{what}/{}", file.display(), reader.name);
                    if fixture.settings.wants(&name) {
                        let (file, bytes, reader) = (file.clone(), bytes.clone(), reader.clone());
                        all.push(Mixup { name, file, bytes, reader });
                    }
                }
            }
        }
        let tries = in_parallel(fixture.settings.jobs, &all, |mixup| {
            let folder = fixture.copy_of(&a);
            fs::write(folder.join(RUN).join(&mixup.file), &mixup.bytes).expect("a copy");
            let (verdict, peak) = mixup.reader.judge(&folder, &mixup.file);
            fixture.done_with(&folder);
            Try { name: mixup.name.clone(), verdict, peak }
        });
        report.add(&group, tries);
    }
}

type Version = (String, Vec<u8>);

/// Cut at lengths that parsers treat differently, and with something behind the end.
fn lengths(good: &[u8]) -> Vec<Version> {
    let whole = good.len();
    // Between two lines, where a text still looks whole.
    let line = good[..whole - 1].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let mut cuts = vec![0, 1, 7, 8, 9, whole / 2, line, whole.saturating_sub(8), whole - 1];
    cuts.sort_unstable();
    cuts.dedup();
    let mut all: Vec<Version> = cuts
        .into_iter()
        .filter(|&cut| cut < whole)
        .map(|cut| (format!("cut-{cut}"), good[..cut].to_vec()))
        .collect();
    for (what, more) in [("byte", &b"x"[..]), ("zeros", &[0; 4096][..]), ("itself", good)] {
        all.push((format!("and-{what}"), [good, more].concat()));
    }
    all
}

/// A block that the disk has lost.
fn zeros(good: &[u8]) -> Vec<Version> {
    let last = (good.len() - 1) / BLOCK;
    let mut blocks = vec![0, last / 2, last];
    blocks.dedup();
    let version = |block: usize| {
        let mut bytes = good.to_vec();
        let end = bytes.len().min((block + 1) * BLOCK);
        bytes[block * BLOCK..end].fill(0);
        (format!("block-{block}"), bytes)
    };
    blocks.into_iter().map(version).filter(|(_, bytes)| bytes != good).collect()
}

/// The same file of another run; of a record, whose name tells the weights, one of the same attack.
fn swapped(other: &Path, file: &Path, good: &[u8]) -> Vec<Version> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let kind = |name: &str| name.rsplit_once('-').map_or(name.to_string(), |(kind, _)| kind.to_string());
    let folder = other.join(file.parent().unwrap_or(Path::new("")));
    let same = |candidate: &PathBuf| {
        let own = candidate.file_name().unwrap_or_default().to_string_lossy();
        own == name || (file.starts_with("evaluation") && kind(&own) == kind(&name))
    };
    let found = files(&folder).into_keys().find(same);
    let bytes = found.and_then(|path| fs::read(folder.join(path)).ok()).filter(|bytes| bytes != good);
    bytes.map(|bytes| ("other-run".to_string(), bytes)).into_iter().collect()
}

/// Every setting of the configuration changed by hand, but for those that may change when a run is continued.
fn edited(file: &Path, good: &[u8]) -> Vec<Version> {
    const MAY_CHANGE: [&str; 3] = ["adapter", "epochs", "max-steps"];
    if file != Path::new("config.toml") {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(good);
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| !MAY_CHANGE.contains(key)) else {
            continue;
        };
        let Some(value) = other_value(key, value) else { continue };
        let changed = format!("{key} = {value}");
        let lines: Vec<&str> =
            text.lines().enumerate().map(|(n, own)| if n == number { &changed } else { own }).collect();
        all.push((key.to_string(), format!("{}\n", lines.join("\n")).into_bytes()));
    }
    all
}

/// Another value that the key takes; `None` for words, whose alternatives only the program knows, but for some.
fn other_value(key: &str, value: &str) -> Option<String> {
    match (key, value) {
        ("method", _) => Some("\"fgm\"".to_string()),
        ("augment", _) => Some("\"none\"".to_string()),
        (_, "true") => Some("false".to_string()),
        (_, "false") => Some("true".to_string()),
        _ => {
            let number: f64 = value.parse().ok()?;
            let other = if value.contains(['.', 'e']) { number * 0.25 + 0.001 } else { number + 1.0 };
            Some(if value.contains(['.', 'e']) { format!("{other:?}") } else { format!("{other}") })
        }
    }
}

//! The measured choices on disk: one JSON file in the platform's cache folder.
//!
//! `PGN_WGPU_CACHE` names another folder. The file is written under a temporary name and renamed. A damaged file, or one of another
//! format, counts as empty. Entries that other processes added in the meantime are kept.

use super::{Candidate, Tune};
use crate::files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file. Another format gets another number.
const FILE: &str = "tuning-1.json";
/// The folder below the platform's.
const FOLDER: &str = "pgn-wgpu";

/// What is known about a shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The form that won.
    pub form: String,
    /// How it was measured.
    pub tune: Tune,
    /// Fingerprint of the shaders that were compared.
    #[serde(with = "hexadecimal")]
    pub sources: u64,
    /// All forms.
    pub candidates: Vec<Candidate>,
}

type Entries = BTreeMap<String, Entry>;

/// Entries of one adapter, driver and program version.
#[derive(Debug)]
pub struct Store {
    /// None: nothing is kept.
    path: Option<PathBuf>,
    section: String,
    entries: Entries,
    new: Entries,
}

impl Store {
    /// Nothing known, and nothing kept beyond the process.
    pub fn none() -> Self {
        Self { path: None, section: String::new(), entries: Entries::new(), new: Entries::new() }
    }

    /// The entries of `section` in the file of `folder`.
    pub fn open(folder: &Path, section: String) -> Self {
        let path = folder.join(FILE);
        let entries = read(&path).remove(&section).unwrap_or_default();
        Self { path: Some(path), section, entries, new: Entries::new() }
    }

    /// The entry of a shape, unless it was made with other shaders.
    pub fn get(&self, shape: &str, sources: u64) -> Option<&Entry> {
        self.entries.get(shape).filter(|entry| entry.sources == sources)
    }

    /// Adds an entry; [`Store::save`] writes it.
    pub fn insert(&mut self, shape: &str, entry: Entry) {
        self.entries.insert(shape.to_string(), entry.clone());
        self.new.insert(shape.to_string(), entry);
    }

    /// Adds the new entries to the file. A choice that another process made for the same shape in the meantime stays, so that all later
    /// processes make the same choice.
    pub fn save(&mut self) {
        let Some(path) = &self.path else { return };
        let mut all = read(path);
        let section = all.entry(self.section.clone()).or_default();
        for (shape, entry) in std::mem::take(&mut self.new) {
            let stays = |old: &&mut Entry| old.sources == entry.sources && old.tune >= entry.tune;
            if section.get_mut(&shape).as_ref().is_none_or(|old| !stays(old)) {
                section.insert(shape, entry);
            }
        }
        let text = serde_json::to_string_pretty(&all).expect("entries are plain values");
        let folder = path.parent().expect("a file is in a folder");
        let written = files::create_folder(folder).and_then(|()| files::write(path, text.as_bytes()));
        if let Err(error) = written {
            let _ = writeln!(
                std::io::stderr(),
                "note: what was measured of the kernels is not remembered: {error}"
            );
        }
    }
}

/// All sections of a file; none if there is no such file, or if it is not one of ours.
fn read(path: &Path) -> BTreeMap<String, Entries> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The cache folder: `PGN_WGPU_CACHE`, or a folder below the platform's own. `None` if there is none.
pub fn folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    folder_of(std::env::consts::OS, variable)
}

fn folder_of(system: &str, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(own) = variable("PGN_WGPU_CACHE") {
        return Some(own);
    }
    let home = || variable("HOME");
    let caches = match system {
        "windows" => variable("LOCALAPPDATA"),
        "macos" => home().map(|home| home.join("Library/Caches")),
        _ => variable("XDG_CACHE_HOME").or_else(|| home().map(|home| home.join(".cache"))),
    };
    Some(caches?.join(FOLDER))
}

/// Fingerprints as text: JSON's numbers end at 2^53.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(form: &str, tune: Tune, sources: u64) -> Entry {
        let candidates = vec![
            Candidate { form: form.to_string(), microseconds: Some(12.5), wrong: None },
            Candidate { form: "other".to_string(), microseconds: None, wrong: Some("NaN".to_string()) },
        ];
        Entry { form: form.to_string(), tune, sources, candidates }
    }

    fn written(folder: &Path, section: &str, shape: &str, entry: Entry) {
        let mut store = Store::open(folder, section.to_string());
        store.insert(shape, entry);
        store.save();
    }

    #[test]
    fn what_was_written_is_read_again_for_the_same_section_and_shaders_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = entry("portable", Tune::Quick, u64::MAX);
        written(&folder.path().join("new"), "card, driver 1", "conv2d 1x2x3", made.clone());
        let open = |section: &str| Store::open(&folder.path().join("new"), section.to_string());
        assert_eq!(open("card, driver 1").get("conv2d 1x2x3", u64::MAX), Some(&made));
        assert_eq!(open("card, driver 1").get("conv2d 1x2x3", 7), None, "of another shader");
        assert_eq!(open("card, driver 2").get("conv2d 1x2x3", u64::MAX), None, "of another driver");
    }

    #[test]
    fn processes_that_write_in_turn_keep_what_the_others_found() {
        let folder = tempfile::tempdir().unwrap();
        // Both have read the empty file before either writes.
        let mut first = Store::open(folder.path(), "card".to_string());
        let mut second = Store::open(folder.path(), "card".to_string());
        first.insert("both", entry("a", Tune::Quick, 1));
        first.insert("one", entry("a", Tune::Quick, 1));
        first.save();
        second.insert("both", entry("b", Tune::Quick, 1));
        second.insert("two", entry("b", Tune::Quick, 1));
        second.save();
        let all = Store::open(folder.path(), "card".to_string());
        let forms = ["both", "one", "two"].map(|shape| all.get(shape, 1).unwrap().form.clone());
        assert_eq!(forms, ["a", "a", "b"]);
    }

    #[test]
    fn a_full_measurement_replaces_a_quick_one_and_not_the_other_way_round() {
        let folder = tempfile::tempdir().unwrap();
        for (form, tune, expected) in
            [("a", Tune::Quick, "a"), ("b", Tune::Full, "b"), ("c", Tune::Quick, "b")]
        {
            written(folder.path(), "card", "shape", entry(form, tune, 1));
            let all = Store::open(folder.path(), "card".to_string());
            assert_eq!(all.get("shape", 1).unwrap().form, expected);
        }
    }

    #[test]
    fn a_damaged_file_counts_as_empty_and_is_replaced() {
        for damage in ["", "{\"card\": {\"shape\": {\"form\"", "[1, 2]", "{\"card\": 7}", "\u{0}"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(FILE), damage).unwrap();
            assert_eq!(Store::open(folder.path(), "card".to_string()).get("shape", 1), None);
            written(folder.path(), "card", "shape", entry("a", Tune::Quick, 1));
            assert!(Store::open(folder.path(), "card".to_string()).get("shape", 1).is_some(), "{damage:?}");
        }
    }

    #[test]
    fn the_folder_is_the_platforms_unless_the_variable_names_another() {
        let of = |system: &str, set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(n, v)| ((*n).to_string(), (*v).to_string())).collect();
            folder_of(system, move |name| set.iter().find(|(n, _)| n == name).map(|(_, v)| v.into()))
        };
        assert_eq!(of("linux", &[("HOME", "/h")]), Some("/h/.cache/pgn-wgpu".into()));
        assert_eq!(of("linux", &[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some("/x/pgn-wgpu".into()));
        assert_eq!(of("macos", &[("HOME", "/h")]), Some("/h/Library/Caches/pgn-wgpu".into()));
        assert_eq!(of("windows", &[("LOCALAPPDATA", "/l"), ("HOME", "/h")]), Some("/l/pgn-wgpu".into()));
        assert_eq!(of("linux", &[("PGN_WGPU_CACHE", "/own"), ("HOME", "/h")]), Some("/own".into()));
        assert_eq!(of("linux", &[]), None);
    }
}

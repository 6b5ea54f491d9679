//! What a reproduction has computed of a run beside its attack records, kept next to them from the moment it is known,
//! so that a later call only reads it. A file's name tells what it was computed from, and so does its content.

use crate::evaluation::record::fingerprint_of_text;
use crate::files::{self, FileError};
use crate::integrity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One result's file.
pub struct Kept {
    path: PathBuf,
    /// Everything that decides the result, as JSON.
    key: String,
}

#[derive(Serialize, Deserialize)]
struct Entry<V> {
    key: String,
    value: V,
}

impl Kept {
    /// A result of a `kind` such as `timing` that `key` decides, in `folder`.
    pub fn new(folder: &Path, kind: &str, key: &impl Serialize) -> Self {
        let key = serde_json::to_string(key).expect("keys are plain values");
        Self { path: folder.join(format!("{kind}-{}.json", fingerprint_of_text(&key))), key }
    }

    /// The result, if it is there, whole, and of the same key.
    pub fn load<V: DeserializeOwned>(&self) -> Option<V> {
        let entry: Entry<V> = integrity::from_json(&files::read(&self.path).ok()?).ok()?;
        (entry.key == self.key).then_some(entry.value)
    }

    /// Keeps a result; the folder is made if need be.
    pub fn save(&self, value: impl Serialize) -> Result<(), FileError> {
        if let Some(folder) = self.path.parent() {
            files::create_folder(folder)?;
        }
        let entry = Entry { key: self.key.clone(), value };
        files::write(&self.path, &integrity::to_json(&entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_back_for_its_own_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("evaluation");
        let kept = Kept::new(&inner, "timing", &("adapter", 128));
        assert_eq!(kept.load::<f64>(), None);
        kept.save(1.5).unwrap();
        assert_eq!(kept.load(), Some(1.5));
        for other in [("adapter", 64), ("another", 128)] {
            assert_eq!(Kept::new(&inner, "timing", &other).load::<f64>(), None);
        }
        // Two keys of one fingerprint would still be told apart.
        let same_name = Kept { key: "another".into(), ..kept };
        assert_eq!(same_name.load::<f64>(), None);
    }

    #[test]
    fn a_damaged_file_counts_as_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path(), "confidence", &1);
        std::fs::write(&kept.path, b"{").unwrap();
        assert_eq!(kept.load::<f64>(), None);
        kept.save(0.5).unwrap();
        assert_eq!(kept.load(), Some(0.5));
    }
}

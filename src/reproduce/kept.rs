//! What a reproduction has computed of a run beside its attack records, kept next to them from the moment it is known,
//! so that a later call only reads it. A file's name tells what it was computed from, and so does its content.

use crate::evaluation::record::{LARGEST_RECORD, fingerprint_of_text};
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

    /// The result, if it is there and of the same key.
    ///
    /// # Errors
    /// A sentence that names the file, if it cannot be believed.
    pub fn load<V: DeserializeOwned>(&self) -> Result<Option<V>, String> {
        if !self.path.exists() {
            return Ok(None);
        }
        let bytes = files::read_at_most(&self.path, LARGEST_RECORD).map_err(|error| error.to_string())?;
        let entry: Entry<V> = integrity::from_json(&bytes)
            .map_err(|reason| format!("{} cannot be believed: {reason}", self.path.display()))?;
        Ok((entry.key == self.key).then_some(entry.value))
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
        assert_eq!(kept.load::<f64>(), Ok(None));
        kept.save(1.5).unwrap();
        assert_eq!(kept.load(), Ok(Some(1.5)));
        for other in [("adapter", 64), ("another", 128)] {
            assert_eq!(Kept::new(&inner, "timing", &other).load::<f64>(), Ok(None));
        }
        // Two keys of one fingerprint would still be told apart.
        let same_name = Kept { key: "another".into(), ..kept };
        assert_eq!(same_name.load::<f64>(), Ok(None));
    }

    #[test]
    fn a_damaged_file_is_named_and_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path(), "confidence", &1);
        kept.save(0.5).unwrap();
        let text = std::fs::read_to_string(&kept.path).unwrap();
        std::fs::write(&kept.path, text.replace("0.5", "0.6")).unwrap();
        assert!(kept.load::<f64>().unwrap_err().contains("confidence-"));
        kept.save(0.5).unwrap();
        assert_eq!(kept.load(), Ok(Some(0.5)));
    }
}

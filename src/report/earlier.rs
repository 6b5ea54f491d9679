//! What a folder has of an earlier report. A report renews its own files and nobody else's: `report.json` lists what was
//! written, by which command, and about which runs.

use crate::files::{self, FileError};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// The parts of a folder that reports write.
const PLACES: [&str; 5] = ["report.html", "report.json", "figures", "tables", "pictures"];

/// Who writes a report, and what about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The command: `report` or `reproduce`.
    pub by: String,
    /// The run folders, as paths from the report's folder: they mean the same runs wherever the next call is made, also where all of
    /// it was moved. Empty if the folder of the report says it.
    pub about: Vec<PathBuf>,
}

impl Origin {
    /// Of a report in `folder` that the command `by` writes about `runs`.
    pub fn new(by: &str, runs: &[PathBuf], folder: &Path) -> Self {
        let folder = files::resolved(folder);
        let about = runs.iter().map(|run| as_text(&relative(&files::resolved(run), &folder))).collect();
        Self { by: by.to_string(), about }
    }
}

/// A path as JSON can have it. Bytes that are no Unicode are replaced by U+FFFD; equal paths stay equal.
fn as_text(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().into_owned())
}

/// The way from `folder` to `path`; both are resolved.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let shared = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    // Nothing leads from one drive to another.
    if shared == 0 {
        return path.to_path_buf();
    }
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

/// An earlier report in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Where it comes from.
    pub origin: Origin,
    /// Its files, below the folder.
    pub files: Vec<PathBuf>,
}

/// Why a report is not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody else's file.
    #[error("{} exists and belongs to no earlier report; choose another `out`, or overwrite it with `force`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A report that says something which the new one will not.
    #[error("the report in {} {what}; choose another `out`, or replace it with `force`", folder.display())]
    Other {
        /// The folder.
        folder: PathBuf,
        /// What it says.
        what: String,
    },
}

/// Bytes of the largest report that is read.
const LARGEST: u64 = 256 << 20;

impl Earlier {
    /// The earlier report in `folder`; an empty one if there is none that this program wrote.
    pub fn find(folder: &Path) -> Self {
        #[derive(Deserialize)]
        struct Json {
            written: Earlier,
        }
        let bytes = files::read_at_most(&folder.join("report.json"), LARGEST).unwrap_or_default();
        let mut earlier = serde_json::from_slice::<Json>(&bytes).map(|json| json.written).unwrap_or_default();
        earlier.files.retain(|file| is_a_reports(file));
        earlier
    }

    /// Refuses to replace a report of another command, or about a run that the new one leaves out.
    ///
    /// # Errors
    /// One sentence with the folder and what the earlier report is about.
    pub fn check(&self, folder: &Path, new: &Origin) -> Result<(), ReportError> {
        self.check_file(folder, Path::new("report.html"))?;
        let other = |what: String| Err(ReportError::Other { folder: folder.to_path_buf(), what });
        if self.files.is_empty() {
            return Ok(());
        }
        if self.origin.by != new.by {
            return other(format!("was written by `pgn-wgpu {}`", self.origin.by));
        }
        let full = |path: &PathBuf| files::resolved(&folder.join(path));
        let kept: Vec<PathBuf> = new.about.iter().map(full).collect();
        match self.origin.about.iter().map(full).find(|run| !kept.contains(run)) {
            Some(run) => other(format!("is about {} too, which this call leaves out", run.display())),
            None => Ok(()),
        }
    }

    /// Refuses to replace a file of the folder that was not written by the earlier report.
    ///
    /// # Errors
    /// One sentence with the file.
    pub fn check_file(&self, folder: &Path, file: &Path) -> Result<(), ReportError> {
        let path = folder.join(file);
        match path.exists() && !self.files.iter().any(|own| own == file) {
            true => Err(ReportError::Foreign { path }),
            false => Ok(()),
        }
    }

    /// Removes the files of the earlier report that the new one, made of `files`, has not.
    ///
    /// # Errors
    /// If one of them cannot be removed.
    pub fn remove_stale(&self, folder: &Path, files: &[PathBuf]) -> Result<(), FileError> {
        for file in self.files.iter().filter(|file| !files.contains(file)) {
            let path = folder.join(file);
            if path.is_file() {
                std::fs::remove_file(&path).map_err(files::file_error("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// Whether a report may have written `file`; a list that was tampered with removes nothing else.
fn is_a_reports(file: &Path) -> bool {
    let mut parts = file.components();
    let place =
        matches!(parts.next(), Some(Component::Normal(first)) if PLACES.iter().any(|place| first == *place));
    place && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_a_report_are_its_files() {
        for file in ["report.html", "figures/loss.svg", "tables/runs.csv"] {
            assert!(is_a_reports(Path::new(file)), "{file}");
        }
        for file in ["", "model.safetensors", "../report.html", "figures/../model.safetensors", "/etc/passwd"]
        {
            assert!(!is_a_reports(Path::new(file)), "{file}");
        }
    }

    #[test]
    fn a_report_about_a_run_that_is_left_out_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let origin = |by: &str, about: &[&str]| Origin {
            by: by.into(),
            about: about.iter().map(|run| folder.path().join(run)).collect(),
        };
        let earlier = Earlier { origin: origin("report", &["a", "b"]), files: vec!["report.html".into()] };
        let check = |new: &Origin| earlier.check(folder.path(), new).map_err(|error| error.to_string());
        assert_eq!(check(&origin("report", &["b", "c", "a"])), Ok(()));
        assert!(check(&origin("report", &["a"])).unwrap_err().contains("b too, which this call leaves out"));
        assert!(check(&origin("reproduce", &["a", "b"])).unwrap_err().contains("pgn-wgpu report"));
        std::fs::write(folder.path().join("report.html"), "mine").unwrap();
        let error = Earlier::default().check(folder.path(), &origin("report", &[])).unwrap_err().to_string();
        assert!(error.contains("report.html exists and belongs to no earlier report"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_run_whose_name_is_no_unicode_text_is_known_again() {
        use std::os::unix::ffi::OsStrExt;
        let run = Path::new("runs").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        let origin = Origin::new("report", &[run], Path::new("page"));
        let earlier = Earlier { origin: origin.clone(), files: vec!["report.html".into()] };
        let read: Earlier = serde_json::from_str(&serde_json::to_string(&earlier).unwrap()).unwrap();
        assert_eq!(read, earlier);
        assert!(read.check(Path::new("page"), &origin).is_ok());
    }
}

//! An evaluation of several runs, kept in the folder of each: a report finds it whichever of them it is about. The
//! fingerprint of the classifier is kept with it, so that numbers about other weights are never shown.

use crate::attacks::{AttackKind, AttackOptions};
use crate::evaluation::record::{Key, fingerprint_of_text};
use crate::evaluation::report::Report;
use crate::evaluation::suite::records_folder;
use crate::evaluation::{EvaluationError, Subject};
use crate::files;
use crate::models::file::Model;
use crate::program::precision::Precision;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How the files' names begin, beside the records of attacks.
const PREFIX: &str = "table-";

#[derive(Serialize, Deserialize)]
struct Kept {
    classifier: String,
    report: Report,
}

/// Keeps `report` for one of its runs. It takes the place of an earlier one with the same settings.
///
/// # Errors
/// If the file cannot be written.
pub fn keep(report: &Report, run: &Subject) -> Result<(), EvaluationError> {
    let Report { data_set, split, images, epsilon, attacks, .. } = report;
    let attacks = serde_json::to_string(attacks).expect("options are plain values");
    let model = run.place.file.file_name().unwrap_or_default().to_string_lossy();
    let settings = format!("{data_set}, {split}, {images}, {epsilon}, {attacks}, {model}");
    let folder = records_folder(&run.place.home);
    files::create_folder(&folder)?;
    let kept = Kept { classifier: fingerprint(&run.model), report: report.clone() };
    let text = serde_json::to_vec(&kept).expect("reports are plain values");
    files::write(&folder.join(format!("{PREFIX}{}.json", fingerprint_of_text(&settings))), &text)?;
    Ok(())
}

/// The evaluations of these weights that are kept in a run's folder; what is damaged or of other weights is left out.
/// `None` if nothing was ever kept there.
pub fn kept(folder: &Path, model: &Model) -> Option<Vec<Report>> {
    let entries = std::fs::read_dir(records_folder(folder)).ok()?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)));
    paths.sort();
    let classifier = fingerprint(model);
    let read = |path: &PathBuf| serde_json::from_slice::<Kept>(&files::read(path).ok()?).ok();
    let own = paths.iter().filter_map(read).filter(|kept| kept.classifier == classifier);
    (!paths.is_empty()).then(|| own.map(|kept| kept.report).collect())
}

fn fingerprint(model: &Model) -> String {
    // Any attack on the classifier alone sees all that counts.
    let options = AttackOptions::new(AttackKind::Fgm);
    Key::new(model, None, &options, "", Precision::F32).classifier
}

//! An evaluation of several runs, kept in the folder of each: a report finds it whichever of them it is about. The
//! fingerprint of the classifier is kept with it, so that numbers about other weights are never shown. Evaluations on several
//! devices or in several precisions lie beside each other.

use crate::evaluation::record::{LARGEST_RECORD, fingerprint_of_classifier, fingerprint_of_text};
use crate::evaluation::report::Report;
use crate::evaluation::suite::records_folder;
use crate::evaluation::{EvaluationError, Subject};
use crate::executor::without_threads;
use crate::files;
use crate::integrity;
use crate::models::file::Model;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How the files' names begin, beside the records of attacks.
const PREFIX: &str = "table-";

#[derive(Serialize, Deserialize)]
struct Kept {
    classifier: String,
    /// Fingerprint of the run's configuration, if it is known.
    run: Option<String>,
    report: Report,
}

/// Whether two evaluations were computed alike: on one device, whatever its threads, and in one precision.
pub(super) fn computed_alike(one: &Report, other: &Report) -> bool {
    let by = |report: &Report| (without_threads(&report.device).to_string(), report.precision);
    by(one) == by(other)
}

/// The name under which an evaluation is kept for a model file, and the one that earlier versions gave it, whatever the device.
fn names(report: &Report, model: &str) -> [String; 2] {
    let Report { data_set, split, fingerprint, epsilon, attacks, device, precision, .. } = report;
    let attacks = serde_json::to_string(attacks).expect("options are plain values");
    let settings = format!("{data_set}, {split}, {fingerprint}, {epsilon}, {attacks}, {model}");
    let computed = format!("{settings}, {}, {precision:?}", without_threads(device));
    [computed, settings].map(|text| format!("{PREFIX}{}.json", fingerprint_of_text(&text)))
}

/// Keeps `report` for one of its runs. It takes the place of an earlier one with the same settings on the same device.
///
/// # Errors
/// If the file cannot be written.
pub fn keep(report: &Report, run: &Subject) -> Result<(), EvaluationError> {
    let model = run.place.file.file_name().unwrap_or_default().to_string_lossy();
    let folder = records_folder(&run.place.home);
    let [path, earlier] = names(report, &model).map(|name| folder.join(name));
    files::create_folder(&folder)?;
    let kept = Kept {
        classifier: fingerprint_of_classifier(&run.model),
        run: run.model.facts.run.clone(),
        report: report.clone(),
    };
    files::write(&path, &integrity::to_json(&kept))?;
    if read(&earlier).is_ok_and(|old| computed_alike(&old.report, report)) {
        std::fs::remove_file(&earlier).map_err(files::file_error("remove", &earlier))?;
    }
    Ok(())
}

/// The evaluations of these weights that are kept in a run's folder, and a sentence for each file that cannot be
/// believed; those of other weights are left out. `None` if nothing was ever kept there.
pub fn kept(folder: &Path, model: &Model) -> Option<(Vec<Report>, Vec<String>)> {
    let paths = paths(folder);
    let classifier = fingerprint_of_classifier(model);
    let (mut own, mut damaged) = (Vec::new(), Vec::new());
    for path in &paths {
        match read(path) {
            Ok(kept) if kept.classifier == classifier => own.push(kept.report),
            Ok(kept) if kept.run.is_some() && kept.run != model.facts.run => {
                damaged.push(format!("{} is of another run", path.display()));
            }
            // Of earlier weights of the run, or of its best.
            Ok(_) => {}
            Err(problem) => damaged.push(problem),
        }
    }
    (!paths.is_empty()).then_some((own, damaged))
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(records_folder(folder)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)));
    paths.sort();
    paths
}

/// The evaluations kept in a run's folder that are of runs with another fingerprint than `run`.
pub fn of_other_runs(folder: &Path, run: &str) -> Vec<PathBuf> {
    let other = |path: &PathBuf| read(path).is_ok_and(|kept| kept.run.is_some_and(|own| own != run));
    paths(folder).into_iter().filter(other).collect()
}

fn read(path: &Path) -> Result<Kept, String> {
    let bytes = files::read_at_most(path, LARGEST_RECORD).map_err(|error| error.to_string())?;
    integrity::from_json(&bytes).map_err(|reason| format!("{} cannot be believed: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::evaluations::tests::report;
    use super::*;
    use crate::program::precision::Precision;

    #[test]
    fn evaluations_on_other_devices_or_in_another_precision_do_not_replace_each_other() {
        let of = |device: &str, precision| {
            let report = Report { device: device.into(), precision, ..report(&[]) };
            names(&report, "model.safetensors")
        };
        let one = of("GPU (Vulkan, 1)", Precision::F32);
        let others = [of("GPU (Vulkan, 2)", Precision::F32), of("GPU (Vulkan, 1)", Precision::Mixed)];
        assert!(others.iter().all(|[name, _]| *name != one[0]), "{others:?}");
        assert!(others.iter().all(|[_, earlier]| *earlier == one[1]), "{others:?}");
        let cpu = |threads| of(&format!("CPU reference path ({threads} threads)"), Precision::F32);
        assert_eq!(cpu(1), cpu(16), "the number of threads changes no result");
    }
}

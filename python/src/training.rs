//! Training runs, and what they left.

use crate::conversion::{Given, options};
use crate::errors::{failed, of_call};
use crate::interrupt::{Watch, start_threads};
use pgn_wgpu::command_line::options as call;
use pgn_wgpu::files;
use pgn_wgpu::interruption::{Question, while_asking};
use pgn_wgpu::training::fit::Observer;
use pgn_wgpu::training::metrics::{LARGEST_METRICS, record_of};
use pgn_wgpu::training::run::RunFolder;
use pgn_wgpu::training::{EpochRecord, StepRecord};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells Python of every epoch, and ends the run when something is raised.
struct Told {
    watch: Arc<Watch>,
    stop: Arc<AtomicBool>,
    on_epoch: Option<Py<PyAny>>,
    warnings: Vec<String>,
}

impl Observer for Told {
    fn step(&mut self, _: &StepRecord, _: u64) {
        if self.watch.is_interrupted() {
            self.stop.store(true, Ordering::SeqCst);
        }
    }

    fn epoch(&mut self, record: &EpochRecord, epochs: u32) {
        let Some(on_epoch) = &self.on_epoch else { return };
        let text = serde_json::to_string(record).expect("records are plain values");
        if let Err(error) = Python::attach(|py| on_epoch.call1(py, (text, epochs)).map(|_| ())) {
            self.watch.raise(error);
            self.stop.store(true, Ordering::SeqCst);
        }
    }

    fn warning(&mut self, sentence: &str) {
        self.warnings.push(call::by_name(sentence));
    }
}

/// Trains with the options of the command `train`. `on_epoch` is called with each epoch's record as JSON and the number of
/// epochs. Ctrl-C saves the run and is raised.
#[pyfunction]
pub fn train(
    py: Python<'_>,
    given: Vec<(String, Given)>,
    on_epoch: Option<Py<PyAny>>,
) -> PyResult<Bound<'_, PyDict>> {
    let given = options(given);
    let (watch, stop) = (Arc::new(Watch::default()), Arc::new(AtomicBool::new(false)));
    let mut told = Told { watch: watch.clone(), stop: stop.clone(), on_epoch, warnings: Vec::new() };
    // The run ends by itself, with everything saved, so no computation is cut off.
    let question: Question = {
        let (watch, stop) = (watch.clone(), stop.clone());
        Arc::new(move || {
            if watch.is_interrupted() {
                stop.store(true, Ordering::SeqCst);
            }
            false
        })
    };
    let trained = py.detach(|| {
        start_threads().map(|()| while_asking(question, || call::train(&given, &mut told, &stop)))
    })?;
    let trained = match (trained, watch.raised()) {
        (Ok(trained), None) => trained,
        (Ok(trained), Some(raised)) => return Err(ended(py, raised, &trained)),
        (Err(_), Some(raised)) => return Err(raised),
        (Err(error), None) => return Err(of_call(error)),
    };
    let found = PyDict::new(py);
    found.set_item("folder", &trained.folder)?;
    found.set_item("notes", trained.notes.iter().map(|note| call::by_name(note)).collect::<Vec<_>>())?;
    found.set_item("warnings", told.warnings)?;
    let test = trained.outcome.test.as_ref().map(serde_json::to_string).transpose().map_err(failed)?;
    found.set_item("test", test)?;
    Ok(found)
}

/// A Ctrl-C that says where the run goes on; other exceptions as they are.
fn ended(py: Python<'_>, raised: PyErr, trained: &call::Trained) -> PyErr {
    if !trained.outcome.interrupted || !raised.is_instance_of::<PyKeyboardInterrupt>(py) {
        return raised;
    }
    PyKeyboardInterrupt::new_err(format!(
        "interrupted at step {}; everything is saved, continue with pgn_wgpu.train(resume={:?})",
        trained.outcome.steps,
        trained.folder.display().to_string()
    ))
}

/// The configuration of the run in a folder, and its metrics line by line, both as JSON.
#[pyfunction]
pub fn run(py: Python<'_>, folder: PathBuf) -> PyResult<(String, String)> {
    py.detach(|| {
        let (run, config) = RunFolder::open(&folder).map_err(failed)?;
        let path = run.metrics_path();
        let text = match path.exists() {
            true => files::read_at_most(&path, LARGEST_METRICS).map_err(failed)?,
            false => Vec::new(),
        };
        let records: Vec<Value> = String::from_utf8_lossy(&text).lines().filter_map(record_of).collect();
        Ok((serde_json::to_string(&config).map_err(failed)?, Value::Array(records).to_string()))
    })
}

//! Work without the interpreter's lock, which Ctrl-C ends.

use crate::errors::failed;
use pgn_wgpu::interruption::{Question, while_asking};
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at signals; each takes the interpreter's lock.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks at the interpreter's signals now and then, and keeps what their handlers raise.
#[derive(Default)]
pub struct Watch(Mutex<Looked>);

#[derive(Default)]
struct Looked {
    last: Option<Instant>,
    raised: Option<PyErr>,
}

impl Watch {
    /// Whether a handler has raised something. Signals are heard on the main thread alone, as everywhere in Python.
    pub fn is_interrupted(&self) -> bool {
        let mut looked = self.looked();
        if looked.raised.is_none() && looked.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            // The lock of the interpreter is waited for without this one.
            looked.last = Some(Instant::now());
            drop(looked);
            let raised = Python::attach(|py| py.check_signals()).err();
            looked = self.looked();
            looked.raised = looked.raised.take().or(raised);
        }
        looked.raised.is_some()
    }

    /// Keeps an exception that ends the work.
    pub fn raise(&self, error: PyErr) {
        self.looked().raised.get_or_insert(error);
    }

    /// What was raised.
    pub fn raised(&self) -> Option<PyErr> {
        self.looked().raised.take()
    }

    fn looked(&self) -> std::sync::MutexGuard<'_, Looked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does `work` without the interpreter's lock. Ctrl-C ends it before its next pass over a batch, and is raised.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    let watch = Arc::new(Watch::default());
    let question: Question = {
        let watch = watch.clone();
        Arc::new(move || watch.is_interrupted())
    };
    let result = py.detach(|| start_threads().map(|()| while_asking(question, work)))?;
    watch.raised().map_or(Ok(result), Err)
}

/// Starts the threads of the CPU path, once. A process that was forked later does not have them, and would wait for them without end.
pub fn start_threads() -> PyResult<()> {
    static STARTED_BY: OnceLock<u32> = OnceLock::new();
    let own = std::process::id();
    let started_by = *STARTED_BY.get_or_init(|| {
        if let Some(note) = pgn_wgpu::cpu::threads::start() {
            eprintln!("note: {note}");
        }
        own
    });
    match started_by == own {
        true => Ok(()),
        false => Err(failed(
            "this process was forked after pgn_wgpu had computed in its parent, and has none of the threads that compute; use the \
             spawn start method of multiprocessing",
        )),
    }
}

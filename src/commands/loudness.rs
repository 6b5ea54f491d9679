//! How much is said beside results and errors: `--quiet` leaves out progress and notes, `--verbose` adds times.

use crate::command_line::settings::with_flags;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

static QUIET: AtomicBool = AtomicBool::new(false);
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Sets it for the process, and begins to measure its time.
pub fn begin(quiet: bool, verbose: bool) -> Timer {
    QUIET.store(quiet, Ordering::Relaxed);
    VERBOSE.store(verbose, Ordering::Relaxed);
    Timer::new()
}

/// Whether progress and notes are left out.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A note on standard error, unless nothing but results is wanted.
pub fn note(text: &str) {
    if !is_quiet() {
        eprintln!("{}", with_flags(text));
    }
}

/// A line on standard error for `--verbose`.
pub fn detail(text: &str) {
    if VERBOSE.load(Ordering::Relaxed) {
        eprintln!("{text}");
    }
}

/// The time since a piece of work began.
pub struct Timer(Instant);

impl Timer {
    /// It begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Says with `--verbose` how long `what` took.
    pub fn say(&self, what: &str) {
        detail(&format!("time     {what} took {:.2} s", self.0.elapsed().as_secs_f64()));
    }
}

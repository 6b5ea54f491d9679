//! How far a long computation is: a bar with the time left on a terminal, a line now and then elsewhere. Both go to
//! standard error, so that results can be redirected.

use super::duration;
use super::loudness::is_quiet;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Nothing is done yet, so nobody knows how long it will take.
const BEGUN: &str = "{bar:8} {pos}/{len}  {wide_msg}";
const UNDER_WAY: &str = "{bar:8} {pos}/{len} {eta} left  {wide_msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}

/// The progress of one thing after another.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    label: String,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Nothing under way yet.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal() && !is_quiet();
        let now = Instant::now();
        Self { bar: ProgressBar::hidden(), terminal, label: String::new(), started: now, last_line: now }
    }

    /// `done` of `total` images; another label than before begins anew.
    pub fn show(&mut self, label: &str, done: usize, total: usize) {
        if self.label != label {
            self.finish();
            self.label = label.to_string();
            (self.started, self.last_line) = (Instant::now(), Instant::now());
            if self.terminal {
                self.bar = ProgressBar::new(total as u64);
                self.bar.set_style(style(BEGUN));
                self.bar.set_message(self.label.clone());
                self.bar.enable_steady_tick(Duration::from_millis(250));
            }
        }
        if done > 0 && self.bar.position() == 0 {
            self.bar.set_style(style(UNDER_WAY));
        }
        self.bar.set_position(done as u64);
        if !self.terminal && done > 0 && self.last_line.elapsed() > LINE_INTERVAL {
            self.last_line = Instant::now();
            let left = self.started.elapsed().as_secs_f64() / done as f64 * (total - done) as f64;
            say(&format!("{label}: {done}/{total} images, {} left", duration(left)));
        }
    }

    /// Ends what is under way and leaves a line.
    pub fn line(&mut self, text: &str) {
        self.finish();
        say(text);
    }

    /// Ends what is under way.
    pub fn finish(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
        self.label.clear();
    }
}

/// If nobody reads it any more, the computation goes on.
fn say(text: &str) {
    if is_quiet() {
        return;
    }
    let _ = writeln!(std::io::stderr(), "{text}");
}

//! How far a long computation is: a bar with the time left on a terminal, a line now and then elsewhere. Both go to
//! standard error, so that results can be redirected.

use super::duration;
use super::loudness::is_quiet;
use crate::command_line::settings::with_flags;
use indicatif::{ProgressBar, ProgressStyle};
use pgn_wgpu::evaluation::Event;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Nothing is done yet, so nobody knows how long it will take.
const BEGUN: &str = "{bar:8} {pos}/{len}  {wide_msg}";
const UNDER_WAY: &str = "{bar:8} {pos}/{len} {prefix}  {wide_msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}

/// The progress of one thing after another.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    label: String,
    started: Instant,
    /// What was done when it started: known from before.
    first: usize,
    last_line: Instant,
}

/// How fast it goes and how long the rest takes: `done` images took `seconds`, and `left` images are to come.
fn pace(done: usize, left: usize, seconds: f64) -> String {
    let rate = done as f64 / seconds.max(1e-9);
    format!("{rate:.1} images/s, {} left", duration(left as f64 / rate))
}

impl Progress {
    /// Nothing under way yet.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal() && !is_quiet();
        let now = Instant::now();
        let (bar, label) = (ProgressBar::hidden(), String::new());
        Self { bar, terminal, label, started: now, first: 0, last_line: now }
    }

    /// Shows what a computation tells.
    pub fn tell(&mut self, event: &Event) {
        match event {
            Event::Damaged(problem) => {
                self.line(&format!("note: {}; it is computed again", with_flags(problem)));
            }
            Event::Known(label) => self.line(&format!("{label}: known from before")),
            Event::Progress(label, done, total) => self.show(label, *done, *total),
            Event::Finished(label, seconds) => self.line(&format!("{label}: {}", duration(*seconds))),
        }
    }

    /// `done` of `total` images; another label than before begins anew.
    pub fn show(&mut self, label: &str, done: usize, total: usize) {
        if self.label != label {
            self.finish();
            self.label = label.to_string();
            (self.started, self.last_line, self.first) = (Instant::now(), Instant::now(), done);
            if self.terminal {
                self.bar = ProgressBar::new(total as u64);
                self.bar.set_style(style(BEGUN));
                self.bar.set_message(self.label.clone());
                self.bar.enable_steady_tick(Duration::from_millis(250));
            }
        }
        self.bar.set_position(done as u64);
        let (own, left) = (done.saturating_sub(self.first), total.saturating_sub(done));
        if own == 0 {
            return;
        }
        let pace = pace(own, left, self.started.elapsed().as_secs_f64());
        if self.bar.prefix().is_empty() {
            self.bar.set_style(style(UNDER_WAY));
        }
        self.bar.set_prefix(pace.clone());
        if !self.terminal && self.last_line.elapsed() > LINE_INTERVAL {
            self.last_line = Instant::now();
            say(&format!("{label}: {done}/{total} images, {pace}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_of_what_was_done_and_the_rest_goes_on_at_it() {
        assert_eq!(pace(30, 60, 10.0), "3.0 images/s, 20.0 s left");
    }
}

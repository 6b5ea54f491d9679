//! How far a long computation is: a bar with the time left on a terminal, a line now and then elsewhere. [`Progress`] writes both to
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

/// How fast something goes, and when it has its next plain line.
pub struct Pace {
    /// What was done when it began: known from before.
    first: u64,
    began: Instant,
    last_line: Instant,
}

impl Pace {
    /// It begins now, when `first` is done.
    pub fn new(first: u64) -> Self {
        let now = Instant::now();
        Self { first, began: now, last_line: now }
    }

    /// It begins anew, now, when `first` is done; the next line comes when it would have come.
    pub fn begin(&mut self, first: u64) {
        (self.first, self.began) = (first, Instant::now());
    }

    /// Whether it is time for a line. The next one comes an interval after that.
    pub fn due(&mut self) -> bool {
        let due = self.last_line.elapsed() > LINE_INTERVAL;
        if due {
            self.last_line = Instant::now();
        }
        due
    }

    /// How much a second does, if so much is done now.
    pub fn rate(&self, done: u64) -> f64 {
        done.saturating_sub(self.first) as f64 / self.began.elapsed().as_secs_f64().max(1e-3)
    }

    /// How long the rest of `total` takes at this rate. Before anything is done nobody knows it.
    pub fn left(&self, done: u64, total: u64) -> Option<String> {
        let rate = self.rate(done);
        (rate > 0.0).then(|| duration(total.saturating_sub(done) as f64 / rate))
    }
}

/// The progress of one thing after another.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    label: String,
    pace: Pace,
}

impl Progress {
    /// Nothing under way yet.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal() && !is_quiet();
        Self { bar: ProgressBar::hidden(), terminal, label: String::new(), pace: Pace::new(0) }
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
            self.pace = Pace::new(done as u64);
            if self.terminal {
                self.bar = ProgressBar::new(total as u64);
                self.bar.set_style(style(BEGUN));
                self.bar.set_message(self.label.clone());
                self.bar.enable_steady_tick(Duration::from_millis(250));
            }
        }
        self.bar.set_position(done as u64);
        let Some(left) = self.pace.left(done as u64, total as u64) else { return };
        let pace = format!("{:.1} images/s, {left} left", self.pace.rate(done as u64));
        if self.bar.prefix().is_empty() {
            self.bar.set_style(style(UNDER_WAY));
        }
        self.bar.set_prefix(pace.clone());
        if !self.terminal && self.pace.due() {
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
        let began = Instant::now().checked_sub(Duration::from_secs(10)).expect("the clock is older");
        let mut pace = Pace { first: 70, began, last_line: began };
        assert_eq!(pace.left(70, 160), None, "nothing is done yet");
        assert_eq!(format!("{:.1}", pace.rate(100)), "3.0");
        assert!(pace.left(100, 160).is_some_and(|left| left.starts_with("20.")), "60 more at 3 a second");
        assert!(pace.due() && !pace.due(), "a line now, and the next one in ten seconds");
        pace.begin(100);
        assert_eq!(pace.left(100, 160), None, "it begins anew");
    }
}

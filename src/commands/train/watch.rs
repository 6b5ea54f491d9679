//! What a run shows while it trains: a bar on a terminal, lines elsewhere, and a row for each epoch.

use crate::command_line::settings::with_flags;
use crate::commands::loudness;
use crate::commands::progress::Pace;
use indicatif::{ProgressBar, ProgressStyle};
use pgn_wgpu::training::fit::Observer;
use pgn_wgpu::training::{EpochRecord, StepRecord, TrainConfig};
use std::io::{IsTerminal, Write};

/// Shows progress: a bar on a terminal, lines elsewhere.
pub struct Watch {
    bar: ProgressBar,
    terminal: bool,
    pace: Pace,
    /// Whether a step is done.
    begun: bool,
    head_shown: bool,
    /// Whether accuracy under PGD is measured after some epochs.
    robust: bool,
}

impl Watch {
    /// Of a run with this configuration, before its first step.
    pub fn new(config: &TrainConfig) -> Self {
        let terminal = std::io::stderr().is_terminal() && !loudness::is_quiet();
        let bar = if terminal { ProgressBar::new(1) } else { ProgressBar::hidden() };
        // Short enough for 60 columns; wide_msg is cut off rather than wrapped.
        let style = ProgressStyle::with_template("{bar:8} {pos}/{len} {eta} left  {wide_msg}");
        bar.set_style(style.expect("the template is valid"));
        let robust = config.robust_every() > 0;
        Self { bar, terminal, pace: Pace::new(0), begun: false, head_shown: false, robust }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// A line above the bar. If nobody reads it any more, the run goes on.
    fn line(&self, text: &str) {
        if !loudness::is_quiet() {
            self.always(text);
        }
    }

    fn always(&self, text: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stdout(), "{text}");
        });
    }
}

impl Observer for Watch {
    fn step(&mut self, record: &StepRecord, total: u64) {
        if !self.begun {
            self.begun = true;
            self.pace.begin(record.step);
        }
        let rate = self.pace.rate(record.step);
        let delta = record.delta.map_or(String::new(), |d| format!(" ‖δ‖ {d:.3}"));
        let text = format!("{rate:.1} steps/s loss {:.3}{delta}", record.loss);
        if self.terminal {
            self.bar.set_length(total);
            self.bar.set_position(record.step);
            self.bar.set_message(text);
        } else if self.pace.due() {
            let left = self.pace.left(record.step, total);
            let left = left.map_or(String::new(), |left| format!(", {left} left"));
            self.line(&format!("step {}/{total} {text}{left}", record.step));
        }
    }

    fn epoch(&mut self, record: &EpochRecord, epochs: u32) {
        let percent = |v: Option<f64>| v.map(|v| format!("{:.1} %", 100.0 * v));
        let number = |v: Option<f64>| v.map(|v| format!("{v:.3}"));
        // What a method or a data set without validation lacks has no column; what is measured now and then has a dash.
        let robust = self.robust && record.benign_accuracy.is_some();
        let pgd = robust.then(|| percent(record.pgd_accuracy).unwrap_or_else(|| "-".to_string()));
        let columns = [
            (7, "epoch", Some(format!("{}/{epochs}", record.epoch + 1))),
            (8, "images/s", Some(format!("{:.0}", record.images_per_second))),
            (7, "benign", percent(record.benign_accuracy)),
            (7, "PGD-10", pgd),
            (7, "under G", percent(record.generator_accuracy)),
            (6, "‖δ‖", number(record.delta)),
            (8, "G's loss", number(record.generator_loss)),
            (6, "FGM's", number(record.fgm_loss)),
        ];
        let (mut head, mut row) = (String::new(), String::new());
        for (width, name, value) in columns {
            if let Some(value) = value {
                head += &format!("{name:>width$} ");
                row += &format!("{value:>width$} ");
            }
        }
        if !self.head_shown {
            self.head_shown = true;
            if record.benign_accuracy.is_some() {
                self.line("\non the validation images:");
            }
            self.line(head.trim_end());
        }
        self.line(row.trim_end());
    }

    fn warning(&mut self, sentence: &str) {
        self.always(&format!("warning: {}", with_flags(sentence)));
    }
}

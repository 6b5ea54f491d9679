//! Sessions of a run: where and when it was begun or resumed, and with what a session may change; a line of
//! `metrics.jsonl` each.

use super::config::TrainConfig;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// How a session of a run began, as `metrics.jsonl` has it: one line when it starts, one each time it is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Steps done before.
    pub step: u64,
    /// Fingerprint of the run's configuration.
    pub run: String,
    /// Version of the program.
    pub version: String,
    /// The adapter with its driver, or the CPU path.
    pub device: String,
    /// Date and time in UTC.
    pub started: String,
    /// The adapter asked for.
    pub adapter: String,
    /// Epochs that the run shall have.
    pub epochs: u32,
    /// Steps after which it shall end.
    pub max_steps: Option<u64>,
    /// The classifier's learning rate.
    pub lr: f32,
    /// The generator's learning rate.
    pub generator_lr: f32,
}

impl SessionRecord {
    /// What this session changed of the one before it, in words; empty if nothing.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let limit = |steps: Option<u64>| steps.map_or("none".to_string(), |steps| steps.to_string());
        let values = |s: &Self| {
            [
                s.adapter.clone(),
                s.epochs.to_string(),
                limit(s.max_steps),
                s.lr.to_string(),
                s.generator_lr.to_string(),
            ]
        };
        let names = ["adapter", "epochs", "max-steps", "lr", "generator-lr"];
        let pairs = names.iter().zip(values(before).into_iter().zip(values(self)));
        pairs
            .filter(|(_, (old, new))| old != new)
            .map(|(name, (old, new))| format!("{name} {old} -> {new}"))
            .collect()
    }

    /// A session that begins now, after `step` steps.
    pub fn new(step: u64, device: &str, config: &TrainConfig) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            step,
            run: config.fingerprint(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            device: device.to_string(),
            started: utc(since.as_secs()),
            adapter: config.adapter.clone(),
            epochs: config.epochs,
            max_steps: config.max_steps,
            lr: config.lr_at(step),
            generator_lr: config.generator_lr_at(step),
        }
    }
}

/// Seconds since 1970 as `2026-02-28T23:59:59Z`.
fn utc(seconds: u64) -> String {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_know_leap_years() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}

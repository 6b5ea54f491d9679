//! Sessions of a run: who began or resumed it, where and when; a line of `metrics.jsonl` each.

use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// How a session of a run began, as `metrics.jsonl` has it: one line when it starts, one each time it is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    kind: String,
    /// Steps done before.
    pub step: u64,
    /// Version of the program.
    pub version: String,
    /// The adapter with its driver, or the CPU path.
    pub device: String,
    /// Date and time in UTC.
    pub started: String,
}

impl SessionRecord {
    /// A session that begins now.
    pub fn new(step: u64, device: &str) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            kind: "run".to_string(),
            step,
            version: env!("CARGO_PKG_VERSION").to_string(),
            device: device.to_string(),
            started: utc(since.as_secs()),
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

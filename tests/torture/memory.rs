//! Training and timing that need much memory, under limits from far too little to plenty: they work or say so, they never
//! abort.

use super::child::{Running, program_within};
use super::runs::Fixture;
use super::tally::{Report, Try, Verdict};
use std::time::Duration;

/// Limits of address space in megabytes.
const LIMITS: [u64; 12] = [64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192];
/// A run that is still computing by then had memory enough.
const PATIENCE: Duration = Duration::from_secs(10);
const COMMANDS: [(&str, &str); 2] = [
    ("memory", "train --adapter cpu --width 4 --batch-size 1197 --max-steps 1 --out run"),
    ("memory/bench", "bench --adapter cpu --width 1 --method natural,pgn --seconds 0.1"),
];

pub fn run(fixture: &Fixture, report: &mut Report) {
    for (group, arguments) in COMMANDS {
        let mut tries = Vec::new();
        // One after the other: together they would not leave each other the memory that they are allowed.
        for limit in LIMITS {
            let name = format!("{group}/{limit}");
            if !fixture.settings.wants(&name) {
                continue;
            }
            let folder = fixture.folder();
            let command = program_within(&folder, limit * 1024, arguments.split(' '));
            let ended = Running::start(command, &folder, "limited").wait(PATIENCE);
            let verdict = match ended.broke() {
                Some(how) => Verdict::Broke(format!("{how} within {limit} MB: {}", ended.brief())),
                None if ended.timed_out() || ended.succeeded() || ended.sentence().is_some() => {
                    Verdict::Expected
                }
                None => Verdict::Wrong(format!("within {limit} MB: {}", ended.brief())),
            };
            fixture.done_with(&folder);
            tries.push(Try { name, verdict, peak: ended.peak });
        }
        report.add(group, tries);
    }
}

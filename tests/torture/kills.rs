//! Runs killed at random moments, again and again, and then continued to their end: it must be that of a run left alone.

use super::child::{PATIENCE, Running, program};
use super::runs::{Fixture, complete, in_parallel, next_session};
use super::settings::Random;
use super::tally::{Report, Try, Verdict};
use std::path::Path;
use std::time::Duration;

/// A run is killed at most so often before it is left alone.
const MOST_KILLS: u64 = 5;
/// Between the request to stop, which makes a run save, and the kill: long enough for any moment of saving.
const SAVING: u64 = 60;

pub fn run(fixture: &Fixture, report: &mut Report) {
    let names: Vec<String> = (0..fixture.settings.kills).map(|i| format!("kills/{i}")).collect();
    let wanted: Vec<String> = names.into_iter().filter(|name| fixture.settings.wants(name)).collect();
    let tries = in_parallel(fixture.settings.jobs, &wanted, |name| {
        let folder = fixture.folder();
        let (verdict, peak) = killed(fixture, &folder, &mut Random::new(fixture.settings.seed, name));
        fixture.done_with(&folder);
        Try { name: name.clone(), verdict, peak }
    });
    report.add("kills", tries);
}

fn killed(fixture: &Fixture, folder: &Path, random: &mut Random) -> (Verdict, u64) {
    let mut peak = 0;
    for round in 0..=random.below(MOST_KILLS) {
        let arguments = next_session(folder);
        let running = Running::start(program(folder, arguments), folder, &format!("session-{round}"));
        let longest = fixture.duration.as_micros() as u64 * fixture.settings.jobs as u64;
        std::thread::sleep(Duration::from_micros(random.below(longest)));
        let asked = random.below(2) == 0;
        if asked {
            running.signal(libc::SIGTERM);
            std::thread::sleep(Duration::from_millis(random.below(SAVING)));
        }
        running.signal(libc::SIGKILL);
        let ended = running.wait(PATIENCE);
        peak = peak.max(ended.peak);
        // It may have ended by itself, or saved and left, before it was killed; nothing else.
        match ended.code() {
            Some(101) => return (Verdict::Broke(ended.brief()), peak),
            None | Some(0) => {}
            // 128 and the number of SIGTERM.
            Some(143) if asked => {}
            Some(_) => return (Verdict::Wrong(format!("session {round}: {}", ended.brief())), peak),
        }
    }
    match complete(fixture, folder) {
        Ok(last) => (Verdict::Expected, peak.max(last)),
        Err(problem) => (Verdict::Wrong(problem), peak),
    }
}

//! One bit flipped in each file of a finished run, hundreds of times: somebody has to notice every one.

use super::readers::{self, Reader};
use super::runs::{Fixture, RUN, files, in_parallel};
use super::settings::Random;
use super::tally::{Report, Try, Verdict};
use std::fs;
use std::path::Path;

pub fn run(fixture: &Fixture, report: &mut Report) {
    for (file, length) in files(&fixture.a()) {
        let group = format!("flips/{}", file.display());
        if length == 0 || !fixture.settings.wants(&group) {
            continue;
        }
        let verify = readers::verify(fixture, &file);
        report.add(&group, flipped(fixture, &file, length, &verify, fixture.settings.flips));
        for reader in &readers::of(fixture, &file) {
            let group = format!("{group} by {}", reader.name);
            report.add(&group, flipped(fixture, &file, length, reader, fixture.settings.reads));
        }
    }
}

/// So many flips, each in a fresh copy unless the reader only reads.
fn flipped(fixture: &Fixture, file: &Path, length: u64, reader: &Reader, times: usize) -> Vec<Try> {
    let name = |i: usize| format!("flips/{}/{}/{i}", file.display(), reader.name);
    let wanted: Vec<usize> = (0..times).filter(|&i| fixture.settings.wants(&name(i))).collect();
    in_parallel(fixture.settings.jobs, &wanted, |&i| {
        let folder = fixture.copy_of(&fixture.a());
        // The same flips for every reader.
        let seed = format!("flips/{}/{i}", file.display());
        let at = Random::new(fixture.settings.seed, &seed).below(8 * length);
        let path = folder.join(RUN).join(file);
        let mut bytes = fs::read(&path).expect("a copy");
        bytes[(at / 8) as usize] ^= 1 << (at % 8);
        fs::write(&path, bytes).expect("a copy");
        let (verdict, peak) = reader.judge(&folder, file);
        fixture.done_with(&folder);
        Try { name: name(i), verdict: located(verdict, at), peak }
    })
}

fn located(verdict: Verdict, at: u64) -> Verdict {
    let add = |reason: String| format!("{reason} (bit {} of byte {})", at % 8, at / 8);
    match verdict {
        Verdict::Expected => Verdict::Expected,
        Verdict::Silent(reason) => Verdict::Silent(add(reason)),
        Verdict::Broke(reason) => Verdict::Broke(add(reason)),
        Verdict::Wrong(reason) => Verdict::Wrong(add(reason)),
    }
}

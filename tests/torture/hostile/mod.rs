//! Files that nobody made in good faith, each given to the command that reads it: refused with one sentence that names
//! the file, in little memory and time.

mod archives;
pub mod build;
mod images;
mod models;
mod texts;

use super::child::{Ended, PATIENCE, Running, program_within};
use super::readers::MOST_MEMORY;
use super::runs::{Fixture, in_parallel};
use super::tally::{Report, Try, Verdict};
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Address space of a try in kibibytes: a bomb takes down its own process and not the machine.
const ADDRESS_SPACE: u64 = 4 << 20;

/// Makes a hostile file, or several.
type Make = fn(&Path) -> io::Result<()>;
/// The same with something at hand.
type MakeWith = Box<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

/// What should happen.
#[derive(Clone, Copy, PartialEq)]
pub enum Expected {
    /// One sentence that names the file.
    Refused,
    /// That, or success.
    Either,
    /// Success.
    Accepted,
    /// Success with nothing left out.
    Taken,
    /// Success that says all this, on the terminal; or a refusal.
    Said(&'static [&'static str]),
}

/// A hostile file, or several, and the command that reads it.
pub struct Case {
    /// For names of tries.
    name: String,
    arguments: Vec<OsString>,
    /// What the sentence has to mention.
    mentions: String,
    expected: Expected,
    /// Whether the checksums fit, so that something else has to be the reason.
    sealed: bool,
    /// Makes the files in the folder in which the command runs.
    make: MakeWith,
}

impl Case {
    fn new(
        name: impl Into<String>,
        arguments: &[&str],
        mentions: &str,
        make: impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            mentions: mentions.to_string(),
            expected: Expected::Refused,
            sealed: false,
            make: Box::new(make),
        }
    }

    fn expecting(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }

    /// What is wrong lies beyond the checksums.
    fn beyond_checksums(self) -> Self {
        Self { sealed: true, ..self }
    }
}

pub fn run(fixture: &Fixture, report: &mut Report) {
    let groups: [(&str, Vec<Case>); 4] = [
        ("hostile/models", models::cases(fixture)),
        ("hostile/archives", archives::cases()),
        ("hostile/images", images::cases()),
        ("hostile/texts", texts::cases(fixture)),
    ];
    for (group, cases) in groups {
        let name = |case: &Case| format!("{group}/{}", case.name);
        let wanted: Vec<Case> =
            cases.into_iter().filter(|case| fixture.settings.wants(&name(case))).collect();
        let tries = in_parallel(fixture.settings.jobs, &wanted, |case| {
            let folder = fixture.folder();
            let (verdict, peak) = attempt(case, &folder);
            fixture.done_with(&folder);
            Try { name: name(case), verdict, peak }
        });
        report.add(group, tries);
    }
}

fn attempt(case: &Case, folder: &Path) -> (Verdict, u64) {
    if let Err(error) = (case.make)(folder) {
        return (Verdict::Wrong(format!("the files could not be made: {error}")), 0);
    }
    let command = program_within(folder, ADDRESS_SPACE, &case.arguments);
    let ended = Running::start(command, folder, "hostile").wait(PATIENCE);
    (judge(case, &ended), ended.peak)
}

fn judge(case: &Case, ended: &Ended) -> Verdict {
    if let Some(how) = ended.broke() {
        return Verdict::Broke(format!("{how}: {}", ended.brief()));
    }
    if ended.timed_out() {
        return Verdict::Wrong(format!("did not end in {} s", PATIENCE.as_secs()));
    }
    if ended.peak > MOST_MEMORY {
        return Verdict::Wrong(format!("took {:.0} MB; {}", ended.peak as f64 / 1e6, ended.brief()));
    }
    if case.sealed && ended.text().contains("checksum") {
        return Verdict::Wrong(format!("speaks of a checksum, and those fit; {}", ended.brief()));
    }
    match (ended.succeeded(), case.expected) {
        (true, Expected::Said(parts)) => match parts.iter().find(|part| !ended.text().contains(**part)) {
            None => Verdict::Expected,
            Some(part) => Verdict::Silent(format!("does not say {part:?}; {}", ended.brief())),
        },
        (true, Expected::Taken) if ended.text().contains("skipped") => {
            Verdict::Wrong(format!("should have been read; {}", ended.brief()))
        }
        (true, Expected::Refused) => Verdict::Silent(format!("was taken; {}", ended.brief())),
        (true, _) => Verdict::Expected,
        (false, Expected::Accepted | Expected::Taken) => {
            Verdict::Wrong(format!("should have gone on; {}", ended.brief()))
        }
        (false, _) => match ended.sentence() {
            Some(sentence) if sentence.contains(&case.mentions) => Verdict::Expected,
            Some(_) => Verdict::Wrong(format!("does not name {}; {}", case.mentions, ended.brief())),
            None => Verdict::Wrong(format!("no sentence; {}", ended.brief())),
        },
    }
}

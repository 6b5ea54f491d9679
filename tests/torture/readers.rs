//! Who reads which file of a run folder, and whether damage to it was noticed.

use super::child::{Ended, finish, program};
use super::runs::{Fixture, RUN, evaluate, resume};
use super::tally::Verdict;
use std::fs;
use std::path::Path;

/// More memory than this no file may cost.
pub const MOST_MEMORY: u64 = 512_000_000;
/// The command that looks at all files.
const VERIFY: &str = "verify";
/// Where the page of `report` goes.
const PAGE: &str = "page";

/// A command that reads a file.
#[derive(Clone)]
pub struct Reader {
    /// For names of tries.
    pub name: &'static str,
    arguments: Vec<String>,
    /// A file that is out of the way while it reads, so that it has to take this one.
    without: Option<&'static str>,
    /// How often it speaks of the file when nothing is wrong.
    usual: usize,
}

impl Reader {
    fn new(name: &'static str, arguments: Vec<String>) -> Self {
        Self { name, arguments, without: None, usual: 0 }
    }

    /// Reads in `folder`; gives how it ended and how often it spoke of `file`.
    fn read(&self, folder: &Path, file: &str) -> (Ended, usize) {
        if let Some(other) = self.without {
            let _ = fs::remove_file(folder.join(RUN).join(other));
        }
        let ended = finish(program(folder, &self.arguments), folder, self.name);
        let page = fs::read_to_string(folder.join(PAGE).join("report.html")).unwrap_or_default();
        let times = [ended.text(), page].iter().map(|text| text.matches(file).count()).sum();
        (ended, times)
    }

    /// What it makes of the damaged `file` in `folder`.
    pub fn judge(&self, folder: &Path, file: &Path) -> (Verdict, u64) {
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        let (ended, times) = self.read(folder, &file);
        let verdict = match ended.broke() {
            Some(how) => Verdict::Broke(how),
            None if ended.timed_out() => Verdict::Wrong("did not end".to_string()),
            None if ended.peak > MOST_MEMORY => {
                Verdict::Wrong(format!("took {:.0} MB", ended.peak as f64 / 1e6))
            }
            None if times > self.usual => Verdict::Expected,
            None if ended.succeeded() => Verdict::Silent("took the damaged file without a word".to_string()),
            // A command may blame the file that contradicts this one; whoever looks at all files has to know.
            None if ended.sentence().is_some() && (self.name != VERIFY || times > 0) => Verdict::Expected,
            None => Verdict::Wrong(format!("does not name {file}: {}", ended.brief())),
        };
        (verdict, ended.peak)
    }

    /// This reader, if it takes the undamaged file.
    fn tried(mut self, fixture: &Fixture, file: &str) -> Option<Self> {
        let folder = fixture.copy_of(&fixture.a());
        let (ended, times) = self.read(&folder, file);
        fixture.done_with(&folder);
        self.usual = times;
        ended.succeeded().then_some(self)
    }
}

/// `verify`, which reads all files.
pub fn verify(fixture: &Fixture, file: &Path) -> Reader {
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let reader = Reader::new(VERIFY, vec![VERIFY.to_string(), RUN.to_string()]);
    reader.tried(fixture, &file).expect("`verify` takes an undamaged run")
}

/// The commands that use a file of the run folder, of those that take it undamaged.
pub fn of(fixture: &Fixture, file: &Path) -> Vec<Reader> {
    let path = file.to_string_lossy().into_owned();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let attack = |model: String| {
        let more = ["--adapter", "cpu", "--attack", "fgm", "--limit", "20"].map(str::to_string);
        let arguments = ["attack".to_string(), "--model".to_string(), model].into_iter().chain(more);
        Reader::new("attack", arguments.collect())
    };
    let report = || Reader::new("report", ["report", RUN, "--out", PAGE].map(str::to_string).to_vec());
    let resumed = || Reader::new("resume", resume());
    let earlier =
        || Reader { without: Some("checkpoints/last.safetensors"), name: "resume-earlier", ..resumed() };
    let candidates = match path.as_str() {
        "config.toml" => vec![resumed(), attack(RUN.to_string())],
        "metrics.jsonl" => vec![resumed(), report()],
        "model.safetensors" => vec![attack(RUN.to_string())],
        "checkpoints/last.safetensors" => vec![resumed()],
        "evaluation.json" => vec![report()],
        _ if path.starts_with("evaluation/table-") => vec![report()],
        _ if path.starts_with("evaluation/") => vec![Reader::new("evaluate", evaluate())],
        _ if path.starts_with("checkpoints/") => vec![attack(format!("{RUN}/{path}"))],
        _ => Vec::new(),
    };
    let mut readers: Vec<Reader> =
        candidates.into_iter().filter_map(|reader| reader.tried(fixture, &name)).collect();
    if readers.is_empty() && path.starts_with("checkpoints/") {
        readers.extend(earlier().tried(fixture, &name));
    }
    readers
}

//! `metrics.jsonl`: [records](super::record) written line by line, each with a checksum, and read back.

use super::TrainError;
use super::checkpoint::Progress;
use super::record::{EpochRecord, Record, StepRecord};
use super::robust::BestRobust;
use super::session::SessionRecord;
use crate::files::{self, FileError, file_error};
use crate::integrity;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes of the largest file that is read: half a million steps.
pub const LARGEST_METRICS: u64 = 128 << 20;
/// Where unreadable lines are kept, beside the metrics.
const DAMAGED: &str = "metrics.damaged.jsonl";
/// What a line does that comes twice, and what several do.
const REPEAT: [&str; 2] = ["repeats an earlier one", "repeat earlier ones"];

/// The file, open for appending.
pub struct MetricsFile {
    file: File,
    path: PathBuf,
}

impl MetricsFile {
    /// Opens the file `path` of the run `run` (its fingerprint) without the lines that the run will write again from
    /// `progress` on: those of later steps and, unless the run is `over`, what was measured in the middle of the epoch that
    /// goes on. Lines that cannot be read, and lines that repeat earlier ones, move to a file beside it. The second value is
    /// a sentence about each kind of them, and one if lines up to `progress` are missing.
    ///
    /// # Errors
    /// If the file is of another run.
    pub fn open(
        path: &Path,
        run: &str,
        progress: &Progress,
        over: bool,
    ) -> Result<(Self, Vec<String>), TrainError> {
        let text = if path.exists() { text_of(path)? } else { String::new() };
        let mut all = Metrics::default();
        let (mut kept, mut unreadable, mut repeated) = (String::new(), Vec::new(), Vec::new());
        for line in text.lines() {
            let record = record_of(line);
            let stays = record.as_ref().is_some_and(|record| stays(record, progress, over));
            match record.map_or(Line::Unreadable, |record| all.add(record)) {
                Line::Unreadable => unreadable.push(line),
                Line::Repeated => repeated.push(line),
                Line::Read if stays => kept += &format!("{line}\n"),
                Line::Read => {}
            }
        }
        if let Some(problem) = all.of_another_run(run) {
            return Err(TrainError::Run { path: path.to_path_buf(), problem });
        }
        let (mut notes, aside) = (Vec::new(), path.with_file_name(DAMAGED));
        for (lines, what) in
            [(unreadable, ["was cut off or damaged", "were cut off or damaged"]), (repeated, REPEAT)]
        {
            if !lines.is_empty() {
                notes.push(keep_aside(&aside, &lines, what)?);
            }
        }
        if kept.strip_suffix('\n').is_some_and(|without| text == without) {
            notes.push(
                "the last line of metrics.jsonl had no end; it has one again, and nothing is lost"
                    .to_string(),
            );
        }
        notes.extend(all.missing(progress).filter(|_| progress.step > 0));
        if kept != text {
            files::write(path, kept.as_bytes())?;
        }
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(file_error("open", path))?;
        Ok((Self { file, path: path.to_path_buf() }, notes))
    }

    /// Appends one line.
    pub fn append(&mut self, record: &Record) -> Result<(), TrainError> {
        let line = format!("{}\n", integrity::to_line(record));
        self.file.write_all(line.as_bytes()).map_err(file_error("write", &self.path))?;
        Ok(())
    }

    /// Makes what was appended durable.
    pub fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_all().map_err(file_error("write", &self.path))?;
        Ok(())
    }
}

/// The text of a file; bytes that are no text become marks, in lines that are damaged anyway.
fn text_of(path: &Path) -> Result<String, FileError> {
    let bytes = files::read_at_most(path, LARGEST_METRICS)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// The record of a line whose checksum fits.
pub fn record_of(line: &str) -> Option<Value> {
    serde_json::from_str(&integrity::from_line(line)?).ok()
}

/// Whether a record stays when a run goes on.
fn stays(record: &Value, progress: &Progress, over: bool) -> bool {
    let number = |key: &str| record.get(key).and_then(Value::as_u64);
    let unfinished = || number("epoch").is_some_and(|epoch| epoch >= u64::from(progress.epoch));
    let again = !over && record["kind"] == "epoch" && unfinished();
    number("step").is_some_and(|step| step <= progress.step) && !again
}

/// Adds lines to the file `path` and says so; `what` is wrong with one of them, and with several.
fn keep_aside(path: &Path, lines: &[&str], [one, several]: [&str; 2]) -> Result<String, FileError> {
    let added: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let append = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(added.as_bytes())?;
        file.sync_all()
    };
    append().map_err(file_error("write", path))?;
    let what = match lines.len() {
        1 => format!("a line of metrics.jsonl {one}; it is"),
        n => format!("{n} lines of metrics.jsonl {several}; they are"),
    };
    Ok(format!("{what} kept in {}", path.display()))
}

/// What became of a line.
enum Line {
    Read,
    /// It is recorded already.
    Repeated,
    Unreadable,
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// In the order in which they began.
    pub sessions: Vec<SessionRecord>,
    /// In order.
    pub steps: Vec<StepRecord>,
    /// In order.
    pub epochs: Vec<EpochRecord>,
    /// Lines of steps, epochs or sessions that are recorded before them already.
    pub repeated: usize,
    /// Lines that are no records, or whose checksum does not fit.
    pub unreadable: usize,
    /// Whether the file ends within a line, as while that is being written.
    pub cut_off: bool,
}

impl Metrics {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Ok(Self::read(&text_of(path)?))
    }

    /// Reads the lines; what cannot be read is counted.
    pub fn read(text: &str) -> Self {
        let mut all = Self::default();
        let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", text));
        all.cut_off = !rest.is_empty();
        for line in whole.lines() {
            match record_of(line).map_or(Line::Unreadable, |value| all.add(value)) {
                Line::Read => {}
                Line::Repeated => all.repeated += 1,
                Line::Unreadable => all.unreadable += 1,
            }
        }
        all
    }

    /// Adds a record, unless it is out of order: what a session does again is removed before it begins, so numbers only
    /// rise.
    fn add(&mut self, value: Value) -> Line {
        let Ok(record) = serde_json::from_value(value) else { return Line::Unreadable };
        let last = self.steps.last().map_or(0, |step| step.step);
        let repeated = match record {
            Record::Run(session) => {
                let repeated = session.step < last;
                self.sessions.extend((!repeated).then_some(session));
                repeated
            }
            Record::Epoch(end) => {
                let repeated = self.epochs.last().is_some_and(|last| end.epoch <= last.epoch);
                self.epochs.extend((!repeated).then_some(end));
                repeated
            }
            Record::Step(step) => {
                let repeated = step.step <= last;
                self.steps.extend((!repeated).then_some(step));
                repeated
            }
            Record::Unknown => false,
        };
        if repeated { Line::Repeated } else { Line::Read }
    }

    /// Each epoch's steps, averaged.
    pub fn means(&self) -> Vec<StepRecord> {
        self.steps.chunk_by(|a, b| a.epoch == b.epoch).filter_map(StepRecord::mean).collect()
    }

    /// A sentence if a session is of another run than the one with the fingerprint `run`.
    pub fn of_another_run(&self, run: &str) -> Option<String> {
        self.sessions.iter().any(|session| session.run != run).then(|| {
            "is of another run than the config.toml beside it; put the run's own file back, or move this one out of the folder"
                .to_string()
        })
    }

    /// What is not recorded although a checkpoint at `progress` says that it was done: a sentence, if anything.
    pub fn missing(&self, progress: &Progress) -> Option<String> {
        // Numbers rise, so the first one out of place comes after one that is missing.
        let without_gap = (1..).zip(&self.steps).take_while(|(number, step)| step.step == *number).count();
        let step = Some(without_gap as u64 + 1).filter(|step| *step <= progress.step);
        let epoch = (0..progress.epoch).find(|epoch| self.epochs.iter().all(|end| end.epoch != *epoch));
        let what = match (self.sessions.is_empty(), step, epoch) {
            (true, ..) => "the first session".to_string(),
            (_, Some(step), _) => format!("step {step}"),
            (_, _, Some(epoch)) => format!("the end of epoch {}", epoch + 1),
            _ => return None,
        };
        Some(format!(
            "metrics.jsonl has no line for {what}, but the last checkpoint is at step {}",
            progress.step
        ))
    }

    /// The best epoch under PGD and, if one after it has overfitted catastrophically, a sentence about the first such.
    pub fn robust(&self) -> (Option<BestRobust>, Option<String>) {
        let (mut best, mut overfitted) = (None::<BestRobust>, None);
        for now in self.epochs.iter().filter_map(EpochRecord::robust) {
            overfitted = overfitted.or_else(|| best.and_then(|best| best.overfitted(&now)));
            best = Some(best.filter(|best| !now.beats(best)).unwrap_or(now));
        }
        (best, overfitted)
    }

    /// The highest of the benign accuracies.
    pub fn best(&self) -> Option<f64> {
        self.epochs.iter().filter_map(|epoch| epoch.benign_accuracy).max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::training::{Preset, TrainConfig};

    fn line(record: &Record) -> String {
        format!("{}\n", integrity::to_line(record))
    }

    fn step(step: u64, epoch: u32, loss: f64, delta: Option<f64>) -> Record {
        Record::Step(StepRecord { step, epoch, loss, delta, ..Default::default() })
    }

    fn epoch(step: u64) -> Record {
        Record::Epoch(EpochRecord { step, benign_accuracy: Some(0.5), ..Default::default() })
    }

    #[test]
    fn lines_that_repeat_earlier_ones_are_counted_once_and_kept_aside() {
        let config = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        let session = |step| Record::Run(SessionRecord::new(step, "cpu", &config));
        let records =
            [session(0), step(1, 0, 2.0, None), step(2, 0, 1.0, None), epoch(2), session(2), session(2)];
        let once: String = records.iter().map(line).collect();
        let twice = Metrics::read(&once.repeat(2));
        assert_eq!((twice.repeated, twice.sessions.len(), twice.epochs.len()), (4, 5, 1));
        assert_eq!((Metrics::read(&once).repeated, twice.means()[0].loss), (0, 1.5));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, format!("{once}{}", line(&records[1]))).unwrap();
        let progress = Progress { step: 2, epoch: 1, ..Progress::default() };
        let run = config.fingerprint();
        let (_, notes) = MetricsFile::open(&path, &run, &progress, true).unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("a line of metrics.jsonl repeats an earlier one"), "{notes:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), once);
        assert_eq!(std::fs::read_to_string(folder.path().join(DAMAGED)).unwrap(), line(&records[1]));
        std::fs::write(&path, once.trim_end()).unwrap();
        let (_, notes) = MetricsFile::open(&path, &run, &progress, true).unwrap();
        assert!(notes.len() == 1 && notes[0].contains("nothing is lost"), "{notes:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), once);
        let refused = MetricsFile::open(&path, "another", &progress, true).err().unwrap().to_string();
        assert!(refused.contains("metrics.jsonl") && refused.contains("of another run"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), once, "a file of another run was changed");
    }

    #[test]
    fn steps_are_averaged_and_what_is_damaged_is_counted() {
        let records = [
            step(1, 0, 2.0, Some(0.5)),
            step(2, 0, 1.0, None),
            step(2, 0, 9.0, None),
            epoch(2),
            step(3, 1, 0.5, None),
        ];
        let mut lines: Vec<String> = records.iter().map(integrity::to_line).collect();
        lines.insert(4, integrity::to_line(&serde_json::json!({"kind": "later"})));
        // One digit of the third line is another.
        let text = format!("{}\n{{\"ki", lines.join("\n").replace("9.0", "8.0"));
        let metrics = Metrics::read(&text);
        assert_eq!((metrics.unreadable, metrics.cut_off), (1, true));
        let means: Vec<_> = metrics.means().iter().map(|mean| (mean.epoch, mean.loss, mean.delta)).collect();
        assert_eq!(means, [(0, 1.5, Some(0.5)), (1, 0.5, None)]);
        let missing = |step| metrics.missing(&Progress { step, ..Progress::default() });
        assert!(missing(3).is_some_and(|missing| missing.contains("the first session")));
        assert_eq!((metrics.epochs.len(), metrics.best()), (1, Some(0.5)));
        assert!(Metrics::read("").epochs.is_empty());
        let last = Metrics::read(&format!("{}\n", lines[5].replace("0.5", "0.6")));
        assert_eq!((last.unreadable, last.cut_off), (1, false), "the last line counts like the others");
    }
}

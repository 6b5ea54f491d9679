//! `metrics.jsonl`: written line by line, each with a checksum, and read back as sessions, steps averaged over each
//! epoch, and epochs.

use super::TrainError;
use super::checkpoint::Progress;
use super::session::SessionRecord;
use crate::files::{self, FileError, file_error};
use crate::integrity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
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
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), TrainError> {
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

/// An epoch's end, on the validation images.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EpochEnd {
    /// From 0.
    pub epoch: u32,
    /// Benign accuracy.
    pub benign_accuracy: Option<f64>,
    /// Accuracy under the generator.
    pub generator_accuracy: Option<f64>,
    /// Mean norm of the generator's perturbation.
    pub delta: Option<f64>,
    /// Loss under the generator.
    pub generator_loss: Option<f64>,
    /// Loss under FGM of the same mean norm.
    pub fgm_loss: Option<f64>,
    /// Training images per second.
    pub images_per_second: Option<f64>,
    /// Since the run began.
    pub seconds: Option<f64>,
}

/// The mean over an epoch's steps of what the classifier trained on.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// From 0.
    pub epoch: u32,
    /// Cross-entropy.
    pub loss: f64,
    /// Norm of the perturbation; absent without one.
    pub delta: Option<f64>,
}

/// What became of a line.
enum Line {
    Read,
    /// It is recorded already.
    Repeated,
    Unreadable,
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "step")]
    number: u64,
    epoch: u32,
    loss: Option<f64>,
    delta: Option<f64>,
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// In the order in which they began.
    pub sessions: Vec<SessionRecord>,
    /// In order.
    pub steps: Vec<Steps>,
    /// In order.
    pub epochs: Vec<EpochEnd>,
    /// Steps that have a line.
    step_numbers: BTreeSet<u64>,
    /// Sums over the steps of each epoch: their number, losses, those with a perturbation, and its lengths.
    sums: Vec<(u32, [f64; 4])>,
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
        all.steps = all
            .sums
            .iter()
            .map(|(epoch, [steps, loss, with_delta, delta])| Steps {
                epoch: *epoch,
                loss: loss / steps,
                delta: (*with_delta > 0.0).then_some(delta / with_delta),
            })
            .collect();
        all
    }

    fn add(&mut self, value: Value) -> Line {
        self.try_add(value).unwrap_or(Line::Unreadable)
    }

    /// Adds a record, unless it is out of order: what a session does again is removed before it begins, so numbers only
    /// rise.
    fn try_add(&mut self, value: Value) -> Option<Line> {
        let last = self.step_numbers.last().copied().unwrap_or(0);
        let repeated = match value["kind"].as_str()? {
            "run" => {
                let session: SessionRecord = serde_json::from_value(value).ok()?;
                let repeated = session.step < last;
                self.sessions.extend((!repeated).then_some(session));
                repeated
            }
            "epoch" => {
                let end: EpochEnd = serde_json::from_value(value).ok()?;
                let repeated = self.epochs.last().is_some_and(|last| end.epoch <= last.epoch);
                self.epochs.extend((!repeated).then_some(end));
                repeated
            }
            "step" => {
                let step: Step = serde_json::from_value(value).ok()?;
                if step.number <= last {
                    return Some(Line::Repeated);
                }
                self.step_numbers.insert(step.number);
                if self.sums.last().is_none_or(|(epoch, _)| *epoch != step.epoch) {
                    self.sums.push((step.epoch, [0.0; 4]));
                }
                let (_, sum) = self.sums.last_mut()?;
                let delta = step.delta.map_or([0.0; 2], |delta| [1.0, delta]);
                let more = [1.0, step.loss.unwrap_or(f64::NAN), delta[0], delta[1]];
                sum.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
                false
            }
            // Of a later version.
            _ => false,
        };
        Some(if repeated { Line::Repeated } else { Line::Read })
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
        let step = (1..=progress.step).find(|step| !self.step_numbers.contains(step));
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

    fn line(record: &Value) -> String {
        format!("{}\n", integrity::to_line(record))
    }

    #[test]
    fn lines_that_repeat_earlier_ones_are_counted_once_and_kept_aside() {
        let config = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        let session = |step| serde_json::to_value(SessionRecord::new(step, "cpu", &config)).unwrap();
        let records = [
            session(0),
            serde_json::json!({"kind": "step", "step": 1, "epoch": 0, "loss": 2.0}),
            serde_json::json!({"kind": "step", "step": 2, "epoch": 0, "loss": 1.0}),
            serde_json::json!({"kind": "epoch", "step": 2, "epoch": 0, "benign_accuracy": 0.5}),
            session(2),
            session(2),
        ];
        let once: String = records.iter().map(line).collect();
        let twice = Metrics::read(&once.repeat(2));
        assert_eq!((twice.repeated, twice.sessions.len(), twice.epochs.len()), (4, 5, 1));
        assert_eq!((Metrics::read(&once).repeated, twice.steps[0].loss), (0, 1.5));

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
            serde_json::json!({"kind": "step", "step": 1, "epoch": 0, "loss": 2.0, "delta": 0.5}),
            serde_json::json!({"kind": "step", "step": 2, "epoch": 0, "loss": 1.0}),
            serde_json::json!({"kind": "step", "step": 2, "epoch": 0, "loss": 9.0}),
            serde_json::json!({"kind": "epoch", "step": 2, "epoch": 0, "benign_accuracy": 0.5}),
            serde_json::json!({"kind": "later"}),
            serde_json::json!({"kind": "step", "step": 3, "epoch": 1, "loss": 0.5}),
        ];
        let lines: Vec<String> = records.iter().map(integrity::to_line).collect();
        // One digit of the third line is another.
        let text = format!("{}\n{{\"ki", lines.join("\n").replace("9.0", "8.0"));
        let metrics = Metrics::read(&text);
        assert_eq!((metrics.unreadable, metrics.cut_off), (1, true));
        assert_eq!((metrics.steps[0].loss, metrics.steps[0].delta), (1.5, Some(0.5)));
        assert_eq!((metrics.steps[1].loss, metrics.steps[1].delta), (0.5, None));
        assert_eq!((metrics.epochs.len(), metrics.best()), (1, Some(0.5)));
        assert!(Metrics::read("").epochs.is_empty());
        let last = Metrics::read(&format!("{}\n", lines[5].replace("0.5", "0.6")));
        assert_eq!((last.unreadable, last.cut_off), (1, false), "the last line counts like the others");
    }
}

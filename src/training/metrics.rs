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

/// The file, open for appending.
pub struct MetricsFile {
    file: File,
    path: PathBuf,
}

impl MetricsFile {
    /// Opens the file `path` without the lines that the run will write again from `progress` on: those of later steps and,
    /// unless the run is `over`, what was measured in the middle of the epoch that goes on. Lines that cannot be read move to
    /// a file beside it, and the second value is a sentence about them.
    pub fn open(path: &Path, progress: &Progress, over: bool) -> Result<(Self, Option<String>), TrainError> {
        let mut note = None;
        if path.exists() {
            let text = text_of(path)?;
            let (mut kept, mut unreadable) = (String::new(), Vec::new());
            for line in text.lines() {
                match record_of(line) {
                    None => unreadable.push(line),
                    Some(record) if stays(&record, progress, over) => kept += &format!("{line}\n"),
                    Some(_) => {}
                }
            }
            if !unreadable.is_empty() {
                note = Some(keep_aside(&path.with_file_name(DAMAGED), &unreadable)?);
            }
            if kept != text {
                files::write(path, kept.as_bytes())?;
            }
        }
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(file_error("open", path))?;
        Ok((Self { file, path: path.to_path_buf() }, note))
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

/// Adds lines to the file `path` and says so.
fn keep_aside(path: &Path, lines: &[&str]) -> Result<String, FileError> {
    let before = if path.exists() { files::read(path)? } else { Vec::new() };
    let added: String = lines.iter().map(|line| format!("{line}\n")).collect();
    files::write(path, &[&before, added.as_bytes()].concat())?;
    let what = match lines.len() {
        1 => "a line of metrics.jsonl was cut off or damaged; it is".to_string(),
        n => format!("{n} lines of metrics.jsonl were cut off or damaged; they are"),
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

#[derive(Deserialize)]
struct Step {
    #[serde(default, rename = "step")]
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
        let (mut all, mut sums) = (Self::default(), Vec::<(u32, [f64; 4])>::new());
        let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", text));
        all.cut_off = !rest.is_empty();
        for line in whole.lines() {
            let known = record_of(line).and_then(|value| all.add(value, &mut sums));
            all.unreadable += usize::from(known.is_none());
        }
        all.steps = sums
            .iter()
            .map(|(epoch, [steps, loss, with_delta, delta])| Steps {
                epoch: *epoch,
                loss: loss / steps,
                delta: (*with_delta > 0.0).then_some(delta / with_delta),
            })
            .collect();
        all
    }

    fn add(&mut self, value: Value, sums: &mut Vec<(u32, [f64; 4])>) -> Option<()> {
        match value["kind"].as_str()? {
            "run" => self.sessions.push(serde_json::from_value(value).ok()?),
            "epoch" => self.epochs.push(serde_json::from_value(value).ok()?),
            "step" => {
                let step: Step = serde_json::from_value(value).ok()?;
                self.step_numbers.insert(step.number);
                if sums.last().is_none_or(|(epoch, _)| *epoch != step.epoch) {
                    sums.push((step.epoch, [0.0; 4]));
                }
                let (_, sum) = sums.last_mut()?;
                let delta = step.delta.map_or([0.0; 2], |delta| [1.0, delta]);
                let more = [1.0, step.loss.unwrap_or(f64::NAN), delta[0], delta[1]];
                sum.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
            }
            // Of a later version.
            _ => {}
        }
        Some(())
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

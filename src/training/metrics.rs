//! `metrics.jsonl`: [records](super::record) written line by line, each with a checksum, and read back.

use super::TrainError;
use super::checkpoint::Progress;
use super::config::TrainConfig;
use super::record::{EpochRecord, Record, StepRecord};
use super::robust::BestRobust;
use super::session::SessionRecord;
use crate::files::{FileError, Lines, Pending, file_error};
use crate::integrity;
use crate::pgn::GeneratorLoss;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes of the largest file of metrics or events that is read whole: eighty million steps. Commands read metrics line by line.
pub const LARGEST_METRICS: u64 = 16 << 30;
/// Bytes of the longest line that is read: far more than any record has. A file may have any number of lines.
pub const LONGEST_LINE: usize = 1 << 20;
/// Where unreadable lines are kept, beside the metrics.
const DAMAGED: &str = "metrics.damaged.jsonl";
/// What is wrong with a line that cannot be read, and with several.
const UNREADABLE: [&str; 2] = ["was cut off or damaged", "were cut off or damaged"];
/// What a line does that comes twice, and what several do.
const REPEAT: [&str; 2] = ["repeats an earlier one", "repeat earlier ones"];
/// Losses that are printed alike are alike.
const SAME_LOSS: f64 = 1e-3;

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
        let found = if path.exists() { Found::judge(path, progress, over)? } else { Found::default() };
        if let Some(problem) = found.all.of_another_run(run) {
            return Err(TrainError::Run { path: path.to_path_buf(), problem });
        }
        let mut notes = found.keep_aside(path)?;
        if found.last_has_no_end && found.fates.last() == Some(&Fate::Stays) {
            notes.push(
                "the last line of metrics.jsonl had no end; it has one again, and nothing is lost"
                    .to_string(),
            );
        }
        notes.extend(found.all.missing(progress).filter(|_| progress.step > 0));
        if found.is_to_change() {
            Pending::write_with(path, |out| found.copy(path, Fate::Stays, out, path))?.put()?;
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

/// What becomes of a line when a run goes on.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Stays,
    /// It will be written again.
    Goes,
    Repeated,
    Unreadable,
}

/// What a file has when a run goes on.
#[derive(Default)]
struct Found {
    all: Metrics,
    /// Of each line.
    fates: Vec<Fate>,
    /// Bytes of the file, and of the lines that stay with their ends.
    bytes: u64,
    staying: u64,
    last_has_no_end: bool,
}

impl Found {
    /// Reads the file `path` line by line; `progress` and `over` are those of [`MetricsFile::open`].
    fn judge(path: &Path, progress: &Progress, over: bool) -> Result<Self, FileError> {
        let (mut found, mut lines) = (Self::default(), Lines::open(path, LONGEST_LINE)?);
        while let Some(line) = lines.line()? {
            found.bytes += line.len() as u64;
            found.last_has_no_end = !line.ends_with(b"\n");
            let line = without_end(line);
            let record = record_of(&String::from_utf8_lossy(line));
            let stays = record.as_ref().is_some_and(|record| stays(record, progress, over));
            let fate = match record.map_or(Line::Unreadable, |record| found.all.add(record)) {
                Line::Unreadable => Fate::Unreadable,
                Line::Repeated => Fate::Repeated,
                Line::Read if stays => Fate::Stays,
                Line::Read => Fate::Goes,
            };
            found.staying += if fate == Fate::Stays { line.len() as u64 + 1 } else { 0 };
            found.fates.push(fate);
        }
        Ok(found)
    }

    /// Whether the lines that stay are not the whole file, byte by byte.
    fn is_to_change(&self) -> bool {
        self.staying != self.bytes || self.last_has_no_end
    }

    /// Writes the lines of the file `path` that have this fate to `out`, which is the file `target`.
    fn copy(&self, path: &Path, fate: Fate, out: &mut dyn Write, target: &Path) -> Result<(), FileError> {
        let mut lines = Lines::open(path, LONGEST_LINE)?;
        for own in &self.fates {
            let Some(line) = lines.line()? else { break };
            if *own == fate {
                let written = out.write_all(without_end(line)).and_then(|()| out.write_all(b"\n"));
                written.map_err(file_error("write", target))?;
            }
        }
        Ok(())
    }

    /// Adds the lines of the file `path` that cannot be read, and those that repeat earlier ones, to a file beside it; gives a
    /// sentence about each kind.
    fn keep_aside(&self, path: &Path) -> Result<Vec<String>, FileError> {
        let (aside, mut notes) = (path.with_file_name(DAMAGED), Vec::new());
        for (fate, [one, several]) in [(Fate::Unreadable, UNREADABLE), (Fate::Repeated, REPEAT)] {
            let what = match self.fates.iter().filter(|own| **own == fate).count() {
                0 => continue,
                1 => format!("a line of metrics.jsonl {one}; it is"),
                n => format!("{n} lines of metrics.jsonl {several}; they are"),
            };
            let file = OpenOptions::new().create(true).append(true).open(&aside);
            let mut out = BufWriter::new(file.map_err(file_error("write", &aside))?);
            self.copy(path, fate, &mut out, &aside)?;
            let durable = out.flush().and_then(|()| out.get_ref().sync_all());
            durable.map_err(file_error("write", &aside))?;
            notes.push(format!("{what} kept in {}", aside.display()));
        }
        Ok(notes)
    }
}

/// A line without its end.
fn without_end(line: &[u8]) -> &[u8] {
    let Some(line) = line.strip_suffix(b"\n") else { return line };
    line.strip_suffix(b"\r").unwrap_or(line)
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
    /// Reads a file line by line.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let (mut all, mut lines) = (Self::default(), Lines::open(path, LONGEST_LINE)?);
        while let Some(line) = lines.line()? {
            all.take(line);
        }
        Ok(all)
    }

    /// Reads the lines of a text.
    pub fn read(text: &str) -> Self {
        let mut all = Self::default();
        text.split_inclusive('\n').for_each(|line| all.take(line.as_bytes()));
        all
    }

    /// Takes the next line with its end. What cannot be read is counted.
    pub fn take(&mut self, line: &[u8]) {
        if !line.ends_with(b"\n") {
            self.cut_off = true;
            return;
        }
        let record = record_of(&String::from_utf8_lossy(without_end(line)));
        match record.map_or(Line::Unreadable, |value| self.add(value)) {
            Line::Read => {}
            Line::Repeated => self.repeated += 1,
            Line::Unreadable => self.unreadable += 1,
        }
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

    /// How many epochs, from the first on, count when the best is chosen. The last one does not count if `max-steps` has cut it short
    /// and there are others, because it ends differently when the run goes on.
    fn whole_epochs(&self) -> usize {
        // Steps of whole epochs are in proportion to them.
        let steps =
            |one: &EpochRecord, other: &EpochRecord| u128::from(one.step) * (u128::from(other.epoch) + 1);
        match self.epochs.as_slice() {
            [first, .., last] if steps(first, last) != steps(last, first) => self.epochs.len() - 1,
            all => all.len(),
        }
    }

    /// The best epoch under PGD and, if one after it has overfitted catastrophically, a sentence about the first such.
    pub fn robust(&self) -> (Option<BestRobust>, Option<String>) {
        let (mut best, mut overfitted) = (None::<BestRobust>, None);
        let measured = self.epochs.iter().enumerate().filter_map(|(at, epoch)| Some((at, epoch.robust()?)));
        for (at, now) in measured {
            overfitted = overfitted.or_else(|| best.and_then(|best| best.overfitted(&now)));
            let whole = at < self.whole_epochs();
            best = Some(best.filter(|best| !(whole && now.beats(best))).unwrap_or(now));
        }
        (best, overfitted)
    }

    /// The highest of the benign accuracies of whole epochs.
    pub fn best(&self) -> Option<f64> {
        let whole = &self.epochs[..self.whole_epochs()];
        whole.iter().filter_map(|epoch| epoch.benign_accuracy).max_by(f64::total_cmp)
    }
}

/// The figures of a generator that raises the cross-entropy to less than FGM does at the same norm (`fgm_loss`), and what they ask
/// for in a run with `config`; `None` of a generator that does as much.
pub fn weak_generator(config: &TrainConfig, loss: f64, fgm_loss: f64) -> Option<(String, String)> {
    (loss < fgm_loss - SAME_LOSS).then(|| {
        let figure = format!("the generator does less than FGM at its norm ({loss:.3} < {fgm_loss:.3})");
        let remedy = match (config.generator_objective, config.fixed_radius) {
            (GeneratorLoss::CrossEntropy, false) => {
                "one step along the gradient attacks better; train longer, raise `generator-lr`, or lower `c-l`".to_string()
            }
            (GeneratorLoss::CrossEntropy, true) => {
                "one step along the gradient attacks better; train longer, or raise `generator-lr`".to_string()
            }
            (other, _) => format!(
                "that is the cross-entropy, and this generator raises another loss (`generator-objective` {}); compare the \
                 accuracies under `attack` fgm and `attack` pgn",
                other.name()
            ),
        };
        (figure, remedy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::training::Preset;

    #[test]
    fn a_generator_is_weak_that_does_visibly_less_than_fgm() {
        let run = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        let (figure, remedy) = weak_generator(&run, 1.5, 1.75).unwrap();
        assert_eq!(figure, "the generator does less than FGM at its norm (1.500 < 1.750)");
        assert!(remedy.contains("`generator-lr`") && remedy.contains("`c-l`"), "{remedy}");
        for as_much in [1.75, 1.7496, 2.0] {
            assert_eq!(weak_generator(&run, as_much, 1.75), None);
        }
        // Only what the run has is named.
        let fixed = TrainConfig { fixed_radius: true, ..run.clone() };
        let remedy = weak_generator(&fixed, 1.5, 1.75).unwrap().1;
        assert!(remedy.contains("`generator-lr`") && !remedy.contains("`c-l`"), "{remedy}");
        let margin = TrainConfig { generator_objective: GeneratorLoss::Margin, ..run };
        let remedy = weak_generator(&margin, 1.5, 1.75).unwrap().1;
        assert!(remedy.contains("another loss (`generator-objective` margin)"), "{remedy}");
    }

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
    fn a_file_may_have_any_number_of_lines_but_none_that_is_longer_than_all_records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        // More than the 128 MiB that were read once, in few lines so that it is quick.
        let damaged = [&vec![b'x'; LONGEST_LINE - 1][..], b"\n"].concat();
        let mut file = BufWriter::new(File::create(&path).unwrap());
        let many = 130;
        file.write_all(line(&step(1, 0, 2.0, None)).as_bytes()).unwrap();
        (0..many).for_each(|_| file.write_all(&damaged).unwrap());
        file.write_all(line(&step(2, 0, 1.0, None)).as_bytes()).unwrap();
        file.flush().unwrap();
        let all = Metrics::load(&path).unwrap();
        assert_eq!((all.steps.len(), all.unreadable, all.cut_off), (2, many, false));

        let progress = Progress { step: 2, ..Progress::default() };
        let (_, notes) = MetricsFile::open(&path, "run", &progress, true).unwrap();
        assert!(notes[0].starts_with("130 lines of metrics.jsonl were cut off or damaged"), "{notes:?}");
        let kept = [step(1, 0, 2.0, None), step(2, 0, 1.0, None)].iter().map(line).collect::<String>();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
        let aside = std::fs::metadata(folder.path().join(DAMAGED)).unwrap().len();
        assert_eq!(aside, (many * LONGEST_LINE) as u64);

        let too_long = format!("{kept}{}\n", "x".repeat(LONGEST_LINE + 1));
        std::fs::write(&path, &too_long).unwrap();
        let error = Metrics::load(&path).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl") && error.contains("line 3"), "{error}");
        assert!(MetricsFile::open(&path, "run", &progress, true).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), too_long, "it was changed");
    }

    #[test]
    fn lines_with_other_ends_are_written_again_before_any_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let lines = [step(1, 0, 2.0, None), step(2, 0, 1.0, None)].map(|record| line(&record));
        // As long as the file that it shall be.
        let other = format!("{}\r\n{}", lines[0].trim_end(), lines[1].trim_end());
        assert_eq!(other.len(), lines.concat().len());
        std::fs::write(&path, other).unwrap();
        let progress = Progress { step: 2, ..Progress::default() };
        let (mut file, _) = MetricsFile::open(&path, "run", &progress, true).unwrap();
        file.append(&step(3, 0, 0.5, None)).unwrap();
        let all = Metrics::load(&path).unwrap();
        assert_eq!((all.steps.len(), all.unreadable), (3, 0));
    }

    #[test]
    fn an_epoch_that_was_cut_short_is_the_best_only_where_there_is_no_other() {
        let of = |epoch, step, accuracy: f64| EpochRecord {
            epoch,
            step,
            benign_accuracy: Some(accuracy),
            pgd_accuracy: Some(accuracy),
            fgm_accuracy: Some(accuracy),
            ..Default::default()
        };
        let best = |epochs: &[EpochRecord]| {
            let all = Metrics { epochs: epochs.to_vec(), ..Default::default() };
            (all.best(), all.robust().0.map(|best| best.pgd))
        };
        let (first, second, cut) = (of(0, 12, 0.5), of(1, 24, 0.6), of(1, 15, 0.7));
        assert_eq!(best(&[first, cut]), (Some(0.5), Some(0.5)));
        assert_eq!(best(&[first, second]), (Some(0.6), Some(0.6)));
        assert_eq!(best(&[cut]), (Some(0.7), Some(0.7)));
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

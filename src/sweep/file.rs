//! Sweep files: options that all runs share, and grids of values whose combinations are the runs.
//!
//! ```toml
//! dataset = "digits"            # keys are the flags' names
//! out = "runs/digits"           # the folder; default: runs/NAME-OF-THE-FILE
//! [grid]                        # every combination; several tables [[grid]] are a union
//! method = ["fgm", "pgd"]
//! epsilon = [0.1, 0.2]
//! ```
//!
//! Paths of data, weights and class indices are taken from the current folder and kept as absolute ones.

use super::{MOST_POINTS, Plan, Point, SweepError};
use crate::files;
use crate::training::effects::check_file;
use crate::training::options::TrainOptions;
use crate::training::toml_text::{from_toml, table_of, value_problem};
use crate::training::{Preset, TrainError};
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::de::{DeArray, DeTable, DeValue};
use toml::{Spanned, Value};

/// Bytes of a sweep file.
const MOST_BYTES: u64 = 1 << 20;

/// What a command line lays over a sweep file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The folder of the sweep.
    pub out: Option<PathBuf>,
    /// Where the data set is.
    pub data: Option<PathBuf>,
}

/// The plan that the sweep file `path` describes.
///
/// # Errors
/// One sentence with the file, and with the line where there is one.
pub fn read(path: &Path, overrides: &Overrides) -> Result<Plan, SweepError> {
    let text = files::read_at_most(path, MOST_BYTES).map_err(TrainError::from)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    // Parsed twice: for errors of the format itself, whatever the values are, and with places for all others.
    from_toml::<IgnoredAny>(&text, path)?;
    let source = Source { path, text: &text };
    let table = DeTable::parse(&text).map_err(|e| source.wrong(None, e.message()))?;
    let mut sheet = Sheet::default();
    for (key, value) in table.get_ref() {
        sheet.read(&source, key, value)?;
    }
    if sheet.grids.is_empty() {
        return Err(source.wrong(None, "has no [grid]; list there the values to go through"));
    }
    sheet.check_count(&source)?;
    let folder = overrides.out.clone().or(sheet.out.clone()).unwrap_or_else(|| {
        Path::new("runs").join(path.file_stem().map_or_else(|| "sweep".into(), std::ffi::OsStr::to_os_string))
    });
    let plan = Plan { folder, points: sheet.points(path, overrides)? };
    plan.check()
        .map_err(|problem| SweepError::File { path: path.to_path_buf(), problem: problem.to_string() })?;
    let runs: Vec<_> = plan.points.iter().map(|point| point.config.clone()).collect();
    check_file(path, &sheet.keys(), sheet.preset(), &runs)?;
    Ok(plan)
}

/// A key's value as it stands in the file.
type Entry = (String, String);

/// The file's text, for what it says and where.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn wrong(&self, at: Option<usize>, problem: &str) -> SweepError {
        let line = at.and_then(|at| self.text.get(..at)).map(|before| 1 + before.matches('\n').count());
        let line = line.map_or(String::new(), |line| format!("line {line}: "));
        SweepError::File {
            path: self.path.to_path_buf(),
            problem: format!("{line}{}", problem.replace('\n', ", ")),
        }
    }

    /// A key with its value, if training has such an option and takes the value.
    fn entry(&self, key: &str, value: &Spanned<DeValue>) -> Result<Entry, SweepError> {
        let span = value.span();
        let entry = (key.to_string(), self.text.get(span.clone()).unwrap_or_default().to_string());
        match toml::from_str::<TrainOptions>(&line_of(&entry)) {
            Ok(_) => Ok(entry),
            Err(e) => Err(self.wrong(Some(span.start), &value_problem(Some(key), e.message()))),
        }
    }

    /// The entries of one key of a grid.
    fn axis(&self, key: &str, value: &Spanned<DeValue>) -> Result<Vec<Entry>, SweepError> {
        let wrong = |problem: String| Err(self.wrong(Some(value.span().start), &problem));
        let DeValue::Array(values) = value.get_ref() else {
            return wrong(format!("{key} in a grid needs a list of values in square brackets"));
        };
        if values.is_empty() {
            return wrong(format!("{key} has no values; give at least one, or leave the key out"));
        }
        if key == "adapter" {
            return wrong("the adapter is no axis of a grid; give `adapter` several times".to_string());
        }
        values.iter().map(|value| self.entry(key, value)).collect()
    }
}

fn line_of((key, value): &Entry) -> String {
    format!("{key:?} = {value}\n")
}

/// A sweep file taken apart.
#[derive(Default)]
struct Sheet {
    out: Option<PathBuf>,
    base: Vec<Entry>,
    grids: Vec<Vec<Vec<Entry>>>,
}

impl Sheet {
    fn read(
        &mut self,
        source: &Source,
        key: &Spanned<toml::de::DeString>,
        value: &Spanned<DeValue>,
    ) -> Result<(), SweepError> {
        let at = Some(key.span().start);
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("grid", DeValue::Table(table)) => self.grids.push(axes(source, table, at)?),
            ("grid", DeValue::Array(tables)) => self.read_grids(source, tables, at)?,
            ("grid", _) => return Err(source.wrong(at, "grid is a table, [grid], of lists of values")),
            ("out", DeValue::String(folder)) => self.out = Some(PathBuf::from(folder.as_ref())),
            ("out", _) => return Err(source.wrong(at, "out is the name of a folder, in quotation marks")),
            (key, _) => self.base.push(source.entry(key, value)?),
        }
        Ok(())
    }

    fn read_grids(&mut self, source: &Source, tables: &DeArray, at: Option<usize>) -> Result<(), SweepError> {
        for table in tables {
            let DeValue::Table(keys) = table.get_ref() else {
                return Err(source.wrong(at, "grid is a table, [grid], of lists of values"));
            };
            self.grids.push(axes(source, keys, Some(table.span().start))?);
        }
        Ok(())
    }

    /// Refuses grids of more runs than a sweep may have, before any of them is made.
    fn check_count(&self, source: &Source) -> Result<(), SweepError> {
        let runs = |axes: &Vec<Vec<Entry>>| {
            axes.iter().fold(1u128, |product, values| product.saturating_mul(values.len() as u128))
        };
        let count = self.grids.iter().map(runs).fold(0, u128::saturating_add);
        if count <= MOST_POINTS as u128 {
            return Ok(());
        }
        let count = if count == u128::MAX { "far too many".to_string() } else { count.to_string() };
        let problem = format!(
            "describes {count} runs, at most {MOST_POINTS} are possible; split the grid over several files"
        );
        Err(source.wrong(None, &problem))
    }

    /// Every key of the file that is an option of training.
    fn keys(&self) -> Vec<String> {
        let all = self.base.iter().chain(self.grids.iter().flatten().flatten());
        let keys: BTreeSet<String> = all.map(|(key, _)| key.clone()).collect();
        keys.into_iter().collect()
    }

    /// The preset that all runs share.
    fn preset(&self) -> Option<Preset> {
        let entry = self.base.iter().find(|(key, _)| key == "preset")?;
        toml::from_str::<TrainOptions>(&line_of(entry)).ok()?.preset
    }

    /// The runs of all grids, named by what varies over them.
    fn points(&self, path: &Path, overrides: &Overrides) -> Result<Vec<Point>, SweepError> {
        let all: Vec<Vec<Entry>> = self.grids.iter().flat_map(|axes| combinations(axes)).collect();
        let varying = varying(&all);
        let point = |own: &Vec<Entry>| {
            let mut entries: BTreeMap<String, String> = self.base.iter().cloned().collect();
            entries.extend(own.iter().cloned());
            let text: String = entries.into_iter().map(|entry| line_of(&entry)).collect();
            let mut options: TrainOptions = from_toml(&text, path)?;
            options.data = overrides.data.clone().or(options.data);
            let mut named: Vec<&Entry> = own.iter().filter(|(key, _)| varying.contains(key)).collect();
            if named.is_empty() {
                named = own.iter().collect();
            }
            let name = named.into_iter().map(part_of_name).collect::<Vec<_>>().join("-");
            Ok(Point { name, config: TrainOptions::default().resolve(&options).with_absolute_paths() })
        };
        all.iter().map(point).collect()
    }
}

/// The axes of one grid: method and data set first, the seed last, so that it changes fastest.
fn axes(source: &Source, table: &DeTable, at: Option<usize>) -> Result<Vec<Vec<Entry>>, SweepError> {
    if table.is_empty() {
        return Err(source.wrong(at, "the grid is empty; list in it the values to go through"));
    }
    let mut keys: Vec<_> = table.iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect();
    keys.sort_by_key(|(key, _)| match *key {
        "method" => 0,
        "dataset" => 1,
        "seed" => 3,
        _ => 2,
    });
    keys.into_iter().map(|(key, value)| source.axis(key, value)).collect()
}

fn combinations(axes: &[Vec<Entry>]) -> Vec<Vec<Entry>> {
    let Some((first, rest)) = axes.split_first() else { return vec![Vec::new()] };
    let rest = combinations(rest);
    let with = |entry: &Entry| -> Vec<Vec<Entry>> {
        rest.iter().map(|others| [&[entry.clone()][..], others].concat()).collect()
    };
    first.iter().flat_map(with).collect()
}

/// The keys that have not the same value in all points.
fn varying(points: &[Vec<Entry>]) -> BTreeSet<String> {
    let keys: BTreeSet<&String> = points.iter().flatten().map(|(key, _)| key).collect();
    let value = |point: &Vec<Entry>, key: &String| point.iter().find(|(own, _)| own == key).map(value_text);
    let varies = |key: &String| points.iter().any(|point| value(point, key) != value(&points[0], key));
    keys.into_iter().filter(|key| varies(key)).cloned().collect()
}

/// `epsilon0.1`, `shuffle-true`; a method or data set speaks for itself.
fn part_of_name(entry: &Entry) -> String {
    let (key, value) = (&entry.0, value_text(entry));
    match key.as_str() {
        "method" | "dataset" => value,
        _ if value.starts_with(|c: char| c.is_ascii_digit()) => format!("{key}{value}"),
        _ => format!("{key}-{value}"),
    }
}

/// A value in the letters that a folder's name may have.
fn value_text(entry: &Entry) -> String {
    let table = table_of(&line_of(entry)).unwrap_or_default();
    let text = table.values().map(plain).collect::<String>().to_lowercase();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    text.chars().map(|c| if fits(c) { c } else { '-' }).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) => number.to_string(),
        Value::Array(values) if values.is_empty() => "none".to_string(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join("-"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_a_table_of_toml_has_no_room_for_are_runs_like_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "[grid]\nseed = [9223372036854775808, 18446744073709551615]\n").unwrap();
        let plan = read(&path, &Overrides::default()).unwrap();
        let seeds: Vec<_> =
            plan.points.iter().map(|point| (point.name.as_str(), point.config.seed)).collect();
        assert_eq!(seeds, [("seed9223372036854775808", 1 << 63), ("seed18446744073709551615", u64::MAX)]);
        std::fs::write(&path, "[grid]\nseed = [18446744073709551616]\n").unwrap();
        let error = read(&path, &Overrides::default()).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("seed"), "{error}");
    }
}

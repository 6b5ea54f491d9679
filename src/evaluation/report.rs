//! The result of an evaluation as a table for the terminal, as JSON and as CSV.

use super::corruptions::Corrupted;
use super::measures::{Measure, QUICK_IN_WORDS, Unit};
use super::published::{Paper, Published};
use super::statistics::Reading;
use super::warnings::Warning;
use crate::attacks::{AttackKind, AttackOptions, Norm};
use crate::csv::{self, Cell};
use crate::integrity;
use crate::program::precision::Precision;
use serde::{Deserialize, Deserializer, Serialize};

/// The columns of [`Report::csv`].
const CSV_COLUMNS: [&str; 8] = ["run", "method", "measure", "unit", "value", "low", "high", "images"];
/// The radius of the paper's tables.
const PAPER_EPSILON: f32 = 0.5;

/// What was found out about one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunReport {
    /// Short name.
    pub name: String,
    /// Its model file.
    pub model: String,
    /// Fingerprint of its configuration, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Fingerprint of the classifier.
    pub classifier: String,
    /// How it was trained: `natural`, `fgm`, `pgd`, `pgn` or `unknown`.
    pub method: String,
    /// The numbers, in the order of the table.
    pub measures: Vec<Measure>,
    /// Reasons to doubt them.
    pub warnings: Vec<Warning>,
    /// What it answered to corrupted images, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupted: Option<Corrupted>,
}

/// An evaluation, ready to be shown and written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of the program.
    pub version: String,
    /// Where it ran.
    pub device: String,
    /// How numbers were stored there.
    pub precision: Precision,
    /// Name of the data set.
    pub data_set: String,
    /// Which part of it.
    pub split: String,
    /// How many of its images.
    pub images: usize,
    /// Fingerprint of those.
    pub fingerprint: String,
    /// Radius of the worst case.
    pub epsilon: f32,
    /// Norm of that radius.
    pub norm: Norm,
    /// The attacks with all their options.
    pub attacks: Vec<AttackOptions>,
    /// One entry per run.
    pub runs: Vec<RunReport>,
    /// The paper's data set and rows, if they are wanted.
    #[serde(deserialize_with = "published_again")]
    pub published: Option<(&'static str, [Published; 4])>,
}

/// The paper's rows for the data set that a file names; what else the file says of them is not needed.
fn published_again<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<(&'static str, [Published; 4])>, D::Error> {
    let read: Option<(String, serde_json::Value)> = Option::deserialize(deserializer)?;
    let named = |paper: &Paper| read.as_ref().is_some_and(|(data_set, _)| data_set == paper.data_set());
    Ok(published([Paper::Cifar10, Paper::Cifar100].into_iter().find(named)))
}

impl Report {
    /// Whether it is of runs that are known, and the one with the fingerprint `run` is none of them.
    pub fn is_of_others_alone(&self, run: &str) -> bool {
        !self.runs.is_empty() && self.runs.iter().all(|own| own.run.as_ref().is_some_and(|own| own != run))
    }

    /// Of every run that was asked for corrupted images its name, its method and what it answered.
    pub fn corrupted(&self) -> impl Iterator<Item = (&str, &str, &Corrupted)> {
        self.runs.iter().filter_map(|RunReport { name, method, corrupted, .. }| {
            corrupted.as_ref().map(|corrupted| (name.as_str(), method.as_str(), corrupted))
        })
    }

    /// Indented JSON with a checksum.
    pub fn json(&self) -> Vec<u8> {
        integrity::to_pretty_json(self)
    }

    /// One line per run and measure.
    pub fn csv(&self) -> String {
        let mut text = csv::head(CSV_COLUMNS);
        for run in &self.runs {
            for m in &run.measures {
                let unit = serde_json::to_value(m.unit).expect("a plain value");
                text += &csv::line([
                    Cell::text(&run.name),
                    Cell::text(&run.method),
                    Cell::text(&m.key),
                    Cell::text(unit.as_str().unwrap_or_default()),
                    Cell::optional(m.value),
                    Cell::optional(m.interval.map(|[low, _]| low)),
                    Cell::optional(m.interval.map(|[_, high]| high)),
                    Cell::optional(m.images),
                ]);
            }
        }
        text
    }

    /// Whether `bytes` are an evaluation that [`Report::json`] wrote.
    pub fn wrote_json(bytes: &[u8]) -> bool {
        serde_json::from_slice::<Self>(bytes).is_ok()
    }

    /// Whether `bytes` are a table that [`Report::csv`] wrote.
    pub fn wrote_csv(bytes: &[u8]) -> bool {
        bytes.starts_with(csv::head(CSV_COLUMNS).as_bytes())
    }

    /// Rows for the terminal: measures down, runs across, then the paper's columns. First a table of what a reader wants first,
    /// then one of the rest.
    pub fn rows(&self) -> [Vec<Vec<String>>; 2] {
        let (first, rest): (Vec<_>, Vec<_>) =
            self.keys().into_iter().partition(|(key, _)| Measure::comes_first(key));
        [self.rows_of(&first), self.rows_of(&rest)]
    }

    fn rows_of(&self, keys: &[(&str, &str)]) -> Vec<Vec<String>> {
        let mut head = vec![format!("{} {} images of {}", self.images, self.split, self.data_set)];
        head.extend(self.runs.iter().map(|run| run.name.clone()));
        let columns = self.published_columns();
        let of = self.published.map_or("", |(data_set, _)| data_set);
        head.extend(columns.iter().map(|p| format!("paper, {of}, {}", paper_name(p.method))));
        let mut method = vec!["method".to_string()];
        method.extend(self.runs.iter().map(|run| run.method.clone()));
        let mut rows = vec![head, method];
        for &(key, name) in keys {
            let mut row = vec![name.to_string()];
            for run in &self.runs {
                row.push(run.measures.iter().find(|m| m.key == key).map_or("-".to_string(), shown));
            }
            for column in &columns {
                row.push(self.published(column, key).map_or(String::new(), |v| format!("{v:.4}")));
            }
            rows.push(row);
        }
        rows
    }

    /// What the first table's words mean.
    pub fn legend_of_first(&self) -> String {
        let mut text = format!(
            "[ ] 95 % bootstrap intervals; epsilon is the radius in {}, pixels in [0, 1]",
            self.norm.name()
        );
        let has = |key: &str| self.keys().iter().any(|(own, _)| *own == key);
        if has("verdict-accuracy") {
            text += &format!("; the quick verdict is {QUICK_IN_WORDS}");
        }
        if has("smallest-median-l2") || has("smallest-median-linf") {
            text += "; the median of the smallest is over all images, those that were wrong from the start being 0 and those \
                     that withstood further than any";
        }
        text
    }

    /// What the words and abbreviations of both tables mean.
    pub fn legend(&self) -> String {
        let mut text = self.legend_of_first();
        let readings = Reading::ALL.map(|r| format!("{} {}", r.name(), r.explanation())).join("; ");
        if self.norm == Norm::Linf {
            text += "; distances in L2 are left out, as the radius is none";
            if self.keys().iter().any(|(key, _)| key.ends_with("-linf-r2")) {
                text += &format!("; Linf is the largest change of a value: {readings}");
            }
            return text;
        }
        text += &format!("; L2 is over the whole image: {readings}");
        if self.published.is_some() {
            text += ".\nThe paper's L2 are means; it does not say over which images, here they stand at R3. The library that it \
                     used moved images that were wrong from the start, too, with DeepFool further than 0";
        }
        text
    }

    /// Keys and names of all measures: those that only some runs have stand where those runs have them.
    pub fn keys(&self) -> Vec<(&str, &str)> {
        let mut keys: Vec<(&str, &str)> = Vec::new();
        for run in &self.runs {
            let mut place = 0;
            for m in &run.measures {
                match keys.iter().position(|(key, _)| *key == m.key) {
                    Some(found) => place = found + 1,
                    None => {
                        keys.insert(place, (&m.key, &m.name));
                        place += 1;
                    }
                }
            }
        }
        keys
    }

    /// The paper's rows of the methods that the runs have; all if none is among them.
    pub fn published_columns(&self) -> Vec<Published> {
        let Some((_, rows)) = &self.published else { return Vec::new() };
        let has = |p: &&Published| self.runs.iter().any(|run| run.method == p.method);
        let matching: Vec<Published> = rows.iter().filter(has).copied().collect();
        if matching.is_empty() { rows.to_vec() } else { matching }
    }

    /// What the paper's row says about a measure, if it was measured as there.
    pub fn published(&self, row: &Published, key: &str) -> Option<f64> {
        let at_its_radius = |kind| {
            let same = |a: &AttackOptions| a.kind == kind && a.norm == Norm::L2 && a.epsilon == PAPER_EPSILON;
            self.attacks.iter().any(same)
        };
        match key {
            "benign-accuracy" => Some(row.benign_accuracy),
            "fgm-accuracy" if at_its_radius(AttackKind::FGM) => Some(row.fgm),
            "mim-accuracy" if at_its_radius(AttackKind::MIM) => Some(row.mim),
            "deepfool-mean-l2-r3" => Some(row.deepfool),
            "cw-mean-l2-r3" => Some(row.cw),
            _ => None,
        }
    }
}

/// The paper's rows for `--paper`.
pub fn published(paper: Option<Paper>) -> Option<(&'static str, [Published; 4])> {
    paper.map(|paper| (paper.data_set(), paper.rows()))
}

/// A method's name in the paper.
pub fn paper_name(method: &str) -> String {
    match method {
        "natural" => "naive".to_string(),
        other => other.to_uppercase(),
    }
}

/// A measure as people read it.
pub fn shown(measure: &Measure) -> String {
    let Some(value) = measure.value else { return "-".to_string() };
    match (measure.unit, measure.interval) {
        (Unit::Share | Unit::L2 | Unit::Linf, Some([low, high])) => {
            format!("{value:.4} [{low:.4}, {high:.4}]")
        }
        (Unit::Share | Unit::L2 | Unit::Linf, None) => format!("{value:.4}"),
        (Unit::Images | Unit::ImagesPerSecond, _) => format!("{value:.0}"),
        (Unit::Seconds, _) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(key: &str, value: f64) -> Measure {
        Measure {
            key: key.into(),
            name: key.into(),
            unit: Unit::Share,
            value: Some(value),
            interval: Some([value - 0.1, value + 0.1]),
            images: Some(10),
        }
    }

    fn report() -> Report {
        let run = |name: &str, method: &str, keys: &[&str]| RunReport {
            name: name.into(),
            model: "m".into(),
            run: None,
            classifier: String::new(),
            method: method.into(),
            measures: keys.iter().map(|key| measure(key, 0.5)).collect(),
            warnings: vec![],
            corrupted: None,
        };
        Report {
            version: "1".into(),
            device: "d".into(),
            precision: Precision::Mixed,
            data_set: "CIFAR-10".into(),
            split: "test".into(),
            images: 10,
            fingerprint: String::new(),
            epsilon: 0.5,
            norm: Norm::L2,
            attacks: vec![AttackOptions::new(AttackKind::FGM)],
            runs: vec![
                run("a", "natural", &["benign-accuracy", "last"]),
                run("b, c", "pgn", &["benign-accuracy", "fgm-accuracy", "last"]),
            ],
            published: published(Some(Paper::Cifar10)),
        }
    }

    #[test]
    fn a_measure_that_one_run_lacks_keeps_its_place_and_is_a_dash() {
        let [first, rows] = report().rows();
        let names = |rows: &[Vec<String>]| rows[2..].iter().map(|row| row[0].clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&first), names(&rows)),
            (vec!["benign-accuracy".into()], vec!["fgm-accuracy".into(), "last".into()])
        );
        assert_eq!(rows[2][1..3], ["-", "0.5000 [0.4000, 0.6000]"]);
    }

    #[test]
    fn the_paper_stands_beside_the_methods_that_were_run() {
        let [_, rows] = report().rows();
        assert_eq!(rows[0][3..], ["paper, CIFAR-10, naive", "paper, CIFAR-10, PGN"]);
        assert_eq!(rows[2][3..], ["0.2934", "0.6534"]);
        let mut other_radius = report();
        other_radius.attacks[0].epsilon = 0.25;
        assert_eq!(other_radius.rows()[1][2][3..], ["", ""]);
    }

    #[test]
    fn a_file_says_its_precision() {
        let json = String::from_utf8(report().json()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap().precision, Precision::Mixed);
        let own: Vec<&str> = json.lines().filter(|line| line.contains("\"precision\"")).collect();
        assert!(own.len() == 1 && own[0].contains("mixed"), "{own:?}");
    }

    #[test]
    fn csv_has_a_line_per_measure_and_quotes_what_needs_it() {
        let csv = report().csv();
        assert_eq!(csv.lines().count(), 1 + 5);
        assert!(csv.contains("\n\"b, c\",pgn,fgm-accuracy,share,0.5,0.4,0.6,10\n"), "{csv}");
    }
}

//! The numbers about a run, each a statistic over images with its interval, in the order of the table.

use super::record::Record;
use super::statistics::{Estimate, Reading, Statistic, estimate, estimate_share};
use super::subject::{Place, Subject};
use super::suite::Findings;
use crate::attacks::{Goal, ImageVerdict, Norm};
use crate::threat::Radius;
use crate::training::effects::listed;
use crate::training::metrics::Metrics;
use serde::{Deserialize, Serialize};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Of the images.
    Share,
    /// Euclidean norm over a whole image, pixels in [0, 1].
    L2,
    /// Largest change of any value, pixels in [0, 1].
    Linf,
    /// Number of images.
    Images,
    /// Seconds.
    Seconds,
    /// Images per second.
    ImagesPerSecond,
}

impl Unit {
    /// Lengths in a norm.
    fn of(norm: Norm) -> Self {
        match norm {
            Norm::L2 => Self::L2,
            Norm::Linf => Self::Linf,
        }
    }
}

/// Keys of the numbers that a reader wants first; an evaluation has those that were measured.
const FIRST: [&str; 4] =
    ["benign-accuracy", "verdict-accuracy", "smallest-median-l2", "smallest-median-linf"];

/// Key of the share of images that withstand every attack of an evaluation within its radius.
pub const WORST_CASE: &str = "worst-case-accuracy";

/// The quick verdict for people.
pub const QUICK_IN_WORDS: &str = "APGD-CE with 20 iterations and, for 4 classes or more, APGD-T with up to 9 targets and 20 iterations for each";

/// One number about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// For programs: `cw-mean-l2-r2`.
    pub key: String,
    /// For people: `C&W mean L2, R2`.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// The number; absent if no image has a value, or if it is not finite.
    pub value: Option<f64>,
    /// The 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// Images that it is over.
    pub images: Option<usize>,
}

impl Measure {
    /// Whether it belongs before the rows of the paper's tables.
    pub fn comes_first(key: &str) -> bool {
        FIRST.contains(&key)
    }

    fn plain(key: &str, name: &str, unit: Unit, value: f64) -> Self {
        Self { key: key.into(), name: name.into(), unit, value: Some(value), interval: None, images: None }
    }

    /// A statistic over images. An interval with an end that is not finite is left out.
    fn estimated(key: String, name: String, unit: Unit, estimate: Option<Estimate>) -> Self {
        let images = Some(estimate.as_ref().map_or(0, |estimate| estimate.images));
        let estimate = estimate.filter(|e| e.value.is_finite());
        let (value, interval) = (estimate.map(|e| e.value), estimate.map(|e| [e.low, e.high]));
        let interval = interval.filter(|ends| ends.iter().all(|end| end.is_finite()));
        Self { key, name, unit, value, interval, images }
    }
}

/// The length in `norm` of the shortest perturbation with which any of `records` fools a classifier on image `i`; `None` if
/// none does.
pub fn smallest_distance<'a>(records: impl Iterator<Item = &'a Record>, norm: Norm, i: usize) -> Option<f64> {
    let fooled = records.filter(|record| record.verdict(i) == ImageVerdict::Fooled);
    fooled.map(|record| record.length(norm, i)).min_by(f64::total_cmp)
}

/// The norm up to which image `i` is classified correctly, as far as these searches know: 0 of an image that was wrong from
/// the start, infinite of one that withstood them all.
pub fn stands_up_to(records: &[&Record], norm: Norm, i: usize) -> f64 {
    match records.first().is_some_and(|record| record.correct(i)) {
        true => smallest_distance(records.iter().copied(), norm, i).unwrap_or(f64::INFINITY),
        false => 0.0,
    }
}

/// All measures of a run; `radius` is that of the worst case, `seed` the bootstrap's. Distances of a search are in its own norm;
/// of the worst case there are some in L2 alone.
pub fn measures(run: &Subject, findings: &Findings, radius: Radius, seed: u64) -> Vec<Measure> {
    let mut all = Collector { seed, all: Vec::new() };
    if let Some(record) = findings.white_box.first() {
        let correct = |i| Some(f64::from(record.correct(i)));
        all.share("benign-accuracy", "benign accuracy", record.len(), correct);
    }
    for record in &findings.white_box {
        let title = record.kind().title;
        match record.kind().goal {
            Goal::Smallest { .. } => all.distances(record),
            Goal::Generator => all.accuracy("", &format!("accuracy under {title}"), record),
            Goal::Ball => {
                let name = format!("accuracy under {title}, {}", Radius::of(&record.key.options));
                all.accuracy("", &name, record);
            }
        }
    }
    for black_box in &findings.black_box {
        let kind = black_box.record.kind().title;
        let name = match black_box.flag {
            "twin" => format!("black-box {kind} of its twin"),
            _ => format!("black-box {kind} of {}", black_box.made_on),
        };
        all.accuracy(&format!("{}-", black_box.flag), &name, &black_box.record);
    }
    all.worst_case(findings, radius, run.model.facts.problem.pixels());
    if let Some(rate) = images_per_second(&run.place).filter(|_| run.training_images > 0) {
        let seconds = run.training_images as f64 / rate;
        all.all.push(Measure::plain("seconds-per-epoch", "seconds per epoch", Unit::Seconds, seconds));
        let unit = Unit::ImagesPerSecond;
        all.all.push(Measure::plain("images-per-second", "training images per second", unit, rate));
    }
    all.all
}

/// What stands before the paper's rows, beside benign accuracy: the verdict on the images within `radius`, if there is one,
/// and the median of the smallest perturbations, if an attack looked for such. In the median an image that was wrong from the
/// start counts as 0, and one that withstood all these attacks as further than any: half of the images are correct at this
/// norm.
pub fn first(findings: &Findings, radius: Radius, seed: u64, verdict: Option<Estimate>) -> Vec<Measure> {
    let mut all = Vec::new();
    if let Some(verdict) = verdict {
        let (key, name) =
            ("verdict-accuracy".to_string(), format!("accuracy by the quick verdict, {radius}"));
        all.push(Measure::estimated(key, name, Unit::Share, Some(verdict)));
    }
    let smallest = |r: &&Record| r.kind().is_smallest() && r.key.options.norm == radius.norm;
    let records: Vec<&Record> = findings.white_box.iter().filter(smallest).collect();
    let Some(record) = records.first() else { return all };
    let values: Vec<_> = (0..record.len()).map(|i| Some(stands_up_to(&records, radius.norm, i))).collect();
    let titles: Vec<&str> = records.iter().map(|record| record.kind().title).collect();
    let name = format!("median of the smallest {} by {}", radius.norm.name(), listed(&titles));
    let unit = Unit::of(radius.norm);
    let key = format!("smallest-median-{}", radius.norm.flag());
    all.push(Measure::estimated(key, name, unit, estimate(&values, Statistic::Median, seed)));
    all
}

/// Mean and median of the smallest L2 distances that any of several searches over the same images finds, image by image.
pub fn smallest_measures(records: &[&Record], seed: u64) -> Vec<Measure> {
    let Some(first) = records.first() else { return Vec::new() };
    let all = || records.iter().copied();
    let distances: Vec<_> = (0..first.len()).map(|i| smallest_distance(all(), Norm::L2, i)).collect();
    let mut found = Collector { seed, all: Vec::new() };
    found.smallest("smallest", "smallest of all searches:", first, &distances);
    found.all
}

struct Collector {
    seed: u64,
    all: Vec<Measure>,
}

impl Collector {
    fn share(&mut self, key: &str, name: &str, images: usize, value: impl Fn(usize) -> Option<f64>) {
        let values: Vec<_> = (0..images).map(value).collect();
        let estimate = estimate_share(&values, self.seed);
        self.all.push(Measure::estimated(key.into(), name.into(), Unit::Share, estimate));
    }

    fn accuracy(&mut self, prefix: &str, name: &str, record: &Record) {
        let key = format!("{prefix}{}-accuracy", record.kind().name());
        self.share(&key, name, record.len(), |i| Some(f64::from(record.robust(i))));
    }

    /// Mean and median of the same lengths in a norm.
    fn lengths(&mut self, (key, name): (&str, &str), norm: Norm, reading: Reading, values: &[Option<f64>]) {
        for (statistic, word) in [(Statistic::Mean, "mean"), (Statistic::Median, "median")] {
            let key = format!("{key}-{word}-{}-{}", norm.flag(), reading.name().to_lowercase());
            let name = format!("{name} {word} {}, {}", norm.name(), reading.name());
            let estimate = estimate(values, statistic, self.seed);
            self.all.push(Measure::estimated(key, name, Unit::of(norm), estimate));
        }
    }

    fn distances(&mut self, record: &Record) {
        let (key, name) = (record.kind().name(), record.kind().title);
        for reading in Reading::ALL {
            let values: Vec<_> = (0..record.len()).map(|i| reading.distance(record.attacked(i))).collect();
            self.lengths((key, name), record.key.options.norm, reading, &values);
        }
        let failures = record.count(ImageVerdict::Withstood) as f64;
        let (key, name) = (format!("{key}-failures"), format!("{name} failures"));
        self.all.push(Measure::plain(&key, &name, Unit::Images, failures));
    }

    /// Of images of so many `pixels`.
    fn worst_case(&mut self, findings: &Findings, radius: Radius, pixels: usize) {
        let Some(first) = findings.white_box.first() else { return };
        let norm = radius.norm;
        let smallest: Vec<_> = (0..first.len()).map(|i| smallest_distance(findings.all(), norm, i)).collect();
        let name = format!("worst case accuracy, {radius}");
        self.share(WORST_CASE, &name, first.len(), |i| {
            let withstands = smallest[i].is_none_or(|length| !radius.holds(length, pixels));
            Some(f64::from(first.correct(i) && withstands))
        });
        if norm != Norm::L2 {
            return;
        }
        self.smallest("worst-case", "worst case", first, &smallest);
    }

    /// Means and medians of the smallest distances of images that `of` tells right from wrong.
    fn smallest(&mut self, key: &str, name: &str, of: &Record, distances: &[Option<f64>]) {
        for reading in Reading::ALL {
            let values: Vec<_> = (0..of.len())
                .map(|i| match (of.correct(i), reading) {
                    (true, _) => distances[i],
                    (false, Reading::R3) => Some(0.0),
                    (false, _) => None,
                })
                .collect();
            self.lengths((key, name), Norm::L2, reading, &values);
        }
    }
}

/// The median over the epochs of a run, so that the first one's warm-up and a busy minute do not count.
fn images_per_second(place: &Place) -> Option<f64> {
    let metrics = Metrics::load(&place.run_folder()?.metrics_path()).ok()?;
    let mut rates: Vec<f64> = metrics.epochs.iter().map(|epoch| epoch.images_per_second).collect();
    Statistic::Median.of(&mut rates).filter(|rate| *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;
    use crate::evaluation::record::tests::record;

    fn value(all: &[Measure], key: &str) -> f64 {
        all.iter().find(|m| m.key == key).and_then(|m| m.value).unwrap_or_else(|| panic!("{key}"))
    }

    #[test]
    fn distances_of_a_search_in_linf_are_called_so() {
        let mut record = record(AttackKind::FMN);
        record.key.options.norm = Norm::Linf;
        let mut all = Collector { seed: 0, all: Vec::new() };
        all.distances(&record);
        assert!((value(&all.all, "fmn-mean-linf-r2") - 0.2).abs() < 1e-6);
        assert!(all.all.iter().all(|measure| measure.unit != Unit::L2));
    }

    #[test]
    fn a_measure_without_a_finite_value_says_all_the_same_how_many_images_it_is_over() {
        let infinite = Estimate { value: f64::INFINITY, low: 0.5, high: f64::INFINITY, images: 7 };
        let measure = Measure::estimated("m".into(), "median".into(), Unit::L2, Some(infinite));
        assert_eq!((measure.value, measure.interval, measure.images), (None, None, Some(7)));
    }

    fn findings(white_box: Vec<Record>) -> Findings {
        Findings { white_box, black_box: vec![], sweep: vec![], huge: None, few: vec![] }
    }

    #[test]
    fn the_worst_case_takes_for_each_image_the_attack_that_does_most() {
        // Two images, both right; one attack breaks the first at 0.4, the other breaks both, at 0.9 and 0.3.
        let two = |kind, predictions: [usize; 2], l2: [f32; 2]| Record {
            labels: vec![0, 0],
            clean_predictions: vec![0, 0],
            predictions: predictions.to_vec(),
            l2: l2.to_vec(),
            linf: vec![0.1, 0.2],
            zero_gradient: vec![false; 2],
            ..record(kind)
        };
        let records = vec![two(AttackKind::MIM, [1, 0], [0.4, 0.5]), two(AttackKind::CW, [1, 1], [0.9, 0.3])];
        let mut all = Collector { seed: 0, all: vec![] };
        all.worst_case(&findings(records.clone()), Radius::l2(0.35), 64);
        assert_eq!(value(&all.all, "worst-case-accuracy"), 0.5);
        assert!((value(&all.all, "worst-case-mean-l2-r2") - 0.35).abs() < 1e-7);
        let mut all = Collector { seed: 0, all: vec![] };
        all.worst_case(&findings(records.clone()), Radius::l2(0.5), 64);
        assert_eq!(value(&all.all, "worst-case-accuracy"), 0.0);
        // In Linf the changes are 0.1 and 0.2, and nothing is said of distances in L2.
        let mut all = Collector { seed: 0, all: vec![] };
        all.worst_case(&findings(records), Radius { norm: Norm::Linf, epsilon: 0.15 }, 64);
        assert_eq!(value(&all.all, "worst-case-accuracy"), 0.5);
        assert!(all.all.iter().all(|measure| measure.unit == Unit::Share), "{:?}", all.all);
    }

    #[test]
    fn the_worst_case_within_a_small_radius_counts_what_rounding_brings_beyond_it() {
        let near = Record { linf: vec![5.001e-5; 3], ..record(AttackKind::PGD) };
        let robust = near.count(ImageVerdict::Withstood) as f64 / 3.0;
        let worst = |epsilon| {
            let mut all = Collector { seed: 0, all: vec![] };
            all.worst_case(&findings(vec![near.clone()]), Radius { norm: Norm::Linf, epsilon }, 64);
            value(&all.all, "worst-case-accuracy")
        };
        assert_eq!([worst(5e-5), worst(4e-5)], [robust, robust + 1.0 / 3.0]);
    }

    #[test]
    fn a_misclassified_image_is_broken_and_at_no_distance() {
        let mut all = Collector { seed: 0, all: vec![] };
        all.worst_case(&findings(vec![record(AttackKind::CW)]), Radius::l2(0.1), 64);
        // Of three images one withstands all attacks and one falls at 0.5, beyond the radius.
        assert_eq!(value(&all.all, "worst-case-accuracy"), 2.0 / 3.0);
        assert_eq!(value(&all.all, "worst-case-mean-l2-r2"), 0.5);
        assert_eq!(value(&all.all, "worst-case-mean-l2-r3"), 0.25);
    }

    #[test]
    fn the_median_of_the_smallest_is_the_norm_at_which_half_of_the_images_stand() {
        // Right and broken at 0.4 or 0.3, right and unbroken, wrong from the start, right and broken at 0.9.
        let of = |kind, predictions: [usize; 4], l2: [f32; 4]| Record {
            labels: vec![0; 4],
            clean_predictions: vec![0, 0, 1, 0],
            predictions: predictions.to_vec(),
            l2: l2.to_vec(),
            linf: vec![0.1; 4],
            zero_gradient: vec![false; 4],
            ..record(kind)
        };
        let records = vec![
            of(AttackKind::MIM, [1, 1, 1, 1], [0.01; 4]),
            of(AttackKind::DEEPFOOL, [1, 0, 1, 1], [0.4, 0.0, 0.0, 0.9]),
            of(AttackKind::CW, [1, 0, 1, 0], [0.3, 0.0, 0.0, 0.0]),
        ];
        let verdict = Estimate { value: 0.5, low: 0.25, high: 0.75, images: 4 };
        let all = first(&findings(records.clone()), Radius::l2(0.5), 0, Some(verdict));
        assert_eq!(value(&all, "verdict-accuracy"), 0.5);
        assert!((value(&all, "smallest-median-l2") - 0.6).abs() < 1e-6, "between 0.3 and 0.9: {all:?}");
        assert_eq!(all[1].name, "median of the smallest L2 by DeepFool and C&W");
        assert!(all.iter().all(|measure| Measure::comes_first(&measure.key)));
        let linf = Radius { norm: Norm::Linf, epsilon: 0.1 };
        assert!(first(&findings(records), linf, 0, None).is_empty(), "both measure in L2");
        // Three of four withstand.
        let few = of(AttackKind::CW, [1, 0, 1, 0], [0.3, 0.0, 0.0, 0.0]);
        let few = Record { clean_predictions: vec![0; 4], predictions: vec![1, 0, 0, 0], ..few };
        let all = first(&findings(vec![few]), Radius::l2(0.5), 0, None);
        assert_eq!((all[0].value, all[0].interval), (None, None));
    }

    #[test]
    fn failures_are_counted_and_have_no_distance() {
        let mut all = Collector { seed: 0, all: vec![] };
        all.distances(&record(AttackKind::CW));
        // Of three images one withstood, one was fooled, and one was wrong from the start.
        assert_eq!(value(&all.all, "cw-failures"), 1.0);
        assert_eq!(value(&all.all, "cw-mean-l2-r2"), 0.5);
        assert_eq!(value(&all.all, "cw-mean-l2-r3"), 0.25);
    }
}

//! Accuracy against norm, from the distances that a minimum-norm attack found for each image. Runs are compared at the
//! same attack where they all had it; where they had not, the figure says so.

use super::super::budget;
use super::super::page::{Axis, Figure, Mark, Note, Point, Series};
use super::Run;
use crate::attacks::{AttackKind, Norm};
use crate::evaluation::record::{Key, Record};
use crate::executor::precision_in_words;
use crate::program::precision::Precision;

/// A curve of more steps is drawn through every so many-th.
const MOST_POINTS: usize = 60;

/// A figure for each minimum-norm attack and norm that was run on any of `runs`, and what the reader must know before comparing
/// its curves.
pub fn figures(runs: &[&Run]) -> (Vec<Figure>, Vec<Note>) {
    let mut kinds: Vec<AttackKind> =
        AttackKind::all().into_iter().filter(|kind| kind.is_smallest()).collect();
    // The most careful search first: of the built-in ones, the last.
    kinds.reverse();
    let both = kinds.into_iter().flat_map(|kind| Norm::ALL.map(|norm| (kind, norm)));
    let all = both.filter_map(|(kind, norm)| figure(runs, kind, norm));
    let (figures, notes): (Vec<Figure>, Vec<Option<Note>>) = all.unzip();
    (figures, notes.into_iter().flatten().collect())
}

/// The figure of one attack in one norm, with a note if the attacks had different budgets; nothing if it was run on none of `runs`.
fn figure(runs: &[&Run], kind: AttackKind, norm: Norm) -> Option<(Figure, Option<Note>)> {
    let own: Vec<Vec<&Record>> = runs.iter().map(|run| candidates(&run.records, kind, norm)).collect();
    let chosen = comparable(&own);
    let records: Vec<(&Run, &Record)> =
        runs.iter().zip(&chosen).filter_map(|(run, record)| Some((*run, (*record)?))).collect();
    let first = records.first()?.1;
    let budgets =
        budget::differences(&records.iter().map(|(_, record)| &record.key.options).collect::<Vec<_>>());
    let differ = budgets.iter().any(|budget| !budget.is_empty());
    let common = (!differ).then(|| budget::text(&first.key.options));
    let attacked = runs.iter().zip(&chosen);
    let absent: Vec<&str> =
        attacked.filter(|(_, record)| record.is_none()).map(|(run, _)| run.name.as_str()).collect();
    let series = records.iter().zip(&budgets).map(|((run, record), budget)| Series {
        name: if differ { format!("{}: {budget}", run.name) } else { run.name.clone() },
        mark: Mark::Line,
        points: curve(record),
    });
    let (id, axis) = match norm {
        Norm::L2 => ("", "norm"),
        Norm::Linf => ("-linf", "Linf norm"),
    };
    let figure = Figure {
        id: format!("accuracy-against-{}{id}", kind.name()),
        title: format!("Accuracy against {axis} by {}", kind.title),
        caption: caption(kind.title, common.as_deref(), &absent, &records),
        x: Axis::new(&format!("{} norm of the perturbation", norm.name())),
        y: Axis { range: Some([0.0, 1.0]), ..Axis::percent("accuracy") },
        series: series.collect(),
    };
    Some((figure, differ.then(|| different_budgets(kind.title))))
}

/// What the curves of the attack `name` in `records` mean. `budget` is the budget that all of them had; on the runs `absent` the
/// attack was not run.
fn caption(name: &str, budget: Option<&str>, absent: &[&str], records: &[(&Run, &Record)]) -> String {
    let mut caption = format!(
        "Share of the images that are still classified correctly when each may be moved by this much, as far as {name} \
         has found out. A curve that ends above zero ends where the attack failed on the rest."
    );
    caption += &match budget {
        None => " The attack's budgets differ; the legend says how.".to_string(),
        Some(budget) => format!(" The attack's budget: {budget}."),
    };
    if !absent.is_empty() {
        caption += &format!(" {name} was not run on {}.", absent.join(", "));
    }
    if records.windows(2).any(|pair| pair[0].1.key.images != pair[1].1.key.images) {
        caption += " The curves are over different images, so they do not compare exactly.";
    }
    caption + &measured_on(records)
}

/// What the reader must know before comparing curves of attacks that had different budgets.
fn different_budgets(name: &str) -> Note {
    Note {
        about: name.to_string(),
        figure: "the curves' attacks had different budgets".to_string(),
        explanation: "a weaker search leaves a higher curve, so these do not compare; evaluate all runs with the same options"
            .to_string(),
    }
}

/// The sentence about the devices of the records, where it does not go without saying: in 32 bits on one device.
fn measured_on(records: &[(&Run, &Record)]) -> String {
    let words = |key: &Key| {
        let device = key.device.as_deref().unwrap_or("a device that is not recorded");
        format!("{device}{}", precision_in_words(key.precision))
    };
    let all: Vec<String> = records.iter().map(|(_, record)| words(&record.key)).collect();
    if all.iter().any(|other| *other != all[0]) {
        let of_each = records.iter().zip(&all).map(|((run, _), words)| format!("{} on {words}", run.name));
        return format!(" Measured: {}.", of_each.collect::<Vec<_>>().join("; "));
    }
    match records.first().map_or("", |(_, record)| precision_in_words(record.key.precision)) {
        "" => String::new(),
        _ => format!(" Measured on {}.", all[0]),
    }
}

/// The records of an attack in a norm, the best first: over the most images, of those with the most iterations, and of those in
/// 32 bits.
fn candidates(records: &[Record], kind: AttackKind, norm: Norm) -> Vec<&Record> {
    let alike = |record: &&Record| record.kind() == kind && record.key.options.norm == norm;
    let mut own: Vec<&Record> = records.iter().filter(alike).filter(|record| !record.is_empty()).collect();
    own.sort_by_key(|record| {
        let size = std::cmp::Reverse((record.len(), record.key.options.iterations));
        (size, record.key.precision != Precision::F32)
    });
    own
}

/// For each run one of its records: all of the same attack on the same images if every run that was attacked has such a
/// one, on the same device in the same precision if there are such, else each run's best.
fn comparable<'a>(own: &[Vec<&'a Record>]) -> Vec<Option<&'a Record>> {
    let asked = |a: &Key, b: &Key| (&a.options, &a.images) == (&b.options, &b.images);
    let computed = |a: &Key, b: &Key| (&a.device, a.precision) == (&b.device, b.precision);
    shared(own, |a, b| asked(a, b) && computed(a, b))
        .or_else(|| shared(own, asked))
        .unwrap_or_else(|| own.iter().map(|records| records.first().copied()).collect())
}

/// For each run the first record that is alike; nothing unless every run that was attacked has one.
fn shared<'a>(
    own: &[Vec<&'a Record>],
    alike: impl Fn(&Key, &Key) -> bool,
) -> Option<Vec<Option<&'a Record>>> {
    let find = |records: &Vec<&'a Record>, one: &Record| {
        records.iter().find(|other| alike(&one.key, &other.key)).copied()
    };
    let mut attacked = own.iter().filter(|records| !records.is_empty());
    let first = attacked.next()?;
    let others: Vec<&Vec<&Record>> = attacked.collect();
    let common = first.iter().find(|one| others.iter().all(|records| find(records, one).is_some()))?;
    Some(own.iter().map(|records| find(records, common)).collect())
}

/// From benign accuracy at 0 down by one image at each distance.
fn curve(record: &Record) -> Vec<Point> {
    let images = record.len();
    let correct = (0..images).filter(|&i| record.correct(i)).count();
    let fooled = (0..images).filter(|&i| record.correct(i) && !record.robust(i));
    let mut distances: Vec<f64> = fooled.map(|i| record.attacked(i).length).collect();
    distances.sort_by(f64::total_cmp);
    let point = |distance: f64, broken: usize| Point {
        label: format!("{} of {images} images", correct - broken),
        ..Point::new(distance, (correct - broken) as f64 / images as f64)
    };
    let every = distances.len().div_ceil(MOST_POINTS).max(1);
    let kept = (1..).zip(&distances).filter(|(broken, _)| broken % every == 0 || *broken == distances.len());
    [point(0.0, 0)].into_iter().chain(kept.map(|(broken, &distance)| point(distance, broken))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::record::tests::record;

    #[test]
    fn distances_are_in_the_norm_that_the_search_looked_in() {
        let mut linf = record(AttackKind::FMN);
        linf.key.options.norm = Norm::Linf;
        let ends = |record: &Record| curve(record).last().unwrap().x;
        assert_eq!(ends(&record(AttackKind::FMN)), 0.5);
        assert!((ends(&linf) - 0.2).abs() < 1e-6);
        let both = [record(AttackKind::FMN), linf];
        for norm in Norm::ALL {
            let found = candidates(&both, AttackKind::FMN, norm);
            assert!(found.len() == 1 && found[0].key.options.norm == norm);
        }
    }

    #[test]
    fn accuracy_falls_by_an_image_at_each_distance_and_failures_stay() {
        // Of three images one is misclassified from the start, one is fooled at 0.5, one withstands.
        let points = curve(&record(AttackKind::CW));
        let values: Vec<(f64, f64)> = points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(values, [(0.0, 2.0 / 3.0), (0.5, 1.0 / 3.0)]);
        assert_eq!(points[1].label, "1 of 3 images");
    }

    #[test]
    fn runs_are_compared_at_the_attack_that_they_share() {
        let with = |iterations: usize| {
            let mut record = record(AttackKind::CW);
            record.key.options.iterations = iterations;
            record
        };
        let (long, short) = ([with(100), with(30)], [with(30), with(10)]);
        let own = [
            candidates(&long, AttackKind::CW, Norm::L2),
            candidates(&short, AttackKind::CW, Norm::L2),
            Vec::new(),
        ];
        let iterations = |own: &[Vec<&Record>]| -> Vec<Option<usize>> {
            comparable(own).iter().map(|record| record.map(|record| record.key.options.iterations)).collect()
        };
        assert_eq!(iterations(&own), [Some(30), Some(30), None]);
        assert_eq!(iterations(&[vec![&long[0]], vec![&short[1]]]), [Some(100), Some(10)]);
    }

    #[test]
    fn runs_are_compared_on_a_device_and_in_a_precision_that_they_share() {
        let on = |device: &str, precision| {
            let mut record = record(AttackKind::CW);
            (record.key.device, record.key.precision) = (Some(device.to_string()), precision);
            record
        };
        let (f32, mixed) = (Precision::F32, Precision::Mixed);
        let (one, two) = ([on("a", mixed), on("a", f32), on("b", f32)], [on("b", f32), on("c", f32)]);
        let all = [&one[..], &two].map(|records| candidates(records, AttackKind::CW, Norm::L2));
        assert_eq!(all[0][2].key.precision, mixed, "32 bits come first");
        let devices = |own: &[Vec<&Record>]| -> Vec<String> {
            comparable(own).iter().map(|record| record.unwrap().key.device.clone().unwrap()).collect()
        };
        assert_eq!(devices(&all), ["b", "b"]);
        assert_eq!(devices(&[vec![&one[0]], vec![&two[1]]]), ["a", "c"]);
    }

    #[test]
    fn a_caption_says_the_devices_where_they_differ_and_the_precision_where_it_is_mixed() {
        use crate::data::DatasetKind;
        use crate::training::run::RunFolder;
        use crate::training::{Preset, TrainConfig};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        RunFolder::create(&path, &TrainConfig::preset(Preset::Small, DatasetKind::Digits)).unwrap();
        let run = Run::open(&path).unwrap();
        let on = |precision| {
            let mut record = record(AttackKind::CW);
            (record.key.device, record.key.precision) = (Some("a".to_string()), precision);
            record
        };
        let (f32, mixed) = (on(Precision::F32), on(Precision::Mixed));
        assert_eq!(measured_on(&[(&run, &f32), (&run, &f32)]), "");
        assert_eq!(measured_on(&[(&run, &mixed)]), " Measured on a, mixed precision.");
        assert_eq!(
            measured_on(&[(&run, &f32), (&run, &mixed)]),
            " Measured: run on a; run on a, mixed precision."
        );
    }

    #[test]
    fn a_long_curve_keeps_its_ends_and_never_rises() {
        let n = 1000;
        let long = Record {
            labels: vec![0; n],
            clean_predictions: vec![0; n],
            predictions: vec![1; n],
            l2: (0..n).map(|i| 1.0 - i as f32 / n as f32).collect(),
            linf: vec![0.1; n],
            zero_gradient: vec![false; n],
            ..record(AttackKind::DEEPFOOL)
        };
        let points = curve(&long);
        assert!(points.len() <= MOST_POINTS + 2);
        assert_eq!((points[0].y, points[points.len() - 1].y, points[points.len() - 1].x), (1.0, 0.0, 1.0));
        assert!(points.windows(2).all(|pair| pair[0].x <= pair[1].x && pair[0].y > pair[1].y));
    }
}

//! Accuracy against norm, from the distances that a minimal-norm attack found for each image. Runs are compared at the
//! same attack where they all had it; where they had not, the figure says so.

use super::super::budget;
use super::super::page::{Axis, Figure, Mark, Note, Point, Series};
use super::Run;
use crate::attacks::{AttackKind, Norm};
use crate::evaluation::record::Record;

/// A curve of more steps is drawn through every so many-th.
const MOST_POINTS: usize = 60;

/// A figure for each minimal-norm attack and norm that was run on any of `runs`, and what the reader must know before comparing
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

fn figure(runs: &[&Run], kind: AttackKind, norm: Norm) -> Option<(Figure, Option<Note>)> {
    let own: Vec<Vec<&Record>> = runs.iter().map(|run| candidates(&run.records, kind, norm)).collect();
    let chosen = comparable(&own);
    let records: Vec<(&Run, &Record)> =
        runs.iter().zip(&chosen).filter_map(|(run, record)| Some((*run, (*record)?))).collect();
    let first = records.first()?.1;
    let name = kind.title;
    let budgets =
        budget::differences(&records.iter().map(|(_, record)| &record.key.options).collect::<Vec<_>>());
    let differ = budgets.iter().any(|budget| !budget.is_empty());
    let mut caption = format!(
        "Share of the images that are still classified correctly when each may be moved by this much, as far as {name} \
         has found out. A curve that ends above zero ends where the attack failed on the rest."
    );
    caption += &match differ {
        true => " The attack's budgets differ; the legend says how.".to_string(),
        false => format!(" The attack's budget: {}.", budget::text(&first.key.options)),
    };
    let absent: Vec<&str> = runs
        .iter()
        .zip(&chosen)
        .filter(|(_, record)| record.is_none())
        .map(|(run, _)| run.name.as_str())
        .collect();
    if !absent.is_empty() {
        caption += &format!(" {name} was not run on {}.", absent.join(", "));
    }
    if records.iter().any(|(_, record)| record.key.images != first.key.images) {
        caption += " The curves are over different images, so they do not compare exactly.";
    }
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
        title: format!("Accuracy against {axis} by {name}"),
        caption,
        x: Axis::new(&format!("{} norm of the perturbation", norm.name())),
        y: Axis { range: Some([0.0, 1.0]), ..Axis::percent("accuracy") },
        series: series.collect(),
    };
    let note = differ.then(|| Note {
        about: name.to_string(),
        figure: "the curves' attacks had different budgets".to_string(),
        explanation: "a weaker search leaves a higher curve, so these do not compare; evaluate all runs with the same options"
            .to_string(),
    });
    Some((figure, note))
}

/// The records of an attack in a norm, the best first: over the most images and, of those, with the most iterations.
fn candidates(records: &[Record], kind: AttackKind, norm: Norm) -> Vec<&Record> {
    let alike = |record: &&Record| record.kind() == kind && record.key.options.norm == norm;
    let mut own: Vec<&Record> = records.iter().filter(alike).filter(|record| !record.is_empty()).collect();
    own.sort_by_key(|record| std::cmp::Reverse((record.len(), record.key.options.iterations)));
    own
}

/// For each run one of its records: all of the same attack on the same images if every run that was attacked has such a
/// one, else each run's best.
fn comparable<'a>(own: &[Vec<&'a Record>]) -> Vec<Option<&'a Record>> {
    let attacked: Vec<&Vec<&Record>> = own.iter().filter(|records| !records.is_empty()).collect();
    let alike = |a: &Record, b: &Record| (&a.key.options, &a.key.images) == (&b.key.options, &b.key.images);
    let common = attacked.first().and_then(|first| {
        first.iter().find(|one| attacked.iter().all(|records| records.iter().any(|other| alike(one, other))))
    });
    let choose = |records: &Vec<&'a Record>| match common {
        Some(common) => records.iter().find(|record| alike(record, common)).copied(),
        None => records.first().copied(),
    };
    own.iter().map(choose).collect()
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

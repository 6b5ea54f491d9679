//! Asks every question of `warnings.rs` that the findings about a run can answer.

use super::measures::smallest_distance;
use super::record::Record;
use super::suite::{Findings, title};
use super::warnings::{self, Pair, Warning};
use crate::attacks::AttackKind;

/// The warnings about a run of so many classes, judged at radius `epsilon`.
pub fn doubts(findings: &Findings, epsilon: f32, classes: usize) -> Vec<Warning> {
    let mut found = vec![zero_gradients(findings)];
    let fgm = findings.of(AttackKind::Fgm);
    for kind in [AttackKind::Mim, AttackKind::Pgd] {
        if let (Some(fgm), Some(many)) = (fgm, findings.of(kind)) {
            found.push(warnings::weaker_than_fgm(title(kind), pair(fgm, many)));
        }
    }
    found.extend(findings.black_box.iter().map(|black_box| {
        let kind = black_box.record.kind();
        let white_box = findings.of(kind)?;
        warnings::black_box_stronger(title(kind), pair(&black_box.record, white_box))
    }));
    let mut relatives: Vec<_> =
        findings.black_box.iter().filter_map(|b| Some((&b.made_on, b.same_seed?))).collect();
    relatives.dedup();
    found.extend(relatives.into_iter().map(|(made_on, seed)| Some(warnings::same_seed(made_on, seed))));
    found.extend(findings.sweep.iter().map(|record| sweep(findings, record, classes)));
    found.extend([AttackKind::DeepFool, AttackKind::Cw].map(|kind| {
        let record = findings.of(kind)?;
        let failures = record.success.iter().filter(|success| !**success).count();
        warnings::many_failures(title(kind), failures, record.len())
    }));
    found.push(radius_against_distances(findings, epsilon));
    found.into_iter().flatten().collect()
}

/// Accuracies over the images that both records have, the first ones.
fn pair(weaker: &Record, stronger: &Record) -> Pair {
    let images = weaker.len().min(stronger.len());
    Pair { weaker: weaker.accuracy(images), stronger: stronger.accuracy(images), images }
}

fn zero_gradients(findings: &Findings) -> Option<Warning> {
    let record = findings.white_box.iter().find(|record| record.kind().has_radius())?;
    let zero = record.zero_gradient.iter().filter(|zero| **zero).count();
    warnings::zero_gradients(zero as f64 / record.len().max(1) as f64)
}

/// What one record of the sweep says beside that of the same attack with the usual settings.
fn sweep(findings: &Findings, record: &Record, classes: usize) -> Option<Warning> {
    let (kind, options) = (record.kind(), &record.key.options);
    if kind == AttackKind::Pgd {
        return warnings::huge_epsilon("PGD", options.epsilon, record.accuracy(record.len()), classes);
    }
    let usual = findings.of(kind)?;
    let (name, other) = (title(kind), &usual.key.options);
    if options.epsilon > other.epsilon {
        // The same number of steps, from the sweep where it has them.
        let smaller = findings.sweep.iter().find(|candidate| {
            let of = &candidate.key.options;
            of.kind == kind && of.iterations == options.iterations && of.epsilon == other.epsilon
        });
        let epsilons = [other.epsilon, options.epsilon];
        return warnings::larger_epsilon(name, epsilons, pair(smaller.unwrap_or(usual), record));
    }
    warnings::more_steps(name, [options.iterations, other.iterations], pair(record, usual))
}

fn radius_against_distances(findings: &Findings, epsilon: f32) -> Option<Warning> {
    let lengths: Vec<&Record> =
        [AttackKind::DeepFool, AttackKind::Cw].into_iter().filter_map(|kind| findings.of(kind)).collect();
    let within = [AttackKind::Mim, AttackKind::Pgd].into_iter().filter_map(|kind| findings.of(kind));
    let accuracy = |record: &&Record| record.accuracy(record.len());
    let strongest = within.min_by(|a, b| accuracy(a).total_cmp(&accuracy(b)))?;
    let first = *lengths.first()?;
    let beyond = (0..first.len()).filter(|&i| {
        let distance = smallest_distance(lengths.iter().copied(), i);
        first.correct(i) && distance.is_none_or(|d| d > f64::from(epsilon))
    });
    let beyond = beyond.count() as f64 / first.len().max(1) as f64;
    let (name, accuracy) = (title(strongest.kind()), accuracy(&strongest));
    warnings::radius_against_distances(name, (accuracy, epsilon), beyond, first.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::record::tests::record;
    use crate::evaluation::suite::BlackBox;

    /// A record of `n` images, all classified correctly, of which the attack leaves the first `robust`.
    fn leaving(kind: AttackKind, n: usize, robust: usize) -> Record {
        Record {
            labels: vec![0; n],
            clean_predictions: vec![0; n],
            predictions: (0..n).map(|i| usize::from(i >= robust)).collect(),
            l2: vec![0.5; n],
            success: (0..n).map(|i| i >= robust).collect(),
            zero_gradient: vec![false; n],
            ..record(kind)
        }
    }

    fn figures(findings: &Findings) -> Vec<String> {
        doubts(findings, 0.5, 10).into_iter().map(|warning| warning.figure).collect()
    }

    #[test]
    fn findings_that_agree_raise_no_doubt() {
        let white_box = vec![leaving(AttackKind::Fgm, 100, 50), leaving(AttackKind::Mim, 100, 30)];
        let mut half = leaving(AttackKind::Mim, 40, 12);
        half.key.options.iterations = 50;
        let mut double = leaving(AttackKind::Mim, 40, 2);
        (double.key.options.iterations, double.key.options.epsilon) = (50, 1.0);
        // Over its 40 images the usual MIM leaves 30.
        half.predictions = vec![0; 40];
        let findings = Findings { white_box, black_box: vec![], sweep: vec![double, half] };
        assert_eq!(figures(&findings), Vec::<String>::new());
    }

    #[test]
    fn each_finding_is_held_against_its_own_counterpart() {
        let white_box = vec![
            leaving(AttackKind::Fgm, 100, 20),
            leaving(AttackKind::Mim, 100, 60),
            Record { l2: vec![0.1; 100], ..leaving(AttackKind::Cw, 100, 0) },
        ];
        let black_box = vec![BlackBox {
            flag: "source",
            made_on: "naive".into(),
            same_seed: Some(7),
            record: leaving(AttackKind::Mim, 100, 10),
        }];
        let mut double = leaving(AttackKind::Fgm, 50, 50);
        double.key.options.epsilon = 1.0;
        let findings =
            Findings { white_box, black_box, sweep: vec![double, leaving(AttackKind::Pgd, 50, 40)] };
        let text = figures(&findings).join("\n");
        for part in [
            "MIM leaves an accuracy of 60.0 %, FGM 20.0 %",
            "MIM images made on another classifier leave an accuracy of 10.0 %",
            "the black-box images were made on naive, which was trained with the same seed, 7",
            "FGM leaves an accuracy of 40.0 % at epsilon 0.5 and of 100.0 % at 1",
            "PGD leaves an accuracy of 80.0 % at epsilon",
            "MIM leaves an accuracy of 60.0 % at epsilon 0.5, but for 0.0 %",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(text.lines().count(), 6, "{text}");
    }
}

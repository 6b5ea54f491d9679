//! Asks every question of `warnings.rs` that the findings about a run can answer. `evaluate` and `attack` ask the same
//! questions; `attack` has fewer findings.

use super::measures::smallest_distance;
use super::record::Record;
use super::suite::Findings;
use super::warnings::{self, Pair, Warning};
use crate::attacks::{AttackKind, Goal, ImageVerdict, Norm};
use crate::threat::Radius;

/// A perturbation is noticeably shorter than another below this share of its length. Rounding is far smaller, and two
/// searches that have both converged differ by less.
const NOTICEABLE: f64 = 0.95;

/// The warnings about a run of so many classes, judged within `radius`.
pub fn doubts(findings: &Findings, radius: Radius, classes: usize) -> Vec<Warning> {
    let mut found = vec![zero_gradients(findings)];
    let (many, one): (Vec<&Record>, Vec<&Record>) = findings
        .white_box
        .iter()
        .filter(|record| record.kind().has_radius())
        .partition(|record| record.kind().iterates_in_ball());
    for (one, many) in one.iter().flat_map(|one| many.iter().map(move |many| (one, many))) {
        let names = [one, many].map(|record| record.kind().title);
        found.push(match one.kind().reads("queries") {
            true => warnings::weaker_than_queries(names, pair(one, many)),
            false => warnings::weaker_than_one_step(names, pair(one, many)),
        });
    }
    found.extend(findings.black_box.iter().map(|black_box| {
        let kind = black_box.record.kind();
        let white_box = findings.of(kind)?;
        warnings::black_box_stronger(kind.title, pair(&black_box.record, white_box))
    }));
    let mut relatives: Vec<_> =
        findings.black_box.iter().filter_map(|b| Some((&b.made_on, b.same_seed?))).collect();
    relatives.dedup();
    found.extend(relatives.into_iter().map(|(made_on, seed)| Some(warnings::same_seed(made_on, seed))));
    found.extend(findings.sweep.iter().map(|record| sweep(findings, record)));
    found.extend(findings.huge.iter().map(|record| {
        let (epsilon, accuracy) = (record.key.options.epsilon, record.accuracy(record.len()));
        warnings::huge_epsilon(record.kind().title, epsilon, accuracy, classes)
    }));
    found.extend(smallest(findings).map(failures));
    found.extend(smallest(findings).map(|record| stronger_than_careful(findings, record)));
    found.push(radius_against_distances(findings, radius));
    found.into_iter().flatten().collect()
}

/// The warnings about attacks on one model over the same images, with one or several radii.
pub fn doubts_about_attacks(records: &[Record], classes: usize) -> Vec<Warning> {
    let mut radii: Vec<Radius> =
        records.iter().filter(|r| r.kind().has_radius()).map(|r| Radius::of(&r.key.options)).collect();
    radii.sort_by(|a, b| a.epsilon.total_cmp(&b.epsilon));
    radii.dedup();
    let mut found: Vec<Warning> = Vec::new();
    if radii.is_empty() {
        radii.push(Radius::l2(Norm::L2.usual_epsilon()));
    }
    for radius in radii {
        let belongs = |r: &&Record| !r.kind().has_radius() || Radius::of(&r.key.options) == radius;
        let white_box = records.iter().filter(belongs).cloned().collect();
        let findings =
            Findings { white_box, black_box: Vec::new(), sweep: Vec::new(), huge: None, few: Vec::new() };
        found.extend(doubts(&findings, radius, classes));
    }
    found.extend(growing_radii(records));
    let mut once: Vec<Warning> = Vec::new();
    for warning in found {
        if !once.contains(&warning) {
            once.push(warning);
        }
    }
    once
}

/// Each attack with a radius against itself at the next smaller one, and at the largest that is at most half as large.
fn growing_radii(records: &[Record]) -> Vec<Warning> {
    let mut found = Vec::new();
    for kind in AttackKind::all().into_iter().filter(|kind| kind.has_radius()) {
        let mut own: Vec<&Record> = records.iter().filter(|record| record.kind() == kind).collect();
        own.sort_by(|a, b| a.key.options.epsilon.total_cmp(&b.key.options.epsilon));
        let epsilon = |record: &Record| record.key.options.epsilon;
        for (place, stronger) in own.iter().enumerate() {
            let smaller = || own[..place].iter().rev();
            let half = smaller().find(|record| 2.0 * epsilon(record) <= epsilon(stronger));
            found.extend(smaller().next().into_iter().chain(half).find_map(|weaker| {
                let epsilons = [epsilon(weaker), epsilon(stronger)];
                warnings::larger_epsilon(kind.title, epsilons, pair(weaker, stronger))
            }));
        }
    }
    found
}

/// Accuracies over the images that both records have, the first ones.
fn pair(weaker: &Record, stronger: &Record) -> Pair {
    let images = weaker.len().min(stronger.len());
    Pair { weaker: weaker.accuracy(images), stronger: stronger.accuracy(images), images }
}

fn zero_gradients(findings: &Findings) -> Option<Warning> {
    let with_radius = findings.white_box.iter().find(|record| record.kind().has_radius());
    let record = with_radius.or(findings.white_box.first())?;
    let attacked: Vec<usize> = (0..record.len()).filter(|&i| record.correct(i)).collect();
    let zero = attacked.iter().filter(|&&i| record.zero_gradient[i]).count();
    warnings::zero_gradients(zero as f64 / attacked.len().max(1) as f64)
}

fn failures(record: &Record) -> Option<Warning> {
    let (failures, fooled) = (record.count(ImageVerdict::Withstood), record.count(ImageVerdict::Fooled));
    let remedy = (record.kind().remedy)(&record.key.options);
    warnings::many_failures(record.kind().title, failures, failures + fooled, &remedy)
}

/// The records of minimum-norm attacks, of whatever norm.
fn smallest(findings: &Findings) -> impl Iterator<Item = &Record> {
    findings.white_box.iter().filter(|record| record.kind().is_smallest())
}

/// The attack of the same norm that beats a careful minimum-norm attack on the most images, if there are many.
fn stronger_than_careful(findings: &Findings, own: &Record) -> Option<Warning> {
    if own.kind().goal != (Goal::Smallest { careful: true }) {
        return None;
    }
    let norm = own.key.options.norm;
    let attacked: Vec<usize> = (0..own.len()).filter(|&i| own.correct(i)).collect();
    let beaten_by = |other: &Record| {
        let beaten = |i: usize| {
            let shorter = other.length(norm, i) < NOTICEABLE * own.length(norm, i);
            other.verdict(i) == ImageVerdict::Fooled && (own.verdict(i) == ImageVerdict::Withstood || shorter)
        };
        attacked.iter().filter(|&&i| beaten(i)).count()
    };
    let others = findings.white_box.iter().filter(|r| r.kind() != own.kind() && r.key.options.norm == norm);
    let (other, beaten) = others.map(|other| (other, beaten_by(other))).max_by_key(|(_, beaten)| *beaten)?;
    let remedy = (own.kind().remedy)(&own.key.options);
    warnings::stronger_beside(own.kind().title, other.kind().title, beaten, attacked.len(), &remedy)
}

/// What one record of the sweep says beside that of the same attack with the usual settings.
fn sweep(findings: &Findings, record: &Record) -> Option<Warning> {
    let (kind, options) = (record.kind(), &record.key.options);
    let usual = &findings.of(kind)?.subset(&findings.few);
    let (name, other) = (kind.title, &usual.key.options);
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

fn radius_against_distances(findings: &Findings, Radius { norm, epsilon }: Radius) -> Option<Warning> {
    // Distances in one norm say nothing of a radius in another.
    let of_norm = |record: &&Record| record.key.options.norm == norm;
    let lengths: Vec<&Record> = smallest(findings).filter(of_norm).collect();
    let within = findings.white_box.iter().filter(|record| record.kind().iterates_in_ball());
    let within = within.filter(of_norm);
    let accuracy = |record: &&Record| record.accuracy(record.len());
    let strongest = within.min_by(|a, b| accuracy(a).total_cmp(&accuracy(b)))?;
    let first = *lengths.first()?;
    let beyond = (0..first.len()).filter(|&i| {
        let distance = smallest_distance(lengths.iter().copied(), norm, i);
        first.correct(i) && distance.is_none_or(|d| d > f64::from(epsilon))
    });
    let beyond = beyond.count() as f64 / first.len().max(1) as f64;
    let (name, accuracy) = (strongest.kind().title, accuracy(&strongest));
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
            linf: vec![0.1; n],
            zero_gradient: vec![false; n],
            ..record(kind)
        }
    }

    fn figures(findings: &Findings) -> Vec<String> {
        doubts(findings, Radius::l2(0.5), 10).into_iter().map(|warning| warning.figure).collect()
    }

    #[test]
    fn findings_that_agree_raise_no_doubt() {
        let white_box = vec![leaving(AttackKind::FGM, 100, 50), leaving(AttackKind::MIM, 100, 30)];
        let mut half = leaving(AttackKind::MIM, 40, 12);
        half.key.options.iterations = 50;
        let mut double = leaving(AttackKind::MIM, 40, 2);
        (double.key.options.iterations, double.key.options.epsilon) = (50, 1.0);
        // Over its 40 images the usual MIM leaves 30.
        half.predictions = vec![0; 40];
        let few = (0..40).collect();
        let findings = Findings { white_box, black_box: vec![], sweep: vec![double, half], huge: None, few };
        assert_eq!(figures(&findings), Vec::<String>::new());
    }

    #[test]
    fn each_finding_is_held_against_its_own_counterpart() {
        let white_box = vec![
            leaving(AttackKind::FGM, 100, 20),
            leaving(AttackKind::MIM, 100, 60),
            Record { l2: vec![0.1; 100], ..leaving(AttackKind::CW, 100, 0) },
        ];
        let black_box = vec![BlackBox {
            flag: "source",
            made_on: "naive".into(),
            same_seed: Some(7),
            record: leaving(AttackKind::MIM, 100, 10),
        }];
        let mut double = leaving(AttackKind::FGM, 50, 50);
        double.key.options.epsilon = 1.0;
        // Not the first: of these, FGM leaves 20.
        let few = (0..20).chain(70..100).collect();
        let findings = Findings {
            white_box,
            black_box,
            sweep: vec![double],
            huge: Some(leaving(AttackKind::PGD, 50, 40)),
            few,
        };
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

    #[test]
    fn square_beside_pgd_is_an_attack_without_gradients_and_no_single_step() {
        let white_box = vec![leaving(AttackKind::SQUARE, 100, 20), leaving(AttackKind::PGD, 100, 60)];
        let findings = Findings { white_box, black_box: vec![], sweep: vec![], huge: None, few: vec![] };
        let found = doubts(&findings, Radius::l2(0.5), 10);
        let about = found.iter().find(|warning| warning.figure.contains("Square 20.0 %")).unwrap();
        assert!(about.figure.starts_with("PGD leaves an accuracy of 60.0 %"), "{}", about.figure);
        assert!(about.explanation.contains("without gradients") && !about.explanation.contains("one step"));
    }

    fn about(records: &[Record]) -> String {
        let warnings = doubts_about_attacks(records, 10).into_iter();
        warnings.map(|w| format!("{}; {}\n", w.figure, w.explanation)).collect()
    }

    #[test]
    fn carlini_wagner_beside_a_stronger_attack_is_doubted_with_its_flags() {
        let deepfool = leaving(AttackKind::DEEPFOOL, 100, 0);
        let failing = leaving(AttackKind::CW, 100, 6);
        let text = about(&[deepfool.clone(), failing]);
        let flags =
            ["`initial-c`", "`search-steps`", "`learning-rate`", "starts at 0.01 and reaches 100", "now 5"];
        for part in
            ["DeepFool does better than C&W on 6 of 100", "C&W fails on 6 of 100"].iter().chain(&flags)
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let longer = Record { l2: vec![0.53; 100], ..leaving(AttackKind::CW, 100, 0) };
        assert!(about(&[deepfool.clone(), longer]).contains("better than C&W on 100 of 100"));
        let rounding = Record { l2: vec![0.502; 100], ..leaving(AttackKind::CW, 100, 0) };
        assert_eq!(about(&[deepfool.clone(), rounding]), "");
        let shorter = Record { l2: vec![0.4; 100], ..leaving(AttackKind::CW, 100, 0) };
        assert_eq!(about(&[deepfool, shorter]), "");
    }

    #[test]
    fn minimum_norm_attacks_in_linf_are_doubted_as_those_in_l2() {
        let in_linf = |record: Record| {
            let mut record = record;
            record.key.options.norm = Norm::Linf;
            record
        };
        let text = about(&[in_linf(leaving(AttackKind::FMN, 100, 40))]);
        assert!(text.contains("FMN fails on 40 of 100"), "{text}");
        // At 0.05 PGD leaves 60, but FMN's perturbations of 0.1 are all longer.
        let mut pgd = in_linf(leaving(AttackKind::PGD, 100, 60));
        pgd.key.options.epsilon = 0.05;
        pgd.linf = vec![0.05; 100];
        let text = about(&[pgd.clone(), in_linf(leaving(AttackKind::FMN, 100, 0))]);
        for part in [
            "PGD does better than FMN on 40 of 100",
            "PGD leaves an accuracy of 60.0 % at epsilon 0.05, but for 100.0 %",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        // Distances in the other norm are not compared with it.
        let text = about(&[pgd, leaving(AttackKind::FMN, 100, 0)]);
        assert!(!text.contains("FMN"), "{text}");
    }

    #[test]
    fn an_attack_alone_is_doubted_for_zero_gradients_of_images_that_it_attacks() {
        for kind in [AttackKind::FGM, AttackKind::CW] {
            let flat = Record { zero_gradient: vec![true; 100], ..leaving(kind, 100, 2) };
            assert!(
                about(&[flat]).contains("100.0 % of the attacked images have a gradient of exactly zero")
            );
        }
        let mut wrong = leaving(AttackKind::FGM, 100, 2);
        for i in 0..50 {
            (wrong.clean_predictions[i], wrong.zero_gradient[i]) = (1, true);
        }
        assert_eq!(about(&[wrong]), "");
    }

    #[test]
    fn attacks_at_several_radii_are_held_against_each_other_and_doubted_once() {
        let mut far = leaving(AttackKind::PGD, 100, 50);
        far.key.options.epsilon = 1.0;
        let near = leaving(AttackKind::PGD, 100, 40);
        let text = about(&[far.clone(), near.clone(), leaving(AttackKind::CW, 100, 10)]);
        assert!(
            text.contains("PGD leaves an accuracy of 40.0 % at epsilon 0.5 and of 50.0 % at 1"),
            "{text}"
        );
        assert_eq!(text.matches("C&W fails on 10 of 100").count(), 1, "{text}");
        far.predictions = vec![1; 100];
        assert_eq!(about(&[near, far]), "");
    }

    #[test]
    fn close_radii_may_leave_almost_the_same() {
        // One of 400 images more at every step.
        let at = |(epsilon, robust)| {
            let mut record = leaving(AttackKind::PGD, 400, robust);
            record.key.options.epsilon = epsilon;
            record
        };
        assert_eq!(about(&[(0.5, 200), (0.51, 199), (0.52, 198)].map(at)), "");
        assert!(about(&[(0.5, 200), (1.0, 199)].map(at)).contains("50.0 % at epsilon 0.5"));
        let flat = about(&[(0.5, 200), (0.75, 200), (1.0, 200)].map(at));
        assert!(flat.contains("50.0 % at epsilon 0.5 and of 50.0 % at 1"), "{flat}");
    }
}

//! Settings that are matched by their validation accuracy, and accuracy against norm for them (figure 4).

use super::curves::strength_name;
use super::{notes, present};
use crate::attacks::AttackKind;
use crate::evaluation::record::Record;
use crate::evaluation::report::paper_name;
use crate::evaluation::statistics::Reading;
use crate::report::{Axis, Block, Figure, Mark, Point, Section, Series, budget};
use crate::reproduce::curve::{MATCHED, Spread, Standing, nearest, shared_accuracies};
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan::{self, Run};
use crate::reproduce::settings::DEFENSES;
use crate::training::Method;

/// Norms at which an accuracy curve has points.
const NORMS: usize = 41;

/// Figure 4: accuracy under perturbations of growing norm, for settings of matched validation accuracy.
pub fn figure4(lab: &Lab) -> Section {
    let mut section = Section {
        id: "figure4".into(),
        title: "Accuracy against C&W norm at matched accuracy".into(),
        text: vec![
            "For each of three benign accuracies, every method's setting whose validation accuracy is nearest to it. A \
             curve says which share of the test images is still classified correctly when each may be moved by its own \
             C&W perturbation if that is no longer than the norm."
                .into(),
        ],
        blocks: Vec::new(),
    };
    let mut missing = Vec::new();
    let accuracies: Vec<(Method, Accuracies)> =
        DEFENSES.map(|method| (method, validation_accuracies(lab, method, &mut missing))).into();
    let as_curve = |settings: &Accuracies| -> Vec<Standing> {
        settings.iter().map(|&(_, accuracy)| Standing { accuracy, robustness: 0.0 }).collect()
    };
    let curves: Vec<Vec<Standing>> = accuracies.iter().map(|(_, settings)| as_curve(settings)).collect();
    let targets = shared_accuracies(&curves, MATCHED);
    if targets.is_empty() {
        missing
            .push(Missing("the methods share no validation accuracy at which they could be matched".into()));
    }
    let mut shown: Vec<Vec<usize>> = Vec::new();
    for (index, &target) in targets.iter().enumerate() {
        let chosen = nearest_settings(&accuracies, target);
        if shown.contains(&chosen) {
            let reason = "is matched by the same settings as another of the three accuracies";
            missing.push(Missing(format!("a validation accuracy of {:.1} % {reason}", 100.0 * target)));
            continue;
        }
        let series = accuracies.iter().zip(&chosen).filter_map(|((method, settings), &setting)| {
            survival_series(lab, *method, settings[setting]).map_err(|reason| missing.push(reason)).ok()
        });
        let id = format!("figure4-{}", index + 1);
        section.blocks.push(Block::Figure(matched_figure(lab, id, target, series.collect())));
        shown.push(chosen);
    }
    notes(&mut section, &missing);
    section
}

/// The figure of settings that are matched at a validation accuracy.
fn matched_figure(lab: &Lab, id: String, accuracy: f64, series: Vec<Series>) -> Figure {
    Figure {
        id,
        title: format!("Matched at a validation accuracy of {:.1} %", 100.0 * accuracy),
        caption: format!(
            "All seeds together; the points' labels say which setting was taken and the accuracy it has. C&W's budget: {}.",
            budget::text(&lab.settings.attack(AttackKind::CW))
        ),
        x: Axis::new("C&W L2"),
        y: Axis { range: Some([0.0, 1.0]), ..Axis::percent("accuracy") },
        series,
    }
}

/// Per method the index of the setting whose accuracy is nearest to `target`.
fn nearest_settings(accuracies: &[(Method, Accuracies)], target: f64) -> Vec<usize> {
    let of = |settings: &Accuracies| {
        let values: Vec<f64> = settings.iter().map(|(_, accuracy)| *accuracy).collect();
        nearest(&values, target).expect("an accuracy that all methods share needs settings of all")
    };
    accuracies.iter().map(|(_, settings)| of(settings)).collect()
}

/// The curve of one setting, with its accuracy in the points' labels.
fn survival_series(lab: &Lab, method: Method, (strength, accuracy): (Option<f32>, f64)) -> Found<Series> {
    let strength_text = strength.map_or(String::new(), |s| format!(", {} {s}", strength_name(method)));
    let label = format!("{}{strength_text}, validation accuracy {accuracy:.3}", paper_name(method.name()));
    let points = survival(lab, method, strength)?.into_iter();
    let points = points.map(|(x, y)| Point { label: label.clone(), ..Point::new(x, y) }).collect();
    Ok(Series { name: paper_name(method.name()), mark: Mark::Line, points })
}

/// Strengths of a method with their accuracy.
pub type Accuracies = Vec<(Option<f32>, f64)>;

/// Mean validation accuracy over the seeds for every setting of a method.
pub fn validation_accuracies(lab: &Lab, method: Method, missing: &mut Vec<Missing>) -> Accuracies {
    let mut found = Vec::new();
    for (strength, runs) in plan::curve(lab.settings, method) {
        let accuracies =
            present(runs.iter().map(|run| lab.validation_accuracy(&run.name(lab.settings))), missing);
        found.extend(Spread::of(&accuracies).map(|spread| (strength, spread.mean)));
    }
    found
}

/// Norm and share of images that withstand it, over the seeds of one setting.
fn survival(lab: &Lab, method: Method, strength: Option<f32>) -> Found<Vec<(f64, f64)>> {
    let runs = lab.settings.seeds.iter().map(|&seed| Run::new(lab.settings, method, strength, seed));
    let records: Vec<Record> =
        runs.map(|run| lab.attacked(&run.name(lab.settings), AttackKind::CW)).collect::<Result<_, _>>()?;
    Ok(accuracy_against_norm(&records))
}

/// Accuracy over the images of `records` at norms from 0 to the largest that an attack needed.
pub fn accuracy_against_norm(records: &[Record]) -> Vec<(f64, f64)> {
    let needed = |record: &Record, i: usize| Reading::R3.distance(record.attacked(i));
    let all: Vec<Option<f64>> =
        records.iter().flat_map(|r| (0..r.len()).map(move |i| needed(r, i))).collect();
    let longest = all.iter().flatten().copied().fold(0.0, f64::max);
    let norm = |i: usize| longest * i as f64 / (NORMS - 1) as f64;
    let withstands = |r: f64| all.iter().filter(|d| d.is_none_or(|d| d > r)).count() as f64;
    (0..NORMS).map(|i| (norm(i), withstands(norm(i)) / all.len().max(1) as f64)).collect()
}

//! Robustness curves: benign accuracy against mean Carlini-Wagner distance, by method (figure 5), by width (figure
//! 7), and accuracy against norm at matched accuracies (figure 4).

use super::{colour_name, notes};
use crate::attacks::AttackKind;
use crate::evaluation::record::Record;
use crate::evaluation::statistics::Reading;
use crate::report::{Axis, Block, Cell, Figure, Mark, Point, Section, Series, Table};
use crate::reproduce::curve::{Spread, Standing, at_accuracy, nearest, shared_accuracies};
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan::{self, Run};
use crate::reproduce::settings::{DEFENSES, METHODS, method_title};
use crate::training::Method;

/// Accuracies at which methods are compared.
const MATCHED: usize = 3;
/// Norms at which an accuracy curve has points.
const NORMS: usize = 41;

/// One setting of a method: its runs over the seeds, those that are there.
struct Setting {
    strength: Option<f32>,
    standings: Vec<(u64, Standing)>,
}

/// The curve of a method in one reading; what is missing goes to `missing`.
fn settings_of(
    lab: &Lab,
    curve: Vec<(Option<f32>, Vec<Run>)>,
    reading: Reading,
    missing: &mut Vec<Missing>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (strength, runs) in curve {
        let mut standings = Vec::new();
        for run in runs {
            match standing(lab, &run.name(lab.settings), reading) {
                Ok(standing) => standings.push((run.seed, standing)),
                Err(reason) => missing.push(reason),
            }
        }
        settings.push(Setting { strength, standings });
    }
    settings
}

/// Where a run stands.
pub fn standing(lab: &Lab, name: &str, reading: Reading) -> Found<Standing> {
    Ok(Standing { accuracy: lab.benign_accuracy(name)?, distance: lab.distance(name, reading)? })
}

impl Setting {
    fn spread(&self, of: impl Fn(&Standing) -> f64) -> Option<Spread> {
        Spread::of(&self.standings.iter().map(|(_, s)| of(s)).collect::<Vec<_>>())
    }

    fn point(&self, method: Method) -> Option<Point> {
        let (x, y) = (self.spread(|s| s.accuracy)?, self.spread(|s| s.distance)?);
        let count = x.count;
        let seeds = if count == 1 { "1 seed".to_string() } else { format!("mean of {count} seeds") };
        let label = match self.strength {
            Some(strength) => format!("{} {strength}, {seeds}", strength_name(method)),
            None => seeds,
        };
        Some(Point { x: x.mean, y: y.mean, x_spread: x.range(), y_spread: y.range(), label })
    }
}

/// What a method's strength is called.
pub fn strength_name(method: Method) -> &'static str {
    if method == Method::Pgn { "c_L" } else { "epsilon" }
}

fn distance_axis(reading: Reading) -> Axis {
    Axis::new(&format!("C&W mean L2, {}", reading.name()))
}

/// Figure 5: one curve per method, and the distances at equal benign accuracy.
pub fn figure5(lab: &Lab) -> Section {
    let mut section = Section {
        id: "figure5".into(),
        title: "Robustness curves by method".into(),
        text: vec![
            "Each point is one setting of a method's strength (epsilon for FGM and PGD, c_L for PGN), the mean over its \
             seeds; bars reach from the lowest seed to the highest. Further right is better on clean images, further up \
             is harder to fool. A method is ahead where its curve lies outside another's."
                .into(),
        ],
        blocks: Vec::new(),
    };
    let mut missing = Vec::new();
    for reading in [Reading::R2, Reading::R3] {
        let curves: Vec<(Method, Vec<Setting>)> = METHODS
            .map(|m| (m, settings_of(lab, plan::curve(lab.settings, m), reading, &mut missing)))
            .into();
        let series = curves.iter().map(|(method, settings)| Series {
            name: method_title(*method).into(),
            mark: if *method == Method::Natural { Mark::Points } else { Mark::LineAndPoints },
            points: settings.iter().filter_map(|s| s.point(*method)).collect(),
        });
        section.blocks.push(Block::Figure(Figure {
            id: format!("figure5-{}", reading.name().to_lowercase()),
            title: format!("Benign accuracy and C&W distance, {}", reading.name()),
            caption: format!(
                "{}: {}. Benign accuracy over all test images, C&W over the first {}.",
                reading.name(),
                reading.explanation(),
                lab.settings.attack_images
            ),
            x: Axis::percent("benign accuracy"),
            y: distance_axis(reading),
            series: series.collect(),
        }));
        let table = at_equal_accuracy(&curves[1..], reading);
        section.text.extend(verdict(&table, reading));
        section.blocks.push(Block::Table(table));
    }
    notes(&mut section, &missing);
    section
}

/// Per method and seed, the distance at accuracies that all methods reach.
fn at_equal_accuracy(curves: &[(Method, Vec<Setting>)], reading: Reading) -> Table {
    let means: Vec<Vec<Standing>> = curves.iter().map(|(_, settings)| mean_curve(settings)).collect();
    let accuracies = shared_accuracies(&means, MATCHED);
    let mut head = vec!["benign accuracy".to_string()];
    head.extend(curves.iter().map(|(method, _)| method_title(*method).to_string()));
    let row = |&accuracy: &f64| {
        let mut row = vec![Cell::number(accuracy, 4)];
        row.extend(curves.iter().map(|(_, settings)| interpolated(settings, accuracy)));
        row
    };
    let mut rows: Vec<Vec<Cell>> = accuracies.iter().map(row).collect();
    if rows.is_empty() {
        let reason = "the methods' curves share no benign accuracy";
        rows.push((0..head.len()).map(|_| Cell::missing(reason)).collect());
    }
    Table {
        id: format!("figure5-{}-at-equal-accuracy", reading.name().to_lowercase()),
        title: format!("C&W mean L2, {}, at equal benign accuracy", reading.name()),
        caption: "On the straight lines between a curve's points; in brackets the lowest and highest seed, of the seeds \
                  whose own curve reaches that accuracy."
            .into(),
        head,
        rows,
    }
}

fn mean_curve(settings: &[Setting]) -> Vec<Standing> {
    let mean = |s: &Setting| {
        Some(Standing { accuracy: s.spread(|s| s.accuracy)?.mean, distance: s.spread(|s| s.distance)?.mean })
    };
    settings.iter().filter_map(mean).collect()
}

/// The distance of the mean curve, with the spread of the seeds' own curves.
fn interpolated(settings: &[Setting], accuracy: f64) -> Cell {
    let Some(mean) = at_accuracy(&mean_curve(settings), accuracy) else {
        return Cell::missing("the curve does not reach this accuracy");
    };
    let mut seeds: Vec<u64> =
        settings.iter().flat_map(|s| s.standings.iter().map(|(seed, _)| *seed)).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let own = |seed: u64| {
        let points = settings.iter().flat_map(|s| &s.standings).filter(|(s, _)| *s == seed);
        at_accuracy(&points.map(|(_, standing)| *standing).collect::<Vec<_>>(), accuracy)
    };
    let reached: Vec<f64> = seeds.iter().filter_map(|&seed| own(seed)).collect();
    let spread =
        Spread { mean, ..Spread::of(&reached).unwrap_or(Spread { mean, low: mean, high: mean, count: 0 }) };
    let note = (reached.len() < seeds.len())
        .then(|| format!("{} of {} seeds reach this accuracy", reached.len(), seeds.len()));
    Cell { text: spread.text(4), value: Some(mean), note }
}

/// What the table says about the last method, PGN, in one sentence.
fn verdict(table: &Table, reading: Reading) -> Option<String> {
    let rows: Vec<(f64, f64)> = table
        .rows
        .iter()
        .filter_map(|row| {
            let own = row.last()?.value?;
            let others = row[1..row.len() - 1].iter().map(|cell| cell.value).collect::<Option<Vec<_>>>()?;
            Some((own, others.into_iter().fold(f64::NEG_INFINITY, f64::max)))
        })
        .collect();
    let ahead = rows.iter().filter(|(own, others)| own > others).count();
    (!rows.is_empty()).then(|| {
        format!(
            "In {}, PGN's curve lies outside those of FGM and PGD at {ahead} of {} matched benign accuracies.",
            reading.name(),
            rows.len()
        )
    })
}

/// Figure 7: curves of FGM and PGN at several widths.
pub fn figure7(lab: &Lab) -> Section {
    let mut missing = Vec::new();
    let mut series = Vec::new();
    for &width in &lab.settings.widths {
        for method in [Method::Fgm, Method::Pgn] {
            let runs = plan::at_width(lab.settings, method, width);
            let curve = runs.into_iter().map(|run| (run.strength, vec![run])).collect();
            let settings = settings_of(lab, curve, Reading::R2, &mut missing);
            let points = settings.iter().filter_map(|s| s.point(method)).collect();
            series.push(Series { name: colour_name(method, width), mark: Mark::LineAndPoints, points });
        }
    }
    let figure = Figure {
        id: "figure7".into(),
        title: "Robustness curves by width".into(),
        caption: format!(
            "Width multiplies the filters of every convolution but the last. One seed ({}), so there is no spread.",
            lab.settings.seeds[0]
        ),
        x: Axis::percent("benign accuracy"),
        y: distance_axis(Reading::R2),
        series,
    };
    let mut section = Section {
        id: "figure7".into(),
        title: "Robustness curves by width".into(),
        text: vec![
            "The curves of figure 5 for narrower and wider nets: a wider net can afford more robustness at the same \
             accuracy if its curve lies further out."
                .into(),
        ],
        blocks: vec![Block::Figure(figure)],
    };
    notes(&mut section, &missing);
    section
}

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
        settings.iter().map(|&(_, accuracy)| Standing { accuracy, distance: 0.0 }).collect()
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
        let series = series.collect();
        shown.push(chosen);
        section.blocks.push(Block::Figure(Figure {
            id: format!("figure4-{}", index + 1),
            title: format!("Matched at a validation accuracy of {:.1} %", 100.0 * target),
            caption:
                "All seeds together; the points' labels say which setting was taken and the accuracy it has."
                    .into(),
            x: Axis::new("C&W L2"),
            y: Axis { range: Some([0.0, 1.0]), ..Axis::percent("accuracy") },
            series,
        }));
    }
    notes(&mut section, &missing);
    section
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
    let label = format!("{}{strength_text}, validation accuracy {accuracy:.3}", method_title(method));
    let points = survival(lab, method, strength)?.into_iter();
    let points = points.map(|(x, y)| Point { label: label.clone(), ..Point::new(x, y) }).collect();
    Ok(Series { name: method_title(method).into(), mark: Mark::Line, points })
}

/// Strengths of a method with their accuracy.
pub type Accuracies = Vec<(Option<f32>, f64)>;

/// Mean validation accuracy over the seeds for every setting of a method.
pub fn validation_accuracies(lab: &Lab, method: Method, missing: &mut Vec<Missing>) -> Accuracies {
    let mut found = Vec::new();
    for (strength, runs) in plan::curve(lab.settings, method) {
        let mut accuracies = Vec::new();
        for run in runs {
            match lab.validation_accuracy(&run.name(lab.settings)) {
                Ok(accuracy) => accuracies.push(accuracy),
                Err(reason) => missing.push(reason),
            }
        }
        found.extend(Spread::of(&accuracies).map(|spread| (strength, spread.mean)));
    }
    found
}

/// Norm and share of images that withstand it, over the seeds of one setting.
fn survival(lab: &Lab, method: Method, strength: Option<f32>) -> Found<Vec<(f64, f64)>> {
    let runs = lab.settings.seeds.iter().map(|&seed| Run::new(lab.settings, method, strength, seed));
    let records: Vec<Record> =
        runs.map(|run| lab.attacked(&run.name(lab.settings), AttackKind::Cw)).collect::<Result<_, _>>()?;
    Ok(accuracy_against_norm(&records))
}

/// Accuracy over the images of `records` at norms from 0 to the largest that an attack needed.
pub fn accuracy_against_norm(records: &[Record]) -> Vec<(f64, f64)> {
    let needed = |record: &Record, i: usize| match (record.correct(i), record.success[i]) {
        (false, _) => Some(0.0),
        (true, true) => Some(f64::from(record.l2[i])),
        (true, false) => None,
    };
    let all: Vec<Option<f64>> =
        records.iter().flat_map(|r| (0..r.len()).map(move |i| needed(r, i))).collect();
    let longest = all.iter().flatten().copied().fold(0.0, f64::max);
    let norm = |i: usize| longest * i as f64 / (NORMS - 1) as f64;
    let withstands = |r: f64| all.iter().filter(|d| d.is_none_or(|d| d > r)).count() as f64;
    (0..NORMS).map(|i| (norm(i), withstands(norm(i)) / all.len().max(1) as f64)).collect()
}

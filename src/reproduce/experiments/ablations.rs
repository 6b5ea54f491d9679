//! What the generator needs to see: all its inputs, then all but one (figure 8).

use super::curves::standing;
use super::{cell, notes, present};
use crate::evaluation::statistics::Reading;
use crate::report::{Axis, Block, Cell, Figure, Mark, Point, Section, Series, Table};
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan::{self, Run};
use crate::training::EpochRecord;

/// The table's columns.
const HEAD: [&str; 6] =
    ["generator sees", "benign accuracy", "C&W mean L2, R2", "its loss", "FGM's loss at its norm", "‖δ‖"];

/// Figure 8.
pub fn figure8(lab: &Lab) -> Section {
    let mut missing = Vec::new();
    let (mut rows, mut series) = (Vec::new(), Vec::new());
    for (without, runs) in plan::ablations(lab.settings) {
        let seen = without.map_or("everything".to_string(), |input| format!("no {}", input.name()));
        rows.push(row(lab, &seen, &runs));
        series.push(Series { name: seen, mark: Mark::Points, points: points(lab, &runs, &mut missing) });
    }
    let table = Table {
        id: "figure8-table".into(),
        title: "The generator without one of its inputs".into(),
        caption: "Mean over seeds, in brackets the lowest and the highest. Losses and ‖δ‖ are of the last epoch on the \
                  validation images: a generator that does no more than FGM has learned no more than to follow the gradient."
            .into(),
        head: HEAD.map(str::to_string).into(),
        rows,
    };
    let figure = Figure {
        id: "figure8".into(),
        title: "Robustness without one of the generator's inputs".into(),
        caption: "One point per seed.".into(),
        x: Axis::percent("benign accuracy"),
        y: Axis::new("C&W mean L2, R2"),
        series,
    };
    let mut section = Section {
        id: "figure8".into(),
        title: "What the generator needs to see".into(),
        text: vec!["Label, image and gradient image are taken from the generator one at a time; the rest is the same.".into()],
        blocks: vec![Block::Figure(figure), Block::Table(table)],
    };
    notes(&mut section, &missing);
    section
}

/// What came out of the runs whose generator sees the same.
fn row(lab: &Lab, seen: &str, runs: &[Run]) -> Vec<Cell> {
    let names: Vec<String> = runs.iter().map(|run| run.name(lab.settings)).collect();
    let last = |of: fn(EpochRecord) -> Option<f64>| {
        names.iter().map(move |n| {
            of(lab.last_epoch(n)?)
                .ok_or_else(|| Missing(format!("{n} was trained without validation images")))
        })
    };
    vec![
        Cell::text(seen),
        cell(names.iter().map(|n| lab.benign_accuracy(n)), 4),
        cell(names.iter().map(|n| lab.distance(n, Reading::R2)), 4),
        cell(last(|epoch| epoch.generator_loss), 3),
        cell(last(|epoch| epoch.fgm_loss), 3),
        cell(last(|epoch| epoch.delta), 3),
    ]
}

/// A point for each of these runs.
fn points(lab: &Lab, runs: &[Run], missing: &mut Vec<Missing>) -> Vec<Point> {
    let point = |run: &Run| -> Found<Point> {
        let s = standing(lab, &run.name(lab.settings), Reading::R2)?;
        Ok(Point { label: format!("seed {}", run.seed), ..Point::new(s.accuracy, s.robustness) })
    };
    present(runs.iter().map(point), missing)
}

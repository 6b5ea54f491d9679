//! What FGM training does as epsilon grows and as epochs pass (figure 2).

use super::curves::standing;
use super::setting::over_seeds;
use super::{notes, present};
use crate::attacks::AttackKind;
use crate::evaluation::statistics::Reading;
use crate::report::{Axis, Block, Figure, Mark, Point, Section, Series, budget};
use crate::reproduce::curve::Spread;
use crate::reproduce::lab::{Lab, Missing};
use crate::reproduce::plan;
use crate::training::Method;

/// Figure 2.
pub fn figure2(lab: &Lab) -> Section {
    let mut missing = Vec::new();
    let over_epsilon = over_epsilon(lab, &mut missing);
    let over_epochs = over_epochs(lab, &mut missing);
    let mut blocks = Vec::new();
    let what = [
        ("epsilon", Axis::new("epsilon in training"), over_epsilon),
        ("epochs", Axis::new("epoch"), over_epochs),
    ];
    for (id, x, points) in what {
        for (quantity, y, series) in [
            ("benign accuracy", Axis::percent("benign accuracy"), points.0),
            ("C&W distance", Axis::new("C&W mean L2, R2"), points.1),
        ] {
            let budget = match quantity {
                "C&W distance" => {
                    format!(" C&W's budget: {}.", budget::text(&lab.settings.attack(AttackKind::CW)))
                }
                _ => String::new(),
            };
            let short = if quantity.starts_with('b') { "accuracy" } else { "distance" };
            blocks.push(Block::Figure(Figure {
                id: format!("figure2-{id}-{short}"),
                title: format!("FGM training: {quantity} over {id}"),
                caption: match id {
                    "epsilon" => format!("Mean and range over seeds; epsilon 0 is naive training.{budget}"),
                    _ => format!(
                        "One run at epsilon {}, seed {}, looked at on the way.{budget}",
                        lab.settings.middle(Method::FGM),
                        lab.settings.seeds[0]
                    ),
                },
                x: x.clone(),
                y,
                series: vec![Series { name: "FGM".into(), mark: Mark::LineAndPoints, points: series }],
            }));
        }
    }
    let mut section = Section {
        id: "figure2".into(),
        title: "FGM training over epsilon and over epochs".into(),
        text: vec![
            "Adversarial training against FGM buys distance from the decision boundary with benign accuracy; how much, \
             depends on epsilon and on how long it trains."
                .into(),
        ],
        blocks,
    };
    notes(&mut section, &missing);
    section
}

/// Points for accuracy and for distance.
type Pair = (Vec<Point>, Vec<Point>);

fn over_epsilon(lab: &Lab, missing: &mut Vec<Missing>) -> Pair {
    let curves = [Method::NATURAL, Method::FGM].map(|method| plan::curve(lab.settings, method));
    let mut points = (Vec::new(), Vec::new());
    for (strength, runs) in curves.into_iter().flatten() {
        let standings = runs.iter().map(|run| standing(lab, &run.name(lab.settings), Reading::R2));
        let standings = present(standings, missing);
        let x = f64::from(strength.unwrap_or(0.0));
        points.0.extend(point(x, standings.iter().map(|s| s.accuracy)));
        points.1.extend(point(x, standings.iter().map(|s| s.robustness)));
    }
    points
}

fn over_epochs(lab: &Lab, missing: &mut Vec<Missing>) -> Pair {
    let run = plan::over_epochs(lab.settings).name(lab.settings);
    let (every, epochs) = (lab.settings.epochs_between_looks(), lab.settings.base.epochs);
    let mut points = (Vec::new(), Vec::new());
    for epoch in (every..=epochs).step_by(every as usize) {
        let name = format!("{run}/checkpoints/{}", crate::training::run::kept_name(epoch));
        let found = present([standing(lab, &name, Reading::R2)].into_iter(), missing);
        for standing in found {
            points.0.push(Point::new(f64::from(epoch), standing.accuracy));
            points.1.push(Point::new(f64::from(epoch), standing.robustness));
        }
    }
    points
}

fn point(x: f64, values: impl Iterator<Item = f64>) -> Option<Point> {
    let spread = Spread::of(&values.collect::<Vec<_>>())?;
    let label = over_seeds(spread.count);
    Some(Point { x, y: spread.mean, x_spread: None, y_spread: spread.range(), label })
}

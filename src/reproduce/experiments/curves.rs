//! Robustness curves: benign accuracy against mean Carlini-Wagner distance, by method (figure 5) and by width (figure
//! 7).

use super::equal_accuracy::{self, Contender};
use super::{colour_name, notes};
use crate::attacks::AttackKind;
use crate::evaluation::report::paper_name;
use crate::evaluation::statistics::Reading;
use crate::report::{Axis, Block, Figure, Mark, Point, Section, Series, Table, budget};
use crate::reproduce::curve::{SeedCurve, Spread, Standing};
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan::{self, Run};
use crate::reproduce::settings::METHODS;
use crate::training::Method;

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

/// The settings' runs seed by seed, each seed's with a curve of their own.
fn seed_curves(settings: &[Setting]) -> Vec<SeedCurve> {
    let mut curves: Vec<SeedCurve> = Vec::new();
    for &(seed, standing) in settings.iter().flat_map(|setting| &setting.standings) {
        match curves.iter_mut().find(|curve| curve.seed == seed) {
            Some(curve) => curve.points.push(standing),
            None => curves.push(SeedCurve { seed, points: vec![standing] }),
        }
    }
    curves.sort_by_key(|curve| curve.seed);
    curves
}

/// What a method's strength is called.
pub fn strength_name(method: Method) -> &'static str {
    method.strength.map_or("", |strength| strength.symbol)
}

fn distance_axis(reading: Reading) -> Axis {
    Axis::new(&format!("C&W mean L2, {}", reading.name()))
}

/// The distances at equal benign accuracy.
fn at_equal_accuracy(figure: &str, contenders: &[Contender], reading: Reading) -> Table {
    let id = format!("{figure}-{}-at-equal-accuracy", reading.name().to_lowercase());
    equal_accuracy::table(id, &format!("C&W mean L2, {}", reading.name()), contenders)
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
            name: paper_name(method.name()),
            mark: if method.strength.is_none() { Mark::Points } else { Mark::LineAndPoints },
            points: settings.iter().filter_map(|s| s.point(*method)).collect(),
        });
        section.blocks.push(Block::Figure(Figure {
            id: format!("figure5-{}", reading.name().to_lowercase()),
            title: format!("Benign accuracy and C&W distance, {}", reading.name()),
            caption: format!(
                "{}: {}. Benign accuracy over all test images, C&W over {} of them; its budget: {}.",
                reading.name(),
                reading.explanation(),
                lab.settings.attack_images,
                budget::text(&lab.settings.attack(AttackKind::CW))
            ),
            x: Axis::percent("benign accuracy"),
            y: distance_axis(reading),
            series: series.collect(),
        }));
        let own = |(method, settings): &(Method, Vec<Setting>)| Contender {
            name: paper_name(method.name()),
            seeds: seed_curves(settings),
        };
        let contenders: Vec<Contender> = curves[1..].iter().map(own).collect();
        let table = at_equal_accuracy("figure5", &contenders, reading);
        section.text.push(equal_accuracy::verdict(&contenders, reading));
        section.blocks.push(Block::Table(table));
    }
    notes(&mut section, &missing);
    section
}

/// Figure 7: curves of FGM and PGN at several widths.
pub fn figure7(lab: &Lab) -> Section {
    let mut missing = Vec::new();
    let (mut series, mut contenders) = (Vec::new(), Vec::new());
    for &width in &lab.settings.widths {
        for method in [Method::FGM, Method::PGN] {
            let runs = plan::at_width(lab.settings, method, width);
            let curve = runs.into_iter().map(|run| (run.strength, vec![run])).collect();
            let settings = settings_of(lab, curve, Reading::R2, &mut missing);
            let points = settings.iter().filter_map(|s| s.point(method)).collect();
            contenders.push(Contender { name: colour_name(method, width), seeds: seed_curves(&settings) });
            series.push(Series { name: colour_name(method, width), mark: Mark::LineAndPoints, points });
        }
    }
    let figure = Figure {
        id: "figure7".into(),
        title: "Robustness curves by width".into(),
        caption: format!(
            "Width multiplies the filters of every convolution but the last. One seed ({}), so there is no spread. C&W's \
             budget: {}.",
            lab.settings.seeds[0],
            budget::text(&lab.settings.attack(AttackKind::CW))
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
        blocks: vec![
            Block::Figure(figure),
            Block::Table(at_equal_accuracy("figure7", &contenders, Reading::R2)),
        ],
    };
    notes(&mut section, &missing);
    section
}

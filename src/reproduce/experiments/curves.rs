//! Robustness curves: benign accuracy against mean Carlini-Wagner distance, by method (figure 5) and by width (figure
//! 7).

use super::equal_accuracy::{self, NamedCurves};
use super::setting::{Setting, seed_curves, series, settings_of};
use super::{name_at_width, notes};
use crate::attacks::AttackKind;
use crate::evaluation::report::paper_name;
use crate::evaluation::statistics::Reading;
use crate::report::{Axis, Block, Figure, Section, Table, budget};
use crate::reproduce::curve::Standing;
use crate::reproduce::lab::{Found, Lab};
use crate::reproduce::plan;
use crate::reproduce::settings::METHODS;
use crate::training::Method;

/// Where a run stands.
pub fn standing(lab: &Lab, name: &str, reading: Reading) -> Found<Standing> {
    Ok(Standing { accuracy: lab.benign_accuracy(name)?, robustness: lab.distance(name, reading)? })
}

/// What a method's strength is called.
pub fn strength_name(method: Method) -> &'static str {
    method.strength.map_or("", |strength| strength.symbol)
}

fn distance_axis(reading: Reading) -> Axis {
    Axis::new(&format!("C&W mean L2, {}", reading.name()))
}

/// The distances at equal benign accuracy.
fn at_equal_accuracy(figure: &str, contenders: &[NamedCurves], reading: Reading) -> Table {
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
        let at = |run: &str| standing(lab, run, reading);
        let curves: Vec<(Method, Vec<Setting>)> =
            METHODS.map(|m| (m, settings_of(lab, plan::curve(lab.settings, m), at, &mut missing))).into();
        let all = curves
            .iter()
            .map(|(method, settings)| series(paper_name(method.name()), method.strength, settings));
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
            series: all.collect(),
        }));
        let own = |(method, settings): &(Method, Vec<Setting>)| NamedCurves {
            name: paper_name(method.name()),
            seeds: seed_curves(settings),
        };
        let contenders: Vec<NamedCurves> = curves[1..].iter().map(own).collect();
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
    let (mut all, mut contenders) = (Vec::new(), Vec::new());
    let at = |run: &str| standing(lab, run, Reading::R2);
    for &width in &lab.settings.widths {
        for method in [Method::FGM, Method::PGN] {
            let runs = plan::at_width(lab.settings, method, width);
            let curve = runs.into_iter().map(|run| (run.strength, vec![run])).collect();
            let settings = settings_of(lab, curve, at, &mut missing);
            let name = name_at_width(method, width);
            all.push(series(name.clone(), method.strength, &settings));
            contenders.push(NamedCurves { name, seeds: seed_curves(&settings) });
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
        series: all,
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

//! What attacks do to fixed classifiers: accuracy against norm for FGM, PGD and PGN (figure 3), and examples to look
//! at (table 4).

use super::notes;
use crate::attacks::{AttackKind, AttackOptions, Goal, ImageVerdict};
use crate::evaluation::record::{Key, fingerprint_of_images};
use crate::evaluation::report::paper_name;
use crate::evaluation::suite;
use crate::evaluation::{Subject, sheet};
use crate::report::{Axis, Block, Figure, Mark, Picture, Point, Section, Series, budget};
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan::{Run, fixed_classifiers, generator_name};
use crate::reproduce::settings::EXAMPLE_NORMS;
use crate::training::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Images of each example sheet.
const EXAMPLES: usize = 6;

/// Figure 3.
pub fn figure3(lab: &Lab) -> Section {
    let mut section = Section {
        id: "figure3".into(),
        title: "Attacks on two fixed robust classifiers".into(),
        text: vec![
            "The classifier stays as it is. FGM and PGD are run at growing radii; PGN is a generator that was trained \
             against this classifier on the training images, its perturbations scaled to the radius. The attack that \
             leaves least is the strongest at that norm."
                .into(),
        ],
        blocks: Vec::new(),
    };
    let mut missing = Vec::new();
    for run in fixed_classifiers(lab.settings) {
        let name = run.name(lab.settings);
        let series = [AttackKind::FGM, AttackKind::PGD, AttackKind::PGN].map(|kind| {
            let mut points = Vec::new();
            for &radius in &lab.settings.radii {
                match under(lab, &name, kind, radius) {
                    Ok(point) => points.push(point),
                    Err(reason) => missing.push(reason),
                }
            }
            Series { name: kind.title.into(), mark: Mark::LineAndPoints, points }
        });
        section.blocks.push(Block::Figure(Figure {
            id: format!("figure3-{}", run.method.name()),
            title: format!("A classifier trained with {}", paper_name(run.method.name())),
            caption: format!(
                "{name}, {} test images; norms are means over the attacked images, which the box shortens. PGD's budget \
                 at each: {}.",
                lab.settings.attack_images,
                budget::at_any_radius(&lab.settings.attack(AttackKind::PGD))
            ),
            x: Axis::new("mean L2 of the perturbation"),
            y: Axis::percent("accuracy"),
            series: series.into(),
        }));
    }
    notes(&mut section, &missing);
    section
}

/// Mean norm and accuracy of an attack at a radius.
fn under(lab: &Lab, classifier: &str, kind: AttackKind, radius: f32) -> Found<Point> {
    let options = at_radius(lab, kind, radius);
    let name = if kind == AttackKind::PGN { generator_name(classifier) } else { classifier.to_string() };
    let record = lab.record(&name, &options, Some(lab.settings.attack_images))?;
    let label = format!("radius {radius}");
    Ok(Point { label, ..Point::new(record.mean_l2(), record.accuracy(record.len())) })
}

fn at_radius(lab: &Lab, kind: AttackKind, radius: f32) -> AttackOptions {
    let options = lab.settings.attack(kind);
    match kind {
        kind if kind.goal == Goal::Generator => AttackOptions { radius: Some(radius), ..options },
        _ => AttackOptions { epsilon: radius, ..options },
    }
}

/// Table 4: image sheets at three norms.
pub fn table4(lab: &Lab) -> Section {
    let run = Run::middle(lab.settings, Method::PGN);
    let mut section = Section {
        id: "table4".into(),
        title: "Examples at three norms".into(),
        text: vec![format!(
            "Test images of {}, attacked by its own generator, whose perturbations are scaled to norms of about {}.",
            run.name(lab.settings),
            EXAMPLE_NORMS.map(|norm| norm.to_string()).join(", ")
        )],
        blocks: Vec::new(),
    };
    let mut missing = Vec::new();
    for norm in EXAMPLE_NORMS {
        match examples(lab, &run.name(lab.settings), norm) {
            Ok(picture) => section.blocks.push(Block::Picture(picture)),
            Err(reason) => missing.push(reason),
        }
    }
    notes(&mut section, &missing);
    section
}

fn examples(lab: &Lab, name: &str, norm: f32) -> Found<Picture> {
    let subject = lab.subject(name, Some(EXAMPLES))?;
    let options = at_radius(lab, AttackKind::PGN, norm);
    suite::check(&subject.place, &subject.model, &options)?;
    let title = format!("PGN at norm {norm} on {name}");
    let images = fingerprint_of_images(&subject.images);
    let key = Key::new(&subject.model, None, &options, &images, &lab.device);
    let Sheet { images, mean, fooled, png } =
        lab.kept(&subject.place, ("examples", &title), &(key, &subject.class_names), || {
            draw(lab, &subject, &options, &title)
        })?;
    let png = STANDARD.decode(png).map_err(|error| Missing(format!("{title}: {error}")))?;
    Ok(Picture {
        id: format!("table4-{}", norm.to_string().replace('.', "-")),
        title,
        caption: format!(
            "Original, adversarial image and amplified perturbation of {images} images with their labels; the mean norm is \
             {mean:.3} after the box, and {fooled} images are fooled."
        ),
        png,
    })
}

/// An image sheet with what its caption says.
#[derive(Serialize, Deserialize)]
struct Sheet {
    images: usize,
    /// Mean norm.
    mean: f32,
    fooled: usize,
    /// In base 64.
    png: String,
}

fn draw(lab: &Lab, subject: &Subject, options: &AttackOptions, title: &str) -> Found<Sheet> {
    let attacked = (&subject.place, &subject.model);
    let outcome = suite::attack(&lab.device, attacked, &subject.images, options, &mut |_, _| ())?;
    let png = sheet::png(&outcome, &subject.class_names, title, EXAMPLES)
        .map_err(|error| Missing(format!("{title} cannot be drawn: {error}")))?;
    Ok(Sheet {
        images: outcome.len(),
        // Images that were wrong from the start are at distance 0.
        mean: outcome.l2.iter().sum::<f32>() / outcome.attacked().max(1) as f32,
        fooled: outcome.count(ImageVerdict::Fooled),
        png: STANDARD.encode(png),
    })
}

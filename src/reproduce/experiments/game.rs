//! What the game between classifier and generator aims at: the classifier's confidence against the length of a
//! perturbation (figure 6).

use super::notes;
use crate::attacks::{AttackKind, AttackOptions, AttackOutcome, ImageVerdict};
use crate::evaluation::predict::confidences;
use crate::evaluation::record::{Key, fingerprint_of_images};
use crate::evaluation::suite;
use crate::report::{Axis, Block, Figure, Mark, Point, Section, Series};
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan::Run;
use crate::training::Method;

/// Points of the measured curve.
const LENGTHS: usize = 9;
/// The curve ends where the Gaussian has fallen to a thousandth: at sqrt(ln 1000 / c_L).
const LAST: f64 = 6.907_755_278_982_137;

/// Figure 6.
pub fn figure6(lab: &Lab) -> Section {
    let run = Run::middle(lab.settings, Method::PGN);
    let (name, c_l) = (run.name(lab.settings), f64::from(run.strength.unwrap_or_default()));
    let end = (LAST / c_l).sqrt();
    let mut missing = Vec::new();
    let mut points = Vec::new();
    for i in 0..LENGTHS {
        let length = end * i as f64 / (LENGTHS - 1) as f64;
        match confidence(lab, &name, length as f32) {
            Ok((norm, confidence)) => points.push(Point::new(norm, confidence)),
            Err(reason) => missing.push(reason),
        }
    }
    let target = (0..=40).map(|i| end * f64::from(i) / 40.0).map(|r| Point::new(r, (-c_l * r * r).exp()));
    let figure = Figure {
        id: "figure6".into(),
        title: "True-class probability against ‖δ‖".into(),
        caption: format!(
            "{name}, along its own generator's direction; of {} test images those that it classifies correctly. The Gaussian has \
             sigma = sqrt(1 / (2 c_L)) = {:.3}; a classifier that follows the game exactly would lie on it, times its \
             confidence without a perturbation.",
            lab.settings.attack_images,
            (0.5 / c_l).sqrt()
        ),
        x: Axis::new("L2 of the perturbation"),
        y: Axis { range: Some([0.0, 1.0]), ..Axis::percent("mean probability of the true class") },
        series: vec![
            Series { name: "PGN".into(), mark: Mark::LineAndPoints, points },
            Series { name: "Gaussian of c_L".into(), mark: Mark::Dashed, points: target.collect() },
        ],
    };
    let mut section = Section {
        id: "figure6".into(),
        title: "The target curve".into(),
        text: vec![
            "The penalty c_L ‖δ‖² is the logarithm of a Gaussian: the game asks the classifier for a confidence that \
             falls with the length of the perturbation no faster than that."
                .into(),
        ],
        blocks: vec![Block::Figure(figure)],
    };
    notes(&mut section, &missing);
    section
}

/// Mean norm and mean probability of the true class with perturbations scaled to `radius`, over the images that are
/// classified correctly. The others are not perturbed, so they say nothing about a length.
fn confidence(lab: &Lab, name: &str, radius: f32) -> Found<(f64, f64)> {
    let subject = lab.subject(name, Some(lab.settings.attack_images))?;
    let options = AttackOptions { radius: Some(radius), ..lab.settings.attack(AttackKind::PGN) };
    suite::check(&subject.place, &subject.model, &options)?;
    let images = fingerprint_of_images(&subject.images);
    let key = Key::new(&subject.model, None, &options, &images, &lab.device);
    let label = format!("confidence at norm {radius:.3} on {name}");
    lab.kept(&subject.place, ("confidence-of-attacked", &label), &key, || {
        let attacked = (&subject.place, &subject.model);
        let outcome = suite::attack(&lab.device, attacked, &subject.images, &options, &mut |_, _| ())?;
        let probabilities = confidences(&lab.device, &subject.model, &outcome.adversarial, &outcome.labels)
            .map_err(|error| Missing(format!("{name}: {error}")))?;
        over_attacked(&outcome, &probabilities)
            .ok_or_else(|| Missing(format!("{name} classifies none of the images correctly")))
    })
}

/// Mean norm and mean probability over the images that were attacked, if there are any.
fn over_attacked(outcome: &AttackOutcome, probabilities: &[f32]) -> Option<(f64, f64)> {
    let attacked: Vec<usize> =
        (0..outcome.len()).filter(|&i| outcome.verdict(i) != ImageVerdict::AlreadyWrong).collect();
    let mean = |values: &[f32]| {
        let sum = attacked.iter().map(|&i| f64::from(values[i])).sum::<f64>();
        (!attacked.is_empty()).then(|| sum / attacked.len() as f64)
    };
    Some((mean(&outcome.l2)?, mean(probabilities)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::export::tests::outcome;

    #[test]
    fn images_that_are_not_perturbed_are_in_no_mean_of_figure_6() {
        // The first of two images is moved by 0.5.
        let of = |clean_predictions| {
            over_attacked(&AttackOutcome { clean_predictions, ..outcome() }, &[0.25, 0.75])
        };
        assert_eq!(of(vec![0, 2]), Some((0.25, 0.5)));
        assert_eq!(of(vec![0, 1]), Some((0.5, 0.25)));
        assert_eq!(of(vec![1, 1]), None);
    }
}

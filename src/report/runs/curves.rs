//! Curves over epochs.

use super::super::page::{Axis, Figure, Mark, Point, Series};
use super::Run;
use crate::training::{EpochRecord, StepRecord};

/// So few points are marked each.
const FEW: usize = 12;

/// What a figure is about, and what it draws of a run.
struct About {
    id: &'static str,
    title: &'static str,
    caption: &'static str,
    y: fn() -> Axis,
    of: fn(&Run) -> Vec<Series>,
}

/// In the order of the page.
const FIGURES: [About; 6] = [
    About {
        id: "loss",
        title: "Training loss",
        caption: "The loss on what the classifier trains on, which is perturbed unless the method is natural; mean over each epoch.",
        y: || Axis::new("loss"),
        of: |run| vec![of_steps(run, |mean| Some(mean.loss))],
    },
    About {
        id: "benign-accuracy",
        title: "Benign accuracy",
        caption: "Share of the unperturbed validation images that are classified correctly.",
        y: || Axis::percent("benign accuracy"),
        of: |run| vec![of_epochs(run, &run.name, |epoch| epoch.benign_accuracy)],
    },
    About {
        id: "robust-accuracy",
        title: "Accuracy under PGD and FGM",
        caption: "Share of at most 200 validation images that are classified correctly after PGD with 10 iterations, and after FGM (dashed), within the radius of the run's own attack or, without one, L2 0.5. PGD that falls while FGM does not is catastrophic overfitting.",
        y: || Axis::percent("accuracy under attack"),
        of: |run| beside_fgm(run, "PGD", |epoch| epoch.pgd_accuracy, |epoch| epoch.fgm_accuracy),
    },
    About {
        id: "generator-accuracy",
        title: "Accuracy under the generator",
        caption: "Share of the validation images that are classified correctly after the run's own generator has perturbed them.",
        y: || Axis::percent("accuracy under the generator"),
        of: |run| vec![of_epochs(run, &run.name, |epoch| epoch.generator_accuracy)],
    },
    About {
        id: "delta",
        title: "Length of the perturbation",
        caption: "Mean L2 norm of the perturbations in training, over the whole image with pixels in [0, 1].",
        y: || Axis::new("mean ‖δ‖"),
        of: |run| vec![of_steps(run, |mean| mean.delta)],
    },
    About {
        id: "generator-and-fgm",
        title: "The generator against FGM",
        caption: "Loss that the generator causes, and the loss that FGM causes at the same mean norm, or at the same radius for a generator that has one (dashed). Below FGM, one step along the gradient attacks better.",
        y: || Axis::new("loss"),
        of: |run| beside_fgm(run, "generator", |epoch| epoch.generator_loss, |epoch| epoch.fgm_loss),
    },
];

/// What there is to draw about the training of `runs`; figures without a point are left out.
pub fn figures(runs: &[&Run]) -> Vec<Figure> {
    FIGURES.iter().filter_map(|about| figure(about, runs)).collect()
}

fn figure(about: &About, runs: &[&Run]) -> Option<Figure> {
    let all = runs.iter().flat_map(|run| (about.of)(run));
    let series: Vec<Series> = all.filter(|series| !series.points.is_empty()).collect();
    let &About { id, title, caption, y, .. } = about;
    (!series.is_empty()).then(|| Figure {
        id: id.into(),
        title: title.into(),
        caption: caption.into(),
        x: Axis::new("epoch"),
        y: y(),
        series,
    })
}

/// What a run has, and dashed what FGM has.
fn beside_fgm(
    run: &Run,
    name: &str,
    own: fn(&EpochRecord) -> Option<f64>,
    fgm: fn(&EpochRecord) -> Option<f64>,
) -> Vec<Series> {
    let fgm = of_epochs(run, &format!("{}: FGM", run.name), fgm);
    vec![of_epochs(run, &format!("{}: {name}", run.name), own), Series { mark: Mark::Dashed, ..fgm }]
}

/// The mean over each epoch's steps.
fn of_steps(run: &Run, value: impl Fn(&StepRecord) -> Option<f64>) -> Series {
    let means = run.metrics.means();
    let point = |mean: &StepRecord| Some(Point::new(place(run, mean.step, mean.epoch), value(mean)?));
    series(&run.name, means.iter().filter_map(point).collect())
}

/// Where the last step of an epoch lies: at the epoch's end, or before it if the run ends or has got no further there.
fn place(run: &Run, step: u64, epoch: u32) -> f64 {
    run.epochs_at(step, epoch).unwrap_or(f64::from(epoch) + 1.0)
}

fn of_epochs(run: &Run, name: &str, value: impl Fn(&EpochRecord) -> Option<f64>) -> Series {
    let point = |end: &EpochRecord| Some(Point::new(place(run, end.step, end.epoch), value(end)?));
    series(name, run.metrics.epochs.iter().filter_map(point).collect())
}

fn series(name: &str, points: Vec<Point>) -> Series {
    let mark = if points.len() <= FEW { Mark::LineAndPoints } else { Mark::Line };
    Series { name: name.to_string(), mark, points }
}

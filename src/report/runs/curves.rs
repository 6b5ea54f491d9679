//! Curves over epochs.

use super::super::page::{Axis, Figure, Mark, Point, Series};
use super::Run;
use crate::training::{EpochRecord, StepRecord};

/// So few points are marked each.
const FEW: usize = 12;

/// What there is to draw about the training of `runs`; figures without a point are left out.
pub fn figures(runs: &[&Run]) -> Vec<Figure> {
    let loss = runs.iter().map(|run| of_steps(run, |mean| Some(mean.loss)));
    let norm = runs.iter().map(|run| of_steps(run, |mean| mean.delta));
    let losses = runs.iter().flat_map(|run| {
        let fgm = of_epochs(run, &format!("{}: FGM", run.name), |epoch| epoch.fgm_loss);
        let own = of_epochs(run, &format!("{}: generator", run.name), |epoch| epoch.generator_loss);
        [own, Series { mark: Mark::Dashed, ..fgm }]
    });
    let robust = runs.iter().flat_map(|run| {
        let pgd = of_epochs(run, &format!("{}: PGD", run.name), |epoch| epoch.pgd_accuracy);
        let fgm = of_epochs(run, &format!("{}: FGM", run.name), |epoch| epoch.fgm_accuracy);
        [pgd, Series { mark: Mark::Dashed, ..fgm }]
    });
    let of_all = |value: fn(&EpochRecord) -> Option<f64>| -> Vec<Series> {
        runs.iter().map(|run| of_epochs(run, &run.name, value)).collect()
    };
    let all = [
        figure(
            "loss",
            [
                "Training loss",
                "The loss on what the classifier trains on, which is perturbed unless the method is natural; mean over each epoch.",
            ],
            Axis::new("loss"),
            loss.collect(),
        ),
        figure(
            "benign-accuracy",
            ["Benign accuracy", "Share of the unperturbed validation images that are classified correctly."],
            Axis::percent("benign accuracy"),
            of_all(|epoch| epoch.benign_accuracy),
        ),
        figure(
            "robust-accuracy",
            [
                "Accuracy under PGD and FGM",
                "Share of at most 200 validation images that are classified correctly after PGD with 10 iterations, and after FGM (dashed), within the radius of the run's own attack or, without one, L2 0.5. PGD that falls while FGM does not is catastrophic overfitting.",
            ],
            Axis::percent("accuracy under attack"),
            robust.collect(),
        ),
        figure(
            "generator-accuracy",
            [
                "Accuracy under the generator",
                "Share of the validation images that are classified correctly after the run's own generator has perturbed them.",
            ],
            Axis::percent("accuracy under the generator"),
            of_all(|epoch| epoch.generator_accuracy),
        ),
        figure(
            "delta",
            [
                "Length of the perturbation",
                "Mean L2 norm of the perturbations in training, over the whole image with pixels in [0, 1].",
            ],
            Axis::new("mean ‖δ‖"),
            norm.collect(),
        ),
        figure(
            "generator-and-fgm",
            [
                "The generator against FGM",
                "Loss that the generator causes, and the loss that FGM causes at the same mean norm (dashed). A generator below FGM has not learned to attack.",
            ],
            Axis::new("loss"),
            losses.collect(),
        ),
    ];
    all.into_iter().flatten().collect()
}

fn figure(id: &str, [title, caption]: [&str; 2], y: Axis, series: Vec<Series>) -> Option<Figure> {
    let series: Vec<Series> = series.into_iter().filter(|series| !series.points.is_empty()).collect();
    if series.is_empty() {
        return None;
    }
    let (id, title, caption) = (id.to_string(), title.to_string(), caption.to_string());
    Some(Figure { id, title, caption, x: Axis::new("epoch"), y, series })
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

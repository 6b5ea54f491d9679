//! How good the networks are between epochs: benign accuracy with the averaged weights, accuracy under the
//! generator's own attack, and whether the generator does better than FGM at its own mean norm. A generator with a fixed radius is
//! compared with FGM of that radius, in its norm.

use super::optimiser::Role;
use super::step::{self, BatchTensors};
use super::trainer::Trainer;
use crate::attacks::steps::Victim;
use crate::attacks::{CeForm, Norm, fgm};
use crate::data::{BatchOptions, Images, batches_per_epoch, make_batch};
use crate::executor::{ExecutionError, Outputs, Session};
use crate::graph::{Binary, Graph, GraphError, Unary};
use crate::nn::{Classifier, Net, Pass};
use crate::pgn::{Generator, Turn};
use serde::Serialize;

/// Images per run at most: enough to keep a device busy.
const IMAGES: usize = 100;

/// Means over a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Validation {
    /// Images.
    pub images: usize,
    /// Share of clean images classified correctly, with the averaged weights.
    pub benign_accuracy: f64,
    /// Cross-entropy of clean images.
    pub benign_loss: f64,
    /// Against the generator; `None` without one.
    pub generator: Option<UnderGenerator>,
}

/// Means over a split under the generator's attack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct UnderGenerator {
    /// Share still classified correctly.
    pub accuracy: f64,
    /// Cross-entropy under attack.
    pub loss: f64,
    /// Mean ‖δ‖ in pixel units.
    pub delta: f64,
    /// Cross-entropy under FGM whose mean ‖δ‖ is the same to 1 %, as far as five radii reach that; or with the generator's radius, if
    /// it has one.
    pub fgm_loss: f64,
    /// Mean ‖δ‖ of FGM in pixel units.
    pub fgm_delta: f64,
}

/// FGM's mean norm may be off by this share.
const NORM_OFF: f64 = 0.01;
/// FGM is tried with at most so many radii to reach a mean norm: the box cuts off what goes beyond it.
const MOST_RADII: usize = 5;

/// Evaluates the networks of a workspace.
pub struct Validator {
    micro_batch: usize,
    session: Session,
    fgm: Option<Session>,
    /// The radius that the generator is held to, if it is.
    radius: Option<f32>,
}

impl Validator {
    /// Prepares the evaluation of the networks that `trainer` trains. It takes no more images at a time than a training step.
    pub fn new(trainer: &mut Trainer) -> Result<Self, ExecutionError> {
        let (net, generator) = (trainer.classifier().clone(), trainer.generator().cloned());
        let most = IMAGES.min(trainer.micro_batch());
        let device = trainer.workspace().device().clone();
        let ball = generator.as_ref().and_then(|generator| generator.recipe.ball);
        let (norm, radius) = (ball.map_or(Norm::L2, |ball| ball.norm), ball.map(|ball| ball.epsilon));
        let ((session, fgm), micro_batch) = device.fitting(most, |images| {
            let workspace = trainer.workspace();
            let session = workspace.prepare(&evaluation_graph(&net, generator.as_ref(), images)?)?;
            let fgm = match generator {
                Some(_) => Some(workspace.prepare(&fgm_graph(&net, images, norm)?)?),
                None => None,
            };
            Ok((session, fgm))
        })?;
        Ok(Self { micro_batch, session, fgm, radius })
    }

    /// Images per run.
    pub fn micro_batch(&self) -> usize {
        self.micro_batch
    }

    /// Evaluates all of `images`.
    pub fn run(&mut self, images: &Images) -> Result<Validation, ExecutionError> {
        let mut sums = Validation { images: images.len(), ..Default::default() };
        let mut attacked = UnderGenerator::default();
        let game = self.fgm.is_some();
        over(&mut self.session, images, self.micro_batch, &[], |outputs, real| {
            let sum = |name: &str| outputs.get(name)[..real].iter().map(|&v| f64::from(v)).sum::<f64>();
            sums.benign_accuracy += sum("correct");
            sums.benign_loss += sum("loss");
            if game {
                attacked.accuracy += sum("attacked_correct");
                attacked.loss += sum("attacked_loss");
                attacked.delta +=
                    outputs.get("norm2")[..real].iter().map(|&v| f64::from(v).sqrt()).sum::<f64>();
            }
        })?;
        let n = images.len().max(1) as f64;
        sums.benign_accuracy /= n;
        sums.benign_loss /= n;
        if let Some(fgm) = &mut self.fgm {
            for value in [&mut attacked.accuracy, &mut attacked.loss, &mut attacked.delta] {
                *value /= n;
            }
            let mut under_fgm = |epsilon: f64| -> Result<[f64; 2], ExecutionError> {
                let mut means = [0.0; 2];
                let epsilon = [("epsilon", vec![epsilon as f32])];
                over(fgm, images, self.micro_batch, &epsilon, |outputs, real| {
                    let mean = |name: &str, of: fn(f64) -> f64| {
                        outputs.get(name)[..real].iter().map(|&v| of(f64::from(v))).sum::<f64>() / n
                    };
                    means = [means[0] + mean("loss", |loss| loss), means[1] + mean("norm2", f64::sqrt)];
                })?;
                Ok(means)
            };
            [attacked.fgm_loss, attacked.fgm_delta] = match self.radius {
                Some(radius) => under_fgm(f64::from(radius))?,
                None => at_mean_norm(attacked.delta, &mut under_fgm)?,
            };
            sums.generator = Some(attacked);
        }
        Ok(sums)
    }
}

/// What FGM does (its loss and its mean norm) with the radius at which its mean norm is `delta`.
fn at_mean_norm(
    delta: f64,
    under_fgm: &mut dyn FnMut(f64) -> Result<[f64; 2], ExecutionError>,
) -> Result<[f64; 2], ExecutionError> {
    let mut epsilon = delta;
    let mut found = under_fgm(epsilon)?;
    for _ in 1..MOST_RADII {
        let [_, own] = found;
        if own == 0.0 || (own / delta - 1.0).abs() <= NORM_OFF {
            break;
        }
        epsilon *= delta / own;
        found = under_fgm(epsilon)?;
    }
    Ok(found)
}

/// Runs a session over a split in order; `each` gets the outputs and the number of real images.
pub(super) fn over(
    session: &mut Session,
    images: &Images,
    batch: usize,
    inputs: &[(&str, Vec<f32>)],
    mut each: impl FnMut(&Outputs, usize),
) -> Result<(), ExecutionError> {
    let options = BatchOptions::in_order(batch);
    let mut pending = None;
    for index in 0..batches_per_epoch(images.len(), batch) {
        let next = make_batch(images, &options, 0, index);
        session.write("images", &next.images)?;
        session.write("labels", &next.labels)?;
        for (name, values) in inputs {
            session.write(name, values)?;
        }
        let run = session.run()?;
        // One batch behind, so that the device has work while the host adds up.
        if let Some((run, real)) = pending.replace((run, next.real)) {
            each(&session.finish(run)?, real);
        }
    }
    if let Some((run, real)) = pending {
        each(&session.finish(run)?, real);
    }
    Ok(())
}

fn evaluation_graph(net: &Net, generator: Option<&Generator>, images: usize) -> Result<Graph, GraphError> {
    let mut graph = Graph::new();
    let batch = BatchTensors::inputs(&mut graph, net.problem, images)?;
    let states = net.averaged(&mut graph, Role::Classifier.name())?;
    let classifier = Classifier::evaluated(net, &states);
    let logits = classifier.logits(&mut graph, batch.images)?;
    let loss = graph.cross_entropy(logits, batch.labels)?;
    step::metrics(&mut graph, logits, loss, batch.labels)?;
    let Some(generator) = generator else { return Ok(graph) };
    let g = generator.live(&mut graph)?;
    let noise = match generator.recipe.noise {
        true => {
            // The same numbers for every batch: an epoch is compared with others on what it has learned.
            let seed = graph.constant(0.0, &[3])?;
            Some(graph.random_normal(seed, &net.problem.batch(images))?)
        }
        false => None,
    };
    let turn = Turn {
        generator,
        states: &g,
        pass: Pass::Evaluate,
        classifier,
        images: batch.images,
        labels: batch.labels,
        clean: [logits, loss],
        noise,
        through: false,
    };
    let answer = turn.strongest(&mut graph)?;
    let logits = classifier.logits(&mut graph, answer.adversarial)?;
    let loss = graph.cross_entropy(logits, batch.labels)?;
    let predictions = graph.arg_max(logits);
    let correct = graph.binary(Binary::Equal, predictions, batch.labels)?;
    graph.output("attacked_loss", loss);
    graph.output("attacked_correct", correct);
    graph.output("norm2", answer.norm2);
    Ok(graph)
}

fn fgm_graph(net: &Net, images: usize, norm: Norm) -> Result<Graph, GraphError> {
    let mut graph = Graph::new();
    let batch = BatchTensors::inputs(&mut graph, net.problem, images)?;
    let states = net.averaged(&mut graph, Role::Classifier.name())?;
    let classifier = Classifier::evaluated(net, &states);
    let epsilon = graph.input("epsilon", &[1])?;
    let (images, labels) = (batch.images, batch.labels);
    let how = fgm::Move { length: epsilon, norm, form: CeForm::SaturationFree };
    let moved = fgm::fgm(&mut graph, Victim { classifier, images, labels, aim: None }, how)?;
    let delta = graph.subtract(moved, images)?;
    let square = graph.unary(Unary::Square, delta);
    let norm2 = graph.sum_columns(square);
    let logits = classifier.logits(&mut graph, moved)?;
    let loss = graph.cross_entropy(logits, batch.labels)?;
    graph.output("loss", loss);
    graph.output("norm2", norm2);
    Ok(graph)
}

//! What an iteration of the longest attack costs, in passes of the classifier.

use super::median;
use super::steps::synthetic_batch;
use crate::attacks::carlini_wagner::CarliniWagner;
use crate::attacks::driver::{Arrival, SlotAttack};
use crate::attacks::target::Target;
use crate::attacks::{AttackKind, AttackOptions};
use crate::executor::{Device, ExecutionError, Session};
use crate::models::file::{Facts, Model};
use crate::nn::Problem;
use crate::training::{TrainConfig, TrainError};
use serde::Serialize;
use std::time::{Duration, Instant};

/// One Carlini-Wagner iteration against one forward and one input-gradient pass of the same batch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IterationTiming {
    /// Images at a time.
    pub batch_size: usize,
    /// Median seconds of an iteration.
    pub iteration_seconds: f64,
    /// Median seconds of the two passes.
    pub passes_seconds: f64,
    /// Median over pairs that ran one after the other.
    pub ratio: f64,
}

/// Iterations between two looks at the device, as in the attack; fewer where they take longer than the budget.
const LOOK: usize = 10;

/// Times both in turns for about `budget`.
pub fn time_carlini_wagner(
    device: &Device,
    config: &TrainConfig,
    problem: Problem,
    budget: Duration,
) -> Result<IterationTiming, TrainError> {
    let model = untrained(config, problem)?;
    let mut target = Target::new(device, &model, config.batch_size)?;
    let options = AttackOptions { abort_early: false, ..AttackOptions::new(AttackKind::CW) };
    let mut attack = CarliniWagner::new(&mut target, &options)?;
    let batch = synthetic_batch(problem, target.slots);
    target.load(&batch.images, &batch.labels)?;
    for (slot, image) in batch.images.chunks(problem.pixels()).enumerate() {
        attack.load(&mut target, slot, Arrival { image, place: slot })?;
    }
    let mut passes = passes(&mut target)?;
    let mut seconds: [Vec<f64>; 2] = Default::default();
    let (mut started, mut look) = (Instant::now(), 1);
    // The first round compiles, the second one says how many iterations the budget has room for.
    for round in 0.. {
        let once = Instant::now();
        attack.advance(&mut target, look)?;
        let iteration = once.elapsed().as_secs_f64() / look as f64;
        let once = Instant::now();
        run(&mut passes, look)?;
        let pass = once.elapsed().as_secs_f64() / look as f64;
        if round < 2 {
            look = ((budget.as_secs_f64() / 6.0 / (iteration + pass)) as usize).clamp(1, LOOK);
            started = Instant::now();
            continue;
        }
        seconds[0].push(iteration);
        seconds[1].push(pass);
        if round >= 4 && started.elapsed() >= budget {
            break;
        }
    }
    let ratios = seconds[0].iter().zip(&seconds[1]).map(|(i, p)| i / p).collect();
    let [iteration_seconds, passes_seconds] = seconds.map(median);
    Ok(IterationTiming { batch_size: target.slots, iteration_seconds, passes_seconds, ratio: median(ratios) })
}

fn run(passes: &mut Session, times: usize) -> Result<(), ExecutionError> {
    for i in 0..times {
        let run = passes.run()?;
        if i + 1 == times {
            passes.finish(run)?;
        }
    }
    Ok(())
}

fn untrained(config: &TrainConfig, problem: Problem) -> Result<Model, TrainError> {
    let classifier = config.classifier(problem)?;
    let live = classifier.initial(config.init, config.seed);
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION").to_string(),
        problem,
        network: config.network,
        width: config.width,
        dataset: String::new(),
        class_names: Vec::new(),
        method: "unknown".to_string(),
        generator: config.recipe(),
        run: None,
        step: None,
    };
    Ok(Model { facts, classifier, average: live.clone(), live, generator: None, notes: Vec::new() })
}

/// The logits of the batch and the gradient of one of them by the images.
fn passes(target: &mut Target) -> Result<Session, ExecutionError> {
    let mut a = target.graph()?;
    let logits = target.classifier(&a.states).logits(&mut a.graph, a.images)?;
    let classes = target.problem().classes;
    let own = a.graph.one_hot(a.labels, classes);
    let gradient = a.graph.gradient(logits, own, &[a.images])?[0];
    let kept = a.graph.state("bench.gradient", &target.extents())?;
    let seen = a.graph.state("bench.logits", &[target.slots, classes])?;
    a.graph.assign(kept, gradient)?;
    a.graph.assign(seen, logits)?;
    target.prepare(&a.graph)
}

//! Training steps and their kernels, timed on one synthetic batch.

use super::median;
use crate::data::Batch;
use crate::executor::{Device, ExecutionError, Session};
use crate::gpu::session::GpuSession;
use crate::kernels;
use crate::kernels::params::{GeneralParams, Params};
use crate::nn::Problem;
use crate::program::{Call, Program};
use crate::random::{Random, Stream};
use crate::training::{Method, TrainConfig, TrainError, Trainer};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How fast a kind of step is.
#[derive(Clone, Debug, Serialize)]
pub struct StepTiming {
    /// Median over repetitions.
    pub images_per_second: f64,
    /// 10⁹ operations per second, counted as direct convolution.
    pub gflops: f64,
    /// Median seconds of one step.
    pub seconds: f64,
    /// The same in natural steps: the median over rounds in which both took turns; absent without natural steps.
    pub in_natural_steps: Option<f64>,
    /// Seconds of the first step, preparation included.
    pub first_step_seconds: f64,
    /// Bytes that the plan states.
    pub planned_bytes: u64,
    /// Bytes that the driver's allocator has handed out for buffers; absent where it does not tell.
    pub allocated_bytes: Option<u64>,
    /// Share of the kernels' time in what is not convolution or matrix multiplication; absent without a profile.
    pub other_share: Option<f64>,
    /// Time by kernel.
    pub kernels: Vec<KernelTiming>,
    /// The convolutions that the kernels for any geometry compute, and why the usual ones do not.
    pub general: Vec<String>,
}

/// All calls of one form of a kernel in a step.
#[derive(Clone, Debug, Serialize)]
pub struct KernelTiming {
    /// The kernel.
    pub kernel: &'static str,
    /// Its form.
    pub form: &'static str,
    /// Calls in a step.
    pub calls: usize,
    /// Seconds of all of them.
    pub seconds: f64,
    /// 10⁹ operations per second; for element-wise kernels, results per second.
    pub gflops: f64,
}

/// What the names of kernels begin with that are part of convolutions and matrix multiplications.
const CONVOLUTION: [&str; 6] = ["conv2d", "convolution", "winograd", "matrix", "im2col", "col2im"];

/// Whether a call is part of a convolution or matrix multiplication: by its kernel, or because it adds the parts of one.
fn convolves(program: &Program, call: &Call) -> bool {
    let of_result = program.tensor(call.writes[0]).label.starts_with("conv2d");
    let adds_parts = call.kernel.name == kernels::sum_rows.name && of_result;
    adds_parts || CONVOLUTION.iter().any(|name| call.kernel.name.starts_with(name))
}

/// The convolutions of a step that the kernels for any geometry compute, each once, and why the usual kernels do not.
pub fn general(trainer: &mut Trainer) -> Vec<String> {
    let mut lines = Vec::new();
    for (session, _) in trainer.sessions() {
        let calls = &session.program().calls;
        for call in calls.iter().filter(|call| call.kernel.layout.name == GeneralParams::LAYOUT.name) {
            let params: GeneralParams = bytemuck::pod_read_unaligned(&call.params);
            let line = format!("{} {}", call.kernel.name, params.explain());
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// A batch of seeded noise.
pub fn synthetic_batch(problem: Problem, images: usize) -> Batch {
    let random = Random::new(0, Stream::Augment);
    let labels = (0..images).map(|i| (random.bits(1, i as u32)[0] as usize % problem.classes) as f32);
    let pixels = (0..images * problem.pixels()).map(|i| random.uniform(0, i as u32));
    Batch::whole(pixels.collect(), labels.collect())
}

/// Prepares training on `device` and takes one step.
pub fn first_step(device: &Device, config: &TrainConfig, problem: Problem) -> Result<Trainer, TrainError> {
    let mut trainer = Trainer::new(device.clone(), config, problem, None, None)?;
    step(&mut trainer, &synthetic_batch(problem, config.batch_size), 1)?;
    Ok(trainer)
}

/// A kind of step that is being timed.
struct Timed {
    trainer: Trainer,
    first_step_seconds: f64,
    allocated_bytes: Option<u64>,
    /// Steps at a time, enough that submitting them overlaps with computing.
    steps: usize,
    /// Seconds of one step, round by round.
    seconds: Vec<f64>,
}

/// Rounds in which every kind of step is timed at least, and at least if one of them takes longer than the budget.
const ROUNDS: [usize; 2] = [5, 3];

/// Times steps of all `configs`, which have one batch size, for about `budget` each after the first.
///
/// They take turns, round by round: a machine's speed drifts by more than kinds of steps should differ, and what is
/// measured within seconds of each other can be compared.
pub fn time_steps(
    device: &Device,
    configs: &[TrainConfig],
    problem: Problem,
    budget: Duration,
) -> Result<Vec<StepTiming>, TrainError> {
    let Some(first) = configs.first() else { return Ok(Vec::new()) };
    let batch = synthetic_batch(problem, first.batch_size);
    let prepare = |config| prepare(device, config, problem, &batch, budget);
    let mut timed: Vec<Timed> = configs.iter().map(prepare).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let long = timed.iter().any(|t| t.seconds[0] > budget.as_secs_f64());
    for t in &mut timed {
        t.seconds.clear();
    }
    let least = ROUNDS[usize::from(long)];
    while timed[0].seconds.len() < least || (!long && started.elapsed() < budget * configs.len() as u32) {
        for t in &mut timed {
            t.seconds.push(step(&mut t.trainer, &batch, t.steps)?);
        }
    }
    let natural = configs.iter().position(|config| config.method == Method::NATURAL);
    let natural = natural.map(|i| timed[i].seconds.clone());
    timed.into_iter().map(|t| t.report(device, natural.as_deref(), &batch, long)).collect()
}

fn prepare(
    device: &Device,
    config: &TrainConfig,
    problem: Problem,
    batch: &Batch,
    budget: Duration,
) -> Result<Timed, TrainError> {
    let before = allocated(device);
    let started = Instant::now();
    let mut trainer = first_step(device, config, problem)?;
    let first_step_seconds = started.elapsed().as_secs_f64();
    let allocated_bytes = allocated(device).zip(before).map(|(now, before)| now.saturating_sub(before));
    let one = step(&mut trainer, batch, 1)?;
    let steps = ((budget.as_secs_f64() / 10.0 / one) as usize).clamp(1, 50);
    Ok(Timed { trainer, first_step_seconds, allocated_bytes, steps, seconds: vec![one] })
}

impl Timed {
    fn report(
        mut self,
        device: &Device,
        natural: Option<&[f64]>,
        batch: &Batch,
        long: bool,
    ) -> Result<StepTiming, TrainError> {
        let in_natural_steps = natural.map(|natural| {
            let ratios = self.seconds.iter().zip(natural).map(|(own, natural)| own / natural);
            median(ratios.collect())
        });
        let seconds = median(self.seconds);
        let (kernels, convolution) = profile(device, &mut self.trainer, if long { 1 } else { 3 })?;
        let total: f64 = kernels.iter().map(|k| k.seconds).sum();
        Ok(StepTiming {
            images_per_second: batch.labels.len() as f64 / seconds,
            gflops: self.trainer.flops() as f64 / seconds * 1e-9,
            seconds,
            in_natural_steps,
            first_step_seconds: self.first_step_seconds,
            planned_bytes: self.trainer.planned_bytes(),
            allocated_bytes: self.allocated_bytes,
            other_share: (!kernels.is_empty()).then_some(1.0 - convolution / total),
            kernels,
            general: general(&mut self.trainer),
        })
    }
}

/// Seconds per step of `steps` in a row.
fn step(trainer: &mut Trainer, batch: &Batch, steps: usize) -> Result<f64, ExecutionError> {
    let started = Instant::now();
    let mut last = None;
    for _ in 0..steps {
        last = Some(trainer.submit(batch)?);
    }
    if let Some(pending) = last {
        trainer.collect(pending)?;
    }
    Ok(started.elapsed().as_secs_f64() / steps as f64)
}

fn allocated(device: &Device) -> Option<u64> {
    match device {
        Device::Gpu(gpu) => gpu.device.generate_allocator_report().map(|r| r.total_allocated_bytes),
        Device::Cpu(_) => None,
    }
}

/// Time by kernel over all phases of a step, largest first, and the seconds of all that [`convolves`]; the median of
/// `repetitions` profiles.
fn profile(
    device: &Device,
    trainer: &mut Trainer,
    repetitions: usize,
) -> Result<(Vec<KernelTiming>, f64), ExecutionError> {
    if let Device::Cpu(_) = device {
        return Ok((Vec::new(), 0.0));
    }
    let mut convolution = 0.0;
    let mut by_kernel: BTreeMap<(&'static str, &'static str), KernelTiming> = BTreeMap::new();
    for (session, runs) in trainer.sessions() {
        let Session::Gpu(session) = session else { continue };
        let program = session.program().clone();
        let Some(seconds) = profile_session(session, repetitions)? else { return Ok((Vec::new(), 0.0)) };
        for (index, (call, seconds)) in program.calls.iter().zip(seconds).enumerate() {
            let form = session.form(index).name;
            let timing = by_kernel.entry((call.kernel.name, form)).or_insert_with(|| KernelTiming {
                kernel: call.kernel.name,
                form,
                calls: 0,
                seconds: 0.0,
                gflops: 0.0,
            });
            let seconds = seconds * runs as f64;
            if convolves(&program, call) {
                convolution += seconds;
            }
            timing.calls += runs;
            timing.seconds += seconds;
            timing.gflops += (call.flops * runs as u64) as f64;
        }
    }
    let mut kernels: Vec<KernelTiming> = by_kernel.into_values().collect();
    for kernel in &mut kernels {
        kernel.gflops = kernel.gflops / kernel.seconds.max(1e-9) * 1e-9;
    }
    kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok((kernels, convolution))
}

fn profile_session(session: &mut GpuSession, repetitions: usize) -> Result<Option<Vec<f64>>, ExecutionError> {
    let mut profiles = Vec::new();
    for _ in 0..repetitions {
        match session.profile()? {
            Some(profile) => profiles.push(profile),
            None => return Ok(None),
        }
    }
    let calls = profiles[0].len();
    Ok(Some((0..calls).map(|i| median(profiles.iter().map(|p| p[i]).collect())).collect()))
}

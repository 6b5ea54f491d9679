//! A trial: all forms of a problem on the same data, each compared with the CPU twin before it is timed.

use super::Candidate;
use super::problem::{Problem, Size};
use crate::gpu::device::{Gpu, Pipeline};
use crate::gpu::{GpuError, half};
use crate::kernels::difference::worst;
use crate::kernels::{Arguments, Form};
use crate::program::Call;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wgpu::{BindGroup, Buffer, BufferBinding};

/// A timed submit takes about this long, so that the cost of submitting does not count.
const LEAST_TIME: Duration = Duration::from_millis(2);
/// Dispatches per timed submit at most.
const MOST_DISPATCHES: f64 = 256.0;
/// A form this many times slower than the fastest in its first dispatch is not timed again on a software adapter.
const HOPELESS: f64 = 4.0;

/// Compares and times `forms` of `problem`; `None` if the adapter has no room for it.
pub fn measure(
    gpu: &Gpu,
    problem: &Problem,
    forms: &[&'static Form],
    rounds: usize,
) -> Result<Option<Vec<Candidate>>, GpuError> {
    let data = problem.data();
    let judged = Trial::new(gpu, problem, &problem.judged, &data);
    let larger = (problem.timed.call.params != problem.judged.call.params)
        .then(|| Trial::new(gpu, problem, &problem.timed, &data));
    if gpu.forgive().is_some() {
        return Ok(None);
    }
    let expected = expected(problem, &data);
    let mut candidates = Vec::new();
    let mut ready = Vec::new();
    for &form in forms {
        let mut candidate = Candidate { form: form.name.to_string(), microseconds: None, wrong: None };
        let (bound, wrong) = judged.compare(form, &expected);
        match wrong {
            Some(wrong) => candidate.wrong = Some(wrong),
            None => ready.push((candidates.len(), larger.as_ref().map_or(bound, |larger| larger.bind(form)))),
        }
        candidates.push(candidate);
    }
    gpu.check(0)?;
    for (at, bound) in &ready {
        candidates[*at].microseconds = Some(1e6 * judged.seconds(bound, 1)?);
    }
    let least = candidates.iter().filter_map(|c| c.microseconds).fold(f64::INFINITY, f64::min);
    // In software a very slow form costs seconds. On a GPU it costs little, and one slow dispatch proves little: the GPU may have been
    // asleep or busy for another process.
    if gpu.is_software() {
        ready.retain(|(at, _)| candidates[*at].microseconds.is_some_and(|time| time <= HOPELESS * least));
    }
    let dispatches = (1e6 * LEAST_TIME.as_secs_f64() / least).ceil().clamp(1.0, MOST_DISPATCHES) as u32;
    for _ in 0..rounds {
        for (at, bound) in &ready {
            let time = 1e6 * judged.seconds(bound, dispatches)?;
            // Other work on the machine only adds time, so the least time counts.
            candidates[*at].microseconds = candidates[*at].microseconds.map(|least| least.min(time));
        }
    }
    Ok(Some(candidates))
}

/// The results of the twin.
fn expected(problem: &Problem, data: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let Size { call, writes, .. } = &problem.judged;
    let mut expected: Vec<Vec<f32>> = writes.iter().map(|&len| vec![0.0; len]).collect();
    (call.kernel.twin)(&mut Arguments {
        params: &call.params,
        constants: &call.constants,
        expression: call.expression.as_deref(),
        reads: &data.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        writes: &mut expected.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
    });
    expected
}

/// A call of some size with its tensors on the adapter.
struct Trial<'a> {
    gpu: &'a Gpu,
    problem: &'a Problem,
    call: &'a Call,
    params: Buffer,
    reads: Vec<Buffer>,
    writes: Vec<Buffer>,
}

/// A form bound to the trial's buffers.
struct Bound {
    pipeline: Arc<Pipeline>,
    group: BindGroup,
    grid: [u32; 3],
}

impl<'a> Trial<'a> {
    /// Tensors of this size, filled with the data over and over.
    fn new(gpu: &'a Gpu, problem: &'a Problem, size: &'a Size, data: &[Vec<f32>]) -> Self {
        let reads = data.iter().zip(&size.reads).zip(1..).map(|((values, &len), binding)| {
            let values: Vec<f32> = values.iter().copied().cycle().take(len).collect();
            let bytes = half::to_bytes(&values, problem.is_half(binding));
            let buffer = gpu.buffer("trial", bytes.len() as u64);
            gpu.queue.write_buffer(&buffer, 0, &bytes);
            buffer
        });
        let first = 1 + size.reads.len();
        let writes = size.writes.iter().zip(first..);
        let writes =
            writes.map(|(&len, binding)| gpu.buffer("trial", half::bytes(len, problem.is_half(binding))));
        let (reads, writes) = (reads.collect(), writes.collect());
        Self { gpu, problem, call: &size.call, params: gpu.uniform(&size.call.params), reads, writes }
    }

    /// The written tensors, their expected values, and whether they are f16.
    fn results<'b>(
        &'b self,
        expected: &'b [Vec<f32>],
    ) -> impl Iterator<Item = (&'b Buffer, &'b Vec<f32>, bool)> {
        let first = 1 + self.reads.len();
        let both = self.writes.iter().zip(expected).zip(first..);
        both.map(|((buffer, expected), binding)| (buffer, expected, self.problem.is_half(binding)))
    }

    fn bind(&self, form: &'static Form) -> Bound {
        let pipeline = self.gpu.pipeline(self.call, form, self.problem.half);
        let whole = |buffer| BufferBinding { buffer, offset: 0, size: None };
        let buffers = std::iter::once(&self.params).chain(&self.reads).chain(&self.writes);
        let group = self.gpu.bind_group(self.call.kernel.name, &pipeline, buffers.map(whole));
        Bound { pipeline, group, grid: (form.grid)(&self.call.params, &form.constants(self.call)) }
    }

    /// Runs a form once. Some text if its result is not the twin's.
    fn compare(&self, form: &'static Form, expected: &[Vec<f32>]) -> (Bound, Option<String>) {
        let bound = self.bind(form);
        // Values that a form does not write must not pass for the values of the form before it.
        for (buffer, expected, half) in self.results(expected) {
            let nothing = half::to_bytes(&vec![f32::NAN; expected.len()], half);
            self.gpu.queue.write_buffer(buffer, 0, &nothing);
        }
        let wrong = match self.seconds(&bound, 1).and_then(|_| self.first_difference(expected)) {
            Ok(difference) => difference,
            Err(error) => Some(error.to_string()),
        };
        // A form that the driver refuses counts as wrong. A lost device stays lost.
        let refused = self.gpu.forgive();
        (bound, wrong.or(refused))
    }

    fn first_difference(&self, expected: &[Vec<f32>]) -> Result<Option<String>, GpuError> {
        for (buffer, expected, half) in self.results(expected) {
            let words = self.gpu.read_words(buffer, 0, half::bytes(expected.len(), half) as usize / 4)?;
            let own = half::from_words(&words, half, expected.len());
            let worst = worst(&own, expected, self.call.kernel.tolerance.stored(half), &[]);
            if worst.outside > 0 {
                return Ok(Some(format!(
                    "{} of {} values differ from the CPU's, most at {}: {:e} instead of {:e}",
                    worst.outside,
                    own.len(),
                    worst.index,
                    own[worst.index],
                    expected[worst.index]
                )));
            }
        }
        Ok(None)
    }

    /// Seconds per dispatch of `dispatches` in one submit.
    fn seconds(&self, bound: &Bound, dispatches: u32) -> Result<f64, GpuError> {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&bound.pipeline.pipeline);
            pass.set_bind_group(0, &bound.group, &[]);
            let [x, y, z] = bound.grid;
            for _ in 0..dispatches {
                pass.dispatch_workgroups(x, y, z);
            }
        }
        let commands = encoder.finish();
        // Uploads belong to no form.
        self.gpu.wait(None)?;
        let started = Instant::now();
        let submission = self.gpu.submit(commands);
        self.gpu.wait(Some(submission))?;
        Ok(started.elapsed().as_secs_f64() / f64::from(dispatches))
    }
}

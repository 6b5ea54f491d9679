//! Replays a program on a GPU: buffers for its arenas, a bind group per call, and one recording per run.
//!
//! A run is several submits if it is long, because drivers kill long ones; nothing waits. The outputs are
//! copied into a staging buffer of their own (a [`Ticket`]), so the host can read them a few steps later.

use super::device::{Gpu, Pipeline};
use super::tuning::{Chosen, KernelChoices};
use super::{GpuError, half};
use crate::kernels::Form;
use crate::program::{Program, RootKind, TensorId};
use std::sync::{Arc, Mutex};
use wgpu::{BindGroup, Buffer, SubmissionIndex};

/// Floating-point operations per submit: well below half a second on the slowest adapter of each sort.
const SOFTWARE_SUBMIT_FLOPS: u64 = 3_000_000_000;
const HARDWARE_SUBMIT_FLOPS: u64 = 100_000_000_000;
/// Bytes between the parameters of two calls: the largest alignment that a backend asks for.
const PARAMS_STRIDE: u64 = 256;

/// Buffers for outputs that no run uses.
type Idle = Arc<Mutex<Vec<Buffer>>>;

/// Outputs of one run on their way to the host. Dropped, it gives its buffer back: that is not mapped before the outputs
/// are asked for, so the next run may use it at once.
pub struct Ticket {
    /// None if the program has no outputs.
    staging: Option<Buffer>,
    submission: SubmissionIndex,
    idle: Idle,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let (Some(staging), Ok(mut idle)) = (self.staging.take(), self.idle.lock()) {
            idle.push(staging);
        }
    }
}

struct Step {
    form: &'static Form,
    /// The shape by which the form was chosen, if there was a choice.
    shape: Option<String>,
    pipeline: Arc<Pipeline>,
    group: BindGroup,
    grid: [u32; 3],
    flops: u64,
}

/// A program bound to memory on a GPU.
pub struct GpuSession {
    gpu: Arc<Gpu>,
    program: Arc<Program>,
    arenas: Vec<Buffer>,
    states: Vec<Option<Buffer>>,
    steps: Vec<Step>,
    idle_staging: Idle,
}

impl GpuSession {
    /// Allocates, compiles and binds. `state` gives the buffer of a name and length (in values).
    pub fn new(
        gpu: Arc<Gpu>,
        program: Arc<Program>,
        mut state: impl FnMut(&str, usize) -> Buffer,
    ) -> Result<Self, GpuError> {
        let arenas: Vec<Buffer> =
            program.memory.arenas.iter().map(|&bytes| gpu.buffer("arena", bytes)).collect();
        let states: Vec<Option<Buffer>> = program
            .roots
            .iter()
            .map(|root| match &root.kind {
                RootKind::State(name) => Some(state(name, root.len)),
                _ => None,
            })
            .collect();
        gpu.check(program.memory.bytes())?;
        let mut session =
            Self { gpu, program, arenas, states, steps: Vec::new(), idle_staging: Idle::default() };
        session.steps = session.bind()?;
        for (i, root) in session.program.clone().roots.iter().enumerate() {
            if let RootKind::Constant(value) = root.kind
                && value != 0.0
            {
                session.write(i, &vec![value; root.len]);
            }
        }
        session.gpu.check(session.program.memory.bytes())?;
        Ok(session)
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    fn bind(&self) -> Result<Vec<Step>, GpuError> {
        let calls = &self.program.calls;
        self.gpu.compile_ahead(&self.program);
        let chosen = self.gpu.tuner().choose(&self.gpu, &self.program)?;
        let params = self.params_buffer()?;
        let share = |worker: usize, threads: usize| -> Vec<Arc<Pipeline>> {
            let own = calls.iter().zip(&chosen).skip(worker).step_by(threads);
            own.map(|(call, chosen)| {
                let half = Gpu::half_bindings(&self.program, call);
                self.gpu.pipeline(call, chosen.form, half)
            })
            .collect()
        };
        // Drivers compile in parallel where they compile here at all.
        let pipelines: Vec<Arc<Pipeline>> = std::thread::scope(|scope| {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let share = &share;
            let start = |worker| {
                let work = move || share(worker, threads);
                std::thread::Builder::new().spawn_scoped(scope, work).map_err(|_| worker)
            };
            let workers: Vec<_> = (0..threads).map(start).collect();
            let mut made: Vec<_> = workers
                .into_iter()
                .map(|worker| match worker {
                    Ok(thread) => thread.join().expect("no panic").into_iter(),
                    // The system refused the thread.
                    Err(worker) => share(worker, threads).into_iter(),
                })
                .collect();
            (0..calls.len()).map(|i| made[i % threads].next().expect("one per call")).collect()
        });
        self.gpu.check(0)?;
        let steps = calls.iter().zip(pipelines).zip(chosen).enumerate();
        Ok(steps
            .map(|(i, ((call, pipeline), Chosen { form, shape }))| {
                let grid = (form.grid)(&call.params, &form.constants(call));
                let group = self.bind_group(i, &pipeline, &params);
                Step { form, shape, pipeline, group, grid, flops: call.flops }
            })
            .collect())
    }

    /// The form that call `index` runs.
    pub fn form(&self, index: usize) -> &'static Form {
        self.steps[index].form
    }

    /// The choices that were made for this program.
    pub fn choices(&self) -> KernelChoices {
        let shapes =
            self.steps.iter().filter_map(|step| Some((step.shape.clone()?, step.form.name.to_string())));
        KernelChoices { adapter: self.gpu.identity(), forms: shapes.collect() }
    }

    fn params_buffer(&self) -> Result<Buffer, GpuError> {
        let calls = &self.program.calls;
        let mut bytes = vec![0u8; calls.len().max(1) * PARAMS_STRIDE as usize];
        for (call, slot) in calls.iter().zip(bytes.chunks_mut(PARAMS_STRIDE as usize)) {
            slot[..call.params.len()].copy_from_slice(&call.params);
        }
        let buffer = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters of the calls"),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.gpu.check(bytes.len() as u64)?;
        self.gpu.queue.write_buffer(&buffer, 0, &bytes);
        Ok(buffer)
    }

    fn bind_group(&self, index: usize, pipeline: &Pipeline, params: &Buffer) -> BindGroup {
        let call = &self.program.calls[index];
        let mut bindings = vec![wgpu::BufferBinding {
            buffer: params,
            offset: index as u64 * PARAMS_STRIDE,
            size: std::num::NonZero::new(call.params.len().next_multiple_of(16) as u64),
        }];
        for id in call.reads.iter().chain(&call.writes) {
            let (buffer, offset, bytes) = self.place(*id);
            bindings.push(wgpu::BufferBinding { buffer, offset, size: std::num::NonZero::new(bytes) });
        }
        self.gpu.bind_group(call.kernel.name, pipeline, bindings)
    }

    /// Buffer, first byte and bytes of a tensor.
    fn place(&self, id: TensorId) -> (&Buffer, u64, u64) {
        let info = self.program.tensor(id);
        let (buffer, offset) = self.root_place(info.root);
        let half = self.program.is_half(id);
        (buffer, offset + half::bytes(info.offset, half), half::bytes(info.shape.len(), half))
    }

    fn root_place(&self, root: usize) -> (&Buffer, u64) {
        match (&self.states[root], self.program.memory.places[root]) {
            (Some(state), _) => (state, 0),
            (None, Some(place)) => (&self.arenas[place.arena], place.offset),
            (None, None) => unreachable!("the plan places every root that is no state"),
        }
    }

    /// Writes root `root` before the next run.
    pub fn write(&mut self, root: usize, values: &[f32]) {
        let (buffer, offset) = self.root_place(root);
        self.gpu.queue.write_buffer(buffer, offset, bytemuck::cast_slice(values));
    }

    /// Submits one run; nothing is waited for.
    pub fn run(&mut self) -> Result<Ticket, GpuError> {
        let limit = if self.gpu.is_software() { SOFTWARE_SUBMIT_FLOPS } else { HARDWARE_SUBMIT_FLOPS };
        let mut start = 0;
        while start < self.steps.len() {
            let mut flops = 0;
            let more = |step: &&Step| {
                flops += step.flops;
                flops <= limit
            };
            let end = start + self.steps[start..].iter().take_while(more).count().max(1);
            if end == self.steps.len() {
                break;
            }
            let mut encoder = self.encoder();
            self.record(&mut encoder, start..end);
            self.gpu.submit(encoder.finish());
            start = end;
        }
        let mut encoder = self.encoder();
        self.record(&mut encoder, start..self.steps.len());
        let bytes = self.output_bytes();
        let idle = self.idle_staging.lock().expect("no thread panicked").pop();
        let staging = match (idle, bytes) {
            (_, 0) => None,
            (None, _) => Some(self.gpu.staging(bytes)?),
            (idle, _) => idle,
        };
        if let Some(staging) = &staging {
            let mut at = 0;
            for (_, id) in &self.program.outputs {
                let (buffer, offset, bytes) = self.place(*id);
                encoder.copy_buffer_to_buffer(buffer, offset, staging, at, bytes);
                at += bytes;
            }
        }
        let submission = self.gpu.submit(encoder.finish());
        self.gpu.check(0)?;
        Ok(Ticket { staging, submission, idle: self.idle_staging.clone() })
    }

    /// Waits for a run and returns its outputs in the program's order.
    pub fn finish(&mut self, mut ticket: Ticket) -> Result<Vec<Vec<f32>>, GpuError> {
        // A buffer that could not be read may be mapped still, so it is given back only after it was read.
        let staging = ticket.staging.take();
        if let Some(staging) = &staging {
            staging.map_async(wgpu::MapMode::Read, .., |_| {});
        }
        self.gpu.wait(Some(ticket.submission.clone()))?;
        let Some(staging) = staging else { return Ok(Vec::new()) };
        let values: Vec<f32> = bytemuck::cast_vec(self.gpu.mapped(&staging, self.output_bytes())?);
        ticket.staging = Some(staging);
        let mut rest = values.as_slice();
        let outputs = self.program.outputs.iter().map(|(_, id)| {
            let (own, others) = rest.split_at(self.program.tensor(*id).shape.len());
            rest = others;
            own.to_vec()
        });
        Ok(outputs.collect())
    }

    /// Buffers for outputs that wait for the next run.
    pub fn idle_staging(&self) -> usize {
        self.idle_staging.lock().expect("no thread panicked").len()
    }

    fn output_bytes(&self) -> u64 {
        self.program.outputs.iter().map(|(_, id)| self.program.tensor(*id).shape.bytes()).sum()
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    fn record(&self, encoder: &mut wgpu::CommandEncoder, range: std::ops::Range<usize>) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for step in &self.steps[range] {
            dispatch(&mut pass, step);
        }
    }

    /// Runs one call and waits.
    pub fn call(&mut self, index: usize) -> Result<(), GpuError> {
        let mut encoder = self.encoder();
        self.record(&mut encoder, index..index + 1);
        let submission = self.gpu.submit(encoder.finish());
        self.gpu.wait(Some(submission))
    }

    /// Reads a tensor between calls.
    pub fn read(&self, id: TensorId) -> Result<Vec<f32>, GpuError> {
        let (buffer, offset, bytes) = self.place(id);
        let words = self.gpu.read_words(buffer, offset, bytes as usize / 4)?;
        Ok(half::from_words(&words, self.program.is_half(id), self.program.tensor(id).shape.len()))
    }

    /// Writes a tensor between calls.
    pub fn write_tensor(&mut self, id: TensorId, values: &[f32]) {
        let (buffer, offset, _) = self.place(id);
        self.gpu.queue.write_buffer(buffer, offset, &half::to_bytes(values, self.program.is_half(id)));
    }

    /// Seconds of every call of one run, by the device's timestamps; `None` where it offers none.
    pub fn profile(&mut self) -> Result<Option<Vec<f64>>, GpuError> {
        if !self.gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) || self.steps.is_empty() {
            return Ok(None);
        }
        let mut seconds = Vec::with_capacity(self.steps.len());
        // A query set holds at most 4,096 stamps.
        for range in (0..self.steps.len()).step_by(1024) {
            let end = (range + 1024).min(self.steps.len());
            seconds.extend(self.profile_range(range..end)?);
        }
        Ok(Some(seconds))
    }

    fn profile_range(&mut self, range: std::ops::Range<usize>) -> Result<Vec<f64>, GpuError> {
        let stamps = 2 * range.len() as u32;
        let device = &self.gpu.device;
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count: stamps,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("profile"),
            size: u64::from(stamps) * 8,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        for (i, step) in self.steps[range].iter().enumerate() {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(2 * i as u32),
                    end_of_pass_write_index: Some(2 * i as u32 + 1),
                }),
            });
            dispatch(&mut pass, step);
        }
        encoder.resolve_query_set(&queries, 0..stamps, &resolved, 0);
        self.gpu.submit(encoder.finish());
        let words = self.gpu.read_words(&resolved, 0, 2 * stamps as usize)?;
        let ticks: Vec<u64> = words.chunks(2).map(|w| u64::from(w[0]) | u64::from(w[1]) << 32).collect();
        let period = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9;
        Ok(ticks.chunks(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period).collect())
    }
}

fn dispatch(pass: &mut wgpu::ComputePass, step: &Step) {
    pass.set_pipeline(&step.pipeline.pipeline);
    pass.set_bind_group(0, &step.group, &[]);
    let [x, y, z] = step.grid;
    pass.dispatch_workgroups(x, y, z);
}

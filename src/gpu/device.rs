//! The device and its pipelines. It is opened once and shared.
//!
//! Shaders are embedded, and the tests check them. So normal runs trust them and leave out the bounds checks of every load
//! (`Checks::Trusted`). `Checks::Full` keeps these checks, for tests and to find faults of a driver.

use super::adapter::{Listed, USED_FEATURES};
use super::ahead::{Ahead, Recipe};
use super::tuning::store::{self, Store};
use super::tuning::{KernelChoices, Tune, Tuner};
use super::{GpuError, half, probe};
use crate::kernels::{Constants, Form, generate};
use crate::program::precision::Precision;
use crate::program::{Call, MemoryLimits, Program, Split};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wgpu::{
    BindGroupLayout, Buffer, BufferUsages, CommandBuffer, ComputePipeline, DeviceType, Features, PollError,
    PollStatus, PollType, SubmissionIndex,
};

/// The time within which an adapter must complete something. A slow adapter completes one submit after another; one that hangs
/// completes none.
const SILENCE: Duration = Duration::from_secs(120);

/// Whether shaders carry the runtime's checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Every index and loop is checked by the runtime.
    Full,
    /// The shaders are trusted.
    Trusted,
}

/// Which forms of the kernels may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    /// The most specific form that the adapter supports.
    Best,
    /// The form that measures fastest, as [`Tune`] says. The choice is kept in [`store::folder`]. Pipelines of a software driver are
    /// compiled ahead.
    Measured(Tune),
    /// The portable ones.
    Portable,
}

/// A compiled kernel form.
pub struct Pipeline {
    /// wgpu's pipeline.
    pub pipeline: ComputePipeline,
    /// One uniform, then all tensors.
    pub layout: BindGroupLayout,
}

/// Kernel, form, constants, the source of what was made for one call, and the bindings that are f16.
type PipelineKey = (&'static str, &'static str, Constants, Option<String>, u32);

/// How an adapter is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether shaders carry checks.
    pub checks: Checks,
    /// Which forms may run.
    pub forms: Forms,
    /// How numbers are stored.
    pub precision: Precision,
}

/// An opened adapter.
pub struct Gpu {
    /// wgpu's device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// The adapter's facts.
    pub info: wgpu::AdapterInfo,
    /// How numbers are stored.
    pub precision: Precision,
    checks: Checks,
    forms: Forms,
    tuner: Tuner,
    pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    /// For a driver that compiles at the first dispatch.
    ahead: Option<Ahead>,
    /// Submits that the adapter has completed.
    completed: Arc<AtomicU64>,
    /// The first thing that went wrong, if any.
    failure: Arc<Mutex<Option<Failure>>>,
}

#[derive(Clone, Debug)]
enum Failure {
    OutOfMemory,
    Lost(String),
    Other(String),
}

impl Gpu {
    /// Opens `listed` with the largest limits it offers, and probes it if it is a software driver. Numbers are f32.
    pub fn open(listed: &Listed, checks: Checks, forms: Forms) -> Result<Arc<Self>, GpuError> {
        Self::open_as(listed, Options { checks, forms, precision: Precision::F32 })
    }

    /// The same with all options.
    pub fn open_as(listed: &Listed, options: Options) -> Result<Arc<Self>, GpuError> {
        let tuner = match options.forms {
            Forms::Measured(tune) if tune != Tune::Off => Tuner::new(tune, open_store(listed)),
            _ => Tuner::new(Tune::Off, Store::none()),
        };
        Self::open_with(listed, options, tuner)
    }

    /// The same with a tuner of one's own.
    pub fn open_with(listed: &Listed, options: Options, tuner: Tuner) -> Result<Arc<Self>, GpuError> {
        let info = listed.info.clone();
        let Options { checks, forms, precision } = options;
        let mut features = listed.adapter.features() & USED_FEATURES;
        if precision == Precision::Mixed {
            if !listed.adapter.features().contains(Features::SHADER_F16) {
                return Err(GpuError::NoHalf { adapter: info.name });
            }
            features |= Features::SHADER_F16;
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("pgn-wgpu"),
            required_features: features,
            required_limits: listed.adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(listed.adapter.request_device(&descriptor))
            .map_err(|e| GpuError::Open { adapter: info.name.clone(), reason: e.to_string() })?;
        let failure: Arc<Mutex<Option<Failure>>> = Arc::default();
        let slot = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            let failure = match error {
                wgpu::Error::OutOfMemory { .. } => Failure::OutOfMemory,
                other => Failure::Other(other.to_string()),
            };
            slot.lock().expect("no thread panicked").get_or_insert(failure);
        }));
        let slot = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                let failure = Failure::Lost(format!("the device was lost: {message}"));
                slot.lock().expect("no thread panicked").get_or_insert(failure);
            }
        });
        let pipelines = Mutex::default();
        let idle_cores = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
        let wanted = matches!(forms, Forms::Measured(_));
        let ahead = (info.device_type == DeviceType::Cpu && idle_cores && wanted)
            .then(|| Ahead::new(listed.adapter.clone(), features, checks));
        let completed = Arc::default();
        let gpu = Self {
            device,
            queue,
            info,
            precision,
            checks,
            forms,
            tuner,
            pipelines,
            ahead,
            completed,
            failure,
        };
        if gpu.is_software() && !probe::loops_run_to_their_end(&gpu)? {
            let driver = format!("{} {}", gpu.info.driver, gpu.info.driver_info);
            return Err(GpuError::BrokenLoops { adapter: gpu.info.name, driver });
        }
        Ok(Arc::new(gpu))
    }

    /// Whether the adapter is a software driver.
    pub fn is_software(&self) -> bool {
        self.info.device_type == DeviceType::Cpu
    }

    /// What a memory plan must keep to.
    pub fn memory_limits(&self) -> MemoryLimits {
        let limits = self.device.limits();
        MemoryLimits {
            buffer: limits.max_buffer_size,
            binding: limits.max_storage_buffer_binding_size,
            matrix_products: self.precision == Precision::F32
                && crate::kernels::matrix_product
                    .forms
                    .iter()
                    .any(|f| f.needs.subgroup.is_some() && self.supports(f)),
            biases_with_weights: !self.is_software(),
            // In software a few tiles keep the cores busy, and every part costs a write and a read.
            split: if self.is_software() { Split { values: 1 << 14, most: 64 } } else { Split::GPU },
            half: self.precision == Precision::Mixed,
        }
    }

    /// Whether shaders carry the runtime's checks here.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// The bindings of a call that are f16: bit b for binding b, of which 0 is the parameters.
    pub fn half_bindings(program: &Program, call: &Call) -> u32 {
        let tensors = call.reads.iter().chain(&call.writes).zip(1..);
        tensors.map(|(id, binding)| u32::from(program.is_half(*id)) << binding).sum()
    }

    /// Chooses among the forms of a kernel.
    pub fn tuner(&self) -> &Tuner {
        &self.tuner
    }

    /// Adapter and driver. Measured times hold for them.
    pub fn identity(&self) -> String {
        identity(&self.info)
    }

    /// Takes over the choices of a run on this adapter and driver. Choices of another adapter or driver are ignored.
    pub fn pin(&self, choices: &KernelChoices) {
        if choices.adapter == self.identity() {
            self.tuner.pin(&choices.forms);
        }
    }

    /// The forms worth trying for `call` here, the most specific last.
    pub fn candidates(&self, call: &Call) -> Vec<&'static Form> {
        let mut forms = self.able(call);
        forms.retain(|form| !(form.needs.hardware && self.is_software()));
        forms
    }

    /// The forms that can run `call` here, the most specific last.
    pub fn able(&self, call: &Call) -> Vec<&'static Form> {
        let forms = call.kernel.forms.iter();
        forms.filter(|form| self.supports(form) && (form.fits)(&call.params, &call.constants)).collect()
    }

    /// Whether the adapter has what a form needs. A call may ask for more, see [`Self::able`].
    pub fn supports(&self, form: &Form) -> bool {
        let exact = (self.info.subgroup_min_size == self.info.subgroup_max_size)
            .then_some(self.info.subgroup_min_size);
        let subgroups = self.forms != Forms::Portable && self.device.features().contains(Features::SUBGROUP);
        let int64 =
            self.precision == Precision::F32 && self.device.features().contains(Features::SHADER_INT64);
        form.needs.subgroup.is_none_or(|size| subgroups && exact == Some(size))
            && (int64 || !form.needs.int64)
            && (self.forms != Forms::Portable || !form.needs.hardware)
    }

    /// The pipeline of a call in this form, compiled once for all calls that differ in sizes only. `half` has the
    /// bindings that are f16.
    pub fn pipeline(&self, call: &Call, form: &'static Form, half: u32) -> Arc<Pipeline> {
        let key = pipeline_key(call, form, half);
        if let Some(known) = self.pipelines.lock().expect("no thread panicked").get(&key) {
            return known.clone();
        }
        let made = Arc::new(Pipeline::new(&self.device, self.checks, &recipe(call, form, &key)));
        self.pipelines.lock().expect("no thread panicked").entry(key).or_insert(made).clone()
    }

    /// Starts to compile the pipelines that a program will probably use, if the driver compiles at the first dispatch.
    pub fn compile_ahead(&self, program: &Program) {
        let Some(ahead) = &self.ahead else { return };
        let known = self.pipelines.lock().expect("no thread panicked");
        let mut seen = HashSet::new();
        let mut recipes = Vec::new();
        for call in &program.calls {
            let Some(&form) = self.candidates(call).last() else { continue };
            let key = pipeline_key(call, form, Self::half_bindings(program, call));
            if !known.contains_key(&key) && seen.insert(key.clone()) {
                recipes.push(recipe(call, form, &key));
            }
        }
        ahead.compile(recipes);
    }

    /// Pipelines compiled ahead so far.
    pub fn compiled_ahead(&self) -> usize {
        self.ahead.as_ref().map_or(0, Ahead::made)
    }

    /// A pipeline of a shader without parameters or constants, for probes and measurements.
    pub fn simple_pipeline(&self, source: &str) -> ComputePipeline {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some("probe"),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        let module = module(&self.device, self.checks, descriptor);
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("probe"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        })
    }

    /// A buffer that kernels work in, filled with zeros.
    pub fn buffer(&self, label: &str, bytes: u64) -> Buffer {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(4),
            usage,
            mapped_at_creation: false,
        })
    }

    /// A buffer of parameters.
    pub fn uniform(&self, bytes: &[u8]) -> Buffer {
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: (bytes.len() as u64).next_multiple_of(16).max(16),
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(16), 0);
        self.queue.write_buffer(&buffer, 0, &padded);
        buffer
    }

    /// Parameters and tensors of a call, in binding order.
    pub fn bind_group<'a>(
        &self,
        label: &str,
        pipeline: &Pipeline,
        bindings: impl IntoIterator<Item = wgpu::BufferBinding<'a>>,
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = bindings
            .into_iter()
            .zip(0..)
            .map(|(b, binding)| wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(b) })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &pipeline.layout,
            entries: &entries,
        })
    }

    /// A buffer that the host reads.
    pub fn staging(&self, bytes: u64) -> Result<Buffer, GpuError> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read-back"),
            size: bytes.max(4),
            usage: BufferUsages::COPY_DST | BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        self.check(bytes)?;
        Ok(staging)
    }

    /// Submits commands; nothing is waited for.
    pub fn submit(&self, commands: CommandBuffer) -> SubmissionIndex {
        let submission = self.queue.submit([commands]);
        let completed = self.completed.clone();
        self.queue.on_submitted_work_done(move || {
            completed.fetch_add(1, Ordering::Relaxed);
        });
        submission
    }

    /// Reads words of a buffer now.
    pub fn read_words(&self, buffer: &Buffer, offset: u64, words: usize) -> Result<Vec<u32>, GpuError> {
        let bytes = 4 * words as u64;
        let staging = self.staging(bytes)?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
        self.submit(encoder.finish());
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        self.wait(None)?;
        self.mapped(&staging, bytes)
    }

    /// The words of a mapped buffer, which is unmapped.
    pub fn mapped(&self, staging: &Buffer, bytes: u64) -> Result<Vec<u32>, GpuError> {
        self.check(0)?;
        let view = staging.get_mapped_range(..bytes).map_err(|e| self.failed(&e.to_string()))?;
        let words = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        staging.unmap();
        Ok(words)
    }

    /// Waits for a submission, or for everything.
    pub fn wait(&self, submission: Option<SubmissionIndex>) -> Result<(), GpuError> {
        let wanted = PollType::Wait { submission_index: submission, timeout: Some(SILENCE) };
        let polled = until_silent(&self.completed, || self.device.poll(wanted.clone()));
        self.check(0)?;
        polled.map(drop).map_err(|e| self.failed(&e.to_string()))
    }

    /// Reports the first failure since the device was opened; `bytes` is what was being allocated, 0 for nothing.
    pub fn check(&self, bytes: u64) -> Result<(), GpuError> {
        match self.failure.lock().expect("no thread panicked").clone() {
            None => Ok(()),
            Some(Failure::OutOfMemory) => {
                Err(GpuError::OutOfMemory { adapter: self.info.name.clone(), bytes })
            }
            Some(Failure::Lost(reason) | Failure::Other(reason)) => Err(self.failed(&reason)),
        }
    }

    /// Clears an out-of-memory failure after what did not fit has been dropped.
    pub fn forget_out_of_memory(&self) {
        let mut failure = self.failure.lock().expect("no thread panicked");
        if matches!(*failure, Some(Failure::OutOfMemory)) {
            *failure = None;
        }
    }

    /// Clears and returns the failure of a trial. A lost device stays lost.
    pub fn forgive(&self) -> Option<String> {
        let mut failure = self.failure.lock().expect("no thread panicked");
        match failure.take()? {
            Failure::OutOfMemory => Some("the adapter is out of memory".to_string()),
            Failure::Other(reason) => Some(one_line(&reason)),
            Failure::Lost(reason) => {
                *failure = Some(Failure::Lost(reason.clone()));
                Some(reason)
            }
        }
    }

    fn failed(&self, reason: &str) -> GpuError {
        GpuError::Failed { adapter: self.info.name.clone(), reason: one_line(reason) }
    }
}

/// Polls, and again after a timeout if submits were `completed` meanwhile. wgpu's timeout is for the whole queue; a poll that times
/// out still counts what was completed.
fn until_silent(
    completed: &AtomicU64,
    mut poll: impl FnMut() -> Result<PollStatus, PollError>,
) -> Result<PollStatus, PollError> {
    loop {
        let before = completed.load(Ordering::Relaxed);
        match poll() {
            Err(PollError::Timeout) if completed.load(Ordering::Relaxed) != before => {}
            polled => return polled,
        }
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

fn identity(info: &wgpu::AdapterInfo) -> String {
    format!("{}, {:?}, {} {}", info.name, info.backend, info.driver, info.driver_info)
}

/// The remembered choices of this adapter, driver and program version.
fn open_store(listed: &Listed) -> Store {
    let section = format!("{}, pgn-wgpu {}", identity(&listed.info), env!("CARGO_PKG_VERSION"));
    store::folder().map_or_else(Store::none, |folder| Store::open(&folder, section))
}

fn pipeline_key(call: &Call, form: &'static Form, half: u32) -> PipelineKey {
    let generated = call.expression.as_ref().map(|e| generate::shader(form.source, e));
    (call.kernel.name, form.name, form.constants(call), generated, half)
}

fn recipe(call: &Call, form: &Form, key: &PipelineKey) -> Recipe {
    let (kernel, _, constants, generated, half) = key;
    let source = generated.as_deref().unwrap_or(form.source);
    let source = if *half == 0 { source.to_string() } else { half::rewrite(source, *half) };
    let tensors = (call.reads.len() + call.writes.len()) as u32;
    Recipe { kernel, source, constants: constants.clone(), tensors }
}

impl Pipeline {
    /// Made on `device`; a software driver compiles it later.
    pub fn new(device: &wgpu::Device, checks: Checks, recipe: &Recipe) -> Self {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(recipe.kernel),
            source: wgpu::ShaderSource::Wgsl(recipe.source.as_str().into()),
        };
        let module = module(device, checks, descriptor);
        let entries: Vec<_> = (0..=recipe.tensors).map(layout_entry).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(recipe.kernel),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(recipe.kernel),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let constants: Vec<(&str, f64)> = recipe.constants.iter().map(|&(n, v)| (n, f64::from(v))).collect();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(recipe.kernel),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: checks == Checks::Full,
            },
            cache: None,
        });
        Self { pipeline, layout }
    }
}

fn module(
    device: &wgpu::Device,
    checks: Checks,
    descriptor: wgpu::ShaderModuleDescriptor,
) -> wgpu::ShaderModule {
    match checks {
        Checks::Full => device.create_shader_module(descriptor),
        Checks::Trusted => trusted(device, descriptor),
    }
}

#[expect(
    unsafe_code,
    reason = "wgpu marks unchecked shaders so; every index of ours is checked by the tests"
)]
fn trusted(device: &wgpu::Device, descriptor: wgpu::ShaderModuleDescriptor) -> wgpu::ShaderModule {
    // SAFETY: the shaders are embedded in this binary or made from one that is, and the tests run every one of them
    // with full checks and validate it against its twin.
    unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}

/// Binding 0 is the parameters. All tensors are read-write because many of them share one buffer, whose use
/// wgpu tracks as a whole.
fn layout_entry(binding: u32) -> wgpu::BindGroupLayoutEntry {
    let ty = match binding {
        0 => wgpu::BufferBindingType::Uniform,
        _ => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submit_that_is_completed_is_counted() {
        // The first adapter of the list, where there is one that can be used.
        let Some(listed) = crate::gpu::adapter::list().into_iter().next() else { return };
        let Ok(gpu) = Gpu::open(&listed, Checks::Trusted, Forms::Portable) else { return };
        let before = gpu.completed.load(Ordering::Relaxed);
        gpu.submit(gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default()).finish());
        gpu.wait(None).unwrap();
        assert_eq!(gpu.completed.load(Ordering::Relaxed), before + 1);
    }

    #[test]
    fn an_adapter_may_work_for_as_long_as_submits_are_completed() {
        let completed = AtomicU64::new(5);
        let mut polls = 0;
        let slow = until_silent(&completed, || {
            completed.fetch_add(1, Ordering::Relaxed);
            polls += 1;
            if polls < 4 { Err(PollError::Timeout) } else { Ok(PollStatus::WaitSucceeded) }
        });
        assert!(matches!(slow, Ok(PollStatus::WaitSucceeded)), "{slow:?}");
        assert_eq!(polls, 4);
    }

    #[test]
    fn an_adapter_that_completes_nothing_hangs() {
        let completed = AtomicU64::new(5);
        let mut polls = 0;
        let hung = until_silent(&completed, || {
            // The last submit that is completed at all.
            completed.store(6, Ordering::Relaxed);
            polls += 1;
            Err(PollError::Timeout)
        });
        assert!(matches!(hung, Err(PollError::Timeout)), "{hung:?}");
        assert_eq!(polls, 2);
    }
}

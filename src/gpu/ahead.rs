//! Compiles pipelines ahead of their use, on a second device and in a thread of its own.
//!
//! A software driver compiles a pipeline at its first dispatch, one after the other on the queue's thread. The other cores are idle,
//! and the first step of a training run waits for some forty pipelines. The driver keeps its results on disk. So a second device
//! of the same adapter dispatches the same pipelines with no workgroups, from the last one that the program uses to the first.
//! Where the two devices meet, the first one finds the rest on disk. This needs no knowledge of how long a pipeline takes. Without
//! a cache on disk it wastes a core for a few seconds and changes nothing else.

use super::device::{Checks, Pipeline};
use crate::kernels::Constants;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// The first pipelines, which the program's own device compiles alone: it begins with them before the second device is open.
const ALONE: usize = 4;

/// The parts of a pipeline.
pub struct Recipe {
    /// The kernel, for labels.
    pub kernel: &'static str,
    /// WGSL.
    pub source: String,
    /// Override constants.
    pub constants: Constants,
    /// Storage buffers, after the uniform.
    pub tensors: u32,
}

/// The thread and its device.
pub struct Ahead {
    recipes: Option<Sender<Recipe>>,
    /// Pipelines compiled so far.
    made: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// A thread that opens a device of `adapter` when there is something to compile.
    pub fn new(adapter: wgpu::Adapter, features: wgpu::Features, checks: Checks) -> Self {
        let (recipes, jobs) = channel();
        let (made, stopped): (Arc<AtomicUsize>, Arc<AtomicBool>) = Default::default();
        let progress = (made.clone(), stopped.clone());
        let work = move || compile_all(&adapter, features, checks, &jobs, &progress);
        // If the system refuses a thread, the first device compiles all pipelines.
        let thread = std::thread::Builder::new().name("ahead".to_string()).spawn(work).ok();
        Self { recipes: Some(recipes), made, stopped, thread }
    }

    /// Pipelines compiled so far.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Compiles what a program will use, given in the order of its first use.
    pub fn compile(&self, recipes: Vec<Recipe>) {
        let Some(sender) = &self.recipes else { return };
        for recipe in recipes.into_iter().skip(ALONE).rev() {
            // If the second device failed, the thread has ended, and the first device compiles.
            let _ = sender.send(recipe);
        }
    }
}

impl Drop for Ahead {
    /// Waits for the pipeline that is being compiled. A process must not end while its driver compiles.
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.recipes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn compile_all(
    adapter: &wgpu::Adapter,
    features: wgpu::Features,
    checks: Checks,
    recipes: &Receiver<Recipe>,
    (made, stopped): &(Arc<AtomicUsize>, Arc<AtomicBool>),
) {
    let Ok(mut recipe) = recipes.recv() else { return };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("pgn-wgpu, ahead"),
        required_features: features,
        required_limits: adapter.limits(),
        ..Default::default()
    };
    let Ok((device, queue)) = pollster::block_on(adapter.request_device(&descriptor)) else { return };
    let stop = stopped.clone();
    device.on_uncaptured_error(Arc::new(move |_| stop.store(true, Ordering::Relaxed)));
    let buffer = |usage| {
        let (label, size) = (Some("nothing"), 256);
        device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
    };
    let nothing = [wgpu::BufferUsages::UNIFORM, wgpu::BufferUsages::STORAGE].map(buffer);
    while !stopped.load(Ordering::Relaxed) {
        compile(&device, &queue, checks, &recipe, &nothing);
        if !stopped.load(Ordering::Relaxed) {
            made.fetch_add(1, Ordering::Relaxed);
        }
        recipe = match recipes.recv() {
            Ok(recipe) => recipe,
            Err(_) => return,
        };
    }
}

/// A dispatch over no workgroups makes the driver compile, and nothing runs.
fn compile(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    checks: Checks,
    recipe: &Recipe,
    [params, tensor]: &[wgpu::Buffer; 2],
) {
    let Pipeline { pipeline, layout } = Pipeline::new(device, checks, recipe);
    let entries: Vec<_> = (0..=recipe.tensors)
        .map(|binding| {
            let buffer = if binding == 0 { params } else { tensor };
            wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() }
        })
        .collect();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(recipe.kernel),
        layout: &layout,
        entries: &entries,
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(0, 0, 0);
    }
    let submission = queue.submit([encoder.finish()]);
    let _ = device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None });
}

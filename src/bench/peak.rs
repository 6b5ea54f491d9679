//! A device's own limits, measured: multiply-adds in registers, and a copy through memory.

use super::median;
use crate::executor::{Device, ExecutionError};
use crate::gpu::device::Gpu;
use rayon::prelude::*;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Measured limits.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Peak {
    /// 10⁹ floating-point operations per second; a multiply-add is two.
    pub gflops: f64,
    /// 10⁹ bytes per second, read and written.
    pub gigabytes_per_second: f64,
}

/// Bytes copied at a time; beyond every cache but the largest.
const COPY_BYTES: u64 = 48 << 20;
/// Each measurement repeats for about this long.
const BUDGET: Duration = Duration::from_millis(700);
/// Operations per invocation of `shaders/bench/arithmetic.wgsl`, and what each invocation must write.
const STEPS: u64 = 1024;
const OPERATIONS: u64 = STEPS * 2 * 16 * 2;
const EXPECTED: f32 = (STEPS * 2 * 16) as f32;

/// Measures `device`; `None` if a result was wrong.
pub fn measure(device: &Device) -> Result<Option<Peak>, ExecutionError> {
    match device {
        Device::Cpu(_) => Ok(Some(cpu())),
        Device::Gpu(gpu) => Ok(on_gpu(gpu)?),
    }
}

/// Runs `work` for about the budget and returns the median seconds.
fn time(mut work: impl FnMut()) -> f64 {
    let (started, mut seconds) = (Instant::now(), Vec::new());
    while started.elapsed() < BUDGET || seconds.len() < 3 {
        let once = Instant::now();
        work();
        seconds.push(once.elapsed().as_secs_f64());
    }
    median(seconds)
}

fn on_gpu(gpu: &Gpu) -> Result<Option<Peak>, crate::gpu::GpuError> {
    let groups = if gpu.is_software() { 64 } else { 16_384 };
    let invocations = groups as u64 * 64;
    let values = gpu.buffer("arithmetic", 4 * (2 + invocations));
    gpu.queue.write_buffer(&values, 0, bytemuck::cast_slice(&[1.0f32, 1.0]));
    let arithmetic = Probe::new(gpu, include_str!("../../shaders/bench/arithmetic.wgsl"), &[&values]);
    arithmetic.run(gpu, groups)?;
    let written: Vec<f32> = bytemuck::cast_vec(gpu.read_words(&values, 8, invocations as usize)?);
    if !is_expected(&written) {
        return Ok(None);
    }
    let mut failure = None;
    let mut timed =
        |probe: &Probe, groups: u32| time(|| failure = probe.run(gpu, groups).err().or(failure.take()));
    let seconds = timed(&arithmetic, groups);
    let bytes = COPY_BYTES.min(gpu.memory_limits().binding);
    let (source, target) = (gpu.buffer("copy", bytes), gpu.buffer("copy", bytes));
    let pattern: Vec<u32> = (0..1024).map(|i: u32| i.wrapping_mul(2_654_435_761) >> 9).collect();
    gpu.queue.write_buffer(&source, bytes - 4096, bytemuck::cast_slice(&pattern));
    let copy = Probe::new(gpu, include_str!("../../shaders/bench/copy.wgsl"), &[&source, &target]);
    let copy_groups = (bytes / 16 / 64) as u32;
    copy.run(gpu, copy_groups)?;
    if gpu.read_words(&target, bytes - 4096, 1024)? != pattern {
        return Ok(None);
    }
    let copy_seconds = timed(&copy, copy_groups);
    failure.map_or(Ok(()), Err)?;
    Ok(Some(Peak {
        gflops: (invocations * OPERATIONS) as f64 / seconds * 1e-9,
        gigabytes_per_second: 2.0 * bytes as f64 / copy_seconds * 1e-9,
    }))
}

/// Whether every invocation of the arithmetic has written what it must.
fn is_expected(written: &[f32]) -> bool {
    written.iter().all(|&value| value == EXPECTED)
}

/// A shader with its buffers.
struct Probe {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
}

impl Probe {
    fn new(gpu: &Gpu, source: &str, buffers: &[&wgpu::Buffer]) -> Self {
        let pipeline = gpu.simple_pipeline(source);
        let entries: Vec<_> = buffers
            .iter()
            .enumerate()
            .map(|(i, b)| wgpu::BindGroupEntry { binding: i as u32, resource: b.as_entire_binding() })
            .collect();
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("bench"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self { pipeline, group }
    }

    fn run(&self, gpu: &Gpu, groups: u32) -> Result<(), crate::gpu::GpuError> {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.group, &[]);
            pass.dispatch_workgroups(groups, 1, 1);
        }
        let submission = gpu.submit(encoder.finish());
        gpu.wait(Some(submission))
    }
}

/// Products of 384 x 384 matrices on every thread, and a copy with all threads.
fn cpu() -> Peak {
    const SIDE: usize = 384;
    let threads = rayon::current_num_threads();
    let (a, b) = (vec![1.0f32; SIDE * SIDE], vec![0.5f32; SIDE * SIDE]);
    let mut out = vec![vec![0.0f32; SIDE * SIDE]; threads];
    let seconds = time(|| {
        out.par_iter_mut().for_each(|out| crate::cpu::fast::square_product(out, &a, &b, SIDE));
    });
    assert!(out.iter().flatten().all(|&v| (v - 0.5 * SIDE as f32).abs() < 1e-3), "the product is wrong");
    let (source, mut target) = (vec![1u8; COPY_BYTES as usize], vec![0u8; COPY_BYTES as usize]);
    let copy_seconds = time(|| {
        let size = source.len().div_ceil(threads);
        target
            .par_chunks_mut(size)
            .zip(source.par_chunks(size))
            .for_each(|(to, from)| to.copy_from_slice(from));
    });
    Peak {
        gflops: (threads * 2 * SIDE * SIDE * SIDE) as f64 / seconds * 1e-9,
        gigabytes_per_second: 2.0 * COPY_BYTES as f64 / copy_seconds * 1e-9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_no_right_result() {
        assert!(is_expected(&[EXPECTED; 3]));
        for wrong in [EXPECTED + 1.0, f32::NAN, f32::INFINITY] {
            assert!(!is_expected(&[EXPECTED, wrong]), "{wrong}");
        }
    }
}

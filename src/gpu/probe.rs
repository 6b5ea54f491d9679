//! Finds a software driver that computes wrong numbers before it is used.
//!
//! lavapipe of Mesa 22 ends the loops of an invocation after 65,535 iterations in total, without an error. Sums then lack their
//! last terms. The probe counts further than that and compares.

use super::GpuError;
use super::device::Gpu;
use wgpu::util::DeviceExt;

const ITERATIONS: u32 = 70_000;

const SOURCE: &str = "
@group(0) @binding(0) var<storage, read_write> counted: array<u32>;
@compute @workgroup_size(1)
fn main() {
    let wanted = counted[0];
    var count = 0u;
    // The sum depends on a tensor, so that no compiler replaces the loop by its result.
    for (var i = 0u; i < wanted; i++) { count += 1u + (counted[1] & i & 0x80000000u); }
    counted[2] = count;
}";

/// Whether a loop of 70,000 iterations runs to its end.
///
/// # Errors
/// If the adapter does not run it at all.
pub fn loops_run_to_their_end(gpu: &Gpu) -> Result<bool, GpuError> {
    let device = &gpu.device;
    let pipeline = gpu.simple_pipeline(SOURCE);
    let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: Some("loop probe"),
        contents: bytemuck::cast_slice(&[ITERATIONS, 0, 0, 0]),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
    });
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("loop probe"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
    gpu.submit(encoder.finish());
    Ok(gpu.read_words(&buffer, 8, 1)? == [ITERATIONS])
}

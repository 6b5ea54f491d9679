//! Every call of a small program, form by form against its twin.
//!
//! A call's tensors lie in buffers of their own between guard zones: NaN beside what is read, which spoils every sum
//! that it gets into, and a number of no meaning beside what is written, which must still be there afterwards. Results
//! are NaN beforehand, so one that is left unwritten is seen, and so is a write to what should only be read.

use super::record::record;
use super::{Values, compare_with, gpus};
use pgn_wgpu::gpu::device::Gpu;
use pgn_wgpu::graph::Graph;
use pgn_wgpu::kernels::allowance::allowance;
use pgn_wgpu::kernels::{Form, Twin};
use pgn_wgpu::program::{Call, MemoryLimits, Program, RootKind, TensorId};
use wgpu::util::DeviceExt;

/// A graph with what the host writes before it runs: inputs and states by name.
pub struct Case {
    /// Shown when a form disagrees.
    pub name: String,
    /// One operation, or a few.
    pub graph: Graph,
    /// Values of inputs and states.
    pub values: Values,
    /// Whether convolutions go by matrix products.
    pub matrix_products: bool,
}

impl Case {
    /// The calls of the case.
    pub fn program(&self) -> Program {
        Program::compile(
            &self.graph,
            MemoryLimits {
                matrix_products: self.matrix_products,
                biases_with_weights: true,
                ..MemoryLimits::NONE
            },
        )
        .unwrap()
    }

    /// Runs every call on the twin, the fast CPU form and all GPU forms that the adapter supports, with full
    /// checks and trusted.
    ///
    /// # Errors
    /// One line per form that disagrees.
    pub fn judge(&self) -> Result<(), String> {
        let program = self.program();
        let mut memory = self.memory(&program);
        let mut complaints = Vec::new();
        for call in &program.calls {
            let expected = judge_call(&program, &memory, call, &mut complaints);
            for (id, values) in call.writes.iter().zip(expected) {
                let info = program.tensor(*id);
                memory[info.root][info.offset..][..values.len()].copy_from_slice(&values);
            }
        }
        let name = &self.name;
        let lines: Vec<String> = complaints.into_iter().map(|c| format!("{name}: {c}")).collect();
        if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
    }

    /// One vector per root, NaN where nothing has been computed yet.
    fn memory(&self, program: &Program) -> Vec<Vec<f32>> {
        let roots = program.roots.iter().map(|root| match &root.kind {
            RootKind::Computed => vec![f32::NAN; root.len],
            RootKind::Constant(value) => vec![*value; root.len],
            RootKind::Input(name) | RootKind::State(name) => {
                let found = self.values.iter().find(|(n, _)| n == name);
                let values = &found.unwrap_or_else(|| panic!("{}: no values for {name}", self.name)).1;
                assert_eq!(values.len(), root.len, "{}: values for {name}", self.name);
                values.clone()
            }
        });
        roots.collect()
    }
}

/// Judges all cases and fails with everything that disagrees.
pub fn judge_all(cases: &[Case]) {
    assert!(!cases.is_empty());
    let complaints: Vec<String> = cases.iter().filter_map(|case| case.judge().err()).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Returns what the twin writes; adds a complaint for every form that writes something else.
fn judge_call(
    program: &Program,
    memory: &[Vec<f32>],
    call: &Call,
    complaints: &mut Vec<String>,
) -> Vec<Vec<f32>> {
    let tensor = |id: &TensorId| {
        let info = program.tensor(*id);
        memory[info.root][info.offset..][..info.shape.len()].to_vec()
    };
    let reads: Vec<Vec<f32>> = call.reads.iter().map(tensor).collect();
    let before: Vec<Vec<f32>> = call.writes.iter().map(tensor).collect();
    let slack = slack(call, &reads, &before);
    let expected = on_cpu(call, call.kernel.twin, &reads, before.clone());
    record(call, &reads, &before, &expected, &slack);
    let mut judge = |form: &str, actual: Result<Vec<Vec<f32>>, String>| {
        let verdict = actual.and_then(|actual| {
            let tensors = actual.iter().zip(&expected).zip(&call.writes).zip(&slack);
            tensors.into_iter().try_for_each(|(((a, e), id), slack)| {
                compare_with(a, e, &program.tensor(*id).shape, call.kernel.tolerance, slack)
            })
        });
        if let Err(complaint) = verdict {
            complaints.push(format!("{} {:?}, {form}: {complaint}", call.kernel.name, call.constants));
        }
    };
    if let Some(fast) = call.kernel.fast {
        judge("fast CPU form", Ok(on_cpu(call, fast, &reads, before.clone())));
    }
    for (gpu, checks) in gpus().into_iter().zip(["full checks", "trusted"]) {
        for form in gpu.able(call) {
            let name = format!("{} form, {checks}", form.name);
            judge(&name, on_gpu(gpu, call, form, &reads, &before));
        }
    }
    expected
}

/// Per written tensor, what rounding inside a fused call allows.
fn slack(call: &Call, reads: &[Vec<f32>], before: &[Vec<f32>]) -> Vec<Vec<f32>> {
    if call.expression.is_none() {
        return vec![Vec::new(); before.len()];
    }
    let reads: Vec<&[f32]> = reads.iter().map(Vec::as_slice).collect();
    let mut before = before.to_vec();
    let mut slots: Vec<&mut [f32]> = before.iter_mut().map(Vec::as_mut_slice).collect();
    allowance(&call.arguments(&reads, &mut slots))
}

fn on_cpu(call: &Call, function: Twin, reads: &[Vec<f32>], mut writes: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let reads: Vec<&[f32]> = reads.iter().map(Vec::as_slice).collect();
    let mut slots: Vec<&mut [f32]> = writes.iter_mut().map(Vec::as_mut_slice).collect();
    function(&mut call.arguments(&reads, &mut slots));
    writes
}

/// Values on either side of every tensor. The ones behind it are bound with it: drivers may stop an access beyond a
/// binding, which would hide the mistake.
const GUARD: usize = 64;
/// What they are beside tensors that are written.
const UNTOUCHED: f32 = 1.234_567e33;

fn on_gpu(
    gpu: &Gpu,
    call: &Call,
    form: &'static Form,
    reads: &[Vec<f32>],
    before: &[Vec<f32>],
) -> Result<Vec<Vec<f32>>, String> {
    let pipeline = gpu.pipeline(call, form, 0);
    let mut params = call.params.clone();
    params.resize(params.len().next_multiple_of(16), 0);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let tensors: Vec<&Vec<f32>> = reads.iter().chain(before).collect();
    let mut buffers = vec![buffer(gpu, &params, wgpu::BufferUsages::UNIFORM)];
    for (i, values) in tensors.iter().enumerate() {
        let guard = [if i < reads.len() { f32::NAN } else { UNTOUCHED }; GUARD];
        buffers.push(buffer(gpu, bytemuck::cast_slice(&[&guard, values.as_slice(), &guard].concat()), usage));
    }
    let entries: Vec<wgpu::BindGroupEntry> =
        buffers.iter().enumerate().map(|(i, b)| entry(i, b, &tensors)).collect();
    let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.layout,
        entries: &entries,
    });
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &group, &[]);
        let [x, y, z] = (form.grid)(&call.params, &form.constants(call));
        pass.dispatch_workgroups(x, y, z);
    }
    gpu.submit(encoder.finish());
    let mut results = Vec::new();
    for (i, (buffer, values)) in buffers[1..].iter().zip(&tensors).enumerate() {
        let words = gpu.read_words(buffer, 0, values.len() + 2 * GUARD).map_err(|e| e.to_string())?;
        let all: Vec<f32> = bytemuck::cast_vec(words);
        let inside = &all[GUARD..][..values.len()];
        let kept = inside.iter().zip(*values).all(|(a, b)| a.to_bits() == b.to_bits());
        if i < reads.len() && !kept {
            return Err(format!("it changes what it reads at binding {}", i + 1));
        }
        let mut outside = all[..GUARD].iter().chain(&all[GUARD + values.len()..]);
        if i >= reads.len() && outside.any(|v| v.to_bits() != UNTOUCHED.to_bits()) {
            return Err(format!("it writes outside the tensor at binding {}", i + 1));
        }
        results.push(inside.to_vec());
    }
    Ok(results.split_off(reads.len()))
}

fn buffer(gpu: &Gpu, contents: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
    gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
}

fn entry<'a>(binding: usize, buffer: &'a wgpu::Buffer, tensors: &[&Vec<f32>]) -> wgpu::BindGroupEntry<'a> {
    let resource = match binding.checked_sub(1) {
        None => buffer.as_entire_binding(),
        Some(i) => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset: 4 * GUARD as u64,
            size: std::num::NonZero::new(4 * (tensors[i].len() + GUARD) as u64),
        }),
    };
    wgpu::BindGroupEntry { binding: binding as u32, resource }
}

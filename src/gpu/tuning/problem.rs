//! A kernel call cut down to what a trial needs: the same kernel, constants and layer, on as few images as show
//! which form is faster. Calls that differ in the number of images alone mostly become the same problem.

use crate::gpu::device::Gpu;
use crate::kernels::params::{ConvolutionParams, Params};
use crate::kernels::{Form, constant};
use crate::program::{Call, Program};
use crate::random::{Random, Stream};
use half::f16;

/// Floating-point operations of a problem, if one image allows it: some milliseconds in software, enough workgroups to
/// occupy a GPU, and in either case what the twin computes in a fraction of a second.
const SOFTWARE_FLOPS: u64 = 20_000_000;
const HARDWARE_FLOPS: u64 = 1_000_000_000;

/// What the twin takes too long for. Calls that cannot be cut down may have more.
const LARGEST_FLOPS: u64 = 2_000_000_000;
const LARGEST_VALUES: usize = 1 << 24;

/// The most that a problem should have.
pub fn most_flops(software: bool) -> u64 {
    if software { SOFTWARE_FLOPS } else { HARDWARE_FLOPS }
}

/// A call for trials.
#[derive(Clone)]
pub struct Problem {
    /// The call, on fewer images.
    pub call: Call,
    /// The forms that the adapter can run, the most specific last.
    pub forms: Vec<&'static Form>,
    /// Values of each tensor read.
    pub reads: Vec<usize>,
    /// Values of each tensor written.
    pub writes: Vec<usize>,
    /// The bindings that are f16.
    pub half: u32,
}

impl Problem {
    /// The problem of a call that `forms` can run, the most specific last; with at most `most` floating-point
    /// operations, if one image allows it.
    pub fn of(forms: Vec<&'static Form>, program: &Program, call: &Call, most: u64) -> Self {
        let len = |id: &crate::program::TensorId| program.tensor(*id).shape.len();
        let mut problem = Self {
            call: call.clone(),
            forms,
            reads: call.reads.iter().map(len).collect(),
            writes: call.writes.iter().map(len).collect(),
            half: Gpu::half_bindings(program, call),
        };
        // What a call adds to means nothing in a trial.
        for (name, value) in &mut problem.call.constants {
            if *name == "ACCUMULATE" {
                *value = 0;
            }
        }
        if call.kernel.name.starts_with("conv2d") {
            problem.cut(most);
        }
        problem
    }

    /// Leaves as many images as `most` operations allow.
    fn cut(&mut self, most: u64) {
        let mut p: ConvolutionParams = bytemuck::pod_read_unaligned(&self.call.params);
        let size = constant(&self.call.constants, "KERNEL");
        // A dense layer's images are the pixels of one row.
        let dense = p.batch == 1 && p.height == 1 && size == 1;
        let images = if dense { &mut p.width } else { &mut p.batch };
        let per_image = self.call.flops / u64::from(*images);
        let allowed = (most / per_image.max(1)).clamp(1, u64::from(*images)) as u32;
        if allowed < *images {
            *images = 1 << allowed.ilog2();
        }
        self.call.flops = per_image * u64::from(*images);
        p.rows_per_split = p.rows_per_split.min(p.batch * p.height);
        p.splits = (p.batch * p.height).div_ceil(p.rows_per_split);
        self.call.params = bytemuck::bytes_of(&p).to_vec();
        let stride = constant(&self.call.constants, "STRIDE");
        let coarse = (p.batch * p.height * p.width * p.out_channels) as usize;
        let fine = (p.batch * stride * p.height * stride * p.width * p.in_channels) as usize;
        let parts = (p.splits * size * size * p.in_channels * p.out_channels) as usize;
        match self.call.kernel.name {
            name if name.starts_with("conv2d_weight_gradient") => {
                (self.reads[0], self.reads[1], self.writes[0]) = (fine, coarse, parts);
            }
            name if name.starts_with("conv2d_input_gradient") => {
                (self.reads[0], self.writes[0]) = (coarse, fine);
            }
            _ => (self.reads[0], self.writes[0]) = (fine, coarse),
        }
    }

    /// Kernel, shape and constants for people and for the cache; the kernel alone where there is no choice.
    pub fn name(&self) -> String {
        let kernel = self.call.kernel.name;
        if self.forms.len() == 1 {
            return kernel.to_string();
        }
        let constants: String =
            self.call.constants.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        if self.call.kernel.layout.name == ConvolutionParams::LAYOUT.name {
            let p: ConvolutionParams = bytemuck::pod_read_unaligned(&self.call.params);
            let parts = if p.splits > 1 { format!(" in {} parts", p.splits) } else { String::new() };
            let (n, h, w, a, b) = (p.batch, p.height, p.width, p.in_channels, p.out_channels);
            return format!("{kernel} {n}x{h}x{w}, {a}-{b} channels{parts},{constants}");
        }
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&self.call.params);
        let words: Vec<String> = words.iter().map(|word| format!("{word:x}")).collect();
        format!("{kernel} {}{constants}", words.join(" "))
    }

    /// Whether its arithmetic takes longer than its memory, so that its shape decides which form is faster.
    pub fn computes(&self) -> bool {
        let name = self.call.kernel.name;
        name.starts_with("conv2d") || name == crate::kernels::matrix_product.name
    }

    /// Whether the twin takes too long to judge it.
    pub fn is_too_large(&self) -> bool {
        let values: usize = self.reads.iter().chain(&self.writes).sum();
        self.call.flops > LARGEST_FLOPS || values > LARGEST_VALUES
    }

    /// What the forms are made of: after a change of the shaders, old measurements mean nothing.
    pub fn fingerprint(&self) -> u64 {
        let texts = self.forms.iter().flat_map(|form| [form.name, form.source]);
        // FNV-1a.
        texts
            .flat_map(str::bytes)
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Seeded numbers in (-1, 1) for every tensor read, as its type can hold them.
    pub fn data(&self) -> Vec<Vec<f32>> {
        let random = Random::new(0, Stream::Attack);
        let value = |t: usize, i: u32| 2.0 * random.uniform(t as u32, i) - 1.0;
        let rounded = |t: usize, v: f32| if self.is_half(1 + t) { f16::from_f32(v).to_f32() } else { v };
        let tensors = self.reads.iter().enumerate();
        tensors.map(|(t, &len)| (0..len as u32).map(|i| rounded(t, value(t, i))).collect()).collect()
    }

    /// Whether a binding is f16.
    pub fn is_half(&self, binding: usize) -> bool {
        self.half & (1 << binding) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Convolution, Epilogue, Graph};
    use crate::program::MemoryLimits;

    /// The problem of the first call of a graph's program.
    fn problem(graph: &Graph) -> Problem {
        let program = Program::compile(graph, MemoryLimits::NONE).unwrap();
        let call = &program.calls[0];
        Problem::of(call.kernel.forms.iter().collect(), &program, call, 100_000_000)
    }

    fn convolution(images: usize, side: usize, a: usize, b: usize) -> Problem {
        let mut graph = Graph::new();
        let image = graph.input("image", &[images, side, side, a]).unwrap();
        let weight = graph.input("weight", &[3, 3, a, b]).unwrap();
        let how = Convolution { size: 3, stride: 1 };
        let y = graph.convolve(how, Epilogue::None, &[image, weight]).unwrap();
        graph.output("y", y);
        problem(&graph)
    }

    fn weight_gradient(images: usize, side: usize, a: usize, b: usize) -> Problem {
        let mut graph = Graph::new();
        let fine = graph.input("fine", &[images, side, side, a]).unwrap();
        let coarse = graph.input("coarse", &[images, side, side, b]).unwrap();
        let how = Convolution { size: 3, stride: 1 };
        let y = graph.convolve_weight_gradient(how, fine, coarse).unwrap();
        graph.output("y", y);
        problem(&graph)
    }

    #[test]
    fn large_batches_become_few_images_of_the_same_layer_and_small_ones_stay() {
        let large = convolution(128, 32, 64, 128);
        assert_eq!(large.name(), "conv2d 1x32x32, 64-128 channels, KERNEL=3 STRIDE=1 EPILOGUE=0");
        assert_eq!((large.reads[0], large.writes[0]), (32 * 32 * 64, 32 * 32 * 128));
        assert_eq!(large.reads[1], 9 * 64 * 128);
        let small = convolution(3, 8, 4, 4);
        assert_eq!(small.name(), "conv2d 3x8x8, 4-4 channels, KERNEL=3 STRIDE=1 EPILOGUE=0");
        assert_eq!((small.reads[0], small.writes[0]), (3 * 8 * 8 * 4, 3 * 8 * 8 * 4));
    }

    #[test]
    fn batches_that_differ_in_their_number_of_images_alone_share_a_problem() {
        let of = |images| convolution(images, 32, 16, 32).name();
        assert_eq!(of(128), of(100));
        assert_ne!(of(128), convolution(128, 32, 16, 16).name());
    }

    #[test]
    fn partial_sums_keep_their_length_where_there_are_fewer() {
        let whole = weight_gradient(128, 32, 64, 128);
        let p: ConvolutionParams = bytemuck::pod_read_unaligned(&whole.call.params);
        assert_eq!((p.batch, p.splits), (1, 32u32.div_ceil(p.rows_per_split)));
        assert_eq!(whole.writes[0], p.splits as usize * 9 * 64 * 128);
    }

    #[test]
    fn a_changed_shader_is_another_problem_for_the_cache() {
        let problem = convolution(1, 8, 4, 4);
        let less = Problem { forms: problem.forms[..1].to_vec(), ..problem.clone() };
        assert_ne!(problem.fingerprint(), less.fingerprint());
    }
}

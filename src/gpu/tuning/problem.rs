//! A kernel call cut down for a trial: the same kernel, constants and layer, on the fewest images that show which form is faster.
//! Calls that differ only in the number of images usually become the same problem.

use crate::gpu::device::Gpu;
use crate::graph::operation::codes;
use crate::kernels::params::{ConvolutionParams, Params};
use crate::kernels::{Form, constant};
use crate::program::{Call, Program};
use crate::random::{Random, Stream};
use half::f16;

/// Floating-point operations of a call that the twin judges, if one image allows it: a fraction of a second for the twin.
const JUDGED_FLOPS: u64 = 20_000_000;
/// The same for a timed call in software: some milliseconds. It is the judged call.
const SOFTWARE_FLOPS: u64 = JUDGED_FLOPS;
/// The same for a timed call on a GPU: as many workgroups as a training step has. A form that wins with few may lose with many.
const HARDWARE_FLOPS: u64 = 16_000_000_000;

/// With more operations the twin takes too long. Calls that cannot be cut down may have more.
const LARGEST_FLOPS: u64 = 2_000_000_000;
const LARGEST_VALUES: usize = 1 << 24;

/// Floating-point operations that a trial may have, if one image allows it.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// What is compared with the twin.
    pub judged: u64,
    /// What is timed.
    pub timed: u64,
}

impl Work {
    /// For a software adapter, or for a GPU.
    pub fn on(software: bool) -> Self {
        Self { judged: JUDGED_FLOPS, timed: if software { SOFTWARE_FLOPS } else { HARDWARE_FLOPS } }
    }
}

/// A call on some number of images.
#[derive(Clone)]
pub struct Size {
    /// The call.
    pub call: Call,
    /// Values of each tensor read.
    pub reads: Vec<usize>,
    /// Values of each tensor written.
    pub writes: Vec<usize>,
}

/// A call for trials.
#[derive(Clone)]
pub struct Problem {
    /// What the twin judges.
    pub judged: Size,
    /// What is timed.
    pub timed: Size,
    /// The forms that the adapter can run, the most specific last.
    pub forms: Vec<&'static Form>,
    /// The bindings that are f16.
    pub half: u32,
}

impl Size {
    /// A call as it is.
    fn whole(program: &Program, call: &Call) -> Self {
        let len = |id: &crate::program::TensorId| program.tensor(*id).shape.len();
        let mut call = call.clone();
        // A trial does not add to earlier values.
        for (name, value) in &mut call.constants {
            if *name == "ACCUMULATE" {
                *value = 0;
            }
        }
        let (reads, writes) = (call.reads.iter().map(len).collect(), call.writes.iter().map(len).collect());
        Self { call, reads, writes }
    }

    /// Leaves as many images of a convolution as `most` operations allow.
    #[must_use]
    fn cut(mut self, most: u64) -> Self {
        if !self.call.kernel.name.starts_with("conv2d") {
            return self;
        }
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
        let coarse = (p.batch * p.height * p.width * p.coarse_channels) as usize;
        let fine = (p.batch * stride * p.height * stride * p.width * p.fine_channels) as usize;
        let entries = size * size * p.fine_channels + constant(&self.call.constants, "BIAS");
        let parts = (p.splits * entries * p.coarse_channels) as usize;
        match self.call.kernel.name {
            name if name.starts_with("conv2d_weight_gradient") => {
                (self.reads[0], self.reads[1], self.writes[0]) = (fine, coarse, parts);
            }
            name if name.starts_with("conv2d_input_gradient") => {
                (self.reads[0], self.writes[0]) = (coarse, fine);
            }
            _ => (self.reads[0], self.writes[0]) = (fine, coarse),
        }
        self
    }
}

impl Problem {
    /// The problem of a call that `forms` can run, the most specific last.
    ///
    /// Forms for software adapters that do not fit what is left of the call are not among them, because they cannot be judged on it.
    /// Those for GPUs are right at every size.
    pub fn of(mut forms: Vec<&'static Form>, program: &Program, call: &Call, work: Work) -> Self {
        let whole = Size::whole(program, call);
        let half = Gpu::half_bindings(program, call);
        let (judged, timed) = (whole.clone().cut(work.judged), whole.cut(work.timed));
        forms.retain(|form| {
            let fits = |size: &Size| (form.fits)(&size.call.params, &size.call.constants);
            form.needs.hardware || [&judged, &timed].into_iter().all(fits)
        });
        Self { judged, timed, forms, half }
    }

    /// Kernel, shape, constants and which bindings are of 16 bits, for people and for the cache; the kernel alone where there is no
    /// choice.
    pub fn name(&self) -> String {
        match self.half {
            half if half == 0 || self.forms.len() == 1 => self.name_in_f32(),
            half => format!("{} f16={half:b}", self.name_in_f32()),
        }
    }

    /// What the cache knows it by: its name and its forms. Calls on another number of images have the same name, and there may be
    /// fewer forms for them.
    pub fn key(&self) -> String {
        let forms: Vec<&str> = self.forms.iter().map(|form| form.name).collect();
        format!("{} by {}", self.name(), forms.join(", "))
    }

    fn name_in_f32(&self) -> String {
        let call = &self.timed.call;
        let kernel = call.kernel.name;
        if self.forms.len() == 1 {
            return kernel.to_string();
        }
        let constant = |&(name, value): &(&str, u32)| match name {
            "EPILOGUE" => format!(" {name}={}", codes::name(value)),
            _ => format!(" {name}={value}"),
        };
        let constants: String = call.constants.iter().map(constant).collect();
        if call.kernel.layout.name == ConvolutionParams::LAYOUT.name {
            let p: ConvolutionParams = bytemuck::pod_read_unaligned(&call.params);
            let parts = if p.splits > 1 { format!(" in {} parts", p.splits) } else { String::new() };
            let (n, h, w, a, b) = (p.batch, p.height, p.width, p.fine_channels, p.coarse_channels);
            return format!("{kernel} {n}x{h}x{w}, {a}-{b} channels{parts},{constants}");
        }
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&call.params);
        let words: Vec<String> = words.iter().map(|word| format!("{word:x}")).collect();
        format!("{kernel} {}{constants}", words.join(" "))
    }

    /// Whether arithmetic limits the call and not memory, so that the shape decides which form is faster.
    pub fn computes(&self) -> bool {
        let name = self.timed.call.kernel.name;
        name.starts_with("conv2d") || name == crate::kernels::matrix_product.name
    }

    /// Whether the twin takes too long to judge it.
    pub fn is_too_large(&self) -> bool {
        let values: usize = self.judged.reads.iter().chain(&self.judged.writes).sum();
        self.judged.call.flops > LARGEST_FLOPS || values > LARGEST_VALUES
    }

    /// A fingerprint of the forms' names and shaders. After a change old measurements are ignored.
    pub fn fingerprint(&self) -> u64 {
        let texts = self.forms.iter().flat_map(|form| [form.name, form.source]);
        // FNV-1a.
        texts
            .flat_map(str::bytes)
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Seeded numbers in (-1, 1) for every tensor that is read where the twin judges, as its type can hold them.
    pub fn data(&self) -> Vec<Vec<f32>> {
        let random = Random::new(0, Stream::Attack);
        let value = |t: usize, i: u32| 2.0 * random.uniform(t as u32, i) - 1.0;
        let rounded = |t: usize, v: f32| if self.is_half(1 + t) { f16::from_f32(v).to_f32() } else { v };
        let tensors = self.judged.reads.iter().enumerate();
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
    use crate::graph::{Convolution, Graph};
    use crate::program::MemoryLimits;

    /// The problem of the first call of a graph's program.
    fn problem(graph: &Graph) -> Problem {
        let program = Program::compile(graph, MemoryLimits::NONE).unwrap();
        let call = &program.calls[0];
        let work = Work { judged: 100_000_000, timed: 400_000_000 };
        Problem::of(call.kernel.forms.iter().collect(), &program, call, work)
    }

    fn convolution(images: usize, side: usize, a: usize, b: usize) -> Problem {
        let mut graph = Graph::new();
        let image = graph.input("image", &[images, side, side, a]).unwrap();
        let weight = graph.input("weight", &[3, 3, a, b]).unwrap();
        let how = Convolution::same(3, 1);
        let y = graph.convolve(how, image, weight).unwrap();
        graph.output("y", y);
        problem(&graph)
    }

    fn weight_gradient(images: usize, side: usize, a: usize, b: usize) -> Problem {
        let mut graph = Graph::new();
        let fine = graph.input("fine", &[images, side, side, a]).unwrap();
        let coarse = graph.input("coarse", &[images, side, side, b]).unwrap();
        let how = Convolution::same(3, 1);
        let y = graph.convolve_weight_gradient(how, fine, coarse).unwrap();
        graph.output("y", y);
        problem(&graph)
    }

    #[test]
    fn a_form_that_does_not_fit_the_cut_call_is_not_tried_on_it() {
        // Of 128 images of 30x30 pixels eight are judged where there are 32 channels, which are whole groups of 32 positions. Where
        // there are 64 channels they are four, which are not.
        let has_rgb = |outputs| {
            let problem = convolution(128, 30, 3, outputs);
            let images = problem.judged.reads[0] / (30 * 30 * 3);
            (
                (images * 30 * 30).is_multiple_of(32),
                problem.forms.iter().any(|form| form.name == "lavapipe.rgb"),
            )
        };
        assert_eq!([32, 64, 128, 256, 512].map(has_rgb).map(|(whole, rgb)| whole == rgb), [true; 5]);
        assert!([32, 64, 128, 256, 512].map(has_rgb).contains(&(false, false)));
    }

    #[test]
    fn large_batches_become_few_images_of_the_same_layer_and_small_ones_stay() {
        let large = convolution(128, 32, 64, 128);
        assert_eq!(large.name(), "conv2d 2x32x32, 64-128 channels, KERNEL=3 STRIDE=1 EPILOGUE=NOTHING");
        for (size, images) in [(&large.judged, 1), (&large.timed, 2)] {
            assert_eq!((size.reads[0], size.writes[0]), (images * 32 * 32 * 64, images * 32 * 32 * 128));
            assert_eq!(size.reads[1], 9 * 64 * 128);
        }
        let small = convolution(3, 8, 4, 4);
        assert_eq!(small.name(), "conv2d 3x8x8, 4-4 channels, KERNEL=3 STRIDE=1 EPILOGUE=NOTHING");
        assert_eq!((small.judged.reads[0], small.timed.writes[0]), (3 * 8 * 8 * 4, 3 * 8 * 8 * 4));
    }

    #[test]
    fn a_call_with_tensors_of_16_bits_is_a_problem_of_its_own() {
        let plain = convolution(3, 8, 4, 4);
        let mixed = Problem { half: 0b10, ..convolution(3, 8, 4, 4) };
        assert_eq!(mixed.name(), format!("{} f16=10", plain.name()));
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
        let p: ConvolutionParams = bytemuck::pod_read_unaligned(&whole.judged.call.params);
        assert_eq!((p.batch, p.splits), (1, 32u32.div_ceil(p.rows_per_split)));
        assert_eq!(whole.judged.writes[0], p.splits as usize * 9 * 64 * 128);
    }

    #[test]
    fn a_changed_shader_is_another_problem_for_the_cache() {
        let problem = convolution(1, 8, 4, 4);
        let less = Problem { forms: problem.forms[..1].to_vec(), ..problem.clone() };
        assert_ne!(problem.fingerprint(), less.fingerprint());
    }
}

//! What ends the sums of convolutions, while they are in vector registers: biases, activations, masks; and what is too small to be
//! a normal number becomes zero.

#![expect(
    clippy::inline_always,
    reason = "vector instructions are chosen for the caller, and what is not part of it is compiled without them"
)]

use pulp::Simd;

/// What ends the sums.
pub enum Finish<'a> {
    /// Nothing.
    Nothing,
    /// A bias for each channel, and a factor for what is negative then.
    Bias(&'a [f32], f32),
    /// A factor where the activation in the place of the result is not positive.
    Mask(&'a [f32], f32),
    /// Anything, given the first pixel of some and their sums. It is called when all sums of these pixels are in memory.
    Pixels(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

impl Finish<'_> {
    /// The biases over and over, in `line`: as they stand beside the values of a line of pixels.
    pub fn beside<'a>(&self, line: &'a mut [f32]) -> &'a [f32] {
        if let Finish::Bias(biases, _) = self {
            let channels = line.len().min(biases.len());
            line.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(&biases[..channels]));
        }
        line
    }

    /// Ends the sums of `len` channels from `channel` on, in one vector; the first of them is the result `at` of all.
    #[inline(always)]
    pub fn vector<S: Simd>(&self, simd: S, sum: S::f32s, at: usize, channel: usize, len: usize) -> S::f32s {
        match self {
            Finish::Pixels(_) => sum,
            Finish::Nothing => normal(simd, sum),
            Finish::Bias(biases, slope) => {
                let sum = simd.add_f32s(sum, load(simd, &biases[channel..][..len]));
                normal(simd, leaky(simd, sum, sum, *slope))
            }
            Finish::Mask(activation, slope) => {
                let beside = load(simd, &activation[at..][..len]);
                normal(simd, leaky(simd, beside, sum, *slope))
            }
        }
    }
}

/// A vector, of which `values` may be only a part; the rest is zero.
#[inline(always)]
pub fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values).0.first() {
        Some(vector) => *vector,
        None => simd.partial_load_f32s(values),
    }
}

/// `value` where `judge` is positive, elsewhere `slope` times as much.
#[inline(always)]
pub fn leaky<S: Simd>(simd: S, judge: S::f32s, value: S::f32s, slope: f32) -> S::f32s {
    let positive = simd.greater_than_f32s(judge, simd.splat_f32s(0.0));
    simd.select_f32s(positive, value, simd.mul_f32s(simd.splat_f32s(slope), value))
}

/// Zero for what is too small to be a normal number.
#[inline(always)]
pub fn normal<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    let small = simd.less_than_f32s(simd.abs_f32s(value), simd.splat_f32s(f32::MIN_POSITIVE));
    simd.select_f32s(small, simd.splat_f32s(0.0), value)
}

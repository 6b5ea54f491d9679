//! Fast form of `unpool`: whole pixels at a time, so that the channels of a pixel go through the machine's vectors.

#![expect(
    clippy::inline_always,
    reason = "vector instructions are chosen for the caller, and what is not part of it is compiled without them"
)]

use crate::cpu::simd;
use crate::kernels::Arguments;
use crate::kernels::params::PoolParams;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// As the twin, `cpu::unpool::unpool`, to the bit.
pub fn unpool(call: &mut Arguments) {
    let p: PoolParams = call.params();
    let masked = call.constant("MASK") == 1;
    let [height, width, channels] = [p.height, p.width, p.channels].map(|v| v as usize);
    let [window_height, window_width] = [p.window_height, p.window_width].map(|v| v as usize);
    let (rows, columns) = (height / window_height, width / window_width);
    let (d, mask) = (call.reads[0], call.reads[1]);
    call.writes[0].par_chunks_mut(width * channels).enumerate().for_each(|(index, out)| {
        let (image, row) = (index / height, index % height / window_height);
        // Lines below the last whole window have none.
        let d = match row < rows {
            true => &d[(image * rows + row) * columns * channels..][..columns * channels],
            false => &[],
        };
        let mask = masked.then(|| &mask[index * width * channels..][..width * channels]);
        let (scale, slope) = (p.scale, p.slope);
        simd::dispatch(Line { d, out: &mut *out, mask, channels, side: window_width, scale, slope });
        simd::flush(out);
    });
}

/// A line of results.
struct Line<'a> {
    /// The values of its windows.
    d: &'a [f32],
    out: &'a mut [f32],
    mask: Option<&'a [f32]>,
    channels: usize,
    /// Pixels of a window.
    side: usize,
    scale: f32,
    slope: f32,
}

impl WithSimd for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { d, out, mask, channels, side, scale, slope } = self;
        let (pooled, rest) = out.split_at_mut(d.len() * side);
        for (d, pixels) in d.chunks_exact(channels).zip(pooled.chunks_exact_mut(side * channels)) {
            for pixel in pixels.chunks_exact_mut(channels) {
                pixel.iter_mut().zip(d).for_each(|(out, &d)| *out = scale * d);
            }
        }
        rest.fill(0.0);
        for (out, &mask) in out.iter_mut().zip(mask.unwrap_or_default()) {
            *out *= if mask <= 0.0 { slope } else { 1.0 };
        }
    }
}

//! Fast form of `pool`: some channels of a pixel at a time, sums in f32, with the vector instructions of the machine.

#![expect(
    clippy::inline_always,
    reason = "vector instructions are chosen for the caller, and what is not part of it is compiled without them"
)]

use crate::cpu::{flushed, simd};
use crate::kernels::Arguments;
use crate::kernels::params::PoolParams;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Channels whose sums stay in registers.
const CHANNELS: usize = 16;

/// As the twin, `cpu::pool::pool`.
pub fn pool(call: &mut Arguments) {
    let p: PoolParams = call.params();
    let [width, channels] = [p.width, p.channels].map(|v| v as usize);
    let window = [p.window_height, p.window_width].map(|v| v as usize);
    let rows = p.height as usize / window[0];
    let columns = width / window[1];
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(columns * channels).enumerate().for_each(|(index, out)| {
        let line = index / rows * p.height as usize + index % rows * window[0];
        let windows = Windows { x: &x[line * width * channels..], width, channels, window, scale: p.scale };
        simd::dispatch(Row { windows, out });
    });
}

/// The windows of a row of results.
struct Windows<'a> {
    /// From the row's first line on.
    x: &'a [f32],
    width: usize,
    channels: usize,
    window: [usize; 2],
    scale: f32,
}

/// A row of results.
struct Row<'a> {
    windows: Windows<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (column, out) in self.out.chunks_exact_mut(self.windows.channels).enumerate() {
            let (many, few) = out.as_chunks_mut::<CHANNELS>();
            for (block, out) in many.iter_mut().enumerate() {
                *out = self.windows.mean(column, block * CHANNELS);
            }
            for (i, out) in few.iter_mut().enumerate() {
                [*out] = self.windows.mean(column, many.len() * CHANNELS + i);
            }
        }
    }
}

impl Windows<'_> {
    /// The sums of `C` channels from `first` on over a window, scaled.
    #[inline(always)]
    fn mean<const C: usize>(&self, column: usize, first: usize) -> [f32; C] {
        let mut sums = [0.0; C];
        for line in 0..self.window[0] {
            let pixel = line * self.width + column * self.window[1];
            for pixel in pixel..pixel + self.window[1] {
                let values = self.x[pixel * self.channels + first..].first_chunk::<C>();
                let values = values.expect("a pixel has all channels");
                for c in 0..C {
                    sums[c] += values[c];
                }
            }
        }
        for sum in &mut sums {
            *sum = flushed(*sum * self.scale);
        }
        sums
    }
}

//! Fast form of `pool`: some channels of a pixel at a time, sums in f32, with the vector instructions of the machine.

#![expect(
    clippy::inline_always,
    reason = "vector instructions are chosen for the caller, and what is not part of it is compiled without them"
)]

use super::Rectangle;
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
    let [rows, columns] = [p.height / p.window_height, p.width / p.window_width].map(|v| v as usize);
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(columns * p.channels as usize).enumerate().for_each(|(index, out)| {
        write(&p, x, [index / rows, index % rows, 0], out);
    });
}

/// Rectangles of the result, one after the other, each with room for `size` rows and columns. They have the same bits as in the whole
/// result.
pub fn rectangles(p: &PoolParams, rectangles: &[Rectangle], size: [usize; 2], x: &[f32], out: &mut [f32]) {
    let line = size[1] * p.channels as usize;
    out.par_chunks_mut(size[0] * line).zip(rectangles).for_each(|(out, rectangle)| {
        let &Rectangle { image, row, column, rows } = rectangle;
        for (y, out) in out.chunks_exact_mut(line).enumerate().take(rows) {
            write(p, x, [image, row + y, column], out);
        }
    });
}

/// Writes results of one row. The first is at this image, row and column.
fn write(p: &PoolParams, x: &[f32], [image, row, column]: [usize; 3], out: &mut [f32]) {
    let [height, width, channels] = [p.height, p.width, p.channels].map(|v| v as usize);
    let window = [p.window_height, p.window_width].map(|v| v as usize);
    let pixel = (image * height + row * window[0]) * width + column * window[1];
    let windows = Windows { x: &x[pixel * channels..], width, channels, window, scale: p.scale };
    simd::dispatch(Row { windows, out });
}

/// Windows side by side.
struct Windows<'a> {
    /// From the first window on.
    x: &'a [f32],
    width: usize,
    channels: usize,
    window: [usize; 2],
    scale: f32,
}

/// Results of a row.
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

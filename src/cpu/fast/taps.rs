//! Gathering the fine pixels under the taps of coarse pixels into rows, and adding such rows back.

use super::matrix::{Matrix, Threads};
use crate::cpu::geometry::Geometry;
use crate::cpu::scratch::scratch;
use crate::graph::operation::codes::{BIAS_LEAKY, LEAKY_MASK, NOTHING};
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;

thread_local! {
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Values of one row: all taps, all fine channels.
pub fn row_len(g: &Geometry) -> usize {
    g.size * g.size * g.a
}

/// Calls `each(i, in the row, in the fine side)` for the taps of `pixels` (counted over the batch) that are inside the
/// image: `i` counts the pixels, and the ranges are of values. A line of taps is one range: its pixels lie side by side.
fn visit(g: &Geometry, pixels: Range<usize>, mut each: impl FnMut(usize, Range<usize>, Range<usize>)) {
    let (first, width) = (pixels.start, g.fine_width());
    let (mut oy, mut ox) = (first / g.width % g.height, first % g.width);
    let mut image = first / g.width / g.height * g.fine_height() * width;
    for i in 0..pixels.len() {
        let before = (g.size / 2).saturating_sub(ox * g.stride);
        let after = (width + g.size / 2 - ox * g.stride).min(g.size);
        let x = ox * g.stride + before - g.size / 2;
        for ky in 0..g.size {
            let Some(y) = g.fine(oy, ky, g.fine_height()) else { continue };
            let taps = (ky * g.size + before) * g.a..(ky * g.size + after) * g.a;
            let from = (image + y * width + x) * g.a;
            let len = taps.len();
            each(i, taps, from..from + len);
        }
        ox += 1;
        if ox == g.width {
            (ox, oy) = (0, oy + 1);
        }
        if oy == g.height {
            (oy, image) = (0, image + g.fine_height() * width);
        }
    }
}

/// Pixels whose taps one thread gathers at a time where threads share a block.
const SHARE: usize = 32;

/// The taps of `pixels` coarse pixels from `first` on as rows, zeros outside the image. They are written to `rows`
/// unless a row is just the pixel itself.
pub fn gathered<'a>(
    g: &Geometry,
    fine: &'a [f32],
    first: usize,
    pixels: usize,
    rows: &'a mut Vec<f32>,
    threads: Threads,
) -> Matrix<'a> {
    let row = row_len(g);
    if g.size == 1 && g.stride == 1 {
        return Matrix::new(&fine[first * row..], pixels, row);
    }
    scratch(rows, pixels * row);
    match threads {
        Threads::One => gather(g, fine, first, rows),
        Threads::All => {
            let shares = rows.par_chunks_mut(SHARE * row).enumerate();
            shares.for_each(|(share, rows)| gather(g, fine, first + share * SHARE, rows));
        }
    }
    Matrix::new(rows, pixels, row)
}

/// Fills `rows` with the taps of the coarse pixels from `first` on.
fn gather(g: &Geometry, fine: &[f32], first: usize, rows: &mut [f32]) {
    let row = row_len(g);
    let mut done = 0;
    visit(g, first..first + rows.len() / row, |i, taps, from| {
        let to = i * row + taps.start;
        rows[done..to].fill(0.0);
        done = to + taps.len();
        rows[to..done].copy_from_slice(&fine[from]);
    });
    rows[done..].fill(0.0);
}

/// Adds `rows` to the fine pixels under the taps of the coarse pixels from `first` on. `fine` begins at fine pixel
/// `origin` of the batch.
pub fn scatter(g: &Geometry, rows: &[f32], first: usize, fine: &mut [f32], origin: usize) {
    let row = row_len(g);
    visit(g, first..first + rows.len() / row, |i, taps, to| {
        let to = &mut fine[to.start - origin * g.a..to.end - origin * g.a];
        let values = &rows[i * row..][taps];
        to.iter_mut().zip(values).for_each(|(to, &value)| *to += value);
    });
}

/// Runs `work` with the thread's own vector, so that it is not allocated anew. Another task that the thread takes up
/// meanwhile finds an empty one.
pub fn with_scratch(work: impl FnOnce(&mut Vec<f32>)) {
    let mut rows = SCRATCH.take();
    work(&mut rows);
    SCRATCH.set(rows);
}

/// Ends the sums of fine pixels from `first` on (counted over the batch) with biases that depend on the place by the
/// border.
pub fn finish_borders(g: &Geometry, beside: &[f32], first: usize, pixels: &mut [f32]) {
    for (i, pixel) in pixels.chunks_mut(g.a).enumerate() {
        let (line, x) = ((first + i) / g.fine_width(), (first + i) % g.fine_width());
        let (image, y) = (line / g.fine_height(), line % g.fine_height());
        add_biases(pixel, &beside[g.beside(image, y, x)..], g.slope);
    }
}

fn add_biases(pixel: &mut [f32], biases: &[f32], slope: f32) {
    for (value, &bias) in pixel.iter_mut().zip(biases) {
        let sum = *value + bias;
        *value = if sum > 0.0 { sum } else { slope * sum };
    }
}

/// Ends the sums of pixels of `channels` values as the epilogue says. `beside` is the bias, or the whole activation of
/// which the pixels' own values begin at `at`.
pub fn finish((epilogue, slope): (u32, f32), beside: &[f32], at: usize, channels: usize, pixels: &mut [f32]) {
    match epilogue {
        NOTHING => {}
        LEAKY_MASK => {
            for (value, &activation) in pixels.iter_mut().zip(&beside[at..]) {
                *value *= if activation > 0.0 { 1.0 } else { slope };
            }
        }
        _ => {
            let slope = if epilogue == BIAS_LEAKY { slope } else { 1.0 };
            for pixel in pixels.chunks_mut(channels) {
                add_biases(pixel, beside, slope);
            }
        }
    }
}

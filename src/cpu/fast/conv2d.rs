//! Fast form of `conv2d`: gathered taps times the weight, block by block.

use super::matrix::{Matrix, Threads, multiply};
use super::{BLOCK, taps};
use crate::cpu::geometry::Geometry;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::conv2d::conv2d`.
pub fn conv2d(call: &mut Arguments) {
    let g = Geometry::of(call);
    let beside = call.reads[2];
    let finish = |first, out: &mut [f32]| taps::finish((g.epilogue, g.slope), beside, first * g.b, g.b, out);
    convolve(&g, call.reads[0], call.reads[1], finish, call.writes[0]);
}

/// The convolution of `fine` with `weight`; `finish` ends the sums of the pixels from one on.
pub fn convolve(
    g: &Geometry,
    fine: &[f32],
    weight: &[f32],
    finish: impl Fn(usize, &mut [f32]) + Sync,
    out: &mut [f32],
) {
    let weight = Matrix::new(weight, taps::row_len(g), g.b);
    out.par_chunks_mut(BLOCK * g.b).enumerate().for_each(|(index, out)| {
        let (first, pixels) = (index * BLOCK, out.len() / g.b);
        taps::with_scratch(|rows| {
            let left = taps::gathered(g, fine, first, pixels, rows, Threads::One);
            multiply(out, false, left, weight, Threads::One);
        });
        finish(first, out);
    });
}

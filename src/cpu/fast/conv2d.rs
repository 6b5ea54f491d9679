//! Fast form of `conv2d`: gathered taps times the weight, block by block.

use super::matrix::{Matrix, Threads, multiply};
use super::{BLOCK, taps};
use crate::cpu::geometry::Geometry;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::conv2d::conv2d`.
pub fn conv2d(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (fine, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    let row = taps::row_len(&g);
    let weight = Matrix::new(weight, row, g.b);
    let work = |rows: &mut Vec<f32>, (block, out): (usize, &mut [f32])| {
        let (first, pixels) = (block * BLOCK, out.len() / g.b);
        let left = if taps::is_trivial(&g) {
            &fine[first * row..][..pixels * row]
        } else {
            rows.resize(pixels * row, 0.0);
            taps::gather(&g, fine, first, rows);
            &rows[..]
        };
        multiply(out, false, Matrix::new(left, pixels, row), weight, Threads::One);
        taps::finish(g.epilogue, beside, first * g.b, g.b, out);
    };
    call.writes[0].par_chunks_mut(BLOCK * g.b).enumerate().for_each_init(Vec::new, work);
}

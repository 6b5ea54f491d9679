//! Fast form of `conv2d_input_gradient`: coarse pixels times the transposed weight, added back onto the taps.

use super::matrix::{Matrix, Threads, multiply};
use super::{BLOCK, taps};
use crate::cpu::geometry::Geometry;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::conv2d_input_gradient::conv2d_input_gradient`.
pub fn conv2d_input_gradient(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (coarse, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    let row = taps::row_len(&g);
    let weight = Matrix::new(weight, row, g.b).transposed();
    if taps::is_trivial(&g) {
        call.writes[0].par_chunks_mut(BLOCK * g.a).enumerate().for_each(|(block, out)| {
            let pixels = out.len() / g.a;
            let left = Matrix::new(&coarse[block * BLOCK * g.b..], pixels, g.b);
            multiply(out, false, left, weight, Threads::One);
            taps::finish(g.epilogue, beside, block * BLOCK * g.a, g.a, out);
        });
        return;
    }
    let (coarse_pixels, fine_pixels) = (g.height * g.width, g.fine_height() * g.fine_width());
    let work = |rows: &mut Vec<f32>, (image, out): (usize, &mut [f32])| {
        out.fill(0.0);
        for start in (0..coarse_pixels).step_by(BLOCK) {
            let pixels = BLOCK.min(coarse_pixels - start);
            let first = image * coarse_pixels + start;
            rows.resize(pixels * row, 0.0);
            let left = Matrix::new(&coarse[first * g.b..], pixels, g.b);
            multiply(rows, false, left, weight, Threads::One);
            taps::scatter(&g, rows, first, out, image * fine_pixels);
        }
        match g.epilogue {
            4 => taps::finish_borders(&g, beside, image, out),
            _ => taps::finish(g.epilogue, beside, image * fine_pixels * g.a, g.a, out),
        }
    };
    call.writes[0].par_chunks_mut(fine_pixels * g.a).enumerate().for_each_init(Vec::new, work);
}

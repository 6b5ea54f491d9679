//! Fast form of `conv2d_weight_gradient`: transposed gathered taps times the coarse pixels. The partial sums
//! are those of the call, each added up in blocks in a fixed order.

use super::matrix::{Matrix, Threads, multiply};
use super::{BLOCK, taps};
use crate::cpu::conv2d_weight_gradient::add_coarse;
use crate::cpu::geometry::Geometry;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::conv2d_weight_gradient::conv2d_weight_gradient`.
pub fn conv2d_weight_gradient(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (fine, coarse) = (call.reads[0], call.reads[1]);
    let part_len = g.weight_rows() * g.b;
    let parts = call.writes[0].len() / part_len;
    // Few parts cannot keep all threads busy by themselves.
    let threads = if parts < rayon::current_num_threads() { Threads::All } else { Threads::One };
    let work = |(part, out): (usize, &mut [f32])| {
        let (start, end) = (g.split(part).start * g.width, g.split(part).end * g.width);
        let (out, bias) = out.split_at_mut(taps::row_len(&g) * g.b);
        if g.bias {
            add_coarse(&g, coarse, part, bias);
        }
        taps::with_scratch(|rows| {
            for first in (start..end).step_by(BLOCK) {
                let pixels = BLOCK.min(end - first);
                let left = taps::gathered(&g, fine, first, pixels, rows, threads).transposed();
                let right = Matrix::new(&coarse[first * g.b..], pixels, g.b);
                multiply(out, first != start, left, right, threads);
            }
        });
    };
    if threads == Threads::All {
        call.writes[0].chunks_mut(part_len).enumerate().for_each(work);
    } else {
        call.writes[0].par_chunks_mut(part_len).enumerate().for_each(work);
    }
}

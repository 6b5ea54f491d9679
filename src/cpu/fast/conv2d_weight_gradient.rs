//! Fast form of `conv2d_weight_gradient`: transposed gathered taps times the coarse pixels. The partial sums
//! are those of the call, each added up in blocks in a fixed order.

use super::matrix::{Matrix, Threads, multiply};
use super::{BLOCK, taps};
use crate::cpu::geometry::Geometry;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::conv2d_weight_gradient::conv2d_weight_gradient`.
pub fn conv2d_weight_gradient(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (fine, coarse) = (call.reads[0], call.reads[1]);
    let row = taps::row_len(&g);
    let parts = call.writes[0].len() / (row * g.b);
    // Few parts cannot keep all threads busy by themselves.
    let threads = if parts < rayon::current_num_threads() { Threads::All } else { Threads::One };
    let work = |(part, out): (usize, &mut [f32])| {
        let start = part * g.rows_per_split * g.width;
        let end = ((part + 1) * g.rows_per_split).min(g.batch * g.height) * g.width;
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
        call.writes[0].chunks_mut(row * g.b).enumerate().for_each(work);
    } else {
        call.writes[0].par_chunks_mut(row * g.b).enumerate().for_each(work);
    }
}

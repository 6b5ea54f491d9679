//! Twin of `shaders/conv2d.wgsl`: fine to coarse, f64 sums, inner loop along the output channels.

use super::geometry::{Geometry, finish};
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads fine `[n, s·h, s·w, a]`, weight `[k, k, a, b]`, bias `[b]` or an activation like the result; writes coarse
/// `[n, h, w, b]`.
pub fn conv2d(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (fine, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    call.writes[0].par_chunks_mut(g.width * g.b).enumerate().for_each(|(row, out)| {
        let (image, oy) = (row / g.height, row % g.height);
        let mut sums = vec![0.0f64; g.b];
        for (ox, out) in out.chunks_mut(g.b).enumerate() {
            sums.fill(0.0);
            for ky in 0..g.size {
                let Some(y) = g.fine(oy, ky, g.fine_height()) else { continue };
                for kx in 0..g.size {
                    let Some(x) = g.fine(ox, kx, g.fine_width()) else { continue };
                    let pixel = ((image * g.fine_height() + y) * g.fine_width() + x) * g.a;
                    let taps = (ky * g.size + kx) * g.a;
                    for a in 0..g.a {
                        let value = f64::from(fine[pixel + a]);
                        let weights = &weight[(taps + a) * g.b..][..g.b];
                        for (sum, &w) in sums.iter_mut().zip(weights) {
                            *sum += value * f64::from(w);
                        }
                    }
                }
            }
            finish((g.epilogue, g.slope), &sums, beside, (row * g.width + ox) * g.b, out);
        }
    });
}

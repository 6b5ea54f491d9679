//! Twin of `shaders/conv2d_weight_gradient.wgsl`: partial sums over coarse rows, f64.

use super::geometry::Geometry;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads fine `[n, s·h, s·w, a]`, coarse `[n, h, w, b]`; writes parts `[splits, k, k, a, b]`.
pub fn conv2d_weight_gradient(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (fine, coarse) = (call.reads[0], call.reads[1]);
    call.writes[0].par_chunks_mut(g.b).enumerate().for_each(|(row, out)| {
        let (a, rest) = (row % g.a, row / g.a);
        let (kx, ky, split) = (rest % g.size, rest / g.size % g.size, rest / (g.size * g.size));
        let mut sums = vec![0.0f64; g.b];
        let last = ((split + 1) * g.rows_per_split).min(g.batch * g.height);
        for coarse_row in split * g.rows_per_split..last {
            let (image, oy) = (coarse_row / g.height, coarse_row % g.height);
            let Some(y) = g.fine(oy, ky, g.fine_height()) else { continue };
            for ox in 0..g.width {
                let Some(x) = g.fine(ox, kx, g.fine_width()) else { continue };
                let value = f64::from(fine[((image * g.fine_height() + y) * g.fine_width() + x) * g.a + a]);
                let pixel = &coarse[(coarse_row * g.width + ox) * g.b..][..g.b];
                for (sum, &d) in sums.iter_mut().zip(pixel) {
                    *sum += value * f64::from(d);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    });
}

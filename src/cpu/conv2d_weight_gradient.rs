//! Twin of `shaders/conv2d_weight_gradient.wgsl`: partial sums over coarse rows, f64.

use super::geometry::Geometry;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads fine `[n, s·h, s·w, a]`, coarse `[n, h, w, b]`; writes parts `[splits, k·k·a + BIAS, b]`.
pub fn conv2d_weight_gradient(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (fine, coarse) = (call.reads[0], call.reads[1]);
    let rows = g.weight_rows();
    call.writes[0].par_chunks_mut(g.b).enumerate().for_each(|(row, out)| {
        let (split, entry) = (row / rows, row % rows);
        if entry == g.size * g.size * g.a {
            add_coarse(&g, coarse, split, out);
            return;
        }
        let (a, tap) = (entry % g.a, entry / g.a);
        let (kx, ky) = (tap % g.size, tap / g.size);
        let mut sums = vec![0.0f64; g.b];
        for coarse_row in g.split(split) {
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

/// The sums of the coarse pixels of a piece, by channel.
pub fn add_coarse(g: &Geometry, coarse: &[f32], split: usize, out: &mut [f32]) {
    let rows = g.split(split);
    let mut sums = vec![0.0f64; g.b];
    for pixel in coarse[rows.start * g.width * g.b..rows.end * g.width * g.b].chunks_exact(g.b) {
        for (sum, &d) in sums.iter_mut().zip(pixel) {
            *sum += f64::from(d);
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = sum as f32;
    }
}

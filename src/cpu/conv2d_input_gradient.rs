//! Twin of `shaders/conv2d_input_gradient.wgsl`: coarse to fine (the transposed convolution), f64 sums.

use super::geometry::{Geometry, finish};
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads coarse `[n, h, w, b]`, weight `[k, k, a, b]`, bias `[a]`, an activation like the result, or
/// border biases `[n, 3s, 3s, a]`; writes fine
/// `[n, s·h, s·w, a]`.
pub fn conv2d_input_gradient(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (coarse, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    call.writes[0].par_chunks_mut(g.fine_width() * g.a).enumerate().for_each(|(row, out)| {
        let (image, y) = (row / g.fine_height(), row % g.fine_height());
        let mut sums = vec![0.0f64; g.a];
        for (x, out) in out.chunks_mut(g.a).enumerate() {
            sums.fill(0.0);
            for ky in 0..g.size {
                let Some(oy) = g.coarse(y, ky, g.height) else { continue };
                for kx in 0..g.size {
                    let Some(ox) = g.coarse(x, kx, g.width) else { continue };
                    let pixel = &coarse[((image * g.height + oy) * g.width + ox) * g.b..][..g.b];
                    let taps = (ky * g.size + kx) * g.a;
                    for (a, sum) in sums.iter_mut().enumerate() {
                        let weights = &weight[(taps + a) * g.b..][..g.b];
                        *sum +=
                            pixel.iter().zip(weights).map(|(&d, &w)| f64::from(d) * f64::from(w)).sum::<f64>();
                    }
                }
            }
            finish((g.epilogue, g.slope), &sums, beside, g.beside(image, y, x), out);
        }
    });
}

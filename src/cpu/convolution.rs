//! Twin of `shaders/convolution.wgsl`: fine to coarse for any geometry, f64 sums.

use super::general::General;
use super::geometry::finish;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads fine `[n, H, W, a]`, weight `[kh, kw, a/groups, b]`, bias `[b]` or an activation like the result; writes coarse
/// `[n, h, w, b]`.
pub fn convolution(call: &mut Arguments) {
    let g = General::of(call);
    let (fine, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    let [inputs, outputs] = g.of_group();
    call.writes[0].par_chunks_mut(g.b).enumerate().for_each(|(pixel, out)| {
        let mut sums = vec![0.0f64; g.b];
        for (tap, under) in g.under(g.coarse_place(pixel)) {
            for (b, sum) in sums.iter_mut().enumerate() {
                let first = b / outputs * inputs;
                for a in 0..inputs {
                    let value = f64::from(fine[under * g.a + first + a]);
                    *sum += value * f64::from(weight[(tap * inputs + a) * g.b + b]);
                }
            }
        }
        finish(g.epilogue, &sums, beside, pixel * g.b, out);
    });
}

//! Twin of `shaders/convolution_input_gradient.wgsl`: coarse to fine for any geometry (the transposed convolution), f64 sums.

use super::general::General;
use super::geometry::finish;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads coarse `[n, h, w, b]`, weight `[kh, kw, a/groups, b]`, bias `[a]` or an activation like the result; writes fine
/// `[n, H, W, a]`.
pub fn convolution_input_gradient(call: &mut Arguments) {
    let g = General::of(call);
    let (coarse, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    let [inputs, outputs] = g.of_group();
    call.writes[0].par_chunks_mut(g.a).enumerate().for_each(|(pixel, out)| {
        let mut sums = vec![0.0f64; g.a];
        for (tap, over) in g.over(g.fine_place(pixel)) {
            for (a, sum) in sums.iter_mut().enumerate() {
                let (first, row) = (a / inputs * outputs, tap * inputs + a % inputs);
                for b in first..first + outputs {
                    *sum += f64::from(coarse[over * g.b + b]) * f64::from(weight[row * g.b + b]);
                }
            }
        }
        finish(g.epilogue, &sums, beside, pixel * g.a, out);
    });
}

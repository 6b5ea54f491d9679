//! Twin of `shaders/convolution_weight_gradient.wgsl`: partial sums over coarse rows for any geometry, f64.

use super::general::General;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads fine `[n, H, W, a]`, coarse `[n, h, w, b]`; writes parts `[splits, kh, kw, a/groups, b]`.
pub fn convolution_weight_gradient(call: &mut Arguments) {
    let g = General::of(call);
    let (fine, coarse) = (call.reads[0], call.reads[1]);
    let [inputs, outputs] = g.of_group();
    call.writes[0].par_chunks_mut(g.b).enumerate().for_each(|(row, out)| {
        let (tap, a) = (row / inputs % g.taps(), row % inputs);
        let [ky, kx] = [tap / g.columns.taps, tap % g.columns.taps];
        let mut sums = vec![0.0f64; g.b];
        for line in g.split(row / inputs / g.taps()) {
            let (image, oy) = (line / g.rows.coarse, line % g.rows.coarse);
            let Some(y) = g.rows.fine_at(oy, ky) else { continue };
            for ox in 0..g.columns.coarse {
                let Some(x) = g.columns.fine_at(ox, kx) else { continue };
                let pixel = &fine[((image * g.rows.fine + y) * g.columns.fine + x) * g.a..][..g.a];
                let d = &coarse[(line * g.columns.coarse + ox) * g.b..][..g.b];
                for (b, (sum, &d)) in sums.iter_mut().zip(d).enumerate() {
                    *sum += f64::from(pixel[b / outputs * inputs + a]) * f64::from(d);
                }
            }
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum as f32);
    });
}

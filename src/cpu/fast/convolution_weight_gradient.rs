//! Fast form of `convolution_weight_gradient`: without groups, rows of the gradient in registers while pixels pass by; with groups,
//! sums over whole pixels of channels, tap by tap. The partial sums are those of the call.

use super::conv2d_weight_gradient::by_parts;
use crate::cpu::general::General;
use crate::cpu::simd;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::convolution_weight_gradient::convolution_weight_gradient`.
pub fn convolution_weight_gradient(call: &mut Arguments) {
    let g = General::of(call);
    if g.groups == 1 {
        return by_parts(&g, call, g.taps() * g.a * g.b, |_, _| {});
    }
    let (fine, coarse) = (call.reads[0], call.reads[1]);
    let [inputs, _] = g.of_group();
    call.writes[0].par_chunks_mut(inputs * g.b).enumerate().for_each(|(index, out)| {
        of_tap(&g, [fine, coarse], index / g.taps(), index % g.taps(), out);
        simd::flush(out);
    });
}

/// The gradient by one tap of the weight, over the rows of a part.
fn of_tap(g: &General, [fine, coarse]: [&[f32]; 2], part: usize, tap: usize, out: &mut [f32]) {
    let [inputs, outputs] = g.of_group();
    let [ky, kx] = [tap / g.columns.taps, tap % g.columns.taps];
    out.fill(0.0);
    for line in g.split(part) {
        let (image, oy) = (line / g.rows.coarse, line % g.rows.coarse);
        let Some(y) = g.rows.fine_at(oy, ky) else { continue };
        for ox in 0..g.columns.coarse {
            let Some(x) = g.columns.fine_at(ox, kx) else { continue };
            let pixel = &fine[((image * g.rows.fine + y) * g.columns.fine + x) * g.a..][..g.a];
            let d = &coarse[(line * g.columns.coarse + ox) * g.b..][..g.b];
            if inputs == 1 && outputs == 1 {
                for ((out, &value), &d) in out.iter_mut().zip(pixel).zip(d) {
                    *out += value * d;
                }
                continue;
            }
            for (a, out) in out.chunks_exact_mut(g.b).enumerate() {
                let groups = out.chunks_exact_mut(outputs).zip(d.chunks_exact(outputs));
                for (pixel, (out, d)) in pixel.chunks_exact(inputs).zip(groups) {
                    out.iter_mut().zip(d).for_each(|(out, &d)| *out += pixel[a] * d);
                }
            }
        }
    }
}

//! Fast form of `convolution_input_gradient`: without groups, a direct convolution; with groups, sums over whole pixels of
//! channels.

use super::{conv2d_input_gradient, epilogue};
use crate::cpu::general::General;
use crate::cpu::simd;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::convolution_input_gradient::convolution_input_gradient`.
pub fn convolution_input_gradient(call: &mut Arguments) {
    let g = General::of(call);
    let (coarse, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    if g.groups == 1 {
        return conv2d_input_gradient::backward(&g, call, &epilogue::of_sums(g.epilogue, beside));
    }
    let line = g.columns.fine;
    call.writes[0].par_chunks_mut(line * g.a).enumerate().for_each(|(row, out)| {
        out.fill(0.0);
        for (x, out) in out.chunks_mut(g.a).enumerate() {
            for (tap, over) in g.over(g.fine_place(row * line + x)) {
                add_tap(&g, &coarse[over * g.b..][..g.b], tap, weight, out);
            }
        }
        epilogue::finish(g.epilogue, beside, row * line * g.a, g.a, out);
        simd::flush(out);
    });
}

/// Adds what one tap gives from its coarse pixel to a fine one.
fn add_tap(g: &General, pixel: &[f32], tap: usize, weight: &[f32], out: &mut [f32]) {
    let [inputs, outputs] = g.of_group();
    let weight = &weight[tap * inputs * g.b..][..inputs * g.b];
    if inputs == 1 && outputs == 1 {
        for ((out, &value), &w) in out.iter_mut().zip(pixel).zip(weight) {
            *out += value * w;
        }
        return;
    }
    for (a, weight) in weight.chunks_exact(g.b).enumerate() {
        let groups = pixel.chunks_exact(outputs).zip(weight.chunks_exact(outputs));
        for (out, (pixel, weight)) in out.chunks_exact_mut(inputs).zip(groups) {
            out[a] += pixel.iter().zip(weight).map(|(&d, &w)| d * w).sum::<f32>();
        }
    }
}

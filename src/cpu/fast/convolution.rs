//! Fast form of `convolution`: without groups, a direct convolution; with groups, sums over whole pixels of channels, which suits
//! depthwise convolutions.

use super::{BLOCK, conv2d, epilogue};
use crate::cpu::general::General;
use crate::cpu::simd;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::convolution::convolution`.
pub fn convolution(call: &mut Arguments) {
    let g = General::of(call);
    if g.groups == 1 {
        return conv2d::forward(&g, call);
    }
    let (fine, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    call.writes[0].par_chunks_mut(BLOCK * g.b).enumerate().for_each(|(index, out)| {
        let first = index * BLOCK;
        out.fill(0.0);
        for (i, out) in out.chunks_mut(g.b).enumerate() {
            for (tap, under) in g.under(g.coarse_place(first + i)) {
                add_tap(&g, &fine[under * g.a..][..g.a], tap, weight, out);
            }
        }
        epilogue::finish(g.epilogue, beside, first * g.b, g.b, out);
        simd::flush(out);
    });
}

/// Adds what one tap's fine pixel gives to a coarse one.
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
        let groups = out.chunks_exact_mut(outputs).zip(weight.chunks_exact(outputs));
        for (pixel, (out, weight)) in pixel.chunks_exact(inputs).zip(groups) {
            out.iter_mut().zip(weight).for_each(|(out, &w)| *out += pixel[a] * w);
        }
    }
}

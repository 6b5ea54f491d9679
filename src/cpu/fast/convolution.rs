//! Fast form of `convolution`: without groups, rows of taps times the weight, block by block; with groups, sums over whole
//! pixels of channels, which suits depthwise convolutions.

use super::matrix::{Matrix, Threads, multiply};
use super::{BLOCK, im2col, taps};
use crate::cpu::general::General;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::convolution::convolution`.
pub fn convolution(call: &mut Arguments) {
    let g = General::of(call);
    let (fine, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    call.writes[0].par_chunks_mut(BLOCK * g.b).enumerate().for_each(|(index, out)| {
        let first = index * BLOCK;
        let pixels = first..first + out.len() / g.b;
        if g.groups == 1 {
            taps::with_scratch(|rows| {
                let left = im2col::rows_of(&g, fine, pixels, rows);
                multiply(out, false, left, Matrix::new(weight, im2col::row_len(&g), g.b), Threads::One);
            });
        } else {
            out.fill(0.0);
            for (pixel, out) in pixels.zip(out.chunks_mut(g.b)) {
                for (tap, under) in g.under(g.coarse_place(pixel)) {
                    add_tap(&g, &fine[under * g.a..][..g.a], tap, weight, out);
                }
            }
        }
        taps::finish(g.epilogue, beside, first * g.b, g.b, out);
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

//! Fast form of `convolution_input_gradient`: without groups, coarse pixels times the transposed weight, added back onto the
//! taps; with groups, sums over whole pixels of channels.

use super::matrix::{Matrix, Threads, multiply, transpose};
use super::{BLOCK, im2col, taps};
use crate::cpu::general::General;
use crate::cpu::scratch::scratch;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::convolution_input_gradient::convolution_input_gradient`.
pub fn convolution_input_gradient(call: &mut Arguments) {
    let g = General::of(call);
    let (coarse, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    let finish = |first: usize, out: &mut [f32]| taps::finish(g.epilogue, beside, first, g.a, out);
    if g.groups > 1 {
        let line = g.columns.fine;
        call.writes[0].par_chunks_mut(line * g.a).enumerate().for_each(|(row, out)| {
            out.fill(0.0);
            for (x, out) in out.chunks_mut(g.a).enumerate() {
                for (tap, over) in g.over(g.fine_place(row * line + x)) {
                    add_tap(&g, &coarse[over * g.b..][..g.b], tap, weight, out);
                }
            }
            finish(row * line * g.a, out);
        });
        return;
    }
    let mut transposed = Vec::new();
    scratch(&mut transposed, weight.len());
    transpose(weight, g.b, &mut transposed);
    let image_len = g.fine_pixels() * g.a;
    call.writes[0].par_chunks_mut(image_len).enumerate().for_each(|(image, out)| {
        out.fill(0.0);
        let end = (image + 1) * g.coarse_pixels();
        taps::with_scratch(|rows| {
            for first in (image * g.coarse_pixels()..end).step_by(BLOCK) {
                let pixels = BLOCK.min(end - first);
                scratch(rows, pixels * im2col::row_len(&g));
                let left = Matrix::new(&coarse[first * g.b..], pixels, g.b);
                let right = Matrix::new(&transposed, g.b, im2col::row_len(&g));
                multiply(rows, false, left, right, Threads::One);
                im2col::add_rows(&g, rows, first..first + pixels, out, image * image_len);
            }
        });
        finish(image * image_len, out);
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

//! Fast form of `conv2d_input_gradient`. With stride 1 it is a convolution of the coarse side with the rotated weight;
//! otherwise, or if few fine channels would leave the matrix kernel's vectors half empty, coarse pixels times the
//! transposed weight, added back onto the taps.

use super::conv2d::convolve;
use super::matrix::{Matrix, Threads, multiply, transpose};
use super::{BLOCK, taps};
use crate::cpu::geometry::Geometry;
use crate::cpu::scratch::scratch;
use crate::graph::operation::codes::BORDER_BIAS_LEAKY;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Fewest fine channels for which the convolution is faster: a vector full.
const LEAST_CHANNELS: usize = 16;

/// As the twin, `cpu::conv2d_input_gradient::conv2d_input_gradient`.
pub fn conv2d_input_gradient(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (coarse, weight, beside) = (call.reads[0], call.reads[1], call.reads[2]);
    let finish = |first: usize, out: &mut [f32]| match g.epilogue {
        BORDER_BIAS_LEAKY => taps::finish_borders(&g, beside, first, out),
        _ => taps::finish((g.epilogue, g.slope), beside, first * g.a, g.a, out),
    };
    let mut other = Vec::new();
    scratch(&mut other, weight.len());
    if g.stride == 1 && g.a >= LEAST_CHANNELS {
        // Tap k of the coarse side lies where tap -k of the fine side does.
        let taps = other.par_chunks_mut(g.a * g.b).zip(weight.par_chunks(g.a * g.b).rev());
        taps.for_each(|(to, from)| transpose(from, g.b, to));
        let swapped = Geometry { a: g.b, b: g.a, ..g };
        convolve(&swapped, coarse, &other, finish, call.writes[0]);
        return;
    }
    transpose(weight, g.b, &mut other);
    let fine_pixels = g.fine_height() * g.fine_width();
    call.writes[0].par_chunks_mut(fine_pixels * g.a).enumerate().for_each(|(image, out)| {
        taps::with_scratch(|rows| scatter_image(&g, coarse, &other, image, rows, out));
        finish(image * fine_pixels, out);
    });
}

/// One image's gradient without the epilogue. `weight` is transposed.
fn scatter_image(
    g: &Geometry,
    coarse: &[f32],
    weight: &[f32],
    image: usize,
    rows: &mut Vec<f32>,
    out: &mut [f32],
) {
    let row = taps::row_len(g);
    let (coarse_pixels, origin) = (g.height * g.width, image * g.fine_height() * g.fine_width());
    let end = (image + 1) * coarse_pixels;
    out.fill(0.0);
    for first in (image * coarse_pixels..end).step_by(BLOCK) {
        let pixels = BLOCK.min(end - first);
        scratch(rows, pixels * row);
        let left = Matrix::new(&coarse[first * g.b..], pixels, g.b);
        multiply(rows, false, left, Matrix::new(weight, g.b, row), Threads::One);
        taps::scatter(g, rows, first, out, origin);
    }
}

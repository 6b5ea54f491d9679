//! What ends the sums of convolutions: biases, activations, masks.

#![expect(
    clippy::inline_always,
    reason = "vector instructions are chosen for the caller, and what is not part of it is compiled without them"
)]

use super::direct::Finish;
use crate::cpu::geometry::Geometry;
use crate::graph::operation::codes::{BIAS_LEAKY, LEAKY_MASK, NOTHING};

/// What ends the sums of a convolution, but for biases that depend on the place. `beside` is the bias, or the whole activation.
pub fn of_sums((epilogue, slope): (u32, f32), beside: &[f32]) -> Finish<'_> {
    match epilogue {
        NOTHING => Finish::Nothing,
        LEAKY_MASK => Finish::Mask(beside, slope),
        BIAS_LEAKY => Finish::Bias(beside, slope),
        _ => Finish::Bias(beside, 1.0),
    }
}

/// Ends the sums of fine pixels from `first` on (counted over the batch) with biases that depend on the place by the
/// border.
#[inline(always)]
pub fn finish_borders(g: &Geometry, beside: &[f32], first: usize, pixels: &mut [f32]) {
    for (i, pixel) in pixels.chunks_mut(g.a).enumerate() {
        let (line, x) = ((first + i) / g.fine_width(), (first + i) % g.fine_width());
        let (image, y) = (line / g.fine_height(), line % g.fine_height());
        add_biases(pixel, &beside[g.beside(image, y, x)..], g.slope);
    }
}

#[inline(always)]
fn add_biases(pixel: &mut [f32], biases: &[f32], slope: f32) {
    for (value, &bias) in pixel.iter_mut().zip(biases) {
        let sum = *value + bias;
        *value = if sum > 0.0 { sum } else { slope * sum };
    }
}

/// Ends the sums of pixels of `channels` values as the epilogue says. `beside` is the bias, or the whole activation of
/// which the pixels' own values begin at `at`.
#[inline(always)]
pub fn finish((epilogue, slope): (u32, f32), beside: &[f32], at: usize, channels: usize, pixels: &mut [f32]) {
    match epilogue {
        NOTHING => {}
        LEAKY_MASK => {
            for (value, &activation) in pixels.iter_mut().zip(&beside[at..]) {
                *value *= if activation > 0.0 { 1.0 } else { slope };
            }
        }
        _ => {
            let slope = if epilogue == BIAS_LEAKY { slope } else { 1.0 };
            for pixel in pixels.chunks_mut(channels) {
                add_biases(pixel, beside, slope);
            }
        }
    }
}

//! Gathering the fine pixels under the taps of coarse pixels into rows, and adding such rows back.

use crate::cpu::geometry::Geometry;
use crate::graph::operation::LEAKY_SLOPE;

/// Values of one row: all taps, all fine channels.
pub fn row_len(g: &Geometry) -> usize {
    g.size * g.size * g.a
}

/// Whether a row is just the pixel itself, so that nothing needs gathering.
pub fn is_trivial(g: &Geometry) -> bool {
    g.size == 1 && g.stride == 1
}

/// Calls `each(tap, fine pixel)` for the taps of a coarse pixel (counted over the batch) inside the image.
fn visit(g: &Geometry, pixel: usize, mut each: impl FnMut(usize, Option<usize>)) {
    let (row, ox) = (pixel / g.width, pixel % g.width);
    let (image, oy) = (row / g.height, row % g.height);
    for ky in 0..g.size {
        let line = g.fine(oy, ky, g.fine_height()).map(|y| (image * g.fine_height() + y) * g.fine_width());
        for kx in 0..g.size {
            let at = line.and_then(|line| g.fine(ox, kx, g.fine_width()).map(|x| line + x));
            each(ky * g.size + kx, at);
        }
    }
}

/// Fills `rows` with the taps of the coarse pixels from `first` on, zeros outside the image.
pub fn gather(g: &Geometry, fine: &[f32], first: usize, rows: &mut [f32]) {
    for (i, row) in rows.chunks_mut(row_len(g)).enumerate() {
        visit(g, first + i, |tap, at| {
            let to = &mut row[tap * g.a..][..g.a];
            match at {
                Some(at) => to.copy_from_slice(&fine[at * g.a..][..g.a]),
                None => to.fill(0.0),
            }
        });
    }
}

/// Adds `rows` to the fine pixels under the taps of the coarse pixels from `first` on. `fine` begins at fine pixel
/// `origin` of the batch.
pub fn scatter(g: &Geometry, rows: &[f32], first: usize, fine: &mut [f32], origin: usize) {
    for (i, row) in rows.chunks(row_len(g)).enumerate() {
        visit(g, first + i, |tap, at| {
            if let Some(at) = at {
                let to = &mut fine[(at - origin) * g.a..][..g.a];
                for (to, &value) in to.iter_mut().zip(&row[tap * g.a..]) {
                    *to += value;
                }
            }
        });
    }
}

/// Ends the sums of one image with biases that depend on the place by the border.
pub fn finish_borders(g: &Geometry, beside: &[f32], image: usize, pixels: &mut [f32]) {
    for (at, pixel) in pixels.chunks_mut(g.a).enumerate() {
        let biases = &beside[g.beside(image, at / g.fine_width(), at % g.fine_width())..];
        add_biases(pixel, biases, LEAKY_SLOPE);
    }
}

fn add_biases(pixel: &mut [f32], biases: &[f32], slope: f32) {
    for (value, &bias) in pixel.iter_mut().zip(biases) {
        let sum = *value + bias;
        *value = if sum > 0.0 { sum } else { slope * sum };
    }
}

/// Ends the sums of pixels of `channels` values as the epilogue says. `beside` is the bias, or the whole activation of
/// which the pixels' own values begin at `at`.
pub fn finish(epilogue: u32, beside: &[f32], at: usize, channels: usize, pixels: &mut [f32]) {
    match epilogue {
        0 => {}
        3 => {
            for (value, &activation) in pixels.iter_mut().zip(&beside[at..]) {
                *value *= if activation > 0.0 { 1.0 } else { LEAKY_SLOPE };
            }
        }
        _ => {
            let slope = if epilogue == 2 { LEAKY_SLOPE } else { 1.0 };
            for pixel in pixels.chunks_mut(channels) {
                add_biases(pixel, beside, slope);
            }
        }
    }
}

//! For convolutions of any geometry without groups: the fine pixels under the taps of coarse pixels as rows, and such rows added
//! back. `taps.rs` does the same for the usual geometry, where a row needs no look at the geometry.

use super::matrix::Matrix;
use crate::cpu::general::General;
use crate::cpu::scratch::scratch;
use std::ops::Range;

/// Values of one row: all taps, all fine channels.
pub fn row_len(g: &General) -> usize {
    g.taps() * g.a
}

/// Whether a row is just the pixel itself.
fn is_identity(g: &General) -> bool {
    let pixelwise = |axis: &crate::cpu::general::Axis| {
        axis.taps == 1
            && axis.fine == axis.coarse
            && (0..axis.fine.min(2)).all(|o| axis.fine_at(o, 0) == Some(o))
    };
    pixelwise(&g.rows) && pixelwise(&g.columns)
}

/// Calls `each(i, in the row, in the fine side)` for the taps of coarse `pixels` (counted over the batch) that are in the
/// image: `i` counts the pixels, and the ranges are of values. Taps side by side are one range.
fn visit(g: &General, pixels: Range<usize>, mut each: impl FnMut(usize, Range<usize>, usize)) {
    for (i, pixel) in pixels.enumerate() {
        let [image, oy, ox] = g.coarse_place(pixel);
        let across = g.columns.taps_inside(ox);
        for ky in g.rows.taps_inside(oy) {
            let y = g.rows.fine_at(oy, ky).expect("inside the image");
            let line = (image * g.rows.fine + y) * g.columns.fine;
            let mut run = |taps: Range<usize>| {
                let x = g.columns.fine_at(ox, taps.start).expect("inside the image");
                let first = ky * g.columns.taps;
                each(i, (first + taps.start) * g.a..(first + taps.end) * g.a, (line + x) * g.a);
            };
            match g.columns.is_dense() {
                true if across.is_empty() => {}
                true => run(across.clone()),
                false => across.clone().for_each(|kx| run(kx..kx + 1)),
            }
        }
    }
}

/// The taps of `pixels` as rows, zeros outside the image. They are written to `rows` unless a row is just the pixel itself.
pub fn rows_of<'a>(g: &General, fine: &'a [f32], pixels: Range<usize>, rows: &'a mut Vec<f32>) -> Matrix<'a> {
    let (row, count) = (row_len(g), pixels.len());
    if is_identity(g) {
        return Matrix::new(&fine[pixels.start * row..], count, row);
    }
    scratch(rows, count * row);
    rows.fill(0.0);
    visit(g, pixels, |i, taps, from| {
        let len = taps.len();
        rows[i * row + taps.start..][..len].copy_from_slice(&fine[from..from + len]);
    });
    Matrix::new(rows, count, row)
}

/// Adds `rows` to the fine pixels under the taps of coarse `pixels`. `fine` begins at value `origin` of the batch.
pub fn add_rows(g: &General, rows: &[f32], pixels: Range<usize>, fine: &mut [f32], origin: usize) {
    let row = row_len(g);
    visit(g, pixels, |i, taps, to| {
        let to = &mut fine[to - origin..][..taps.len()];
        to.iter_mut().zip(&rows[i * row..][taps]).for_each(|(to, &value)| *to += value);
    });
}

//! Rows of tiles: from the lines of an image to evaluated tiles, and back from products to lines.
//!
//! Along the vertical axis a whole line is transformed at once: its values lie side by side, whatever the channels, and what
//! neighbouring tiles share is computed once. The horizontal axis is transformed tile by tile.

use super::super::direct::{Line, MOST_LANES};
use super::super::finish::{Finish, leaky, load, normal};
use super::planes::Planes;
use super::{FIELD, TILE, transform};
use pulp::Simd;

/// Six lines that are transformed along the vertical axis.
#[derive(Clone, Copy)]
pub struct Lines {
    /// Values of a line.
    pub len: usize,
}

impl Lines {
    /// Values of a line with what a vector at its end may lie beyond it.
    pub fn one(self) -> usize {
        self.len + MOST_LANES
    }

    /// Values of all lines.
    pub fn all(self) -> usize {
        FIELD * self.one()
    }
}

/// The inputs under a row of tiles.
pub struct Field<'a> {
    /// Along both axes.
    pub lines: [&'a Line; 2],
    /// Of a pixel.
    pub channels: usize,
    /// The first line of outputs.
    pub first: usize,
}

impl Field<'_> {
    /// Evaluates the tiles, of which the first is `tile` of the unit. `half` is for the six lines.
    #[inline(always)]
    pub fn evaluate<S: Simd>(
        &self,
        simd: S,
        image: &[f32],
        (lines, half): (Lines, &mut [f32]),
        (planes, tile): (&Planes, usize),
        evaluated: &mut [f32],
    ) {
        self.evaluate_lines(simd, image, lines, half);
        for x in 0..self.lines[1].outputs.div_ceil(TILE) {
            for channel in (0..self.channels).step_by(S::F32_LANES) {
                let from = x * TILE * self.channels + channel;
                let to = planes.place(tile + x, channel);
                for i in 0..FIELD {
                    let mut values = [simd.splat_f32s(0.0); FIELD];
                    for j in 0..FIELD {
                        let at = i * lines.one() + from + j * self.channels;
                        values[j] = load(simd, &half[at..at + S::F32_LANES]);
                    }
                    let points = transform::field(simd, values);
                    for j in 0..FIELD {
                        let at = (i * FIELD + j) * planes.apart + to;
                        S::as_mut_simd_f32s(&mut evaluated[at..at + S::F32_LANES]).0[0] = points[j];
                    }
                }
            }
        }
    }

    /// The lines along the vertical axis, with zeros where the image has no pixel.
    #[inline(always)]
    fn evaluate_lines<S: Simd>(&self, simd: S, image: &[f32], lines: Lines, half: &mut [f32]) {
        let [rows, columns] = self.lines;
        let left = columns.reach()[0];
        let pixels = (lines.len / self.channels) as isize;
        // The pixels that the image has, of those under the tiles.
        let from = left.max(0).min(columns.inputs as isize);
        let until = (left + pixels).clamp(from, columns.inputs as isize);
        let inside = (from - left) as usize * self.channels;
        let len = (until - from) as usize * self.channels;
        let top = self.first as isize + rows.reach()[0];
        let mut inputs = [None; FIELD];
        for (y, input) in (top..).zip(&mut inputs) {
            if y >= 0 && y < rows.inputs as isize {
                let at = (y as usize * columns.inputs + from as usize) * self.channels;
                *input = Some(&image[at..at + len]);
            }
        }
        for line in half.chunks_exact_mut(lines.one()).take(FIELD) {
            line[..inside].fill(0.0);
            line[inside + len..].fill(0.0);
        }
        for at in (0..len).step_by(S::F32_LANES) {
            let end = len.min(at + S::F32_LANES);
            let mut values = [simd.splat_f32s(0.0); FIELD];
            for i in 0..FIELD {
                if let Some(input) = inputs[i] {
                    values[i] = load(simd, &input[at..end]);
                }
            }
            let points = transform::field(simd, values);
            for i in 0..FIELD {
                let to = i * lines.one() + inside + at;
                store(simd, points[i], &mut half[to..to + end - at]);
            }
        }
    }
}

/// The outputs of a row of tiles.
pub struct Result<'a> {
    /// Of the row.
    pub tiles: usize,
    /// Of a pixel.
    pub channels: usize,
    /// Values of a line.
    pub line: usize,
    /// What ends the sums.
    pub finish: &'a Finish<'a>,
    /// What stands beside every line for that.
    pub beside: &'a [f32],
}

impl Result<'_> {
    /// Interpolates along the horizontal axis: from products to six lines. The first tile is `tile` of the unit.
    #[inline(always)]
    pub fn interpolate<S: Simd>(
        &self,
        simd: S,
        (planes, tile): (&Planes, usize),
        products: &[f32],
        (lines, half): (Lines, &mut [f32]),
    ) {
        for x in 0..self.tiles {
            // From the last channels on: a vector may reach into the next pixel, whose first channels are written later.
            for number in (0..self.channels.div_ceil(S::F32_LANES)).rev() {
                let channel = number * S::F32_LANES;
                let from = planes.place(tile + x, channel);
                let to = x * TILE * self.channels + channel;
                for i in 0..FIELD {
                    let mut points = [simd.splat_f32s(0.0); FIELD];
                    for j in 0..FIELD {
                        let at = (i * FIELD + j) * planes.apart + from;
                        points[j] = load(simd, &products[at..at + S::F32_LANES]);
                    }
                    let values = transform::result(simd, points);
                    for j in 0..TILE {
                        let at = i * lines.one() + to + j * self.channels;
                        S::as_mut_simd_f32s(&mut half[at..at + S::F32_LANES]).0[0] = values[j];
                    }
                }
            }
        }
    }

    /// Interpolates along the vertical axis, and ends and writes the lines that the image has; the first value is the
    /// result `first` of all.
    #[inline(always)]
    pub fn end<S: Simd>(&self, simd: S, (lines, half): (Lines, &[f32]), first: usize, out: &mut [f32]) {
        for at in (0..self.line).step_by(S::F32_LANES) {
            let end = self.line.min(at + S::F32_LANES);
            let mut points = [simd.splat_f32s(0.0); FIELD];
            for i in 0..FIELD {
                points[i] = load(simd, &half[i * lines.one() + at..][..S::F32_LANES]);
            }
            let values = transform::result(simd, points);
            for i in 0..TILE {
                let here = i * self.line;
                if here < out.len() {
                    let value = self.ended(simd, values[i], first + here, at..end);
                    store(simd, value, &mut out[here + at..here + end]);
                }
            }
        }
    }

    /// A vector of a line that begins with the result `line` of all.
    #[inline(always)]
    fn ended<S: Simd>(&self, simd: S, sum: S::f32s, line: usize, place: std::ops::Range<usize>) -> S::f32s {
        match self.finish {
            Finish::Pixels(_) => sum,
            Finish::Nothing => normal(simd, sum),
            Finish::Bias(_, slope) => {
                let sum = simd.add_f32s(sum, load(simd, &self.beside[place]));
                normal(simd, leaky(simd, sum, sum, *slope))
            }
            Finish::Mask(activation, slope) => {
                let beside = load(simd, &activation[line + place.start..line + place.end]);
                normal(simd, leaky(simd, beside, sum, *slope))
            }
        }
    }
}

/// Stores a vector, or the part of it that `out` has room for.
#[inline(always)]
fn store<S: Simd>(simd: S, value: S::f32s, out: &mut [f32]) {
    match out.len() == S::F32_LANES {
        true => S::as_mut_simd_f32s(out).0[0] = value,
        false => simd.partial_store_f32s(out, value),
    }
}

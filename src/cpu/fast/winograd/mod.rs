//! Convolutions with 3x3 taps and stride 1 by Winograd's algorithm F(4x4, 3x3): 36 products for 16 outputs instead of 144.
//!
//! A tile is 4x4 outputs and the 6x6 inputs under them. Inputs and weights are evaluated at 6 points along each axis
//! (`transform`), multiplied point by point (`product`: 36 matrix products over all tiles of a unit), and interpolated. The points
//! and matrices are those of the kernels `winograd_s1_*`; `cpu::winograd_s1` says what they cost in rounding.
//!
//! The lanes of a vector are channels, because pixels lie channel by channel in memory. Lanes along tiles would fill vectors
//! of 12 or 24 channels, but every tile would have to be transposed on its way in and out.
//!
//! A sum adds its terms in the same order whatever the batch, the threads and the place: results do not depend on them.

#![expect(
    clippy::inline_always,
    reason = "vector instructions are chosen for the caller, and what is not part of it is compiled without them"
)]

mod planes;
mod product;
mod rows;
mod transform;

use super::direct::{Line, MOST_LANES, aligned};
use super::finish::Finish;
use crate::cpu::scratch::{scratch, with_scratch};
use crate::cpu::simd;
use crate::cpu::winograd_s1::ELEMENTS;
use planes::Planes;
use product::Weight;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Outputs on a side of a tile.
const TILE: usize = 4;
/// Inputs on a side of a tile.
const FIELD: usize = 6;
/// Channels from which on the transforms cost less than they save.
const LEAST_CHANNELS: usize = 8;
/// Products of input and output channels up to which the evaluated weights stay in the second-level cache.
const MOST_WEIGHTS: usize = 128 * 128;
/// Values of the evaluated tiles of a unit, about: they stay in the second-level cache.
const UNIT: usize = 1 << 17;
/// Tiles of a unit: so many share one pass over the weights.
const TILES: std::ops::RangeInclusive<usize> = 16..=128;
/// Units for each of several threads, so that none waits long for the last one.
const UNITS_PER_THREAD: usize = 4;

/// Whether the algorithm suits a convolution along these axes. It follows from the shape alone, so that results do not
/// depend on the batch.
pub fn suits([rows, columns]: [&Line; 2], [inputs, outputs]: [usize; 2]) -> bool {
    let whole = |line: &Line| line.outputs.next_multiple_of(TILE);
    let (computed, wanted) = (whole(rows) * whole(columns), rows.outputs * columns.outputs);
    rows.has_neighbouring_taps(3)
        && columns.has_neighbouring_taps(3)
        && inputs.min(outputs) >= LEAST_CHANNELS
        && inputs * outputs <= MOST_WEIGHTS
        && 2 * computed <= 3 * wanted
}

/// A convolution from `channels[0]` to `channels[1]` channels of so many images.
pub struct Convolution<'a> {
    /// Along both axes: rows, columns.
    pub lines: [&'a Line; 2],
    /// Of inputs and outputs.
    pub channels: [usize; 2],
    /// Of the batch.
    pub images: usize,
}

/// What one thread computes at a time: whole images, or rows of tiles of one.
#[derive(Clone, Copy, Debug)]
struct Unit {
    image: usize,
    images: usize,
    /// The first row of tiles.
    first: usize,
    rows: usize,
}

impl Convolution<'_> {
    /// Writes the outputs. `weight` has a matrix `[inputs, outputs]` of channels for each tap.
    pub fn compute(&self, input: &[f32], weight: &[f32], finish: &Finish, out: &mut [f32]) {
        with_scratch(|evaluated| {
            let weight = simd::dispatch(EvaluateWeight { convolution: self, weight, evaluated });
            let mut rest = out;
            let mut tasks = Vec::new();
            for (unit, len) in self.units() {
                let (own, others) = rest.split_at_mut(len);
                tasks.push((unit, own));
                rest = others;
            }
            tasks.into_par_iter().for_each(|(unit, out)| {
                with_scratch(|memory| {
                    simd::dispatch(OfUnit { convolution: self, unit, input, weight, finish, memory, out });
                });
            });
        });
    }

    /// Tiles along both axes of an image.
    fn tiles(&self) -> [usize; 2] {
        self.lines.map(|line| line.outputs.div_ceil(TILE))
    }

    /// All units, with the values that each computes: they lie one behind the other.
    fn units(&self) -> Vec<(Unit, usize)> {
        let ([height, width], [inputs, outputs]) = (self.tiles(), self.channels);
        let units = match rayon::current_num_threads() {
            1 => 1,
            threads => UNITS_PER_THREAD * threads,
        };
        let share = (self.images * height * width).div_ceil(units);
        let fit = UNIT / (ELEMENTS * (inputs + outputs));
        let tiles = share.min(fit).clamp(*TILES.start(), *TILES.end());
        let line = self.lines[1].outputs * outputs;
        if tiles >= height * width {
            let several = tiles / (height * width);
            let unit = |image| {
                let images = several.min(self.images - image);
                (Unit { image, images, first: 0, rows: height }, images * self.lines[0].outputs * line)
            };
            return (0..self.images).step_by(several).map(unit).collect();
        }
        let band = (tiles / width).max(1);
        let unit = |image, first: usize| {
            let rows = band.min(height - first);
            let lines = ((first + rows) * TILE).min(self.lines[0].outputs) - first * TILE;
            (Unit { image, images: 1, first, rows }, lines * line)
        };
        let of_image = |image| (0..height).step_by(band).map(move |first| unit(image, first));
        (0..self.images).flat_map(of_image).collect()
    }
}

struct EvaluateWeight<'a> {
    convolution: &'a Convolution<'a>,
    weight: &'a [f32],
    evaluated: &'a mut Vec<f32>,
}

impl<'a> WithSimd for EvaluateWeight<'a> {
    type Output = Weight<'a>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Weight<'a> {
        let Self { convolution: Convolution { lines: [rows, columns], channels, .. }, weight, evaluated } =
            self;
        let len = Weight::len::<S>(*channels);
        let evaluated = aligned(scratch(evaluated, len + MOST_LANES), len);
        evaluated.fill(0.0);
        let tap = |row: usize, column: usize| {
            rows.phases[0].taps[row].number * columns.taps + columns.phases[0].taps[column].number
        };
        let taps = [0, 1, 2].map(|row| [0, 1, 2].map(|column| tap(row, column)));
        Weight::evaluate(simd, *channels, taps, weight, evaluated)
    }
}

/// All outputs of a unit.
struct OfUnit<'a> {
    convolution: &'a Convolution<'a>,
    unit: Unit,
    input: &'a [f32],
    weight: Weight<'a>,
    finish: &'a Finish<'a>,
    memory: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

impl WithSimd for OfUnit<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { convolution, unit, input, weight, finish, memory, out } = self;
        let (lines, [inputs, outputs]) = (convolution.lines, convolution.channels);
        let [_, width] = convolution.tiles();
        let tiles = unit.images * unit.rows * width;
        let [fields, sums] = convolution.channels.map(|channels| Planes::new::<S>(tiles, channels));
        let fine = rows::Lines { len: (TILE * width + FIELD - TILE) * inputs };
        let coarse = rows::Lines { len: TILE * width * outputs };
        let lens = [fields.len(), sums.len(), fine.all().max(coarse.all()), coarse.one()];
        let len = lens.iter().sum();
        let (evaluated, rest) = aligned(scratch(memory, len + MOST_LANES), len).split_at_mut(lens[0]);
        let (products, rest) = rest.split_at_mut(lens[1]);
        let (half, biases) = rest.split_at_mut(lens[2]);
        let places = || (0..unit.images).flat_map(|image| (0..unit.rows).map(move |row| (image, row)));
        for (index, (image, row)) in places().enumerate() {
            let image = &input[(unit.image + image) * lines[0].inputs * lines[1].inputs * inputs..];
            let field = rows::Field { lines, channels: inputs, first: (unit.first + row) * TILE };
            field.evaluate(simd, image, (fine, &mut *half), (&fields, index * width), evaluated);
        }
        fields.clear_rest(evaluated);
        weight.multiply(simd, (&fields, evaluated), (&sums, products));
        let line = lines[1].outputs * outputs;
        let first = (unit.image * lines[0].outputs + unit.first * TILE) * line;
        let beside = finish.beside(&mut biases[..line]);
        for (index, (image, row)) in places().enumerate() {
            let at = (image * lines[0].outputs + row * TILE) * line;
            let left = lines[0].outputs - (unit.first + row) * TILE;
            let result = rows::Result { tiles: width, channels: outputs, line, finish, beside };
            result.interpolate(simd, (&sums, index * width), products, (coarse, &mut *half));
            let out = &mut out[at..][..left.min(TILE) * line];
            result.end(simd, (coarse, half), first + at, out);
        }
        if let Finish::Pixels(finish) = finish {
            finish(first / outputs, out);
            simd::flush(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::fast::direct;
    use crate::cpu::general::Axis;
    use crate::random::{Random, Stream};

    fn numbers(len: usize) -> Vec<f32> {
        let random = Random::new(0, Stream::Attack);
        (0..len as u32).map(|i| random.normal(0, i)).collect()
    }

    /// Images, height, width and channels that fill tiles, vectors and units, and that do not.
    const SHAPES: [(usize, [usize; 2], [usize; 2]); 9] = [
        (1, [8, 12], [72, 70]),
        (2, [8, 8], [8, 8]),
        (3, [16, 16], [12, 24]),
        (1, [32, 32], [16, 12]),
        (1, [7, 8], [10, 9]),
        (5, [4, 4], [33, 40]),
        (2, [12, 11], [8, 70]),
        (7, [4, 8], [24, 48]),
        (1, [20, 15], [9, 64]),
    ];

    fn axis(side: usize, before: usize) -> Axis {
        Axis { fine: side + 2 - 2 * before, coarse: side, taps: 3, stride: 1, dilation: 1, before }
    }

    fn run(
        shape: (usize, [usize; 2], [usize; 2]),
        before: usize,
        finish: &Finish,
        by_tiles: bool,
    ) -> Vec<f32> {
        let (images, sides, channels) = shape;
        let lines = sides.map(|side| Line::forward(&axis(side, before)));
        assert!(suits(lines.each_ref(), channels), "{shape:?}");
        let input = numbers(images * lines[0].inputs * lines[1].inputs * channels[0]);
        let weight = numbers(9 * channels[0] * channels[1]);
        let mut out = vec![f32::NAN; images * sides[0] * sides[1] * channels[1]];
        if by_tiles {
            Convolution { lines: lines.each_ref(), channels, images }
                .compute(&input, &weight, finish, &mut out);
        } else {
            let [rows, columns] = lines;
            let plan = direct::Plan::spread(rows, columns, channels, images);
            direct::convolve(&plan, &input, &weight, finish, &mut out);
        }
        out
    }

    #[test]
    fn results_are_those_of_the_direct_way_whatever_ends_the_sums() {
        for (shape, before) in SHAPES.into_iter().flat_map(|shape| [(shape, 1), (shape, 0)]) {
            let (images, [height, width], [_, outputs]) = shape;
            let beside = numbers(images * height * width * outputs);
            let halved = |_: usize, pixels: &mut [f32]| pixels.iter_mut().for_each(|value| *value /= 2.0);
            let finishes = [
                Finish::Nothing,
                Finish::Bias(&beside[..outputs], 0.2),
                Finish::Mask(&beside, 0.2),
                Finish::Pixels(&halved),
            ];
            for finish in &finishes {
                let [wanted, found] = [false, true].map(|by_tiles| run(shape, before, finish, by_tiles));
                let largest = wanted.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                let furthest = wanted.iter().zip(&found).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
                // That NaN does not pass, the comparison is this way round.
                assert!(found.iter().all(|value| value.is_finite()), "{shape:?}");
                assert!(furthest <= 1e-5 * largest, "{shape:?}, {before} before: {furthest} of {largest}");
            }
        }
    }

    #[test]
    fn results_of_an_image_are_the_same_to_the_bit_whatever_is_beside_it() {
        for (images, sides, channels) in SHAPES {
            let all = run((images, sides, channels), 1, &Finish::Nothing, true);
            let one = run((1, sides, channels), 1, &Finish::Nothing, true);
            assert_eq!(all[..one.len()], one);
        }
    }

    #[test]
    fn shapes_that_would_waste_most_of_their_tiles_or_have_other_taps_are_left_to_the_direct_way() {
        let suits = |side, axis: Axis, channels| {
            let other = Line::forward(&self::axis(side, 1));
            suits([&Line::forward(&axis), &other], channels)
        };
        assert!(suits(8, axis(8, 1), [8, 8]));
        assert!(!suits(5, axis(5, 1), [8, 8]), "64 outputs for 25");
        assert!(!suits(8, axis(8, 1), [3, 16]));
        assert!(!suits(8, axis(8, 1), [256, 256]));
        assert!(!suits(8, Axis { fine: 16, stride: 2, ..axis(8, 1) }, [8, 8]));
        assert!(!suits(8, Axis { dilation: 2, before: 2, ..axis(8, 1) }, [8, 8]));
        assert!(!suits(8, Axis { taps: 5, before: 2, ..axis(8, 1) }, [8, 8]));
    }
}

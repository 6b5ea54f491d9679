//! The products of evaluated tiles and weights: at every point a matrix product `[tiles, inputs] x [inputs, outputs]` of channels,
//! with the sums of a few tiles and a few vectors of output channels in registers.

use super::super::direct::Machine;
use super::super::finish::load;
use super::{FIELD, transform};
use crate::cpu::winograd_s1::ELEMENTS;
use pulp::Simd;

/// Input channels that are multiplied between two looks at where the rows are.
const QUAD: usize = 4;

/// A weight at all points. For each point it has blocks of output channels; a block has a row for every input channel, filled up
/// to whole vectors, and rows of zeros up to a multiple of [`QUAD`].
#[derive(Clone, Copy)]
pub struct Weight<'a> {
    channels: [usize; 2],
    evaluated: &'a [f32],
}

impl<'a> Weight<'a> {
    /// Values at all points.
    pub fn len<S: Simd>(channels: [usize; 2]) -> usize {
        ELEMENTS * Self::of_point::<S>(channels)
    }

    fn of_point<S: Simd>([inputs, outputs]: [usize; 2]) -> usize {
        inputs.next_multiple_of(QUAD) * outputs.next_multiple_of(S::F32_LANES)
    }

    /// Evaluates `weight`, which has a matrix `[inputs, outputs]` for each tap, into `evaluated`, which is zero.
    #[inline(always)]
    pub fn evaluate<S: Simd>(
        simd: S,
        channels: [usize; 2],
        taps: [[usize; 3]; 3],
        weight: &[f32],
        evaluated: &'a mut [f32],
    ) -> Self {
        let [inputs, outputs] = channels;
        let zero = simd.splat_f32s(0.0);
        let of_point = Self::of_point::<S>(channels);
        for (first, vectors) in Machine::of::<S>().blocks(outputs) {
            let block = inputs.next_multiple_of(QUAD) * first;
            for (input, vector) in (0..inputs * vectors).map(|i| (i / vectors, i % vectors)) {
                let output = first + vector * S::F32_LANES;
                let len = S::F32_LANES.min(outputs - output);
                let mut half = [[zero; 3]; FIELD];
                for j in 0..3 {
                    let mut values = [zero; 3];
                    for i in 0..3 {
                        values[i] =
                            load(simd, &weight[(taps[i][j] * inputs + input) * outputs + output..][..len]);
                    }
                    let points = transform::weight(simd, values);
                    for i in 0..FIELD {
                        half[i][j] = points[i];
                    }
                }
                for i in 0..FIELD {
                    let points = transform::weight(simd, half[i]);
                    for j in 0..FIELD {
                        let row = block + (input * vectors + vector) * S::F32_LANES;
                        let at = (i * FIELD + j) * of_point + row;
                        S::as_mut_simd_f32s(&mut evaluated[at..][..S::F32_LANES]).0[0] = points[j];
                    }
                }
            }
        }
        Self { channels, evaluated }
    }

    /// Multiplies rows of so many values, one for each tile, with the weight at a point.
    #[inline(always)]
    pub fn multiply<S: Simd>(
        &self,
        simd: S,
        point: usize,
        (rows, row): (&[f32], usize),
        (to, to_row): (&mut [f32], usize),
    ) {
        let [inputs, outputs] = self.channels;
        let of_point = Self::of_point::<S>(self.channels);
        let weight = &self.evaluated[point * of_point..][..of_point];
        let few = S::REGISTER_COUNT < 32;
        for (first, vectors) in Machine::of::<S>().blocks(outputs) {
            let len = inputs.next_multiple_of(QUAD) * vectors * S::F32_LANES;
            let (weight, _) = S::as_simd_f32s(&weight[inputs.next_multiple_of(QUAD) * first..][..len]);
            let product = Product { rows, row, weight };
            let to = (&mut to[first..], to_row);
            match vectors {
                1 if few => product.write::<8, 1>(simd, to),
                1 => product.write::<16, 1>(simd, to),
                2 if few => product.write::<4, 2>(simd, to),
                2 => product.write::<8, 2>(simd, to),
                3 => product.write::<8, 3>(simd, to),
                _ => product.write::<4, 4>(simd, to),
            }
        }
    }
}

struct Product<'a, S: Simd> {
    rows: &'a [f32],
    /// Values from one row to the next.
    row: usize,
    weight: &'a [S::f32s],
}

impl<S: Simd> Product<'_, S> {
    /// `R` tiles at a time, `V` vectors of output channels.
    #[inline(always)]
    fn write<const R: usize, const V: usize>(&self, simd: S, (to, to_row): (&mut [f32], usize)) {
        let (to, _) = S::as_mut_simd_f32s(to);
        let (count, to_row) = (self.rows.len() / self.row, to_row / S::F32_LANES);
        for first in (0..count).step_by(R) {
            let mut tiles = [0; R];
            for r in 0..R {
                // What is not full computes and writes its last row several times.
                tiles[r] = (first + r).min(count - 1);
            }
            let sums = self.sums::<R, V>(simd, tiles.map(|tile| tile * self.row));
            for r in 0..R {
                for v in 0..V {
                    // An index that might panic would keep the sums in memory from the beginning.
                    if let Some(to) = to.get_mut(tiles[r] * to_row + v) {
                        *to = sums[r][v];
                    }
                }
            }
        }
    }

    /// The sums, by value, so that the compiler keeps them in registers; for the same reason nothing in the loop may panic.
    #[inline(always)]
    fn sums<const R: usize, const V: usize>(&self, simd: S, from: [usize; R]) -> [[S::f32s; V]; R] {
        let rows = self.rows;
        assert!(QUAD <= rows.len(), "a row has at least one vector");
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (quad, weight) in self.weight.chunks_exact(QUAD * V).enumerate() {
            let mut values = [&[0.0; QUAD]; R];
            for r in 0..R {
                // The smaller one is always the first; the compiler sees that it is inside.
                let at = (from[r] + quad * QUAD).min(rows.len() - QUAD);
                values[r] = rows[at..].first_chunk::<QUAD>().unwrap_or(values[r]);
            }
            for (i, weight) in (0..QUAD).zip(weight.chunks_exact(V)) {
                for r in 0..R {
                    let value = simd.splat_f32s(values[r][i]);
                    for v in 0..V {
                        sums[r][v] = simd.mul_add_f32s(value, weight[v], sums[r][v]);
                    }
                }
            }
        }
        sums
    }
}

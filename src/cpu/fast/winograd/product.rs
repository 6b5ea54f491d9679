//! The products of evaluated tiles and weights: at every point a matrix product `[tiles, inputs] x [inputs, outputs]` of channels,
//! with the sums of a few tiles and a few vectors of output channels in registers.

use super::super::direct::Machine;
use super::super::finish::load;
use super::planes::Planes;
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

    /// Writes the products of all planes: of the evaluated tiles `fields` with the weight of their point, to `sums`.
    #[inline(always)]
    pub fn multiply<S: Simd>(
        &self,
        simd: S,
        (fields, evaluated): (&Planes, &[f32]),
        (sums, products): (&Planes, &mut [f32]),
    ) {
        let of_point = Self::of_point::<S>(self.channels);
        let padded = self.channels[0].next_multiple_of(QUAD);
        for point in 0..ELEMENTS {
            let weight = &self.evaluated[point * of_point..][..of_point];
            for (to, from) in sums.blocks().flat_map(|to| fields.blocks().map(move |from| (to, from))) {
                let inputs = (padded - from.channel).min(from.vectors * S::F32_LANES);
                let [row, width] = [from, to].map(|block| block.vectors * S::F32_LANES);
                let weight = &weight[padded * to.channel + from.channel * width..][..inputs * width];
                let product = Product {
                    fields: &evaluated[point * fields.apart + from.at..][..fields.rows() * row],
                    weight: S::as_simd_f32s(weight).0,
                    tiles: fields.tiles(),
                    add: from.channel > 0,
                };
                let to = &mut products[point * sums.apart + to.at..][..sums.rows() * width];
                product.write_rows(simd, (row, width), S::as_mut_simd_f32s(to).0);
            }
        }
    }
}

/// A block of input channels of one plane, times their weight for a block of output channels.
struct Product<'a, S: Simd> {
    fields: &'a [f32],
    weight: &'a [S::f32s],
    tiles: usize,
    /// Whether the sums over earlier input channels are there already.
    add: bool,
}

impl<S: Simd> Product<'_, S> {
    /// By the values of a row of inputs and of a row of results.
    #[inline(always)]
    fn write_rows(&self, simd: S, (row, width): (usize, usize), to: &mut [S::f32s]) {
        match row / S::F32_LANES {
            1 => self.write_width::<1>(simd, width, to),
            2 => self.write_width::<2>(simd, width, to),
            3 => self.write_width::<3>(simd, width, to),
            _ => self.write_width::<4>(simd, width, to),
        }
    }

    #[inline(always)]
    fn write_width<const F: usize>(&self, simd: S, width: usize, to: &mut [S::f32s]) {
        let few = S::REGISTER_COUNT < 32;
        match width / S::F32_LANES {
            1 if few => self.write::<F, 8, 1>(simd, to),
            1 => self.write::<F, 16, 1>(simd, to),
            2 if few => self.write::<F, 4, 2>(simd, to),
            2 => self.write::<F, 8, 2>(simd, to),
            3 => self.write::<F, 8, 3>(simd, to),
            _ => self.write::<F, 4, 4>(simd, to),
        }
    }

    /// `R` tiles at a time, with `F` vectors of inputs and `V` of results.
    #[inline(always)]
    fn write<const F: usize, const R: usize, const V: usize>(&self, simd: S, to: &mut [S::f32s]) {
        let row = F * S::F32_LANES;
        let groups = self.fields.chunks_exact(R * row).zip(to.chunks_exact_mut(R * V));
        for (fields, to) in groups.take(self.tiles.div_ceil(R)) {
            let mut sums = [[simd.splat_f32s(0.0); V]; R];
            if self.add {
                for r in 0..R {
                    for v in 0..V {
                        sums[r][v] = to[r * V + v];
                    }
                }
            }
            let sums = self.sums::<F, R, V>(simd, fields, sums);
            for r in 0..R {
                for v in 0..V {
                    to[r * V + v] = sums[r][v];
                }
            }
        }
    }

    /// Adds all products, by value, so that the compiler keeps the sums in registers; for the same reason nothing in the loop may
    /// panic.
    #[inline(always)]
    fn sums<const F: usize, const R: usize, const V: usize>(
        &self,
        simd: S,
        fields: &[f32],
        mut sums: [[S::f32s; V]; R],
    ) -> [[S::f32s; V]; R] {
        let row = F * S::F32_LANES;
        assert!(fields.len() == R * row, "a row for each tile");
        for (quad, weight) in self.weight.chunks_exact(QUAD * V).enumerate() {
            // The smaller one is always the first; the compiler sees that it is inside.
            let at = (quad * QUAD).min(row - QUAD);
            let mut values = [&[0.0; QUAD]; R];
            for r in 0..R {
                values[r] = fields[r * row + at..].first_chunk::<QUAD>().unwrap_or(values[r]);
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

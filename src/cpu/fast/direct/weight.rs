//! The gradient of a convolution by its weight, directly: a few rows of it stay in vector registers while the pixels of a unit
//! pass by. The sums of units are added one after the other, in the same order whatever the threads.

use super::plan::{Plan, Run};
use super::tile::{Ask, Machine};
use crate::cpu::scratch::{scratch, with_scratch};
use crate::cpu::simd;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of the gradient that one task computes where threads share a part.
const SHARE: usize = 24;
/// Pixels that pass by at a time: a block of their channels stays in the first-level cache.
const PIXELS: usize = 128;

/// Writes the sums over some rows of the coarse side, counted over the batch, to `out`: `[taps, inputs, outputs]`. `plan` is that
/// of the convolution. With `shared`, all threads compute.
pub fn weight_gradient(
    plan: &Plan,
    (fine, coarse): (&[f32], &[f32]),
    rows: Range<usize>,
    shared: bool,
    out: &mut [f32],
) {
    let [_, outputs] = plan.channels;
    let part = &plan.parts[0];
    let machine = simd::dispatch(Ask);
    out.fill(0.0);
    for unit in plan.units_of(rows) {
        let pixels = part.pixels(&unit);
        let coarse = &coarse[plan.first_pixel(&unit) * outputs..][..pixels * outputs];
        with_scratch(|padded| {
            with_scratch(|packed| {
                scratch(packed, machine.vectors(outputs) * pixels);
                machine.pack_rows(&coarse.chunks_exact(outputs), outputs, packed);
                let products = Products {
                    input: plan.inputs(&unit, fine, padded, scratch),
                    bases: &part.bases[..pixels],
                    packed,
                    runs: &part.runs,
                    channels: outputs,
                };
                match shared {
                    false => simd::dispatch(OfRows { products: &products, first: 0, out }),
                    true => out.par_chunks_mut(SHARE * outputs).enumerate().for_each(|(share, out)| {
                        simd::dispatch(OfRows { products: &products, first: share * SHARE, out });
                    }),
                }
            });
        });
    }
}

/// Pixels and what they are multiplied with.
struct Products<'a> {
    input: &'a [f32],
    /// Where the inputs of each pixel begin.
    bases: &'a [usize],
    /// The coarse side, packed: block by block of channels, pixel by pixel.
    packed: &'a [f32],
    runs: &'a [Run],
    /// Of the coarse side.
    channels: usize,
}

/// Some rows of the gradient.
struct OfRows<'a> {
    products: &'a Products<'a>,
    /// The first of them.
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for OfRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (channels, rows) =
            (self.products.channels, self.first..self.first + self.out.len() / self.products.channels);
        let mut before = 0;
        for run in self.products.runs {
            // The rows of this run that are wanted.
            let (start, end) = (rows.start.max(before), rows.end.min(before + run.len));
            if start < end {
                let offset = run.offset + start - before;
                let out = &mut self.out[(start - self.first) * channels..(end - self.first) * channels];
                self.products.run(simd, offset, out);
            }
            before += run.len;
        }
    }
}

impl Products<'_> {
    /// Adds to rows whose inputs lie side by side, `offset` behind the pixel's first.
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, offset: usize, out: &mut [f32]) {
        let few = S::REGISTER_COUNT < 32;
        let (mut rest, _) = S::as_simd_f32s(self.packed);
        for (first, vectors) in Machine::of::<S>().blocks(self.channels) {
            let (own, others) = rest.split_at(self.bases.len() * vectors);
            rest = others;
            for (bases, coarse) in self.bases.chunks(PIXELS).zip(own.chunks(PIXELS * vectors)) {
                let block = Block { products: self, bases, coarse, first };
                let mut row = 0;
                let rows = out.len() / self.channels;
                while row < rows {
                    let (offset, out) = (offset + row, &mut out[row * self.channels..]);
                    // As many sums as fit the registers.
                    row += match (rows - row, vectors) {
                        (12.., 1) => block.add::<12, 1>(simd, offset, out),
                        (12.., 2) if !few => block.add::<12, 2>(simd, offset, out),
                        (6.., 1) => block.add::<6, 1>(simd, offset, out),
                        (6.., 2) => block.add::<6, 2>(simd, offset, out),
                        (6.., 3) => block.add::<6, 3>(simd, offset, out),
                        (6.., _) => block.add::<6, 4>(simd, offset, out),
                        (3.., 1) => block.add::<3, 1>(simd, offset, out),
                        (3.., 2) => block.add::<3, 2>(simd, offset, out),
                        (3.., 3) => block.add::<3, 3>(simd, offset, out),
                        (3.., _) => block.add::<3, 4>(simd, offset, out),
                        (_, 1) => block.add::<1, 1>(simd, offset, out),
                        (_, 2) => block.add::<1, 2>(simd, offset, out),
                        (_, 3) => block.add::<1, 3>(simd, offset, out),
                        _ => block.add::<1, 4>(simd, offset, out),
                    };
                }
            }
        }
    }
}

/// Some pixels and a block of output channels.
struct Block<'a, S: Simd> {
    products: &'a Products<'a>,
    bases: &'a [usize],
    coarse: &'a [S::f32s],
    /// The first output channel.
    first: usize,
}

impl<S: Simd> Block<'_, S> {
    /// Adds to `P` rows and `V` vectors, from the input `offset` behind the pixel's first on; returns `P`.
    #[inline(always)]
    fn add<const P: usize, const V: usize>(&self, simd: S, offset: usize, out: &mut [f32]) -> usize {
        let (lanes, channels) = (S::F32_LANES, self.products.channels);
        let width = (channels - self.first).min(V * lanes);
        let sums = self.sums::<P, V>(simd, offset);
        for (p, sums) in sums.iter().enumerate() {
            let out = &mut out[p * channels + self.first..][..width];
            for (sum, out) in sums.iter().zip(out.chunks_mut(lanes)) {
                let all = simd.add_f32s(simd.partial_load_f32s(out), *sum);
                simd.partial_store_f32s(out, all);
            }
        }
        P
    }

    /// The sums over the pixels, by value, so that the compiler keeps them in registers; for the same reason nothing in the
    /// loop may panic.
    #[inline(always)]
    fn sums<const P: usize, const V: usize>(&self, simd: S, offset: usize) -> [[S::f32s; V]; P] {
        let input = self.products.input;
        let last = self.bases.last().map_or(0, |base| base + offset + P);
        assert!(last <= input.len() && P <= input.len(), "a tile inside its inputs");
        let mut sums = [[simd.splat_f32s(0.0); V]; P];
        for (base, coarse) in self.bases.iter().zip(self.coarse.chunks_exact(V)) {
            // The smaller one is always the first; the compiler sees that it is inside.
            let from = (base + offset).min(input.len() - P);
            let input = &input[from..from + P];
            for p in 0..P {
                let input = simd.splat_f32s(input[p]);
                for v in 0..V {
                    sums[p][v] = simd.mul_add_f32s(input, coarse[v], sums[p][v]);
                }
            }
        }
        sums
    }
}

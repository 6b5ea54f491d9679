//! The gradient of a convolution by its weight, directly: a few rows of it stay in vector registers while the pixels of a unit
//! pass by. The sums of units are added one after the other, in the same order whatever the threads.

use super::plan::{Plan, Run};
use super::tile::Machine;
use crate::cpu::scratch::{scratch, with_scratch};
use crate::cpu::simd;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of the gradient that one task computes where threads share a part.
const SHARE: usize = 24;

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
    out.fill(0.0);
    for unit in plan.units_of(rows) {
        with_scratch(|padded| {
            let pixels = part.pixels(&unit);
            let sums = Products {
                input: plan.inputs(&unit, fine, padded, scratch),
                bases: &part.bases[..pixels],
                coarse: &coarse[plan.first_pixel(&unit) * outputs..][..pixels * outputs],
                runs: &part.runs,
                channels: outputs,
            };
            match shared {
                false => simd::dispatch(OfRows { sums: &sums, first: 0, out }),
                true => out.par_chunks_mut(SHARE * outputs).enumerate().for_each(|(share, out)| {
                    simd::dispatch(OfRows { sums: &sums, first: share * SHARE, out });
                }),
            }
        });
    }
}

/// Pixels and what they are multiplied with.
struct Products<'a> {
    input: &'a [f32],
    /// Where the inputs of each pixel begin.
    bases: &'a [usize],
    coarse: &'a [f32],
    runs: &'a [Run],
    /// Of the coarse side.
    channels: usize,
}

/// Some rows of the gradient.
struct OfRows<'a> {
    sums: &'a Products<'a>,
    /// The first of them.
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for OfRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (channels, rows) =
            (self.sums.channels, self.first..self.first + self.out.len() / self.sums.channels);
        let mut before = 0;
        for run in self.sums.runs {
            // The rows of this run that are wanted.
            let (start, end) = (rows.start.max(before), rows.end.min(before + run.len));
            if start < end {
                let offset = run.offset + start - before;
                let out = &mut self.out[(start - self.first) * channels..(end - self.first) * channels];
                self.sums.run(simd, offset, out);
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
        for (first, vectors) in Machine::of::<S>().blocks(self.channels) {
            let mut row = 0;
            let rows = out.len() / self.channels;
            while row < rows {
                let at = At { offset: offset + row, first };
                let out = &mut out[row * self.channels..];
                // As many sums as fit the registers.
                row += match (rows - row, vectors) {
                    (12.., 1) => self.tile::<S, 12, 1>(simd, at, out),
                    (12.., 2) if !few => self.tile::<S, 12, 2>(simd, at, out),
                    (6.., 1) => self.tile::<S, 6, 1>(simd, at, out),
                    (6.., 2) => self.tile::<S, 6, 2>(simd, at, out),
                    (6.., 3) => self.tile::<S, 6, 3>(simd, at, out),
                    (6.., _) => self.tile::<S, 6, 4>(simd, at, out),
                    (3.., 1) => self.tile::<S, 3, 1>(simd, at, out),
                    (3.., 2) => self.tile::<S, 3, 2>(simd, at, out),
                    (3.., 3) => self.tile::<S, 3, 3>(simd, at, out),
                    (3.., _) => self.tile::<S, 3, 4>(simd, at, out),
                    (_, 1) => self.tile::<S, 1, 1>(simd, at, out),
                    (_, 2) => self.tile::<S, 1, 2>(simd, at, out),
                    (_, 3) => self.tile::<S, 1, 3>(simd, at, out),
                    _ => self.tile::<S, 1, 4>(simd, at, out),
                };
            }
        }
    }

    /// Adds to `P` rows and `V` vectors; returns `P`.
    #[inline(always)]
    fn tile<S: Simd, const P: usize, const V: usize>(&self, simd: S, at: At, out: &mut [f32]) -> usize {
        let lanes = S::F32_LANES;
        let width = (self.channels - at.first).min(V * lanes);
        let sums = match width == V * lanes {
            true => self.products::<S, P, V, true>(simd, at, width),
            false => self.products::<S, P, V, false>(simd, at, width),
        };
        for (p, sums) in sums.iter().enumerate() {
            let out = &mut out[p * self.channels + at.first..][..width];
            for (sum, out) in sums.iter().zip(out.chunks_mut(lanes)) {
                let all = simd.add_f32s(simd.partial_load_f32s(out), *sum);
                simd.partial_store_f32s(out, all);
            }
        }
        P
    }

    /// The sums over all pixels, by value, so that the compiler keeps them in registers; for the same reason nothing in the
    /// loop may panic. `WHOLE` says that `width` channels fill the vectors.
    #[inline(always)]
    fn products<S: Simd, const P: usize, const V: usize, const WHOLE: bool>(
        &self,
        simd: S,
        at: At,
        width: usize,
    ) -> [[S::f32s; V]; P] {
        let lanes = S::F32_LANES;
        let width = if WHOLE { V * lanes } else { width };
        let last = self.bases.last().map_or(0, |base| base + at.offset + P);
        assert!(last <= self.input.len() && P <= self.input.len(), "a tile inside its inputs");
        assert!(at.first <= self.channels && width <= self.channels - at.first, "a tile inside its outputs");
        let mut sums = [[simd.splat_f32s(0.0); V]; P];
        for (base, coarse) in self.bases.iter().zip(self.coarse.chunks_exact(self.channels)) {
            // The smaller one is always the first; the compiler sees that it is inside.
            let from = (base + at.offset).min(self.input.len() - P);
            let input = &self.input[from..from + P];
            let coarse = &coarse[at.first..at.first + width];
            let mut vectors = [simd.splat_f32s(0.0); V];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = match WHOLE {
                    true => S::as_simd_f32s(coarse).0[v],
                    false => simd.partial_load_f32s(coarse.get(v * lanes..).unwrap_or_default()),
                };
            }
            for p in 0..P {
                let input = simd.splat_f32s(input[p]);
                for v in 0..V {
                    sums[p][v] = simd.mul_add_f32s(input, vectors[v], sums[p][v]);
                }
            }
        }
        sums
    }
}

/// Where a tile is.
#[derive(Clone, Copy)]
struct At {
    /// Of its inputs behind the pixel's first.
    offset: usize,
    /// Its first output channel.
    first: usize,
}

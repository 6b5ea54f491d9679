//! The gradient of a convolution by its weight, directly: a few rows of it stay in vector registers while the pixels of a unit
//! pass by. The sums of units are added one after the other, in the same order whatever the threads.

use super::aligned;
use super::machine::{Ask, MOST_LANES, Machine};
use super::plan::{Part, Plan, Step};
use super::tile::Kept;
use crate::cpu::scratch::{scratch, with_scratch};
use crate::cpu::simd;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Steps whose rows of the gradient one task computes where threads share a part.
const SHARE: usize = 3;
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
    // In the order of the gradient's rows.
    let mut steps = part.steps.clone();
    steps.sort_by_key(|step| (step.tap, step.channel));
    out.fill(0.0);
    for unit in plan.units_of(rows) {
        let rows = part.rows(&unit);
        let pixels = rows.len() * part.count;
        let coarse = &coarse[plan.first_pixel(&unit) * outputs..][..pixels * outputs];
        with_scratch(|input| {
            with_scratch(|packed| {
                let input = scratch(input, plan.inputs_len(&unit));
                plan.copy_inputs(&unit, fine, input);
                let len = machine.vectors(outputs) * pixels;
                let packed = aligned(scratch(packed, len + MOST_LANES), len);
                machine.pack_rows(coarse, outputs, packed);
                let products = Products { plan, part, rows, input, packed };
                let shares = products.shares(&steps, out, if shared { SHARE } else { steps.len() });
                let work = |(steps, mut outs): (&[Step], Vec<&mut [f32]>)| {
                    simd::dispatch(OfSteps { products: &products, steps, outs: &mut outs });
                };
                match shared {
                    false => shares.into_iter().for_each(work),
                    true => shares.into_par_iter().for_each(work),
                }
            });
        });
    }
}

/// Pixels and what they are multiplied with.
struct Products<'a> {
    plan: &'a Plan,
    part: &'a Part,
    /// Their rows in the unit.
    rows: &'a [[usize; 2]],
    input: &'a [f32],
    /// The coarse side, packed: block by block of channels, pixel by pixel.
    packed: &'a [f32],
}

impl Products<'_> {
    /// The steps, `most` at a time, with the rows of the gradient `out` that belong to each.
    fn shares<'s, 'o>(
        &self,
        steps: &'s [Step],
        out: &'o mut [f32],
        most: usize,
    ) -> Vec<(&'s [Step], Vec<&'o mut [f32]>)> {
        let [inputs, outputs] = self.plan.channels;
        let (mut shares, mut rest) = (Vec::new(), out);
        for steps in steps.chunks(most.max(1)) {
            let mut outs = Vec::new();
            for step in steps {
                let rows = self.plan.layout.block.min(inputs - step.channel);
                let (own, others) = rest.split_at_mut(rows * outputs);
                outs.push(own);
                rest = others;
            }
            shares.push((steps, outs));
        }
        shares
    }
}

/// Some steps and their rows of the gradient.
struct OfSteps<'a, 'o> {
    products: &'a Products<'a>,
    steps: &'a [Step],
    outs: &'a mut [&'o mut [f32]],
}

impl WithSimd for OfSteps<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Products { plan, part, rows, packed, .. } = *self.products;
        let (mut rest, _) = S::as_simd_f32s(packed);
        for (first, vectors) in Machine::of::<S>().blocks(plan.channels[1]) {
            let (own, others) = rest.split_at(rows.len() * part.count * vectors);
            rest = others;
            let some = (PIXELS / part.count).max(1);
            for (rows, coarse) in rows.chunks(some).zip(own.chunks(some * part.count * vectors)) {
                let block = Block { products: self.products, rows, coarse, first };
                let (mut steps, mut outs) = (self.steps, &mut *self.outs);
                while !steps.is_empty() {
                    let done = match plan.layout.block {
                        1 => block.add_few::<9, 1>(simd, vectors, steps, outs),
                        3 => block.add_few::<3, 3>(simd, vectors, steps, outs),
                        _ => block.add_eights(simd, vectors, steps, outs),
                    };
                    steps = &steps[done..];
                    outs = &mut outs[done..];
                }
            }
        }
    }
}

/// Some pixels and a block of output channels.
struct Block<'a, S: Simd> {
    products: &'a Products<'a>,
    rows: &'a [[usize; 2]],
    coarse: &'a [S::f32s],
    /// The first output channel.
    first: usize,
}

impl<S: Simd> Block<'_, S> {
    /// Adds to the rows of the first steps, in blocks of the few channels `B`, of which `T` steps are taken at a time; returns how
    /// many it took. Here and in what follows there are as many sums as fit the registers. What the instruction set rules out is told
    /// as a constant: it is then not compiled.
    #[inline(always)]
    fn add_few<const T: usize, const B: usize>(
        &self,
        simd: S,
        vectors: usize,
        steps: &[Step],
        outs: &mut [&mut [f32]],
    ) -> usize {
        let many = steps.len() >= T;
        if const { S::REGISTER_COUNT >= 32 } {
            return match vectors {
                1 if many => self.add::<T, B, 1, B>(simd, steps, outs),
                1 => self.add::<1, B, 1, B>(simd, steps, outs),
                2 if many => self.add::<T, B, 2, B>(simd, steps, outs),
                2 => self.add::<1, B, 2, B>(simd, steps, outs),
                3 => self.add::<1, B, 3, B>(simd, steps, outs),
                _ => self.add::<1, B, 4, B>(simd, steps, outs),
            };
        }
        match vectors {
            1 if many => self.add::<T, B, 1, B>(simd, steps, outs),
            1 => self.add::<1, B, 1, B>(simd, steps, outs),
            _ => self.add::<1, B, 2, B>(simd, steps, outs),
        }
    }

    /// The same in blocks of eight channels.
    #[inline(always)]
    fn add_eights(&self, simd: S, vectors: usize, steps: &[Step], outs: &mut [&mut [f32]]) -> usize {
        if const { S::REGISTER_COUNT >= 32 } {
            return match vectors {
                1 => self.add::<1, 8, 1, 8>(simd, steps, outs),
                2 => self.add::<1, 8, 2, 8>(simd, steps, outs),
                3 => self.add::<1, 8, 3, 8>(simd, steps, outs),
                _ => self.add::<1, 4, 4, 8>(simd, steps, outs),
            };
        }
        match vectors {
            1 => self.add::<1, 8, 1, 8>(simd, steps, outs),
            _ => self.add::<1, 4, 2, 8>(simd, steps, outs),
        }
    }

    /// Adds to the rows of the first `T` steps and `V` vectors, `N` rows of a step at a time; returns `T`.
    #[inline(always)]
    fn add<const T: usize, const N: usize, const V: usize, const B: usize>(
        &self,
        simd: S,
        steps: &[Step],
        outs: &mut [&mut [f32]],
    ) -> usize {
        let (lanes, channels) = (S::F32_LANES, self.products.plan.channels[1]);
        let width = (channels - self.first).min(V * lanes);
        for inner in (0..B).step_by(N) {
            let mut offsets = [0; T];
            for t in 0..T {
                offsets[t] = steps[t].offset + inner;
            }
            let sums = self.sums::<T, N, V, B>(simd, offsets);
            let kept = Kept::of(simd.splat_f32s(0.0), &sums);
            for (sums, out) in kept.0.chunks_exact(N * V).zip(outs.iter_mut()).take(T) {
                for (sums, row) in sums.chunks_exact(V).zip(out.chunks_exact_mut(channels).skip(inner)) {
                    let row = &mut row[self.first..][..width];
                    for (sum, out) in sums.iter().zip(row.chunks_mut(lanes)) {
                        let all = simd.add_f32s(simd.partial_load_f32s(out), *sum);
                        simd.partial_store_f32s(out, all);
                    }
                }
            }
        }
        T
    }

    /// The sums over the pixels, by value, so that the compiler keeps them in registers; for the same reason nothing in the
    /// loop may panic.
    #[inline(always)]
    fn sums<const T: usize, const N: usize, const V: usize, const B: usize>(
        &self,
        simd: S,
        offsets: [usize; T],
    ) -> [[[S::f32s; V]; N]; T] {
        let (input, count) = (self.products.input, self.products.part.count);
        let last_row = self.rows.last().map_or(0, |row| row[0]);
        let end = last_row + (count - 1) * B + offsets.into_iter().max().unwrap_or(0) + N;
        assert!(end <= input.len(), "pixels inside their inputs");
        let mut sums = [[[simd.splat_f32s(0.0); V]; N]; T];
        for (row, coarse) in self.rows.iter().zip(self.coarse.chunks_exact(count * V)) {
            for (x, coarse) in coarse.chunks_exact(V).enumerate() {
                for t in 0..T {
                    // The smaller one is always the first; the compiler sees that it is inside.
                    let from = (row[0] + x * B + offsets[t]).min(input.len() - N);
                    let input = &input[from..from + N];
                    for i in 0..N {
                        let input = simd.splat_f32s(input[i]);
                        for v in 0..V {
                            sums[t][i][v] = simd.mul_add_f32s(input, coarse[v], sums[t][i][v]);
                        }
                    }
                }
            }
        }
        sums
    }
}

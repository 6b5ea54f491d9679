//! Convolutions without groups and their gradients by the input, directly: the sums of a few output pixels stay in vector
//! registers while their inputs pass by.
//!
//! Two other ways were measured. Rows of taps (im2col) and a matrix product write every input once per tap, and the matrix
//! crate copies them again: networks with 8 to 64 channels, which are the usual size on a machine without a GPU, ran at half
//! the speed. One product per tap goes over the outputs once per tap. Here the inputs are copied at most once, with the zeros
//! around them, and every product is a multiplication that counts.
//!
//! A sum adds its terms in the order of the taps, whatever the batch, the threads and the place: results do not depend on them.

#![expect(
    clippy::inline_always,
    reason = "vector instructions are chosen for the caller, and what is not part of it is compiled without them"
)]

mod plan;
mod tile;
mod weight;

pub use plan::{Line, Plan, UNIT};
pub use weight::weight_gradient;

use crate::cpu::scratch::{scratch, with_scratch};
use crate::cpu::simd;
use plan::Unit;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use tile::{Ask, Machine, Sums};

/// Writes the outputs of `plan` to `out`, a unit per task. `weight` has a matrix `[inputs, outputs]` of channels for each tap.
/// `finish` gets the sums of whole pixels, and the number of the first of them.
pub fn convolve(
    plan: &Plan,
    input: &[f32],
    weight: &[f32],
    finish: impl Fn(usize, &mut [f32]) + Sync,
    out: &mut [f32],
) {
    let machine = simd::dispatch(Ask);
    let outputs = plan.channels[1];
    let lens: Vec<usize> = plan.parts.iter().map(|part| machine.packed_len(&part.chunks, outputs)).collect();
    with_scratch(|packed| {
        scratch(packed, lens.iter().sum());
        pack(plan, machine, weight, (packed, &lens));
        let mut rest = out;
        let mut tasks = Vec::new();
        for (unit, len) in plan.units() {
            let (own, others) = rest.split_at_mut(len);
            tasks.push((unit, own));
            rest = others;
        }
        let packed = (packed.as_slice(), lens.as_slice());
        tasks.into_par_iter().for_each(|(unit, out)| {
            with_scratch(|padded| {
                let input = plan.inputs(&unit, input, padded, scratch);
                simd::dispatch(OfUnit { plan, unit, input, packed, finish: &finish, out });
            });
        });
    });
}

/// Packs the weights of all parts, whose lengths are given.
fn pack(plan: &Plan, machine: Machine, weight: &[f32], (packed, lens): (&mut [f32], &[usize])) {
    let [inputs, outputs] = plan.channels;
    let matrix = inputs * outputs;
    let mut rest = packed;
    for (part, &len) in plan.parts.iter().zip(lens) {
        let (own, others) = rest.split_at_mut(len);
        let taps = part.taps.iter();
        let rows = taps.flat_map(|tap| weight[tap * matrix..][..matrix].chunks_exact(outputs));
        machine.pack(&part.chunks, rows, outputs, own);
        rest = others;
    }
}

/// All outputs of a unit.
struct OfUnit<'a, F> {
    plan: &'a Plan,
    unit: Unit,
    input: &'a [f32],
    /// The weights of all parts and their lengths.
    packed: (&'a [f32], &'a [usize]),
    finish: &'a F,
    out: &'a mut [f32],
}

impl<F: Fn(usize, &mut [f32])> WithSimd for OfUnit<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (mut packed, lens) = self.packed;
        for (part, &len) in self.plan.parts.iter().zip(lens) {
            let (own, others) = packed.split_at(len);
            packed = others;
            let pixels = part.pixels(&self.unit);
            let sums = Sums {
                input: self.input,
                bases: &part.bases[..pixels],
                places: &part.places[..pixels],
                chunks: &part.chunks,
                packed: own,
                channels: self.plan.channels[1],
            };
            sums.write(simd, self.out);
        }
        (self.finish)(self.plan.first_pixel(&self.unit), self.out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::general::Axis;

    #[test]
    fn results_are_the_same_to_the_bit_however_the_outputs_are_cut_into_units() {
        let axis = Axis { fine: 9, coarse: 5, taps: 3, stride: 2, dilation: 1, before: 1 };
        let [images, inputs, outputs] = [3, 40, 5];
        let numbers = |len: usize| -> Vec<f32> { (0..len).map(|i| (i as f32 * 0.731).sin()).collect() };
        let weight = numbers(9 * inputs * outputs);
        for line in [Line::forward, Line::backward] {
            let results: Vec<Vec<f32>> = [1, 10, 1024]
                .into_iter()
                .map(|pixels| {
                    let plan = Plan::new(line(&axis), line(&axis), [inputs, outputs], images, pixels);
                    let mut out = vec![f32::NAN; plan.units().iter().map(|(_, len)| len).sum()];
                    convolve(&plan, &numbers(images * 81 * inputs), &weight, |_, _| {}, &mut out);
                    out
                })
                .collect();
            assert!(results[0].iter().all(|value| value.is_finite()), "every output is written");
            assert!(results.iter().all(|result| *result == results[0]));
        }
    }
}

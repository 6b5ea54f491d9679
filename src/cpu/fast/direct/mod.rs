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
use tile::{Ask, Sums};

/// Writes the outputs of `plan` to `out`, a unit per task. `weight` has a matrix `[inputs, outputs]` of channels for each tap.
/// `finish` gets the sums of whole pixels, and the number of the first of them.
pub fn convolve(
    plan: &Plan,
    input: &[f32],
    weight: &[f32],
    finish: impl Fn(usize, &mut [f32]) + Sync,
    out: &mut [f32],
) {
    let [inputs, outputs] = plan.channels;
    let machine = simd::dispatch(Ask);
    let mut packed = Vec::new();
    let lens: Vec<usize> = plan.parts.iter().map(|part| machine.packed_len(&part.chunks, outputs)).collect();
    scratch(&mut packed, lens.iter().sum());
    let mut rest = packed.as_mut_slice();
    for (part, &len) in plan.parts.iter().zip(&lens) {
        let (own, others) = rest.split_at_mut(len);
        let rows = part
            .taps
            .iter()
            .flat_map(|tap| weight[tap * inputs * outputs..][..inputs * outputs].chunks_exact(outputs));
        machine.pack(&part.chunks, rows, outputs, own);
        rest = others;
    }
    let mut rest = out;
    let mut tasks = Vec::new();
    for (unit, len) in plan.units() {
        let (own, others) = rest.split_at_mut(len);
        tasks.push((unit, own));
        rest = others;
    }
    tasks.into_par_iter().for_each(|(unit, out)| {
        with_scratch(|padded| {
            let input = plan.inputs(&unit, input, padded, scratch);
            simd::dispatch(OfUnit { plan, unit, input, packed: (&packed, &lens), finish: &finish, out });
        });
    });
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

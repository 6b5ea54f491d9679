//! Convolutions without groups and their gradients, directly: the sums of a tile of outputs stay in vector registers while their
//! inputs pass by.
//!
//! Three other ways were measured. Rows of taps (im2col) and a matrix product write every input once per tap, and the matrix
//! crate copies them again: networks with 8 to 64 channels, which are the usual size on a machine without a GPU, ran at half
//! the speed. One product per tap goes over the outputs once per tap. Tiles of any outputs, each with a pointer of its own,
//! spend a third of their time on the pointers. Here the inputs are copied once, with the zeros around them, in an order in which
//! a tile needs one pointer for each of its rows (`layout`).
//!
//! A sum adds its terms in the order of the steps, whatever the batch, the threads and the place: results do not depend on them.

#![expect(
    clippy::inline_always,
    reason = "vector instructions are chosen for the caller, and what is not part of it is compiled without them"
)]

mod layout;
mod line;
mod machine;
mod plan;
mod tile;
mod weight;

pub use line::Line;
pub use plan::{Plan, Rectangle, UNIT};
pub use tile::Finish;
pub use weight::weight_gradient;

use crate::cpu::scratch::{scratch, with_scratch};
use crate::cpu::simd;
use machine::{Ask, MOST_LANES, Machine};
use plan::Unit;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use tile::Sums;

/// Writes the outputs of `plan` to `out`, a unit per task; what is too small to be normal becomes zero. `weight` has a matrix
/// `[inputs, outputs]` of channels for each tap.
pub fn convolve(plan: &Plan, input: &[f32], weight: &[f32], finish: &Finish, out: &mut [f32]) {
    let machine = simd::dispatch(Ask);
    let lens: Vec<usize> = plan.parts.iter().map(|part| machine.packed_len(plan, part)).collect();
    with_scratch(|packed| {
        let len = lens.iter().sum::<usize>();
        let packed = aligned(scratch(packed, len + MOST_LANES), len);
        pack(plan, machine, weight, (packed, &lens));
        let mut rest = out;
        let mut tasks = Vec::new();
        for (unit, len) in plan.units() {
            let (own, others) = rest.split_at_mut(len);
            tasks.push((unit, own));
            rest = others;
        }
        let packed = (&*packed, lens.as_slice());
        tasks.into_par_iter().for_each(|(unit, out)| {
            with_scratch(|inputs| {
                let inputs = scratch(inputs, plan.inputs_len(&unit));
                plan.copy_inputs(&unit, input, inputs);
                simd::dispatch(OfUnit { plan, unit, input: inputs, packed, finish, out });
            });
        });
    });
}

/// `len` of the values, from one on that a cache line begins with: vectors that lie in two lines take twice as long to load.
fn aligned(values: &mut [f32], len: usize) -> &mut [f32] {
    let from = values.as_ptr().align_offset(64).min(values.len() - len);
    &mut values[from..from + len]
}

/// Packs the weights of all parts, whose lengths are given.
fn pack(plan: &Plan, machine: Machine, weight: &[f32], (packed, lens): (&mut [f32], &[usize])) {
    let mut rest = packed;
    for (part, &len) in plan.parts.iter().zip(lens) {
        let (own, others) = rest.split_at_mut(len);
        machine.pack(plan, part, weight, own);
        rest = others;
    }
}

/// All outputs of a unit.
struct OfUnit<'a> {
    plan: &'a Plan,
    unit: Unit,
    input: &'a [f32],
    /// The weights of all parts and their lengths.
    packed: (&'a [f32], &'a [usize]),
    finish: &'a Finish<'a>,
    out: &'a mut [f32],
}

impl WithSimd for OfUnit<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, unit, input, packed: (mut packed, lens), finish, out } = self;
        let pixel = plan.first_pixel(&unit);
        for (part, &len) in plan.parts.iter().zip(lens) {
            let (own, others) = packed.split_at(len);
            packed = others;
            let (rows, first) = (plan.rows(part, &unit), pixel * plan.channels[1]);
            Sums { plan, part, rows: &rows, input, packed: own, finish, first }.write(simd, out);
        }
        if let Finish::Pixels(finish) = finish {
            finish(pixel, out);
            simd::flush(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::general::Axis;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 0.731).sin()).collect()
    }

    /// Images, sides, channels and strides that fill blocks, vectors and tiles, and that do not.
    const SHAPES: [(usize, usize, [usize; 2], usize); 13] = [
        (2, 8, [1, 16], 1),
        (2, 7, [2, 33], 1),
        (3, 16, [3, 8], 1),
        (1, 5, [8, 10], 2),
        (5, 1, [9, 70], 1),
        (2, 2, [16, 48], 1),
        (2, 12, [40, 3], 1),
        (1, 9, [6, 64], 2),
        (1, 4, [300, 5], 1),
        (2, 6, [8, 16], 2),
        (1, 4, [16, 10], 2),
        (9, 1, [16, 4], 1),
        (3, 2, [24, 8], 1),
    ];

    fn axis(coarse: usize, stride: usize) -> Axis {
        Axis { fine: coarse * stride, coarse, taps: 3, stride, dilation: 1, before: 1 }
    }

    fn plan(shape: (usize, usize, [usize; 2], usize), pixels: usize) -> Plan {
        let (images, side, channels, stride) = shape;
        let line = || Line::forward(&axis(side, stride));
        Plan::new(line(), line(), channels, images, pixels)
    }

    /// Calls `add` with the places of a fine value, a weight and a coarse value for every product of a convolution.
    fn products(shape: (usize, usize, [usize; 2], usize), mut add: impl FnMut(usize, usize, usize)) {
        let (images, side, [a, b], stride) = shape;
        let axis = axis(side, stride);
        for image in 0..images {
            for (pixel, tap) in (0..side * side).flat_map(|pixel| (0..9).map(move |tap| (pixel, tap))) {
                let y = axis.fine_at(pixel / side, tap / 3);
                let (Some(y), Some(x)) = (y, axis.fine_at(pixel % side, tap % 3)) else { continue };
                let fine = ((image * axis.fine + y) * axis.fine + x) * a;
                let coarse = (image * side * side + pixel) * b;
                for (i, o) in (0..a).flat_map(|i| (0..b).map(move |o| (i, o))) {
                    add(fine + i, (tap * a + i) * b + o, coarse + o);
                }
            }
        }
    }

    fn assert_near(found: &[f32], wanted: &[f64], what: &str) {
        let largest = wanted.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        for (i, (&found, wanted)) in found.iter().zip(wanted).enumerate() {
            let off = (f64::from(found) - wanted).abs();
            assert!(off <= 3e-6 * largest, "{what}, value {i}: {found} for {wanted}");
        }
    }

    #[test]
    fn results_are_the_sums_of_all_products_whatever_fills_tiles_and_vectors() {
        for shape in SHAPES {
            let (images, side, [a, b], stride) = shape;
            let fine = numbers(images * side * side * stride * stride * a);
            let (weight, coarse) = (numbers(9 * a * b), numbers(images * side * side * b));
            let (mut out, mut gradient) = (vec![0.0; coarse.len()], vec![0.0; weight.len()]);
            let mut back = vec![0.0; fine.len()];
            products(shape, |f, w, c| {
                out[c] += f64::from(fine[f]) * f64::from(weight[w]);
                gradient[w] += f64::from(fine[f]) * f64::from(coarse[c]);
                back[f] += f64::from(coarse[c]) * f64::from(weight[w]);
            });
            let mut found = vec![f32::NAN; out.len()];
            convolve(&plan(shape, 100), &fine, &weight, &Finish::Nothing, &mut found);
            assert_near(&found, &out, &format!("{shape:?}"));
            let line = || Line::backward(&axis(side, stride));
            let turned: Vec<f32> =
                (0..9 * a * b).map(|i| weight[(i / (a * b) * a + i % a) * b + i / a % b]).collect();
            let mut found = vec![f32::NAN; back.len()];
            let plan_back = Plan::new(line(), line(), [b, a], images, 100);
            convolve(&plan_back, &coarse, &turned, &Finish::Nothing, &mut found);
            assert_near(&found, &back, &format!("input of {shape:?}"));
            for shared in [false, true] {
                let mut found = vec![f32::NAN; gradient.len()];
                let rows = 0..images * side;
                weight_gradient(&plan(shape, 100), (&fine, &coarse), rows, shared, &mut found);
                assert_near(&found, &gradient, &format!("weight of {shape:?}"));
            }
        }
    }

    #[test]
    fn sums_end_with_a_bias_or_a_mask_in_whole_vectors_and_in_parts_of_them() {
        for shape in SHAPES {
            let (images, side, [a, b], stride) = shape;
            let fine = numbers(images * side * side * stride * stride * a);
            let (weight, beside) = (numbers(9 * a * b), numbers(images * side * side * b));
            let run = |finish: &Finish| {
                let mut out = vec![f32::NAN; beside.len()];
                convolve(&plan(shape, 100), &fine, &weight, finish, &mut out);
                out
            };
            let sums = run(&Finish::Nothing);
            let biased = sums.iter().enumerate().map(|(i, sum)| sum + beside[i % b]);
            let leaky: Vec<f32> = biased.map(|sum| if sum > 0.0 { sum } else { 0.2 * sum }).collect();
            assert_eq!(run(&Finish::Bias(&beside[..b], 0.2)), leaky, "{shape:?}");
            let masked =
                sums.iter().zip(&beside).map(|(sum, &beside)| if beside > 0.0 { *sum } else { 0.2 * sum });
            assert_eq!(run(&Finish::Mask(&beside, 0.2)), masked.collect::<Vec<_>>(), "{shape:?}");
        }
    }

    #[test]
    fn what_is_too_small_to_be_normal_becomes_zero() {
        for channels in [16, 10, 5] {
            let shape = (1, 4, [8, channels], 1);
            let (fine, weight) = (vec![1e-30; 8 * 16], vec![1e-12; 9 * 8 * channels]);
            let mut out = vec![f32::NAN; 16 * channels];
            convolve(&plan(shape, 100), &fine, &weight, &Finish::Nothing, &mut out);
            assert_eq!(out, vec![0.0; 16 * channels]);
        }
    }

    #[test]
    fn results_are_the_same_to_the_bit_however_the_outputs_are_cut_into_units() {
        let axis = Axis { fine: 9, coarse: 5, taps: 3, stride: 2, dilation: 1, before: 1 };
        let [images, inputs, outputs] = [3, 40, 5];
        let weight = numbers(9 * inputs * outputs);
        for line in [Line::forward, Line::backward] {
            let results: Vec<Vec<f32>> = [1, 10, 1024]
                .into_iter()
                .map(|pixels| {
                    let plan = Plan::new(line(&axis), line(&axis), [inputs, outputs], images, pixels);
                    let mut out = vec![f32::NAN; plan.units().iter().map(|(_, len)| len).sum()];
                    let input = numbers(images * 81 * inputs);
                    convolve(&plan, &input, &weight, &Finish::Nothing, &mut out);
                    out
                })
                .collect();
            assert!(results[0].iter().all(|value| value.is_finite()), "every output is written");
            assert!(results.iter().all(|result| *result == results[0]));
        }
    }
}

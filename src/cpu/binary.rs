//! Twin of `shaders/binary.wgsl`.

use super::{CHUNK, flushed, simd, source_index};
use crate::graph::operation::COMPOSE_FLOOR;
use crate::kernels::Arguments;
use crate::kernels::params::BinaryParams;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Reads l and r; writes `f(l, r)`, either being broadcast as the constants LEFT and RIGHT say.
pub fn binary(call: &mut Arguments) {
    let p: BinaryParams = call.params();
    let (operation, how) = (call.constant("OPERATION"), [call.constant("LEFT"), call.constant("RIGHT")]);
    let (left, right) = (call.reads[0], call.reads[1]);
    call.writes[0].par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            let at = chunk * CHUNK + i;
            let l = left[source_index(how[0], at, p.left_length, p.left_stretch)];
            let r = right[source_index(how[1], at, p.right_length, p.right_stretch)];
            *out = apply(operation, l, r, p.a, p.b);
        }
    });
}

/// `sigmoid(logit(image) + 2 g)`, written so that no intermediate overflows.
fn compose(image: f32, g: f32) -> f32 {
    let x = image.clamp(COMPOSE_FLOOR, 1.0 - COMPOSE_FLOOR);
    let e = (-2.0 * g.abs()).exp();
    let (weight, odds) = if g < 0.0 { (x * e, 1.0 - x) } else { (x, (1.0 - x) * e) };
    weight / (weight + odds)
}

/// `f(l, r)` value by value, flushed.
pub(super) fn block(operation: u32, operands: [&[f32]; 2], a: f32, b: f32, out: &mut [f32]) {
    simd::dispatch(Block { operation, operands, a, b, out });
}

struct Block<'a> {
    operation: u32,
    operands: [&'a [f32]; 2],
    a: f32,
    b: f32,
    out: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    /// One loop per function, so that the compiler can use vectors.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        #[expect(clippy::inline_always, reason = "so that it is compiled for the caller's instructions")]
        #[inline(always)]
        fn each<const OPERATION: u32>([l, r]: [&[f32]; 2], a: f32, b: f32, out: &mut [f32]) {
            for ((out, &l), &r) in out.iter_mut().zip(l).zip(r) {
                *out = flushed(apply(OPERATION, l, r, a, b));
            }
        }
        super::by_operation!(self.operation, each(self.operands, self.a, self.b, self.out));
    }
}

/// The function of two values.
#[expect(clippy::inline_always, reason = "so that the operation is known in each loop")]
#[inline(always)]
pub fn apply(operation: u32, l: f32, r: f32, a: f32, b: f32) -> f32 {
    let choose = |condition: bool, yes: f32, no: f32| if condition { yes } else { no };
    match operation {
        1 => l - r,
        2 => l * r,
        3 => l / r,
        4 => l.max(r),
        5 => l.min(r),
        6 => choose(l == r, 1.0, 0.0),
        7 => choose(l > r, 1.0, 0.0),
        8 => choose(r > 0.0, l, a * l),
        9 => choose(r >= a && r <= b, l, 0.0),
        10 => compose(l, r),
        11 => 2.0 * r * (1.0 - r) * l,
        12 => choose(r != 0.0, l, 0.0),
        _ => l + r,
    }
}

//! Twin of `shaders/unary.wgsl`.

use super::{CHUNK, source_index};
use crate::kernels::Arguments;
use crate::kernels::params::UnaryParams;
use rayon::prelude::*;

/// Reads x; writes `f(x)`, x being broadcast as the constant SOURCE says.
pub fn unary(call: &mut Arguments) {
    let p: UnaryParams = call.params();
    let (operation, source) = (call.constant("OPERATION"), call.constant("SOURCE"));
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = apply(operation, x[source_index(source, chunk * CHUNK + i, p.length, p.stretch)], p.a, p.b);
        }
    });
}

/// `f(x)` value by value. One loop per function, so that the compiler can use vectors.
pub(super) fn block(operation: u32, x: &[f32], a: f32, b: f32, out: &mut [f32]) {
    fn each<const OPERATION: u32>(x: &[f32], a: f32, b: f32, out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, &x)| *out = apply(OPERATION, x, a, b));
    }
    let each = super::by_operation!(operation, each);
    each(x, a, b, out);
}

/// The function of one value.
#[expect(clippy::inline_always, reason = "so that the operation is known in each loop")]
#[inline(always)]
pub fn apply(operation: u32, v: f32, a: f32, b: f32) -> f32 {
    match operation {
        1 => a * v + b,
        2 => v.max(a).min(b),
        3 => {
            if v > 0.0 {
                v
            } else {
                a * v
            }
        }
        4 => v.exp(),
        5 => v.ln(),
        6 => v.tanh(),
        7 => 1.0 / (1.0 + (-v).exp()),
        8 => v.sqrt(),
        9 => v * v,
        10 => v.abs(),
        11 => {
            if v == 0.0 {
                0.0
            } else {
                v.signum()
            }
        }
        12 => 1.0 / v,
        _ => v,
    }
}

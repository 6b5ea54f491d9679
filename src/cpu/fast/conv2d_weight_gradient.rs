//! Fast form of `conv2d_weight_gradient`: rows of the gradient in registers while pixels pass by. The partial sums are those of
//! the call.

use super::direct::{Line, Plan, UNIT, weight_gradient};
use crate::cpu::conv2d_weight_gradient::add_coarse;
use crate::cpu::general::General;
use crate::cpu::geometry::Geometry;
use crate::cpu::simd;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::conv2d_weight_gradient::conv2d_weight_gradient`.
pub fn conv2d_weight_gradient(call: &mut Arguments) {
    let g = Geometry::of(call);
    let coarse = call.reads[1];
    by_parts(&General::usual(&g), call, g.weight_rows() * g.b, |part, bias| {
        if g.bias {
            add_coarse(&g, coarse, part, bias);
        }
    });
}

/// The gradient of a convolution without groups, in parts of `part_len` values; `rest` writes what a part has beside it.
pub fn by_parts(g: &General, call: &mut Arguments, part_len: usize, rest: impl Fn(usize, &mut [f32]) + Sync) {
    let plan = Plan::new(Line::forward(&g.rows), Line::forward(&g.columns), [g.a, g.b], g.batch, UNIT);
    let (fine, coarse) = (call.reads[0], call.reads[1]);
    // Few parts cannot keep all threads busy by themselves.
    let few = call.writes[0].len() / part_len < rayon::current_num_threads();
    let work = |(part, all): (usize, &mut [f32])| {
        let (out, beside) = all.split_at_mut(g.taps() * g.a * g.b);
        rest(part, beside);
        weight_gradient(&plan, (fine, coarse), g.split(part), few, out);
        simd::flush(all);
    };
    match few {
        true => call.writes[0].chunks_mut(part_len).enumerate().for_each(work),
        false => call.writes[0].par_chunks_mut(part_len).enumerate().for_each(work),
    }
}

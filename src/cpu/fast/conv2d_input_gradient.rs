//! Fast form of `conv2d_input_gradient`: a direct convolution of the coarse side with the taps that lie on each fine pixel.

use super::direct::{Finish, Line, Plan, convolve};
use super::epilogue;
use super::transpose::transpose;
use crate::cpu::general::General;
use crate::cpu::geometry::Geometry;
use crate::cpu::scratch::{scratch, with_scratch};
use crate::graph::operation::codes::BORDER_BIAS_LEAKY;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::conv2d_input_gradient::conv2d_input_gradient`.
pub fn conv2d_input_gradient(call: &mut Arguments) {
    let g = Geometry::of(call);
    let beside = call.reads[2];
    let borders = |first: usize, out: &mut [f32]| epilogue::finish_borders(&g, beside, first, out);
    let finish = match g.epilogue {
        BORDER_BIAS_LEAKY => Finish::Pixels(&borders),
        _ => epilogue::of_sums((g.epilogue, g.slope), beside),
    };
    backward(&General::usual(&g), call, &finish);
}

/// The gradient of a convolution without groups; `finish` ends its sums.
pub fn backward(g: &General, call: &mut Arguments, finish: &Finish) {
    let (coarse, weight) = (call.reads[0], call.reads[1]);
    let plan = Plan::spread(Line::backward(&g.rows), Line::backward(&g.columns), [g.b, g.a], g.batch);
    with_scratch(|transposed| {
        let transposed = scratch(transposed, weight.len());
        let taps = transposed.par_chunks_mut(g.a * g.b).zip(weight.par_chunks(g.a * g.b));
        taps.for_each(|(to, from)| transpose(from, g.b, to));
        convolve(&plan, coarse, transposed, finish, call.writes[0]);
    });
}

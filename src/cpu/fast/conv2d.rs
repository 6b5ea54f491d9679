//! Fast form of `conv2d`: a direct convolution.

use super::direct::{Line, Plan, convolve};
use super::epilogue;
use crate::cpu::general::General;
use crate::cpu::geometry::Geometry;
use crate::kernels::Arguments;

/// As the twin, `cpu::conv2d::conv2d`.
pub fn conv2d(call: &mut Arguments) {
    forward(&General::usual(&Geometry::of(call)), call);
}

/// A convolution without groups.
pub fn forward(g: &General, call: &mut Arguments) {
    let beside = call.reads[2];
    let plan = Plan::spread(Line::forward(&g.rows), Line::forward(&g.columns), [g.a, g.b], g.batch);
    convolve(&plan, call.reads[0], call.reads[1], &epilogue::of_sums(g.epilogue, beside), call.writes[0]);
}

//! Fast form of `conv2d`: sums in vector registers.

use super::direct::Line;
use super::{convolve, epilogue};
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
    let lines = [&g.rows, &g.columns].map(Line::forward);
    let (operands, finish) = ((call.reads[0], call.reads[1]), epilogue::of_sums(g.epilogue, beside));
    convolve(lines, ([g.a, g.b], g.batch), operands, &finish, call.writes[0]);
}

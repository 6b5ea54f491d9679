//! Fast form of `conv2d`: a direct convolution.

use super::direct::{Line, Plan, Rectangle, convolve};
use super::epilogue;
use crate::cpu::general::{Axis, General};
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

/// Rectangles of the result, one after the other, each with room for `size` rows and columns. They have the same bits as in the whole
/// result. `reads` has the order of the twin. The epilogue is none, or a bias with or without leaky ReLU.
pub fn rectangles(
    g: &General,
    rectangles: Vec<Rectangle>,
    size: [usize; 2],
    reads: [&[f32]; 3],
    out: &mut [f32],
) {
    let line = |axis: &Axis, coarse| Line::forward(&Axis { coarse, ..*axis });
    let (rows, columns) = (line(&g.rows, size[0]), line(&g.columns, size[1]));
    let plan = Plan::of_rectangles(rows, columns, [g.a, g.b], rectangles);
    convolve(&plan, reads[0], reads[1], &epilogue::of_sums(g.epilogue, reads[2]), out);
}

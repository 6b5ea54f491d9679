//! Twin of `shaders/col2im.wgsl`: the adjoint of `im2col`, and an epilogue; f64 sums.

use super::geometry::{Geometry, element, finish};
use crate::kernels::Arguments;
use crate::kernels::params::ConvolutionParams;

/// Reads a matrix coarse positions x columns (all taps and channels, and what is ignored), and bias `[a]`, an activation like the result, or border biases
/// `[n, 3s, 3s, a]`; writes fine `[n, s·h, s·w, a]`.
pub fn col2im(call: &mut Arguments) {
    let g = Geometry::of(call);
    let (matrix, beside) = (call.reads[0], call.reads[1]);
    let (taps, columns) = (g.size * g.size, call.params::<ConvolutionParams>().columns as usize);
    for (pixel, out) in call.writes[0].chunks_mut(g.a).enumerate() {
        let (line, x) = (pixel / g.fine_width(), pixel % g.fine_width());
        let (image, y) = (line / g.fine_height(), line % g.fine_height());
        let mut sums = vec![0.0f64; g.a];
        for tap in 0..taps {
            let Some(oy) = g.coarse(y, tap / g.size, g.height) else { continue };
            let Some(ox) = g.coarse(x, tap % g.size, g.width) else { continue };
            let position = (image * g.height + oy) * g.width + ox;
            for (a, sum) in sums.iter_mut().enumerate() {
                *sum += f64::from(matrix[element(1, columns, [0, position, tap * g.a + a])]);
            }
        }
        finish((g.epilogue, g.slope), &sums, beside, g.beside(image, y, x), out);
    }
}

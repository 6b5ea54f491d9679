//! Twin of `shaders/im2col.wgsl`: the fine values of each coarse position, as a matrix.

use super::geometry::{Geometry, element};
use crate::kernels::Arguments;
use crate::kernels::params::ConvolutionParams;

/// Reads fine `[n, s·h, s·w, a]`; writes a matrix positions x columns (all taps and channels, then zeros), or transposed.
pub fn im2col(call: &mut Arguments) {
    let (g, transposed) = (Geometry::of(call), call.constant("TRANSPOSED") == 1);
    let (fine, columns) = (call.reads[0], call.params::<ConvolutionParams>().columns as usize);
    let positions = g.batch * g.height * g.width;
    call.writes[0].fill(0.0);
    for position in 0..positions {
        let (line, x) = (position / g.width, position % g.width);
        let (image, y) = (line / g.height, line % g.height);
        for tap in 0..g.size * g.size {
            let row = g.fine(y, tap / g.size, g.fine_height());
            let column = g.fine(x, tap % g.size, g.fine_width());
            for a in 0..g.a {
                let value = match (row, column) {
                    (Some(i), Some(j)) => {
                        fine[((image * g.fine_height() + i) * g.fine_width() + j) * g.a + a]
                    }
                    _ => 0.0,
                };
                let place = tap * g.a + a;
                let at = match transposed {
                    false => element(1, columns, [0, position, place]),
                    true => element(1, positions.next_multiple_of(8), [0, place, position]),
                };
                call.writes[0][at] = value;
            }
        }
    }
}

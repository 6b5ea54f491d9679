//! Twin of `shaders/swap_channels.wgsl`: the weight of a 3x3 kernel for swapped sides.

use crate::kernels::Arguments;
use crate::kernels::params::RowsParams;

/// Reads a weight `[9, rows, columns]`; writes `[9, columns, rows]`, taps mirrored.
pub fn swap_channels(call: &mut Arguments) {
    let p: RowsParams = call.params();
    let (rows, columns) = (p.rows as usize, p.columns as usize);
    for tap in 0..9 {
        for a in 0..rows {
            for b in 0..columns {
                let value = call.reads[0][(tap * rows + a) * columns + b];
                call.writes[0][((8 - tap) * columns + b) * rows + a] = value;
            }
        }
    }
}

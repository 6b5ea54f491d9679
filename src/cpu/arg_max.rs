//! Twin of `shaders/arg_max.wgsl`.

use crate::kernels::Arguments;
use crate::kernels::params::RowsParams;

/// Reads x `[rows, columns]`; writes the column of each row's first largest value.
pub fn arg_max(call: &mut Arguments) {
    let p: RowsParams = call.params();
    let rows = call.reads[0].chunks(p.columns as usize);
    for (out, row) in call.writes[0].iter_mut().zip(rows) {
        let mut best = 0;
        for (column, &value) in row.iter().enumerate() {
            if value > row[best] {
                best = column;
            }
        }
        *out = best as f32;
    }
}

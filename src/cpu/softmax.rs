//! Twin of `shaders/softmax.wgsl`.

use super::largest;
use crate::kernels::Arguments;
use crate::kernels::params::RowsParams;

/// Reads x `[rows, columns]`; writes the softmax of each row.
pub fn softmax(call: &mut Arguments) {
    let p: RowsParams = call.params();
    let rows = call.reads[0].chunks(p.columns as usize);
    for (out, row) in call.writes[0].chunks_mut(p.columns as usize).zip(rows) {
        let shift = largest(row);
        let sum: f64 = row.iter().map(|&v| f64::from(v - shift).exp()).sum();
        for (out, &v) in out.iter_mut().zip(row) {
            *out = (f64::from(v - shift).exp() / sum) as f32;
        }
    }
}

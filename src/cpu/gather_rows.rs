//! Twin of `shaders/gather_rows.wgsl`.

use crate::kernels::Arguments;
use crate::kernels::params::RowsParams;

/// Reads x `[any, columns]` and indices `[rows]`; writes those rows of x.
pub fn gather_rows(call: &mut Arguments) {
    let p: RowsParams = call.params();
    let columns = p.columns as usize;
    let (x, indices) = (call.reads[0], call.reads[1]);
    for (out, &index) in call.writes[0].chunks_mut(columns).zip(indices) {
        out.copy_from_slice(&x[index as usize * columns..][..columns]);
    }
}

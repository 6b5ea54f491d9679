//! Twin of `shaders/one_hot.wgsl`.

use crate::kernels::Arguments;
use crate::kernels::params::RowsParams;

/// Reads labels `[rows]`; writes 1 at each label, 0 elsewhere.
pub fn one_hot(call: &mut Arguments) {
    let p: RowsParams = call.params();
    let labels = call.reads[0];
    for (out, &label) in call.writes[0].chunks_mut(p.columns as usize).zip(labels) {
        out.fill(0.0);
        if let Some(one) = out.get_mut(label as usize) {
            *one = 1.0;
        }
    }
}

//! Twin of `shaders/sum_columns.wgsl`.

use super::simd;
use crate::kernels::Arguments;
use crate::kernels::params::RowsParams;
use rayon::prelude::*;

/// Reads x `[rows, columns]`; writes the sum of each row.
pub fn sum_columns(call: &mut Arguments) {
    let p: RowsParams = call.params();
    let rows = call.reads[0].par_chunks(p.columns as usize);
    call.writes[0].par_iter_mut().zip(rows).for_each(|(out, row)| {
        *out = simd::sum(row) as f32;
    });
}

//! Twin of `shaders/copy_columns.wgsl`.

use crate::kernels::Arguments;
use crate::kernels::params::CopyColumnsParams;
use rayon::prelude::*;

/// Reads x; writes a block of columns of y and leaves the rest.
pub fn copy_columns(call: &mut Arguments) {
    let p: CopyColumnsParams = call.params();
    let [columns, from_columns, from_start] = [p.columns, p.from_columns, p.from_start].map(|v| v as usize);
    let [to_columns, to_start, spread] = [p.to_columns, p.to_start, p.spread].map(|v| v as usize);
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(to_columns).enumerate().for_each(|(row, out)| {
        let from = row / spread * from_columns + from_start;
        out[to_start..to_start + columns].copy_from_slice(&x[from..from + columns]);
    });
}

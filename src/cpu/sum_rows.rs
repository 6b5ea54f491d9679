//! Twin of `shaders/sum_rows.wgsl`.

use crate::kernels::Arguments;
use crate::kernels::params::SumRowsParams;
use rayon::prelude::*;

/// Reads x `[rows, columns]`; writes parts `[splits, columns]`.
pub fn sum_rows(call: &mut Arguments) {
    let p: SumRowsParams = call.params();
    let (columns, per_split) = (p.columns as usize, p.rows_per_split as usize);
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(columns).enumerate().for_each(|(split, out)| {
        let last = ((split + 1) * per_split).min(p.rows as usize);
        let mut sums = vec![0.0f64; columns];
        for row in split * per_split..last {
            for (sum, &value) in sums.iter_mut().zip(&x[row * columns..]) {
                *sum += f64::from(value);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    });
}

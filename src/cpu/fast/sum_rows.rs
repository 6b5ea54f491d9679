//! Fast form of `sum_rows`: a few rows are added in f32, their sums in f64; threads share the columns too.

use crate::cpu::flushed;
use crate::kernels::Arguments;
use crate::kernels::params::SumRowsParams;
use rayon::prelude::*;

/// Columns that are summed at a time.
const COLUMNS: usize = 256;
/// Rows that are added in f32: few enough for rounding not to show.
pub const ROWS: usize = 32;

/// As the twin, `cpu::sum_rows::sum_rows`.
pub fn sum_rows(call: &mut Arguments) {
    let p: SumRowsParams = call.params();
    let (columns, per_split) = (p.columns as usize, p.rows_per_split as usize);
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(columns).enumerate().for_each(|(split, out)| {
        let end = ((split + 1) * per_split).min(p.rows as usize) * columns;
        let x = &x[(split * per_split * columns).min(end)..end];
        out.par_chunks_mut(COLUMNS).enumerate().for_each(|(part, out)| sum(x, columns, part * COLUMNS, out));
    });
}

/// Writes the sums of the columns from `first` on.
fn sum(x: &[f32], columns: usize, first: usize, out: &mut [f32]) {
    let (mut few, mut sums) = ([0.0f32; COLUMNS], [0.0f64; COLUMNS]);
    for rows in x.chunks(ROWS * columns) {
        few.fill(0.0);
        for row in rows.chunks(columns) {
            few.iter_mut().zip(&row[first..][..out.len()]).for_each(|(sum, &value)| *sum += value);
        }
        sums.iter_mut().zip(&few).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = flushed(sum as f32));
}

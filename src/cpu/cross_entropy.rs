//! Twin of `shaders/cross_entropy.wgsl`.

use super::largest;
use crate::kernels::Arguments;
use crate::kernels::params::RowsParams;

/// Reads logits `[rows, columns]`, labels `[rows]`; writes the cross-entropy of each row.
pub fn cross_entropy(call: &mut Arguments) {
    let p: RowsParams = call.params();
    let (logits, labels) = (call.reads[0], call.reads[1]);
    let rows = logits.chunks(p.columns as usize).zip(labels);
    for (out, (row, &label)) in call.writes[0].iter_mut().zip(rows) {
        let shift = largest(row);
        let sum: f64 = row.iter().map(|&v| f64::from(v - shift).exp()).sum();
        *out = (sum.ln() - f64::from(row[label as usize] - shift)) as f32;
    }
}

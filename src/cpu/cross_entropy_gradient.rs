//! Twin of `shaders/cross_entropy_gradient.wgsl`.

use super::largest;
use crate::kernels::Arguments;
use crate::kernels::params::RowsParams;

/// Reads logits `[rows, columns]`, labels `[rows]`, scale `[rows]`; writes `scale · (softmax − one-hot)`.
pub fn cross_entropy_gradient(call: &mut Arguments) {
    let p: RowsParams = call.params();
    let columns = p.columns as usize;
    let (logits, labels, scale) = (call.reads[0], call.reads[1], call.reads[2]);
    for (row, out) in call.writes[0].chunks_mut(columns).enumerate() {
        let values = &logits[row * columns..][..columns];
        let (label, shift) = (labels[row] as usize, largest(values));
        let exps: Vec<f64> = values.iter().map(|&v| f64::from(v - shift).exp()).collect();
        // The label's own term is −Σ of the others: no cancellation when the classifier is sure.
        let others: f64 = exps.iter().enumerate().filter(|(i, _)| *i != label).map(|(_, e)| e).sum();
        let sum = others + exps[label];
        for (i, out) in out.iter_mut().enumerate() {
            let value = if i == label { -others } else { exps[i] };
            *out = (f64::from(scale[row]) * (value / sum)) as f32;
        }
    }
}

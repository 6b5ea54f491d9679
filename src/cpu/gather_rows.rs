//! Twin of `shaders/gather_rows.wgsl`: rows by index, with an epilogue, added to a second tensor.

use super::geometry::finish;
use crate::graph::operation::codes;
use crate::kernels::Arguments;
use crate::kernels::params::GatherRowsParams;

/// Reads x `[any, columns]`, indices `[rows]` and, with an epilogue, what is beside the result; writes those rows of x, or leaky
/// ReLU of their sum with that.
pub fn gather_rows(call: &mut Arguments) {
    let (p, epilogue): (GatherRowsParams, u32) = (call.params(), call.constant("EPILOGUE"));
    let columns = p.columns as usize;
    let [x, indices, beside] = [call.reads[0], call.reads[1], call.reads[2]];
    for (row, (out, &index)) in call.writes[0].chunks_mut(columns).zip(indices).enumerate() {
        let chosen = &x[index as usize * columns..][..columns];
        if epilogue == codes::NOTHING {
            out.copy_from_slice(chosen);
            continue;
        }
        let sums: Vec<f64> = chosen.iter().map(|&value| f64::from(value)).collect();
        finish((epilogue, p.slope), &sums, &beside[row * columns..], 0, out);
    }
}

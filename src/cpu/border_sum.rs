//! Twin of `shaders/border_sum.wgsl`.

use crate::graph::Borders;
use crate::kernels::Arguments;
use crate::kernels::params::BorderParams;
use rayon::prelude::*;

/// Reads x `[outer, length, inner]`; writes `[outer, 3·stride, inner]`, each the sum over the places it stands for.
pub fn border_sum(call: &mut Arguments) {
    let p: BorderParams = call.params();
    let (length, inner, borders) = (p.length as usize, p.inner as usize, Borders { stride: p.stride as usize });
    let x = call.reads[0].par_chunks(length * inner);
    call.writes[0].par_chunks_mut(borders.side() * inner).zip(x).for_each(|(out, x)| {
        let mut sums = vec![0.0f64; out.len()];
        for (i, row) in x.chunks(inner).enumerate() {
            let sums = &mut sums[borders.class(i, length) * inner..][..inner];
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    });
}

//! Twin of `shaders/border_spread.wgsl`.

use crate::graph::Borders;
use crate::kernels::Arguments;
use crate::kernels::params::BorderParams;
use rayon::prelude::*;

/// Reads x `[outer, 3·stride, inner]`; writes `[outer, length, inner]`, the value of the place that stands for each.
pub fn border_spread(call: &mut Arguments) {
    let p: BorderParams = call.params();
    let (length, inner, borders) = (p.length as usize, p.inner as usize, Borders { stride: p.stride as usize });
    let x = call.reads[0].par_chunks(borders.side() * inner);
    call.writes[0].par_chunks_mut(length * inner).zip(x).for_each(|(out, x)| {
        for (i, row) in out.chunks_mut(inner).enumerate() {
            row.copy_from_slice(&x[borders.class(i, length) * inner..][..inner]);
        }
    });
}

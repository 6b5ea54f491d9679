//! Twin of `shaders/matrix_product.wgsl`: products of matrices, f64 sums.

use super::geometry::element;
use crate::kernels::Arguments;
use crate::kernels::params::MatrixParams;
use rayon::prelude::*;

/// Reads left, rows x inner, and right, inner x columns; writes the products, rows x columns, or adds to what is there.
pub fn matrix_product(call: &mut Arguments) {
    let p: MatrixParams = call.params();
    let (left, right, add) = (call.reads[0], call.reads[1], call.constant("ACCUMULATE") == 1);
    let [matrices, inner, columns, lefts] =
        [p.matrices, p.inner, p.columns, p.lefts].map(|extent| extent as usize);
    // One matrix's eight rows at a time, which lie together.
    call.writes[0].par_chunks_mut(8 * columns).enumerate().for_each(|(at, out)| {
        let (group, matrix) = (at / matrices, at % matrices);
        let own = if lefts == matrices { matrix } else { matrix / 9 % 5 * 5 + matrix % 9 % 5 };
        for row in 0..8 {
            let mut sums = vec![0.0f64; columns];
            for i in 0..inner {
                let value = f64::from(left[element(lefts, inner, [own, 8 * group + row, i])]);
                for (block, sums) in sums.chunks_mut(8).enumerate() {
                    let others = &right[element(matrices, columns, [matrix, i, 8 * block])..][..8];
                    for (sum, &other) in sums.iter_mut().zip(others) {
                        *sum += value * f64::from(other);
                    }
                }
            }
            for (column, sum) in sums.into_iter().enumerate() {
                let out = &mut out[(column / 8 * 8 + row) * 8 + column % 8];
                let before = if add { f64::from(*out) } else { 0.0 };
                *out = (before + sum) as f32;
            }
        }
    });
}

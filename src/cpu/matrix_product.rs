//! Twin of `shaders/matrix_product.wgsl`: products of matrices, f64 sums.

use super::geometry::element;
use crate::kernels::Arguments;
use crate::kernels::params::MatrixParams;
use rayon::prelude::*;

/// Bits of `MatrixParams::row_major`.
const LEFT: u32 = 1;
const RIGHT: u32 = 2;
const PRODUCT: u32 = 4;

/// Reads left, rows x inner, and right, inner x columns; writes the products, rows x columns, or adds to what is there.
pub fn matrix_product(call: &mut Arguments) {
    let p: MatrixParams = call.params();
    let (left, right, add) = (call.reads[0], call.reads[1], call.constant("ACCUMULATE") == 1);
    let [matrices, inner, columns, lefts, height, depth] =
        [p.matrices, p.inner, p.columns, p.lefts, p.height, p.depth].map(|extent| extent as usize);
    let left_of = |matrix| if lefts == matrices { matrix } else { matrix / 9 % 5 * 5 + matrix % 9 % 5 };
    let left_at = |matrix: usize, row: usize, i: usize| match p.row_major & LEFT {
        0 => element(lefts, inner, [left_of(matrix), row, i]),
        _ => row.min(height - 1) * inner + i,
    };
    let right_at = |matrix: usize, i: usize, column: usize| match p.row_major & RIGHT {
        0 => element(matrices, columns, [matrix, i, column]),
        _ => i.min(depth - 1) * columns + column,
    };
    // One matrix's eight rows at a time, which lie together.
    call.writes[0].par_chunks_mut(8 * columns).enumerate().for_each(|(at, out)| {
        let (group, matrix) = (at / matrices, at % matrices);
        for row in 0..out.len() / columns {
            let mut sums = vec![0.0f64; columns];
            for i in 0..inner {
                let value = f64::from(left[left_at(matrix, 8 * group + row, i)]);
                for (block, sums) in sums.chunks_mut(8).enumerate() {
                    let others = &right[right_at(matrix, i, 8 * block)..][..8];
                    for (sum, &other) in sums.iter_mut().zip(others) {
                        *sum += value * f64::from(other);
                    }
                }
            }
            for (column, sum) in sums.into_iter().enumerate() {
                let to = match p.row_major & PRODUCT {
                    0 => (column / 8 * 8 + row) * 8 + column % 8,
                    _ => row * columns + column,
                };
                let before = if add { f64::from(out[to]) } else { 0.0 };
                out[to] = (before + sum) as f32;
            }
        }
    });
}

//! Fast forms of the hot twins: convolutions as sums of matrix products over blocks of pixels, with SIMD that the
//! `gemm` crate chooses at run time, and loops over whole pixels instead of single values. The twins judge them like
//! any other form.
//!
//! A convolution copies the taps of a block of pixels into rows (im2col) and multiplies once per block. This keeps the matrix kernel
//! busy at every width. A block of rows stays in the second-level cache, so the ninefold copy costs little. Direct loops, and one
//! product per tap, were slower.

pub mod conv2d;
pub mod conv2d_input_gradient;
pub mod conv2d_weight_gradient;
pub mod convolution;
pub mod convolution_input_gradient;
pub mod convolution_weight_gradient;
pub mod elementwise_columns;
mod im2col;
mod matrix;
pub mod max_pool;
pub mod max_unpool;
pub mod pool;
pub mod sum_rows;
mod taps;
pub mod unpool;
pub mod window_pool;

/// Pixels whose taps are gathered at a time: for fewer the matrix kernel packs the weight too often, for more the rows
/// leave the cache.
const BLOCK: usize = 256;

/// `out = a · b` for square matrices on the caller's thread, for measuring what the machine can do.
pub fn square_product(out: &mut [f32], a: &[f32], b: &[f32], side: usize) {
    let [a, b] = [a, b].map(|values| matrix::Matrix::new(values, side, side));
    matrix::multiply(out, false, a, b, matrix::Threads::One);
}

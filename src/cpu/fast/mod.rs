//! Fast forms of the hot twins: convolutions and their gradients with sums in vector registers (`direct`), whose instructions
//! are chosen at run time, and loops over whole pixels instead of single values. The twins judge them like any other form.

use super::general::Axis;

pub mod adam;
pub mod binary;
pub mod conv2d;
pub mod conv2d_input_gradient;
pub mod conv2d_weight_gradient;
pub mod convolution;
pub mod convolution_input_gradient;
pub mod convolution_weight_gradient;
mod direct;
pub mod elementwise_columns;
mod epilogue;
pub mod max_pool;
pub mod max_unpool;
pub mod pool;
pub mod sum_rows;
mod transpose;
pub mod unary;
pub mod unpool;
pub mod window_pool;

pub use direct::Rectangle;

/// Pixels that a task of a grouped convolution computes.
const BLOCK: usize = 256;

/// `out = a · b` for square matrices on the caller's thread, for measuring what the machine can do.
pub fn square_product(out: &mut [f32], a: &[f32], b: &[f32], side: usize) {
    let pixelwise = |places| direct::Line::forward(&Axis::pixelwise(places));
    let plan = direct::Plan::new(pixelwise(1), pixelwise(side), [side, side], 1, direct::UNIT);
    direct::convolve(&plan, a, b, &direct::Finish::Nothing, out);
}

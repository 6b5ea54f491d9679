//! Fast forms of the hot twins: convolutions and their gradients with sums in vector registers (`winograd` where it suits, else
//! `direct`), whose instructions are chosen at run time, and loops over whole pixels instead of single values. The twins judge them like any other form.

use super::general::Axis;
use direct::{Line, Plan};
use finish::Finish;

pub mod conv2d;
pub mod conv2d_input_gradient;
pub mod conv2d_weight_gradient;
pub mod convolution;
pub mod convolution_input_gradient;
pub mod convolution_weight_gradient;
mod direct;
pub mod elementwise_columns;
mod epilogue;
mod finish;
pub mod max_pool;
pub mod max_unpool;
pub mod pool;
pub mod sum_rows;
mod transpose;
pub mod unpool;
pub mod window_pool;
mod winograd;

/// Pixels that a task of a grouped convolution computes.
const BLOCK: usize = 256;

/// `out = a · b` for square matrices on the caller's thread, for measuring what the machine can do.
pub fn square_product(out: &mut [f32], a: &[f32], b: &[f32], side: usize) {
    let pixelwise = |places| Line::forward(&Axis::pixelwise(places));
    let plan = Plan::new(pixelwise(1), pixelwise(side), [side, side], 1, direct::UNIT);
    direct::convolve(&plan, a, b, &Finish::Nothing, out);
}

/// A convolution without groups along `lines` (rows, columns), from `channels[0]` to `channels[1]` channels of so many images, by
/// the algorithm that suits it. `weight` has a matrix `[inputs, outputs]` of channels for each tap.
fn convolve(
    lines: [Line; 2],
    (channels, images): ([usize; 2], usize),
    (input, weight): (&[f32], &[f32]),
    finish: &Finish,
    out: &mut [f32],
) {
    if winograd::suits(lines.each_ref(), channels) {
        let convolution = winograd::Convolution { lines: lines.each_ref(), channels, images };
        return convolution.compute(input, weight, finish, out);
    }
    let [rows, columns] = lines;
    direct::convolve(&Plan::spread(rows, columns, channels, images), input, weight, finish, out);
}

//! The CPU path: one twin per shader, in a file of the same name, and the executor that replays a program with them. A twin is written
//! to be read beside its shader, with the same names in the same order.
//!
//! Reductions in the twins add in f64, so that they can judge f32 kernels. `Mode::Fast` replaces the hot
//! ones by faster forms (`fast/`), which the twins judge like any other form. Results smaller than
//! the smallest normal number are flushed to zero after every call: they cost hundreds of cycles each, and GPUs do
//! the same.

pub mod executor;
pub mod fast;
mod general;
mod geometry;
mod resampling;
mod scratch;
pub mod threads;
mod windows;
mod winograd;
mod winograd_s1;
mod winograd_s2;

/// `$function` for the operation that is known only now; the codes are those of `graph::Unary` and `graph::Binary`.
macro_rules! by_operation {
    ($operation:expr, $function:ident) => {
        match $operation {
            1 => $function::<1>,
            2 => $function::<2>,
            3 => $function::<3>,
            4 => $function::<4>,
            5 => $function::<5>,
            6 => $function::<6>,
            7 => $function::<7>,
            8 => $function::<8>,
            9 => $function::<9>,
            10 => $function::<10>,
            11 => $function::<11>,
            12 => $function::<12>,
            13 => $function::<13>,
            14 => $function::<14>,
            15 => $function::<15>,
            _ => $function::<0>,
        }
    };
}
use by_operation;

macro_rules! twins {
    ($($name:ident),* $(,)?) => { $(pub mod $name;)* };
}
twins!(
    adam,
    arg_max,
    binary,
    border_spread,
    border_sum,
    col2im,
    conv2d,
    conv2d_input_gradient,
    conv2d_weight_gradient,
    convolution,
    convolution_input_gradient,
    convolution_weight_gradient,
    copy_columns,
    cross_entropy,
    cross_entropy_gradient,
    elementwise,
    elementwise_columns,
    gather_rows,
    im2col,
    matrix_product,
    max_pool,
    max_unpool,
    one_hot,
    pool,
    random_normal,
    resize,
    resize_gradient,
    softmax,
    sum_columns,
    sum_rows,
    swap_channels,
    unary,
    unpool,
    window_pool,
    window_unpool,
    winograd_s1_coarse,
    winograd_s1_gradient,
    winograd_s1_image,
    winograd_s1_result,
    winograd_s1_weight,
    winograd_s2_coarse,
    winograd_s2_gradient,
    winograd_s2_image,
    winograd_s2_result,
    winograd_s2_weight,
);

/// Which CPU forms run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The twins alone: the judge.
    Reference,
    /// Fast forms where there are any.
    Fast,
}

/// Values that one thread takes at a time in element-wise work.
const CHUNK: usize = 4096;

/// The operand's index for index `i` of the result; `how` is a [`crate::graph::Broadcast`].
pub(crate) fn source_index(how: u32, i: usize, length: u32, stretch: u32) -> usize {
    match how {
        1 => i % length as usize,
        2 => i / stretch as usize,
        3 => 0,
        _ => i,
    }
}

/// Zero for what is smaller than the smallest normal number.
pub(crate) fn flushed(value: f32) -> f32 {
    if value.abs() < f32::MIN_POSITIVE { 0.0 } else { value }
}

/// The largest value of a row.
fn largest(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

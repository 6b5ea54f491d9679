//! The CPU path: one twin per shader, in a file of the same name, and the executor that replays a program with them. A twin is written
//! to be read beside its shader, with the same names in the same order.
//!
//! Reductions in the twins add in f64, so that they can judge f32 kernels. `Mode::Fast` replaces the hot
//! ones by faster forms (`fast/`), which the twins judge like any other form. Results smaller than
//! the smallest normal number are flushed to zero after every call: they cost hundreds of cycles each, and GPUs do
//! the same. Fast forms flush their own, while they are in the cache.

pub mod executor;
pub mod fast;
mod general;
mod geometry;
mod operand;
mod resampling;
mod scratch;
mod simd;
pub mod threads;
mod windows;
mod winograd;
mod winograd_s1;
mod winograd_s2;

/// Calls `$function` for the operation that is known only now; the codes are those of `graph::Unary` and `graph::Binary`.
macro_rules! by_operation {
    ($operation:expr, $function:ident($($argument:expr),*)) => {
        match $operation {
            1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 => $function::<3>($($argument),*),
            4 => $function::<4>($($argument),*),
            5 => $function::<5>($($argument),*),
            6 => $function::<6>($($argument),*),
            7 => $function::<7>($($argument),*),
            8 => $function::<8>($($argument),*),
            9 => $function::<9>($($argument),*),
            10 => $function::<10>($($argument),*),
            11 => $function::<11>($($argument),*),
            12 => $function::<12>($($argument),*),
            13 => $function::<13>($($argument),*),
            14 => $function::<14>($($argument),*),
            15 => $function::<15>($($argument),*),
            _ => $function::<0>($($argument),*),
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

//! Which calls a form can compute. The forms `lavapipe.eights` see rows as blocks of eight values, the forms `gpu.vec4` as blocks of
//! four. So rows must consist of such blocks.

use super::grids::{PRODUCT_ROWS, VEC4_CHANNELS, VEC4_PIXELS};
use super::params::{
    AdamParams, BorderParams, ConvolutionParams, CopyColumnsParams, GatherRowsParams, MatrixParams,
    PoolParams, SumRowsParams,
};
use crate::graph::operation::codes;

type Constants<'a> = &'a [(&'static str, u32)];

fn read<P: bytemuck::Pod>(params: &[u8]) -> P {
    bytemuck::pod_read_unaligned(params)
}

/// Every call that a program may make.
pub fn all(_params: &[u8], _: Constants) -> bool {
    true
}

/// Rows of whole blocks.
pub fn sum_rows_eights(params: &[u8], _: Constants) -> bool {
    read::<SumRowsParams>(params).columns.is_multiple_of(8)
}

/// From this many rows on a part is shared among the invocations of a workgroup.
const SHARED_ROWS: u32 = 32;

/// Parts of many rows.
pub fn sum_rows_many_rows(params: &[u8], _: Constants) -> bool {
    read::<SumRowsParams>(params).rows_per_split >= SHARED_ROWS
}

/// `small_divide` of `shaders/shared/grid.wgsl` divides numbers below this one.
const SMALL: u32 = 1 << 22;

/// Whether windows are 2 x 2 and cover the image.
fn halves(p: &PoolParams) -> bool {
    [p.window_height, p.window_width] == [2, 2] && p.height.is_multiple_of(2) && p.width.is_multiple_of(2)
}

/// Windows of 2 x 2 that cover the image, channels of whole blocks.
pub fn pool_eights(params: &[u8], _: Constants) -> bool {
    let p: PoolParams = read(params);
    halves(&p) && p.channels.is_multiple_of(8) && p.small_blocks(8) < SMALL
}

/// Windows of 2 x 2 that cover the image, channels of whole `vec4`.
pub fn pool_vec4(params: &[u8], _: Constants) -> bool {
    let p: PoolParams = read(params);
    halves(&p) && p.channels.is_multiple_of(4)
}

/// Rows of one tile. With more of them the form `lavapipe.eights` is faster.
pub fn matrix_product_few_rows(params: &[u8], _: Constants) -> bool {
    read::<MatrixParams>(params).rows <= PRODUCT_ROWS[1]
}

/// Every place has whole blocks of values.
pub fn border_sum_eights(params: &[u8], _: Constants) -> bool {
    let p: BorderParams = read(params);
    p.inner.is_multiple_of(8) && p.outer * 3 * p.stride * (p.inner / 8) < SMALL
}

/// At most four columns; every source row is copied to one row.
pub fn copy_columns_few_columns(params: &[u8], _: Constants) -> bool {
    let p: CopyColumnsParams = read(params);
    p.columns <= 4 && p.spread == 1
}

/// Whole blocks of columns on both sides; every source row is copied to one row.
pub fn copy_columns_eights(params: &[u8], _: Constants) -> bool {
    let p: CopyColumnsParams = read(params);
    let columns = [p.columns, p.from_columns, p.from_start, p.to_columns, p.to_start];
    p.spread == 1 && columns.iter().all(|c| c.is_multiple_of(8)) && p.rows * (p.columns / 8) < SMALL
}

/// Rows of whole blocks.
pub fn gather_rows_eights(params: &[u8], _: Constants) -> bool {
    let p: GatherRowsParams = read(params);
    p.columns.is_multiple_of(8) && p.rows * (p.columns / 8) < SMALL
}

/// Whole blocks of parameters.
pub fn adam_eights(params: &[u8], _: Constants) -> bool {
    read::<AdamParams>(params).count.is_multiple_of(8)
}

/// A weight gradient without the gradient of its bias.
pub fn conv2d_weight_gradient_direct(_params: &[u8], constants: Constants) -> bool {
    super::constant(constants, "BIAS") == 0
}

/// Channels of whole `vec4` on both sides.
pub fn vec4(params: &[u8], _: Constants) -> bool {
    let p: ConvolutionParams = read(params);
    p.fine_channels.is_multiple_of(4) && p.coarse_channels.is_multiple_of(4)
}

/// With fewer tiles a large GPU is not full.
const FEW_TILES: u32 = 256;

/// Whether half of the last tile of 64 channels stays empty.
fn half_empty(channels: u32) -> bool {
    let [whole, half] = VEC4_CHANNELS;
    (1..=half).contains(&(channels % whole))
}

/// Whether a result has few tiles of 64 channels.
fn few_tiles(p: &ConvolutionParams, channels: u32) -> bool {
    let pixels = p.batch * p.height * p.width;
    pixels.div_ceil(VEC4_PIXELS) * channels.div_ceil(VEC4_CHANNELS[0]) < FEW_TILES
}

/// Half of the last tile of coarse channels stays empty, or there are few tiles. Both sides have whole `vec4` of channels.
pub fn conv2d_small_tiles(params: &[u8], constants: Constants) -> bool {
    let p: ConvolutionParams = read(params);
    vec4(params, constants) && (half_empty(p.coarse_channels) || few_tiles(&p, p.coarse_channels))
}

/// The same for tiles of fine channels.
pub fn conv2d_input_gradient_small_tiles(params: &[u8], constants: Constants) -> bool {
    let p: ConvolutionParams = read(params);
    vec4(params, constants) && (half_empty(p.fine_channels) || few_tiles(&p, p.fine_channels))
}

/// Half of the last tile of coarse channels stays empty. Both sides have whole `vec4` of channels.
pub fn conv2d_weight_gradient_small_tiles(params: &[u8], constants: Constants) -> bool {
    vec4(params, constants) && half_empty(read::<ConvolutionParams>(params).coarse_channels)
}

/// Channels for which one invocation of the forms `gpu.few_outputs` has sums.
const FEW_OUTPUTS: u32 = 16;

/// Few coarse channels, and whole `vec4` of fine channels.
pub fn conv2d_few_outputs(params: &[u8], _: Constants) -> bool {
    let p: ConvolutionParams = read(params);
    p.coarse_channels <= FEW_OUTPUTS && p.fine_channels.is_multiple_of(4)
}

/// Few fine channels, and whole `vec4` of coarse channels.
pub fn conv2d_input_gradient_few_outputs(params: &[u8], _: Constants) -> bool {
    let p: ConvolutionParams = read(params);
    p.fine_channels <= FEW_OUTPUTS && p.coarse_channels.is_multiple_of(4)
}

/// From this many steps of a sum on the form `gpu.long_dot` is tried.
const LONG_DOT: u32 = 512;

/// Dense layers with long sums, and whole `vec4` of coarse channels.
pub fn conv2d_input_gradient_long_dot(params: &[u8], constants: Constants) -> bool {
    let p: ConvolutionParams = read(params);
    let is = |name, value| super::constant(constants, name) == value;
    let dense = is("KERNEL", 1) && is("STRIDE", 1) && !is("EPILOGUE", codes::BORDER_BIAS_LEAKY);
    dense && p.coarse_channels >= LONG_DOT && p.coarse_channels.is_multiple_of(4)
}

/// Whole blocks of fine channels.
pub fn im2col_eights(params: &[u8], _: Constants) -> bool {
    read::<ConvolutionParams>(params).fine_channels.is_multiple_of(8)
}

/// A 3x3 kernel over three channels, and whole groups of eight positions.
pub fn im2col_rgb(params: &[u8], constants: Constants) -> bool {
    let p: ConvolutionParams = read(params);
    let three_by_three = ["KERNEL", "STRIDE"].map(|name| super::constant(constants, name)) == [3, 1];
    three_by_three && p.fine_channels == 3 && (p.batch * p.height * p.width).is_multiple_of(8)
}

/// A 3x3 kernel at stride 1 from three channels, to whole blocks of them, at whole groups of 32 positions that
/// `small_divide` can count and one dimension of a dispatch holds.
pub fn conv2d_rgb(params: &[u8], constants: Constants) -> bool {
    let p: ConvolutionParams = read(params);
    let pixels = p.batch * p.height * p.width;
    im2col_rgb(params, constants)
        && p.coarse_channels.is_multiple_of(8)
        && pixels.is_multiple_of(32)
        && pixels < SMALL / 2
}

/// A 3x3 kernel at stride 1 towards three channels, from whole blocks of them.
pub fn conv2d_input_gradient_rgb(params: &[u8], constants: Constants) -> bool {
    let p: ConvolutionParams = read(params);
    let three_by_three = ["KERNEL", "STRIDE"].map(|name| super::constant(constants, name)) == [3, 1];
    let by_place = super::constant(constants, "EPILOGUE") == codes::BORDER_BIAS_LEAKY;
    three_by_three && !by_place && p.fine_channels == 3 && p.coarse_channels.is_multiple_of(8)
}

//! The number of workgroups of each kernel. Element-wise grids are two-dimensional, because one dimension ends at 65,535
//! workgroups. `shaders/shared/grid.wgsl` computes the index of an invocation in such a grid.

use super::params::{
    AdamParams, BorderParams, ConvolutionParams, CopyColumnsParams, ElementwiseColumnsParams,
    ElementwiseParams, GatherRowsParams, GeneralParams, MatrixParams, PoolParams, ResizeParams, RowsParams,
    SumRowsParams, WindowParams, WinogradParams,
};

/// Invocations per workgroup of the one-dimensional kernels.
pub const GROUP: u32 = 64;
/// Workgroups per row of a two-dimensional element-wise grid.
pub const GRID_WIDTH: u32 = 32_768;

type Constants<'a> = &'a [(&'static str, u32)];

fn read<P: bytemuck::Pod>(params: &[u8]) -> P {
    bytemuck::pod_read_unaligned(params)
}

fn flat(count: u32) -> [u32; 3] {
    let groups = count.div_ceil(GROUP);
    [groups.min(GRID_WIDTH), groups.div_ceil(GRID_WIDTH), 1]
}

/// Values per invocation of the plain element-wise kernels.
const VALUES: u32 = 8;
/// Values per workgroup of these kernels.
pub const BLOCK: u32 = GROUP * VALUES;

/// One invocation per [`VALUES`] values; the count is every such struct's first field.
pub fn blocks(params: &[u8], _: Constants) -> [u32; 3] {
    flat(read::<u32>(&params[..4]).div_ceil(VALUES))
}

/// Form `lavapipe.eights` of adam: one invocation per two eights.
pub fn adam_eights(params: &[u8], _: Constants) -> [u32; 3] {
    flat(read::<AdamParams>(params).count.div_ceil(16))
}

/// One workgroup per block of a row.
pub fn elementwise(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ElementwiseParams = read(params);
    one_group_each(p.rows * p.blocks)
}

/// The most columns of a workgroup of fused sums over rows.
const COLUMNS: u32 = 32;

/// Columns of a workgroup of fused sums over rows of `columns` values.
pub fn columns_at_once(columns: u32) -> u32 {
    columns.next_power_of_two().min(COLUMNS)
}

/// One workgroup per block of columns and partial sum.
pub fn elementwise_columns(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ElementwiseColumnsParams = read(params);
    one_group_each(p.columns.div_ceil(p.width) * p.splits)
}

/// One invocation per value; the count is every such struct's first field.
pub fn elements(params: &[u8], _: Constants) -> [u32; 3] {
    flat(read(&params[..4]))
}

/// One invocation per value of a matrix.
pub fn row_elements(params: &[u8], _: Constants) -> [u32; 3] {
    let p: RowsParams = read(params);
    flat(p.rows * p.columns)
}

/// One invocation per value of rows by index.
pub fn gather_rows(params: &[u8], _: Constants) -> [u32; 3] {
    let p: GatherRowsParams = read(params);
    flat(p.rows * p.columns)
}

/// One invocation per eight values of a matrix of rows.
pub fn gather_rows_eights(params: &[u8], _: Constants) -> [u32; 3] {
    let p: GatherRowsParams = read(params);
    flat(p.rows * p.columns / 8)
}

/// One invocation per row of each of nine taps.
pub fn swap_channels(params: &[u8], _: Constants) -> [u32; 3] {
    flat(9 * read::<RowsParams>(params).rows)
}

/// One invocation per row.
pub fn one_invocation_per_row(params: &[u8], _: Constants) -> [u32; 3] {
    flat(read::<RowsParams>(params).rows)
}

/// One workgroup per row.
pub fn one_group_per_row(params: &[u8], _: Constants) -> [u32; 3] {
    one_group_each(read::<RowsParams>(params).rows)
}

/// One invocation per column and partial sum.
pub fn sum_rows(params: &[u8], _: Constants) -> [u32; 3] {
    let p: SumRowsParams = read(params);
    flat(p.columns * p.splits)
}

/// Form `lavapipe.eights`: one invocation per eight columns and partial sum.
pub fn sum_rows_eights(params: &[u8], _: Constants) -> [u32; 3] {
    let p: SumRowsParams = read(params);
    flat(p.columns / 8 * p.splits)
}

/// Columns of a workgroup in the form `gpu.many_rows`.
const MANY_ROWS_COLUMNS: u32 = 32;

/// Form `gpu.many_rows`: one workgroup per block of columns and partial sum.
pub fn sum_rows_many_rows(params: &[u8], _: Constants) -> [u32; 3] {
    let p: SumRowsParams = read(params);
    one_group_each(p.columns.div_ceil(MANY_ROWS_COLUMNS) * p.splits)
}

/// Rows that one workgroup of a copy takes.
const COPY_ROWS: u32 = 32;

fn one_group_each(lines: u32) -> [u32; 3] {
    [lines.min(GRID_WIDTH), lines.div_ceil(GRID_WIDTH), 1]
}

/// One workgroup per row of the small side, over all images.
pub fn pool(params: &[u8], _: Constants) -> [u32; 3] {
    let p: PoolParams = read(params);
    one_group_each(p.batch * (p.height / p.window_height))
}

/// One workgroup per row of windows, whole or cut off, over all images.
pub fn unpool(params: &[u8], _: Constants) -> [u32; 3] {
    let p: PoolParams = read(params);
    one_group_each(p.batch * p.height.div_ceil(p.window_height))
}

/// Forms `lavapipe.eights` of both: one invocation per eight values of the small side, whose windows are 2 x 2.
pub fn pool_eights(params: &[u8], _: Constants) -> [u32; 3] {
    flat(read::<PoolParams>(params).small_blocks(8))
}

/// Forms `gpu.vec4` of both: one invocation per four values of the small side, whose windows are 2 x 2.
pub fn pool_vec4(params: &[u8], _: Constants) -> [u32; 3] {
    flat(read::<PoolParams>(params).small_blocks(4))
}

/// One workgroup per row of windows, over all images.
pub fn window_pool(params: &[u8], _: Constants) -> [u32; 3] {
    let p: WindowParams = read(params);
    one_group_each(p.batch * p.rows)
}

/// One workgroup per row of the large side, over all images.
pub fn window_unpool(params: &[u8], _: Constants) -> [u32; 3] {
    let p: WindowParams = read(params);
    one_group_each(p.batch * p.height)
}

/// One workgroup per row of the result of resizing, over all images.
pub fn resize(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ResizeParams = read(params);
    one_group_each(p.batch * p.to_height)
}

/// One workgroup per row of the operand of resizing, over all images.
pub fn resize_gradient(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ResizeParams = read(params);
    one_group_each(p.batch * p.height)
}

/// One workgroup per image (or row of one).
pub fn border_sum(params: &[u8], _: Constants) -> [u32; 3] {
    one_group_each(read::<BorderParams>(params).outer)
}

/// Form `gpu.per_value`: one invocation per value of the result.
pub fn border_sum_per_value(params: &[u8], _: Constants) -> [u32; 3] {
    let p: BorderParams = read(params);
    flat(p.outer * 3 * p.stride * p.inner)
}

/// Form `lavapipe.eights`: one invocation per eight values of the result.
pub fn border_sum_eights(params: &[u8], _: Constants) -> [u32; 3] {
    let p: BorderParams = read(params);
    flat(p.outer * 3 * p.stride * p.inner / 8)
}

/// One workgroup per row of the result.
pub fn border_spread(params: &[u8], _: Constants) -> [u32; 3] {
    let p: BorderParams = read(params);
    one_group_each(p.outer * p.length)
}

/// One workgroup per block of rows.
pub fn copy_columns(params: &[u8], _: Constants) -> [u32; 3] {
    let p: CopyColumnsParams = read(params);
    one_group_each(p.rows.div_ceil(COPY_ROWS))
}

/// Form `gpu.per_value`: one invocation per value copied.
pub fn copy_columns_per_value(params: &[u8], _: Constants) -> [u32; 3] {
    let p: CopyColumnsParams = read(params);
    flat(p.rows * p.columns)
}

/// Form `any.few_columns`: one invocation per row.
pub fn copy_columns_few_columns(params: &[u8], _: Constants) -> [u32; 3] {
    flat(read::<CopyColumnsParams>(params).rows)
}

/// Form `lavapipe.eights`: one invocation per eight values copied.
pub fn copy_columns_eights(params: &[u8], _: Constants) -> [u32; 3] {
    let p: CopyColumnsParams = read(params);
    flat(p.rows * p.columns / 8)
}

/// One invocation per value of the coarse side of a convolution of any geometry.
pub fn general(params: &[u8], _: Constants) -> [u32; 3] {
    let p: GeneralParams = read(params);
    flat(p.batch * p.height * p.width * p.coarse_channels)
}

/// One invocation per value of its fine side.
pub fn general_input_gradient(params: &[u8], _: Constants) -> [u32; 3] {
    let p: GeneralParams = read(params);
    flat(p.batch * p.fine_height * p.fine_width * p.fine_channels)
}

/// One invocation per value of its weight and partial sum.
pub fn general_weight_gradient(params: &[u8], _: Constants) -> [u32; 3] {
    let p: GeneralParams = read(params);
    flat(p.splits * p.kernel_height * p.kernel_width * (p.fine_channels / p.groups) * p.coarse_channels)
}

/// Results per side of a workgroup's tile in the portable convolutions.
const TILE: u32 = 32;
/// Pixel tiles along y; the rest goes to z.
const TILES_IN_Y: u32 = 32_768;

/// Channel tiles in x, pixel tiles of the coarse side in y and z.
pub fn conv2d(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let tiles = (p.batch * p.height * p.width).div_ceil(TILE);
    [p.coarse_channels.div_ceil(TILE), tiles.min(TILES_IN_Y), tiles.div_ceil(TILES_IN_Y)]
}

/// As [`conv2d`] for the fine side; each of the stride² phases of its positions is a layer in z.
pub fn conv2d_input_gradient(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let phases = super::constant(constants, "STRIDE").pow(2);
    let tiles = (p.batch * p.height * p.width).div_ceil(TILE);
    [p.fine_channels.div_ceil(TILE), tiles.min(TILES_IN_Y), tiles.div_ceil(TILES_IN_Y) * phases]
}

/// Tiles of the coarse channels in x, of taps and fine channels in y, partial sums in z.
pub fn conv2d_weight_gradient(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let taps = super::constant(constants, "KERNEL").pow(2) * p.fine_channels;
    [p.coarse_channels.div_ceil(TILE), taps.div_ceil(TILE), p.splits]
}

/// Pixels of a workgroup's tile in the forms `gpu.vec4` and `gpu.small_tiles`.
pub const VEC4_PIXELS: u32 = 128;
/// Entries of a tile in these forms of the weight gradient.
const VEC4_ENTRIES: u32 = 64;
/// Channels of a tile in `gpu.vec4`, then in `gpu.small_tiles`.
pub const VEC4_CHANNELS: [u32; 2] = [64, 32];

/// Override constants of the forms `gpu.vec4`.
pub fn vec4_tile(_params: &[u8]) -> super::Constants {
    vec![("CHANNELS", VEC4_CHANNELS[0])]
}

/// Override constants of the forms `gpu.small_tiles`.
pub fn small_tiles_tile(_params: &[u8]) -> super::Constants {
    vec![("CHANNELS", VEC4_CHANNELS[1])]
}

fn tiles_of(channels: u32, constants: Constants) -> u32 {
    channels.div_ceil(super::constant(constants, "CHANNELS"))
}

/// Forms `gpu.vec4` and `gpu.small_tiles` of the convolution: as [`conv2d`], with larger tiles.
pub fn conv2d_vec4(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let tiles = (p.batch * p.height * p.width).div_ceil(VEC4_PIXELS);
    [tiles_of(p.coarse_channels, constants), tiles.min(TILES_IN_Y), tiles.div_ceil(TILES_IN_Y)]
}

/// Forms `gpu.vec4` and `gpu.small_tiles` of the input gradient: as [`conv2d_input_gradient`], with larger tiles.
pub fn conv2d_input_gradient_vec4(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let phases = super::constant(constants, "STRIDE").pow(2);
    let tiles = (p.batch * p.height * p.width).div_ceil(VEC4_PIXELS);
    [tiles_of(p.fine_channels, constants), tiles.min(TILES_IN_Y), tiles.div_ceil(TILES_IN_Y) * phases]
}

/// Forms `gpu.vec4` and `gpu.small_tiles` of the weight gradient: as [`conv2d_weight_gradient`], with larger tiles.
pub fn conv2d_weight_gradient_vec4(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let taps = super::constant(constants, "KERNEL").pow(2) * p.fine_channels;
    [tiles_of(p.coarse_channels, constants), taps.div_ceil(VEC4_ENTRIES), p.splits]
}

/// Pixels of a workgroup in the forms `gpu.few_outputs`.
const FEW_OUTPUTS_PIXELS: u32 = 4;

fn few_outputs(pixels: u32) -> [u32; 3] {
    let groups = pixels.div_ceil(FEW_OUTPUTS_PIXELS);
    [1, groups.min(TILES_IN_Y), groups.div_ceil(TILES_IN_Y)]
}

/// Form `gpu.few_outputs` of the convolution: groups of coarse pixels in y and z.
pub fn conv2d_few_outputs(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    few_outputs(p.batch * p.height * p.width)
}

/// Form `gpu.few_outputs` of the input gradient: groups of fine pixels in y and z.
pub fn conv2d_input_gradient_few_outputs(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    few_outputs(p.batch * p.height * p.width * super::constant(constants, "STRIDE").pow(2))
}

/// Override constants of the form `gpu.few_outputs` of the convolution.
pub fn conv2d_few_outputs_tile(params: &[u8]) -> super::Constants {
    vec![("VECTORS", read::<ConvolutionParams>(params).coarse_channels.div_ceil(4).min(4))]
}

/// Override constants of the form `gpu.few_outputs` of the input gradient.
pub fn conv2d_input_gradient_few_outputs_tile(params: &[u8]) -> super::Constants {
    vec![("VECTORS", read::<ConvolutionParams>(params).fine_channels.div_ceil(4).min(4))]
}

/// Groups of eight channels that a subgroup of eight invocations keeps in registers.
fn vectors(channels: u32) -> u32 {
    if channels <= 8 { 1 } else { 2 }
}

/// Form `lavapipe.direct` of the convolution: channel groups in x, tiles of 32 pixels in y and z.
pub fn conv2d_direct(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let [_, y, z] = conv2d(params, constants);
    [p.coarse_channels.div_ceil(8 * vectors(p.coarse_channels)), y, z]
}

/// Form `lavapipe.direct` of the input gradient; phases in z as in the portable form.
pub fn conv2d_input_gradient_direct(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let [_, y, z] = conv2d_input_gradient(params, constants);
    [p.fine_channels.div_ceil(8 * vectors(p.fine_channels)), y, z]
}

/// Form `lavapipe.direct` of the weight gradient: coarse channel groups in x, fine channel groups times rows of
/// taps in y, partial sums in z.
pub fn conv2d_weight_gradient_direct(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let size = super::constant(constants, "KERNEL");
    let fine = p.fine_channels.div_ceil(8 * vectors(p.fine_channels)) * size;
    [p.coarse_channels.div_ceil(8 * vectors(p.coarse_channels)), fine, p.splits]
}

/// Override constants of the form `lavapipe.direct` of the convolution.
pub fn conv2d_tile(params: &[u8]) -> super::Constants {
    vec![("VECTORS", vectors(read::<ConvolutionParams>(params).coarse_channels))]
}

/// Override constants of the form `lavapipe.direct` of the input gradient.
pub fn conv2d_input_gradient_tile(params: &[u8]) -> super::Constants {
    vec![("VECTORS", vectors(read::<ConvolutionParams>(params).fine_channels))]
}

/// Override constants of the form `lavapipe.direct` of the weight gradient.
pub fn conv2d_weight_gradient_tile(params: &[u8]) -> super::Constants {
    let p: ConvolutionParams = read(params);
    vec![("IN_VECTORS", vectors(p.fine_channels)), ("OUT_VECTORS", vectors(p.coarse_channels))]
}

/// Columns in x, groups of eight rows in y, matrices in z.
pub fn matrix_product(params: &[u8], _: Constants) -> [u32; 3] {
    let p: MatrixParams = read(params);
    [p.columns.div_ceil(GROUP), p.rows / 8, p.matrices]
}

/// Rows of a subgroup's tile of the product in `lavapipe.eights`, then in `lavapipe.few_rows`.
pub const PRODUCT_ROWS: [u32; 2] = [32, 16];
/// Columns of such a tile.
pub const PRODUCT_COLUMNS: [u32; 2] = [16, 32];

fn product_tiles(params: &[u8], form: usize) -> [u32; 3] {
    let p: MatrixParams = read(params);
    [p.columns.div_ceil(PRODUCT_COLUMNS[form]), p.rows.div_ceil(PRODUCT_ROWS[form]), p.matrices]
}

/// Form `lavapipe.eights` of the product: tiles of columns in x and of rows in y.
pub fn matrix_product_eights(params: &[u8], _: Constants) -> [u32; 3] {
    product_tiles(params, 0)
}

/// Form `lavapipe.few_rows`: the same for tiles of another shape.
pub fn matrix_product_few_rows(params: &[u8], _: Constants) -> [u32; 3] {
    product_tiles(params, 1)
}

/// Output channels in x, input channels in y.
pub fn winograd_pairs(params: &[u8], _: Constants) -> [u32; 3] {
    let p: WinogradParams = read(params);
    [p.outputs.div_ceil(GROUP), p.inputs, 1]
}

/// Input channels in x, tiles in y.
pub fn winograd_s1_image(params: &[u8], _: Constants) -> [u32; 3] {
    let p: WinogradParams = read(params);
    [p.inputs.div_ceil(GROUP), p.tiles, 1]
}

/// Form `lavapipe.eights`: blocks of eight pairs in each direction. Neighbouring invocations write neighbouring values.
pub fn winograd_pairs_eights(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: WinogradParams = read(params);
    match super::constant(constants, "SWAPPED") {
        0 => [p.outputs / 8, p.inputs / 8, 1],
        _ => [p.inputs / 8, p.outputs / 8, 1],
    }
}

/// Form `lavapipe.eights`: input channels by fours in x, tiles by eights in y.
pub fn winograd_s1_image_eights(params: &[u8], _: Constants) -> [u32; 3] {
    let p: WinogradParams = read(params);
    [p.inputs / 4, p.tiles / 8, 1]
}

/// Output channels in x, tiles in y.
pub fn winograd_s1_result(params: &[u8], _: Constants) -> [u32; 3] {
    let p: WinogradParams = read(params);
    [p.outputs.div_ceil(GROUP), p.tiles, 1]
}

/// Form `lavapipe.eights`: output channels by fours in x, tiles by eights in y.
pub fn winograd_s1_result_eights(params: &[u8], _: Constants) -> [u32; 3] {
    let p: WinogradParams = read(params);
    [p.outputs / 4, p.tiles / 8, 1]
}

/// Form `lavapipe.eights`: output channels and tiles by eights.
pub fn winograd_coarse_eights(params: &[u8], _: Constants) -> [u32; 3] {
    let p: WinogradParams = read(params);
    [p.outputs / 8, p.tiles / 8, 1]
}

/// Tiles in x, output channels in y.
pub fn winograd_coarse(params: &[u8], _: Constants) -> [u32; 3] {
    let p: WinogradParams = read(params);
    [p.tiles.div_ceil(GROUP), p.outputs, 1]
}

/// As [`winograd_s1_image`]; each phase of the fine side is a layer in z.
pub fn winograd_s2_image(params: &[u8], constants: Constants) -> [u32; 3] {
    let [x, y, _] = winograd_s1_image(params, constants);
    [x, y, phases(read::<WinogradParams>(params).adjoint == 0)]
}

/// As [`winograd_s1_image_eights`]; each phase of the fine side is a layer in z.
pub fn winograd_s2_image_eights(params: &[u8], constants: Constants) -> [u32; 3] {
    let [x, y, _] = winograd_s1_image_eights(params, constants);
    [x, y, phases(read::<WinogradParams>(params).adjoint == 0)]
}

/// As [`winograd_s1_result`]; each phase of the fine side is a layer in z.
pub fn winograd_s2_result(params: &[u8], constants: Constants) -> [u32; 3] {
    let [x, y, _] = winograd_s1_result(params, constants);
    [x, y, phases(read::<WinogradParams>(params).adjoint == 1)]
}

/// As [`winograd_s1_result_eights`]; each phase of the fine side is a layer in z.
pub fn winograd_s2_result_eights(params: &[u8], constants: Constants) -> [u32; 3] {
    let [x, y, _] = winograd_s1_result_eights(params, constants);
    [x, y, phases(read::<WinogradParams>(params).adjoint == 1)]
}

fn phases(fine: bool) -> u32 {
    if fine { 4 } else { 1 }
}

/// Coarse positions in x, groups of eight columns in y.
pub fn im2col(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    [(p.batch * p.height * p.width).div_ceil(GROUP), p.columns / 8, 1]
}

/// One invocation per value of the fine side.
pub fn col2im(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let fine = super::constant(constants, "STRIDE").pow(2) * p.height * p.width;
    flat(p.batch * fine * p.fine_channels)
}

/// Forms `lavapipe.eights` of both: groups of eight in each direction; with one tap, several groups of channels.
pub fn im2col_eights(params: &[u8], constants: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    let one_tap = super::constant(constants, "KERNEL") == 1;
    let blocks = if one_tap { super::constant(constants, "BLOCKS") } else { 1 };
    [p.fine_channels / 8 / blocks, (p.batch * p.height * p.width).div_ceil(8), 1]
}

/// Form `lavapipe.rgb` towards three channels: six columns by four rows of an image.
pub fn conv2d_input_gradient_rgb(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    [p.width.div_ceil(6), p.height.div_ceil(4), p.batch]
}

/// Form `lavapipe.rgb` from three channels: groups of 32 positions.
pub fn conv2d_rgb(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    [1, p.batch * p.height * p.width / 32, 1]
}

/// Form `lavapipe.rgb` for three channels: groups of eight positions.
pub fn im2col_rgb(params: &[u8], _: Constants) -> [u32; 3] {
    let p: ConvolutionParams = read(params);
    [1, p.batch * p.height * p.width / 8, 1]
}

/// Override constants of the forms `lavapipe.eights` of both. More than four blocks take longer to compile than they save.
pub fn im2col_eights_tile(params: &[u8]) -> super::Constants {
    let blocks = (read::<ConvolutionParams>(params).fine_channels / 8).max(1);
    vec![("BLOCKS", 1 << blocks.trailing_zeros().min(2))]
}

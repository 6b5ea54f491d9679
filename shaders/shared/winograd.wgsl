// Shared by the kernels of Winograd's algorithms F(2x2, 3x3) and F(3x3, 2x2): the geometry, and the layout of what they
// pass on.
//
// The coarse side is cut into tiles of 2 x 2 pixels, each of which meets 4 x 4 pixels of the fine side. What is passed on
// are sixteen matrices, one per element of a transformed tile, in the layout of shared/blocks.wgsl:
//
//   transformed image   tiles x inputs,
//   transformed weight  inputs x outputs,
//   product of the two  tiles x outputs,
//   transformed coarse  outputs x tiles,
//   product of it with the transformed image  outputs x inputs.

struct WinogradParams {
    batch: u32,
    height: u32,
    width: u32,
    inputs: u32,
    outputs: u32,
    tiles: u32,
}

@group(0) @binding(0) var<uniform> params: WinogradParams;

// Elements of a transformed tile.
const ELEMENTS: u32 = 16u;

// The image, row and column of the first coarse pixel of a tile.
fn first_pixel(tile: u32) -> vec3<u32> {
    let columns = params.width / 2u;
    let line = small_divide(tile, columns);
    let lines = params.height / 2u;
    let image = small_divide(line, lines);
    return vec3<u32>(image, 2u * (line - image * lines), 2u * (tile - line * columns));
}

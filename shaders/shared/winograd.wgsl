// Shared by the kernels of all of Winograd's algorithms: the geometry of their tiles.
//
// They convolve from the fine side to the coarse side. With params.adjoint = 1 they compute the adjoint, from coarse to fine. `inputs`
// are the channels of the side that is read, `outputs` those of the other side.
//
// The coarse side is cut into tiles of 4 x 4 pixels. A tile at the right or lower border may reach beyond the image. Between the
// kernels are matrices, one per element of a transformed tile, in the layout of shared/blocks.wgsl:
//
//   transformed image   tiles x inputs,
//   transformed weight  inputs x outputs,
//   product of the two  tiles x outputs,
//   transformed coarse  outputs x tiles,
//   product of it with the transformed image  outputs x inputs.
//
// A gradient by the weight may swap the sides (params.adjoint = 1). Then `image` is the coarse side and `coarse` is the fine side.

struct WinogradParams {
    batch: u32,
    height: u32,
    width: u32,
    inputs: u32,
    outputs: u32,
    tiles: u32,
    epilogue: u32,
    adjoint: u32,
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: WinogradParams;

// The image, row and column of the first coarse pixel of a tile. Tiles beyond the last one are in an image beyond the
// last one.
fn first_pixel(tile: u32) -> vec3<u32> {
    let columns = (params.width + 3u) / 4u;
    let lines = (params.height + 3u) / 4u;
    let line = small_divide(tile, columns);
    let image = small_divide(line, lines);
    return vec3<u32>(image, 4u * (line - image * lines), 4u * (tile - line * columns));
}

// Shared by the four kernels of Winograd's algorithm F(2x2, 3x3): the geometry, and the layout of what they pass on.
//
// The result is cut into tiles of 2 x 2 pixels, each from 4 x 4 pixels of the image. Four neighbouring tiles of a row
// are a group, and the layouts keep a group, or four channels, together as one vec4:
//
//   transformed weight [16, input_places / 4, output_places] of vec4 over input channels,
//   transformed image  [16, tiles / 4, input_places] of vec4 over the tiles of a group,
//   product            [16, tiles / 4, output_places] of vec4 over the tiles of a group.
//
// tiles, input_places and output_places are rounded up so that the product has no rim; what lies beyond the image or
// the channels is 0.

struct WinogradParams {
    batch: u32,
    height: u32,
    width: u32,
    inputs: u32,
    outputs: u32,
    tiles: u32,
    input_places: u32,
    output_places: u32,
}

@group(0) @binding(0) var<uniform> params: WinogradParams;

// The image, row and column of the first result pixel of a group of four tiles.
fn first_pixel(group: u32) -> vec3<u32> {
    let groups_x = params.width / 8u;
    let line = small_divide(group, groups_x);
    let lines = params.height / 2u;
    let image = small_divide(line, lines);
    return vec3<u32>(image, 2u * (line - image * lines), 8u * (group - line * groups_x));
}

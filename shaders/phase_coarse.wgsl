// phase_coarse: a gradient by a convolution's result as Winograd's algorithms at stride 2 multiply it for the gradient by the
// weight, M d M' for every tile d of 4 x 4 pixels and every channel.
//
// Reads     coarse [batch, height, width, outputs], zero outside.
// Writes    transformed: 25 matrices outputs x tiles (shared/phase_points.wgsl), every element once; those of tiles beyond the
//           last one are 0.
// Dispatch  x = ceil(tiles / 64), y = outputs.
// Longest loop  25.

@group(0) @binding(1) var<storage, read_write> coarse: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<f32>;

const ROWS = 5u;
const COLUMNS = 4u;
const MATRIX = array<array<f32, 4>, 5>(
    array<f32, 4>(AT_NEAR, AT_NEAR * NEAR, AT_NEAR * NEAR2, AT_NEAR * NEAR * NEAR2),
    array<f32, 4>(AT_NEAR, -AT_NEAR * NEAR, AT_NEAR * NEAR2, -AT_NEAR * NEAR * NEAR2),
    array<f32, 4>(AT_FAR, AT_FAR * FAR, AT_FAR * FAR2, AT_FAR * FAR * FAR2),
    array<f32, 4>(AT_FAR, -AT_FAR * FAR, AT_FAR * FAR2, -AT_FAR * FAR * FAR2),
    array<f32, 4>(0.0, 0.0, 0.0, 1.0),
);

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = group.x * 64u + local.x;
    if (tile >= params.tiles) {
        return;
    }
    let first = first_pixel(tile);
    var pixels: array<f32, 16>;
    for (var k = 0u; k < 16u; k++) {
        let y = first.y + k / 4u;
        let x = first.z + k % 4u;
        if (first.x < params.batch && y < params.height && x < params.width) {
            pixels[k] = coarse[((first.x * params.height + y) * params.width + x) * params.outputs + group.y];
        }
    }
    var result = both(pixels);
    let to = first_element(COARSE_ELEMENTS, params.tiles, group.y, tile);
    for (var k = 0u; k < COARSE_ELEMENTS; k++) {
        transformed[to + k * 8u * params.tiles] = result[k];
    }
}

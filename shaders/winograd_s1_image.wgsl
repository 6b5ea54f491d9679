// winograd_s1_image: an image as Winograd's algorithms multiply it, M d M' for every tile d of 6 x 6 pixels and every channel.
//
// Reads     image [batch, height, width, inputs], zero outside.
// Writes    transformed: 36 matrices tiles x inputs (shared/winograd.wgsl), every element once; those of tiles beyond the
//           last one are 0.
// Dispatch  x = ceil(inputs / 64), y = tiles.
// Longest loop  36.
// needs: grid, winograd, winograd_s1_points, winograd_both, blocks

@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<f32>;

const ROWS = 6u;
const COLUMNS = 6u;
const MATRIX = array<array<f32, 6>, 6>(
    array<f32, 6>(NEAR2 * FAR2, 0.0, -NEAR2 - FAR2, 0.0, 1.0, 0.0),
    array<f32, 6>(0.0, -NEAR * FAR2, -FAR2, NEAR, 1.0, 0.0),
    array<f32, 6>(0.0, NEAR * FAR2, -FAR2, -NEAR, 1.0, 0.0),
    array<f32, 6>(0.0, -FAR * NEAR2, -NEAR2, FAR, 1.0, 0.0),
    array<f32, 6>(0.0, FAR * NEAR2, -NEAR2, -FAR, 1.0, 0.0),
    array<f32, 6>(0.0, NEAR2 * FAR2, 0.0, -NEAR2 - FAR2, 0.0, 1.0),
);

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let channel = group.x * 64u + local.x;
    if (channel >= params.inputs) {
        return;
    }
    let first = first_pixel(group.y);
    var pixels: array<f32, 36>;
    for (var k = 0u; k < ELEMENTS; k++) {
        // One pixel up and one to the left of the first; rows and columns outside wrap around to large numbers.
        let y = first.y + k / 6u - 1u;
        let x = first.z + k % 6u - 1u;
        if (first.x < params.batch && y < params.height && x < params.width) {
            pixels[k] = image[((first.x * params.height + y) * params.width + x) * params.inputs + channel];
        }
    }
    var result = both(pixels);
    let to = first_element(ELEMENTS, params.inputs, group.y, channel);
    for (var k = 0u; k < ELEMENTS; k++) {
        transformed[to + k * 8u * params.inputs] = result[k];
    }
}

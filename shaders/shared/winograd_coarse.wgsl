// Shared by the portable forms of winograd_s1_coarse and winograd_s2_coarse: M d M' for every tile of 4 x 4 pixels and every channel,
// with the MATRIX of ROWS x 4 that each declares.

@group(0) @binding(1) var<storage, read_write> coarse: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<f32>;

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
    let to = first_element(ROWS * ROWS, params.tiles, group.y, tile);
    for (var k = 0u; k < ROWS * ROWS; k++) {
        transformed[to + k * 8u * params.tiles] = result[k];
    }
}

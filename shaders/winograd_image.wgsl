// winograd_image: an image as Winograd's algorithms multiply it, B' d B with
// B' = (1, 0, -1, 0; 0, 1, 1, 0; 0, -1, 1, 0; 0, 1, 0, -1), for every tile d of 4 x 4 pixels and every channel.
//
// Reads     image [batch, height, width, inputs], zero outside; height and width are even.
// Writes    transformed: 16 matrices tiles x inputs (shared/winograd.wgsl), every element once.
// Dispatch  x = ceil(inputs / 64), y = tiles.
// Longest loop  16.

@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let channel = group.x * 64u + local.x;
    if (channel >= params.inputs) {
        return;
    }
    let first = first_pixel(group.y);
    var rows: array<vec4<f32>, 4>;
    for (var k = 0u; k < 16u; k++) {
        // One pixel up and one to the left of the first; rows and columns outside wrap around to large numbers.
        let y = first.y + k / 4u - 1u;
        let x = first.z + k % 4u - 1u;
        if (y < params.height && x < params.width) {
            rows[k / 4u][k % 4u] = image[((first.x * params.height + y) * params.width + x) * params.inputs + channel];
        }
    }
    let columns = transpose(mat4x4<f32>(
        rows[0] - rows[2],
        rows[1] + rows[2],
        rows[2] - rows[1],
        rows[1] - rows[3],
    ));
    let result = mat4x4<f32>(
        columns[0] - columns[2],
        columns[1] + columns[2],
        columns[2] - columns[1],
        columns[1] - columns[3],
    );
    let to = first_element(ELEMENTS, params.inputs, group.y, channel);
    for (var k = 0u; k < 16u; k++) {
        transformed[to + k * 8u * params.inputs] = result[k % 4u][k / 4u];
    }
}

// winograd_result: from the products of Winograd's algorithm F(2x2, 3x3) to the pixels, A' m A with
// A' = (1, 1, 1, 0; 0, 1, -1, -1), for every tile and every channel, and the epilogue.
//
// Reads     product: 16 matrices tiles x outputs (shared/winograd.wgsl),
//           beside: bias [outputs], or an activation like the result (EPILOGUE = 3), or nothing (EPILOGUE = 0).
// Writes    result [batch, height, width, outputs], every element once.
// Dispatch  x = ceil(outputs / 64), y = tiles.
// Longest loop  16.

@group(0) @binding(1) var<storage, read_write> product: array<f32>;
@group(0) @binding(2) var<storage, read_write> beside: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let channel = group.x * 64u + local.x;
    if (channel >= params.outputs) {
        return;
    }
    let own = first_element(ELEMENTS, params.outputs, group.y, channel);
    var rows: array<vec4<f32>, 4>;
    for (var k = 0u; k < 16u; k++) {
        rows[k / 4u][k % 4u] = product[own + k * 8u * params.outputs];
    }
    let top = rows[0] + rows[1] + rows[2];
    let below = rows[1] - rows[2] - rows[3];
    let sums = vec4<f32>(
        top.x + top.y + top.z,
        top.y - top.z - top.w,
        below.x + below.y + below.z,
        below.y - below.z - below.w,
    );
    let first = first_pixel(group.y);
    let pixel = (first.x * params.height + first.y) * params.width + first.z;
    let at = (pixel + vec4<u32>(0u, 1u, params.width, params.width + 1u)) * params.outputs + channel;
    var others = vec4<f32>();
    if (EPILOGUE == 3u) {
        others = vec4<f32>(beside[at.x], beside[at.y], beside[at.z], beside[at.w]);
    } else if (EPILOGUE != 0u) {
        others = vec4<f32>(beside[channel]);
    }
    let values = finish(sums, others);
    result[at.x] = values.x;
    result[at.y] = values.y;
    result[at.z] = values.z;
    result[at.w] = values.w;
}

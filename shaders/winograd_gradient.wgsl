// winograd_gradient: from the products of Winograd's algorithm F(3x3, 2x2) to the gradient by the weight, C' m C with
// C' = (1, 1, 1, 0; 0, 1, -1, 0; 0, 1, 1, -1), for every pair of channels.
//
// Reads     product: 16 matrices outputs x inputs (shared/winograd.wgsl).
// Writes    gradient [3, 3, inputs, outputs], every element once.
// Dispatch  x = ceil(outputs / 64), y = inputs.
// Longest loop  16.

@group(0) @binding(1) var<storage, read_write> product: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let output = group.x * 64u + local.x;
    if (output >= params.outputs) {
        return;
    }
    let pairs = params.inputs * params.outputs;
    let own = first_element(ELEMENTS, params.inputs, output, group.y);
    var rows: array<vec4<f32>, 4>;
    for (var k = 0u; k < 16u; k++) {
        rows[k / 4u][k % 4u] = product[own + k * 8u * params.inputs];
    }
    let taps = array<vec4<f32>, 3>(rows[0] + rows[1] + rows[2], rows[1] - rows[2], rows[1] + rows[2] - rows[3]);
    var to = group.y * params.outputs + output;
    for (var row = 0u; row < 3u; row++) {
        let sums = taps[row];
        gradient[to] = sums.x + sums.y + sums.z;
        gradient[to + pairs] = sums.y - sums.z;
        gradient[to + 2u * pairs] = sums.y + sums.z - sums.w;
        to += 3u * pairs;
    }
}

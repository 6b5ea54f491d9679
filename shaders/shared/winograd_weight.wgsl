// Shared by the portable forms of winograd_s1_weight and winograd_s2_weight: M w M' for every pair of channels, with the MATRIX of
// ROWS x 3 that each declares.

@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let output = group.x * 64u + local.x;
    if (output >= params.outputs) {
        return;
    }
    let pairs = params.inputs * params.outputs;
    var taps: array<f32, 9>;
    for (var tap = 0u; tap < 9u; tap++) {
        if (params.adjoint == 1u) {
            taps[8u - tap] = weight[tap * pairs + output * params.inputs + group.y];
        } else {
            taps[tap] = weight[tap * pairs + group.y * params.outputs + output];
        }
    }
    var result = both(taps);
    let to = first_element(ROWS * ROWS, params.outputs, group.y, output);
    for (var k = 0u; k < ROWS * ROWS; k++) {
        transformed[to + k * 8u * params.outputs] = result[k];
    }
}

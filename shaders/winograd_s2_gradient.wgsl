// winograd_s2_gradient: from the products of Winograd's algorithms at stride 2 to the gradient by the weight, M m M' for every pair
// of channels.
//
// Reads     product: 81 matrices outputs x inputs (shared/winograd_s2_points.wgsl).
// Writes    gradient [3, 3, inputs, outputs], every element once.
// Dispatch  x = ceil(outputs / 64), y = inputs.
// Longest loop  81.
// needs: grid, winograd, winograd_s2_points, winograd_both, blocks, winograd_gradient

const ROWS = 3u;
const COLUMNS = 9u;
const MATRIX = array<array<f32, 9>, 3>(
    array<f32, 9>(1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    array<f32, 9>(0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0),
    array<f32, 9>(NEAR, -NEAR, FAR, -FAR, 1.0, 0.0, 0.0, 0.0, 0.0),
);

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let output = group.x * 64u + local.x;
    if (output >= params.outputs) {
        return;
    }
    var taps = taps_of_pair(output, group.y);
    for (var tap = 0u; tap < 9u; tap++) {
        gradient[(tap * params.inputs + group.y) * params.outputs + output] = taps[tap];
    }
}

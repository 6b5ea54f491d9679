// winograd_s1_gradient: from the products of Winograd's algorithm F(3x3, 4x4) to the gradient by the weight, M m M' for every
// pair of channels.
//
// Reads     product: 36 matrices outputs x inputs (shared/winograd.wgsl).
// Writes    gradient [3, 3, inputs, outputs], every element once; if SWAPPED = 1, where the coarse side was taken for the
//           image and the fine one for the coarse, [3, 3, outputs, inputs] and the last tap first.
// Dispatch  x = ceil(outputs / 64), y = inputs.
// Longest loop  36.
// needs: grid, winograd, winograd_s1_points, winograd_both, blocks, winograd_gradient

override SWAPPED: u32 = 0u;

const ROWS = 3u;
const COLUMNS = 6u;
const MATRIX = array<array<f32, 6>, 3>(
    array<f32, 6>(1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    array<f32, 6>(0.0, NEAR, -NEAR, FAR, -FAR, 0.0),
    array<f32, 6>(0.0, NEAR2, NEAR2, FAR2, FAR2, 1.0),
);

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let output = group.x * 64u + local.x;
    if (output >= params.outputs) {
        return;
    }
    var taps = taps_of_pair(output, group.y);
    let swapped = SWAPPED == 1u;
    let pair = select(group.y * params.outputs + output, output * params.inputs + group.y, swapped);
    for (var tap = 0u; tap < 9u; tap++) {
        gradient[select(tap, 8u - tap, swapped) * params.inputs * params.outputs + pair] = taps[tap];
    }
}

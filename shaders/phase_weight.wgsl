// phase_weight: a 3x3 weight as Winograd's algorithms at stride 2 multiply by it, M w M' for every pair of channels.
//
// Reads     weight [3, 3, a, b]; input and output channels are a and b, or with params.turned = 1 b and a, and the weight is
//           turned by 180 degrees.
// Writes    transformed: 81 matrices inputs x outputs (shared/phase_points.wgsl), every element once.
// Dispatch  x = ceil(outputs / 64), y = inputs.
// Longest loop  81.

@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<f32>;

const ROWS = 9u;
const COLUMNS = 3u;
const MATRIX = array<array<f32, 3>, 9>(
    array<f32, 3>(AT_NEAR, 0.0, AT_NEAR * NEAR),
    array<f32, 3>(AT_NEAR, 0.0, -AT_NEAR * NEAR),
    array<f32, 3>(AT_FAR, 0.0, AT_FAR * FAR),
    array<f32, 3>(AT_FAR, 0.0, -AT_FAR * FAR),
    array<f32, 3>(0.0, 0.0, 1.0),
    array<f32, 3>(0.0, AT_NEAR, 0.0),
    array<f32, 3>(0.0, AT_NEAR, 0.0),
    array<f32, 3>(0.0, AT_FAR, 0.0),
    array<f32, 3>(0.0, AT_FAR, 0.0),
);

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let output = group.x * 64u + local.x;
    if (output >= params.outputs) {
        return;
    }
    let pairs = params.inputs * params.outputs;
    var taps: array<f32, 9>;
    for (var tap = 0u; tap < 9u; tap++) {
        if (params.turned == 1u) {
            taps[8u - tap] = weight[tap * pairs + output * params.inputs + group.y];
        } else {
            taps[tap] = weight[tap * pairs + group.y * params.outputs + output];
        }
    }
    var result = both(taps);
    let to = first_element(FINE_ELEMENTS, params.outputs, group.y, output);
    for (var k = 0u; k < FINE_ELEMENTS; k++) {
        transformed[to + k * 8u * params.outputs] = result[k];
    }
}

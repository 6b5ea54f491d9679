// phase_gradient: from the products of Winograd's algorithms at stride 2 to the gradient by the weight, M m M' for every pair
// of channels.
//
// Reads     product: 81 matrices outputs x inputs (shared/phase_points.wgsl).
// Writes    gradient [3, 3, inputs, outputs], every element once.
// Dispatch  x = ceil(outputs / 64), y = inputs.
// Longest loop  81.

@group(0) @binding(1) var<storage, read_write> product: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

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
    let own = first_element(FINE_ELEMENTS, params.inputs, output, group.y);
    var elements: array<f32, 81>;
    for (var k = 0u; k < FINE_ELEMENTS; k++) {
        elements[k] = product[own + k * 8u * params.inputs];
    }
    var taps = both(elements);
    for (var tap = 0u; tap < 9u; tap++) {
        gradient[(tap * params.inputs + group.y) * params.outputs + output] = taps[tap];
    }
}

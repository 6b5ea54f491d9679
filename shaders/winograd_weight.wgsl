// winograd_weight: a 3x3 weight as Winograd's algorithm F(2x2, 3x3) multiplies by it, G w G' with
// G = (1, 0, 0; 1/2, 1/2, 1/2; 1/2, -1/2, 1/2; 0, 0, 1), for every pair of channels.
//
// Reads     weight [3, 3, a, b]; input and output channels are a and b, or with TURNED = 1 b and a.
// Writes    transformed: 16 matrices inputs x outputs (shared/winograd.wgsl), every element once.
// Dispatch  x = ceil(outputs / 64), y = inputs.
// Longest loop  4.

@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<f32>;

// 0: convolution. 1: its adjoint in the image, which is a convolution by the weight turned by 180 degrees with the
// roles of its channels exchanged.
override TURNED: u32 = 0u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let output = group.x * 64u + local.x;
    if (output >= params.outputs) {
        return;
    }
    let taps = params.inputs * params.outputs;
    var at = group.y * params.outputs + output;
    if (TURNED == 1u) {
        at = output * params.inputs + group.y;
    }
    let top = vec3<f32>(weight[at], weight[at + taps], weight[at + 2u * taps]);
    let middle = vec3<f32>(weight[at + 3u * taps], weight[at + 4u * taps], weight[at + 5u * taps]);
    let bottom = vec3<f32>(weight[at + 6u * taps], weight[at + 7u * taps], weight[at + 8u * taps]);
    // G is the same upside down, but for the order of its rows.
    var rows = array<vec3<f32>, 4>(top, 0.5 * (top + bottom + middle), 0.5 * (top + bottom - middle), bottom);
    if (TURNED == 1u) {
        rows[0] = bottom.zyx;
        rows[1] = rows[1].zyx;
        rows[2] = rows[2].zyx;
        rows[3] = top.zyx;
    }
    let matrix = 8u * params.outputs;
    var to = first_element(ELEMENTS, params.outputs, group.y, output);
    // The bound is known only at run time, so that the compiler does not unroll the stores, which it is slow at.
    for (var row = 0u; row < min(4u, params.tiles); row++) {
        let ends = rows[row].x + rows[row].z;
        transformed[to] = rows[row].x;
        transformed[to + matrix] = 0.5 * (ends + rows[row].y);
        transformed[to + 2u * matrix] = 0.5 * (ends - rows[row].y);
        transformed[to + 3u * matrix] = rows[row].z;
        to += 4u * matrix;
    }
}

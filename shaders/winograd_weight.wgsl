// winograd_weight: a 3x3 weight as Winograd's algorithm F(2x2, 3x3) multiplies by it, G w G' with
// G = (1, 0, 0; 1/2, 1/2, 1/2; 1/2, -1/2, 1/2; 0, 0, 1), for every pair of channels.
//
// Reads     weight [3, 3, a, b]; input and output channels are a and b, or with TURNED = 1 b and a.
// Writes    transformed [16, input_places / 4, output_places] of vec4 over four input channels, every element once;
//           0 for channels beyond the weight's.
// Dispatch  x = ceil(output_places / 64), y = input_places / 4.
// Longest loop  4.

@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4<f32>>;

// 0: convolution. 1: its adjoint in the image, which is a convolution by the weight turned by 180 degrees with the
// roles of its channels exchanged.
override TURNED: u32 = 0u;

fn load(tap: u32, input: u32, output: u32) -> f32 {
    let i = min(input, params.inputs - 1u);
    let o = min(output, params.outputs - 1u);
    var at = (tap * params.inputs + i) * params.outputs + o;
    if (TURNED == 1u) {
        at = ((8u - tap) * params.outputs + o) * params.inputs + i;
    }
    return select(0.0, weight[at], input < params.inputs && output < params.outputs);
}

fn load_four(tap: u32, input: u32, output: u32) -> vec4<f32> {
    return vec4<f32>(
        load(tap, input, output),
        load(tap, input + 1u, output),
        load(tap, input + 2u, output),
        load(tap, input + 3u, output),
    );
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let output = group.x * 64u + local.x;
    if (output >= params.output_places) {
        return;
    }
    let input = 4u * group.y;
    let pitch = params.input_places / 4u * params.output_places;
    var at = group.y * params.output_places + output;
    // Row by row of G w; three rows of w are kept, and G's rows are combinations of them.
    let top = array<vec4<f32>, 3>(load_four(0u, input, output), load_four(1u, input, output), load_four(2u, input, output));
    let middle = array<vec4<f32>, 3>(load_four(3u, input, output), load_four(4u, input, output), load_four(5u, input, output));
    let bottom = array<vec4<f32>, 3>(load_four(6u, input, output), load_four(7u, input, output), load_four(8u, input, output));
    for (var row = 0u; row < min(4u, params.tiles); row++) {
        let first = select(0.5, select(1.0, 0.0, row == 3u), row == 0u || row == 3u);
        let second = select(0.0, select(0.5, -0.5, row == 2u), row == 1u || row == 2u);
        let third = select(0.5, select(0.0, 1.0, row == 3u), row == 0u || row == 3u);
        let left = first * top[0] + second * middle[0] + third * bottom[0];
        let centre = first * top[1] + second * middle[1] + third * bottom[1];
        let right = first * top[2] + second * middle[2] + third * bottom[2];
        transformed[at] = left;
        transformed[at + pitch] = 0.5 * (left + right + centre);
        transformed[at + 2u * pitch] = 0.5 * (left + right - centre);
        transformed[at + 3u * pitch] = right;
        at += 4u * pitch;
    }
}

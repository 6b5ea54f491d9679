// im2col, form lavapipe.rgb: as shaders/im2col.wgsl for images of three channels, for a 3x3 kernel at stride 1:
//
//   matrix[(n, o), (k, a)] = fine[n, o + k - 1, a], or with TRANSPOSED = 1 matrix[(k, a), (n, o)]
//
// It asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     fine [batch, height, width, 3], zero outside; the number of pixels is a multiple of 8.
// Writes    matrix: positions x 32 columns, of which the last five are 0, or the other way round, in the layout of
//           shared/blocks.wgsl. Every element once.
// Dispatch  y = batch*height*width / 8.
// Longest loop  none: outside loops a fetch has no mask to test.
// needs: grid, convolution, lavapipe/eights, lavapipe/transpose, lavapipe/rgb_taps
//
// A lane takes one position; lavapipe/shared/rgb_taps.wgsl has how.

@group(0) @binding(1) var<storage, read_write> fine: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> matrix: array<vec4<u64>>;

override TRANSPOSED: u32 = 0u;

fn store(group: u32, lane: u32, block: u32, values: Eight) {
    if (TRANSPOSED == 1u) {
        let groups = params.batch * params.height * params.width / 8u;
        matrix[(block * groups + group) * 8u + lane] = pack(transpose8(values, lane));
    } else {
        matrix[(group * 4u + block) * 8u + lane] = pack(values);
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let taps = taps_at(8u * group.y + lane);
    store(group.y, lane, 0u, taps.first);
    store(group.y, lane, 1u, taps.second);
    store(group.y, lane, 2u, taps.third);
    store(group.y, lane, 3u, Eight(vec4<f32>(taps.fourth, 0.0), vec4<f32>()));
}

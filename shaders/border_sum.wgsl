// Sums along one extent over the places that the border of a transposed convolution of constant planes does not tell
// apart (graph::Borders): the first stride places, the last, and between them those of each phase.
// Reads x [outer, length, inner]; writes y [outer, 3*stride, inner].
// Dispatch: a workgroup of 8 x 8 per index of outer, in x and y; lanes run along inner.
// Longest loop: inner / 8 times length / stride.

struct BorderParams {
    outer: u32,
    length: u32,
    inner: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: BorderParams;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let outer = group.y * GRID_WIDTH + group.x;
    if outer >= params.outer {
        return;
    }
    let coarse = params.length / params.stride;
    for (var class_row = local.y; class_row < 3u * params.stride; class_row += 8u) {
        let place = class_row / params.stride;
        let phase = class_row - place * params.stride;
        // Places 0, 1 and 2 stand for the first coarse position, those between, and the last.
        let first = select(select(coarse - 1u, 1u, place == 1u), 0u, place == 0u);
        let end = select(select(coarse, coarse - 1u, place == 1u), 1u, place == 0u);
        let start = (outer * params.length + first * params.stride + phase) * params.inner;
        for (var i = local.x; i < params.inner; i += 8u) {
            var sum = 0.0;
            var at = start + i;
            for (var position = first; position < end; position++) {
                sum += x[at];
                at += params.stride * params.inner;
            }
            y[(outer * 3u * params.stride + class_row) * params.inner + i] = sum;
        }
    }
}

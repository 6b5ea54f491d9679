// Sums along one extent over the places at which a transposed convolution of a constant plane has equal values (graph::Borders): each
// of the first `stride` places, each of the last, and between them all places of each phase.
// Reads x [outer, length, inner]; writes y [outer, 3*stride, inner].
// Dispatch: a workgroup of 8 x 8 per index of outer, in x and y; lanes run along inner.
// Longest loop: inner / 8 times length / stride.
// needs: grid, border_sum, border_sum_of

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let outer = group.y * GRID_WIDTH + group.x;
    if outer >= params.outer {
        return;
    }
    for (var class_row = local.y; class_row < 3u * params.stride; class_row += 8u) {
        let places = class_of(outer, class_row);
        let row = outer * 3u * params.stride + class_row;
        for (var i = local.x; i < params.inner; i += 8u) {
            y[row * params.inner + i] = sum_of(places, i);
        }
    }
}

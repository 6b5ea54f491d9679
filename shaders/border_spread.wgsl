// The adjoint of border_sum. Along one extent, every place gets the value of the place in the small tensor that stands for it.
// Reads x [outer, 3*stride, inner]; writes y [outer, length, inner].
// Dispatch: 64 invocations per row of y, in x and y. Longest loop: inner / 64.
// needs: grid

struct BorderParams {
    outer: u32,
    length: u32,
    inner: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: BorderParams;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.y * GRID_WIDTH + group.x;
    let outer = row / params.length;
    if outer >= params.outer {
        return;
    }
    let i = row - outer * params.length;
    let coarse = i / params.stride;
    let last = params.length / params.stride - 1u;
    let place = select(select(1u, 2u, coarse == last), 0u, coarse == 0u);
    let source = (outer * 3u + place) * params.stride + i - coarse * params.stride;
    for (var at = local; at < params.inner; at += GROUP) {
        y[row * params.inner + at] = x[source * params.inner + at];
    }
}

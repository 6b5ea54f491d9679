// border_sum, form gpu.per_value: as shaders/border_sum.wgsl, for GPUs, where a value is a small piece of work.
//
// Reads     x [outer, length, inner].
// Writes    y [outer, 3*stride, inner], every element once.
// Dispatch  one invocation per value of y, 64 per workgroup, in x and y.
// Longest loop  length / stride.
// needs: grid, border_sum, border_sum_of

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = flat_index(group, local);
    let side = 3u * params.stride;
    if (at >= params.outer * side * params.inner) {
        return;
    }
    let line = at / params.inner;
    let outer = line / side;
    y[at] = sum_of(class_of(outer, line - outer * side), at - line * params.inner);
}

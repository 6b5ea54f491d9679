// border_sum, form lavapipe.eights: as shaders/border_sum.wgsl. It asks for subgroups of exactly eight invocations and for
// 64-bit integers.
//
// Reads     x [outer, length, inner]; inner is a multiple of 8.
// Writes    y [outer, 3*stride, inner], every element once.
// Dispatch  one invocation per eight values of y, 64 per workgroup, in x and y.
// Longest loop  length / stride.
// needs: grid, border_sum, lavapipe/eights

@group(0) @binding(1) var<storage, read_write> x: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<u64>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = flat_index(group, local);
    let side = 3u * params.stride;
    let pitch = params.inner / 8u;
    if (at >= params.outer * side * pitch) {
        return;
    }
    let line = small_divide(at, pitch);
    let outer = small_divide(line, side);
    let places = class_of(outer, line - outer * side);
    var source = places.first / 8u + at - line * pitch;
    var sum = Eight();
    for (var place = 0u; place < places.places; place++) {
        sum = plus(sum, unpack(x[source]));
        source += params.stride * pitch;
    }
    y[at] = pack(sum);
}

// pool, form lavapipe.eights: as shaders/pool.wgsl, for windows of 2 x 2 that cover the image. It asks for subgroups of
// exactly eight invocations and for 64-bit integers.
//
// Reads     x [batch, height, width, channels]; height and width are even, channels is a multiple of 8.
// Writes    y [batch, height / 2, width / 2, channels], every element once.
// Dispatch  one invocation per eight values of y, 64 per workgroup.
// Longest loop  none: outside loops a fetch has no mask to test.
// needs: grid, pool, lavapipe/eights
//
// Why this shape: a fetch of eight values costs a quarter of eight fetches of one. Blocks of y are numbered as they
// lie, so that two divisions find a block's window in x. Invocations beyond the last block fetch its window again
// instead of ending, which would mask the fetches of the others.

@group(0) @binding(1) var<storage, read_write> x: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<u64>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let pitch = params.channels / 8u;
    // Blocks of a row of y; a row of x has twice as many.
    let row = params.width / 2u * pitch;
    let count = params.batch * (params.height / 2u) * row;
    let own = flat_index(group, local);
    let i = min(own, count - 1u);
    let at = window_place(i, small_divide(i, row), small_divide(i, pitch), pitch);
    let below = at + 2u * row;
    let above_sum = plus(unpack(x[at]), unpack(x[at + pitch]));
    let sum = plus(plus(above_sum, unpack(x[below])), unpack(x[below + pitch]));
    if (own < count) {
        y[own] = pack(times(sum, params.scale));
    }
}

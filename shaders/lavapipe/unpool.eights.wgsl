// unpool, form lavapipe.eights: as shaders/unpool.wgsl, for windows of 2 x 2 that cover the image. It asks for subgroups of
// exactly eight invocations and for 64-bit integers.
//
// Reads     d [batch, height / 2, width / 2, channels] and mask (of y's shape; any tensor if MASK = 0); height and width
//           are even, channels is a multiple of 8.
// Writes    y [batch, height, width, channels], every element once.
// Dispatch  one invocation per eight values of d, 64 per workgroup.
// Longest loop  none: outside loops a fetch has no mask to test.
// needs: grid, pool, lavapipe/eights
//
// Why this shape: a fetch of eight values costs a quarter of eight fetches of one. Blocks of d are numbered as they
// lie, so that two divisions find a block's place in y. Invocations beyond the last block fetch it again instead of
// ending, which would mask the fetches of the others.

override MASK: u32 = 0u;

@group(0) @binding(1) var<storage, read_write> d: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> mask: array<vec4<u64>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<u64>>;

// The value of one pixel's channels.
fn masked(at: u32, value: Eight) -> Eight {
    if (MASK != 1u) {
        return value;
    }
    let activation = unpack(mask[at]);
    let one = vec4<f32>(1.0);
    let slope = vec4<f32>(params.slope);
    return Eight(
        value.low * select(one, slope, activation.low <= vec4<f32>()),
        value.high * select(one, slope, activation.high <= vec4<f32>()),
    );
}

fn store(at: u32, value: Eight) {
    y[at] = pack(value);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let pitch = params.channels / 8u;
    // Blocks of a row of d; a row of y has twice as many.
    let row = params.width / 2u * pitch;
    let count = params.batch * (params.height / 2u) * row;
    let own = flat_index(group, local);
    let i = min(own, count - 1u);
    let at = window_place(i, small_divide(i, row), small_divide(i, pitch), pitch);
    let below = at + 2u * row;
    let small = unpack(d[i]);
    let value = times(small, params.scale);
    let first = masked(at, value);
    let second = masked(at + pitch, value);
    let third = masked(below, value);
    let fourth = masked(below + pitch, value);
    if (own < count) {
        store(at, first);
        store(at + pitch, second);
        store(below, third);
        store(below + pitch, fourth);
    }
}

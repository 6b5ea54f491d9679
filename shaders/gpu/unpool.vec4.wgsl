// unpool, form gpu.vec4: as shaders/unpool.wgsl, for GPUs, where windows are 2 x 2 and cover the image, and the channels are a
// multiple of four.
//
// Reads     d [batch, height / 2, width / 2, channels] and mask (of y's shape; any tensor if MASK = 0).
// Writes    y [batch, height, width, channels], every element once.
// Dispatch  one invocation per four values of d, 64 per workgroup.
// Longest loop  none.
// needs: grid, pool

override MASK: u32 = 0u;

@group(0) @binding(1) var<storage, read_write> d: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> mask: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

fn put(at: u32, value: vec4<f32>) {
    if (MASK == 1u) {
        y[at] = value * select(vec4<f32>(1.0), vec4<f32>(params.slope), mask[at] <= vec4<f32>());
    } else {
        y[at] = value;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let pitch = params.channels / 4u;
    // In vec4: a row of d; a row of y has twice as many.
    let row = params.width / 2u * pitch;
    let own = flat_index(group, local);
    if (own >= params.batch * (params.height / 2u) * row) {
        return;
    }
    let at = window_place(own, own / row, own / pitch, pitch);
    let value = params.scale * d[own];
    put(at, value);
    put(at + pitch, value);
    put(at + 2u * row, value);
    put(at + 2u * row + pitch, value);
}

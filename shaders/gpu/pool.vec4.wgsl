// pool, form gpu.vec4: as shaders/pool.wgsl, for GPUs, where windows are 2 x 2 and cover the image, and the channels are a multiple
// of four.
//
// Reads     x [batch, height, width, channels].
// Writes    y [batch, height / 2, width / 2, channels], every element once.
// Dispatch  one invocation per four values of y, 64 per workgroup.
// Longest loop  none.
// needs: grid, pool

@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let pitch = params.channels / 4u;
    // In vec4: a row of y; a row of x has twice as many.
    let row = params.width / 2u * pitch;
    let own = flat_index(group, local);
    if (own >= params.batch * (params.height / 2u) * row) {
        return;
    }
    let at = window_place(own, own / row, own / pitch, pitch);
    let above = x[at] + x[at + pitch];
    let below = x[at + 2u * row] + x[at + 2u * row + pitch];
    y[own] = params.scale * (above + below);
}

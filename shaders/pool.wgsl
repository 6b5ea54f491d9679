// Pooling over non-overlapping windows: scale times the sum of each; positions that fill no window are
// dropped. With scale = 1 / window size this is average pooling.
// Reads x [batch, height, width, channels]; writes y [batch, height / wh, width / ww, channels].
// Dispatch: x over output columns and channels (64 per workgroup), y over output rows, z over images.
// Longest loop: the window, which for the mean over all positions is the whole image of a channel.

struct PoolParams {
    batch: u32,
    height: u32,
    width: u32,
    channels: u32,
    window_height: u32,
    window_width: u32,
    scale: f32,
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: PoolParams;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = group.x * GROUP + local;
    let row_length = (params.width / params.window_width) * params.channels;
    if i >= row_length {
        return;
    }
    let column = small_divide(i, params.channels);
    let channel = i - column * params.channels;
    let first_row = group.z * params.height + group.y * params.window_height;
    var sum = 0.0;
    for (var dy = 0u; dy < params.window_height; dy++) {
        var at = ((first_row + dy) * params.width + column * params.window_width) * params.channels + channel;
        for (var dx = 0u; dx < params.window_width; dx++) {
            sum += x[at];
            at += params.channels;
        }
    }
    let rows = params.height / params.window_height;
    y[(group.z * rows + group.y) * row_length + i] = params.scale * sum;
}

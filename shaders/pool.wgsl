// Pooling over non-overlapping windows: scale times the sum of each; positions that fill no window are
// dropped. With scale = 1 / window size this is average pooling.
// Reads x [batch, height, width, channels]; writes y [batch, height / wh, width / ww, channels].
// Dispatch: x over channels, y over output columns (8 x 8 per workgroup), z over the output rows of all images.
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

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let channel = id.x;
    let column = id.y;
    let columns = params.width / params.window_width;
    if channel >= params.channels || column >= columns {
        return;
    }
    let rows = params.height / params.window_height;
    let image = id.z / rows;
    let first_row = image * params.height + (id.z - image * rows) * params.window_height;
    var sum = 0.0;
    for (var dy = 0u; dy < params.window_height; dy++) {
        var at = ((first_row + dy) * params.width + column * params.window_width) * params.channels + channel;
        for (var dx = 0u; dx < params.window_width; dx++) {
            sum += x[at];
            at += params.channels;
        }
    }
    y[(id.z * columns + column) * params.channels + channel] = params.scale * sum;
}

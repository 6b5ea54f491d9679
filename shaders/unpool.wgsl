// The adjoint of pooling: every value is spread over its window, times scale; positions outside every window
// get 0. With MASK = 1, the backward of the leaky ReLU before the pooling follows in the same pass.
// Reads d [batch, height / wh, width / ww, channels] and mask, the activation's output (of y's shape; any
// tensor if MASK = 0); writes y [batch, height, width, channels].
// Dispatch: x over columns and channels (64 per workgroup), y over rows, z over images. No loop.

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

override MASK: u32 = 0u;

@group(0) @binding(0) var<uniform> params: PoolParams;
@group(0) @binding(1) var<storage, read_write> d: array<f32>;
@group(0) @binding(2) var<storage, read_write> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = group.x * GROUP + local;
    if i >= params.width * params.channels {
        return;
    }
    let column = small_divide(i, params.channels);
    let channel = i - column * params.channels;
    let rows = params.height / params.window_height;
    let columns = params.width / params.window_width;
    let from_row = small_divide(group.y, params.window_height);
    let from_column = small_divide(column, params.window_width);
    var value = 0.0;
    if from_row < rows && from_column < columns {
        let source = ((group.z * rows + from_row) * columns + from_column) * params.channels + channel;
        value = params.scale * d[source];
    }
    let at = (group.z * params.height + group.y) * params.width * params.channels + i;
    if MASK == 1u && mask[at] <= 0.0 {
        value *= params.slope;
    }
    y[at] = value;
}

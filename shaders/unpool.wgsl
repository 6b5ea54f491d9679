// The adjoint of pooling: every value is spread over its window, times scale; positions outside every window
// get 0. With MASK = 1, the backward of the leaky ReLU before the pooling follows in the same pass.
// Reads d [batch, height / wh, width / ww, channels] and mask, the activation's output (of y's shape; any
// tensor if MASK = 0); writes y [batch, height, width, channels].
// Dispatch: x over channels, y over columns (8 x 8 per workgroup), z over the rows of all images. No loop.
// Lanes run along the channels, so that no lane divides to find its place.

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

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let channel = id.x;
    let column = id.y;
    if channel >= params.channels || column >= params.width {
        return;
    }
    let image = id.z / params.height;
    let row = id.z - image * params.height;
    let rows = params.height / params.window_height;
    let columns = params.width / params.window_width;
    let from_row = row / params.window_height;
    let from_column = small_divide(column, params.window_width);
    var value = 0.0;
    if from_row < rows && from_column < columns {
        let source = ((image * rows + from_row) * columns + from_column) * params.channels + channel;
        value = params.scale * d[source];
    }
    let at = (id.z * params.width + column) * params.channels + channel;
    if MASK == 1u {
        value *= select(1.0, params.slope, mask[at] <= 0.0);
    }
    y[at] = value;
}

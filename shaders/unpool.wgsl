// The adjoint of pooling: every value is spread over its window, times scale; positions outside every window
// get 0. With MASK = 1, the backward of the leaky ReLU before the pooling follows in the same pass.
// Reads d [batch, height / wh, width / ww, channels] and mask, the activation's output (of y's shape; any
// tensor if MASK = 0); writes y [batch, height, width, channels].
// Dispatch: a workgroup of 8 x 8 per row of an image, in x and y; lanes run along the channels, so that no lane divides
// to find its place. Longest loop: width / 8 times channels / 8.

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
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let line = group.y * GRID_WIDTH + group.x;
    let image = line / params.height;
    if image >= params.batch {
        return;
    }
    let rows = params.height / params.window_height;
    let columns = params.width / params.window_width;
    let from_row = (line - image * params.height) / params.window_height;
    for (var column = local.y; column < params.width; column += 8u) {
        let from_column = small_divide(column, params.window_width);
        let inside = from_row < rows && from_column < columns;
        let source = ((image * rows + min(from_row, rows - 1u)) * columns + min(from_column, columns - 1u)) * params.channels;
        let target_pixel = (line * params.width + column) * params.channels;
        for (var channel = local.x; channel < params.channels; channel += 8u) {
            var value = select(0.0, params.scale * d[source + channel], inside);
            if MASK == 1u {
                value *= select(1.0, params.slope, mask[target_pixel + channel] <= 0.0);
            }
            y[target_pixel + channel] = value;
        }
    }
}

// The adjoint of pooling: every value is spread over its window, times scale; positions outside every window
// get 0. With MASK = 1, the backward of the leaky ReLU before the pooling follows in the same pass.
// Reads d [batch, height / wh, width / ww, channels] and mask, the activation's output (of y's shape; any
// tensor if MASK = 0); writes y [batch, height, width, channels].
// Dispatch: a workgroup of 8 x 8 per row of windows of an image, the cut off ones below and to the right included, in x
// and y; lanes run along the channels. Longest loop: windows of a row / 8 times channels / 8 times the pixels of a
// window.
// needs: grid, pool

override MASK: u32 = 0u;

@group(0) @binding(1) var<storage, read_write> d: array<f32>;
@group(0) @binding(2) var<storage, read_write> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Ends the value of one pixel.
fn put(at: u32, value: f32) {
    if MASK == 1u {
        y[at] = value * select(1.0, params.slope, mask[at] <= 0.0);
    } else {
        y[at] = value;
    }
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let line = group.y * GRID_WIDTH + group.x;
    let rows = params.height / params.window_height;
    let columns = params.width / params.window_width;
    let all_rows = (params.height + params.window_height - 1u) / params.window_height;
    let all_columns = (params.width + params.window_width - 1u) / params.window_width;
    let image = line / all_rows;
    if image >= params.batch {
        return;
    }
    let row = line - image * all_rows;
    let first_row = row * params.window_height;
    let end_row = min(first_row + params.window_height, params.height);
    let pitch = params.width * params.channels;
    for (var column = local.y; column < all_columns; column += 8u) {
        let inside = row < rows && column < columns;
        let source = ((image * rows + min(row, rows - 1u)) * columns + min(column, columns - 1u)) * params.channels;
        let first_column = column * params.window_width;
        let end_column = min(first_column + params.window_width, params.width);
        let target_pixel = ((image * params.height + first_row) * params.width + first_column) * params.channels;
        let two_by_two = inside && params.window_height == 2u && params.window_width == 2u;
        for (var channel = local.x; channel < params.channels; channel += 8u) {
            let value = select(0.0, params.scale * d[source + channel], inside);
            let first = target_pixel + channel;
            if two_by_two {
                put(first, value);
                put(first + params.channels, value);
                put(first + pitch, value);
                put(first + pitch + params.channels, value);
            } else {
                var line_at = first;
                for (var y = first_row; y < end_row; y++) {
                    var at = line_at;
                    for (var x = first_column; x < end_column; x++) {
                        put(at, value);
                        at += params.channels;
                    }
                    line_at += pitch;
                }
            }
        }
    }
}

// Pooling over non-overlapping windows: scale times the sum of each. Positions that do not fill a window are
// dropped. With scale = 1 / window size this is average pooling.
// Reads x [batch, height, width, channels]; writes y [batch, height / wh, width / ww, channels].
// Dispatch: a workgroup of 8 x 8 per output row of an image, in x and y; lanes run along the channels.
// Longest loop: (output width / 8 + 1) · (channels / 8 + 1) windows, each with all its cells.
// needs: grid, pool

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// The sum over a window of any size; `first` is its first value.
fn window(first: u32) -> f32 {
    var sum = 0.0;
    for (var dy = 0u; dy < params.window_height; dy++) {
        var at = first + dy * params.width * params.channels;
        for (var dx = 0u; dx < params.window_width; dx++) {
            sum += x[at];
            at += params.channels;
        }
    }
    return sum;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let line = group.y * GRID_WIDTH + group.x;
    let rows = params.height / params.window_height;
    let columns = params.width / params.window_width;
    let image = line / rows;
    if image >= params.batch {
        return;
    }
    let two_by_two = params.window_height == 2u && params.window_width == 2u;
    let first_row = image * params.height + (line - image * rows) * params.window_height;
    for (var column = local.y; column < columns; column += 8u) {
        for (var channel = local.x; channel < params.channels; channel += 8u) {
            let first_at = (first_row * params.width + column * params.window_width) * params.channels + channel;
            var sum = 0.0;
            if two_by_two {
                let below = first_at + params.width * params.channels;
                sum = x[first_at] + x[first_at + params.channels] + x[below] + x[below + params.channels];
            } else {
                sum = window(first_at);
            }
            y[(line * columns + column) * params.channels + channel] = params.scale * sum;
        }
    }
}

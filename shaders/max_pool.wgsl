// From each window the value at the place where the keys are largest; the first of equals. With the values as keys this is maximum
// pooling.
// Reads x [batch, height, width, channels] and keys [keys, height, width, channels], repeated over the batch; writes y
// [batch, rows, columns, channels].
// Dispatch: a workgroup of 8 x 8 per row of windows of an image, in x and y; lanes run along the channels.
// Longest loop: (columns / 8 + 1) · (channels / 8 + 1) windows, each with all its cells.
// needs: grid, window, window_max

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> keys: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let line = group.y * GRID_WIDTH + group.x;
    let image = line / params.rows;
    if image >= params.batch {
        return;
    }
    let row = line - image * params.rows;
    let origin = image * params.height * params.width;
    for (var column = local.y; column < params.columns; column += 8u) {
        for (var channel = local.x; channel < params.channels; channel += 8u) {
            let best = winner(image, row, column, channel);
            y[(line * params.columns + column) * params.channels + channel] = x[(origin + best) * params.channels + channel];
        }
    }
}

// The adjoint of max_pool in its values: every value goes to the place where the keys of its window are largest. A place
// of several windows gets the sum, other places get 0.
// Reads d [batch, rows, columns, channels] and keys [keys, height, width, channels], repeated over the batch; writes y
// [batch, height, width, channels].
// Dispatch: a workgroup of 8 x 8 per row of an image, in x and y; lanes run along the channels.
// Longest loop: (width / 8 + 1) · (channels / 8 + 1) pixels, each under some windows, whose keys are all read.
// needs: grid, window, window_max

@group(0) @binding(1) var<storage, read_write> d: array<f32>;
@group(0) @binding(2) var<storage, read_write> keys: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let line = group.y * GRID_WIDTH + group.x;
    let image = line / params.height;
    if image >= params.batch {
        return;
    }
    let iy = line - image * params.height;
    let over = rows_over(iy);
    for (var ix = local.y; ix < params.width; ix += 8u) {
        let across = columns_over(ix);
        for (var channel = local.x; channel < params.channels; channel += 8u) {
            var sum = 0.0;
            for (var row = over.x; row < over.y; row++) {
                let windows = (image * params.rows + row) * params.columns;
                for (var column = across.x; column < across.y; column++) {
                    if winner(image, row, column, channel) == iy * params.width + ix {
                        sum += d[(windows + column) * params.channels + channel];
                    }
                }
            }
            y[(line * params.width + ix) * params.channels + channel] = sum;
        }
    }
}

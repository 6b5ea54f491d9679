// Sums over windows of any stride and padding, times what makes a mean of them.
// Reads x [batch, height, width, channels]; writes y [batch, rows, columns, channels].
// Dispatch: a workgroup of 8 x 8 per row of windows of an image, in x and y; lanes run along the channels.
// Longest loop: (columns / 8 + 1) · (channels / 8 + 1) windows, each with all its cells.
// needs: grid, window

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let line = group.y * GRID_WIDTH + group.x;
    let image = line / params.rows;
    if image >= params.batch {
        return;
    }
    let row = line - image * params.rows;
    let over = rows_of(row);
    for (var column = local.y; column < params.columns; column += 8u) {
        let across = columns_of(column);
        let factor = share(row, column);
        for (var channel = local.x; channel < params.channels; channel += 8u) {
            var sum = 0.0;
            for (var iy = over.x; iy < over.y; iy++) {
                let pixels = (image * params.height + iy) * params.width;
                for (var ix = across.x; ix < across.y; ix++) {
                    sum += x[(pixels + ix) * params.channels + channel];
                }
            }
            y[(line * params.columns + column) * params.channels + channel] = factor * sum;
        }
    }
}

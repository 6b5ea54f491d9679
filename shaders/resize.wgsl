// Images in another height and width, by the nearest pixel or by interpolation between neighbours.
// Reads x [batch, height, width, channels]; writes y [batch, to_height, to_width, channels].
// Dispatch: a workgroup of 8 x 8 per row of a result, in x and y; lanes run along the channels.
// Longest loop: (to_width / 8 + 1) · (channels / 8 + 1) values.
// needs: grid, resize

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let line = group.y * GRID_WIDTH + group.x;
    let image = line / params.to_height;
    if image >= params.batch {
        return;
    }
    let rows = row_taps(line - image * params.to_height);
    let upper = (image * params.height + rows.first) * params.width;
    let lower = (image * params.height + rows.second) * params.width;
    for (var column = local.y; column < params.to_width; column += 8u) {
        let columns = column_taps(column);
        for (var channel = local.x; channel < params.channels; channel += 8u) {
            var value = x[(upper + columns.first) * params.channels + channel];
            if params.linear == 1u {
                let right = x[(upper + columns.second) * params.channels + channel];
                let below = x[(lower + columns.first) * params.channels + channel];
                let corner = x[(lower + columns.second) * params.channels + channel];
                value = (1.0 - rows.weight) * ((1.0 - columns.weight) * value + columns.weight * right)
                    + rows.weight * ((1.0 - columns.weight) * below + columns.weight * corner);
            }
            y[(line * params.to_width + column) * params.channels + channel] = value;
        }
    }
}

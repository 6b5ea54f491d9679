// The adjoint of resize: every pixel adds the values of the positions that read it, each times the weight of that reading.
// Reads d [batch, to_height, to_width, channels]; writes y [batch, height, width, channels].
// Dispatch: a workgroup of 8 x 8 per row of an image, in x and y; lanes run along the channels.
// Longest loop: (width / 8 + 1) · (channels / 8 + 1) pixels, each with the positions that read it: 2 · to / from
// along each direction, more at the borders.
// needs: grid, resize

@group(0) @binding(1) var<storage, read_write> d: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let line = group.y * GRID_WIDTH + group.x;
    let image = line / params.height;
    if image >= params.batch {
        return;
    }
    let iy = line - image * params.height;
    let rows = row_readers(iy);
    for (var ix = local.y; ix < params.width; ix += 8u) {
        let columns = column_readers(ix);
        for (var channel = local.x; channel < params.channels; channel += 8u) {
            var sum = 0.0;
            for (var row = rows.x; row < rows.y; row++) {
                let down = part(row_taps(row), iy);
                let positions = (image * params.to_height + row) * params.to_width;
                for (var column = columns.x; column < columns.y; column++) {
                    let factor = down * part(column_taps(column), ix);
                    // What does not read the pixel may be anything.
                    if factor != 0.0 {
                        sum += factor * d[(positions + column) * params.channels + channel];
                    }
                }
            }
            y[(line * params.width + ix) * params.channels + channel] = sum;
        }
    }
}

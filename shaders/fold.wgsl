// The adjoint of unfold: adds every value of the patches where it was read from.
// Reads d [batch, rows, columns, taps * channels]; writes x [batch, height, width, channels], every value once.
// Dispatch: one invocation per value of x, 64 per workgroup.
// Longest loop: the taps of the kernel.

@group(0) @binding(1) var<storage, read_write> d: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;

// The place of which a tap at a distance of `offset` from its first lies at `at` (padding included), or `places` if there is none.
fn place_of(at: u32, offset: u32, stride: u32, places: u32) -> u32 {
    if at < offset {
        return places;
    }
    let place = (at - offset) / stride;
    return select(places, min(place, places), place * stride == at - offset);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    if i >= params.batch * params.height * params.width * params.channels {
        return;
    }
    let channel = i % params.channels;
    let pixel = i / params.channels;
    let column = pixel % params.width + params.left;
    let line = pixel / params.width;
    let row = line % params.height + params.top;
    let image = line / params.height;
    let taps = params.kernel_height * params.kernel_width;
    var sum = 0.0;
    for (var tap = 0u; tap < taps; tap++) {
        let from_row = place_of(row, tap / params.kernel_width * params.dilation_height, params.stride_height, params.rows);
        let from_column = place_of(column, tap % params.kernel_width * params.dilation_width, params.stride_width, params.columns);
        if from_row < params.rows && from_column < params.columns {
            let place = (image * params.rows + from_row) * params.columns + from_column;
            sum += d[(place * taps + tap) * params.channels + channel];
        }
    }
    x[i] = sum;
}

// What a kernel meets at each of its places on an image, side by side along the channels; zeros outside the image. A
// convolution of any geometry is a matrix product with it.
// Reads x [batch, height, width, channels]; writes y [batch, rows, columns, taps * channels], taps in rows of the kernel.
// Dispatch: one invocation per value of y, 64 per workgroup. No loop.

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    let taps = params.kernel_height * params.kernel_width;
    if i >= params.batch * params.rows * params.columns * taps * params.channels {
        return;
    }
    let channel = i % params.channels;
    let of_tap = i / params.channels;
    let tap = of_tap % taps;
    let place = of_tap / taps;
    let column = place % params.columns;
    let line = place / params.columns;
    let row = line % params.rows;
    let image = line / params.rows;
    let from_row = row * params.stride_height + tap / params.kernel_width * params.dilation_height;
    let from_column = column * params.stride_width + tap % params.kernel_width * params.dilation_width;
    var value = 0.0;
    if from_row >= params.top && from_row < params.top + params.height &&
        from_column >= params.left && from_column < params.left + params.width {
        let at = (image * params.height + from_row - params.top) * params.width + from_column - params.left;
        value = x[at * params.channels + channel];
    }
    y[i] = value;
}

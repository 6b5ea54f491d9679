// The adjoint of a convolution of any geometry in its weight, in parts of the coarse rows; sum_rows adds them.
// Reads fine [batch, fine_height, fine_width, fine_channels] and coarse [batch, height, width, coarse_channels]; writes parts
// [splits, kernel_height, kernel_width, fine_channels / groups, coarse_channels].
// Dispatch: one invocation per value of a part, in a flat grid; neighbours are neighbouring coarse channels.
// Longest loop: the coarse pixels of a part, about 16,384.
// needs: grid, general

@group(0) @binding(1) var<storage, read_write> fine: array<f32>;
@group(0) @binding(2) var<storage, read_write> coarse: array<f32>;
@group(0) @binding(3) var<storage, read_write> parts: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    let channels = params.fine_channels / params.groups;
    let entry = i / params.coarse_channels;
    let b = i - entry * params.coarse_channels;
    let tap = entry / channels;
    let line_of_taps = tap / params.kernel_width;
    let part = line_of_taps / params.kernel_height;
    if part >= params.splits {
        return;
    }
    let ky = line_of_taps - part * params.kernel_height;
    let kx = tap - line_of_taps * params.kernel_width;
    let a = b / (params.coarse_channels / params.groups) * channels + entry - tap * channels;
    let down = ky * params.dilation_height;
    let along = kx * params.dilation_width;
    let rows = inside(down, params.stride_height, params.height, params.top, params.fine_height);
    let columns = inside(along, params.stride_width, params.width, params.left, params.fine_width);
    let end = min((part + 1u) * params.rows_per_split, params.batch * params.height);
    var sum = 0.0;
    for (var line = part * params.rows_per_split; line < end; line++) {
        let image = line / params.height;
        let oy = line - image * params.height;
        if oy < rows.x || oy >= rows.y {
            continue;
        }
        let y = down + oy * params.stride_height - params.top;
        for (var ox = columns.x; ox < columns.y; ox++) {
            let x = along + ox * params.stride_width - params.left;
            let pixel = (image * params.fine_height + y) * params.fine_width + x;
            sum += fine[pixel * params.fine_channels + a]
                * coarse[(line * params.width + ox) * params.coarse_channels + b];
        }
    }
    parts[i] = sum;
}

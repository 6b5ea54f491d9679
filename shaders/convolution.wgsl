// A convolution of any geometry: kernel, stride, padding, dilation, groups of channels.
// Reads fine [batch, fine_height, fine_width, fine_channels], weight [kernel_height, kernel_width, fine_channels / groups,
// coarse_channels], bias [coarse_channels] or an activation like the result; writes coarse [batch, height, width, coarse_channels].
// Dispatch: one invocation per value of the coarse side, in a flat grid; neighbours are neighbouring channels.
// Longest loop: taps · (channels of a group / 4 + 3), at most 32,768; the graph refuses more.
// needs: grid, general, epilogue

@group(0) @binding(1) var<storage, read_write> fine: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> beside: array<f32>;
@group(0) @binding(4) var<storage, read_write> coarse: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    let pixel = i / params.coarse_channels;
    let line = pixel / params.width;
    let image = line / params.height;
    if image >= params.batch {
        return;
    }
    let b = i - pixel * params.coarse_channels;
    let channels = params.fine_channels / params.groups;
    let first = b / (params.coarse_channels / params.groups) * channels;
    let down = (line - image * params.height) * params.stride_height;
    let along = (pixel - line * params.width) * params.stride_width;
    let rows = inside(down, params.dilation_height, params.kernel_height, params.top, params.fine_height);
    let columns = inside(along, params.dilation_width, params.kernel_width, params.left, params.fine_width);
    let whole = channels - channels % 4u;
    var sum = 0.0;
    for (var ky = rows.x; ky < rows.y; ky++) {
        let y = down + ky * params.dilation_height - params.top;
        for (var kx = columns.x; kx < columns.y; kx++) {
            let x = along + kx * params.dilation_width - params.left;
            let start = ((image * params.fine_height + y) * params.fine_width + x) * params.fine_channels + first;
            let by = (ky * params.kernel_width + kx) * channels * params.coarse_channels + b;
            for (var a = 0u; a < whole; a += 4u) {
                let at = by + a * params.coarse_channels;
                sum += fine[start + a] * weight[at]
                    + fine[start + a + 1u] * weight[at + params.coarse_channels]
                    + fine[start + a + 2u] * weight[at + 2u * params.coarse_channels]
                    + fine[start + a + 3u] * weight[at + 3u * params.coarse_channels];
            }
            for (var a = whole; a < channels; a++) {
                sum += fine[start + a] * weight[by + a * params.coarse_channels];
            }
        }
    }
    var other = 0.0;
    if EPILOGUE == LEAKY_MASK {
        other = beside[i];
    } else if EPILOGUE != NOTHING {
        other = beside[b];
    }
    coarse[i] = finish(vec4<f32>(sum), vec4<f32>(other)).x;
}

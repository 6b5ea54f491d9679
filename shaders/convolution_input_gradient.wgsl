// The adjoint of a convolution of any geometry in its image, which is the transposed convolution.
// Reads coarse [batch, height, width, coarse_channels], weight [kernel_height, kernel_width, fine_channels / groups, coarse_channels],
// bias [fine_channels] or an activation like the result; writes fine [batch, fine_height, fine_width, fine_channels].
// Dispatch: one invocation per value of the fine side, in a flat grid; neighbours are neighbouring channels.
// Longest loop: taps · (channels of a group / 4 + 3), at most 32,768; the graph refuses more.
// needs: grid, general, epilogue

@group(0) @binding(1) var<storage, read_write> coarse: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> beside: array<f32>;
@group(0) @binding(4) var<storage, read_write> fine: array<f32>;

// The coarse row or column whose tap, `reach` behind its first one, lies on what is `at` behind the beginning of the padding; one that
// no image has where there is none.
fn coarse_at(at: u32, reach: u32, stride: u32) -> u32 {
    let start = at - reach;
    let o = start / stride;
    return select(0xffffffffu, o, at >= reach && o * stride == start);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    let pixel = i / params.fine_channels;
    let line = pixel / params.fine_width;
    let image = line / params.fine_height;
    if image >= params.batch {
        return;
    }
    let a = i - pixel * params.fine_channels;
    let inputs = params.fine_channels / params.groups;
    let channels = params.coarse_channels / params.groups;
    let own_group = a / inputs;
    let down = line - image * params.fine_height + params.top;
    let along = pixel - line * params.fine_width + params.left;
    let whole = channels - channels % 4u;
    var sum = 0.0;
    for (var ky = 0u; ky < params.kernel_height; ky++) {
        let oy = coarse_at(down, ky * params.dilation_height, params.stride_height);
        if oy >= params.height {
            continue;
        }
        for (var kx = 0u; kx < params.kernel_width; kx++) {
            let ox = coarse_at(along, kx * params.dilation_width, params.stride_width);
            if ox >= params.width {
                continue;
            }
            let first = own_group * channels;
            let start = ((image * params.height + oy) * params.width + ox) * params.coarse_channels + first;
            let row = (ky * params.kernel_width + kx) * inputs + a - own_group * inputs;
            let by = row * params.coarse_channels + first;
            for (var b = 0u; b < whole; b += 4u) {
                sum += coarse[start + b] * weight[by + b]
                    + coarse[start + b + 1u] * weight[by + b + 1u]
                    + coarse[start + b + 2u] * weight[by + b + 2u]
                    + coarse[start + b + 3u] * weight[by + b + 3u];
            }
            for (var b = whole; b < channels; b++) {
                sum += coarse[start + b] * weight[by + b];
            }
        }
    }
    var other = 0.0;
    if EPILOGUE == LEAKY_MASK {
        other = beside[i];
    } else if EPILOGUE != NOTHING {
        other = beside[a];
    }
    fine[i] = finish(vec4<f32>(sum), vec4<f32>(other)).x;
}

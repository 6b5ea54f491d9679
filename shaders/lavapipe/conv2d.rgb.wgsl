// conv2d, form lavapipe.rgb: as shaders/conv2d.wgsl from images of three channels at KERNEL = 3, STRIDE = 1:
//
//   coarse[n, o, b] = epilogue(sum over k, a of fine[n, o + k - 1, a] * weight[k, a, b] + bias[b])
//
// It asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     fine [batch, height, width, 3], zero outside; the number of pixels is a multiple of 32,
//           weight [3, 3, 3, coarse_channels]; coarse_channels is a multiple of 8,
//           beside: bias [coarse_channels], or an activation like coarse (EPILOGUE = LEAKY_MASK), or nothing (EPILOGUE = NOTHING).
// Writes    result: coarse [batch, height, width, coarse_channels], every element once.
// Dispatch  y = batch*height*width / 32.
// Longest loop  coarse_channels / 8.
// needs: grid, convolution, epilogue, lavapipe/eights, lavapipe/rows, lavapipe/rgb_weights, lavapipe/rgb_taps
//
// A product would want the 27 values that a position meets written as a row and read again, and its result scattered for the
// epilogue. Here a lane keeps what four positions meet, eight pixels apart, and adds it up for eight channels at a time; the
// four share the weights, whose fetches cost as much as the sums of three positions.

@group(0) @binding(1) var<storage, read_write> fine: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<u64>>;
@group(0) @binding(3) var<storage, read_write> beside: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> result: array<vec4<f32>>;

fn sum_of(taps: Taps, w: Weights) -> Eight {
    var sum = add_rows(Eight(), taps.first, w.first);
    sum = add_rows(sum, taps.second, w.second);
    sum = add_rows(sum, taps.third, w.third);
    sum = add_row(sum, taps.fourth.x, w.fourth.row0);
    sum = add_row(sum, taps.fourth.y, w.fourth.row1);
    return add_row(sum, taps.fourth.z, w.fourth.row2);
}

// Ends the sums of a block of channels at `at` of the result, in units of four values.
fn store(at: u32, sum: Eight, bias: Eight) {
    var others = bias;
    if (EPILOGUE == LEAKY_MASK) {
        others = Eight(beside[at], beside[at + 1u]);
    }
    result[at] = finish(sum.low, others.low);
    result[at + 1u] = finish(sum.high, others.high);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let pitch = params.coarse_channels / 8u;
    let pixel = 32u * group.y + lane;
    let a = taps_at(pixel);
    let b = taps_at(pixel + 8u);
    let c = taps_at(pixel + 16u);
    let d = taps_at(pixel + 24u);
    var block = 0u;
    loop {
        let w = load_weights(lane, block, pitch);
        var bias = Eight();
        if (EPILOGUE == BIAS || EPILOGUE == BIAS_LEAKY) {
            bias = Eight(beside[2u * block], beside[2u * block + 1u]);
        }
        let at = 2u * (pixel * pitch + block);
        store(at, sum_of(a, w), bias);
        store(at + 16u * pitch, sum_of(b, w), bias);
        store(at + 32u * pitch, sum_of(c, w), bias);
        store(at + 48u * pitch, sum_of(d, w), bias);
        block++;
        if (block >= pitch) {
            break;
        }
    }
}

// conv2d_weight_gradient, form lavapipe.direct: as shaders/conv2d_weight_gradient.wgsl:
//
//   partial[i, k, a, b] = sum over the coarse positions (n, o) of piece i of
//                         fine[n, STRIDE*o + k - KERNEL/2, a] * coarse[n, o, b]
//
// It asks for subgroups of exactly eight invocations.
//
// Reads     fine   [batch, STRIDE*height, STRIDE*width, fine_channels], zero outside,
//           coarse [batch, height, width, coarse_channels].
// Writes    partial [splits, KERNEL, KERNEL, fine_channels, coarse_channels], every element once. Piece i holds the
//           coarse rows n*height + y from i*rows_per_split to (i+1)*rows_per_split, the last as many as are left;
//           another kernel adds the pieces. The order of every sum is fixed.
// Dispatch  x = ceil(coarse_channels / (8*OUT_VECTORS)),
//           y = ceil(fine_channels / (8*IN_VECTORS)) * KERNEL, z = splits.
// Longest loop  ceil(rows_per_split*width / 8); rows_per_split*width stays below 32,768 as for the portable form.
// needs: convolution, lavapipe/subgroups
//
// Why this shape: as in lavapipe/conv2d.direct.wgsl, a fetch costs as much as some twenty multiply-adds and a broadcast
// next to nothing. Lanes run along the output channels. One subgroup keeps up to 3 horizontal taps x 16 input x 16
// output channels in registers and walks along the pixels, eight at a time: an input vector, once fetched, serves all
// taps of the row, because the window of fine pixels slides with the walk (at stride 2 it serves the outer two, and the
// middle one has a window of its own); the broadcast of each of its channels
// meets the output vectors of eight pixels. At the rim the coarse value is masked rather than the fine one, so that
// all taps share one set of broadcasts.

@group(0) @binding(1) var<storage, read_write> fine: array<f32>;
@group(0) @binding(2) var<storage, read_write> coarse: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

// Groups of eight input and of eight output channels per subgroup: 1 where there are at most eight channels, else 2.
override IN_VECTORS: u32 = 2u;
override OUT_VECTORS: u32 = 2u;
// Eight input channels of one tap; the lanes hold eight output channels.
struct Sums {
    low: vec4<f32>,
    high: vec4<f32>,
}

// One tap: up to sixteen input x sixteen output channels.
struct Tap {
    first_first: Sums,
    first_second: Sums,
    second_first: Sums,
    second_second: Sums,
}

// Eight pixels, at the offsets that the eight lanes hold.
fn load_fine(offset: u32, channel: u32) -> Eight {
    return Eight(
        vec4<f32>(
            fine[subgroupBroadcast(offset, 0u) + channel],
            fine[subgroupBroadcast(offset, 1u) + channel],
            fine[subgroupBroadcast(offset, 2u) + channel],
            fine[subgroupBroadcast(offset, 3u) + channel],
        ),
        vec4<f32>(
            fine[subgroupBroadcast(offset, 4u) + channel],
            fine[subgroupBroadcast(offset, 5u) + channel],
            fine[subgroupBroadcast(offset, 6u) + channel],
            fine[subgroupBroadcast(offset, 7u) + channel],
        ),
    );
}

// Eight pixels from `pixel` on; the batch's last one stands in for any beyond it.
fn load_coarse(pixel: u32, channel: u32) -> Eight {
    let last = vec4<u32>(params.batch * params.height * params.width - 1u);
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let low = min(pixel + steps, last) * params.coarse_channels + channel;
    let high = min(pixel + steps + 4u, last) * params.coarse_channels + channel;
    return Eight(
        vec4<f32>(coarse[low.x], coarse[low.y], coarse[low.z], coarse[low.w]),
        vec4<f32>(coarse[high.x], coarse[high.y], coarse[high.z], coarse[high.w]),
    );
}

// Moves the window back by one or two pixels, which the last pixels of the window before fill.
fn back_one(before: vec2<f32>, values: Eight) -> Eight {
    return Eight(vec4<f32>(before.y, values.low.xyz), vec4<f32>(values.low.w, values.high.xyz));
}

fn back_two(before: vec2<f32>, values: Eight) -> Eight {
    return Eight(vec4<f32>(before, values.low.xy), vec4<f32>(values.low.zw, values.high.xy));
}

fn first_four(value: f32) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(value, 0u),
        subgroupBroadcast(value, 1u),
        subgroupBroadcast(value, 2u),
        subgroupBroadcast(value, 3u),
    );
}

fn last_four(value: f32) -> vec4<f32> {
    return vec4<f32>(
        subgroupBroadcast(value, 4u),
        subgroupBroadcast(value, 5u),
        subgroupBroadcast(value, 6u),
        subgroupBroadcast(value, 7u),
    );
}

// Adds the products of eight pixels.
fn accumulate(sums: Sums, inputs: Eight, outputs: Eight) -> Sums {
    var low = sums.low;
    low += first_four(inputs.low.x) * outputs.low.x;
    low += first_four(inputs.low.y) * outputs.low.y;
    low += first_four(inputs.low.z) * outputs.low.z;
    low += first_four(inputs.low.w) * outputs.low.w;
    low += first_four(inputs.high.x) * outputs.high.x;
    low += first_four(inputs.high.y) * outputs.high.y;
    low += first_four(inputs.high.z) * outputs.high.z;
    low += first_four(inputs.high.w) * outputs.high.w;
    var high = sums.high;
    high += last_four(inputs.low.x) * outputs.low.x;
    high += last_four(inputs.low.y) * outputs.low.y;
    high += last_four(inputs.low.z) * outputs.low.z;
    high += last_four(inputs.low.w) * outputs.low.w;
    high += last_four(inputs.high.x) * outputs.high.x;
    high += last_four(inputs.high.y) * outputs.high.y;
    high += last_four(inputs.high.z) * outputs.high.z;
    high += last_four(inputs.high.w) * outputs.high.w;
    return Sums(low, high);
}

fn accumulate_tap(sums: Tap, inputs0: Eight, inputs1: Eight, outputs0: Eight, outputs1: Eight, valid: bool) -> Tap {
    var result = sums;
    let kept0 = keep(outputs0, valid);
    result.first_first = accumulate(sums.first_first, inputs0, kept0);
    if (IN_VECTORS == 2u) {
        result.second_first = accumulate(sums.second_first, inputs1, kept0);
    }
    if (OUT_VECTORS == 2u) {
        let kept1 = keep(outputs1, valid);
        result.first_second = accumulate(sums.first_second, inputs0, kept1);
        if (IN_VECTORS == 2u) {
            result.second_second = accumulate(sums.second_second, inputs1, kept1);
        }
    }
    return result;
}

// The next four input channels come first.
fn drop_four(tap: Tap) -> Tap {
    return Tap(
        Sums(tap.first_first.high, tap.second_first.low),
        Sums(tap.first_second.high, tap.second_second.low),
        Sums(tap.second_first.high, vec4<f32>()),
        Sums(tap.second_second.high, vec4<f32>()),
    );
}

fn store_four(entry: u32, in_channel: u32, out_channel: u32, sum: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        if (in_channel + i < params.fine_channels && out_channel < params.coarse_channels) {
            partial[(entry * params.fine_channels + in_channel + i) * params.coarse_channels + out_channel] = sum[i];
        }
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let out_channel = group.x * 8u * OUT_VECTORS + lane;
    let out0 = min(out_channel, params.coarse_channels - 1u);
    let out1 = min(out_channel + 8u, params.coarse_channels - 1u);
    let in_channel = group.y / KERNEL * 8u * IN_VECTORS;
    let in0 = min(in_channel + lane, params.fine_channels - 1u);
    let in1 = min(in_channel + lane + 8u, params.fine_channels - 1u);
    let ky = group.y % KERNEL;
    let last_kx = KERNEL - 1u;

    let width = params.width;
    let lines = params.batch * params.height;
    let last_pixel = lines * width - 1u;
    let first_line = min(group.z * params.rows_per_split, lines);
    let begin = first_line * width;
    let count = (min(first_line + params.rows_per_split, lines) - first_line) * width;
    let first_row = first_line % params.height;

    // At pixel p of the walk the window holds the fine pixel under last_kx of p, which is `remainder` beyond the first
    // fine pixel of p + lead.
    let stride = i32(STRIDE);
    let reach = i32(KERNEL / 2u);
    let lead = (i32(last_kx) - reach + stride) / stride - 1;
    let remainder = i32(last_kx) - reach - lead * stride;
    let fine_width = stride * i32(width);
    let last_fine = i32(last_pixel + 1u) * stride * stride - 1;
    let down = (i32(ky) - reach) * fine_width + remainder;

    // Exact up to 2^20 pixels and rows of a piece, and much faster than integer division.
    let per_width = 1.0 / f32(width);
    let per_height = 1.0 / f32(params.height);

    // The two fine pixels before the first window, in lanes 6 and 7.
    let before = clamp(i32(begin + lane) + lead - 8, 0, i32(last_pixel));
    let before_line = before / i32(width);
    let before_source = stride * (before_line * (stride - 1) * i32(width) + before) + down;
    let before_offset = u32(clamp(before_source, 0, last_fine)) * params.fine_channels;
    let offset6 = subgroupBroadcast(before_offset, 6u);
    let offset7 = subgroupBroadcast(before_offset, 7u);
    var before0 = vec2<f32>(fine[offset6 + in0], fine[offset7 + in0]);
    var before1 = vec2<f32>();
    if (IN_VECTORS == 2u) {
        before1 = vec2<f32>(fine[offset6 + in1], fine[offset7 + in1]);
    }

    // last_tap meets the window as it is fetched, the tap before it the window one pixel back, and so on.
    var last_tap = Tap();
    var middle_tap = Tap();
    var first_tap = Tap();
    for (var first = 0u; first < count; first += 8u) {
        let index = first + lane;
        let line = u32((f32(index) + 0.5) * per_width);
        let image = u32((f32(first_row + line) + 0.5) * per_height);
        let y = stride * i32(first_row + line - image * params.height) + i32(ky) - reach;
        let x = stride * i32(index - line * width) + i32(last_kx) - reach;
        let valid = index < count && y >= 0 && y < stride * i32(params.height);

        let place = u32(min(i32(index) + lead, i32(last_pixel - begin)));
        let place_line = u32((f32(place) + 0.5) * per_width);
        let source = stride * i32((first_line + place_line) * (STRIDE - 1u) * width + begin + place) + down;
        let offset = u32(clamp(source, 0, last_fine)) * params.fine_channels;
        let inputs0 = load_fine(offset, in0);
        let outputs0 = load_coarse(begin + first, out0);
        var inputs1 = Eight();
        var outputs1 = Eight();
        if (IN_VECTORS == 2u) {
            inputs1 = load_fine(offset, in1);
        }
        if (OUT_VECTORS == 2u) {
            outputs1 = load_coarse(begin + first, out1);
        }

        last_tap = accumulate_tap(last_tap, inputs0, inputs1, outputs0, outputs1, valid && x >= 0 && x < fine_width);
        if (KERNEL == 3u) {
            let back0 = back_one(before0, inputs0);
            let back1 = back_one(before1, inputs1);
            let middle = valid && x >= 1 && x <= fine_width;
            let left = valid && x >= 2 && x <= fine_width + 1;
            if (STRIDE == 1u) {
                middle_tap = accumulate_tap(middle_tap, back0, back1, outputs0, outputs1, middle);
                let far0 = back_two(before0, inputs0);
                let far1 = back_two(before1, inputs1);
                first_tap = accumulate_tap(first_tap, far0, far1, outputs0, outputs1, left);
            } else {
                first_tap = accumulate_tap(first_tap, back0, back1, outputs0, outputs1, left);
                let between = u32(clamp(source - 1, 0, last_fine)) * params.fine_channels;
                let middle0 = load_fine(between, in0);
                var middle1 = Eight();
                if (IN_VECTORS == 2u) {
                    middle1 = load_fine(between, in1);
                }
                middle_tap = accumulate_tap(middle_tap, middle0, middle1, outputs0, outputs1, middle);
            }
        }
        before0 = inputs0.high.zw;
        before1 = inputs1.high.zw;
    }

    // Bounds known only at run time keep the compiler from unrolling this: a store takes it as long as a hundred
    // multiply-adds.
    for (var kx = i32(last_kx); kx >= 0; kx--) {
        let entry = (group.z * KERNEL + ky) * KERNEL + u32(kx);
        for (var a = in_channel; a < min(in_channel + 8u * IN_VECTORS, params.fine_channels); a += 4u) {
            store_four(entry, a, out_channel, last_tap.first_first.low);
            if (OUT_VECTORS == 2u) {
                store_four(entry, a, out_channel + 8u, last_tap.first_second.low);
            }
            last_tap = drop_four(last_tap);
        }
        last_tap = middle_tap;
        middle_tap = first_tap;
    }
}

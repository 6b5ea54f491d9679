// conv2d for adapters whose subgroups are exactly eight invocations wide (the software adapter lavapipe). The
// contract is that of conv2d.wgsl:
//
//   coarse[n, o, b] = epilogue(sum over k, a of fine[n, STRIDE*o + k - KERNEL/2, a] * weight[k, a, b] + bias[b])
//
// Reads     fine   [batch, STRIDE*height, STRIDE*width, in_channels], zero outside,
//           weight [KERNEL, KERNEL, in_channels, out_channels], bias [out_channels] (ignored when EPILOGUE = 0).
// Writes    coarse [batch, height, width, out_channels], every element once.
// Dispatch  x = ceil(out_channels / (8*VECTORS)), pixel tiles = ceil(batch*height*width / 32),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768).
// Longest loop  KERNEL*min(KERNEL, STRIDE)*ceil(in_channels / 8).
//
// Why this shape: on such an adapter a fetch from storage costs as much as some twenty multiply-adds whatever its
// pattern, a broadcast within the subgroup next to nothing, barriers and workgroup memory a lot. So one subgroup
// keeps 32 pixels (neighbours in the flattened batch, of whatever width) x 8*VECTORS output channels in registers.
// Lanes run along the channels, which are contiguous: one fetch brings eight input channels of a pixel, and a
// broadcast hands each of them to all output channels. The horizontal taps of a row share a window of 34 fetched
// pixels, which moves on by one from tap to tap. 64 sums are the most that still compile in well under a second; few
// nested loops, because each carried value is masked again at every level.

struct ConvolutionParams {
    batch: u32,
    height: u32,
    width: u32,
    in_channels: u32,
    out_channels: u32,
    splits: u32,
    rows_per_split: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> params: ConvolutionParams;
@group(0) @binding(1) var<storage, read_write> fine: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> coarse: array<f32>;

override KERNEL: u32 = 3u;
override STRIDE: u32 = 1u;
// 0: none, 1: bias, 2: bias, then leaky ReLU.
override EPILOGUE: u32 = 0u;
// Groups of eight output channels per subgroup: 1 where out_channels <= 8, else 2.
override VECTORS: u32 = 2u;
// Windows per row of taps: at stride 2, even and odd taps meet different fine pixels.
override WINDOWS: u32 = min(KERNEL, STRIDE);

const LEAKY_SLOPE: f32 = 0.2;
const PIXELS: u32 = 32u;
const TILES_IN_Y: u32 = 32768u;
const EIGHTS: vec4<u32> = vec4<u32>(0u, 8u, 16u, 24u);

// Eight pixels, or eight rows of the weight; the lanes hold their channels.
struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
}

// Eight pixels, up to sixteen output channels.
struct Sums {
    first: Eight,
    second: Eight,
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

// Zero for the pixels whose lane holds false.
fn keep(values: Eight, valid: bool) -> Eight {
    let mask = select(0u, 0xffffffffu, valid);
    let low = vec4<u32>(
        subgroupBroadcast(mask, 0u),
        subgroupBroadcast(mask, 1u),
        subgroupBroadcast(mask, 2u),
        subgroupBroadcast(mask, 3u),
    );
    let high = vec4<u32>(
        subgroupBroadcast(mask, 4u),
        subgroupBroadcast(mask, 5u),
        subgroupBroadcast(mask, 6u),
        subgroupBroadcast(mask, 7u),
    );
    return Eight(
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(values.low) & low),
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(values.high) & high),
    );
}

// Drops the first pixel and appends `next`.
fn advance(values: Eight, next: f32) -> Eight {
    return Eight(vec4<f32>(values.low.yzw, values.high.x), vec4<f32>(values.high.yzw, next));
}

// Eight consecutive rows, zero from `rows` on. `offset` is that of the first row.
fn load_weight(offset: u32, rows: u32) -> Eight {
    let last = KERNEL * KERNEL * params.in_channels * params.out_channels - 1u;
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let low = min(offset + steps * params.out_channels, vec4<u32>(last));
    let high = min(offset + (steps + 4u) * params.out_channels, vec4<u32>(last));
    let first_four = vec4<f32>(weight[low.x], weight[low.y], weight[low.z], weight[low.w]);
    let last_four = vec4<f32>(weight[high.x], weight[high.y], weight[high.z], weight[high.w]);
    return Eight(
        select(vec4<f32>(), first_four, steps < vec4<u32>(rows)),
        select(vec4<f32>(), last_four, steps + 4u < vec4<u32>(rows)),
    );
}

struct Pair {
    first: vec4<f32>,
    second: vec4<f32>,
}

// Adds the products of one input channel: the same broadcast serves both groups of output channels.
fn add(sum: Pair, values: vec4<f32>, first: f32, second: f32) -> Pair {
    if (VECTORS == 2u) {
        return Pair(sum.first + values * first, sum.second + values * second);
    }
    return Pair(sum.first + values * first, sum.second);
}

fn add_channels(sum: Pair, values: vec4<f32>, first: Eight, second: Eight) -> Pair {
    var result = sum;
    result = add(result, subgroupBroadcast(values, 0u), first.low.x, second.low.x);
    result = add(result, subgroupBroadcast(values, 1u), first.low.y, second.low.y);
    result = add(result, subgroupBroadcast(values, 2u), first.low.z, second.low.z);
    result = add(result, subgroupBroadcast(values, 3u), first.low.w, second.low.w);
    result = add(result, subgroupBroadcast(values, 4u), first.high.x, second.high.x);
    result = add(result, subgroupBroadcast(values, 5u), first.high.y, second.high.y);
    result = add(result, subgroupBroadcast(values, 6u), first.high.z, second.high.z);
    result = add(result, subgroupBroadcast(values, 7u), first.high.w, second.high.w);
    return result;
}

fn accumulate(sums: Sums, values: Eight, first: Eight, second: Eight) -> Sums {
    let low = add_channels(Pair(sums.first.low, sums.second.low), values.low, first, second);
    let high = add_channels(Pair(sums.first.high, sums.second.high), values.high, first, second);
    return Sums(Eight(low.first, high.first), Eight(low.second, high.second));
}

// The next four pixels come first, and those of `next` after them.
fn drop_four(sums: Sums, next: Sums) -> Sums {
    return Sums(Eight(sums.first.high, next.first.low), Eight(sums.second.high, next.second.low));
}

fn store_four(first_pixel: u32, channel: u32, sum: vec4<f32>) {
    var value = sum;
    if (EPILOGUE >= 1u) {
        value += bias[min(channel, params.out_channels - 1u)];
    }
    if (EPILOGUE == 2u) {
        value = select(LEAKY_SLOPE * value, value, value > vec4<f32>(0.0));
    }
    let pixels = params.batch * params.height * params.width;
    for (var i = 0u; i < 4u; i++) {
        if (first_pixel + i < pixels && channel < params.out_channels) {
            coarse[(first_pixel + i) * params.out_channels + channel] = value[i];
        }
    }
}

// The fine pixel under the middle of the kernel.
fn centre(pixel: vec4<i32>) -> vec4<i32> {
    if (STRIDE == 1u) {
        return pixel;
    }
    let line = vec4<i32>(vec4<u32>(pixel) / params.width);
    return i32(STRIDE) * (line * i32((STRIDE - 1u) * params.width) + pixel);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let first_pixel = (group.y + group.z * TILES_IN_Y) * PIXELS;
    let channel = group.x * 8u * VECTORS + lane;
    let first_column = min(channel, params.out_channels - 1u);
    let second_column = min(channel + 8u, params.out_channels - 1u);

    let reach = i32(KERNEL / 2u);
    let stride = i32(STRIDE);
    let size = vec2<i32>(i32(STRIDE * params.height), i32(STRIDE * params.width));
    let pixels = params.batch * params.height * params.width;
    let last_pixel = vec4<i32>(i32(pixels) - 1);
    let last_fine = vec4<i32>(i32(pixels * STRIDE * STRIDE) - 1);

    // Lane l of component j: pixel 8*j + l of the tile, and the fine row and column under its tap (0, 0).
    let pixel = EIGHTS + first_pixel + lane;
    let line = pixel / params.width;
    let row = vec4<i32>(STRIDE * (line % params.height)) - reach;
    let column = vec4<i32>(STRIDE * (pixel % params.width)) - reach;
    let exists = pixel < vec4<u32>(pixels);

    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    let chunks = (params.in_channels + 7u) / 8u;
    var first = 0u;
    var step = 0u;
    for (var chunk = 0u; chunk < KERNEL * WINDOWS * chunks; chunk++) {
        // Place h of the window holds the fine pixel under tap (ky, first_kx) of pixel first_pixel + h.
        let ky = i32(step / WINDOWS);
        let first_kx = i32(step % WINDOWS);
        let shift = (first_kx - reach - (stride - 1)) / stride;
        let place = vec4<i32>(pixel) + shift;
        let down = (ky - reach) * size.y + first_kx - reach - shift * stride;
        let source = clamp(centre(clamp(place, vec4<i32>(), last_pixel)) + down, vec4<i32>(), last_fine);
        let rest = clamp(centre(clamp(place + i32(PIXELS), vec4<i32>(), last_pixel)) + down, vec4<i32>(), last_fine);
        let offset = vec4<u32>(source) * params.in_channels;
        let rest_offset = u32(rest.x) * params.in_channels;
        let in_channel = min(first + lane, params.in_channels - 1u);
        var window0 = load_fine(offset.x, in_channel);
        var window1 = load_fine(offset.y, in_channel);
        var window2 = load_fine(offset.z, in_channel);
        var window3 = load_fine(offset.w, in_channel);
        var next = vec2<f32>(
            fine[subgroupBroadcast(rest_offset, 0u) + in_channel],
            fine[subgroupBroadcast(rest_offset, 1u) + in_channel],
        );

        let y = row + ky;
        let row_valid = exists & (y >= vec4<i32>()) & (y < vec4<i32>(size.x));
        for (var kx = first_kx; kx < i32(KERNEL); kx += stride) {
            let x = column + kx;
            let valid = row_valid & (x >= vec4<i32>()) & (x < vec4<i32>(size.y));
            let weight_row = (u32(ky) * KERNEL + u32(kx)) * params.in_channels + first;
            let rows = params.in_channels - first;
            let weight0 = load_weight(weight_row * params.out_channels + first_column, rows);
            var weight1 = Eight();
            if (VECTORS == 2u) {
                weight1 = load_weight(weight_row * params.out_channels + second_column, rows);
            }
            sums0 = accumulate(sums0, keep(window0, valid.x), weight0, weight1);
            sums1 = accumulate(sums1, keep(window1, valid.y), weight0, weight1);
            sums2 = accumulate(sums2, keep(window2, valid.z), weight0, weight1);
            sums3 = accumulate(sums3, keep(window3, valid.w), weight0, weight1);
            window0 = advance(window0, window1.low.x);
            window1 = advance(window1, window2.low.x);
            window2 = advance(window2, window3.low.x);
            window3 = advance(window3, next.x);
            next.x = next.y;
        }

        first += 8u;
        if (first >= params.in_channels) {
            first = 0u;
            step++;
        }
    }

    // A bound known only at run time keeps the compiler from unrolling this: a store takes it as long as a hundred
    // multiply-adds.
    for (var own = first_pixel; own < min(first_pixel + PIXELS, pixels); own += 4u) {
        store_four(own, channel, sums0.first.low);
        if (VECTORS == 2u) {
            store_four(own, channel + 8u, sums0.second.low);
        }
        sums0 = drop_four(sums0, sums1);
        sums1 = drop_four(sums1, sums2);
        sums2 = drop_four(sums2, sums3);
        sums3 = drop_four(sums3, Sums());
    }
}

// conv2d_input_gradient for adapters whose subgroups are exactly eight invocations wide (the software adapter
// lavapipe). The contract is that of conv2d_input_gradient.wgsl; it is the transposed convolution's forward, too:
//
//   fine[n, i, a] = epilogue(sum over k, b of coarse[n, o, b] * weight[k, a, b] + bias[a]),
//   where STRIDE*o + k - KERNEL/2 = i
//
// Reads     coarse [batch, height, width, out_channels], zero outside,
//           weight [KERNEL, KERNEL, in_channels, out_channels], bias [in_channels] (ignored when EPILOGUE = 0).
// Writes    fine [batch, STRIDE*height, STRIDE*width, in_channels], every element once.
// Dispatch  x = ceil(in_channels / (8*VECTORS)), pixel tiles = ceil(batch*height*width / 32),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768) * STRIDE*STRIDE.
// Longest loop  KERNEL*ceil(out_channels / 8).
//
// Why this shape: conv2d.subgroup8.wgsl says it; the two differ in the direction of the taps and in how the weight is
// read. At stride 2 the fine pixels fall into four phases by the parity of row and column, and each phase meets its
// own 1, 2, 2 or 4 taps of nine: a tile holds 32 coarse positions of one phase, so that no tap is tested in vain.

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
@group(0) @binding(1) var<storage, read_write> coarse: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> fine: array<f32>;

override KERNEL: u32 = 3u;
override STRIDE: u32 = 1u;
// 0: none, 1: bias, 2: bias, then leaky ReLU.
override EPILOGUE: u32 = 0u;
// Groups of eight input channels per subgroup: 1 where in_channels <= 8, else 2.
override VECTORS: u32 = 2u;

const LEAKY_SLOPE: f32 = 0.2;
const PIXELS: u32 = 32u;
const TILES_IN_Y: u32 = 32768u;
// A fine pixel beyond the batch.
const NOWHERE: u32 = 0xffffffffu;
const EIGHTS: vec4<u32> = vec4<u32>(0u, 8u, 16u, 24u);

// Eight pixels, or eight columns of the weight; the lanes hold their channels.
struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
}

// Eight pixels, up to sixteen input channels.
struct Sums {
    first: Eight,
    second: Eight,
}

// Eight pixels, at the offsets that the eight lanes hold.
fn load_coarse(offset: u32, channel: u32) -> Eight {
    return Eight(
        vec4<f32>(
            coarse[subgroupBroadcast(offset, 0u) + channel],
            coarse[subgroupBroadcast(offset, 1u) + channel],
            coarse[subgroupBroadcast(offset, 2u) + channel],
            coarse[subgroupBroadcast(offset, 3u) + channel],
        ),
        vec4<f32>(
            coarse[subgroupBroadcast(offset, 4u) + channel],
            coarse[subgroupBroadcast(offset, 5u) + channel],
            coarse[subgroupBroadcast(offset, 6u) + channel],
            coarse[subgroupBroadcast(offset, 7u) + channel],
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

// Eight consecutive columns, zero from `columns` on. `offset` is that of the first column.
fn load_weight(offset: u32, columns: u32) -> Eight {
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let low = offset + min(steps, vec4<u32>(columns - 1u));
    let high = offset + min(steps + 4u, vec4<u32>(columns - 1u));
    let first_four = vec4<f32>(weight[low.x], weight[low.y], weight[low.z], weight[low.w]);
    let last_four = vec4<f32>(weight[high.x], weight[high.y], weight[high.z], weight[high.w]);
    return Eight(
        select(vec4<f32>(), first_four, steps < vec4<u32>(columns)),
        select(vec4<f32>(), last_four, steps + 4u < vec4<u32>(columns)),
    );
}

struct Pair {
    first: vec4<f32>,
    second: vec4<f32>,
}

// Adds the products of one output channel: the same broadcast serves both groups of input channels.
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

// Lanes 0 to 3 of `pixel` hold the four fine pixels.
fn store_four(pixel: u32, channel: u32, sum: vec4<f32>) {
    var value = sum;
    if (EPILOGUE >= 1u) {
        value += bias[min(channel, params.in_channels - 1u)];
    }
    if (EPILOGUE == 2u) {
        value = select(LEAKY_SLOPE * value, value, value > vec4<f32>(0.0));
    }
    let pixels = vec4<u32>(
        subgroupBroadcast(pixel, 0u),
        subgroupBroadcast(pixel, 1u),
        subgroupBroadcast(pixel, 2u),
        subgroupBroadcast(pixel, 3u),
    );
    for (var i = 0u; i < 4u; i++) {
        if (pixels[i] != NOWHERE && channel < params.in_channels) {
            fine[pixels[i] * params.in_channels + channel] = value[i];
        }
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let phases = STRIDE * STRIDE;
    let phase = vec2<u32>((group.z % phases) / STRIDE, group.z % STRIDE);
    let first_pixel = (group.y + group.z / phases * TILES_IN_Y) * PIXELS;
    let channel = group.x * 8u * VECTORS + lane;
    let first_row = min(channel, params.in_channels - 1u);
    let second_row = min(channel + 8u, params.in_channels - 1u);

    // Rows and columns: taps first_tap, first_tap + STRIDE, …, last_tap reach this phase. The last one meets the coarse
    // position `nearest` away, each one before it a position further on.
    let first_tap = (phase + KERNEL / 2u) % STRIDE;
    let taps = (vec2<u32>(KERNEL + STRIDE - 1u) - first_tap) / STRIDE;
    let last_tap = first_tap + (taps - 1u) * STRIDE;
    let nearest = (vec2<i32>(phase + KERNEL / 2u) - vec2<i32>(last_tap)) / i32(STRIDE);

    let height = i32(params.height);
    let width = i32(params.width);
    let pixels = params.batch * params.height * params.width;
    let last_pixel = vec4<i32>(i32(pixels) - 1);

    // Lane l of component j: position 8*j + l of the tile.
    let pixel = EIGHTS + first_pixel + lane;
    let line = pixel / params.width;
    let row = vec4<i32>(line % params.height);
    let column = vec4<i32>(pixel - line * params.width);
    let exists = pixel < vec4<u32>(pixels);

    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    let chunks = (params.out_channels + 7u) / 8u;
    var first = 0u;
    var step_y = 0u;
    for (var chunk = 0u; chunk < taps.x * chunks; chunk++) {
        // Place h of the window holds the coarse position under the last horizontal tap of position first_pixel + h.
        let down = nearest.x + i32(step_y);
        let place = vec4<i32>(pixel) + nearest.y + down * width;
        let source = clamp(place, vec4<i32>(), last_pixel);
        let rest = clamp(place + i32(PIXELS), vec4<i32>(), last_pixel);
        let offset = vec4<u32>(source) * params.out_channels;
        let rest_offset = u32(rest.x) * params.out_channels;
        let out_channel = min(first + lane, params.out_channels - 1u);
        var window0 = load_coarse(offset.x, out_channel);
        var window1 = load_coarse(offset.y, out_channel);
        var window2 = load_coarse(offset.z, out_channel);
        var window3 = load_coarse(offset.w, out_channel);
        var next = vec2<f32>(
            coarse[subgroupBroadcast(rest_offset, 0u) + out_channel],
            coarse[subgroupBroadcast(rest_offset, 1u) + out_channel],
        );

        let y = row + down;
        let row_valid = exists & (y >= vec4<i32>()) & (y < vec4<i32>(height));
        for (var step_x = 0u; step_x < taps.y; step_x++) {
            let x = column + (nearest.y + i32(step_x));
            let valid = row_valid & (x >= vec4<i32>()) & (x < vec4<i32>(width));
            let tap = (last_tap.x - STRIDE * step_y) * KERNEL + last_tap.y - STRIDE * step_x;
            let weight_row = tap * params.in_channels;
            let columns = params.out_channels - first;
            let weight0 = load_weight((weight_row + first_row) * params.out_channels + first, columns);
            var weight1 = Eight();
            if (VECTORS == 2u) {
                weight1 = load_weight((weight_row + second_row) * params.out_channels + first, columns);
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
        if (first >= params.out_channels) {
            first = 0u;
            step_y++;
        }
    }

    let fine_row = STRIDE * line + phase.x;
    let fine_pixel = fine_row * STRIDE * params.width + STRIDE * vec4<u32>(column) + phase.y;
    var own = select(vec4<u32>(NOWHERE), fine_pixel, exists);
    // A bound known only at run time keeps the compiler from unrolling this: a store takes it as long as a hundred
    // multiply-adds.
    for (var done = first_pixel; done < min(first_pixel + PIXELS, pixels); done += 4u) {
        store_four(own.x, channel, sums0.first.low);
        if (VECTORS == 2u) {
            store_four(own.x, channel + 8u, sums0.second.low);
        }
        // The next four pixels are lanes 4 to 7, or lanes 0 to 3 of the next eight.
        let last_half = vec4<u32>(subgroupShuffleDown(own.x, 4u), own.yzw);
        own = select(last_half, own.yzww, done / 4u % 2u == 1u);
        sums0 = drop_four(sums0, sums1);
        sums1 = drop_four(sums1, sums2);
        sums2 = drop_four(sums2, sums3);
        sums3 = drop_four(sums3, Sums());
    }
}

// Shared by the lavapipe.direct forms of conv2d and conv2d_input_gradient: a tile of 32 pixels x 8*VECTORS channels of the
// result in registers, what is added to it, and its stores.

// Groups of eight channels of the result per subgroup: 1 where it has at most eight, else 2.
override VECTORS: u32 = 2u;

const PIXELS: u32 = 32u;
const EIGHTS: vec4<u32> = vec4<u32>(0u, 8u, 16u, 24u);
// A pixel beyond the batch.
const NOWHERE: u32 = 0xffffffffu;

// Eight pixels, up to sixteen channels.
struct Sums {
    first: Eight,
    second: Eight,
}

// Eight pixels, at the offsets that the eight lanes hold.
fn load_image(offset: u32, channel: u32) -> Eight {
    return Eight(
        vec4<f32>(
            image[subgroupBroadcast(offset, 0u) + channel],
            image[subgroupBroadcast(offset, 1u) + channel],
            image[subgroupBroadcast(offset, 2u) + channel],
            image[subgroupBroadcast(offset, 3u) + channel],
        ),
        vec4<f32>(
            image[subgroupBroadcast(offset, 4u) + channel],
            image[subgroupBroadcast(offset, 5u) + channel],
            image[subgroupBroadcast(offset, 6u) + channel],
            image[subgroupBroadcast(offset, 7u) + channel],
        ),
    );
}

// Drops the first pixel and appends `next`.
fn advance(values: Eight, next: f32) -> Eight {
    return Eight(vec4<f32>(values.low.yzw, values.high.x), vec4<f32>(values.high.yzw, next));
}

struct Pair {
    first: vec4<f32>,
    second: vec4<f32>,
}

// Adds the products of one channel: the same broadcast serves both groups of channels of the result.
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

// What the epilogue needs for four pixels of one channel, from those pixels of the third operand.
fn load_beside(pixels: vec4<u32>, channel: u32, channels: u32) -> vec4<f32> {
    let own = min(channel, channels - 1u);
    if (EPILOGUE >= LEAKY_MASK) {
        // The first pixel stands in for any beyond the batch.
        let at = select(pixels, vec4<u32>(), pixels == vec4<u32>(NOWHERE)) * channels + own;
        return vec4<f32>(beside[at.x], beside[at.y], beside[at.z], beside[at.w]);
    }
    if (EPILOGUE != NOTHING) {
        return vec4<f32>(beside[own]);
    }
    return vec4<f32>();
}

// Stores four pixels of the result, which has `channels`. What the epilogue needs for them is that of the pixels `others`
// of the third operand.
fn store_four(pixels: vec4<u32>, others: vec4<u32>, channel: u32, channels: u32, sum: vec4<f32>) {
    let values = finish(sum, load_beside(others, channel, channels));
    for (var i = 0u; i < 4u; i++) {
        if (pixels[i] != NOWHERE && channel < channels) {
            result[pixels[i] * channels + channel] = values[i];
        }
    }
}

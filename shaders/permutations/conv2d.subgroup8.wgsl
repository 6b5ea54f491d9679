// draft
struct Params {
    batch: u32,
    height: u32,
    width: u32,
    in_channels: u32,
    out_channels: u32,
    splits: u32,
    rows_per_split: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> fine: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> coarse: array<f32>;

override KERNEL: u32 = 3u;
override STRIDE: u32 = 1u;
// 0: none, 1: bias, 2: bias, then leaky ReLU.
override EPILOGUE: u32 = 0u;
// Vectors of eight output channels per subgroup: 1 or 2.
override VECTORS: u32 = 2u;

const LEAKY_SLOPE: f32 = 0.2;
const PIXELS: u32 = 32u;
const TILES_IN_Y: u32 = 32768u;

// Four neighbouring pixels, each eight channels wide: lanes 0 to 3 (or 4 to 7) of `offset` and `mask` name them.
fn load_low(offset: u32, mask: u32, channel: u32, kept: u32) -> vec4<f32> {
    let values = vec4<f32>(
        fine[subgroupBroadcast(offset, 0u) + channel],
        fine[subgroupBroadcast(offset, 1u) + channel],
        fine[subgroupBroadcast(offset, 2u) + channel],
        fine[subgroupBroadcast(offset, 3u) + channel],
    );
    let keep = vec4<u32>(subgroupBroadcast(mask, 0u), subgroupBroadcast(mask, 1u), subgroupBroadcast(mask, 2u), subgroupBroadcast(mask, 3u));
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(values) & keep & vec4<u32>(kept));
}

fn load_high(offset: u32, mask: u32, channel: u32, kept: u32) -> vec4<f32> {
    let values = vec4<f32>(
        fine[subgroupBroadcast(offset, 4u) + channel],
        fine[subgroupBroadcast(offset, 5u) + channel],
        fine[subgroupBroadcast(offset, 6u) + channel],
        fine[subgroupBroadcast(offset, 7u) + channel],
    );
    let keep = vec4<u32>(subgroupBroadcast(mask, 4u), subgroupBroadcast(mask, 5u), subgroupBroadcast(mask, 6u), subgroupBroadcast(mask, 7u));
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(values) & keep & vec4<u32>(kept));
}

// Rows first to first + 3 of the weight for one vector of output channels.
fn load_weights(tap: u32, first: u32, channel: u32) -> vec4<f32> {
    let last = params.in_channels - 1u;
    let row = tap * params.in_channels;
    return vec4<f32>(
        weight[(row + min(first, last)) * params.out_channels + channel],
        weight[(row + min(first + 1u, last)) * params.out_channels + channel],
        weight[(row + min(first + 2u, last)) * params.out_channels + channel],
        weight[(row + min(first + 3u, last)) * params.out_channels + channel],
    );
}

fn accumulate(sum: vec4<f32>, values: vec4<f32>, low: vec4<f32>, high: vec4<f32>) -> vec4<f32> {
    var result = sum;
    result += subgroupBroadcast(values, 0u) * low.x;
    result += subgroupBroadcast(values, 1u) * low.y;
    result += subgroupBroadcast(values, 2u) * low.z;
    result += subgroupBroadcast(values, 3u) * low.w;
    result += subgroupBroadcast(values, 4u) * high.x;
    result += subgroupBroadcast(values, 5u) * high.y;
    result += subgroupBroadcast(values, 6u) * high.z;
    result += subgroupBroadcast(values, 7u) * high.w;
    return result;
}

fn store(first_pixel: u32, channel: u32, sum: vec4<f32>) {
    var value = sum;
    if (EPILOGUE >= 1u) {
        value += bias[channel];
    }
    if (EPILOGUE == 2u) {
        value = select(LEAKY_SLOPE * value, value, value > vec4<f32>(0.0));
    }
    let pixels = params.batch * params.height * params.width;
    for (var i = 0u; i < 4u; i++) {
        if (first_pixel + i < pixels) {
            coarse[(first_pixel + i) * params.out_channels + channel] = value[i];
        }
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let first_pixel = (group.y + group.z * TILES_IN_Y) * PIXELS;
    let channel0 = group.x * 8u * VECTORS + lane;
    let channel1 = channel0 + 8u;
    let b0 = min(channel0, params.out_channels - 1u);
    let b1 = min(channel1, params.out_channels - 1u);

    let size = vec2<i32>(i32(STRIDE * params.height), i32(STRIDE * params.width));
    let pixel = vec4<u32>(0u, 8u, 16u, 24u) + first_pixel + lane;
    let line = pixel / params.width;
    let image = line / params.height;
    let row = vec4<i32>(STRIDE * (line - image * params.height)) - i32(KERNEL / 2u);
    let column = vec4<i32>(STRIDE * (pixel - line * params.width)) - i32(KERNEL / 2u);
    let origin = (vec4<i32>(image) * size.x + row) * size.y + column;
    let exists = pixel < vec4<u32>(params.batch * params.height * params.width);

    var a0 = vec4<f32>();
    var a1 = vec4<f32>();
    var a2 = vec4<f32>();
    var a3 = vec4<f32>();
    var a4 = vec4<f32>();
    var a5 = vec4<f32>();
    var a6 = vec4<f32>();
    var a7 = vec4<f32>();
    var c0 = vec4<f32>();
    var c1 = vec4<f32>();
    var c2 = vec4<f32>();
    var c3 = vec4<f32>();
    var c4 = vec4<f32>();
    var c5 = vec4<f32>();
    var c6 = vec4<f32>();
    var c7 = vec4<f32>();
    for (var tap = 0u; tap < KERNEL * KERNEL; tap++) {
        let ky = i32(tap / KERNEL);
        let kx = i32(tap % KERNEL);
        let y = row + ky;
        let x = column + kx;
        let valid = exists & (y >= vec4<i32>(0)) & (y < vec4<i32>(size.x)) & (x >= vec4<i32>(0)) & (x < vec4<i32>(size.y));
        let offset = select(vec4<u32>(), vec4<u32>(origin + (ky * size.y + kx)) * params.in_channels, valid);
        let mask = select(vec4<u32>(), vec4<u32>(0xffffffffu), valid);
        for (var first = 0u; first < params.in_channels; first += 8u) {
            let channel = min(first + lane, params.in_channels - 1u);
            let kept = select(0u, 0xffffffffu, first + lane < params.in_channels);
            let low0 = load_weights(tap, first, b0);
            let high0 = load_weights(tap, first + 4u, b0);
            var low1: vec4<f32>;
            var high1: vec4<f32>;
            if (VECTORS == 2u) {
                low1 = load_weights(tap, first, b1);
                high1 = load_weights(tap, first + 4u, b1);
            }
            let x0 = load_low(offset.x, mask.x, channel, kept);
            a0 = accumulate(a0, x0, low0, high0);
            if (VECTORS == 2u) { c0 = accumulate(c0, x0, low1, high1); }
            let x1 = load_high(offset.x, mask.x, channel, kept);
            a1 = accumulate(a1, x1, low0, high0);
            if (VECTORS == 2u) { c1 = accumulate(c1, x1, low1, high1); }
            let x2 = load_low(offset.y, mask.y, channel, kept);
            a2 = accumulate(a2, x2, low0, high0);
            if (VECTORS == 2u) { c2 = accumulate(c2, x2, low1, high1); }
            let x3 = load_high(offset.y, mask.y, channel, kept);
            a3 = accumulate(a3, x3, low0, high0);
            if (VECTORS == 2u) { c3 = accumulate(c3, x3, low1, high1); }
            let x4 = load_low(offset.z, mask.z, channel, kept);
            a4 = accumulate(a4, x4, low0, high0);
            if (VECTORS == 2u) { c4 = accumulate(c4, x4, low1, high1); }
            let x5 = load_high(offset.z, mask.z, channel, kept);
            a5 = accumulate(a5, x5, low0, high0);
            if (VECTORS == 2u) { c5 = accumulate(c5, x5, low1, high1); }
            let x6 = load_low(offset.w, mask.w, channel, kept);
            a6 = accumulate(a6, x6, low0, high0);
            if (VECTORS == 2u) { c6 = accumulate(c6, x6, low1, high1); }
            let x7 = load_high(offset.w, mask.w, channel, kept);
            a7 = accumulate(a7, x7, low0, high0);
            if (VECTORS == 2u) { c7 = accumulate(c7, x7, low1, high1); }
        }
    }

    if (channel0 < params.out_channels) {
        store(first_pixel, channel0, a0);
        store(first_pixel + 4u, channel0, a1);
        store(first_pixel + 8u, channel0, a2);
        store(first_pixel + 12u, channel0, a3);
        store(first_pixel + 16u, channel0, a4);
        store(first_pixel + 20u, channel0, a5);
        store(first_pixel + 24u, channel0, a6);
        store(first_pixel + 28u, channel0, a7);
    }
    if (VECTORS == 2u && channel1 < params.out_channels) {
        store(first_pixel, channel1, c0);
        store(first_pixel + 4u, channel1, c1);
        store(first_pixel + 8u, channel1, c2);
        store(first_pixel + 12u, channel1, c3);
        store(first_pixel + 16u, channel1, c4);
        store(first_pixel + 20u, channel1, c5);
        store(first_pixel + 24u, channel1, c6);
        store(first_pixel + 28u, channel1, c7);
    }
}

// conv2d_weight_gradient, forms gpu.vec4 and gpu.small_tiles: as shaders/conv2d_weight_gradient.wgsl, for GPUs, where both sides' channels are multiples of
// four.
//
// Reads     fine   [batch, STRIDE*height, STRIDE*width, fine_channels], zero outside,
//           coarse [batch, height, width, coarse_channels].
// Writes    partial [splits, KERNEL*KERNEL*fine_channels + BIAS, coarse_channels], every element once, the rows and pieces of
//           the portable form. The order of every sum is fixed.
// Dispatch  x = ceil(coarse_channels / CHANNELS), y = ceil(KERNEL*KERNEL*fine_channels / 64), z = splits.
// Longest loop  rows_per_split*width, rounded up to 16; rows_per_split is to keep this below 32,768.
// needs: convolution
//
// 8 x 8 invocations compute 64 entries (of taps and fine channels) x 64 coarse channels (gpu.vec4) or 32 (gpu.small_tiles), each 8 x 8 or 8 x 4
// of them. As in
// gpu/shared/convolution_vec4.wgsl, what the next 16 pixels add is fetched, without branches, before the present ones are
// computed; the places of the pixels after those are found at the same time, once for all.

@group(0) @binding(1) var<storage, read_write> fine: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> coarse: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;

// Whether the bias's gradient is wanted too.
override BIAS: u32 = 0u;

// Coarse channels of a tile, 64 or 32, and entries; invocation (x, y) holds the entries 4y … 4y + 3 and 32 + 4y … and the
// channels 4x … and, of 64, 32 + 4x ….
override CHANNELS: u32 = 64u;
const TILE: u32 = 64u;
const QUADS: u32 = 16u;
const INVOCATIONS: u32 = 64u;
// Pixels in workgroup memory at a time.
const DEPTH: u32 = 16u;

var<workgroup> fine_tile: array<vec4<f32>, 256>;
var<workgroup> coarse_tile: array<vec4<f32>, 256>;
// Of the next sixteen pixels, under tap (0, 0): row, column, and index in vec4.
var<workgroup> origins: array<vec3<i32>, 16>;

struct Four {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// One row of sums per entry.
alias Sums = Four;

// What an invocation fetches: its entry's tap, far outside if there is none, and how far the entry is from the origin, in vec4;
// its coarse channel; and where the pixels end.
struct Own {
    tap: vec2<i32>,
    offset: i32,
    channel: u32,
    end: u32,
}

// Where the pixels of a workgroup's piece end.
fn end_of(group: vec3<u32>) -> u32 {
    return min((group.z + 1u) * params.rows_per_split, params.batch * params.height) * params.width;
}

fn own_of(index: u32, group: vec3<u32>) -> Own {
    let entry = group.y * TILE + index % QUADS * 4u;
    let flat_tap = entry / params.fine_channels;
    let tap = vec2<i32>(vec2<u32>(flat_tap / KERNEL, flat_tap % KERNEL));
    let pixels = tap.x * i32(STRIDE * params.width) + tap.y;
    let offset = pixels * i32(params.fine_channels / 4u) + i32(entry % params.fine_channels / 4u);
    let inside = flat_tap < KERNEL * KERNEL;
    let channel = group.x * CHANNELS + index % (CHANNELS / 4u) * 4u;
    return Own(select(vec2<i32>(-65536), tap, inside), offset, channel, end_of(group));
}

fn find_origin(own: Own, pixel: u32, index: u32) {
    let row = pixel / params.width;
    let position = vec2<i32>(STRIDE * vec2<u32>(row % params.height, pixel % params.width)) - i32(KERNEL / 2u);
    let first_row = i32(STRIDE * (row / params.height * params.height));
    let flat = (first_row + position.x) * i32(STRIDE * params.width) + position.y;
    let inside = vec3<i32>(position, flat * i32(params.fine_channels / 4u));
    origins[index] = select(vec3<i32>(-65536), inside, pixel < own.end);
}

const OUTSIDE: i32 = -1;

// What an entry meets at the line-th origin, as an index of the fine side; OUTSIDE if that is zero.
fn fine_index(own: Own, line: u32) -> i32 {
    let origin = origins[line];
    let position = origin.xy + own.tap;
    let size = vec2<i32>(vec2<u32>(STRIDE * params.height, STRIDE * params.width));
    let inside = all(position >= vec2<i32>()) && all(position < size);
    return select(OUTSIDE, origin.z + own.offset, inside);
}

fn coarse_index(own: Own, pixel: u32) -> i32 {
    let inside = pixel < own.end && own.channel < params.coarse_channels;
    return select(OUTSIDE, i32((pixel * params.coarse_channels + own.channel) / 4u), inside);
}

// What an invocation fetches of four pixels.
struct Fetched {
    values: Four,
    inside: vec4<bool>,
}

// Sixteen neighbours fetch 64 consecutive entries of one pixel.
fn fetch_fine(own: Own, line: u32) -> Fetched {
    let indices = vec4<i32>(
        fine_index(own, line),
        fine_index(own, line + 4u),
        fine_index(own, line + 8u),
        fine_index(own, line + 12u),
    );
    let at = max(indices, vec4<i32>());
    return Fetched(Four(fine[at.x], fine[at.y], fine[at.z], fine[at.w]), indices != vec4<i32>(OUTSIDE));
}

// And its channels, eight neighbours 32 of them: of those, half as many fetches bring sixteen pixels.
fn fetch_coarse(own: Own, first: u32, index: u32) -> Fetched {
    let apart = INVOCATIONS / (CHANNELS / 4u);
    let pixel = first + index / (CHANNELS / 4u);
    var indices = vec4<i32>(coarse_index(own, pixel), coarse_index(own, pixel + apart), OUTSIDE, OUTSIDE);
    if (CHANNELS == 64u) {
        indices.z = coarse_index(own, pixel + 2u * apart);
        indices.w = coarse_index(own, pixel + 3u * apart);
    }
    let at = max(indices, vec4<i32>());
    return Fetched(Four(coarse[at.x], coarse[at.y], coarse[at.z], coarse[at.w]), indices != vec4<i32>(OUTSIDE));
}

// Only now does something wait for what was fetched. Returns the sum of what an invocation keeps of the coarse side.
fn keep(fine_side: Fetched, coarse_side: Fetched, index: u32) -> vec4<f32> {
    let zero = vec4<f32>();
    fine_tile[index] = select(zero, fine_side.values.a, fine_side.inside.x);
    fine_tile[index + 64u] = select(zero, fine_side.values.b, fine_side.inside.y);
    fine_tile[index + 128u] = select(zero, fine_side.values.c, fine_side.inside.z);
    fine_tile[index + 192u] = select(zero, fine_side.values.d, fine_side.inside.w);
    let a = select(zero, coarse_side.values.a, coarse_side.inside.x);
    let b = select(zero, coarse_side.values.b, coarse_side.inside.y);
    coarse_tile[index] = a;
    coarse_tile[index + 64u] = b;
    if (CHANNELS == 32u) {
        return a + b;
    }
    let c = select(zero, coarse_side.values.c, coarse_side.inside.z);
    let d = select(zero, coarse_side.values.d, coarse_side.inside.w);
    coarse_tile[index + 128u] = c;
    coarse_tile[index + 192u] = d;
    return (a + b) + (c + d);
}

fn add(sums: Sums, entries: vec4<f32>, channels: vec4<f32>) -> Sums {
    return Sums(
        sums.a + entries.x * channels,
        sums.b + entries.y * channels,
        sums.c + entries.z * channels,
        sums.d + entries.w * channels,
    );
}

fn store(split: u32, entry: u32, channel: u32, sums: Sums) {
    let entries = KERNEL * KERNEL * params.fine_channels;
    if (entry >= entries || channel >= params.coarse_channels) {
        return;
    }
    let row = params.coarse_channels / 4u;
    let to = (split * (entries + BIAS) + entry) * row + channel / 4u;
    partial[to] = sums.a;
    partial[to + row] = sums.b;
    partial[to + 2u * row] = sums.c;
    partial[to + 3u * row] = sums.d;
}

// Adds what the invocations fetched of four channels, and stores it.
fn store_bias(own: Own, split: u32, index: u32, bias: vec4<f32>) {
    let quads = CHANNELS / 4u;
    coarse_tile[index] = bias;
    workgroupBarrier();
    if (index >= quads || own.channel >= params.coarse_channels) {
        return;
    }
    var sum = bias;
    for (var at = index + quads; at < INVOCATIONS; at += quads) {
        sum += coarse_tile[at];
    }
    let entries = KERNEL * KERNEL * params.fine_channels;
    partial[((split * (entries + 1u) + entries) * params.coarse_channels + own.channel) / 4u] = sum;
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let own = own_of(index, group);
    let begin = group.z * params.rows_per_split * params.width;
    let line = index / QUADS;
    if (index < DEPTH) {
        find_origin(own, begin + index, index);
    }
    workgroupBarrier();
    var next_fine = fetch_fine(own, line);
    var next_coarse = fetch_coarse(own, begin, index);
    workgroupBarrier();

    var low_low = Sums();
    var low_high = Sums();
    var high_low = Sums();
    var high_high = Sums();
    // Of the channels that this invocation fetches.
    var bias = vec4<f32>();
    // Not own.end: browsers must see that all invocations meet the same barriers, and a struct is the same for all only as a whole.
    let end = end_of(group);
    for (var pixel = begin; pixel < end; pixel += DEPTH) {
        bias += keep(next_fine, next_coarse, index);
        if (index < DEPTH) {
            find_origin(own, pixel + DEPTH + index, index);
        }
        workgroupBarrier();
        next_fine = fetch_fine(own, line);
        next_coarse = fetch_coarse(own, pixel + DEPTH, index);
        for (var i = 0u; i < DEPTH; i++) {
            let entries_low = fine_tile[i * QUADS + local.y];
            let entries_high = fine_tile[i * QUADS + local.y + 8u];
            let channels_low = coarse_tile[i * (CHANNELS / 4u) + local.x];
            low_low = add(low_low, entries_low, channels_low);
            high_low = add(high_low, entries_high, channels_low);
            if (CHANNELS == 64u) {
                let channels_high = coarse_tile[i * (CHANNELS / 4u) + local.x + 8u];
                low_high = add(low_high, entries_low, channels_high);
                high_high = add(high_high, entries_high, channels_high);
            }
        }
        workgroupBarrier();
    }

    let own_entry = group.y * TILE + 4u * local.y;
    let own_channel = group.x * CHANNELS + 4u * local.x;
    store(group.z, own_entry, own_channel, low_low);
    store(group.z, own_entry + 32u, own_channel, high_low);
    if (CHANNELS == 64u) {
        store(group.z, own_entry, own_channel + 32u, low_high);
        store(group.z, own_entry + 32u, own_channel + 32u, high_high);
    }
    // One tile's fetches are enough for all of its column.
    if (BIAS == 1u && group.y == 0u) {
        store_bias(own, group.z, index, bias);
    }
}

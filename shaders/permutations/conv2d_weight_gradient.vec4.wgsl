// conv2d_weight_gradient, vec4 form: as shaders/conv2d_weight_gradient.wgsl, for GPUs, where both sides' channels are multiples of
// four.
//
// Reads     fine   [batch, STRIDE*height, STRIDE*width, in_channels], zero outside,
//           coarse [batch, height, width, out_channels].
// Writes    partial [splits, KERNEL, KERNEL, in_channels, out_channels], every element once, in the pieces of the
//           portable form. The order of every sum is fixed.
// Dispatch  x = ceil(out_channels / 64), y = ceil(KERNEL*KERNEL*in_channels / 64), z = splits.
// Longest loop  rows_per_split*width, rounded up to 16; rows_per_split is to keep this below 32,768.
//
// 8 x 8 invocations compute 64 entries (of taps and fine channels) x 64 coarse channels, each 8 x 8 of them. As in
// convolution_vec4.wgsl, what the next 16 pixels add is fetched before the present ones are computed; the places of the
// pixels after those are found at the same time, once for all.

@group(0) @binding(1) var<storage, read_write> fine: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> coarse: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;

// Entries, and coarse channels, of a tile; invocation (x, y) holds the entries 4y … 4y + 3 and 32 + 4y … and the channels
// 4x … and 32 + 4x ….
const TILE: u32 = 64u;
const QUADS: u32 = 16u;
// Pixels in workgroup memory at a time.
const DEPTH: u32 = 16u;

var<workgroup> fine_tile: array<vec4<f32>, 256>;
var<workgroup> coarse_tile: array<vec4<f32>, 256>;
// Of the next sixteen pixels, under tap (0, 0): row over the whole batch of the image's first row, row, and column.
var<workgroup> origins: array<vec3<i32>, 16>;

// One row of sums per entry.
struct Sums {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

struct Four {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// What an invocation adds up: its entry's tap and fine channel, and its coarse channel.
struct Own {
    tap: vec2<i32>,
    entry_inside: bool,
    fine_channel: u32,
    channel: u32,
}

fn find_origin(pixel: u32, end: u32, index: u32) {
    let row = pixel / params.width;
    let image = row / params.height;
    let inside = vec3<i32>(vec3<u32>(image * params.height, row % params.height, pixel % params.width)) * i32(STRIDE);
    origins[index] = select(vec3<i32>(0, -65536, -65536), inside - vec3<i32>(0, 1, 1) * i32(KERNEL / 2u), pixel < end);
}

fn load_fine(own: Own, at: u32) -> vec4<f32> {
    let origin = origins[at];
    let position = origin.yz + own.tap;
    let size = vec2<i32>(vec2<u32>(STRIDE * params.height, STRIDE * params.width));
    if (!own.entry_inside || any(position < vec2<i32>()) || any(position >= size)) {
        return vec4<f32>();
    }
    let pixel = u32((origin.x + position.x) * size.y + position.y);
    return fine[(pixel * params.in_channels + own.fine_channel) / 4u];
}

fn load_coarse(own: Own, pixel: u32, end: u32) -> vec4<f32> {
    if (pixel >= end || own.channel >= params.out_channels) {
        return vec4<f32>();
    }
    return coarse[(pixel * params.out_channels + own.channel) / 4u];
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
    let entries = KERNEL * KERNEL * params.in_channels;
    if (entry >= entries || channel >= params.out_channels) {
        return;
    }
    let row = params.out_channels / 4u;
    let to = (split * entries + entry) * row + channel / 4u;
    partial[to] = sums.a;
    partial[to + row] = sums.b;
    partial[to + 2u * row] = sums.c;
    partial[to + 3u * row] = sums.d;
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let begin = group.z * params.rows_per_split * params.width;
    let end = min((group.z + 1u) * params.rows_per_split, params.batch * params.height) * params.width;

    // Sixteen neighbours fetch 64 consecutive entries and channels of one pixel.
    let entry = group.y * TILE + index % QUADS * 4u;
    let tap = entry / params.in_channels;
    let own = Own(
        vec2<i32>(vec2<u32>(tap / KERNEL, tap % KERNEL)),
        tap < KERNEL * KERNEL,
        entry % params.in_channels,
        group.x * TILE + index % QUADS * 4u,
    );
    let line = index / QUADS;

    if (index < DEPTH) {
        find_origin(begin + index, end, index);
    }
    workgroupBarrier();
    var next_fine = Four(load_fine(own, line), load_fine(own, line + 4u), load_fine(own, line + 8u), load_fine(own, line + 12u));
    var next_coarse = Four(
        load_coarse(own, begin + line, end),
        load_coarse(own, begin + line + 4u, end),
        load_coarse(own, begin + line + 8u, end),
        load_coarse(own, begin + line + 12u, end),
    );
    workgroupBarrier();

    var low_low = Sums();
    var low_high = Sums();
    var high_low = Sums();
    var high_high = Sums();
    for (var first_pixel = begin; first_pixel < end; first_pixel += DEPTH) {
        fine_tile[index] = next_fine.a;
        fine_tile[index + 64u] = next_fine.b;
        fine_tile[index + 128u] = next_fine.c;
        fine_tile[index + 192u] = next_fine.d;
        coarse_tile[index] = next_coarse.a;
        coarse_tile[index + 64u] = next_coarse.b;
        coarse_tile[index + 128u] = next_coarse.c;
        coarse_tile[index + 192u] = next_coarse.d;
        let next_pixel = first_pixel + DEPTH;
        if (index < DEPTH) {
            find_origin(next_pixel + index, end, index);
        }
        workgroupBarrier();
        next_fine = Four(
            load_fine(own, line),
            load_fine(own, line + 4u),
            load_fine(own, line + 8u),
            load_fine(own, line + 12u),
        );
        next_coarse = Four(
            load_coarse(own, next_pixel + line, end),
            load_coarse(own, next_pixel + line + 4u, end),
            load_coarse(own, next_pixel + line + 8u, end),
            load_coarse(own, next_pixel + line + 12u, end),
        );
        for (var i = 0u; i < DEPTH; i++) {
            let entries_low = fine_tile[i * QUADS + local.y];
            let entries_high = fine_tile[i * QUADS + local.y + 8u];
            let channels_low = coarse_tile[i * QUADS + local.x];
            let channels_high = coarse_tile[i * QUADS + local.x + 8u];
            low_low = add(low_low, entries_low, channels_low);
            low_high = add(low_high, entries_low, channels_high);
            high_low = add(high_low, entries_high, channels_low);
            high_high = add(high_high, entries_high, channels_high);
        }
        workgroupBarrier();
    }

    let own_entry = group.y * TILE + 4u * local.y;
    let own_channel = group.x * TILE + 4u * local.x;
    store(group.z, own_entry, own_channel, low_low);
    store(group.z, own_entry, own_channel + 32u, low_high);
    store(group.z, own_entry + 32u, own_channel, high_low);
    store(group.z, own_entry + 32u, own_channel + 32u, high_high);
}

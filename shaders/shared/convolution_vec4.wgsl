// Shared by the vec4 forms of conv2d and conv2d_input_gradient: the bindings of convolution_image.wgsl, four channels at a time;
// the tile, its product in registers, and its stores. The kernels have `Origin`, `origin_of`, `load_image`, `load_weight`
// and `weight_place` of their own, and say how `weights` reads the weight's tile.
//
// 8 x 16 invocations compute 128 pixels x 64 channels, each 8 x 8 of them: a step of the sum costs an invocation 16 values of
// workgroup memory for 64 multiply-adds, half of what the portable forms' 4 x 4 need. What the next 16 steps work on is
// fetched into registers before the present ones are computed, which hides the way to memory.

@group(0) @binding(1) var<storage, read_write> image: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> beside: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> result: array<vec4<f32>>;

// Invocation (x, y) holds the tile's pixels y, y + 16, … and its channels 4x … 4x + 3 and 32 + 4x … 32 + 4x + 3.
const PIXELS: u32 = 128u;
const CHANNELS: u32 = 64u;
// Steps of the sum that are in workgroup memory at a time, and the same in vec4.
const DEPTH: u32 = 16u;
const QUADS: u32 = 4u;
// From one pixel of the tile to the next: one vec4 of padding, so that neighbouring pixels lie in different banks.
const PITCH: u32 = 5u;

// The image under the tile, DEPTH channels of every pixel, and the weight.
var<workgroup> image_tile: array<vec4<f32>, 640>;
var<workgroup> weight_tile: array<vec4<f32>, 320>;

// Four pixels.
struct Four {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// Eight pixels.
struct Sums {
    first: Four,
    last: Four,
}

// What a tile is of: its first pixel and channel, and the parity of its rows and columns at stride 2.
struct Area {
    pixel: u32,
    channel: u32,
    phase: vec2<u32>,
}

// Where the sum is: the first of sixteen steps; and an invocation's own tap, counted among those of the area, and channel.
struct Place {
    step: u32,
    tap: u32,
    channel: u32,
}

struct Origins {
    a: Origin,
    b: Origin,
    c: Origin,
    d: Origin,
}

// What an invocation fetches for sixteen steps.
struct Fetched {
    image: Four,
    weight_low: vec4<f32>,
    weight_high: vec4<f32>,
}

// Four neighbours fetch sixteen consecutive channels of one pixel.
fn fetch(area: Area, place: Place, origins: Origins, index: u32) -> Fetched {
    return Fetched(
        Four(
            load_image(area, place, origins.a),
            load_image(area, place, origins.b),
            load_image(area, place, origins.c),
            load_image(area, place, origins.d),
        ),
        load_weight(area, place, index, 0u),
        load_weight(area, place, index, 1u),
    );
}

fn keep(fetched: Fetched, index: u32) {
    let at = index / QUADS * PITCH + index % QUADS;
    image_tile[at] = fetched.image.a;
    image_tile[at + 32u * PITCH] = fetched.image.b;
    image_tile[at + 64u * PITCH] = fetched.image.c;
    image_tile[at + 96u * PITCH] = fetched.image.d;
    weight_tile[weight_place(index, 0u)] = fetched.weight_low;
    weight_tile[weight_place(index, 1u)] = fetched.weight_high;
}

// Pixels row, row + 16, row + 32, row + 48 of the tile, at four steps of the sum.
fn four_pixels(row: u32, quad: u32) -> Four {
    let at = row * PITCH + quad;
    return Four(
        image_tile[at],
        image_tile[at + 16u * PITCH],
        image_tile[at + 32u * PITCH],
        image_tile[at + 48u * PITCH],
    );
}

// Adds four steps of the sum: column i of `weights` is what step i adds to the four channels.
fn add(sums: Sums, first: Four, last: Four, weights: mat4x4<f32>) -> Sums {
    return Sums(
        Four(
            sums.first.a + weights * first.a,
            sums.first.b + weights * first.b,
            sums.first.c + weights * first.c,
            sums.first.d + weights * first.d,
        ),
        Four(
            sums.last.a + weights * last.a,
            sums.last.b + weights * last.b,
            sums.last.c + weights * last.c,
            sums.last.d + weights * last.d,
        ),
    );
}

// Computes the tile of an area, whose sums have `taps` taps of `channels` channels, and stores it.
fn compute(area: Area, taps: u32, channels: u32, local: vec2<u32>) {
    let index = local.y * 8u + local.x;
    let own = area.pixel + index / QUADS;
    let origins = Origins(origin_of(own), origin_of(own + 32u), origin_of(own + 64u), origin_of(own + 96u));
    let own_channel = index % QUADS * 4u;
    var place = Place(0u, own_channel / channels, own_channel % channels);
    var next = fetch(area, place, origins, index);
    var low = Sums();
    var high = Sums();
    while (place.step < taps * channels) {
        keep(next, index);
        workgroupBarrier();
        place.step += DEPTH;
        place.channel += DEPTH;
        while (place.channel >= channels) {
            place.channel -= channels;
            place.tap += 1u;
        }
        next = fetch(area, place, origins, index);
        for (var quad = 0u; quad < QUADS; quad++) {
            let first = four_pixels(local.y, quad);
            let last = four_pixels(local.y + 64u, quad);
            low = add(low, first, last, weights(quad, local.x));
            high = add(high, first, last, weights(quad, local.x + 8u));
        }
        workgroupBarrier();
    }
    store(area, area.pixel + local.y, area.channel + 4u * local.x, low);
    store(area, area.pixel + local.y, area.channel + 4u * local.x + 32u, high);
}

fn store(area: Area, pixel: u32, channel: u32, sums: Sums) {
    store_four(area, pixel, channel, sums.first);
    store_four(area, pixel + 64u, channel, sums.last);
}

fn store_four(area: Area, pixel: u32, channel: u32, sums: Four) {
    store_pixel(area, pixel, channel, sums.a);
    store_pixel(area, pixel + 16u, channel, sums.b);
    store_pixel(area, pixel + 32u, channel, sums.c);
    store_pixel(area, pixel + 48u, channel, sums.d);
}

// Stores four neighbouring channels of a pixel of the result, which has `channels`. What the epilogue needs for them is
// that of pixel `other` of the third operand.
fn store_channels(pixel: u32, other: u32, first_channel: u32, channels: u32, sums: vec4<f32>) {
    if (first_channel >= channels) {
        return;
    }
    var others = vec4<f32>();
    if (EPILOGUE >= 3u) {
        others = beside[(other * channels + first_channel) / 4u];
    } else if (EPILOGUE != 0u) {
        others = beside[first_channel / 4u];
    }
    result[(pixel * channels + first_channel) / 4u] = finish(sums, others);
}

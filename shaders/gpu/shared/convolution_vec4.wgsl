// Shared by the forms gpu.vec4 and gpu.small_tiles of conv2d and conv2d_input_gradient: the bindings of convolution_image.wgsl, four channels at a
// time; the tile, its product in registers, and its stores. The kernels say in functions of their own what a tap is and how the
// weight is fetched and kept.
//
// 8 x 16 invocations compute 128 pixels x 64 channels (gpu.vec4) or 32 (gpu.small_tiles), each 8 x 8 or 8 x 4 of them. At 8 x 8 a step of
// the sum costs an invocation 16 values of workgroup memory for 64 multiply-adds, half of what the portable forms' 4 x 4
// need. What the next 16 steps work on is fetched into registers before the present ones are computed, which hides the way
// to memory. A fetch has no branch, and nothing looks at what it brings before it is kept, for either would wait for it: a
// place outside reads another value, which is dropped then. All that depends on the pixel is found before the sum: its
// index, and one bit for each row and column of taps that are inside the image.

@group(0) @binding(1) var<storage, read_write> image: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> beside: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> result: array<vec4<f32>>;

// Channels of the tile, 64 or 32. Invocation (x, y) holds the tile's pixels y, y + 16, … and its channels 4x … 4x + 3 and, of 64,
// 32 + 4x … 32 + 4x + 3.
override CHANNELS: u32 = 64u;
const PIXELS: u32 = 128u;
// Steps of the sum that are in workgroup memory at a time, and the same in vec4.
const DEPTH: u32 = 16u;
const QUADS: u32 = 4u;
// From one pixel of the tile to the next: one vec4 of padding, so that neighbouring pixels lie in different banks.
const PITCH: u32 = 5u;

// The image under the tile, DEPTH channels of every pixel, and the weight, of which 32 channels fill half.
var<workgroup> image_tile: array<vec4<f32>, 640>;
var<workgroup> weight_tile: array<vec4<f32>, 320>;

// What a tile is of: its first pixel and channel, the parity of its rows and columns at stride 2, and the taps that reach it.
struct Area {
    pixel: u32,
    channel: u32,
    phase: vec2<u32>,
    taps: vec2<u32>,
}

// Where the sum is for an invocation: its own tap, counted among those of the area, and channel. The first of the sixteen steps stands
// beside it, for it is the same for all invocations, and browsers must see that they meet the same barriers.
struct Place {
    tap: vec2<u32>,
    channel: u32,
}

// A pixel as the sum needs it: its index under tap (0, 0), in vec4; bit t of rows and columns says whether row or column t of
// the taps is inside the image.
struct Origin {
    first: i32,
    rows: u32,
    columns: u32,
}

const OUTSIDE: i32 = -1;

// What an invocation fetches for sixteen steps: four pixels of the image, two places of the weight, and which of them are
// inside.
struct Fetched {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
    low: vec4<f32>,
    high: vec4<f32>,
    image_inside: vec4<bool>,
    weight_inside: vec2<bool>,
}

// The sums of a pixel.
struct Sums {
    low: vec4<f32>,
    high: vec4<f32>,
}

// Image, row and column of a pixel of the coarse side; the image is beyond the batch if the pixel is.
fn coarse_position(pixel: u32) -> vec3<u32> {
    let row = pixel / params.width;
    return vec3<u32>(row / params.height, row % params.height, pixel % params.width);
}

fn origin_of(area: Area, pixel: u32, channels: u32) -> Origin {
    let position = coarse_position(pixel);
    let size = vec2<i32>(image_size());
    let first = first_place(area, position.yz);
    var inside = vec2<u32>();
    for (var tap = 0u; tap < KERNEL; tap++) {
        let at = first + tap_step() * i32(tap);
        inside |= select(vec2<u32>(), vec2<u32>(1u << tap), (at >= vec2<i32>()) & (at < size));
    }
    // Taps that the area has not are outside too, and so is all of a pixel beyond the batch.
    inside &= (vec2<u32>(1u) << area.taps) - 1u;
    inside = select(vec2<u32>(), inside, position.x < params.batch);
    let flat = (i32(position.x) * size.x + first.x) * size.y + first.y;
    return Origin(flat * i32(channels / 4u), inside.x, inside.y);
}

// What a pixel meets, as an index of the image; OUTSIDE if that is zero.
fn image_index(place: Place, origin: Origin, offset: i32) -> i32 {
    let inside = (origin.rows >> place.tap.x) & (origin.columns >> place.tap.y) & 1u;
    return select(OUTSIDE, origin.first + offset, inside == 1u);
}

// Pixels of the tile from one of an invocation's four to the next, when it fetches.
const FETCHED_APART: u32 = 32u;

// Four neighbours fetch sixteen consecutive channels of one pixel.
fn fetch(
    area: Area,
    step: u32,
    place: Place,
    a: Origin,
    b: Origin,
    c: Origin,
    d: Origin,
    index: u32,
    channels: u32,
) -> Fetched {
    let rows = tap_step() * i32(image_size().y);
    let pixels = rows * i32(place.tap.x) + tap_step() * i32(place.tap.y);
    let offset = pixels * i32(channels / 4u) + i32(place.channel / 4u);
    let images = vec4<i32>(
        image_index(place, a, offset),
        image_index(place, b, offset),
        image_index(place, c, offset),
        image_index(place, d, offset),
    );
    var weights = vec2<i32>(weight_index(area, step, place, index, 0u), OUTSIDE);
    if (CHANNELS == 64u) {
        weights.y = weight_index(area, step, place, index, 1u);
    }
    let image_at = max(images, vec4<i32>());
    let weight_at = max(weights, vec2<i32>());
    return Fetched(
        image[image_at.x],
        image[image_at.y],
        image[image_at.z],
        image[image_at.w],
        weight[weight_at.x],
        weight[weight_at.y],
        images != vec4<i32>(OUTSIDE),
        weights != vec2<i32>(OUTSIDE),
    );
}

fn keep(fetched: Fetched, index: u32) {
    let at = index / QUADS * PITCH + index % QUADS;
    let zero = vec4<f32>();
    let pixels = fetched.image_inside;
    image_tile[at] = select(zero, fetched.a, pixels.x);
    image_tile[at + FETCHED_APART * PITCH] = select(zero, fetched.b, pixels.y);
    image_tile[at + 2u * FETCHED_APART * PITCH] = select(zero, fetched.c, pixels.z);
    image_tile[at + 3u * FETCHED_APART * PITCH] = select(zero, fetched.d, pixels.w);
    weight_tile[weight_place(index, 0u)] = select(zero, fetched.low, fetched.weight_inside.x);
    if (CHANNELS == 64u) {
        weight_tile[weight_place(index, 1u)] = select(zero, fetched.high, fetched.weight_inside.y);
    }
}

// The place sixteen steps on.
fn advance(area: Area, place: Place, channels: u32) -> Place {
    var next = Place(place.tap, place.channel + DEPTH);
    while (next.channel >= channels) {
        next.channel -= channels;
        next.tap.y += 1u;
        if (next.tap.y == area.taps.y) {
            next.tap = vec2<u32>(next.tap.x + 1u, 0u);
        }
    }
    return next;
}

// Sum by sum, so that every product is added in the same instruction.
fn add_steps(sums: vec4<f32>, weights: mat4x4<f32>, values: vec4<f32>) -> vec4<f32> {
    var result = sums + weights[0] * values.x;
    result += weights[1] * values.y;
    result += weights[2] * values.z;
    result += weights[3] * values.w;
    return result;
}

// Adds four steps of a pixel; column i of the weights is what step i adds to four channels.
fn add(sums: Sums, pixel: u32, quad: u32, low: mat4x4<f32>, high: mat4x4<f32>) -> Sums {
    let values = image_tile[pixel * PITCH + quad];
    let low_sums = add_steps(sums.low, low, values);
    if (CHANNELS == 32u) {
        return Sums(low_sums, sums.high);
    }
    return Sums(low_sums, add_steps(sums.high, high, values));
}

// Computes the tile of an area, whose sums have `channels` channels for each tap, and stores it.
fn compute(area: Area, channels: u32, local: vec2<u32>) {
    let index = local.y * 8u + local.x;
    let own = area.pixel + index / QUADS;
    let a = origin_of(area, own, channels);
    let b = origin_of(area, own + FETCHED_APART, channels);
    let c = origin_of(area, own + 2u * FETCHED_APART, channels);
    let d = origin_of(area, own + 3u * FETCHED_APART, channels);
    // Few channels: the first sixteen steps may lie in several taps.
    let tap = index % QUADS * 4u / channels;
    var place = Place(vec2<u32>(tap / area.taps.y, tap % area.taps.y), index % QUADS * 4u % channels);
    var next = fetch(area, 0u, place, a, b, c, d, index, channels);
    // Not an array: some drivers keep one in memory, even where every index is known.
    var sums_a = Sums();
    var sums_b = Sums();
    var sums_c = Sums();
    var sums_d = Sums();
    var sums_e = Sums();
    var sums_f = Sums();
    var sums_g = Sums();
    var sums_h = Sums();
    for (var step = 0u; step < area.taps.x * area.taps.y * channels; step += DEPTH) {
        keep(next, index);
        workgroupBarrier();
        place = advance(area, place, channels);
        next = fetch(area, step + DEPTH, place, a, b, c, d, index, channels);
        for (var quad = 0u; quad < QUADS; quad++) {
            let low = weights(quad, local.x);
            var high = mat4x4<f32>();
            if (CHANNELS == 64u) {
                high = weights(quad, local.x + 8u);
            }
            sums_a = add(sums_a, local.y, quad, low, high);
            sums_b = add(sums_b, local.y + 16u, quad, low, high);
            sums_c = add(sums_c, local.y + 32u, quad, low, high);
            sums_d = add(sums_d, local.y + 48u, quad, low, high);
            sums_e = add(sums_e, local.y + 64u, quad, low, high);
            sums_f = add(sums_f, local.y + 80u, quad, low, high);
            sums_g = add(sums_g, local.y + 96u, quad, low, high);
            sums_h = add(sums_h, local.y + 112u, quad, low, high);
        }
        workgroupBarrier();
    }
    let pixel = area.pixel + local.y;
    let channel = area.channel + 4u * local.x;
    store(area, pixel, channel, sums_a);
    store(area, pixel + 16u, channel, sums_b);
    store(area, pixel + 32u, channel, sums_c);
    store(area, pixel + 48u, channel, sums_d);
    store(area, pixel + 64u, channel, sums_e);
    store(area, pixel + 80u, channel, sums_f);
    store(area, pixel + 96u, channel, sums_g);
    store(area, pixel + 112u, channel, sums_h);
}

// Stores a pixel's sums, unless it is beyond the batch.
fn store(area: Area, pixel: u32, channel: u32, sums: Sums) {
    let position = coarse_position(pixel);
    if (position.x < params.batch) {
        store_channels(area, position, channel, sums.low);
        if (CHANNELS == 64u) {
            store_channels(area, position, channel + 32u, sums.high);
        }
    }
}

// Stores four neighbouring channels of pixel `own` of the result, which has `channels`. What the epilogue needs for them is that
// of pixel `other` of the third operand.
fn store_four(own: u32, other: u32, channel: u32, channels: u32, sums: vec4<f32>) {
    if (channel >= channels) {
        return;
    }
    var others = vec4<f32>();
    if (EPILOGUE >= LEAKY_MASK) {
        others = beside[(other * channels + channel) / 4u];
    } else if (EPILOGUE != NOTHING) {
        others = beside[channel / 4u];
    }
    result[(own * channels + channel) / 4u] = finish(sums, others);
}

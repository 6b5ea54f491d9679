// Shared by the forms gpu.few_outputs of conv2d and conv2d_input_gradient, for results of at most sixteen channels.
//
// Tiles that share what they fetch leave most of their channels idle here, and where there are few pixels most of a GPU. So
// sixteen invocations compute one pixel together: of all taps and vec4 of channels, in this order, each adds what every sixteenth
// gives, and the sixteen partial sums are added in order through workgroup memory. Neighbours fetch neighbouring channels.

@group(0) @binding(1) var<storage, read_write> image: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> beside: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

// Channels of the result in vec4, rounded up: 1 to 4.
override VECTORS: u32 = 4u;

const PIXELS: u32 = 4u;
const LANES: u32 = 16u;

var<workgroup> parts: array<vec4<f32>, 256>;

// The sums of up to sixteen channels.
struct Sums {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// The image at a place, zero outside, which is where the pixel is.
fn load_image(pixel: u32, channels: u32, quad: u32, inside: bool) -> vec4<f32> {
    return select(vec4<f32>(), image[select(0u, pixel * (channels / 4u) + quad, inside)], inside);
}

// The pixel that a workgroup's row of invocations computes.
fn own_pixel(group: vec3<u32>, row: u32) -> u32 {
    return (group.y + group.z * TILES_IN_Y) * PIXELS + row;
}

// Ends `pixel` of `pixels`, whose result has `channels`; `other` is the pixel of the third operand that belongs to it.
fn finish_pixel(sums: Sums, local: vec2<u32>, pixel: u32, other: u32, pixels: u32, channels: u32) {
    let first = (local.y * LANES + local.x) * VECTORS;
    parts[first] = sums.a;
    if (VECTORS > 1u) {
        parts[first + 1u] = sums.b;
    }
    if (VECTORS > 2u) {
        parts[first + 2u] = sums.c;
    }
    if (VECTORS > 3u) {
        parts[first + 3u] = sums.d;
    }
    workgroupBarrier();
    let channel = local.x;
    if (channel >= channels || pixel >= pixels) {
        return;
    }
    var sum = 0.0;
    for (var lane = 0u; lane < LANES; lane++) {
        sum += parts[(local.y * LANES + lane) * VECTORS + channel / 4u][channel % 4u];
    }
    var own = 0.0;
    if (EPILOGUE >= LEAKY_MASK) {
        own = beside[other * channels + channel];
    } else if (EPILOGUE != NOTHING) {
        own = beside[channel];
    }
    result[pixel * channels + channel] = finish(vec4<f32>(sum), vec4<f32>(own)).x;
}

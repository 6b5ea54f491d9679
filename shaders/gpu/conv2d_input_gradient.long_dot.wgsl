// conv2d_input_gradient, form gpu.long_dot: as shaders/conv2d_input_gradient.wgsl, for GPUs, for dense layers whose sums are long:
// KERNEL = 1, STRIDE = 1, coarse channels a multiple of four.
//
//   fine[n, i, a] = epilogue(sum over b of coarse[n, i, b] * weight[a, b] + bias[a])
//
// Reads     image: coarse [batch, height, width, coarse_channels], weight [1, 1, fine_channels, coarse_channels],
//           beside: bias [fine_channels], or an activation like fine (EPILOGUE = LEAKY_MASK), or nothing (EPILOGUE = NOTHING).
// Writes    result: fine [batch, height, width, fine_channels], every element once.
// Dispatch  x = ceil(fine_channels / 32), pixel tiles = ceil(batch*height*width / 32),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768).
// Longest loop  coarse_channels / 8, rounded up to 4.
// needs: convolution, epilogue
//
// A batch of rows and a layer of a thousand columns are few tiles, and each is a sum of thousands: one tile per unit of the
// GPU, one step after the other. So four groups of 8 x 8 invocations share a tile of 32 pixels x 32 channels, 4 x 4 results
// each, and each group adds every fourth eight steps of the sum; their parts are added in order at the end. Fetches are
// as in gpu/shared/convolution_vec4.wgsl.

@group(0) @binding(1) var<storage, read_write> image: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> beside: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

// Pixels, and channels, of a tile.
const TILE: u32 = 32u;
const GROUPS: u32 = 4u;
// Steps of a group at a time, in vec4, and from one row of its tiles to the next: padded, as there.
const QUADS: u32 = 2u;
const PITCH: u32 = 3u;
// Of one group's tile.
const GROUP_SIZE: u32 = TILE * PITCH;

var<workgroup> image_tile: array<vec4<f32>, 384>;
var<workgroup> weight_tile: array<vec4<f32>, 384>;

// Results of four channels, eight apart, for each of four pixels, eight apart.
struct Sums {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

fn add(sums: vec4<f32>, pixel: vec4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
    return sums + vec4<f32>(dot(pixel, a), dot(pixel, b), dot(pixel, c), dot(pixel, d));
}

fn multiply(sums: Sums, pixel: u32, channel: u32) -> Sums {
    let a = weight_tile[channel];
    let b = weight_tile[channel + 8u * PITCH];
    let c = weight_tile[channel + 16u * PITCH];
    let d = weight_tile[channel + 24u * PITCH];
    return Sums(
        add(sums.a, image_tile[pixel], a, b, c, d),
        add(sums.b, image_tile[pixel + 8u * PITCH], a, b, c, d),
        add(sums.c, image_tile[pixel + 16u * PITCH], a, b, c, d),
        add(sums.d, image_tile[pixel + 24u * PITCH], a, b, c, d),
    );
}

// What an invocation fetches: four steps of a pixel and of a channel.
struct Fetched {
    image: vec4<f32>,
    weight: vec4<f32>,
    inside: vec2<bool>,
}

fn fetch(pixel: u32, channel: u32, quad: u32) -> Fetched {
    let quads = params.coarse_channels / 4u;
    let pixels = params.batch * params.height * params.width;
    let inside = vec2<bool>(pixel < pixels, channel < params.fine_channels) & vec2<bool>(quad < quads);
    let at = select(vec2<u32>(), vec2<u32>(pixel, channel) * quads + quad, inside);
    return Fetched(image[at.x], weight[at.y], inside);
}

fn store_channel(pixel: u32, channel: u32, sum: f32) {
    if (pixel >= params.batch * params.height * params.width || channel >= params.fine_channels) {
        return;
    }
    let at = pixel * params.fine_channels + channel;
    var other = 0.0;
    if (EPILOGUE == LEAKY_MASK) {
        other = beside[at];
    } else if (EPILOGUE != NOTHING) {
        other = beside[channel];
    }
    result[at] = finish(vec4<f32>(sum), vec4<f32>(other)).x;
}

fn store(pixel: u32, channel: u32, sums: vec4<f32>) {
    store_channel(pixel, channel, sums.x);
    store_channel(pixel, channel + 8u, sums.y);
    store_channel(pixel, channel + 16u, sums.z);
    store_channel(pixel, channel + 24u, sums.w);
}

// Adds the sums of the other groups, one after the other; those of the first group are whole then.
fn add_groups(own: Sums, local: vec3<u32>, index: u32) -> Sums {
    var sums = own;
    for (var group = 1u; group < GROUPS; group++) {
        workgroupBarrier();
        if (local.z == group) {
            image_tile[4u * index] = own.a;
            image_tile[4u * index + 1u] = own.b;
            image_tile[4u * index + 2u] = own.c;
            image_tile[4u * index + 3u] = own.d;
        }
        workgroupBarrier();
        sums.a += image_tile[4u * index];
        sums.b += image_tile[4u * index + 1u];
        sums.c += image_tile[4u * index + 2u];
        sums.d += image_tile[4u * index + 3u];
    }
    return sums;
}

@compute @workgroup_size(8, 8, 4)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let first_pixel = (group.y + group.z * TILES_IN_Y) * TILE;
    let first_channel = group.x * TILE;
    // Two neighbours fetch eight consecutive steps of one pixel and of one channel.
    let index = 8u * local.y + local.x;
    let row = index / QUADS;
    let own_quad = QUADS * local.z + index % QUADS;
    let first = local.z * GROUP_SIZE;
    var next = fetch(first_pixel + row, first_channel + row, own_quad);
    var sums = Sums();
    for (var quad = 0u; quad < params.coarse_channels / 4u; quad += QUADS * GROUPS) {
        let at = first + row * PITCH + index % QUADS;
        image_tile[at] = select(vec4<f32>(), next.image, next.inside.x);
        weight_tile[at] = select(vec4<f32>(), next.weight, next.inside.y);
        workgroupBarrier();
        next = fetch(first_pixel + row, first_channel + row, quad + QUADS * GROUPS + own_quad);
        sums = multiply(sums, first + local.y * PITCH, first + local.x * PITCH);
        sums = multiply(sums, first + local.y * PITCH + 1u, first + local.x * PITCH + 1u);
        workgroupBarrier();
    }
    sums = add_groups(sums, local, index);
    if (local.z == 0u) {
        let pixel = first_pixel + local.y;
        let channel = first_channel + local.x;
        store(pixel, channel, sums.a);
        store(pixel + 8u, channel, sums.b);
        store(pixel + 16u, channel, sums.c);
        store(pixel + 24u, channel, sums.d);
    }
}

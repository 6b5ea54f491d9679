// conv2d_input_gradient: the adjoint of conv2d in its input; at the same time the transposed convolution's forward.
//
//   fine[n, i, a] = epilogue(sum over k, b of coarse[n, o, b] * weight[k, a, b] + bias[a]),
//   where STRIDE*o + k - KERNEL/2 = i
//
// Reads     image: coarse [batch, height, width, coarse_channels], zero outside,
//           weight [KERNEL, KERNEL, fine_channels, coarse_channels],
//           beside: bias [fine_channels], or an activation like fine (EPILOGUE = LEAKY_MASK), or border biases
//           [batch, 3*STRIDE, 3*STRIDE, fine_channels] (EPILOGUE = BORDER_BIAS_LEAKY), or nothing (EPILOGUE = NOTHING).
// Writes    result: fine [batch, STRIDE*height, STRIDE*width, fine_channels], every element once.
// Dispatch  x = ceil(fine_channels / 32), pixel tiles = ceil(batch*height*width / 32),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768) * STRIDE*STRIDE.
// Longest loop  KERNEL*KERNEL*coarse_channels, rounded up to 16.
// needs: convolution, epilogue, convolution_image, convolution_tile
//
// The portable form: the matrix product of conv2d.wgsl with the roles of the channels swapped. At stride 2 the fine
// pixels fall into four phases by the parity of row and column, and each phase meets its own 1, 2, 2 or 4 taps of
// nine. A tile holds 32 coarse positions of one phase, so that no invocation ever tests a tap that cannot contribute.

// One vec4 of padding per step: the sixteen invocations that write one quad hit different banks.
const PITCH: u32 = 9u;

// Per position of the tile: its image, row and column on the coarse side.
var<workgroup> position: array<vec3<i32>, 32>;
var<workgroup> coarse_tile: array<vec4<f32>, 144>;
var<workgroup> weight_tile: array<vec4<f32>, 144>;

fn load_coarse(pixel: u32, offset: vec2<i32>, channel: u32) -> f32 {
    let size = vec2<i32>(i32(params.height), i32(params.width));
    let origin = position[pixel];
    let at = origin.yz + offset;
    // A position beyond the batch lies so far out that this refuses it too.
    if (any(at < vec2<i32>(0)) || any(at >= size)) {
        return 0.0;
    }
    return image[u32((origin.x * size.x + at.x) * size.y + at.y) * params.coarse_channels + channel];
}

fn load_weight(tap: u32, in_channel: u32, out_channel: u32) -> f32 {
    if (in_channel >= params.fine_channels) {
        return 0.0;
    }
    return weight[(tap * params.fine_channels + in_channel) * params.coarse_channels + out_channel];
}

// The pixel of the border biases that stands for the one of this phase at a coarse position.
fn border_place(image: u32, position: vec2<u32>, phase: vec2<u32>) -> u32 {
    let last = vec2<u32>(params.height, params.width) - 1u;
    let place = select(vec2<u32>(1u), vec2<u32>(2u), position == last);
    let class_of = select(place, vec2<u32>(), position == vec2<u32>()) * STRIDE + phase;
    return (image * 3u * STRIDE + class_of.x) * 3u * STRIDE + class_of.y;
}

fn store(pixel: u32, phase: vec2<u32>, first_channel: u32, sum: vec4<f32>) {
    let at = position[pixel];
    if (at.y < 0) {
        return;
    }
    let row = STRIDE * u32(at.y) + phase.x;
    let column = STRIDE * u32(at.z) + phase.y;
    let target_pixel = (u32(at.x) * STRIDE * params.height + row) * STRIDE * params.width + column;
    var other = target_pixel;
    if (EPILOGUE == BORDER_BIAS_LEAKY) {
        other = border_place(u32(at.x), vec2<u32>(at.yz), phase);
    }
    store_channels(target_pixel, other, first_channel, params.fine_channels, sum);
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let phases = STRIDE * STRIDE;
    let phase = vec2<u32>((group.z % phases) / STRIDE, group.z % STRIDE);
    let first_pixel = (group.y + group.z / phases * TILES_IN_Y) * TILE;
    let first_channel = group.x * TILE;

    // Taps first_tap, first_tap + STRIDE, … of each direction reach this phase.
    let first_tap = (phase + KERNEL / 2u) % STRIDE;
    let taps = (vec2<u32>(KERNEL + STRIDE - 1u) - first_tap) / STRIDE;
    let steps = taps.x * taps.y * params.coarse_channels;

    if (index < TILE) {
        let pixel = first_pixel + index;
        let column = pixel % params.width;
        let row = (pixel / params.width) % params.height;
        let image = pixel / (params.width * params.height);
        let inside = vec3<i32>(i32(image), i32(row), i32(column));
        position[index] = select(vec3<i32>(0, -65536, -65536), inside, image < params.batch);
    }
    workgroupBarrier();

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var first_step = 0u; first_step < steps; first_step += DEPTH) {
        // Sixteen neighbours fetch consecutive channels of one position, or one row of the weight; each packs four.
        let step = first_step + index % DEPTH;
        let meeting = step / params.coarse_channels;
        let channel = step % params.coarse_channels;
        let tap = first_tap + STRIDE * vec2<u32>(meeting / taps.y, meeting % taps.y);
        // Exact: STRIDE divides it by the choice of first_tap.
        let offset = (vec2<i32>(phase + KERNEL / 2u) - vec2<i32>(tap)) / i32(STRIDE);
        for (var quad = index / DEPTH; quad < QUADS; quad += 4u) {
            var values = vec4<f32>();
            var weights = vec4<f32>();
            if (step < steps) {
                values = vec4<f32>(
                    load_coarse(4u * quad, offset, channel),
                    load_coarse(4u * quad + 1u, offset, channel),
                    load_coarse(4u * quad + 2u, offset, channel),
                    load_coarse(4u * quad + 3u, offset, channel),
                );
                let flat_tap = tap.x * KERNEL + tap.y;
                let in_channel = first_channel + 4u * quad;
                weights = vec4<f32>(
                    load_weight(flat_tap, in_channel, channel),
                    load_weight(flat_tap, in_channel + 1u, channel),
                    load_weight(flat_tap, in_channel + 2u, channel),
                    load_weight(flat_tap, in_channel + 3u, channel),
                );
            }
            coarse_tile[(index % DEPTH) * PITCH + quad] = values;
            weight_tile[(index % DEPTH) * PITCH + quad] = weights;
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            let pixels = coarse_tile[i * PITCH + local.y];
            let weights = weight_tile[i * PITCH + local.x];
            sum0 += pixels.x * weights;
            sum1 += pixels.y * weights;
            sum2 += pixels.z * weights;
            sum3 += pixels.w * weights;
        }
        workgroupBarrier();
    }

    let pixel = 4u * local.y;
    let channel = first_channel + 4u * local.x;
    store(pixel, phase, channel, sum0);
    store(pixel + 1u, phase, channel, sum1);
    store(pixel + 2u, phase, channel, sum2);
    store(pixel + 3u, phase, channel, sum3);
}

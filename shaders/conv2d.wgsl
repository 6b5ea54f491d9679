// conv2d: the forward convolution, and (KERNEL = 1, height 1, width = rows) the dense layer.
//
//   coarse[n, o, b] = epilogue(sum over k, a of fine[n, STRIDE*o + k - KERNEL/2, a] * weight[k, a, b] + bias[b])
//
// Reads     image: fine [batch, STRIDE*height, STRIDE*width, fine_channels], zero outside,
//           weight [KERNEL, KERNEL, fine_channels, coarse_channels],
//           beside: bias [coarse_channels], or an activation like coarse (EPILOGUE = LEAKY_MASK), or nothing (EPILOGUE = NOTHING).
// Writes    result: coarse [batch, height, width, coarse_channels], every element once.
// Dispatch  x = ceil(coarse_channels / 32), pixel tiles = ceil(batch*height*width / 32),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768).
// Longest loop  KERNEL*KERNEL*fine_channels, rounded up to 16.
// needs: convolution, epilogue, convolution_image, convolution_tile
//
// The portable form: an implicit matrix product [pixels of the whole batch] x [taps and channels] x [coarse_channels]. 8
// x 8 invocations hold 4 x 4 results each as vec4 registers, a 32 x 32 tile, and share 16 steps of the sum at a time
// in workgroup memory, so that each number fetched from storage is used 32 times. 32 x 32 keeps small layers busy:
// larger tiles reuse more but leave most of a GPU idle at 4 x 4 pixels.

// One vec4 of padding per step: the sixteen invocations that write one quad of pixels hit different banks.
const PIXEL_PITCH: u32 = 9u;

// Per pixel of the tile: its image, and the row and column of the fine side under tap (0, 0).
var<workgroup> pixel_origin: array<vec3<i32>, 32>;
var<workgroup> fine_tile: array<vec4<f32>, 144>;
var<workgroup> weight_tile: array<vec4<f32>, 128>;

fn load_fine(pixel: u32, tap: vec2<i32>, channel: u32) -> f32 {
    let size = vec2<i32>(i32(STRIDE * params.height), i32(STRIDE * params.width));
    let origin = pixel_origin[pixel];
    let position = origin.yz + tap;
    // A pixel beyond the batch has an origin so far out that this refuses it too.
    if (any(position < vec2<i32>(0)) || any(position >= size)) {
        return 0.0;
    }
    return image[u32((origin.x * size.x + position.x) * size.y + position.y) * params.fine_channels + channel];
}

fn load_weight(step: u32, channel: u32) -> f32 {
    if (step >= KERNEL * KERNEL * params.fine_channels || channel >= params.coarse_channels) {
        return 0.0;
    }
    return weight[step * params.coarse_channels + channel];
}

fn store(pixel: u32, first_channel: u32, sum: vec4<f32>) {
    if (pixel >= params.batch * params.height * params.width) {
        return;
    }
    store_channels(pixel, pixel, first_channel, params.coarse_channels, sum);
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let first_pixel = (group.y + group.z * TILES_IN_Y) * TILE;
    let first_channel = group.x * TILE;
    let steps = KERNEL * KERNEL * params.fine_channels;

    if (index < TILE) {
        let pixel = first_pixel + index;
        let column = pixel % params.width;
        let row = (pixel / params.width) % params.height;
        let image = pixel / (params.width * params.height);
        let reach = i32(KERNEL / 2u);
        let inside = vec3<i32>(i32(image), i32(STRIDE * row) - reach, i32(STRIDE * column) - reach);
        pixel_origin[index] = select(vec3<i32>(0, -65536, -65536), inside, image < params.batch);
    }
    workgroupBarrier();

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var first_step = 0u; first_step < steps; first_step += DEPTH) {
        // Sixteen neighbours fetch consecutive channels of one pixel; each packs four pixels.
        let step = first_step + index % DEPTH;
        let tap = step / params.fine_channels;
        let offset = vec2<i32>(i32(tap / KERNEL), i32(tap % KERNEL));
        let channel = step % params.fine_channels;
        for (var quad = index / DEPTH; quad < QUADS; quad += 4u) {
            var values = vec4<f32>();
            if (step < steps) {
                values = vec4<f32>(
                    load_fine(4u * quad, offset, channel),
                    load_fine(4u * quad + 1u, offset, channel),
                    load_fine(4u * quad + 2u, offset, channel),
                    load_fine(4u * quad + 3u, offset, channel),
                );
            }
            fine_tile[(index % DEPTH) * PIXEL_PITCH + quad] = values;
        }
        // Eight neighbours fetch the 32 consecutive channels of one step.
        let column = first_channel + 4u * (index % QUADS);
        for (var row = index / QUADS; row < DEPTH; row += 8u) {
            weight_tile[row * QUADS + index % QUADS] = vec4<f32>(
                load_weight(first_step + row, column),
                load_weight(first_step + row, column + 1u),
                load_weight(first_step + row, column + 2u),
                load_weight(first_step + row, column + 3u),
            );
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            let pixels = fine_tile[i * PIXEL_PITCH + local.y];
            let weights = weight_tile[i * QUADS + local.x];
            sum0 += pixels.x * weights;
            sum1 += pixels.y * weights;
            sum2 += pixels.z * weights;
            sum3 += pixels.w * weights;
        }
        workgroupBarrier();
    }

    let pixel = first_pixel + 4u * local.y;
    let channel = first_channel + 4u * local.x;
    store(pixel, channel, sum0);
    store(pixel + 1u, channel, sum1);
    store(pixel + 2u, channel, sum2);
    store(pixel + 3u, channel, sum3);
}

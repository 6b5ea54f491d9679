// conv2d_weight_gradient: the gradient of a convolution's weight, in partial sums over pieces of the batch.
//
//   partial[i, k, a, b] = sum over the coarse positions (n, o) of piece i of
//                         fine[n, STRIDE*o + k - KERNEL/2, a] * coarse[n, o, b]
//
// Reads     fine   [batch, STRIDE*height, STRIDE*width, fine_channels], zero outside,
//           coarse [batch, height, width, coarse_channels].
// Writes    partial [splits, KERNEL*KERNEL*fine_channels + BIAS, coarse_channels], every element once. BIAS = 1 adds a row with
//           the sums of coarse: the gradient of the bias, or its part. Piece i holds the
//           coarse rows n*height + y from i*rows_per_split to (i+1)*rows_per_split, the last as many as are left;
//           another kernel adds the pieces. The order of every sum is fixed.
// Dispatch  x = ceil(coarse_channels / 32), y = ceil(KERNEL*KERNEL*fine_channels / 32), z = splits.
// Longest loop  rows_per_split*width, rounded up to 16; rows_per_split keeps this below 32,768.
// needs: convolution
//
// The portable form: the matrix product [taps and fine_channels] x [pixels of the piece] x [coarse_channels], tiled like
// conv2d.wgsl. The pieces are what gives a GPU enough tiles: a 3x3x64x128 weight alone has only 72.

@group(0) @binding(1) var<storage, read_write> fine: array<f32>;
@group(0) @binding(2) var<storage, read_write> coarse: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

// Whether the bias's gradient is wanted too.
override BIAS: u32 = 0u;

const TILE: u32 = 32u;
const QUADS: u32 = 8u;
const DEPTH: u32 = 16u;

var<workgroup> fine_tile: array<vec4<f32>, 128>;
var<workgroup> coarse_tile: array<vec4<f32>, 128>;

// Position of tap (0, 0) on the fine side: row (over the whole batch) of its image's first row, row, column.
struct Origin {
    image_row: i32,
    row: i32,
    column: i32,
}

fn load_fine(origin: Origin, entry: u32) -> f32 {
    let tap = entry / params.fine_channels;
    let row = origin.row + i32(tap / KERNEL);
    let column = origin.column + i32(tap % KERNEL);
    let size = vec2<i32>(i32(STRIDE * params.height), i32(STRIDE * params.width));
    if (tap >= KERNEL * KERNEL || row < 0 || row >= size.x || column < 0 || column >= size.y) {
        return 0.0;
    }
    return fine[u32((origin.image_row + row) * size.y + column) * params.fine_channels + entry % params.fine_channels];
}

fn load_coarse(pixel: u32, channel: u32) -> f32 {
    if (channel >= params.coarse_channels) {
        return 0.0;
    }
    return coarse[pixel * params.coarse_channels + channel];
}

fn store(split: u32, entry: u32, first_channel: u32, sum: vec4<f32>) {
    let entries = KERNEL * KERNEL * params.fine_channels;
    if (entry < entries) {
        store_row(split * (entries + BIAS) + entry, first_channel, sum);
    }
}

fn store_row(row: u32, first_channel: u32, sum: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        let channel = first_channel + i;
        if (channel < params.coarse_channels) {
            partial[row * params.coarse_channels + channel] = sum[i];
        }
    }
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let first_channel = group.x * TILE;
    let first_entry = group.y * TILE;
    let split = group.z;
    let begin = split * params.rows_per_split * params.width;
    let end = min((split + 1u) * params.rows_per_split, params.batch * params.height) * params.width;

    let quad = index % QUADS;
    let entry = first_entry + 4u * quad;
    let channel = first_channel + 4u * quad;
    let reach = i32(KERNEL / 2u);

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    // Of the channels that this invocation fetches.
    var bias = vec4<f32>();
    for (var first_pixel = begin; first_pixel < end; first_pixel += DEPTH) {
        // Eight neighbours fetch 32 consecutive entries and channels of one pixel.
        for (var i = index / QUADS; i < DEPTH; i += 8u) {
            let pixel = first_pixel + i;
            var entries = vec4<f32>();
            var channels = vec4<f32>();
            if (pixel < end) {
                let row = pixel / params.width;
                let image = row / params.height;
                let origin = Origin(
                    i32(STRIDE * image * params.height),
                    i32(STRIDE * (row % params.height)) - reach,
                    i32(STRIDE * (pixel % params.width)) - reach,
                );
                entries = vec4<f32>(
                    load_fine(origin, entry),
                    load_fine(origin, entry + 1u),
                    load_fine(origin, entry + 2u),
                    load_fine(origin, entry + 3u),
                );
                channels = vec4<f32>(
                    load_coarse(pixel, channel),
                    load_coarse(pixel, channel + 1u),
                    load_coarse(pixel, channel + 2u),
                    load_coarse(pixel, channel + 3u),
                );
            }
            fine_tile[i * QUADS + quad] = entries;
            coarse_tile[i * QUADS + quad] = channels;
            bias += channels;
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            let entries = fine_tile[i * QUADS + local.y];
            let channels = coarse_tile[i * QUADS + local.x];
            sum0 += entries.x * channels;
            sum1 += entries.y * channels;
            sum2 += entries.z * channels;
            sum3 += entries.w * channels;
        }
        workgroupBarrier();
    }

    let own_entry = first_entry + 4u * local.y;
    let own_channel = first_channel + 4u * local.x;
    store(split, own_entry, own_channel, sum0);
    store(split, own_entry + 1u, own_channel, sum1);
    store(split, own_entry + 2u, own_channel, sum2);
    store(split, own_entry + 3u, own_channel, sum3);
    // One tile's fetches are enough for all of its column.
    if (BIAS == 1u && group.y == 0u) {
        coarse_tile[index] = bias;
        workgroupBarrier();
        if (index < QUADS) {
            for (var line = 1u; line < 8u; line++) {
                bias += coarse_tile[line * QUADS + index];
            }
            let entries = KERNEL * KERNEL * params.fine_channels;
            store_row(split * (entries + 1u) + entries, channel, bias);
        }
    }
}

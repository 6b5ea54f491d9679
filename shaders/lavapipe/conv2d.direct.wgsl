// conv2d, form lavapipe.direct: as shaders/conv2d.wgsl:
//
//   coarse[n, o, b] = epilogue(sum over k, a of fine[n, STRIDE*o + k - KERNEL/2, a] * weight[k, a, b] + bias[b])
//
// It asks for subgroups of exactly eight invocations.
//
// Reads     image: fine [batch, STRIDE*height, STRIDE*width, fine_channels], zero outside,
//           weight [KERNEL, KERNEL, fine_channels, coarse_channels],
//           beside: bias [coarse_channels], or an activation like coarse (EPILOGUE = LEAKY_MASK), or nothing (EPILOGUE = NOTHING).
// Writes    result: coarse [batch, height, width, coarse_channels], every element once.
// Dispatch  x = ceil(coarse_channels / (8*VECTORS)), pixel tiles = ceil(batch*height*width / 32),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768).
// Longest loop  KERNEL*WINDOWS*ceil(fine_channels / 8), WINDOWS being 1 or, at stride 2, KERNEL.
// needs: convolution, epilogue, convolution_image, lavapipe/subgroups, lavapipe/convolution_direct
//
// Why this shape: on such an adapter a fetch from storage costs as much as some twenty multiply-adds whatever its
// pattern, a broadcast within the subgroup next to nothing, barriers and workgroup memory a lot. So one subgroup
// keeps 32 pixels (neighbours in the flattened batch, of whatever width) x 8*VECTORS output channels in registers.
// Lanes run along the channels, which are contiguous: one fetch brings eight input channels of a pixel, and a
// broadcast hands each of them to all output channels. At stride 1 the horizontal taps of a row share a window of
// 34 fetched pixels, which moves on by one from tap to tap. 64 sums are the most that still compile in well under a
// second; few nested loops, because each carried value is masked again at every level.

// Taps that share a window: at stride 2, neighbouring taps meet different fine pixels. A constant, so that the compiler
// unrolls their loop; one that is run costs more than the fetches that sharing among every other tap would save.
override SHARED: u32 = select(1u, KERNEL, STRIDE == 1u);
override WINDOWS: u32 = KERNEL / SHARED;

// Eight consecutive rows, zero from `rows` on. `offset` is that of the first row.
fn load_weight(offset: u32, rows: u32) -> Eight {
    let last = KERNEL * KERNEL * params.fine_channels * params.coarse_channels - 1u;
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let low = min(offset + steps * params.coarse_channels, vec4<u32>(last));
    let high = min(offset + (steps + 4u) * params.coarse_channels, vec4<u32>(last));
    let first_four = vec4<f32>(weight[low.x], weight[low.y], weight[low.z], weight[low.w]);
    let last_four = vec4<f32>(weight[high.x], weight[high.y], weight[high.z], weight[high.w]);
    return Eight(
        select(vec4<f32>(), first_four, steps < vec4<u32>(rows)),
        select(vec4<f32>(), last_four, steps + 4u < vec4<u32>(rows)),
    );
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let first_pixel = (group.y + group.z * TILES_IN_Y) * PIXELS;
    let channel = group.x * 8u * VECTORS + lane;
    let first_column = min(channel, params.coarse_channels - 1u);
    let second_column = min(channel + 8u, params.coarse_channels - 1u);

    let reach = i32(KERNEL / 2u);
    let size = vec2<i32>(i32(STRIDE * params.height), i32(STRIDE * params.width));
    let pixels = params.batch * params.height * params.width;
    let last_fine = vec4<i32>(i32(pixels * STRIDE * STRIDE) - 1);

    // Lane l of component j: pixel 8*j + l of the tile, and the fine row and column under its tap (0, 0).
    let pixel = EIGHTS + first_pixel + lane;
    let line = pixel / params.width;
    let row = vec4<i32>(STRIDE * (line % params.height)) - reach;
    let column = vec4<i32>(STRIDE * (pixel % params.width)) - reach;
    let exists = pixel < vec4<u32>(pixels);
    // The fine pixel under tap (0, 0), counted over the batch.
    let corner = vec4<i32>(STRIDE * (line * ((STRIDE - 1u) * params.width) + pixel)) - reach * (size.y + 1);

    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    let chunks = (params.fine_channels + 7u) / 8u;
    var first = 0u;
    var step = 0u;
    for (var chunk = 0u; chunk < KERNEL * WINDOWS * chunks; chunk++) {
        // Place h of the window holds the fine pixel under tap (ky, first_kx) of pixel first_pixel + h.
        let ky = i32(step / WINDOWS);
        let first_kx = i32(step % WINDOWS);
        let place = corner + ky * size.y + first_kx;
        let source = clamp(place, vec4<i32>(), last_fine);
        let rest = clamp(place + i32(PIXELS), vec4<i32>(), last_fine);
        let offset = vec4<u32>(source) * params.fine_channels;
        let rest_offset = u32(rest.x) * params.fine_channels;
        let in_channel = min(first + lane, params.fine_channels - 1u);
        var window0 = load_image(offset.x, in_channel);
        var window1 = load_image(offset.y, in_channel);
        var window2 = load_image(offset.z, in_channel);
        var window3 = load_image(offset.w, in_channel);
        var next = vec2<f32>();
        if (SHARED > 1u) {
            next = vec2<f32>(
                image[subgroupBroadcast(rest_offset, 0u) + in_channel],
                image[subgroupBroadcast(rest_offset, 1u) + in_channel],
            );
        }

        let y = row + ky;
        let row_valid = exists & (y >= vec4<i32>()) & (y < vec4<i32>(size.x));
        for (var i = 0; i < i32(SHARED); i++) {
            let kx = first_kx + i;
            let x = column + kx;
            let valid = row_valid & (x >= vec4<i32>()) & (x < vec4<i32>(size.y));
            let weight_row = (u32(ky) * KERNEL + u32(kx)) * params.fine_channels + first;
            let rows = params.fine_channels - first;
            let weight0 = load_weight(weight_row * params.coarse_channels + first_column, rows);
            var weight1 = Eight();
            if (VECTORS == 2u) {
                weight1 = load_weight(weight_row * params.coarse_channels + second_column, rows);
            }
            sums0 = accumulate(sums0, keep(window0, valid.x), weight0, weight1);
            sums1 = accumulate(sums1, keep(window1, valid.y), weight0, weight1);
            sums2 = accumulate(sums2, keep(window2, valid.z), weight0, weight1);
            sums3 = accumulate(sums3, keep(window3, valid.w), weight0, weight1);
            window0 = advance(window0, window1.low.x);
            window1 = advance(window1, window2.low.x);
            window2 = advance(window2, window3.low.x);
            window3 = advance(window3, next.x);
            next.x = next.y;
        }

        first += 8u;
        if (first >= params.fine_channels) {
            first = 0u;
            step++;
        }
    }

    // A bound known only at run time keeps the compiler from unrolling this: a store takes it as long as a hundred
    // multiply-adds.
    for (var own = first_pixel; own < min(first_pixel + PIXELS, pixels); own += 4u) {
        let four = own + vec4<u32>(0u, 1u, 2u, 3u);
        let inside = select(vec4<u32>(NOWHERE), four, four < vec4<u32>(pixels));
        store_four(inside, inside, channel, params.coarse_channels, sums0.first.low);
        if (VECTORS == 2u) {
            store_four(inside, inside, channel + 8u, params.coarse_channels, sums0.second.low);
        }
        sums0 = drop_four(sums0, sums1);
        sums1 = drop_four(sums1, sums2);
        sums2 = drop_four(sums2, sums3);
        sums3 = drop_four(sums3, Sums());
    }
}

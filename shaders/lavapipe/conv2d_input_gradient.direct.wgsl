// conv2d_input_gradient, form lavapipe.direct: as shaders/conv2d_input_gradient.wgsl; it is the transposed convolution's
// forward, too:
//
//   fine[n, i, a] = epilogue(sum over k, b of coarse[n, o, b] * weight[k, a, b] + bias[a]),
//   where STRIDE*o + k - KERNEL/2 = i
//
// It asks for subgroups of exactly eight invocations.
//
// Reads     image: coarse [batch, height, width, coarse_channels], zero outside,
//           weight [KERNEL, KERNEL, fine_channels, coarse_channels],
//           beside: bias [fine_channels], or an activation like fine (EPILOGUE = LEAKY_MASK), or border biases
//           [batch, 3*STRIDE, 3*STRIDE, fine_channels] (EPILOGUE = BORDER_BIAS_LEAKY), or nothing (EPILOGUE = NOTHING).
// Writes    result: fine [batch, STRIDE*height, STRIDE*width, fine_channels], every element once.
// Dispatch  x = ceil(fine_channels / (8*VECTORS)), pixel tiles = ceil(batch*height*width / 32),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768) * STRIDE*STRIDE.
// Longest loop  KERNEL*ceil(coarse_channels / 8); at stride 2 at most 4*ceil(coarse_channels / 8).
// needs: convolution, epilogue, convolution_image, lavapipe/subgroups, lavapipe/convolution_direct
//
// Why this shape: lavapipe/conv2d.direct.wgsl says it; the two differ in the direction of the taps and in how the weight is
// read. At stride 2 the fine pixels fall into four phases by the parity of row and column, and each phase meets its
// own 1, 2, 2 or 4 taps of nine: a tile holds 32 coarse positions of one phase, so that no tap is tested in vain.

// Taps that share a window: at stride 1 the three of a row. A constant, so that the compiler unrolls their loop; at
// stride 2 the number depends on the phase, and a loop that is run costs more than the fetches that sharing saves.
override SHARED: u32 = select(1u, KERNEL, STRIDE == 1u);

// Eight consecutive columns, zero from `columns` on. `offset` is that of the first column.
fn load_weight(offset: u32, columns: u32) -> Eight {
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let low = offset + min(steps, vec4<u32>(columns - 1u));
    let high = offset + min(steps + 4u, vec4<u32>(columns - 1u));
    let first_four = vec4<f32>(weight[low.x], weight[low.y], weight[low.z], weight[low.w]);
    let last_four = vec4<f32>(weight[high.x], weight[high.y], weight[high.z], weight[high.w]);
    return Eight(
        select(vec4<f32>(), first_four, steps < vec4<u32>(columns)),
        select(vec4<f32>(), last_four, steps + 4u < vec4<u32>(columns)),
    );
}

// Whether a coarse row or column is the first (0), the last (2) or another (1).
fn class_of(position: vec4<i32>, last: i32) -> vec4<u32> {
    let inner = select(vec4<u32>(1u), vec4<u32>(2u), position == vec4<i32>(last));
    return select(inner, vec4<u32>(), position == vec4<i32>());
}

// The numbers that lanes 0 to 3 hold for the first eight pixels.
fn next_four(of_lanes: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(
        subgroupBroadcast(of_lanes.x, 0u),
        subgroupBroadcast(of_lanes.x, 1u),
        subgroupBroadcast(of_lanes.x, 2u),
        subgroupBroadcast(of_lanes.x, 3u),
    );
}

// What is left behind the next four: lanes 4 to 7, or lanes 0 to 3 of the next eight pixels.
fn drop_next_four(of_lanes: vec4<u32>, done: u32) -> vec4<u32> {
    let last_half = vec4<u32>(subgroupShuffleDown(of_lanes.x, 4u), of_lanes.yzw);
    return select(last_half, of_lanes.yzww, done / 4u % 2u == 1u);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let phases = STRIDE * STRIDE;
    let phase = vec2<u32>((group.z % phases) / STRIDE, group.z % STRIDE);
    let first_pixel = (group.y + group.z / phases * TILES_IN_Y) * PIXELS;
    let channel = group.x * 8u * VECTORS + lane;
    let first_row = min(channel, params.fine_channels - 1u);
    let second_row = min(channel + 8u, params.fine_channels - 1u);

    // Rows and columns: taps first_tap, first_tap + STRIDE, …, last_tap reach this phase. The last one meets the coarse
    // position `nearest` away, each one before it a position further on.
    let first_tap = (phase + KERNEL / 2u) % STRIDE;
    let taps = (vec2<u32>(KERNEL + STRIDE - 1u) - first_tap) / STRIDE;
    let last_tap = first_tap + (taps - 1u) * STRIDE;
    let nearest = (vec2<i32>(phase + KERNEL / 2u) - vec2<i32>(last_tap)) / i32(STRIDE);

    let height = i32(params.height);
    let width = i32(params.width);
    let pixels = params.batch * params.height * params.width;
    let last_pixel = vec4<i32>(i32(pixels) - 1);

    // Lane l of component j: position 8*j + l of the tile.
    let pixel = EIGHTS + first_pixel + lane;
    let line = pixel / params.width;
    let row = vec4<i32>(line % params.height);
    let column = vec4<i32>(pixel - line * params.width);
    let exists = pixel < vec4<u32>(pixels);

    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    let chunks = (params.coarse_channels + 7u) / 8u;
    var first = 0u;
    var step_y = 0u;
    var first_x = 0u;
    for (var chunk = 0u; chunk < taps.x * (taps.y / SHARED) * chunks; chunk++) {
        // Place h of the window holds the coarse position under tap first_x, from the last one on, of position
        // first_pixel + h.
        let down = nearest.x + i32(step_y);
        let place = vec4<i32>(pixel) + nearest.y + i32(first_x) + down * width;
        let source = clamp(place, vec4<i32>(), last_pixel);
        let rest = clamp(place + i32(PIXELS), vec4<i32>(), last_pixel);
        let offset = vec4<u32>(source) * params.coarse_channels;
        let rest_offset = u32(rest.x) * params.coarse_channels;
        let out_channel = min(first + lane, params.coarse_channels - 1u);
        var window0 = load_image(offset.x, out_channel);
        var window1 = load_image(offset.y, out_channel);
        var window2 = load_image(offset.z, out_channel);
        var window3 = load_image(offset.w, out_channel);
        var next = vec2<f32>();
        if (SHARED > 1u) {
            next = vec2<f32>(
                image[subgroupBroadcast(rest_offset, 0u) + out_channel],
                image[subgroupBroadcast(rest_offset, 1u) + out_channel],
            );
        }

        let y = row + down;
        let row_valid = exists & (y >= vec4<i32>()) & (y < vec4<i32>(height));
        for (var i = 0u; i < SHARED; i++) {
            let step_x = first_x + i;
            let x = column + (nearest.y + i32(step_x));
            let valid = row_valid & (x >= vec4<i32>()) & (x < vec4<i32>(width));
            let tap = (last_tap.x - STRIDE * step_y) * KERNEL + last_tap.y - STRIDE * step_x;
            let weight_row = tap * params.fine_channels;
            let columns = params.coarse_channels - first;
            let weight0 = load_weight((weight_row + first_row) * params.coarse_channels + first, columns);
            var weight1 = Eight();
            if (VECTORS == 2u) {
                weight1 = load_weight((weight_row + second_row) * params.coarse_channels + first, columns);
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
        if (first >= params.coarse_channels) {
            first = 0u;
            first_x += SHARED;
            if (first_x >= taps.y) {
                first_x = 0u;
                step_y++;
            }
        }
    }

    let fine_row = STRIDE * line + phase.x;
    let fine_pixel = fine_row * STRIDE * params.width + STRIDE * vec4<u32>(column) + phase.y;
    var own = select(vec4<u32>(NOWHERE), fine_pixel, exists);
    var other = own;
    if (EPILOGUE == BORDER_BIAS_LEAKY) {
        // The places by the border that stand for the pixels.
        let last = vec2<i32>(height, width) - 1;
        let class_y = STRIDE * class_of(row, last.x) + phase.x;
        let class_x = STRIDE * class_of(column, last.y) + phase.y;
        let place = (line / params.height * 3u * STRIDE + class_y) * 3u * STRIDE + class_x;
        other = select(vec4<u32>(NOWHERE), place, exists);
    }
    // A bound known only at run time keeps the compiler from unrolling this: a store takes it as long as a hundred
    // multiply-adds.
    for (var done = first_pixel; done < min(first_pixel + PIXELS, pixels); done += 4u) {
        // Lanes 0 to 3 hold the four fine pixels.
        let four = next_four(own);
        let others = next_four(other);
        store_four(four, others, channel, params.fine_channels, sums0.first.low);
        if (VECTORS == 2u) {
            store_four(four, others, channel + 8u, params.fine_channels, sums0.second.low);
        }
        own = drop_next_four(own, done);
        other = drop_next_four(other, done);
        sums0 = drop_four(sums0, sums1);
        sums1 = drop_four(sums1, sums2);
        sums2 = drop_four(sums2, sums3);
        sums3 = drop_four(sums3, Sums());
    }
}

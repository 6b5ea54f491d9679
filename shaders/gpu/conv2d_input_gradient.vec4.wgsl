// conv2d_input_gradient, forms gpu.vec4 and gpu.small_tiles: as shaders/conv2d_input_gradient.wgsl, for GPUs, where both sides' channels are
// multiples of four.
//
// Reads     image: coarse [batch, height, width, coarse_channels], zero outside,
//           weight [KERNEL, KERNEL, fine_channels, coarse_channels],
//           beside: bias [fine_channels], or an activation like fine (EPILOGUE = LEAKY_MASK), or border biases
//           [batch, 3*STRIDE, 3*STRIDE, fine_channels] (EPILOGUE = BORDER_BIAS_LEAKY), or nothing (EPILOGUE = NOTHING).
// Writes    result: fine [batch, STRIDE*height, STRIDE*width, fine_channels], every element once.
// Dispatch  x = ceil(fine_channels / CHANNELS), pixel tiles = ceil(batch*height*width / 128),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768) * STRIDE*STRIDE.
// Longest loop  KERNEL*KERNEL*coarse_channels / 4, rounded up to 4.
// needs: convolution, epilogue, gpu/convolution_vec4
//
// The roles of the channels are those of conv2d swapped, the phases at stride 2 those of the portable form. The weight's rows
// run along the sum here, so its tile is kept like the image's.

fn image_size() -> vec2<u32> {
    return vec2<u32>(params.height, params.width);
}

// Of the kernel's taps, first_tap, first_tap + STRIDE, … of each direction reach a phase.
fn first_tap(phase: vec2<u32>) -> vec2<u32> {
    return (phase + KERNEL / 2u) % STRIDE;
}

// Where the first of them meets a coarse position's phase, and how far the next one is from it.
fn first_place(area: Area, position: vec2<u32>) -> vec2<i32> {
    // Exact: STRIDE divides it by the choice of first_tap.
    return vec2<i32>(position + (area.phase + KERNEL / 2u - first_tap(area.phase)) / STRIDE);
}

fn tap_step() -> i32 {
    return -1;
}

// Four neighbours fetch sixteen steps of one channel.
fn weight_index(area: Area, step: u32, place: Place, index: u32, half: u32) -> i32 {
    let tap = first_tap(area.phase) + STRIDE * place.tap;
    let channel = area.channel + index / QUADS + 32u * half;
    let inside = place.tap.x < area.taps.x && channel < params.fine_channels;
    let row = (tap.x * KERNEL + tap.y) * params.fine_channels + channel;
    return select(OUTSIDE, i32((row * params.coarse_channels + place.channel) / 4u), inside);
}

// Channel c is row c % 4 * CHANNELS / 4 + c / 4, so that what eight neighbours read at once lies in different banks.
fn weight_place(index: u32, half: u32) -> u32 {
    let channel = index / QUADS + 32u * half;
    return (channel % 4u * (CHANNELS / 4u) + channel / 4u) * PITCH + index % QUADS;
}

fn weights(quad: u32, column: u32) -> mat4x4<f32> {
    let at = column * PITCH + quad;
    let next = CHANNELS / 4u * PITCH;
    return transpose(mat4x4<f32>(
        weight_tile[at],
        weight_tile[at + next],
        weight_tile[at + 2u * next],
        weight_tile[at + 3u * next],
    ));
}

// The pixel of the border biases that stands for the one of this phase at a coarse position.
fn border_place(position: vec3<u32>, phase: vec2<u32>) -> u32 {
    let last = vec2<u32>(params.height, params.width) - 1u;
    let place = select(vec2<u32>(1u), vec2<u32>(2u), position.yz == last);
    let class_of = select(place, vec2<u32>(), position.yz == vec2<u32>()) * STRIDE + phase;
    return (position.x * 3u * STRIDE + class_of.x) * 3u * STRIDE + class_of.y;
}

fn store_channels(area: Area, position: vec3<u32>, channel: u32, sums: vec4<f32>) {
    let fine = STRIDE * position.yz + area.phase;
    let own = (position.x * STRIDE * params.height + fine.x) * STRIDE * params.width + fine.y;
    var other = own;
    if (EPILOGUE == BORDER_BIAS_LEAKY) {
        other = border_place(position, area.phase);
    }
    store_four(own, other, channel, params.fine_channels, sums);
}

@compute @workgroup_size(8, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let phases = STRIDE * STRIDE;
    let phase = vec2<u32>((group.z % phases) / STRIDE, group.z % STRIDE);
    let taps = (vec2<u32>(KERNEL + STRIDE - 1u) - first_tap(phase)) / STRIDE;
    let first_pixel = (group.y + group.z / phases * TILES_IN_Y) * PIXELS;
    compute(Area(first_pixel, group.x * CHANNELS, phase, taps), params.coarse_channels, local.xy);
}

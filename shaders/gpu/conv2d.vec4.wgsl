// conv2d, forms gpu.vec4 and gpu.small_tiles: as shaders/conv2d.wgsl, for GPUs, where both sides' channels are multiples of four.
//
// Reads     image: fine [batch, STRIDE*height, STRIDE*width, fine_channels], zero outside,
//           weight [KERNEL, KERNEL, fine_channels, coarse_channels],
//           beside: bias [coarse_channels], or an activation like coarse (EPILOGUE = LEAKY_MASK), or nothing (EPILOGUE = NOTHING).
// Writes    result: coarse [batch, height, width, coarse_channels], every element once.
// Dispatch  x = ceil(coarse_channels / CHANNELS), pixel tiles = ceil(batch*height*width / 128),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768).
// Longest loop  KERNEL*KERNEL*fine_channels / 4, rounded up to 4.
// needs: convolution, epilogue, gpu/convolution_vec4

fn image_size() -> vec2<u32> {
    return vec2<u32>(STRIDE * params.height, STRIDE * params.width);
}

// Where tap (0, 0) of a coarse position is on the fine side, and how far the next tap is from it.
fn first_place(area: Area, position: vec2<u32>) -> vec2<i32> {
    return vec2<i32>(STRIDE * position) - i32(KERNEL / 2u);
}

fn tap_step() -> i32 {
    return 1;
}

// Neighbours fetch all channels of one step.
fn weight_index(area: Area, step: u32, place: Place, index: u32, half: u32) -> i32 {
    let row = CHANNELS / 4u;
    let own = step + index / row + 8u * half;
    let channel = area.channel + index % row * 4u;
    let inside = own < KERNEL * KERNEL * params.fine_channels && channel < params.coarse_channels;
    return select(OUTSIDE, i32((own * params.coarse_channels + channel) / 4u), inside);
}

fn weight_place(index: u32, half: u32) -> u32 {
    return index + 128u * half;
}

fn weights(quad: u32, column: u32) -> mat4x4<f32> {
    let row = CHANNELS / 4u;
    let at = 4u * quad * row + column;
    return mat4x4<f32>(weight_tile[at], weight_tile[at + row], weight_tile[at + 2u * row], weight_tile[at + 3u * row]);
}

fn store_channels(area: Area, position: vec3<u32>, channel: u32, sums: vec4<f32>) {
    let pixel = (position.x * params.height + position.y) * params.width + position.z;
    store_four(pixel, pixel, channel, params.coarse_channels, sums);
}

@compute @workgroup_size(8, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let first_pixel = (group.y + group.z * TILES_IN_Y) * PIXELS;
    compute(Area(first_pixel, group.x * CHANNELS, vec2<u32>(), vec2<u32>(KERNEL)), params.fine_channels, local.xy);
}

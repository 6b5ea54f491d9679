// conv2d, vec4 form: as shaders/conv2d.wgsl, for GPUs, where both sides' channels are multiples of four.
//
// Reads     image: fine [batch, STRIDE*height, STRIDE*width, in_channels], zero outside,
//           weight [KERNEL, KERNEL, in_channels, out_channels],
//           beside: bias [out_channels], or an activation like coarse (EPILOGUE = 3), or nothing (EPILOGUE = 0).
// Writes    result: coarse [batch, height, width, out_channels], every element once.
// Dispatch  x = ceil(out_channels / 64), pixel tiles = ceil(batch*height*width / 128),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768).
// Longest loop  KERNEL*KERNEL*in_channels / 4, rounded up to 4.

// Row and column on the fine side under tap (0, 0), and the image.
struct Origin {
    position: vec2<i32>,
    image: i32,
}

fn origin_of(pixel: u32) -> Origin {
    let column = pixel % params.width;
    let row = (pixel / params.width) % params.height;
    let image = pixel / (params.width * params.height);
    let inside = vec2<i32>(vec2<u32>(STRIDE * row, STRIDE * column)) - i32(KERNEL / 2u);
    // A pixel beyond the batch lies so far out that no tap is inside.
    return Origin(select(vec2<i32>(-65536), inside, image < params.batch), i32(image));
}

fn load_image(area: Area, place: Place, origin: Origin) -> vec4<f32> {
    let at = origin.position + vec2<i32>(vec2<u32>(place.tap / KERNEL, place.tap % KERNEL));
    let size = vec2<i32>(vec2<u32>(STRIDE * params.height, STRIDE * params.width));
    if (place.tap >= KERNEL * KERNEL || any(at < vec2<i32>()) || any(at >= size)) {
        return vec4<f32>();
    }
    let pixel = u32((origin.image * size.x + at.x) * size.y + at.y);
    return image[(pixel * params.in_channels + place.channel) / 4u];
}

// Sixteen neighbours fetch the 64 channels of one step.
fn load_weight(area: Area, place: Place, index: u32, half: u32) -> vec4<f32> {
    let step = place.step + index / 16u + 8u * half;
    let channel = area.channel + index % 16u * 4u;
    if (step >= KERNEL * KERNEL * params.in_channels || channel >= params.out_channels) {
        return vec4<f32>();
    }
    return weight[(step * params.out_channels + channel) / 4u];
}

fn weight_place(index: u32, half: u32) -> u32 {
    return index + 128u * half;
}

fn weights(quad: u32, column: u32) -> mat4x4<f32> {
    let at = quad * CHANNELS + column;
    return mat4x4<f32>(weight_tile[at], weight_tile[at + 16u], weight_tile[at + 32u], weight_tile[at + 48u]);
}

fn store_pixel(area: Area, pixel: u32, channel: u32, sums: vec4<f32>) {
    if (pixel < params.batch * params.height * params.width) {
        store_channels(pixel, pixel, channel, params.out_channels, sums);
    }
}

@compute @workgroup_size(8, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let area = Area((group.y + group.z * TILES_IN_Y) * PIXELS, group.x * CHANNELS, vec2<u32>());
    compute(area, KERNEL * KERNEL, params.in_channels, local.xy);
}

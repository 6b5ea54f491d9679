// conv2d_input_gradient, vec4 form: as shaders/conv2d_input_gradient.wgsl, for GPUs, where both sides' channels are
// multiples of four.
//
// Reads     image: coarse [batch, height, width, out_channels], zero outside,
//           weight [KERNEL, KERNEL, in_channels, out_channels],
//           beside: bias [in_channels], or an activation like fine (EPILOGUE = 3), or border biases
//           [batch, 3*STRIDE, 3*STRIDE, in_channels] (EPILOGUE = 4), or nothing (EPILOGUE = 0).
// Writes    result: fine [batch, STRIDE*height, STRIDE*width, in_channels], every element once.
// Dispatch  x = ceil(in_channels / 64), pixel tiles = ceil(batch*height*width / 128),
//           y = min(pixel tiles, 32768), z = ceil(pixel tiles / 32768) * STRIDE*STRIDE.
// Longest loop  KERNEL*KERNEL*out_channels / 4, rounded up to 4.
//
// The roles of the channels are those of conv2d exchanged, the phases at stride 2 those of the portable form. The weight's rows
// run along the sum here, so its tile is kept like the image's.

// Row and column on the coarse side, and the image.
struct Origin {
    position: vec2<i32>,
    image: i32,
}

fn origin_of(pixel: u32) -> Origin {
    let column = pixel % params.width;
    let row = (pixel / params.width) % params.height;
    let image = pixel / (params.width * params.height);
    let inside = vec2<i32>(vec2<u32>(row, column));
    // A position beyond the batch lies so far out that no tap reaches the image.
    return Origin(select(vec2<i32>(-65536), inside, image < params.batch), i32(image));
}

// Taps first_tap, first_tap + STRIDE, … of each direction reach a phase.
fn first_tap(phase: vec2<u32>) -> vec2<u32> {
    return (phase + KERNEL / 2u) % STRIDE;
}

fn taps(phase: vec2<u32>) -> vec2<u32> {
    return (vec2<u32>(KERNEL + STRIDE - 1u) - first_tap(phase)) / STRIDE;
}

// The place.tap-th tap of a phase.
fn tap_of(phase: vec2<u32>, place: Place) -> vec2<u32> {
    let columns = taps(phase).y;
    return first_tap(phase) + STRIDE * vec2<u32>(place.tap / columns, place.tap % columns);
}

fn load_image(area: Area, place: Place, origin: Origin) -> vec4<f32> {
    let tap = tap_of(area.phase, place);
    // Exact: STRIDE divides it by the choice of first_tap.
    let at = origin.position + (vec2<i32>(area.phase + KERNEL / 2u) - vec2<i32>(tap)) / i32(STRIDE);
    let size = vec2<i32>(vec2<u32>(params.height, params.width));
    if (any(tap >= vec2<u32>(KERNEL)) || any(at < vec2<i32>()) || any(at >= size)) {
        return vec4<f32>();
    }
    let pixel = u32((origin.image * size.x + at.x) * size.y + at.y);
    return image[(pixel * params.out_channels + place.channel) / 4u];
}

// Four neighbours fetch sixteen steps of one channel.
fn load_weight(area: Area, place: Place, index: u32, half: u32) -> vec4<f32> {
    let tap = tap_of(area.phase, place);
    let channel = area.channel + index / QUADS + 32u * half;
    if (any(tap >= vec2<u32>(KERNEL)) || channel >= params.in_channels) {
        return vec4<f32>();
    }
    let row = (tap.x * KERNEL + tap.y) * params.in_channels + channel;
    return weight[(row * params.out_channels + place.channel) / 4u];
}

// Channel c is row c % 4 * 16 + c / 4, so that what eight neighbours read at once lies in different banks.
fn weight_place(index: u32, half: u32) -> u32 {
    let channel = index / QUADS + 32u * half;
    return (channel % 4u * 16u + channel / 4u) * PITCH + index % QUADS;
}

fn weights(quad: u32, column: u32) -> mat4x4<f32> {
    let at = column * PITCH + quad;
    return transpose(mat4x4<f32>(
        weight_tile[at],
        weight_tile[at + 16u * PITCH],
        weight_tile[at + 32u * PITCH],
        weight_tile[at + 48u * PITCH],
    ));
}

// The pixel of the border biases that stands for the one of this phase at a coarse position.
fn border_place(image: u32, position: vec2<u32>, phase: vec2<u32>) -> u32 {
    let last = vec2<u32>(params.height, params.width) - 1u;
    let place = select(vec2<u32>(1u), vec2<u32>(2u), position == last);
    let class_of = select(place, vec2<u32>(), position == vec2<u32>()) * STRIDE + phase;
    return (image * 3u * STRIDE + class_of.x) * 3u * STRIDE + class_of.y;
}

fn store_pixel(area: Area, pixel: u32, channel: u32, sums: vec4<f32>) {
    let origin = origin_of(pixel);
    if (origin.position.x < 0) {
        return;
    }
    let position = vec2<u32>(origin.position);
    let fine = STRIDE * position + area.phase;
    let own = (u32(origin.image) * STRIDE * params.height + fine.x) * STRIDE * params.width + fine.y;
    var other = own;
    if (EPILOGUE == 4u) {
        other = border_place(u32(origin.image), position, area.phase);
    }
    store_channels(own, other, channel, params.in_channels, sums);
}

@compute @workgroup_size(8, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let phases = STRIDE * STRIDE;
    let phase = vec2<u32>((group.z % phases) / STRIDE, group.z % STRIDE);
    let area = Area((group.y + group.z / phases * TILES_IN_Y) * PIXELS, group.x * CHANNELS, phase);
    compute(area, taps(phase).x * taps(phase).y, params.out_channels, local.xy);
}

// conv2d_input_gradient, form gpu.few_outputs: as shaders/conv2d_input_gradient.wgsl, for GPUs, where there are at most sixteen fine channels
// and the coarse ones are a multiple of four.
//
// Reads     image: coarse [batch, height, width, coarse_channels], zero outside,
//           weight [KERNEL, KERNEL, fine_channels, coarse_channels],
//           beside: bias [fine_channels], or an activation like fine (EPILOGUE = LEAKY_MASK), or border biases
//           [batch, 3*STRIDE, 3*STRIDE, fine_channels] (EPILOGUE = BORDER_BIAS_LEAKY), or nothing (EPILOGUE = NOTHING).
// Writes    result: fine [batch, STRIDE*height, STRIDE*width, fine_channels], every element once.
// Dispatch  x = 1, pixel groups = ceil(batch*STRIDE*height*STRIDE*width / 4), y = min(pixel groups, 32768),
//           z = ceil(pixel groups / 32768).
// Longest loop  KERNEL*KERNEL*coarse_channels / 64, rounded up.
// needs: convolution, epilogue, gpu/few_outputs

@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;

// What the values of four coarse channels give to a fine channel; none that the image does not have is stored.
fn product(tap: u32, channel: u32, quad: u32, values: vec4<f32>) -> f32 {
    let row = tap * params.fine_channels + min(channel, params.fine_channels - 1u);
    return dot(values, weight[row * (params.coarse_channels / 4u) + quad]);
}

fn add(sum: vec4<f32>, tap: u32, vector: u32, quad: u32, values: vec4<f32>) -> vec4<f32> {
    if (vector >= VECTORS) {
        return sum;
    }
    let first = 4u * vector;
    return sum + vec4<f32>(
        product(tap, first, quad, values),
        product(tap, first + 1u, quad, values),
        product(tap, first + 2u, quad, values),
        product(tap, first + 3u, quad, values),
    );
}

@compute @workgroup_size(16, 4)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let size = vec2<u32>(params.height, params.width);
    let fine_size = STRIDE * size;
    let pixel = own_pixel(group, local.y);
    let row = pixel / fine_size.y;
    let n = row / fine_size.x;
    let position = vec2<u32>(row % fine_size.x, pixel % fine_size.y);
    var sums = Sums();
    let quads = params.coarse_channels / 4u;
    for (var i = local.x; i < KERNEL * KERNEL * quads; i += LANES) {
        let tap = i / quads;
        // Before the first coarse position numbers wrap around to large ones.
        let shifted = position + KERNEL / 2u - vec2<u32>(tap / KERNEL, tap % KERNEL);
        let at = shifted / STRIDE;
        let inside = n < params.batch && all(shifted % STRIDE == vec2<u32>()) && all(at < size);
        let place = (n * size.x + at.x) * size.y + at.y;
        let values = load_image(place, params.coarse_channels, i % quads, inside);
        sums.a = add(sums.a, tap, 0u, i % quads, values);
        sums.b = add(sums.b, tap, 1u, i % quads, values);
        sums.c = add(sums.c, tap, 2u, i % quads, values);
        sums.d = add(sums.d, tap, 3u, i % quads, values);
    }
    var other = pixel;
    if (EPILOGUE == BORDER_BIAS_LEAKY) {
        let own = position / STRIDE;
        let inner = select(vec2<u32>(1u), vec2<u32>(2u), own == size - 1u);
        let place = select(inner, vec2<u32>(), own == vec2<u32>()) * STRIDE + position % STRIDE;
        other = (n * 3u * STRIDE + place.x) * 3u * STRIDE + place.y;
    }
    let pixels = params.batch * fine_size.x * fine_size.y;
    finish_pixel(sums, local.xy, pixel, other, pixels, params.fine_channels);
}

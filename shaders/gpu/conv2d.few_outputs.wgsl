// conv2d, form gpu.few_outputs: as shaders/conv2d.wgsl, for GPUs, where there are at most sixteen coarse channels and the fine ones are a
// multiple of four.
//
// Reads     image: fine [batch, STRIDE*height, STRIDE*width, fine_channels], zero outside,
//           weight [KERNEL, KERNEL, fine_channels, coarse_channels],
//           beside: bias [coarse_channels], or an activation like coarse (EPILOGUE = LEAKY_MASK), or nothing (EPILOGUE = NOTHING).
// Writes    result: coarse [batch, height, width, coarse_channels], every element once.
// Dispatch  x = 1, pixel groups = ceil(batch*height*width / 4), y = min(pixel groups, 32768), z = ceil(pixel groups / 32768).
// Longest loop  KERNEL*KERNEL*fine_channels / 64, rounded up.
// needs: convolution, epilogue, gpu/few_outputs

@group(0) @binding(2) var<storage, read_write> weight: array<f32>;

// Four channels of a row of the weight; those beyond it belong to the next row, or to the last one twice, and are not stored.
fn load_weight(row: u32, vector: u32) -> vec4<f32> {
    let last = KERNEL * KERNEL * params.fine_channels * params.coarse_channels - 1u;
    let at = min(vec4<u32>(row * params.coarse_channels + 4u * vector) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
    return vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

fn add(sum: vec4<f32>, row: u32, vector: u32, values: vec4<f32>) -> vec4<f32> {
    if (vector >= VECTORS) {
        return sum;
    }
    var result = sum + values.x * load_weight(row, vector);
    result += values.y * load_weight(row + 1u, vector);
    result += values.z * load_weight(row + 2u, vector);
    result += values.w * load_weight(row + 3u, vector);
    return result;
}

@compute @workgroup_size(16, 4)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let pixel = own_pixel(group, local.y);
    let row = pixel / params.width;
    let n = row / params.height;
    let size = STRIDE * vec2<u32>(params.height, params.width);
    // Rows and columns before the first wrap around to large numbers.
    let corner = STRIDE * vec2<u32>(row % params.height, pixel % params.width) - KERNEL / 2u;
    var sums = Sums();
    let quads = params.fine_channels / 4u;
    for (var i = local.x; i < KERNEL * KERNEL * quads; i += LANES) {
        let tap = i / quads;
        let at = corner + vec2<u32>(tap / KERNEL, tap % KERNEL);
        let inside = n < params.batch && all(at < size);
        let place = (n * size.x + at.x) * size.y + at.y;
        let values = load_image(place, params.fine_channels, i % quads, inside);
        sums.a = add(sums.a, 4u * i, 0u, values);
        sums.b = add(sums.b, 4u * i, 1u, values);
        sums.c = add(sums.c, 4u * i, 2u, values);
        sums.d = add(sums.d, 4u * i, 3u, values);
    }
    let pixels = params.batch * params.height * params.width;
    finish_pixel(sums, local.xy, pixel, pixel, pixels, params.coarse_channels);
}

// col2im: the adjoint of im2col, and an epilogue. It ends a transposed convolution by matrix products.
//
//   fine[n, i, a] = epilogue(sum over k of matrix[(n, o), (k, a)]), where STRIDE*o + k - KERNEL/2 = i
//
// Reads     matrix: coarse positions x columns, in the layout of shared/blocks.wgsl; both extents are rounded up to
//           multiples of 8, and the values beyond are not read;
//           beside: bias [fine_channels], or an activation like fine (EPILOGUE = LEAKY_MASK), or border biases
//           [batch, 3*STRIDE, 3*STRIDE, fine_channels] (EPILOGUE = BORDER_BIAS_LEAKY), or nothing (EPILOGUE = NOTHING).
// Writes    fine [batch, STRIDE*height, STRIDE*width, fine_channels], every element once; fewer than 2^22 pixels.
// Dispatch  one invocation per value of fine, in a two-dimensional grid of workgroups of 64.
// Longest loop  KERNEL*KERNEL.
// needs: grid, convolution, epilogue, blocks

@group(0) @binding(1) var<storage, read_write> matrix: array<f32>;
@group(0) @binding(2) var<storage, read_write> beside: array<f32>;
@group(0) @binding(3) var<storage, read_write> fine: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let size = vec2<u32>(params.height, params.width);
    let fine_size = STRIDE * size;
    let index = flat_index(group, local.x);
    let pixel = index / params.fine_channels;
    if (pixel >= params.batch * fine_size.x * fine_size.y) {
        return;
    }
    let channel = index - pixel * params.fine_channels;
    let line = small_divide(pixel, fine_size.y);
    let image = small_divide(line, fine_size.x);
    let position = vec2<u32>(line - image * fine_size.x, pixel - line * fine_size.y);
    var sum = 0.0;
    for (var tap = 0u; tap < KERNEL * KERNEL; tap++) {
        // Before the first coarse position numbers wrap around to large ones.
        let shifted = position + KERNEL / 2u - vec2<u32>(tap / KERNEL, tap % KERNEL);
        let coarse = shifted / STRIDE;
        if (all(shifted % STRIDE == vec2<u32>()) && all(coarse < size)) {
            let row = (image * size.x + coarse.x) * size.y + coarse.y;
            sum += matrix[first_element(1u, params.columns, row, tap * params.fine_channels + channel)];
        }
    }
    var other = 0.0;
    if (EPILOGUE == BORDER_BIAS_LEAKY) {
        let own = position / STRIDE;
        let inner = select(vec2<u32>(1u), vec2<u32>(2u), own == size - 1u);
        let place = select(inner, vec2<u32>(), own == vec2<u32>()) * STRIDE + position % STRIDE;
        other = beside[((image * 3u * STRIDE + place.x) * 3u * STRIDE + place.y) * params.fine_channels + channel];
    } else if (EPILOGUE == LEAKY_MASK) {
        other = beside[index];
    } else if (EPILOGUE != NOTHING) {
        other = beside[channel];
    }
    fine[index] = finish(vec4<f32>(sum), vec4<f32>(other)).x;
}

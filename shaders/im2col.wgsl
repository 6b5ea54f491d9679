// im2col: the fine values that belong to each coarse position, as a matrix. A convolution is the product of it and the weight.
//
//   matrix[(n, o), (k, a)] = fine[n, STRIDE*o + k - KERNEL/2, a], or with TRANSPOSED = 1 matrix[(k, a), (n, o)]
//
// Reads     fine [batch, STRIDE*height, STRIDE*width, fine_channels], zero outside; fewer than 2^22 pixels.
// Writes    matrix: positions x columns, or the other way round, in the layout of shared/blocks.wgsl. Positions are
//           rounded up to a multiple of 8, and columns is one; rows beyond the positions and columns beyond taps times
//           channels are 0. Every element once.
// Dispatch  x = ceil(batch*height*width / 64), y = columns / 8.
// Longest loop  8.
// needs: grid, convolution, blocks

@group(0) @binding(1) var<storage, read_write> fine: array<f32>;
@group(0) @binding(2) var<storage, read_write> matrix: array<f32>;

override TRANSPOSED: u32 = 0u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let pixel = group.x * 64u + local.x;
    let positions = (params.batch * params.height * params.width + 7u) & ~7u;
    if (pixel >= positions) {
        return;
    }
    let line = small_divide(pixel, params.width);
    let image = small_divide(line, params.height);
    let size = STRIDE * vec2<u32>(params.height, params.width);
    let corner = STRIDE * vec2<u32>(line - image * params.height, pixel - line * params.width) - KERNEL / 2u;
    var column = 8u * group.y;
    var tap = vec2<u32>(column / params.fine_channels / KERNEL, column / params.fine_channels % KERNEL);
    var channel = column % params.fine_channels;
    for (var i = 0u; i < 8u; i++) {
        // Rows and columns before the first wrap around to large numbers.
        let at = corner + tap;
        let inside = image < params.batch && tap.x < KERNEL && at.x < size.x && at.y < size.y;
        let place = ((image * size.x + at.x) * size.y + at.y) * params.fine_channels + channel;
        let value = select(0.0, fine[select(0u, place, inside)], inside);
        if (TRANSPOSED == 1u) {
            matrix[first_element(1u, positions, column, pixel)] = value;
        } else {
            matrix[first_element(1u, params.columns, pixel, column)] = value;
        }
        column++;
        channel++;
        if (channel == params.fine_channels) {
            channel = 0u;
            tap.y++;
            if (tap.y == KERNEL) {
                tap = vec2<u32>(tap.x + 1u, 0u);
            }
        }
    }
}

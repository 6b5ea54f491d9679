// winograd_s2_image: an image as Winograd's algorithms at stride 2 multiply it, M d M' for every tile d of 5 x 5 pixels and every
// channel: of the fine side phase by phase, or of the coarse side once for all phases.
//
// Reads     image, zero outside: fine [batch, 2*height, 2*width, inputs], or with params.adjoint = 1 coarse
//           [batch, height, width, inputs].
// Writes    transformed: 81 matrices tiles x inputs (shared/winograd_s2_points.wgsl), or with params.adjoint = 1 25 of them, every
//           element once; those of tiles beyond the last one are 0.
// Dispatch  x = ceil(inputs / 64), y = tiles, z = 4 phases, or with params.adjoint = 1 z = 1.
// Longest loop  25.
// needs: grid, winograd, winograd_s2_points, winograd_both, blocks

@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<f32>;

const ROWS = 5u;
const COLUMNS = 5u;
const MATRIX = array<array<f32, 5>, 5>(
    array<f32, 5>(-NEAR * FAR2, -FAR2, NEAR, 1.0, 0.0),
    array<f32, 5>(-NEAR * FAR2, FAR2, NEAR, -1.0, 0.0),
    array<f32, 5>(-FAR * NEAR2, -NEAR2, FAR, 1.0, 0.0),
    array<f32, 5>(-FAR * NEAR2, NEAR2, FAR, -1.0, 0.0),
    array<f32, 5>(NEAR2 * FAR2, 0.0, -NEAR2 - FAR2, 0.0, 1.0),
);

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let channel = group.x * 64u + local.x;
    if (channel >= params.inputs) {
        return;
    }
    let first = first_pixel(group.y);
    let step = 2u - params.adjoint;
    let size = step * vec2<u32>(params.height, params.width);
    // Odd phases begin one pixel before the first; what is outside wraps around to large numbers.
    let before = select(vec2<u32>(1u), vec2<u32>(), even(group.z) | vec2<bool>(params.adjoint == 1u));
    var pixels: array<f32, 25>;
    for (var k = 0u; k < COARSE_ELEMENTS; k++) {
        let at = step * (first.yz + vec2<u32>(k / 5u, k % 5u)) - before;
        if (first.x < params.batch && all(at < size)) {
            pixels[k] = image[((first.x * size.x + at.x) * size.y + at.y) * params.inputs + channel];
        }
    }
    var result = both(pixels);
    let side = select(FINE_SIDE, COARSE_SIDE, params.adjoint == 1u);
    let to = first_element(side * side, params.inputs, group.y, channel);
    // Even phases have four rows or columns of elements.
    let element = first_of(group.z);
    for (var k = 0u; k < COARSE_ELEMENTS; k++) {
        let at = element + vec2<u32>(k / 5u, k % 5u);
        if (all(at < vec2<u32>(side))) {
            transformed[to + (at.x * side + at.y) * 8u * params.inputs] = result[k];
        }
    }
}

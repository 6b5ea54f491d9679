// winograd_s2_weight, form lavapipe.eights: as shaders/winograd_s2_weight.wgsl; M w M' for every pair of channels. It asks
// for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     weight [3, 3, a, b]; input and output channels are a and b, or with params.adjoint = 1 b and a, and the weight is
//           rotated by 180 degrees; both are multiples of 8.
// Writes    transformed: 81 matrices inputs x outputs (shared/winograd_s2_points.wgsl), every element once.
// Dispatch  x = outputs / 8, y = inputs / 8.
// Longest loop  9.
// needs: grid, winograd, winograd_s2_points, lavapipe/eights, lavapipe/transpose, lavapipe/winograd_weight
//
// A lane takes one input and eight outputs (lavapipe/shared/winograd_weight.wgsl).

const SIDE: u32 = 9u;

// What row `row` of M takes of three taps.
fn weight_factors(row: u32) -> vec3<f32> {
    return scale(select(row, row - 5u, row > 4u)) * taps_of(row);
}

// One row of elements: M times three values.
fn store_row(at: u32, pitch: u32, first: Eight, second: Eight, third: Eight) {
    let near = times(first, AT_NEAR);
    let far = times(first, AT_FAR);
    store(at, plus_times(near, third, AT_NEAR * NEAR));
    store(at + pitch, plus_times(near, third, -AT_NEAR * NEAR));
    store(at + 2u * pitch, plus_times(far, third, AT_FAR * FAR));
    store(at + 3u * pitch, plus_times(far, third, -AT_FAR * FAR));
    store(at + 4u * pitch, third);
    let even_near = pack(times(second, AT_NEAR));
    let even_far = pack(times(second, AT_FAR));
    transformed[at + 5u * pitch] = even_near;
    transformed[at + 6u * pitch] = even_near;
    transformed[at + 7u * pitch] = even_far;
    transformed[at + 8u * pitch] = even_far;
}

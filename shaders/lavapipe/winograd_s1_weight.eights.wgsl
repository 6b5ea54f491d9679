// winograd_s1_weight, form lavapipe.eights: as shaders/winograd_s1_weight.wgsl; M w M' for every pair of channels. It asks
// for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     weight [3, 3, a, b]; input and output channels are a and b, or with params.adjoint = 1 b and a, and the weight is
//           rotated by 180 degrees; both are multiples of 8.
// Writes    transformed: 36 matrices inputs x outputs (shared/winograd.wgsl), every element once.
// Dispatch  x = outputs / 8, y = inputs / 8.
// Longest loop  6.
// needs: grid, winograd, winograd_s1_points, lavapipe/eights, lavapipe/transpose, lavapipe/winograd_weight
//
// A lane takes one input and eight outputs (lavapipe/shared/winograd_weight.wgsl).

const SIDE: u32 = 6u;

// What row `row` of M takes of three taps.
fn weight_factors(row: u32) -> vec3<f32> {
    return scale(row) * three_powers(row);
}

// One row of elements: M times three values.
fn store_row(at: u32, pitch: u32, first: Eight, second: Eight, third: Eight) {
    let even_near = times(plus_times(first, third, NEAR2), AT_NEAR);
    let odd_near = times(second, AT_NEAR * NEAR);
    let even_far = times(plus_times(first, third, FAR2), AT_FAR);
    let odd_far = times(second, AT_FAR * FAR);
    store(at, times(first, AT_ZERO));
    store(at + pitch, plus(even_near, odd_near));
    store(at + 2u * pitch, minus(even_near, odd_near));
    store(at + 3u * pitch, plus(even_far, odd_far));
    store(at + 4u * pitch, minus(even_far, odd_far));
    store(at + 5u * pitch, third);
}

// winograd_s1_weight: a 3x3 weight as Winograd's algorithm F(4x4, 3x3) multiplies by it, M w M' for every pair of channels.
//
// Reads     weight [3, 3, a, b]; input and output channels are a and b, or with params.adjoint = 1 b and a, and the weight is
//           rotated by 180 degrees.
// Writes    transformed: 36 matrices inputs x outputs (shared/winograd.wgsl), every element once.
// Dispatch  x = ceil(outputs / 64), y = inputs.
// Longest loop  36.
// needs: grid, winograd, winograd_s1_points, winograd_both, blocks, winograd_weight

const ROWS = 6u;
const COLUMNS = 3u;
const MATRIX = array<array<f32, 3>, 6>(
    array<f32, 3>(AT_ZERO, 0.0, 0.0),
    array<f32, 3>(AT_NEAR, AT_NEAR * NEAR, AT_NEAR * NEAR2),
    array<f32, 3>(AT_NEAR, -AT_NEAR * NEAR, AT_NEAR * NEAR2),
    array<f32, 3>(AT_FAR, AT_FAR * FAR, AT_FAR * FAR2),
    array<f32, 3>(AT_FAR, -AT_FAR * FAR, AT_FAR * FAR2),
    array<f32, 3>(0.0, 0.0, 1.0),
);

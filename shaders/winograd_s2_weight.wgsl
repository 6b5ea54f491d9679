// winograd_s2_weight: a 3x3 weight as Winograd's algorithms at stride 2 multiply by it, M w M' for every pair of channels.
//
// Reads     weight [3, 3, a, b]; input and output channels are a and b, or with params.adjoint = 1 b and a, and the weight is
//           rotated by 180 degrees.
// Writes    transformed: 81 matrices inputs x outputs (shared/winograd_s2_points.wgsl), every element once.
// Dispatch  x = ceil(outputs / 64), y = inputs.
// Longest loop  81.
// needs: grid, winograd, winograd_s2_points, winograd_both, blocks, winograd_weight

const ROWS = 9u;
const COLUMNS = 3u;
const MATRIX = array<array<f32, 3>, 9>(
    array<f32, 3>(AT_NEAR, 0.0, AT_NEAR * NEAR),
    array<f32, 3>(AT_NEAR, 0.0, -AT_NEAR * NEAR),
    array<f32, 3>(AT_FAR, 0.0, AT_FAR * FAR),
    array<f32, 3>(AT_FAR, 0.0, -AT_FAR * FAR),
    array<f32, 3>(0.0, 0.0, 1.0),
    array<f32, 3>(0.0, AT_NEAR, 0.0),
    array<f32, 3>(0.0, AT_NEAR, 0.0),
    array<f32, 3>(0.0, AT_FAR, 0.0),
    array<f32, 3>(0.0, AT_FAR, 0.0),
);

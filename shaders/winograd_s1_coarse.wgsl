// winograd_s1_coarse: a gradient by a convolution's result as Winograd's algorithm F(3x3, 4x4) multiplies it, M d M' for every
// tile d of 4 x 4 pixels and every channel.
//
// Reads     coarse [batch, height, width, outputs], zero outside.
// Writes    transformed: 36 matrices outputs x tiles (shared/winograd.wgsl), every element once; those of tiles beyond the
//           last one are 0.
// Dispatch  x = ceil(tiles / 64), y = outputs.
// Longest loop  36.
// needs: grid, winograd, winograd_s1_points, winograd_both, blocks, winograd_coarse

const ROWS = 6u;
const COLUMNS = 4u;
const MATRIX = array<array<f32, 4>, 6>(
    array<f32, 4>(AT_ZERO, 0.0, 0.0, 0.0),
    array<f32, 4>(AT_NEAR, AT_NEAR * NEAR, AT_NEAR * NEAR2, AT_NEAR * NEAR * NEAR2),
    array<f32, 4>(AT_NEAR, -AT_NEAR * NEAR, AT_NEAR * NEAR2, -AT_NEAR * NEAR * NEAR2),
    array<f32, 4>(AT_FAR, AT_FAR * FAR, AT_FAR * FAR2, AT_FAR * FAR * FAR2),
    array<f32, 4>(AT_FAR, -AT_FAR * FAR, AT_FAR * FAR2, -AT_FAR * FAR * FAR2),
    array<f32, 4>(0.0, 0.0, 0.0, 1.0),
);

// winograd_s2_coarse: a gradient by a convolution's result as Winograd's algorithms at stride 2 multiply it for the gradient by the
// weight, M d M' for every tile d of 4 x 4 pixels and every channel.
//
// Reads     coarse [batch, height, width, outputs], zero outside.
// Writes    transformed: 25 matrices outputs x tiles (shared/winograd_s2_points.wgsl), every element once; those of tiles beyond the
//           last one are 0.
// Dispatch  x = ceil(tiles / 64), y = outputs.
// Longest loop  25.
// needs: grid, winograd, winograd_s2_points, winograd_both, blocks, winograd_coarse

const ROWS = 5u;
const COLUMNS = 4u;
const MATRIX = array<array<f32, 4>, 5>(
    array<f32, 4>(AT_NEAR, AT_NEAR * NEAR, AT_NEAR * NEAR2, AT_NEAR * NEAR * NEAR2),
    array<f32, 4>(AT_NEAR, -AT_NEAR * NEAR, AT_NEAR * NEAR2, -AT_NEAR * NEAR * NEAR2),
    array<f32, 4>(AT_FAR, AT_FAR * FAR, AT_FAR * FAR2, AT_FAR * FAR * FAR2),
    array<f32, 4>(AT_FAR, -AT_FAR * FAR, AT_FAR * FAR2, -AT_FAR * FAR * FAR2),
    array<f32, 4>(0.0, 0.0, 0.0, 1.0),
);

// Shared by matrix_product and the kernels before and behind it: the layout of the matrices,
//
//   [rows / 8, matrices, columns / 8, 8 rows, 8 columns].
//
// Blocks of 8 x 8 values are contiguous, so every read or write of a block takes whole cache lines.

// Index of an element of the first of `matrices` matrices, of `columns` columns each.
fn first_element(matrices: u32, columns: u32, row: u32, column: u32) -> u32 {
    return (row / 8u * matrices * columns + (column & ~7u) + row % 8u) * 8u + column % 8u;
}

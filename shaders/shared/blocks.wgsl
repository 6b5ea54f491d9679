// Shared by matrix_product and the kernels that make or take its matrices: their layout,
//
//   [rows / 8, matrices, columns / 8, 8 rows, 8 columns].
//
// Blocks of 8 x 8 values are contiguous, so that whatever reads or writes one takes whole cache lines at once.

// Index of an element of the first of `matrices` matrices, of `columns` columns each.
fn first_element(matrices: u32, columns: u32, row: u32, column: u32) -> u32 {
    return (row / 8u * matrices * columns + (column & ~7u) + row % 8u) * 8u + column % 8u;
}

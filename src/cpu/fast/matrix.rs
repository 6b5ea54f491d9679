//! The one place that calls the matrix crate: row-major operands as slices, checked before the call.

/// A row-major matrix, or the transpose of one.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `rows` x `columns` values, row after row.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert!(values.len() >= rows * columns, "{} values for a {rows} x {columns} matrix", values.len());
        Self { values, rows, columns, transposed: false }
    }

    /// The transpose; nothing is copied.
    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// Distances in values between rows and between columns.
    fn strides(&self) -> (isize, isize) {
        if self.transposed { (1, self.rows as isize) } else { (self.columns as isize, 1) }
    }
}

/// Whether a product may use all threads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The caller's.
    One,
    /// All of rayon's.
    All,
}

/// `out = left · right`, or `out += left · right` with `add`.
#[expect(unsafe_code, reason = "the crate takes pointers; the sizes are checked against the slices first")]
pub fn multiply(out: &mut [f32], add: bool, left: Matrix, right: Matrix, threads: Threads) {
    assert_eq!(left.columns, right.rows, "inner extents of a matrix product");
    assert!(out.len() >= left.rows * right.columns, "room for the product");
    let ((left_rows, left_columns), (right_rows, right_columns)) = (left.strides(), right.strides());
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: every slice holds at least rows x columns values (asserted above and in `Matrix::new`), the
    // strides stay inside that, and `out` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            out.as_mut_ptr(),
            1,
            right.columns as isize,
            add,
            left.values.as_ptr(),
            left_columns,
            left_rows,
            right.values.as_ptr(),
            right_columns,
            right_rows,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Values on a side of the squares that [`transpose`] takes at a time: two of them fit the first-level cache.
const SQUARE: usize = 32;

/// Writes the transpose of the row-major `from` with `columns` columns to `to`.
pub fn transpose(from: &[f32], columns: usize, to: &mut [f32]) {
    let rows = from.len() / columns;
    for row in (0..rows).step_by(SQUARE) {
        for column in (0..columns).step_by(SQUARE) {
            for c in column..columns.min(column + SQUARE) {
                let to = &mut to[c * rows + row..][..SQUARE.min(rows - row)];
                for (to, from) in to.iter_mut().zip(from[row * columns + c..].iter().step_by(columns)) {
                    *to = *from;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_plain_and_transposed_matrices() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]);
        let mut out = [10.0; 4];
        multiply(&mut out, false, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2), Threads::One);
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        multiply(&mut out, true, Matrix::new(&a, 2, 3), Matrix::new(&b, 2, 3).transposed(), Threads::One);
        assert_eq!(out, [12.0, 21.0, 30.0, 45.0]);
    }
}

//! Transposes matrices.

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
    fn a_matrix_of_any_shape_is_transposed() {
        for (rows, columns) in [(1, 1), (3, 5), (33, 70)] {
            let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let mut to = vec![0.0; rows * columns];
            transpose(&from, columns, &mut to);
            let right = |i: usize| to[i % columns * rows + i / columns] == from[i];
            assert!((0..rows * columns).all(right), "{rows} x {columns}");
        }
    }
}

// Shared by the portable forms of Winograd's kernels: MATRIX v MATRIX' for the MATRIX of ROWS x COLUMNS that each declares.

fn both(values: array<f32, COLUMNS * COLUMNS>) -> array<f32, ROWS * ROWS> {
    var matrix = MATRIX;
    var squares = values;
    var half: array<f32, ROWS * COLUMNS>;
    for (var at = 0u; at < ROWS * COLUMNS; at++) {
        for (var k = 0u; k < COLUMNS; k++) {
            half[at] += matrix[at / COLUMNS][k] * squares[k * COLUMNS + at % COLUMNS];
        }
    }
    var whole: array<f32, ROWS * ROWS>;
    for (var at = 0u; at < ROWS * ROWS; at++) {
        for (var k = 0u; k < COLUMNS; k++) {
            whole[at] += half[at / ROWS * COLUMNS + k] * matrix[at % ROWS][k];
        }
    }
    return whole;
}

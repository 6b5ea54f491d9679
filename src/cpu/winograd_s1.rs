//! Shared by the twins of Winograd's kernels at stride 1: the matrices of F(4x4, 3x3) and F(3x3, 4x4). They follow from the points
//! at which the algorithms evaluate polynomials (Lavin and Gray, "Fast algorithms for convolutional
//! neural networks", for 0, ±1, ±2 and infinity).
//!
//! The points decide the rounding. Errors against f64 results, in units of the largest value, for 64 to 512 channels of 8 to 32
//! pixels a side (values as after a leaky ReLU, weights as initialised):
//!
//! | | convolution | gradient by the weight |
//! | --- | --- | --- |
//! | points 0, ±1, ±2 | 5e-6 to 1e-5 | 2e-6 to 7e-6 |
//! | points 0, ±3/4, ±3/2 (used) | 1.3e-6 to 1.9e-6 | 8e-7 to 1.4e-6 |
//! | F(2x2, 3x3) | 3e-7 to 7e-7 | 2e-7 to 6e-7 |
//! | direct | 2e-7 to 4e-7 | 3e-7 to 6e-7 |
//!
//! All ways to convolve have a tolerance of 1e-5.

/// Elements of a transformed tile.
pub const ELEMENTS: usize = 36;

/// The points besides 0 and infinity are ±`NEAR` and ±`FAR`.
const NEAR: f64 = 0.75;
const FAR: f64 = 1.5;
const NEAR2: f64 = NEAR * NEAR;
const FAR2: f64 = FAR * FAR;
/// A point's differences to all others, multiplied.
const AT_ZERO: f64 = NEAR2 * FAR2;
const AT_NEAR: f64 = 2.0 * NEAR2 * (NEAR2 - FAR2);
const AT_FAR: f64 = 2.0 * FAR2 * (FAR2 - NEAR2);

/// For tiles of the fine side.
pub const IMAGE: [[f64; 6]; 6] = [
    [NEAR2 * FAR2, 0.0, -NEAR2 - FAR2, 0.0, 1.0, 0.0],
    [0.0, -NEAR * FAR2, -FAR2, NEAR, 1.0, 0.0],
    [0.0, NEAR * FAR2, -FAR2, -NEAR, 1.0, 0.0],
    [0.0, -FAR * NEAR2, -NEAR2, FAR, 1.0, 0.0],
    [0.0, FAR * NEAR2, -NEAR2, -FAR, 1.0, 0.0],
    [0.0, NEAR2 * FAR2, 0.0, -NEAR2 - FAR2, 0.0, 1.0],
];
/// For weights.
pub const WEIGHT: [[f64; 3]; 6] = powers();
/// For tiles of the coarse side.
pub const COARSE: [[f64; 4]; 6] = powers();
/// From products to tiles of the coarse side.
pub const RESULT: [[f64; 6]; 4] = evaluations();
/// From products to the gradient by the weight.
pub const GRADIENT: [[f64; 6]; 3] = evaluations();

/// The polynomial with these coefficients at every point, over [`AT_ZERO`] and so on.
const fn powers<const N: usize>() -> [[f64; N]; 6] {
    let points = [(0.0, AT_ZERO), (NEAR, AT_NEAR), (-NEAR, AT_NEAR), (FAR, AT_FAR), (-FAR, AT_FAR)];
    let mut rows = [[0.0; N]; 6];
    let mut row = 0;
    while row < 5 {
        let (point, over) = points[row];
        let (mut k, mut power) = (0, 1.0);
        while k < N {
            rows[row][k] = power / over;
            power *= point;
            k += 1;
        }
        row += 1;
    }
    // At infinity only the last coefficient counts.
    rows[5][N - 1] = 1.0;
    rows
}

/// The adjoint of the evaluation at every point.
const fn evaluations<const N: usize>() -> [[f64; 6]; N] {
    let points = [0.0, NEAR, -NEAR, FAR, -FAR];
    let mut rows = [[0.0; 6]; N];
    let mut column = 0;
    while column < 5 {
        let (mut k, mut power) = (0, 1.0);
        while k < N {
            rows[k][column] = power;
            power *= points[column];
            k += 1;
        }
        column += 1;
    }
    rows[N - 1][5] = 1.0;
    rows
}

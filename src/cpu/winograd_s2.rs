//! Shared by the twins of Winograd's kernels at stride 2: the phases, and the matrices of F(4, 2) and F(4, 1), of F(2, 4) and F(1, 4)
//! (`shaders/shared/winograd_s2_points.wgsl`).
//!
//! Points are pairs, because both signs of a point share their arithmetic. Errors of the points ±1/2, ±5/4 against f64 results, in
//! units of the largest value, for 16 to 256 channels of 4 to 16 coarse pixels a side: 3e-7 to 6e-7 from coarse to fine, 5e-7 to
//! 1.2e-6 from fine to coarse, 3e-7 to 8e-7 in the gradient by the weight. A direct convolution errs by 1e-7 to 6e-7. Of other
//! points ±5/8, ±5/4 and ±1/2, ±9/8 are as good. ±1/2, ±1 have twice the error, ±1, ±2 ten times, and 0, ±3/4, 3/2 twice without
//! the shared arithmetic.

/// Rows of elements of the fine side and of the weight: five of odd pixels, four of even ones.
pub const FINE_SIDE: usize = 9;
/// Elements of a transformed tile of the fine side and of a transformed weight.
pub const FINE_ELEMENTS: usize = FINE_SIDE * FINE_SIDE;
/// Rows of elements of the coarse side, of which even phases take four.
pub const COARSE_SIDE: usize = 5;
/// Elements of a transformed tile of the coarse side.
pub const COARSE_ELEMENTS: usize = COARSE_SIDE * COARSE_SIDE;

/// The points besides infinity are ±`NEAR` and ±`FAR`.
const NEAR: f64 = 0.5;
const FAR: f64 = 1.25;
const NEAR2: f64 = NEAR * NEAR;
const FAR2: f64 = FAR * FAR;
/// A point's differences to all others, multiplied, for the positive ones.
const AT_NEAR: f64 = 2.0 * NEAR * (NEAR2 - FAR2);
const AT_FAR: f64 = 2.0 * FAR * (FAR2 - NEAR2);

/// For tiles of either side that slide. The rows of the negative points have the opposite sign, as do [`AT_NEAR`] and
/// [`AT_FAR`] there.
pub const IMAGE: [[f64; 5]; COARSE_SIDE] = [
    [-NEAR * FAR2, -FAR2, NEAR, 1.0, 0.0],
    [-NEAR * FAR2, FAR2, NEAR, -1.0, 0.0],
    [-FAR * NEAR2, -NEAR2, FAR, 1.0, 0.0],
    [-FAR * NEAR2, NEAR2, FAR, -1.0, 0.0],
    [NEAR2 * FAR2, 0.0, -NEAR2 - FAR2, 0.0, 1.0],
];
/// For weights: odd pixels meet the outer taps, even ones that in the middle.
pub const WEIGHT: [[f64; 3]; FINE_SIDE] = [
    [1.0 / AT_NEAR, 0.0, NEAR / AT_NEAR],
    [1.0 / AT_NEAR, 0.0, -NEAR / AT_NEAR],
    [1.0 / AT_FAR, 0.0, FAR / AT_FAR],
    [1.0 / AT_FAR, 0.0, -FAR / AT_FAR],
    [0.0, 0.0, 1.0],
    [0.0, 1.0 / AT_NEAR, 0.0],
    [0.0, 1.0 / AT_NEAR, 0.0],
    [0.0, 1.0 / AT_FAR, 0.0],
    [0.0, 1.0 / AT_FAR, 0.0],
];
/// For tiles of the coarse side that do not slide.
pub const COARSE: [[f64; 4]; COARSE_SIDE] = [
    [1.0 / AT_NEAR, NEAR / AT_NEAR, NEAR2 / AT_NEAR, NEAR * NEAR2 / AT_NEAR],
    [1.0 / AT_NEAR, -NEAR / AT_NEAR, NEAR2 / AT_NEAR, -NEAR * NEAR2 / AT_NEAR],
    [1.0 / AT_FAR, FAR / AT_FAR, FAR2 / AT_FAR, FAR * FAR2 / AT_FAR],
    [1.0 / AT_FAR, -FAR / AT_FAR, FAR2 / AT_FAR, -FAR * FAR2 / AT_FAR],
    [0.0, 0.0, 0.0, 1.0],
];
/// From products to the pixels of a phase.
pub const RESULT: [[f64; COARSE_SIDE]; 4] = [
    [1.0, 1.0, 1.0, 1.0, 0.0],
    [NEAR, -NEAR, FAR, -FAR, 0.0],
    [NEAR2, NEAR2, FAR2, FAR2, 0.0],
    [NEAR * NEAR2, -NEAR * NEAR2, FAR * FAR2, -FAR * FAR2, 1.0],
];
/// From products to the gradient by the weight.
pub const GRADIENT: [[f64; FINE_SIDE]; 3] = [
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
    [NEAR, -NEAR, FAR, -FAR, 1.0, 0.0, 0.0, 0.0, 0.0],
];

/// The rows, or the columns, of every other pixel of the fine side.
#[derive(Clone, Copy)]
pub enum Phase {
    /// 1, 3 and so on.
    Odd,
    /// 0, 2 and so on.
    Even,
}

/// Rows and columns of all four phases.
pub const PHASES: [[Phase; 2]; 4] = [
    [Phase::Odd, Phase::Odd],
    [Phase::Odd, Phase::Even],
    [Phase::Even, Phase::Odd],
    [Phase::Even, Phase::Even],
];

impl Phase {
    /// Which of all nine rows of elements is row `k` of this phase, if it has one.
    pub fn element(self, k: usize) -> Option<usize> {
        match self {
            Self::Odd => Some(k),
            Self::Even => Some(5 + k).filter(|&row| row < FINE_SIDE),
        }
    }

    /// 1 for odd ones.
    pub fn offset(self) -> usize {
        match self {
            Self::Odd => 1,
            Self::Even => 0,
        }
    }
}

/// Which of all 81 elements is one of a phase's 25, if it has it.
pub fn fine_element([rows, columns]: [Phase; 2], k: usize) -> Option<usize> {
    let [row, column] = [rows.element(k / COARSE_SIDE)?, columns.element(k % COARSE_SIDE)?];
    Some(row * FINE_SIDE + column)
}

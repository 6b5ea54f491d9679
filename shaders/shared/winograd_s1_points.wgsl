// Shared by the kernels of Winograd's algorithms F(4x4, 3x3) and F(3x3, 4x4), for stride 1: their points.
//
// A tile of the coarse side meets 6 x 6 pixels of the fine side; a transformed tile has 36 elements.
//
// Both algorithms multiply polynomials by their values at six points. Usual are 0, ±1, ±2 and infinity; 0, ±3/4, ±3/2 and
// infinity are as cheap, and their rounding is a third (src/cpu/winograd_s1.rs has the matrices and the figures).

// Elements of a transformed tile.
const ELEMENTS: u32 = 36u;

// The inner points' squares, and what the points' differences to all others multiply to.
const NEAR: f32 = 0.75;
const FAR: f32 = 1.5;
const NEAR2: f32 = NEAR * NEAR;
const FAR2: f32 = FAR * FAR;
const AT_ZERO: f32 = 1.0 / (NEAR2 * FAR2);
const AT_NEAR: f32 = 1.0 / (2.0 * NEAR2 * (NEAR2 - FAR2));
const AT_FAR: f32 = 1.0 / (2.0 * FAR2 * (FAR2 - NEAR2));

// The point of an element's row or column, but for the last one's, infinity.
fn point(i: u32) -> f32 {
    let size = select(select(FAR, NEAR, i < 3u), 0.0, i == 0u);
    return select(size, -size, i % 2u == 0u);
}

// One over the differences of that point to all others; 1 for infinity.
fn scale(i: u32) -> f32 {
    let inner = select(select(AT_FAR, AT_NEAR, i < 3u), AT_ZERO, i == 0u);
    return select(inner, 1.0, i == 5u);
}

// Powers of that point, of which infinity has the last alone: what row i takes of three or four coefficients, and what they
// take of row i.
fn three_powers(i: u32) -> vec3<f32> {
    let p = point(i);
    return select(vec3<f32>(1.0, p, p * p), vec3<f32>(0.0, 0.0, 1.0), i == 5u);
}

fn four_powers(i: u32) -> vec4<f32> {
    let p = point(i);
    return select(vec4<f32>(1.0, p, p * p, p * p * p), vec4<f32>(0.0, 0.0, 0.0, 1.0), i == 5u);
}

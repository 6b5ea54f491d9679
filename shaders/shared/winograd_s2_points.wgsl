// Shared by the kernels of Winograd's algorithms for 3x3 kernels at stride 2: their phases and their points.
//
// At stride 2 a row of the fine side is two rows. Its even pixels meet only the middle tap. Its odd pixels meet the two outer taps, for
// neighbouring pixels of the coarse side. So 4 x 4 coarse pixels and a phase are F(4, 2) or F(4, 1) along each direction: 5 or 4
// multiplications, 81 in total for the four phases in place of 144. F(2, 4) and F(1, 4) compute the gradient by the weight.
//
// F(4, 2) and F(2, 4) multiply polynomials by their values at five points: ±NEAR, ±FAR and infinity. With one tap the value at
// infinity is zero. Elements 0 to 4 of a row or column belong to odd pixels, elements 5 to 8 to even pixels. The coarse side
// has the same 25 elements for all phases.

// Elements of a transformed tile of the fine side and of the weight, along a side of the square.
const FINE_SIDE: u32 = 9u;
const FINE_ELEMENTS: u32 = FINE_SIDE * FINE_SIDE;
// The same of the coarse side.
const COARSE_SIDE: u32 = 5u;
const COARSE_ELEMENTS: u32 = COARSE_SIDE * COARSE_SIDE;

// The points, their squares, and one over the product of a point's differences to the others, of which those of the
// negative points have the opposite sign, here and where the fine or the coarse side is read.
const NEAR: f32 = 0.5;
const FAR: f32 = 1.25;
const NEAR2: f32 = NEAR * NEAR;
const FAR2: f32 = FAR * FAR;
const AT_NEAR: f32 = 1.0 / (2.0 * NEAR * (NEAR2 - FAR2));
const AT_FAR: f32 = 1.0 / (2.0 * FAR * (FAR2 - NEAR2));

// The point of a row or column of odd pixels, but for the last one's, infinity.
fn point(i: u32) -> f32 {
    let size = select(FAR, NEAR, i < 2u);
    return select(size, -size, i % 2u == 1u);
}

// One over its differences to the others; 1 for infinity.
fn scale(i: u32) -> f32 {
    return select(select(AT_FAR, AT_NEAR, i < 2u), 1.0, i == 4u);
}

// What row i of all nine takes of three taps, but for the scale.
fn taps_of(i: u32) -> vec3<f32> {
    let outer = select(vec3<f32>(1.0, 0.0, point(i)), vec3<f32>(0.0, 0.0, 1.0), i == 4u);
    return select(outer, vec3<f32>(0.0, 1.0, 0.0), i > 4u);
}

// Powers of row i's point, of which infinity has the last alone.
fn four_powers(i: u32) -> vec4<f32> {
    let p = point(i);
    return select(vec4<f32>(1.0, p, p * p, p * p * p), vec4<f32>(0.0, 0.0, 0.0, 1.0), i == 4u);
}

// Whether a phase is of even rows and columns; there are four.
fn even(phase: u32) -> vec2<bool> {
    return vec2<bool>(phase / 2u == 1u, phase % 2u == 1u);
}

// The first row and column of its elements.
fn first_of(phase: u32) -> vec2<u32> {
    return select(vec2<u32>(), vec2<u32>(5u), even(phase));
}

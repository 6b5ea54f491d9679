//! Winograd's transforms along one axis, for a vector of channels: the matrices of `cpu::winograd_s1`, with what their rows share
//! computed once. The points are 0, ±a, ±b and infinity.

use crate::cpu::winograd_s1::{AT_FAR, AT_NEAR, AT_ZERO, FAR, NEAR};
use pulp::Simd;

const A: f32 = NEAR as f32;
const B: f32 = FAR as f32;
const A2: f32 = (NEAR * NEAR) as f32;
const B2: f32 = (FAR * FAR) as f32;
const A3: f32 = (NEAR * NEAR * NEAR) as f32;
const B3: f32 = (FAR * FAR * FAR) as f32;
const NEAR_0: f32 = (1.0 / AT_NEAR) as f32;
const FAR_0: f32 = (1.0 / AT_FAR) as f32;

/// Six inputs at all points: the matrix `IMAGE`.
#[inline(always)]
pub fn field<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
    let [even_a, odd_a] = [add(simd, -B2, d[2], d[4]), add(simd, -B2, d[1], d[3])];
    let [even_b, odd_b] = [add(simd, -A2, d[2], d[4]), add(simd, -A2, d[1], d[3])];
    let low = add(simd, -A2 - B2, d[2], d[4]);
    let high = add(simd, -A2 - B2, d[3], d[5]);
    [
        add(simd, A2 * B2, d[0], low),
        add(simd, A, odd_a, even_a),
        add(simd, -A, odd_a, even_a),
        add(simd, B, odd_b, even_b),
        add(simd, -B, odd_b, even_b),
        add(simd, A2 * B2, d[1], high),
    ]
}

/// Three weights at all points: the matrix `WEIGHT`.
#[inline(always)]
pub fn weight<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 6] {
    let near = add(simd, NEAR_0, g[0], times(simd, NEAR_0 * A2, g[2]));
    let far = add(simd, FAR_0, g[0], times(simd, FAR_0 * B2, g[2]));
    [
        times(simd, (1.0 / AT_ZERO) as f32, g[0]),
        add(simd, NEAR_0 * A, g[1], near),
        add(simd, -NEAR_0 * A, g[1], near),
        add(simd, FAR_0 * B, g[1], far),
        add(simd, -FAR_0 * B, g[1], far),
        g[2],
    ]
}

/// From products at all points to four outputs: the matrix `RESULT`.
#[inline(always)]
pub fn result<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
    let (even_a, odd_a) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (even_b, odd_b) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(even_a, even_b)),
        add(simd, A, odd_a, times(simd, B, odd_b)),
        add(simd, A2, even_a, times(simd, B2, even_b)),
        add(simd, A3, odd_a, add(simd, B3, odd_b, m[5])),
    ]
}

/// `by * value + to`.
#[inline(always)]
fn add<S: Simd>(simd: S, by: f32, value: S::f32s, to: S::f32s) -> S::f32s {
    simd.mul_add_f32s(simd.splat_f32s(by), value, to)
}

/// `by * value`.
#[inline(always)]
fn times<S: Simd>(simd: S, by: f32, value: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(by), value)
}

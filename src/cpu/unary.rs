//! Twin of `shaders/unary.wgsl`.

use super::{CHUNK, flushed, simd, source_index};
use crate::kernels::Arguments;
use crate::kernels::params::UnaryParams;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Reads x; writes `f(x)`, x being broadcast as the constant SOURCE says.
pub fn unary(call: &mut Arguments) {
    let p: UnaryParams = call.params();
    let (operation, source) = (call.constant("OPERATION"), call.constant("SOURCE"));
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = apply(operation, x[source_index(source, chunk * CHUNK + i, p.length, p.stretch)], p.a, p.b);
        }
    });
}

/// `f(x)` value by value, flushed.
pub(super) fn block(operation: u32, x: &[f32], a: f32, b: f32, out: &mut [f32]) {
    simd::dispatch(Block { operation, x, a, b, out });
}

struct Block<'a> {
    operation: u32,
    x: &'a [f32],
    a: f32,
    b: f32,
    out: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    /// One loop per function, so that the compiler can use vectors.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        #[expect(clippy::inline_always, reason = "so that it is compiled for the caller's instructions")]
        #[inline(always)]
        fn each<const OPERATION: u32>(x: &[f32], a: f32, b: f32, out: &mut [f32]) {
            out.iter_mut().zip(x).for_each(|(out, &x)| *out = flushed(apply(OPERATION, x, a, b)));
        }
        super::by_operation!(self.operation, each(self.x, self.a, self.b, self.out));
    }
}

/// The function of one value.
#[expect(clippy::inline_always, reason = "so that the operation is known in each loop")]
#[inline(always)]
pub fn apply(operation: u32, v: f32, a: f32, b: f32) -> f32 {
    match operation {
        1 => a * v + b,
        2 => v.max(a).min(b),
        3 => {
            if v > 0.0 {
                v
            } else {
                a * v
            }
        }
        4 => v.exp(),
        5 => v.ln(),
        6 => v.tanh(),
        7 => 1.0 / (1.0 + (-v).exp()),
        8 => v.sqrt(),
        9 => v * v,
        10 => v.abs(),
        11 => {
            if v == 0.0 {
                0.0
            } else {
                v.signum()
            }
        }
        12 => 1.0 / v,
        13 => erf(v),
        14 => v.max(0.0) + (-v.abs()).exp().ln_1p(),
        15 => f64::from(v).powf(f64::from(a)) as f32,
        _ => v,
    }
}

/// The error function, by the polynomials of `shaders/shared/functions.wgsl`.
fn erf(x: f32) -> f32 {
    let polynomial = |at: f32, from: f32, coefficients: &[f32]| {
        coefficients.iter().fold(from, |sum, &coefficient| sum * at + coefficient)
    };
    if x.abs() > 0.927_734_4 {
        let t = x.abs().min(4.0);
        let high = (-1.728_534_7e-5 * t + 3.831_971_3e-4) * (t * t) + (-3.883_964_4e-3 * t + 2.425_462_2e-2);
        let exponent = polynomial(t, high, &[-0.106_777_88, -0.634_846_7, -0.128_717_51]) * t - t;
        return x.signum() * (1.0 - exponent.exp());
    }
    let coefficients = [4.991_194_2e-3, -2.676_813_5e-2, 0.112_819_925, -0.376_125_34, 0.128_379_17];
    polynomial(x * x, -5.967_617e-4, &coefficients) * x + x
}

#[cfg(test)]
mod tests {
    use super::erf;

    /// 2/√π times the Taylor series, whose terms stay below 1e5 for |x| ≤ 3.5.
    fn series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        std::f64::consts::FRAC_2_SQRT_PI * sum
    }

    #[test]
    fn the_error_function_is_right_to_the_last_digits() {
        for i in -3500..=3500 {
            let x = i as f32 / 1000.0;
            let expected = series(f64::from(x));
            let error = f64::from(erf(x)) - expected;
            assert!(error.abs() <= 6.5e-8 && error.abs() <= 1.2e-7 * expected.abs(), "erf({x}): off by {error:e}");
        }
        assert_eq!([4.0, 9.0, f32::INFINITY, -5.0, f32::NEG_INFINITY].map(erf), [1.0, 1.0, 1.0, -1.0, -1.0]);
        assert!(erf(f32::NAN).is_nan());
    }
}

//! Vector instructions, chosen at run time by the `pulp` crate: without it, the compiler may use only those that every
//! processor of the family has. Results are the same to the bit, except where a multiplication and an addition are asked for as one.

#![expect(
    clippy::inline_always,
    reason = "vector instructions are chosen for the caller, and what is not part of it is compiled without them"
)]

use pulp::{Arch, Simd, WithSimd};
use std::sync::LazyLock;

static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Runs work with the instructions of this machine.
pub fn dispatch<W: WithSimd>(work: W) -> W::Output {
    ARCH.dispatch(work)
}

/// Values that are added side by side.
const LANES: usize = 8;
/// Values whose sums side by side are then added.
pub const SUMMED: usize = 256;

/// The sum of `values` in f64. Values of one lane are added one after the other, [`SUMMED`] values at a time.
pub fn sum(values: &[f32]) -> f64 {
    dispatch(Sum(values))
}

struct Sum<'a>(&'a [f32]);

impl WithSimd for Sum<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut total = 0.0;
        for values in self.0.chunks(SUMMED) {
            let mut sums = [0.0f64; LANES];
            let (all, rest) = values.as_chunks::<LANES>();
            for values in all {
                // A closure would be compiled without vector instructions.
                for (sum, &value) in sums.iter_mut().zip(values) {
                    *sum += f64::from(value);
                }
            }
            sums.iter_mut().zip(rest).for_each(|(sum, &value)| *sum += f64::from(value));
            total += sums.iter().sum::<f64>();
        }
        total
    }
}

/// Writes zeros for values that are smaller than the smallest normal number, the negative zero included.
pub fn flush(values: &mut [f32]) {
    // Only looking is cheaper, and hardly ever is there one.
    if has_small(values) {
        for value in values {
            *value = super::flushed(*value);
        }
    }
}

/// Whether [`flush`] would change a value.
pub fn has_small(values: &[f32]) -> bool {
    dispatch(HasSmall(values))
}

struct HasSmall<'a>(&'a [f32]);

impl WithSimd for HasSmall<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        // Numbers, so that the compiler uses vectors.
        let small =
            |value: &f32| u32::from(value.to_bits() != 0) & u32::from(value.abs() < f32::MIN_POSITIVE);
        self.0.iter().fold(0, |any, value| any | small(value)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_lose_nothing_and_do_not_depend_on_how_a_row_is_cut_into_blocks() {
        let values: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin() * 10f32.powi(i % 7 - 3)).collect();
        let exact: f64 = values.iter().map(|&v| f64::from(v)).sum();
        assert!((sum(&values) - exact).abs() < 1e-11);
        let parts: f64 = values.chunks(SUMMED).map(sum).sum();
        assert_eq!(sum(&values), parts);
    }

    #[test]
    fn only_numbers_too_small_to_be_normal_become_zero() {
        let mut values = vec![1e-39, -1e-39, f32::MIN_POSITIVE, -1.0, f32::INFINITY, 0.0, -0.0];
        assert!(has_small(&values) && has_small(&[-0.0]) && !has_small(&values[2..6]));
        flush(&mut values);
        assert_eq!(values, [0.0, 0.0, f32::MIN_POSITIVE, -1.0, f32::INFINITY, 0.0, 0.0]);
        assert!(values[6].is_sign_positive());
    }
}

//! How far a form's result is from its twin's, judged by the tolerance of the kernel.

use super::Tolerance;

/// The worst element of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// |Δ|.
    pub absolute: f32,
    /// |Δ| in units of the largest reference value.
    pub relative: f32,
    /// Where.
    pub index: usize,
    /// Elements outside the tolerance.
    pub outside: usize,
}

/// What results may differ from their reference: `|Δ| ≤ absolute · max|ref| + relative · |ref| + slack`, where the maximum is over
/// finite values. Infinities and what is no number must be the same. Numbers below the smallest normal one may be flushed to zero.
pub struct Allowed<'a> {
    floor: f32,
    relative: f32,
    slack: &'a [f32],
}

impl<'a> Allowed<'a> {
    /// For this reference; an empty slack is none.
    pub fn new(expected: &[f32], tolerance: Tolerance, slack: &'a [f32]) -> Self {
        let floor = tolerance.absolute * largest(expected) + f32::MIN_POSITIVE;
        Self { floor, relative: tolerance.relative, slack }
    }

    /// Whether `own` may stand where the reference has `expected`, at this index.
    pub fn allows(&self, index: usize, own: f32, expected: f32) -> bool {
        if is_same(own, expected) {
            return true;
        }
        let most = self.floor + self.relative * expected.abs() + self.slack.get(index).unwrap_or(&0.0);
        let delta = (own - expected).abs();
        // A slack that is no number is one of which nothing is known.
        expected.is_finite() && !own.is_nan() && (delta <= most || most.is_nan())
    }
}

fn is_same(own: f32, expected: f32) -> bool {
    own.to_bits() == expected.to_bits() || (own.is_nan() && expected.is_nan())
}

/// The largest finite magnitude.
pub fn largest(values: &[f32]) -> f32 {
    values.iter().filter(|v| v.is_finite()).fold(0.0, |most, v| v.abs().max(most))
}

/// Compares `own` with `expected`, as [`Allowed`] says; an empty slack is none.
pub fn worst(own: &[f32], expected: &[f32], tolerance: Tolerance, slack: &[f32]) -> Worst {
    let allowed = Allowed::new(expected, tolerance, slack);
    let mut worst = Worst { absolute: 0.0, relative: 0.0, index: 0, outside: 0 };
    for (index, (&a, &b)) in own.iter().zip(expected).enumerate() {
        worst.outside += usize::from(!allowed.allows(index, a, b));
        let delta = if is_same(a, b) { 0.0 } else { (a - b).abs() };
        let size = if delta.is_nan() { f32::INFINITY } else { delta };
        if size > worst.absolute {
            worst.absolute = size;
            worst.index = index;
        }
    }
    worst.relative = if worst.absolute == 0.0 { 0.0 } else { worst.absolute / largest(expected) };
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Tolerance = Tolerance { absolute: 1e-3, relative: 1e-3 };

    fn outside(own: &[f32], expected: &[f32]) -> usize {
        worst(own, expected, SMALL, &[]).outside
    }

    #[test]
    fn one_infinity_in_the_reference_does_not_allow_everything() {
        let expected = [1.0, f32::INFINITY, -2.0];
        assert_eq!(outside(&expected, &expected), 0);
        assert_eq!(outside(&[1.001, f32::INFINITY, -2.001], &expected), 0);
        let wrong = worst(&[1.5, f32::INFINITY, -2.0], &expected, SMALL, &[]);
        assert_eq!(wrong, Worst { absolute: 0.5, relative: 0.25, index: 0, outside: 1 });
    }

    #[test]
    fn infinities_and_what_is_no_number_must_be_met() {
        let (infinity, nan) = (f32::INFINITY, f32::NAN);
        let pairs = [(1e30, infinity), (-infinity, infinity), (infinity, 1.0), (nan, 1.0), (1.0, nan)];
        for (own, expected) in pairs {
            assert_eq!(outside(&[own], &[expected]), 1, "{own} for {expected}");
        }
        assert_eq!(outside(&[nan, -nan], &[nan, nan]), 0);
        assert_eq!(outside(&[0.0], &[1e-40]), 0, "flushed");
    }

    #[test]
    fn slack_is_for_one_value() {
        let slack = [0.5, 0.0, f32::NAN];
        assert_eq!(worst(&[1.4, 1.4, 9.0], &[1.0; 3], SMALL, &slack).outside, 1);
    }
}

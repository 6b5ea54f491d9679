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
    /// Elements outside the tolerance; anything that is not a number on one side only is outside.
    pub outside: usize,
}

/// Compares `own` with `expected` under `|Δ| ≤ absolute · max|ref| + relative · |ref| + slack`; an empty slack is none.
pub fn worst(own: &[f32], expected: &[f32], tolerance: Tolerance, slack: &[f32]) -> Worst {
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let mut worst = Worst { absolute: 0.0, relative: 0.0, index: 0, outside: 0 };
    for (index, (&a, &b)) in own.iter().zip(expected).enumerate() {
        let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let delta = if same { 0.0 } else { (a - b).abs() };
        let allowed =
            tolerance.absolute * largest + tolerance.relative * b.abs() + slack.get(index).unwrap_or(&0.0);
        let outside = delta.is_nan() || delta > allowed;
        worst.outside += usize::from(outside);
        let size = if delta.is_nan() { f32::INFINITY } else { delta };
        if size > worst.absolute {
            worst.absolute = size;
            worst.index = index;
        }
    }
    worst.relative = if worst.absolute == 0.0 { 0.0 } else { worst.absolute / largest };
    worst
}

//! The geometry of resizing: where in its operand each position of a result is read. Positions are fractions of whole
//! numbers, so both executors and the adjoint agree on them to the last one, and no rounding decides which pixel is next.

use serde::{Deserialize, Serialize};

/// Where a position of the result is in the operand; `r` is operand positions per result position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coordinates {
    /// `o·r` (PyTorch's `nearest`; ONNX's `asymmetric`).
    Asymmetric,
    /// `(o + 1/2)·r − 1/2` (PyTorch's `align_corners=False` and `nearest-exact`; ONNX's `half_pixel`).
    HalfPixel,
    /// First on first and last on last (PyTorch's `align_corners=True`; ONNX's `align_corners`).
    Corners,
}

/// Which pixel is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// The one at or before the place (PyTorch's `nearest`; ONNX's `floor`).
    Floor,
    /// The one at or behind it (ONNX's `ceil`).
    Ceil,
    /// The nearer one; in the middle the one before (ONNX's `round_prefer_floor`, its default).
    HalfDown,
    /// The nearer one; in the middle the one behind (ONNX's `round_prefer_ceil`; with `HalfPixel` PyTorch's `nearest-exact`).
    HalfUp,
}

/// What is read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// One pixel.
    Nearest(Rounding),
    /// The two neighbours along either side, by their distance; beyond the borders the border's.
    Linear,
}

/// A change of height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Height and width of the operand.
    pub from: [usize; 2],
    /// Height and width of the result.
    pub to: [usize; 2],
    /// Operand positions per result position along either side, as fractions; `Corners` follow from the sizes alone.
    pub ratio: [[usize; 2]; 2],
    /// Where positions are.
    pub coordinates: Coordinates,
    /// What is read.
    pub sampling: Sampling,
}

/// Result position o is at `(o·multiply + add) / divide` of the operand, of which the whole part counts, and between
/// pixels the rest too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub multiply: i64,
    pub add: i64,
    pub divide: i64,
}

impl Resize {
    /// From one size to another; the ratio is that of the sizes.
    pub fn new(from: [usize; 2], to: [usize; 2], coordinates: Coordinates, sampling: Sampling) -> Self {
        Self { from, to, ratio: [[from[0], to[0]], [from[1], to[1]]], coordinates, sampling }
    }

    /// As PyTorch's `nearest`.
    pub fn nearest(from: [usize; 2], to: [usize; 2]) -> Self {
        Self::new(from, to, Coordinates::Asymmetric, Sampling::Nearest(Rounding::Floor))
    }

    /// As PyTorch's `bilinear`.
    pub fn bilinear(from: [usize; 2], to: [usize; 2], align_corners: bool) -> Self {
        let coordinates = if align_corners { Coordinates::Corners } else { Coordinates::HalfPixel };
        Self::new(from, to, coordinates, Sampling::Linear)
    }

    /// By factors, which need not lead to a whole size: the size is rounded down, the ratio is the factor's own, as in
    /// PyTorch and ONNX. `None` for a factor that is no positive fraction with a denominator up to 1000.
    pub fn scaled(
        from: [usize; 2],
        factors: [f64; 2],
        coordinates: Coordinates,
        sampling: Sampling,
    ) -> Option<Self> {
        let [rows, columns] = [fraction(factors[0])?, fraction(factors[1])?];
        let to = [from[0] * rows[0] / rows[1], from[1] * columns[0] / columns[1]];
        let ratio = [rows, columns].map(|[up, down]| [down, up]);
        Some(Self { from, to, ratio, coordinates, sampling })
    }

    /// The steps along rows and columns.
    pub(crate) fn steps(&self) -> [Step; 2] {
        [0, 1].map(|side| self.step(side))
    }

    fn step(&self, side: usize) -> Step {
        let [numerator, denominator] = self.ratio[side].map(|v| v as i64);
        let last = |length: usize| length as i64 - 1;
        let exact = match self.coordinates {
            Coordinates::Asymmetric => Step { multiply: numerator, add: 0, divide: denominator },
            Coordinates::HalfPixel => {
                Step { multiply: 2 * numerator, add: numerator - denominator, divide: 2 * denominator }
            }
            Coordinates::Corners if self.to[side] <= 1 => Step { multiply: 0, add: 0, divide: 1 },
            Coordinates::Corners => {
                Step { multiply: last(self.from[side]), add: 0, divide: last(self.to[side]) }
            }
        };
        let Step { multiply, add, divide } = exact;
        // The whole part of another fraction is what the rounding gives.
        match self.sampling {
            Sampling::Linear | Sampling::Nearest(Rounding::Floor) => exact,
            Sampling::Nearest(Rounding::Ceil) => Step { add: add + divide - 1, ..exact },
            Sampling::Nearest(Rounding::HalfUp) => {
                Step { multiply: 2 * multiply, add: 2 * add + divide, divide: 2 * divide }
            }
            Sampling::Nearest(Rounding::HalfDown) => {
                Step { multiply: 2 * multiply, add: 2 * add + divide - 1, divide: 2 * divide }
            }
        }
    }

    /// Whether all positions can be counted in 31 bits, and there is something to read and to write.
    pub(crate) fn fits(&self) -> bool {
        let sizes = self.from.iter().chain(&self.to).chain(self.ratio.iter().flatten());
        // No product of the following overflows.
        if sizes.clone().any(|&size| size == 0 || size > 1 << 20) {
            return false;
        }
        [0, 1].iter().all(|&side| {
            let Step { multiply, add, divide } = self.step(side);
            let most =
                (multiply * self.to[side] as i64 + add.abs()).max((self.from[side] as i64 + 1) * divide);
            most + divide < 1 << 31
        })
    }
}

/// The fraction with the smallest denominator that is a factor to seven digits.
fn fraction(factor: f64) -> Option<[usize; 2]> {
    (1..=1000u32).find_map(|denominator| {
        let numerator = (factor * f64::from(denominator)).round();
        let error = (numerator / f64::from(denominator) - factor).abs();
        let near = (1.0..=1e6).contains(&numerator) && error <= 1e-7 * factor;
        near.then_some([numerator as usize, denominator as usize])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_become_fractions() {
        assert_eq!(fraction(2.0), Some([2, 1]));
        assert_eq!(fraction(f64::from(2.3f32)), Some([23, 10]));
        assert_eq!(fraction(1.0 / 3.0), Some([1, 3]));
        assert_eq!([0.0, -2.0, f64::NAN, f64::INFINITY, std::f64::consts::SQRT_2].map(fraction), [None; 5]);
        let resize = |factor| {
            Resize::scaled([5, 5], [factor, 2.0], Coordinates::Asymmetric, Sampling::Linear).unwrap()
        };
        assert_eq!((resize(1.5).to, resize(1.5).ratio), ([7, 10], [[2, 3], [1, 2]]));
        assert!(!resize(0.1).fits(), "nothing would be left");
    }
}

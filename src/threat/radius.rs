//! The ball around an image that an attack keeps to, and whether a perturbation lies in it.

use super::norm::Norm;

/// What a projection's length may be off by, in units of the radius.
const LENGTH_ROUNDING: f64 = 1e-4;
/// What a pixel may be off by: adding a perturbation to it and taking it away again rounds twice.
const PIXEL_ROUNDING: f64 = 2e-7;

/// A ball around every image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Radius {
    /// How lengths are measured.
    pub norm: Norm,
    /// Its radius.
    pub epsilon: f32,
}

impl Radius {
    /// In L2, as in the paper.
    pub fn l2(epsilon: f32) -> Self {
        Self { norm: Norm::L2, epsilon }
    }

    /// Whether the ball has a perturbation of this length, of an image of so many values, give or take rounding. It does not have
    /// one whose length is no number.
    pub fn holds(self, length: f64, pixels: usize) -> bool {
        let rounded = match self.norm {
            Norm::L2 => (pixels as f64).sqrt(),
            Norm::Linf => 1.0,
        };
        length <= f64::from(self.epsilon) * (1.0 + LENGTH_ROUNDING) + PIXEL_ROUNDING * rounded
    }
}

impl std::fmt::Display for Radius {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} epsilon {}", self.norm.name(), self.epsilon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_radius_holds_what_rounding_of_pixels_makes_of_it() {
        let ball = Radius { norm: Norm::Linf, epsilon: 5e-5 };
        let image: Vec<f32> = (0..64_u8).map(|i| f32::from(i) / 64.0).collect();
        let moved: Vec<f32> = image.iter().map(|pixel| pixel + ball.epsilon).collect();
        let length = ball.norm.distance(&image, &moved);
        // The sum of pixel and perturbation was rounded, by more than the length of a projection is.
        assert!(length > f64::from(ball.epsilon) * (1.0 + LENGTH_ROUNDING), "{length}");
        assert!(ball.holds(length, 64) && !ball.holds(5.1e-5, 64) && !ball.holds(f64::NAN, 64));
    }

    #[test]
    fn in_l2_the_rounding_of_all_pixels_adds_up() {
        let ball = Radius::l2(5e-5);
        assert!(ball.holds(5e-5 + 8.0 * PIXEL_ROUNDING, 64) && !ball.holds(5e-5 + 9.0 * PIXEL_ROUNDING, 64));
        assert!(Radius::l2(0.5).holds(0.50005, 64) && !Radius::l2(0.5).holds(0.5006, 64));
    }
}

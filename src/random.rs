//! Counter-based random numbers: the same four integers give the same four integers, on any
//! machine, in any order. Weights, shuffles, augmentation and the device's random kernels
//! (`shaders/random.wgsl`) all draw from this one function, so a seed repeats a run.
//!
//! The permutation is PCG4D (Jarzynski and Olano, "Hash Functions for GPU Rendering", 2020):
//! 32-bit operations only, because WGSL has no 64-bit integers.

/// What a random number is for. Streams of one seed never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Initial weights of the classifier.
    ClassifierInit = 1,
    /// Initial weights of the generator.
    GeneratorInit = 2,
    /// The order of the training images in an epoch.
    Shuffle = 3,
    /// Flips and crops.
    Augment = 4,
    /// Which images go to the validation split.
    Split = 5,
    /// Random starts of attacks.
    Attack = 6,
    /// Bootstrap resampling.
    Bootstrap = 7,
}

/// PCG4D: mixes four 32-bit integers into four.
pub const fn pcg4d(v: [u32; 4]) -> [u32; 4] {
    let [mut x, mut y, mut z, mut w] = v;
    x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    y = y.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    z = z.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    w = w.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    x = x.wrapping_add(y.wrapping_mul(w));
    y = y.wrapping_add(z.wrapping_mul(x));
    z = z.wrapping_add(x.wrapping_mul(y));
    w = w.wrapping_add(y.wrapping_mul(z));
    x ^= x >> 16;
    y ^= y >> 16;
    z ^= z >> 16;
    w ^= w >> 16;
    x = x.wrapping_add(y.wrapping_mul(w));
    y = y.wrapping_add(z.wrapping_mul(x));
    z = z.wrapping_add(x.wrapping_mul(y));
    w = w.wrapping_add(y.wrapping_mul(z));
    [x, y, z, w]
}

/// The 32 bits that `random_normal` takes of a seed. Seeds below 2^32 are themselves.
pub const fn folded(seed: u64) -> u32 {
    seed as u32 ^ ((seed >> 32) as u32).wrapping_mul(0x9e37_79b9)
}

/// A uniform number in (0, 1) from 24 bits, never 0 and never 1.
pub fn unit(bits: u32) -> f32 {
    // The largest sum would round up to 2^24.
    (((bits >> 8) as f32 + 0.5) / 16_777_216.0).min(1.0 - f32::EPSILON / 2.0)
}

/// One seed's stream of numbers, addressed by an index rather than drawn in sequence.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    seed: u64,
    stream: Stream,
}

impl Random {
    /// The stream `stream` of `seed`.
    pub const fn new(seed: u64, stream: Stream) -> Self {
        Self { seed, stream }
    }

    /// Four 32-bit integers for `(major, minor)`, for instance (epoch, image).
    pub const fn bits(self, major: u32, minor: u32) -> [u32; 4] {
        let key = (self.seed >> 32) as u32 ^ (self.stream as u32).wrapping_mul(0x9e37_79b9);
        pcg4d([self.seed as u32, key, major, minor])
    }

    /// A uniform number in (0, 1).
    pub fn uniform(self, major: u32, minor: u32) -> f32 {
        unit(self.bits(major, minor)[0])
    }

    /// A standard normal number (Box and Muller).
    pub fn normal(self, major: u32, minor: u32) -> f32 {
        let [a, b, ..] = self.bits(major, minor);
        let radius = (-2.0 * f64::from(unit(a)).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(unit(b))).cos()) as f32
    }

    /// A seeded permutation of `0..len` (Fisher and Yates), one per `major`.
    pub fn permutation(self, len: usize, major: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..len as u32).collect();
        for i in (1..len).rev() {
            let bits = u64::from(self.bits(major, i as u32)[0]);
            let j = ((bits * (i as u64 + 1)) >> 32) as usize;
            order.swap(i, j);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_holds_every_index_once_and_depends_on_the_epoch() {
        let random = Random::new(7, Stream::Shuffle);
        let mut first = random.permutation(1000, 0);
        assert_ne!(first, random.permutation(1000, 1));
        assert_eq!(first, random.permutation(1000, 0));
        first.sort_unstable();
        assert!(first.iter().copied().eq(0..1000));
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_unit_variance() {
        let random = Random::new(3, Stream::ClassifierInit);
        let draws: Vec<f64> = (0..20_000).map(|i| f64::from(random.normal(0, i))).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        // Standard errors at 20,000 draws: 0.007 and 0.01.
        assert!(mean.abs() < 0.03, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.04, "variance {variance}");
    }

    #[test]
    fn uniform_numbers_are_never_zero_and_never_one() {
        assert!(unit(0) > 0.0 && unit(u32::MAX) < 1.0);
    }

    #[test]
    fn seeds_that_differ_in_their_high_half_alone_are_folded_to_others() {
        assert_eq!(folded(7), 7);
        assert!(folded(7 + (1 << 32)) != folded(7) && folded(1 << 32) != folded(1));
    }

    #[test]
    fn streams_of_one_seed_differ() {
        let a = Random::new(1, Stream::Shuffle).bits(0, 0);
        let b = Random::new(1, Stream::Augment).bits(0, 0);
        assert_ne!(a, b);
    }
}

//! Random crops and flips of training images, seeded by (epoch, image) alone: the batch size and the
//! order of the images change nothing.

use crate::random::{Random, Stream};
use serde::{Deserialize, Serialize};

/// What is done to training images, anew in every epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// Images as they are
    #[default]
    None,
    /// Shifted by a random crop of the reflect-padded image
    Crop,
    /// Mirrored left to right with probability 1/2, then cropped
    FlipAndCrop,
}

/// Pixels of padding on each side: 4, or an eighth of the side (at least 1) for images below 16.
pub(super) const fn padding(side: usize) -> usize {
    if side >= 16 {
        4
    } else {
        let eighth = (side + 4) / 8;
        if eighth == 0 { 1 } else { eighth }
    }
}

/// One image's crop and flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    flip: bool,
    /// Where the crop starts in the padded image, 0 to 2 x padding; `padding` leaves it in place.
    top: usize,
    left: usize,
}

impl Augment {
    /// The placement of image `image` in epoch `epoch`, drawn uniformly; `None` if nothing is to be done.
    pub(super) fn draw(self, side: usize, seed: u64, epoch: u32, image: u32) -> Option<Placement> {
        if self == Self::None {
            return None;
        }
        let [coin, top, left, _] = Random::new(seed, Stream::Augment).bits(epoch, image);
        let choices = 2 * padding(side) as u64 + 1;
        let below = |bits: u32| ((u64::from(bits) * choices) >> 32) as usize;
        let flip = self == Self::FlipAndCrop && coin >> 31 == 1;
        Some(Placement { flip, top: below(top), left: below(left) })
    }
}

impl Placement {
    /// Writes the crop of `image` (`side` x `side` x `channels` bytes) to `cropped`, of the same size.
    pub(super) fn apply(self, image: &[u8], side: usize, channels: usize, cropped: &mut [u8]) {
        let pad = padding(side);
        let row = side * channels;
        for (y, out) in cropped.chunks_exact_mut(row).enumerate() {
            let line = &image[reflect(y + self.top, pad, side) * row..][..row];
            for (x, pixel) in out.chunks_exact_mut(channels).enumerate() {
                let column = reflect(x + self.left, pad, side);
                let column = if self.flip { side - 1 - column } else { column };
                pixel.copy_from_slice(&line[column * channels..][..channels]);
            }
        }
    }
}

/// The pixel that stands at place `padded` of a line of `side` pixels with `pad` reflected ones before and
/// after it. The edge pixel is not repeated: d c b | a b c d | c b a.
fn reflect(padded: usize, pad: usize, side: usize) -> usize {
    let place = padded.abs_diff(pad);
    if place < side { place } else { 2 * (side - 1) - place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_does_not_repeat_the_edge() {
        let line: Vec<usize> = (0..8).map(|place| reflect(place, 2, 4)).collect();
        assert_eq!(line, [2, 1, 0, 1, 2, 3, 2, 1]);
    }

    #[test]
    fn padding_is_four_pixels_and_less_for_small_images() {
        assert_eq!([4, 8, 12, 16, 28, 32].map(padding), [1, 1, 2, 4, 4, 4]);
    }

    #[test]
    fn a_crop_shifts_and_a_flip_mirrors_whole_pixels() {
        // One row of interest: pixel x of row y has channels (10y + x, 100 + x).
        let image: Vec<u8> = (0..64).flat_map(|i| [10 * (i / 8) + i % 8, 100 + i % 8]).collect();
        let mut cropped = vec![0; 128];
        let mut apply = |flip, top, left| {
            Placement { flip, top, left }.apply(&image, 8, 2, &mut cropped);
            cropped.clone()
        };
        assert_eq!(apply(false, 1, 1), image);
        // Row 0 comes from row 1 (reflected), column 0 from column 1.
        assert_eq!(apply(false, 0, 0)[..6], [11, 101, 10, 100, 11, 101]);
        // Row 7 comes from row 6 and the last column from column 6.
        assert_eq!(apply(false, 2, 2)[124..], [67, 107, 66, 106]);
        assert_eq!(apply(true, 1, 1)[..4], [7, 107, 6, 106]);
    }

    #[test]
    fn every_shift_and_both_directions_are_about_equally_frequent() {
        let draws: Vec<Placement> =
            (0..8100).filter_map(|image| Augment::FlipAndCrop.draw(32, 5, 2, image)).collect();
        let share = |count: usize| count as f64 / draws.len() as f64;
        // Standard errors at 8,100 draws: 0.0056 and 0.0012.
        assert!((share(draws.iter().filter(|p| p.flip).count()) - 0.5).abs() < 0.02);
        for top in 0..9 {
            for left in 0..9 {
                let found = share(draws.iter().filter(|p| (p.top, p.left) == (top, left)).count());
                assert!((found - 1.0 / 81.0).abs() < 0.005, "{top} {left}: {found}");
            }
        }
    }

    #[test]
    fn crop_alone_never_flips_and_none_does_nothing() {
        assert!((0..100).all(|i| Augment::Crop.draw(8, 1, 0, i).is_some_and(|p| !p.flip)));
        assert_eq!(Augment::None.draw(8, 1, 0, 0), None);
    }
}

//! Random crops and flips of training images, seeded by (epoch, image) alone: the batch size and the
//! order of the images change nothing.

use super::size::Size;
use crate::random::{Random, Stream};
use serde::{Deserialize, Serialize};

/// What is done to training images, anew in every epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
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

/// Pixels of padding at both ends of a side: 4, or an eighth of the side (at least 1) for sides below 16.
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
    /// Where the crop starts in the padded image, 0 to 2 x padding of that side; `padding` leaves it in place.
    top: usize,
    left: usize,
}

impl Augment {
    /// Pixels of reflected padding above and below, left and right of an image, around which crops are taken.
    pub fn padding(self, size: Size) -> [usize; 2] {
        if self == Self::None { [0; 2] } else { [padding(size.height), padding(size.width)] }
    }

    /// The placement of image `image` in epoch `epoch`, drawn uniformly; `None` if nothing is to be done.
    pub(super) fn draw(self, size: Size, seed: u64, epoch: u32, image: u32) -> Option<Placement> {
        if self == Self::None {
            return None;
        }
        let [coin, top, left, _] = Random::new(seed, Stream::Augment).bits(epoch, image);
        let below = |bits: u32, side: usize| {
            let choices = 2 * padding(side) as u64 + 1;
            ((u64::from(bits) * choices) >> 32) as usize
        };
        let flip = self == Self::FlipAndCrop && coin >> 31 == 1;
        Some(Placement { flip, top: below(top, size.height), left: below(left, size.width) })
    }
}

impl Placement {
    /// Writes the crop of `image` (HWC) to `cropped`, of the same size.
    pub(super) fn apply<T: Copy>(self, image: &[T], size: Size, channels: usize, cropped: &mut [T]) {
        let Size { height, width } = size;
        let (above, before) = (padding(height), padding(width));
        let row = width * channels;
        for (y, out) in cropped.chunks_exact_mut(row).enumerate() {
            let line = &image[reflect(y + self.top, above, height) * row..][..row];
            for (x, pixel) in out.chunks_exact_mut(channels).enumerate() {
                let column = reflect(x + self.left, before, width);
                let column = if self.flip { width - 1 - column } else { column };
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
            Placement { flip, top, left }.apply(&image, Size::square(8), 2, &mut cropped);
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
    fn each_side_of_an_image_that_is_no_square_has_its_own_padding() {
        // Rows of 16 pixels are padded by 4, columns of 8 by 1. Pixel x of row y is 16y + x.
        let size = Size { height: 8, width: 16 };
        let image: Vec<u8> = (0..128).collect();
        let mut cropped = vec![0; 128];
        Placement { flip: false, top: 1, left: 4 }.apply(&image, size, 1, &mut cropped);
        assert_eq!(cropped, image);
        Placement { flip: true, top: 2, left: 8 }.apply(&image, size, 1, &mut cropped);
        // Moved up by one row and left by four columns, then mirrored.
        assert_eq!(cropped[..3], [16 + 11, 16 + 10, 16 + 9]);
        let draws = || (0..2000).filter_map(|i| Augment::Crop.draw(size, 1, 0, i));
        assert_eq!(draws().map(|placement| placement.top).max(), Some(2));
        assert_eq!(draws().map(|placement| placement.left).max(), Some(8));
    }

    #[test]
    fn every_shift_and_both_directions_are_about_equally_frequent() {
        let draws: Vec<Placement> =
            (0..8100).filter_map(|image| Augment::FlipAndCrop.draw(Size::square(32), 5, 2, image)).collect();
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
        assert!((0..100).all(|i| Augment::Crop.draw(Size::square(8), 1, 0, i).is_some_and(|p| !p.flip)));
        assert_eq!(Augment::None.draw(Size::square(8), 1, 0, 0), None);
    }
}

//! Where the height, the width and the channels of images are in an array, told by its extents: channels are from 1 to 4,
//! heights and widths from 4 on.

use super::Size;
use super::size::SIDES;
use crate::memory::{self, OutOfMemory};

/// Channels that images may have.
const CHANNELS: std::ops::RangeInclusive<usize> = 1..=4;

/// How images lie in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many there are.
    pub images: usize,
    /// Height and width of each.
    pub size: Size,
    /// Channels of each.
    pub channels: usize,
    /// Whether the channels stand before the height, as in PyTorch.
    channels_first: bool,
}

impl Layout {
    /// Of `[n, height, width, channels]`, `[n, channels, height, width]` or, for one channel, `[n, height, width]`.
    ///
    /// # Errors
    /// A sentence if the extents are none of these, or could be two.
    pub fn of(extents: &[usize]) -> Result<Self, String> {
        let is = |sides: [usize; 2], channels: usize| {
            CHANNELS.contains(&channels) && sides.iter().all(|side| SIDES.contains(side))
        };
        let new = |images, [height, width]: [usize; 2], channels, channels_first| {
            Ok(Self { images, size: Size { height, width }, channels, channels_first })
        };
        let forms = format!(
            "images are [n, height, width, channels], [n, channels, height, width] or [n, height, width], with 1 to 4 channels \
             and sides from {} to {}",
            SIDES.start(),
            SIDES.end()
        );
        match *extents {
            [n, height, width] if is([height, width], 1) => new(n, [height, width], 1, false),
            [_, a, b, c] if is([a, b], c) && is([b, c], a) => {
                Err(format!("the extents {extents:?} could have the channels first or last; {forms}"))
            }
            [n, height, width, channels] if is([height, width], channels) => {
                new(n, [height, width], channels, false)
            }
            [n, channels, height, width] if is([height, width], channels) => {
                new(n, [height, width], channels, true)
            }
            _ => Err(format!("the array has the extents {extents:?}; {forms}")),
        }
    }

    /// The same for a model that takes such images, which tells two possibilities apart.
    ///
    /// # Errors
    /// A sentence if the extents are not those of such images.
    pub fn for_model(extents: &[usize], size: Size, channels: usize) -> Result<Self, String> {
        let Size { height, width } = size;
        let own = |images, channels_first| Ok(Self { images, size, channels, channels_first });
        match *extents {
            [n, ref image @ ..] if *image == [channels, height, width] => own(n, true),
            [n, ref image @ ..] if *image == [height, width, channels] => own(n, false),
            [n, ref image @ ..] if *image == [height, width] && channels == 1 => own(n, false),
            _ => Err(format!(
                "the array has the extents {extents:?}; the model takes [n, {channels}, {height}, {width}] or [n, {height}, \
                 {width}, {channels}]"
            )),
        }
    }

    /// `values` with the channels last.
    pub fn channels_last<T: Copy>(&self, values: Vec<T>) -> Result<Vec<T>, OutOfMemory> {
        if !self.channels_first || self.channels == 1 {
            return Ok(values);
        }
        let (positions, image) = (self.size.area(), self.size.area() * self.channels);
        let mut all = memory::with_room(values.len())?;
        for image in values.chunks_exact(image) {
            for position in 0..positions {
                all.extend((0..self.channels).map(|channel| image[channel * positions + position]));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_found_first_last_or_nowhere() {
        let of = |extents: &[usize]| {
            let Layout { images, size, channels, channels_first } = Layout::of(extents)?;
            Ok::<_, String>((images, size.to_string(), channels, channels_first))
        };
        assert_eq!(of(&[7, 32, 48, 3]), Ok((7, "32x48".to_string(), 3, false)));
        assert_eq!(of(&[7, 3, 32, 48]), Ok((7, "32x48".to_string(), 3, true)));
        assert_eq!(of(&[7, 28, 28]), Ok((7, "28x28".to_string(), 1, false)));
        assert_eq!(of(&[7, 1, 28, 28]), Ok((7, "28x28".to_string(), 1, true)));
        assert!(of(&[7, 4, 8, 4]).unwrap_err().contains("first or last"));
        for extents in
            [&[][..], &[7], &[7, 784], &[7, 3, 2, 2], &[7, 5, 32, 32], &[1, 7, 3, 32, 32], &[7, 2000, 32, 3]]
        {
            let error = of(extents).unwrap_err();
            assert!(
                error.contains(&format!("{extents:?}")) && error.contains("[n, height, width"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_model_tells_its_own_images_apart() {
        let size = Size { height: 4, width: 8 };
        assert!(Layout::for_model(&[2, 4, 4, 8], size, 4).unwrap().channels_first);
        assert!(!Layout::for_model(&[2, 4, 8, 4], size, 4).unwrap().channels_first);
        let error = Layout::for_model(&[2, 3, 8, 4], size, 3).unwrap_err();
        assert!(error.contains("[2, 3, 8, 4]") && error.contains("[n, 3, 4, 8]"), "{error}");
    }

    #[test]
    fn channels_come_last() {
        let layout =
            Layout { images: 2, size: Size { height: 1, width: 2 }, channels: 3, channels_first: true };
        let values = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(layout.channels_last(values).unwrap(), [1, 3, 5, 2, 4, 6, 7, 9, 11, 8, 10, 12]);
    }
}

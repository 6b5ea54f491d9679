//! How an image of any size becomes one of the size of its set: it is resized, then its middle is cut out.
//!
//! Both are what torchvision's `Resize` and `CenterCrop` do with a picture of Pillow: of a resized image the longer side is
//! rounded down, and of a middle that lies between two pixels the even number of pixels stays above and to the left.
//! torchvision puts black around an image that is smaller than the crop; here such an image is refused.

use super::DataError;
use super::size::{Resize, Size};
use std::path::Path;

/// Height and width of the images of a folder unless somebody asks for others.
const DEFAULT: Size = Size::square(32);

/// How images are resized and cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    scale: Scale,
    /// What is cut out of the middle, and so the size of all images.
    pub size: Size,
}

/// To what an image is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// To the smallest size that covers the part that is cut out.
    Cover,
    /// Not at all.
    Keep,
    To(Resize),
}

/// The part of a resized image that is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Height and width of the resized image.
    pub(super) scaled: [u64; 2],
    /// The row and the column of the resized image at which the part begins.
    pub(super) first: [u64; 2],
}

impl Framing {
    /// What `resize` and `crop` ask for, and for a model the size that it takes.
    ///
    /// - Both: the image is resized, and `crop` is cut out of its middle.
    /// - `resize` alone: the size of the model is cut out; without a model the square of that side, or the size itself.
    /// - `crop` alone: it is cut out of the image as it is.
    /// - Neither: the image is resized so that it just covers the size of the model, or 32x32, and that is cut out.
    ///
    /// # Errors
    /// If `crop` is not what the model takes, or more than `resize` leaves.
    pub fn new(resize: Option<Resize>, crop: Option<Size>, model: Option<Size>) -> Result<Self, DataError> {
        if let (Some(asked), Some(model)) = (crop, model)
            && asked != model
        {
            return Err(DataError::CropOfOtherSize { model, asked });
        }
        let size = crop.or(model).or(resize.map(Resize::size)).unwrap_or(DEFAULT);
        let scale = match (resize, crop) {
            (Some(resize), _) => Scale::To(resize),
            (None, Some(_)) => Scale::Keep,
            (None, None) => Scale::Cover,
        };
        let too_small = match resize {
            Some(Resize::Shorter(side)) => side < size.height.min(size.width),
            Some(Resize::To(to)) => to.height < size.height || to.width < size.width,
            None => false,
        };
        match resize.filter(|_| too_small) {
            Some(resize) => Err(DataError::CropBeyondResize { crop: size, resize }),
            None => Ok(Self { scale, size }),
        }
    }

    /// What becomes of an image of this height and width. `path` is for messages.
    pub(super) fn window(self, [height, width]: [u32; 2], path: &Path) -> Result<Window, DataError> {
        let [height, width] = [height, width].map(u64::from);
        let scaled = self.scaled([height, width]);
        let cut = [self.size.height as u64, self.size.width as u64];
        if scaled[0] < cut[0] || scaled[1] < cut[1] {
            return Err(DataError::SmallerThanCrop {
                path: path.to_path_buf(),
                height: scaled[0],
                width: scaled[1],
                resized: if scaled == [height, width] { "" } else { " after it was resized" },
                crop: self.size,
            });
        }
        let first = [0, 1].map(|side| ((scaled[side] - cut[side]) as f64 / 2.0).round_ties_even() as u64);
        Ok(Window { scaled, first })
    }

    fn scaled(self, [height, width]: [u64; 2]) -> [u64; 2] {
        let Size { height: rows, width: columns } = self.size;
        let [rows, columns] = [rows as u64, columns as u64];
        match self.scale {
            Scale::Keep => [height, width],
            Scale::To(Resize::To(size)) => [size.height as u64, size.width as u64],
            Scale::To(Resize::Shorter(side)) if width <= height => {
                [side as u64 * height / width, side as u64]
            }
            Scale::To(Resize::Shorter(side)) => [side as u64, side as u64 * width / height],
            Scale::Cover if height * columns >= width * rows => [rows.max(columns * height / width), columns],
            Scale::Cover => [rows, columns.max(rows * width / height)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(resize: &str, crop: &str, model: &str) -> Result<Framing, String> {
        fn read<T: std::str::FromStr>(text: &str) -> Option<T> {
            (!text.is_empty()).then(|| text.parse().ok()).flatten()
        }
        Framing::new(read(resize), read(crop), read(model)).map_err(|error| error.to_string())
    }

    fn window(resize: &str, crop: &str, image: [u32; 2]) -> ([u64; 2], [u64; 2]) {
        let found = framing(resize, crop, "").unwrap().window(image, Path::new("x.png")).unwrap();
        (found.scaled, found.first)
    }

    #[test]
    fn the_shorter_side_is_resized_and_the_middle_cut_out_as_torchvision_does() {
        // Resize(256), CenterCrop(224): 375 * 256 / 500 is shorter; int(256 * 500 / 375) = 341.
        assert_eq!(window("256", "224", [375, 500]), ([256, 341], [16, 58]));
        assert_eq!(window("256", "224", [500, 375]), ([341, 256], [58, 16]));
        // Halves go to the even number: 117 / 2 = 58.5 to 58, 119 / 2 = 59.5 to 60.
        assert_eq!(window("343x343", "224", [9, 9]).1, [60, 60]);
        assert_eq!(window("341x343", "224", [9, 9]).1, [58, 60]);
    }

    #[test]
    fn a_size_is_reached_whatever_the_proportions_and_a_crop_alone_takes_the_image_as_it_is() {
        assert_eq!(window("32x48", "", [100, 100]), ([32, 48], [0, 0]));
        assert_eq!(window("", "8x16", [20, 20]), ([20, 20], [6, 2]));
    }

    #[test]
    fn without_both_the_image_just_covers_its_size() {
        assert_eq!(window("", "", [64, 64]), ([32, 32], [0, 0]));
        assert_eq!(window("", "", [10, 20]), ([32, 64], [0, 16]));
        let model = framing("", "", "8x24").unwrap();
        let of = |image| model.window(image, Path::new("x.png")).unwrap().scaled;
        assert_eq!([of([8, 24]), of([10, 10]), of([10, 100])], [[8, 24], [24, 24], [8, 80]]);
        // A third of a pixel is lost by rounding down, but never of the size itself.
        assert_eq!(of([7, 21]), [8, 24]);
    }

    #[test]
    fn the_size_is_the_crops_the_models_or_that_of_the_resized_image() {
        let size = |resize, crop, model| framing(resize, crop, model).unwrap().size.to_string();
        assert_eq!(size("", "", ""), "32x32");
        assert_eq!(size("40", "", ""), "40x40");
        assert_eq!(size("40x48", "", ""), "40x48");
        assert_eq!(size("40", "", "32x24"), "32x24");
        assert_eq!(size("40", "24", ""), "24x24");
    }

    #[test]
    fn what_cannot_be_cut_out_is_refused() {
        assert!(
            framing("32", "40", "").unwrap_err().contains("`crop` 40x40 is larger than what `resize` 32")
        );
        assert!(framing("32x48", "48x32", "").is_err());
        assert!(
            framing("", "40", "32").unwrap_err().contains("the model takes images of 32x32, not of 40x40")
        );
        let error = framing("", "40", "").unwrap().window([39, 80], Path::new("small.png")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("small.png has 39x80") && text.contains("40x40"), "{text}");
        let error = framing("32", "32x64", "").unwrap().window([40, 70], Path::new("x.png")).unwrap_err();
        assert!(error.to_string().contains("32x56 pixels after it was resized"), "{error}");
    }
}

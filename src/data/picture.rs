//! One image file as bytes of the size that its set has. Its header is looked at first, so that no file takes more memory than
//! [`MOST_DECODING`] whatever it announces, and a file that ends early is refused rather than filled up.

use super::limits::{MOST_DECODING, MOST_JPEG, Memory};
use super::resample::resampled;
use super::{DataError, Framing, file, jpeg, jpeg_scan};
use crate::files;
use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::io::{BufRead, Cursor, Seek};
use std::path::Path;

/// The formats that are read, for people.
pub(super) const FORMATS: &str = "PNG, JPEG, WebP, BMP, GIF or TIFF";

/// Endings of their files.
pub(super) const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

/// Bytes of every coefficient that a decoder keeps: three channels of 16 bits.
const COEFFICIENTS: u64 = 6;

/// Bytes that resizing takes for every pixel of the longer side: it is part of two weights, each of which is computed in 8
/// bytes and kept in 8.
const RESIZING: u64 = 32;

/// Decodes images of one data set, from any thread.
pub(super) struct Pictures {
    framing: Framing,
    memory: Memory,
}

/// Why one image cannot be had.
enum Refusal {
    Decoding(ImageError),
    Other(DataError),
}

impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        Self::Decoding(error)
    }
}

impl Pictures {
    /// Images that are resized and cropped like this.
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, memory: Memory::new() }
    }

    /// The image in `path`, turned upright, resized and cropped: red, green and blue of each pixel in 8 bits, transparency
    /// dropped; of several frames the first.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>, DataError> {
        self.decoded(path).map_err(|refusal| match refusal {
            Refusal::Other(error) => error,
            Refusal::Decoding(ImageError::IoError(source)) if source.raw_os_error().is_some() => {
                DataError::Read { path: path.to_path_buf(), source }
            }
            Refusal::Decoding(source) => DataError::Image { path: path.to_path_buf(), source },
        })
    }

    fn decoded(&self, path: &Path) -> Result<Vec<u8>, Refusal> {
        let unreadable = |source| Refusal::Other(DataError::Read { path: path.to_path_buf(), source });
        let (mut file, len) = file::open(path).map_err(unreadable)?;
        if len == 0 {
            return Err(Refusal::Other(DataError::EmptyFile { path: path.to_path_buf() }));
        }
        // By content, since endings lie.
        let start = file.fill_buf().map_err(unreadable)?;
        let format = image::guess_format(start).or_else(|_| ImageFormat::from_path(path))?;
        if let Some((width, height, bytes)) = announced_by_png(start)
            && bytes > MOST_DECODING
        {
            // Here, because the decoder refuses such a file without telling its size.
            let (path, mebibytes) = (path.to_path_buf(), bytes.div_ceil(1 << 20));
            return Err(Refusal::Other(DataError::ImageSize { path, width, height, mebibytes }));
        }
        if format != ImageFormat::Jpeg {
            let several_buffers = match format {
                ImageFormat::Png | ImageFormat::Bmp => 1,
                _ => 2,
            };
            return self
                .finish(path, reader(file, format), |decoder| several_buffers * decoder.total_bytes());
        }
        drop(file);
        // Twice, because the decoder makes a copy.
        let share = self.memory.take(2 * len);
        let bytes = files::bytes_of(path, MOST_JPEG).map_err(unreadable)?;
        let outline = jpeg::outline(&bytes);
        if !outline.whole || jpeg_scan::ends_early(&bytes) {
            return Err(Refusal::Other(DataError::CutImage { path: path.to_path_buf() }));
        }
        drop(share);
        let kept = if outline.several_scans { COEFFICIENTS } else { 0 };
        self.finish(path, reader(Cursor::new(bytes), format), |decoder| {
            2 * len + decoder.total_bytes() + kept * pixels(decoder)
        })
    }

    /// Decodes and scales, once the memory for it is free. `cost` is what decoding takes.
    fn finish<R: BufRead + Seek>(
        &self,
        path: &Path,
        reader: ImageReader<R>,
        cost: impl FnOnce(&dyn ImageDecoder) -> u64,
    ) -> Result<Vec<u8>, Refusal> {
        let mut decoder = reader.into_decoder()?;
        let (width, height) = decoder.dimensions();
        let cost = cost(&decoder) + RESIZING * u64::from(width.max(height));
        if cost > MOST_DECODING || width == 0 || height == 0 {
            let (path, mebibytes) = (path.to_path_buf(), cost.div_ceil(1 << 20));
            return Err(Refusal::Other(DataError::ImageSize { path, width, height, mebibytes }));
        }
        let _share = self.memory.take(cost);
        let orientation = decoder.orientation()?;
        let image = DynamicImage::from_decoder(decoder)?;
        match image {
            DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
                Err(Refusal::Other(DataError::FloatImage { path: path.to_path_buf() }))
            }
            DynamicImage::ImageRgb8(image) => {
                self.framed(path, image.dimensions(), orientation, |x, y| image.get_pixel(x, y).0)
            }
            image => self.framed(path, image.dimensions(), orientation, |x, y| {
                let [red, green, blue, _] = image.get_pixel(x, y).0;
                [red, green, blue]
            }),
        }
    }

    /// The part of an image that the set wants, from its pixels as they are stored.
    fn framed(
        &self,
        path: &Path,
        stored: (u32, u32),
        orientation: Orientation,
        pixel: impl Fn(u32, u32) -> [u8; 3],
    ) -> Result<Vec<u8>, Refusal> {
        let (width, height) = if lies(orientation) { (stored.1, stored.0) } else { stored };
        let window = self.framing.window([height, width], path).map_err(Refusal::Other)?;
        let upright = |row, column| {
            let (x, y) = stored_place(orientation, stored, (column, row));
            pixel(x, y)
        };
        Ok(resampled(upright, [height, width], window, self.framing.size))
    }
}

/// Whether the rows of the stored image are columns of the upright one.
fn lies(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Where the stored image of `width` x `height` has the pixel `(x, y)` of the upright one.
fn stored_place(orientation: Orientation, (width, height): (u32, u32), (x, y): (u32, u32)) -> (u32, u32) {
    match orientation {
        Orientation::NoTransforms => (x, y),
        Orientation::FlipHorizontal => (width - 1 - x, y),
        Orientation::FlipVertical => (x, height - 1 - y),
        Orientation::Rotate180 => (width - 1 - x, height - 1 - y),
        Orientation::Rotate90 => (y, height - 1 - x),
        Orientation::Rotate270 => (width - 1 - y, x),
        Orientation::Rotate90FlipH => (y, x),
        Orientation::Rotate270FlipH => (width - 1 - y, height - 1 - x),
    }
}

/// Width, height and decoded bytes that the header of a PNG file announces.
fn announced_by_png(start: &[u8]) -> Option<(u32, u32, u64)> {
    let header = start.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(8..18)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte));
    let (width, height) = (number(&header[..4]), number(&header[4..8]));
    let channels = match header[9] {
        0 => 1,
        4 => 2,
        6 => 4,
        _ => 3,
    };
    let bytes = channels * u64::from(header[8].div_ceil(8));
    Some((width, height, (u64::from(width) * u64::from(height)).saturating_mul(bytes)))
}

/// Pixels of an image that is not decoded yet.
fn pixels(decoder: &dyn ImageDecoder) -> u64 {
    let (width, height) = decoder.dimensions();
    u64::from(width) * u64::from(height)
}

fn reader<R: BufRead + Seek>(source: R, format: ImageFormat) -> ImageReader<R> {
    let mut reader = ImageReader::with_format(source, format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_DECODING);
    reader.limits(limits);
    reader
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_of_an_upright_image_are_found_in_the_stored_one() {
        let stored = image::GrayImage::from_fn(3, 5, |x, y| image::Luma([(10 * y + x) as u8]));
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).expect("one of eight");
            let mut upright = DynamicImage::from(stored.clone());
            upright.apply_orientation(orientation);
            let (width, height) = if lies(orientation) { (5, 3) } else { (3, 5) };
            assert_eq!(upright.dimensions(), (width, height));
            for (x, y, pixel) in upright.pixels() {
                let (column, row) = stored_place(orientation, (3, 5), (x, y));
                assert_eq!(pixel.0[0], (10 * row + column) as u8, "{orientation:?} {x} {y}");
            }
        }
    }
}

//! One image file as a square of bytes. Its header is looked at first, so that no file takes more memory than
//! [`MOST_DECODING`] whatever it announces, and a file that ends early is refused rather than filled up.

use super::limits::{MOST_DECODING, MOST_JPEG, Memory};
use super::{DataError, file, jpeg, jpeg_scan};
use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Pixel, imageops,
};
use std::io::{BufRead, Cursor, Seek};
use std::path::Path;

/// The formats that are read, for people.
pub(super) const FORMATS: &str = "PNG, JPEG, WebP, BMP, GIF or TIFF";

/// Endings of their files.
pub(super) const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

/// Bytes of every coefficient that a decoder keeps: three channels of 16 bits.
const COEFFICIENTS: u64 = 6;

/// Bytes of a pixel between the two passes of scaling: four channels of 32 bits.
const SCALED: u64 = 16;

/// Decodes images of one data set, from any thread.
pub(super) struct Pictures {
    side: u32,
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
    /// Images scaled to `side` x `side`.
    pub(super) fn new(side: usize) -> Self {
        Self { side: side as u32, memory: Memory::new() }
    }

    /// The image in `path`, turned upright and scaled so that it just covers the square, its middle cut out. Colours as
    /// they are, transparency dropped; of several frames the first.
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
        let bytes = file::read(path, MOST_JPEG).map_err(unreadable)?;
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
        let cost = cost(&decoder);
        if cost > MOST_DECODING || width == 0 || height == 0 {
            let (path, mebibytes) = (path.to_path_buf(), cost.div_ceil(1 << 20));
            return Err(Refusal::Other(DataError::ImageSize { path, width, height, mebibytes }));
        }
        let scaled = u64::from(width.min(height)) * u64::from(self.side) * SCALED;
        let _share = self.memory.take(cost + scaled);
        let orientation = decoder.orientation()?;
        let mut image = self.square(path, DynamicImage::from_decoder(decoder)?)?;
        image.apply_orientation(orientation);
        Ok(image.into_rgb8().into_raw())
    }

    /// The middle of an image, scaled while it still has all its bits.
    fn square(&self, path: &Path, image: DynamicImage) -> Result<DynamicImage, Refusal> {
        Ok(match image {
            DynamicImage::ImageLuma8(image) => self.scaled(image).into(),
            DynamicImage::ImageLumaA8(image) => self.scaled(image).into(),
            DynamicImage::ImageRgb8(image) => self.scaled(image).into(),
            DynamicImage::ImageRgba8(image) => self.scaled(image).into(),
            DynamicImage::ImageLuma16(image) => self.scaled(image).into(),
            DynamicImage::ImageLumaA16(image) => self.scaled(image).into(),
            DynamicImage::ImageRgb16(image) => self.scaled(image).into(),
            DynamicImage::ImageRgba16(image) => self.scaled(image).into(),
            _ => return Err(Refusal::Other(DataError::FloatImage { path: path.to_path_buf() })),
        })
    }

    fn scaled<P: Pixel + 'static>(
        &self,
        image: ImageBuffer<P, Vec<P::Subpixel>>,
    ) -> ImageBuffer<P, Vec<P::Subpixel>> {
        let (width, height) = image.dimensions();
        if (width, height) == (self.side, self.side) {
            return image;
        }
        // Cut first: scaled as a whole, a strip of one pixel's width would grow without bound.
        let short = width.min(height);
        let middle = imageops::crop_imm(&image, (width - short) / 2, (height - short) / 2, short, short);
        imageops::resize(&*middle, self.side, self.side, imageops::FilterType::Triangle)
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

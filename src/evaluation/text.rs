//! Letters on a picture.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Height of a line.
pub const LINE: u32 = 18;
/// Width of a letter.
pub const LETTER: u32 = get_raster_width(FontWeight::Regular, RasterHeight::Size16) as u32;
/// Stands for letters that the font lacks.
const UNKNOWN: char = '?';

/// Writes one line of dark letters with its top left corner at `(x, y)`; what does not fit the picture is cut off.
pub fn write(picture: &mut RgbImage, x: u32, y: u32, text: &str) {
    for (letter, at) in text.chars().zip((x..).step_by(LETTER as usize)) {
        let raster = |c| get_raster(c, FontWeight::Regular, RasterHeight::Size16);
        let Some(drawn) = raster(letter).or_else(|| raster(UNKNOWN)) else { continue };
        for (row, values) in (y..).zip(drawn.rows()) {
            for (column, &ink) in (at..).zip(values) {
                if let Some(pixel) = picture.get_pixel_mut_checked(column, row) {
                    *pixel = Rgb(pixel.0.map(|v| v.saturating_sub(ink)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(text: &str) -> u32 {
        let mut picture = RgbImage::from_pixel(40, LINE, Rgb([255; 3]));
        write(&mut picture, 0, 0, text);
        picture.pixels().map(|p| 255 - u32::from(p.0[0])).sum()
    }

    #[test]
    fn letters_leave_ink_and_spaces_none() {
        assert!(ink("a") > 500 && ink("aa") == 2 * ink("a"));
        assert_eq!(ink("  "), 0);
    }

    #[test]
    fn a_letter_that_the_font_lacks_becomes_a_question_mark() {
        assert_eq!(ink("猫"), ink("?"));
    }

    #[test]
    fn a_line_longer_than_the_picture_is_cut_off() {
        assert!(ink("a long line of text") > 0);
    }
}

//! Heights and widths of images, as flags, files and messages have them: always the height first.
//!
//! A square is one number: `32` is 32x32. Files hold a square as a number and anything else as a text, `"32x48"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Heights and widths of images that a data set may have; a network has conditions of its own.
pub const SIDES: RangeInclusive<usize> = 4..=1024;

/// Sides to which an image may be resized before its middle is cut out.
const RESIZED: RangeInclusive<usize> = 4..=4096;

/// Height and width of an image in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl Size {
    /// As many rows as columns.
    pub const fn square(side: usize) -> Self {
        Self { height: side, width: side }
    }

    /// Pixels of an image.
    pub const fn area(self) -> usize {
        self.height * self.width
    }

    /// Whether a data set may have images of this size.
    pub fn is_possible(self) -> bool {
        SIDES.contains(&self.height) && SIDES.contains(&self.width)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl FromStr for Size {
    type Err = String;

    /// `32`, which is square, or `32x48`, the height first.
    fn from_str(text: &str) -> Result<Self, String> {
        let (height, width) = sides(text, &SIDES)?;
        Ok(Self { height, width: width.unwrap_or(height) })
    }
}

/// To what the images of a folder are resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side gets this length; the image keeps its proportions.
    Shorter(usize),
    /// The image gets this size, whatever its proportions are.
    To(Size),
}

impl Resize {
    /// The size of an image that is resized and then not cropped; of [`Resize::Shorter`] a square.
    pub fn size(self) -> Size {
        match self {
            Self::Shorter(side) => Size::square(side),
            Self::To(size) => size,
        }
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shorter(side) => side.fmt(f),
            Self::To(size) => size.fmt(f),
        }
    }
}

impl FromStr for Resize {
    type Err = String;

    /// `256` for the shorter side, or `32x48`, the height first.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match sides(text, &RESIZED)? {
            (side, None) => Self::Shorter(side),
            (height, Some(width)) => Self::To(Size { height, width }),
        })
    }
}

/// One number or two with an x between them, each within `range`.
fn sides(text: &str, range: &RangeInclusive<usize>) -> Result<(usize, Option<usize>), String> {
    let side = |text: &str| text.trim().parse::<usize>().ok().filter(|side| range.contains(side));
    let (first, second) = text.split_once('x').map_or((text, None), |(first, second)| (first, Some(second)));
    match (side(first), second.map(side)) {
        (Some(height), None) => Ok((height, None)),
        (Some(height), Some(Some(width))) => Ok((height, Some(width))),
        _ => Err(format!(
            "it must be a whole number from {} to {}, or two of them as HEIGHTxWIDTH",
            range.start(),
            range.end()
        )),
    }
}

/// A number or a text, as files have them.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(usize),
    Text(String),
}

impl Written {
    fn read<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(deserializer: D) -> Result<T, D::Error> {
        let text = match Self::deserialize(deserializer) {
            Ok(Self::Number(number)) => number.to_string(),
            Ok(Self::Text(text)) => text,
            Err(_) => {
                return Err(serde::de::Error::custom("not a number such as 32 or a text such as \"32x48\""));
            }
        };
        text.parse().map_err(|problem| serde::de::Error::custom(format!("{text} is not possible; {problem}")))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.height == self.width {
            true => Written::Number(self.height),
            false => Written::Text(self.to_string()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::read(deserializer)
    }
}

impl Serialize for Resize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Shorter(side) => Written::Number(*side),
            Self::To(size) => Written::Text(size.to_string()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Resize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::read(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_a_square_or_the_shorter_side_and_the_height_comes_first() {
        assert_eq!("32".parse(), Ok(Size::square(32)));
        assert_eq!("32x48".parse(), Ok(Size { height: 32, width: 48 }));
        assert_eq!("256".parse(), Ok(Resize::Shorter(256)));
        assert_eq!("256x256".parse(), Ok(Resize::To(Size::square(256))));
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_range() {
        for text in ["", "x", "32x", "x32", "32x48x3", "-8", "3", "1025", "8.5", "99999999999999999999"] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains("from 4 to 1024") && error.contains("HEIGHTxWIDTH"), "{text}: {error}");
        }
        assert!("1025".parse::<Resize>().is_ok());
    }

    #[test]
    fn files_give_back_what_was_written() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct File {
            crop: Size,
            resize: Resize,
        }
        for (crop, resize, text) in [
            ("32", "40", "crop = 32\nresize = 40\n"),
            ("32x48", "40x40", "crop = \"32x48\"\nresize = \"40x40\"\n"),
        ] {
            let file = File { crop: crop.parse().unwrap(), resize: resize.parse().unwrap() };
            assert_eq!(toml::to_string(&file).unwrap(), text);
            assert_eq!(toml::from_str::<File>(text).unwrap(), file);
        }
        let error = toml::from_str::<File>("crop = 2\nresize = 40").unwrap_err().to_string();
        assert!(error.contains("2 is not possible"), "{error}");
    }
}

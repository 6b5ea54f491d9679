//! Lengths in pixel units: how they are written, and how long one may be.
//!
//! Pixels are in [0, 1]. A length is a number such as `0.5`, or a fraction such as `8/255`. No perturbation is longer than
//! the box of all images: 1 in Linf, the square root of the number of pixel values in L2. Training and attacks hold every
//! length against this one bound.

use super::options::Norm;
use serde::{Deserialize, Deserializer};

/// The largest value of a pixel that is stored as a byte.
const BYTE: f32 = 255.0;

/// Reads `0.5` or `8/255`.
///
/// # Errors
/// One sentence on what can be read.
pub fn parse(text: &str) -> Result<f32, String> {
    let number = |part: &str| part.trim().parse::<f32>().ok();
    let value = match text.split_once('/') {
        None => number(text),
        Some((over, under)) => number(over).zip(number(under)).and_then(|(over, under)| {
            // Divided in f64 and rounded once, as 0.5 is read.
            let value = (f64::from(over) / f64::from(under)) as f32;
            (under != 0.0).then_some(value)
        }),
    };
    value
        .filter(|value| value.is_finite())
        .ok_or_else(|| "it must be a number such as 0.5 or a fraction such as 8/255".to_string())
}

/// Reads a number or a text for [`parse`] from a file.
///
/// # Errors
/// If it is neither.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f32),
        Text(String),
    }
    let written = Written::deserialize(deserializer)
        .map_err(|_| serde::de::Error::custom("not a number such as 0.5 or a text such as \"8/255\""))?;
    match written {
        Written::Number(value) => Ok(Some(value)),
        Written::Text(text) => match parse(&text) {
            Ok(value) => Ok(Some(value)),
            Err(problem) => Err(serde::de::Error::custom(format!("{text:?} is not possible; {problem}"))),
        },
    }
}

/// The longest perturbation within the box of images with `pixels` values.
pub fn longest(norm: Norm, pixels: usize) -> f32 {
    match norm {
        Norm::L2 => (pixels as f32).sqrt(),
        Norm::Linf => 1.0,
    }
}

/// What `length` must be, if it is not: from 0 to [`longest`]. Without a number of `pixels`, L2 has no upper bound yet.
pub fn possible(length: f32, norm: Norm, pixels: Option<usize>) -> Result<(), String> {
    let most = match (norm, pixels) {
        (Norm::L2, None) => f32::INFINITY,
        (norm, pixels) => longest(norm, pixels.unwrap_or(1)),
    };
    if length.is_finite() && (0.0..=most).contains(&length) {
        return Ok(());
    }
    if !most.is_finite() {
        return Err("a finite number from 0 on".to_string());
    }
    let mut range = format!("from 0 to {most:.3}, the {} norm of the box that holds all images", norm.name());
    if length > most && length <= BYTE {
        range += &format!("; pixels are in [0, 1], so write {length}/255 for {length} of 255");
    }
    Err(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_fractions_are_read_and_nothing_else() {
        let values = ["0.5", "8/255", "1/2", " 1 / 2 ", "-1", "1e-3"].map(|text| parse(text).unwrap());
        assert_eq!(values, [0.5, 8.0 / 255.0, 0.5, 0.5, -1.0, 1e-3]);
        for text in ["", "8/", "/255", "1/0", "0/0", "1/2/3", "a", "8:255", "0,5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_hold_numbers_or_texts() {
        #[derive(Deserialize)]
        struct File {
            #[serde(default, deserialize_with = "deserialize")]
            epsilon: Option<f32>,
        }
        let read = |text: &str| toml::from_str::<File>(text).map(|file| file.epsilon);
        assert_eq!(read("epsilon = \"8/255\""), Ok(Some(8.0 / 255.0)));
        assert_eq!(
            [read("epsilon = 0.5"), read("epsilon = 1"), read("")],
            [Ok(Some(0.5)), Ok(Some(1.0)), Ok(None)]
        );
        assert!(read("epsilon = \"eight\"").unwrap_err().to_string().contains("8/255"));
        assert!(read("epsilon = [1]").unwrap_err().to_string().contains("8/255"));
    }

    #[test]
    fn a_length_beyond_the_box_is_refused_with_a_hint_at_bytes() {
        assert_eq!(possible(1.0, Norm::Linf, None), Ok(()));
        assert_eq!(possible(8.0, Norm::L2, Some(64)), Ok(()));
        assert!(possible(8.0, Norm::Linf, None).unwrap_err().contains("8/255"));
        assert!(possible(9.0, Norm::L2, Some(64)).unwrap_err().contains("9/255"));
        for nonsense in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(
                possible(nonsense, Norm::Linf, None).is_err() && possible(nonsense, Norm::L2, None).is_err()
            );
        }
    }
}

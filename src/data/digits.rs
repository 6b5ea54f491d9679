//! The embedded UCI optical digits: 1,797 images of 8x8, and their fixed split.
//! Source, licence, format and the reason for the split: `assets/README.md`.

use super::{DataError, Dataset, Images, Size};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::PathBuf;

static PACKED: &[u8] = include_bytes!("../../assets/digits.bin.gz");

/// For people.
pub(super) const NAME: &str = "UCI optical digits";

const SIDE: usize = 8;
const CLASSES: usize = 10;
/// One label byte, then the pixels.
const RECORD: usize = 1 + SIDE * SIDE;
/// The last so many images of every class are for testing.
const TEST_PER_CLASS: usize = 40;
/// The so many before them are for validation, unless a share is given.
const VALIDATION_PER_CLASS: usize = 20;

/// The digits with their fixed split. A `validation_share` moves the border between training and
/// validation: the validation images are then the last `round(share x n)` of a class's `n` that are not
/// for testing.
pub(super) fn open(validation_share: Option<f32>) -> Result<Dataset, DataError> {
    let all = unpack()?;
    let [mut train, mut validation, mut test] = [vec![], vec![], vec![]];
    for class in 0..CLASSES as u16 {
        let members: Vec<u32> = (0..all.len() as u32).filter(|&i| all.label(i as usize) == class).collect();
        let (rest, tested) = members.split_at(members.len() - TEST_PER_CLASS);
        let held = validation_share
            .map_or(VALIDATION_PER_CLASS, |share| (f64::from(share) * rest.len() as f64).round() as usize);
        let (trained, validated) = rest.split_at(rest.len() - held);
        train.extend_from_slice(trained);
        validation.extend_from_slice(validated);
        test.extend_from_slice(tested);
    }
    // In file order, so that an unshuffled batch is not all of one class.
    for split in [&mut train, &mut validation, &mut test] {
        split.sort_unstable();
    }
    Ok(Dataset::new(
        NAME.to_owned(),
        (0..CLASSES).map(|digit| digit.to_string()).collect(),
        all.subset(&train),
        all.subset(&validation),
        all.subset(&test),
    ))
}

fn unpack() -> Result<Images, DataError> {
    let mut records = Vec::new();
    GzDecoder::new(PACKED)
        .read_to_end(&mut records)
        .map_err(|source| DataError::Compressed { path: PathBuf::from("the embedded digits"), source })?;
    let labels = records.chunks_exact(RECORD).map(|record| u16::from(record[0])).collect();
    let pixels = records.chunks_exact(RECORD).flat_map(|record| &record[1..]).copied().map(to_byte).collect();
    Ok(Images::new(Size::square(SIDE), 1, pixels, labels))
}

/// A pixel value from 0 to 16 as the nearest byte to value/16 x 255 (halves up): off by at most 1/510 from
/// value/16, and exact for 0 and 16.
fn to_byte(value: u8) -> u8 {
    ((u16::from(value) * 255 + 8) / 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_are_those_of_scikit_learn() {
        let all = unpack().expect("embedded");
        let counts: Vec<usize> =
            (0..10).map(|class| all.labels().iter().filter(|&&label| label == class).count()).collect();
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(all.image(0)[..8], [0, 0, 5, 13, 9, 1, 0, 0].map(to_byte));
        assert_eq!(all.image(0)[8..16], [0, 0, 13, 15, 10, 15, 5, 0].map(to_byte));
        assert_eq!(all.labels()[1792..], [9, 0, 8, 9, 8]);
    }

    #[test]
    fn values_become_the_nearest_bytes() {
        assert_eq!([0, 1, 8, 15, 16].map(to_byte), [0, 16, 128, 239, 255]);
    }

    #[test]
    fn the_split_has_fixed_sizes_and_test_has_forty_of_every_digit() {
        let digits = open(None).expect("embedded");
        assert_eq!([digits.train.len(), digits.validation.len(), digits.test.len()], [1197, 200, 400]);
        for class in 0..10 {
            assert_eq!(digits.test.labels().iter().filter(|&&label| label == class).count(), 40);
            assert_eq!(digits.validation.labels().iter().filter(|&&label| label == class).count(), 20);
        }
    }

    #[test]
    fn a_share_moves_only_the_border_between_training_and_validation() {
        let fixed = open(None).expect("embedded");
        for (share, validation) in [(0.0, 0), (0.5, 700)] {
            let digits = open(Some(share)).expect("embedded");
            assert_eq!(digits.test, fixed.test);
            assert!(digits.validation.len().abs_diff(validation) <= 5, "{}", digits.validation.len());
            assert_eq!(digits.train.len() + digits.validation.len(), 1397);
        }
    }
}

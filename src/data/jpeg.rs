//! The markers of a JPEG file. Decoders fill what is missing of a cut file with grey, so whether it is whole has to be
//! seen here.

/// What the markers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    /// Whether there is a scan and the marker that ends the image after it.
    pub(super) whole: bool,
    /// Whether a decoder keeps the coefficients of the whole image: progressive files, and those with several scans.
    pub(super) several_scans: bool,
}

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
/// Frames whose coefficients come in several scans.
const PROGRESSIVE: [u8; 4] = [0xc2, 0xc6, 0xca, 0xce];

/// Goes through the markers of `bytes` up to the end of the first image. What comes after it is not looked at: cameras
/// append previews and films.
///
/// Segments are skipped by their lengths, so a preview within EXIF data does not end the image.
pub(super) fn outline(bytes: &[u8]) -> Outline {
    let (mut scans, mut progressive, mut at) = (0, false, 0);
    while let Some(marker) = next_marker(bytes, &mut at) {
        match marker {
            END_OF_IMAGE => return Outline { whole: scans > 0, several_scans: progressive || scans > 1 },
            // Without a segment: stuffed data, restarts, and the two that frame an image.
            0x00 | 0x01 | 0xd0..=START_OF_IMAGE => continue,
            START_OF_SCAN => scans += 1,
            _ => progressive |= PROGRESSIVE.contains(&marker),
        }
        let length = bytes.get(at..at + 2).map_or(0, |two| usize::from(two[0]) << 8 | usize::from(two[1]));
        at += length;
    }
    Outline { whole: false, several_scans: progressive || scans > 1 }
}

/// The code of the next marker from `at` on, which moves behind it.
pub(super) fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let from = *at + bytes.get(*at..)?.iter().position(|&byte| byte == 0xff)?;
    // A marker may be preceded by any number of fill bytes.
    let code = from + bytes[from..].iter().position(|&byte| byte != 0xff)?;
    *at = code + 1;
    Some(bytes[code])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment with its marker and length.
    fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16 + 2).to_be_bytes();
        [&[0xff, marker][..], &length, body].concat()
    }

    fn file(frame: u8, scans: usize) -> Vec<u8> {
        // A preview with its own end, stuffed data, a restart and fill bytes.
        let mut bytes =
            [&[0xff, 0xd8][..], &segment(0xe1, &[0xff, 0xd8, 1, 0xff, 0xd9]), &segment(frame, &[8; 9])]
                .concat();
        for _ in 0..scans {
            bytes.extend(segment(START_OF_SCAN, &[1; 8]));
            bytes.extend([5, 6, 0xff, 0x00, 7, 0xff, 0xd0, 8, 9, 0xff]);
        }
        bytes.extend([0xff, 0xd9]);
        bytes
    }

    #[test]
    fn a_whole_file_is_whole_whatever_follows_it() {
        let whole = Outline { whole: true, several_scans: false };
        assert_eq!(outline(&file(0xc0, 1)), whole);
        assert_eq!(outline(&[file(0xc0, 1), vec![0xff, 0xd8, 3, 4]].concat()), whole);
        assert!(outline(&file(0xc2, 3)).whole);
    }

    #[test]
    fn a_file_cut_anywhere_is_not_whole() {
        for bytes in [file(0xc0, 1), file(0xc2, 3)] {
            for len in 0..bytes.len() {
                assert!(!outline(&bytes[..len]).whole, "cut to {len} of {}", bytes.len());
            }
            // As a download leaves it whose place was reserved.
            let mut padded = bytes.clone();
            padded[bytes.len() - 9..].fill(0);
            assert!(!outline(&padded).whole);
        }
    }

    #[test]
    fn files_whose_coefficients_are_kept_are_told() {
        for (frame, scans, expected) in [(0xc0, 1, false), (0xc1, 1, false), (0xc0, 2, true), (0xc2, 1, true)]
        {
            assert_eq!(outline(&file(frame, scans)).several_scans, expected);
        }
    }
}

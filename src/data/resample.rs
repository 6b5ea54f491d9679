//! Bilinear resizing with antialiasing, to the bit as Pillow 10 does it with 8-bit pictures, and so as torchvision's `Resize`
//! does it with a picture. (Pillow 13 begins with the columns for some sizes, and then rounds otherwise.)
//!
//! Along each side, a pixel of the result is a weighted mean over the pixels of the original around its centre. The weights
//! are a triangle: 1 at the centre, 0 at one pixel's distance, a pixel being the larger of the two images' pixels. Beyond
//! the borders there is nothing, and weights add up to 1. Rows are resized along their length first, rounded to bytes, and
//! then columns along theirs. Weights are whole numbers of 22 bits after the point, which is where Pillow's bits come from.
//!
//! Only the part that is wanted is computed, and nothing that is as large as the original is kept.

use super::framing::Window;
use super::size::Size;

/// Bits of a weight after the point.
const FRACTION: u32 = 22;

/// Half of the last place, for rounding.
const HALF: i64 = 1 << (FRACTION - 1);

/// The pixels of a side that one pixel of the result is made of.
struct Taps {
    first: u32,
    weights: Vec<i64>,
}

/// `pixel` tells the colours at a row and a column of an image of `height` x `width`, which becomes one of
/// `window.scaled`. Gives the part of `size` of that which begins at `window.first`, HWC.
pub(super) fn resampled(
    pixel: impl Fn(u32, u32) -> [u8; 3],
    [height, width]: [u32; 2],
    window: Window,
    size: Size,
) -> Vec<u8> {
    let rows = taps(height, window.scaled[0], window.first[0], size.height);
    let columns = taps(width, window.scaled[1], window.first[1], size.width);
    let mut sums = vec![[HALF; 3]; size.area()];
    let mut line = vec![[0_u8; 3]; size.width];
    let (mut open, mut begun) = (0, 0);
    let last = rows.iter().map(|taps| taps.first + taps.weights.len() as u32).max().unwrap_or(0);
    for y in rows.first().map_or(0, |taps| taps.first)..last {
        while open < rows.len() && rows[open].first + rows[open].weights.len() as u32 <= y {
            open += 1;
        }
        while begun < rows.len() && rows[begun].first <= y {
            begun += 1;
        }
        if open == begun {
            continue;
        }
        for (taps, colours) in columns.iter().zip(&mut line) {
            *colours = along(&pixel, y, taps);
        }
        for row in open..begun {
            let weight = rows[row].weights[(y - rows[row].first) as usize];
            for (sums, colours) in sums[row * size.width..].iter_mut().zip(&line) {
                add(sums, weight, *colours);
            }
        }
    }
    sums.iter().flat_map(|sums| sums.map(byte)).collect()
}

/// One pixel of a row that is resized along its length.
fn along(pixel: &impl Fn(u32, u32) -> [u8; 3], y: u32, taps: &Taps) -> [u8; 3] {
    let mut sums = [HALF; 3];
    for (x, weight) in (taps.first..).zip(&taps.weights) {
        add(&mut sums, *weight, pixel(y, x));
    }
    sums.map(byte)
}

fn add(sums: &mut [i64; 3], weight: i64, colours: [u8; 3]) {
    for (sum, colour) in sums.iter_mut().zip(colours) {
        *sum += weight * i64::from(colour);
    }
}

fn byte(sum: i64) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}

/// What the pixels `first..first + count` of a side of `to` pixels are made of, which has `from` in the original.
fn taps(from: u32, to: u64, first: u64, count: usize) -> Vec<Taps> {
    let step = f64::from(from) / to as f64;
    let reach = step.max(1.0);
    (first..first + count as u64)
        .map(|place| {
            let centre = (place as f64 + 0.5) * step;
            // Rounded as Pillow does: towards zero after half a pixel is added.
            let begin = ((centre - reach + 0.5) as i64).max(0) as u32;
            let end = ((centre + reach + 0.5) as i64).min(i64::from(from)) as u32;
            let triangle = |x: u32| (1.0 - ((f64::from(x) - centre + 0.5) / reach).abs()).max(0.0);
            let weights: Vec<f64> = (begin..end).map(triangle).collect();
            let sum: f64 = weights.iter().sum();
            let whole = |weight: &f64| (0.5 + weight / sum * f64::from(1 << FRACTION)) as i64;
            Taps { first: begin, weights: weights.iter().map(whole).collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with something to see in it.
    fn pixel(y: u32, x: u32) -> [u8; 3] {
        [(x * 37 + y * 91) as u8, (x * x + 3 * y) as u8, (255 * ((x / 3 + y / 2) % 2)) as u8]
    }

    fn adler(bytes: &[u8]) -> u32 {
        let next = |(a, b), &byte: &u8| {
            let a = (a + u32::from(byte)) % 65_521;
            (a, (b + a) % 65_521)
        };
        let (a, b) = bytes.iter().fold((1, 0), next);
        b << 16 | a
    }

    fn whole(from: [u32; 2], size: Size) -> Vec<u8> {
        let window = Window { scaled: [size.height as u64, size.width as u64], first: [0, 0] };
        resampled(pixel, from, window, size)
    }

    #[test]
    fn the_bytes_are_pillows() {
        // Made with Pillow 10 by tests/golden/make_resized.py: the first two pixels, and Adler-32 of all bytes.
        for ([height, width], [rows, columns], first, checksum) in [
            ([23, 31], [8, 8], [111, 9, 112, 124, 35, 129], 0x8508_5a7a),
            ([5, 6], [9, 8], [0, 0, 0, 23, 1, 0], 0xa0e7_479e),
            ([40, 7], [6, 12], [100, 10, 120, 114, 10, 120], 0x6dfb_5ba8),
            ([64, 48], [4, 3], [125, 96, 127, 126, 129, 128], 0x48e1_11f8),
        ] {
            let image = whole([height, width], Size { height: rows, width: columns });
            assert_eq!((&image[..6], adler(&image)), (&first[..], checksum), "{height}x{width}");
        }
    }

    #[test]
    fn a_part_is_the_part_of_the_whole() {
        let all = whole([23, 31], Size { height: 11, width: 40 });
        let window = Window { scaled: [11, 40], first: [3, 17] };
        let part = resampled(pixel, [23, 31], window, Size { height: 4, width: 5 });
        for (row, line) in part.chunks(15).enumerate() {
            assert_eq!(line, &all[((row + 3) * 40 + 17) * 3..][..15]);
        }
    }

    #[test]
    fn a_size_that_stays_changes_nothing() {
        let all = whole([9, 7], Size { height: 9, width: 7 });
        assert!((0..63).all(|i| all[3 * i as usize..][..3] == pixel(i / 7, i % 7)));
    }

    #[test]
    fn one_colour_stays_that_colour() {
        let window = Window { scaled: [8, 13], first: [0, 0] };
        let image = resampled(|_, _| [3, 200, 255], [100, 5], window, Size { height: 8, width: 13 });
        assert!(image.chunks(3).all(|pixel| pixel == [3, 200, 255]));
    }
}

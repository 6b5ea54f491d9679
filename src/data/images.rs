//! A stack of equally large images with labels. Promises that the pixel count, the label count and the shape agree, so
//! nobody else has to check.
//!
//! Pixels are kept as bytes. Real numbers that no byte stands for (adversarial images of another program, say) are kept as
//! they are.

use super::size::Size;
use std::ops::Range;

/// Images of one split: `len` times `height` x `width` x `channels` values (NHWC) and one label each.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    size: Size,
    channels: usize,
    pixels: Pixels,
    labels: Vec<u16>,
}

/// The values of a stack of images.
#[derive(Clone, Debug, PartialEq)]
enum Pixels {
    /// 255 stands for 1.
    Bytes(Vec<u8>),
    /// In [0, 1].
    Numbers(Vec<f32>),
}

/// Does the same to values of either kind.
macro_rules! each_kind {
    ($pixels:expr, $values:ident => $result:expr) => {
        match $pixels {
            Pixels::Bytes($values) => Pixels::Bytes($result),
            Pixels::Numbers($values) => Pixels::Numbers($result),
        }
    };
}

impl Images {
    /// Takes `pixels` (NHWC, one byte per channel, 255 for 1.0) and one label per image.
    ///
    /// # Panics
    /// If the counts disagree, which is a mistake of the caller and not of a file.
    pub fn new(size: Size, channels: usize, pixels: Vec<u8>, labels: Vec<u16>) -> Self {
        assert_eq!(pixels.len(), labels.len() * size.area() * channels, "pixels and labels disagree");
        Self { size, channels, pixels: Pixels::Bytes(pixels), labels }
    }

    /// Takes `pixels` (NHWC) in [0, 1] and one label per image. Where every number is that of a byte, bytes are kept: they
    /// give back the same numbers in a quarter of the memory.
    ///
    /// # Panics
    /// If the counts disagree, which is a mistake of the caller and not of a file.
    pub fn of_numbers(size: Size, channels: usize, pixels: Vec<f32>, labels: Vec<u16>) -> Self {
        assert_eq!(pixels.len(), labels.len() * size.area() * channels, "pixels and labels disagree");
        let byte = |&number: &f32| {
            let byte = (number * 255.0).round() as u8;
            (unit(byte) == number).then_some(byte)
        };
        let pixels = match pixels.iter().map(byte).collect::<Option<Vec<u8>>>() {
            Some(bytes) => Pixels::Bytes(bytes),
            None => Pixels::Numbers(pixels),
        };
        Self { size, channels, pixels, labels }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Whether pixels are kept as bytes.
    pub fn is_bytes(&self) -> bool {
        matches!(self.pixels, Pixels::Bytes(_))
    }

    /// Height and width in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// From 1 to 4: 1 is grey, 3 are red, green and blue.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Values per image: height x width x channels.
    pub fn image_len(&self) -> usize {
        self.size.area() * self.channels
    }

    /// Image `i` (HWC) as it is kept: one byte per value, or the four bytes of each real number.
    pub fn image(&self, i: usize) -> &[u8] {
        let size = self.image_len();
        match &self.pixels {
            Pixels::Bytes(bytes) => &bytes[i * size..][..size],
            Pixels::Numbers(numbers) => bytemuck::cast_slice(&numbers[i * size..][..size]),
        }
    }

    /// The class of image `i`.
    pub fn label(&self, i: usize) -> u16 {
        self.labels[i]
    }

    /// The class of every image.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// A copy of the images named, in that order; an image may be named twice.
    #[must_use]
    pub fn subset(&self, indices: &[u32]) -> Self {
        let size = self.image_len();
        let pixels = each_kind!(&self.pixels, values => copies(values, size, indices));
        let labels = indices.iter().map(|&i| self.labels[i as usize]).collect();
        Self { pixels, labels, ..*self }
    }

    /// Takes the images named out of this stack, which keeps the others in their order. Cheaper than two
    /// [`subset`](Self::subset)s: only what is taken out is copied.
    ///
    /// # Panics
    /// If `indices` are not ascending.
    #[must_use]
    pub(super) fn take_out(&mut self, indices: &[u32]) -> Self {
        assert!(indices.windows(2).all(|pair| pair[0] < pair[1]), "indices ascend");
        let taken = self.subset(indices);
        let (size, len) = (self.image_len(), self.len());
        match &mut self.pixels {
            Pixels::Bytes(values) => drop_images(values, size, len, indices),
            Pixels::Numbers(values) => drop_images(values, size, len, indices),
        }
        drop_images(&mut self.labels, 1, len, indices);
        taken
    }

    /// The stack in parts that end at these ascending counts, the last of which is [`len`](Self::len).
    pub(super) fn split_at_counts(mut self, counts: &[usize]) -> Vec<Self> {
        let (size, channels, values) = (self.size, self.channels, self.image_len());
        let mut parts = Vec::new();
        for &from in counts[..counts.len().saturating_sub(1)].iter().rev() {
            let pixels = each_kind!(&mut self.pixels, all => all.split_off(from * values));
            let labels = self.labels.split_off(from);
            parts.push(Self { size, channels, pixels, labels });
        }
        match &mut self.pixels {
            Pixels::Bytes(values) => values.shrink_to_fit(),
            Pixels::Numbers(values) => values.shrink_to_fit(),
        }
        parts.push(self);
        parts.reverse();
        parts
    }

    /// The images of `range` as numbers in [0, 1] (byte / 255), NHWC. For images here and there, take a
    /// [`subset`](Self::subset) first.
    pub fn to_unit(&self, range: Range<usize>) -> Vec<f32> {
        let size = self.image_len();
        let range = range.start * size..range.end * size;
        match &self.pixels {
            Pixels::Bytes(bytes) => bytes[range].iter().copied().map(unit).collect(),
            Pixels::Numbers(numbers) => numbers[range].to_vec(),
        }
    }

    /// Writes image `i` to `numbers`, in [0, 1].
    pub(super) fn write_unit(&self, i: usize, numbers: &mut [f32]) {
        let range = i * self.image_len()..(i + 1) * self.image_len();
        match &self.pixels {
            Pixels::Bytes(bytes) => {
                numbers.iter_mut().zip(&bytes[range]).for_each(|(number, &byte)| *number = unit(byte));
            }
            Pixels::Numbers(all) => numbers.copy_from_slice(&all[range]),
        }
    }
}

/// The images of `size` values that `indices` name, one after the other.
fn copies<T: Copy>(values: &[T], size: usize, indices: &[u32]) -> Vec<T> {
    let mut chosen = Vec::with_capacity(indices.len() * size);
    for &i in indices {
        chosen.extend_from_slice(&values[i as usize * size..][..size]);
    }
    chosen
}

/// Drops what belongs to the images that ascending `indices` name, `size` values of each of `len` images.
fn drop_images<T: Copy>(values: &mut Vec<T>, size: usize, len: usize, indices: &[u32]) {
    let (mut named, mut kept) = (indices.iter().peekable(), 0);
    for i in 0..len {
        if named.next_if(|&&index| index as usize == i).is_some() {
            continue;
        }
        values.copy_within(i * size..(i + 1) * size, kept * size);
        kept += 1;
    }
    values.truncate(kept * size);
    values.shrink_to_fit();
}

/// The number in [0, 1] that a byte stands for. Divides rather than multiplying by 1/255, so that 255 is exactly 1 and
/// the numbers equal those of other programs.
fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one row and two columns.
    const SIZE: Size = Size { height: 1, width: 2 };

    fn four() -> Images {
        Images::new(SIZE, 3, (0..24).map(|v| v * 10).collect(), vec![5, 6, 7, 8])
    }

    /// The same images, moved a little so that bytes do not do.
    fn four_numbers() -> Images {
        let numbers = four().to_unit(0..4).iter().map(|number| number + 1e-3).collect();
        Images::of_numbers(SIZE, 3, numbers, vec![5, 6, 7, 8])
    }

    #[test]
    fn a_subset_keeps_pixels_with_their_labels_in_the_order_asked_for() {
        let subset = four().subset(&[3, 0, 3]);
        assert_eq!(subset.labels(), [8, 5, 8]);
        assert_eq!(subset.image(0), [180, 190, 200, 210, 220, 230]);
        assert_eq!(subset.image(1), [0, 10, 20, 30, 40, 50]);
    }

    #[test]
    fn what_is_taken_out_and_what_stays_are_together_what_there_was() {
        for all in [four(), four_numbers()] {
            for indices in [&[][..], &[0], &[1, 2], &[0, 1, 2, 3]] {
                let mut rest = all.clone();
                assert_eq!(rest.take_out(indices), all.subset(indices));
                let others: Vec<u32> = (0..4).filter(|i| !indices.contains(i)).collect();
                assert_eq!(rest, all.subset(&others));
            }
        }
    }

    #[test]
    fn parts_follow_each_other() {
        for all in [four(), four_numbers()] {
            let parts = all.clone().split_at_counts(&[1, 1, 4]);
            assert_eq!(parts, [all.subset(&[0]), all.subset(&[]), all.subset(&[1, 2, 3])]);
        }
    }

    #[test]
    fn bytes_become_numbers_from_zero_to_one() {
        let images = Images::new(Size::square(1), 1, vec![0, 51, 255], vec![0, 0, 0]);
        assert_eq!(images.to_unit(0..3), [0.0, 0.2, 1.0]);
        assert_eq!(images.to_unit(1..2), [0.2]);
    }

    #[test]
    fn numbers_of_bytes_are_kept_as_bytes_and_others_to_the_last_bit() {
        let bytes: Vec<u8> = (0..=255).collect();
        let images = Images::new(Size::square(16), 1, bytes, vec![0]);
        assert_eq!(Images::of_numbers(Size::square(16), 1, images.to_unit(0..1), vec![0]), images);
        let mut numbers = images.to_unit(0..1);
        numbers[7] = 0.123_456_79;
        let kept = Images::of_numbers(Size::square(16), 1, numbers.clone(), vec![0]);
        assert_eq!(kept.to_unit(0..1), numbers);
        assert_eq!(kept.image(0).len(), 4 * 256);
    }
}

//! A stack of equally large images with labels, as bytes. Promises that the pixel count, the label
//! count and the shape agree, so nobody else has to check.

use std::ops::Range;

/// Images of one split: `len` times `side` x `side` x `channels` bytes (NHWC) and one label each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    side: usize,
    channels: usize,
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Images {
    /// Takes `pixels` (NHWC, one byte per channel, 255 for 1.0) and one label per image.
    ///
    /// # Panics
    /// If the counts disagree, which is a mistake of the caller and not of a file.
    pub fn new(side: usize, channels: usize, pixels: Vec<u8>, labels: Vec<u16>) -> Self {
        assert_eq!(pixels.len(), labels.len() * side * side * channels, "pixels and labels disagree");
        Self { side, channels, pixels, labels }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Height and width in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// 1 (grey) or 3 (red, green, blue).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Bytes, and later numbers, per image: side x side x channels.
    pub fn image_len(&self) -> usize {
        self.side * self.side * self.channels
    }

    /// The bytes of image `i` (HWC).
    pub fn image(&self, i: usize) -> &[u8] {
        let size = self.image_len();
        &self.pixels[i * size..][..size]
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
        let mut pixels = Vec::with_capacity(indices.len() * self.image_len());
        for &i in indices {
            pixels.extend_from_slice(self.image(i as usize));
        }
        let labels = indices.iter().map(|&i| self.labels[i as usize]).collect();
        Self { side: self.side, channels: self.channels, pixels, labels }
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
        let size = self.image_len();
        let (mut named, mut kept) = (indices.iter().peekable(), 0);
        for i in 0..self.len() {
            if named.next_if(|&&index| index as usize == i).is_some() {
                continue;
            }
            self.pixels.copy_within(i * size..(i + 1) * size, kept * size);
            self.labels[kept] = self.labels[i];
            kept += 1;
        }
        self.pixels.truncate(kept * size);
        self.pixels.shrink_to_fit();
        self.labels.truncate(kept);
        taken
    }

    /// The stack in parts that end at these ascending counts, the last of which is [`len`](Self::len).
    pub(super) fn split_at_counts(mut self, counts: &[usize]) -> Vec<Self> {
        let (side, channels, size) = (self.side, self.channels, self.image_len());
        let mut parts = Vec::new();
        for &from in counts[..counts.len().saturating_sub(1)].iter().rev() {
            let (pixels, labels) = (self.pixels.split_off(from * size), self.labels.split_off(from));
            parts.push(Self { side, channels, pixels, labels });
        }
        self.pixels.shrink_to_fit();
        parts.push(self);
        parts.reverse();
        parts
    }

    /// The images of `range` as numbers in [0, 1] (byte / 255), NHWC. For images here and there, take a
    /// [`subset`](Self::subset) first.
    pub fn to_unit(&self, range: Range<usize>) -> Vec<f32> {
        let size = self.image_len();
        let mut numbers = vec![0.0; range.len() * size];
        bytes_to_unit(&self.pixels[range.start * size..range.end * size], &mut numbers);
        numbers
    }
}

/// Bytes to numbers in [0, 1]. Divides rather than multiplying by 1/255, so that 255 is exactly 1 and the
/// numbers equal those of other programs.
pub(super) fn bytes_to_unit(bytes: &[u8], numbers: &mut [f32]) {
    for (number, &byte) in numbers.iter_mut().zip(bytes) {
        *number = f32::from(byte) / 255.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> Images {
        Images::new(1, 3, (0..12).map(|v| v * 20).collect(), vec![5, 6, 7, 8])
    }

    #[test]
    fn a_subset_keeps_pixels_with_their_labels_in_the_order_asked_for() {
        let subset = four().subset(&[3, 0, 3]);
        assert_eq!(subset.labels(), [8, 5, 8]);
        assert_eq!(subset.image(0), [180, 200, 220]);
        assert_eq!(subset.image(1), [0, 20, 40]);
    }

    #[test]
    fn what_is_taken_out_and_what_stays_are_together_what_there_was() {
        for indices in [&[][..], &[0], &[1, 2], &[0, 1, 2, 3]] {
            let mut rest = four();
            assert_eq!(rest.take_out(indices), four().subset(indices));
            let others: Vec<u32> = (0..4).filter(|i| !indices.contains(i)).collect();
            assert_eq!(rest, four().subset(&others));
        }
    }

    #[test]
    fn parts_follow_each_other() {
        let parts = four().split_at_counts(&[1, 1, 4]);
        assert_eq!(parts, [four().subset(&[0]), four().subset(&[]), four().subset(&[1, 2, 3])]);
    }

    #[test]
    fn bytes_become_numbers_from_zero_to_one() {
        let images = Images::new(1, 1, vec![0, 51, 255], vec![0, 0, 0]);
        assert_eq!(images.to_unit(0..3), [0.0, 0.2, 1.0]);
        assert_eq!(images.to_unit(1..2), [0.2]);
    }
}

//! What is in a batch. [`make_batch`] is a function of the images, the options, the epoch and the index
//! alone, so a resumed run sees the batches that an uninterrupted one would have seen.

use super::augment::Augment;
use super::images::Images;
use crate::random::{Random, Stream};

/// How a split is cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Images per batch, at least 1.
    pub batch_size: usize,
    /// A new order in every epoch; otherwise the order of the split.
    pub shuffle: bool,
    /// What is done to the images.
    pub augment: Augment,
    /// Decides the order and the augmentation.
    pub seed: u64,
}

impl BatchOptions {
    /// Batches for evaluation: in order, as they are.
    pub const fn in_order(batch_size: usize) -> Self {
        Self { batch_size, shuffle: false, augment: Augment::None, seed: 0 }
    }
}

/// One batch, ready for the device. It always has `batch_size` places: where images run out at the end of
/// an epoch, places are filled with images from the start of the epoch's order, at weight 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[batch, height, width, channels]` (NHWC), in [0, 1].
    pub images: Vec<f32>,
    /// `[batch]`: the class as a whole number.
    pub labels: Vec<f32>,
    /// `[batch]`: 1 / `real` for real images and 0 for fillers, so that a weighted sum is the mean over the
    /// real ones.
    pub weights: Vec<f32>,
    /// `[batch]`: which image of the split is in which place.
    pub indices: Vec<u32>,
    /// How many places, from the first, hold real images.
    pub real: usize,
    /// Counted from 0.
    pub epoch: u32,
    /// Place in the epoch, counted from 0.
    pub index: u32,
    /// Batches of an epoch.
    pub per_epoch: u32,
}

impl Batch {
    /// All images of an epoch that has no other batch.
    pub fn whole(images: Vec<f32>, labels: Vec<f32>) -> Self {
        let real = labels.len();
        Self {
            images,
            labels,
            weights: vec![1.0 / real as f32; real],
            indices: (0..real as u32).collect(),
            real,
            epoch: 0,
            index: 0,
            per_epoch: 1,
        }
    }
}

/// Batches that `images` images make, the last possibly with fillers.
pub const fn batches_per_epoch(images: usize, batch_size: usize) -> u32 {
    images.div_ceil(batch_size) as u32
}

/// Batch `index` of epoch `epoch`. Within an epoch every image is real exactly once.
///
/// # Panics
/// If there are no images, the batch size is 0, or the epoch has no batch `index`.
pub fn make_batch(images: &Images, options: &BatchOptions, epoch: u32, index: u32) -> Batch {
    fill_batch(images, options, &epoch_order(images.len(), options, epoch), epoch, index)
}

/// The order of the images in an epoch.
pub(super) fn epoch_order(len: usize, options: &BatchOptions, epoch: u32) -> Vec<u32> {
    if options.shuffle {
        Random::new(options.seed, Stream::Shuffle).permutation(len, epoch)
    } else {
        (0..len as u32).collect()
    }
}

/// [`make_batch`] for who has the epoch's order already.
pub(super) fn fill_batch(
    images: &Images,
    options: &BatchOptions,
    order: &[u32],
    epoch: u32,
    index: u32,
) -> Batch {
    let start = index as usize * options.batch_size;
    assert!(start < order.len(), "batch {index} of {} images", order.len());
    let real = options.batch_size.min(order.len() - start);
    let rest = order[start..][..real].iter();
    let indices: Vec<u32> = rest.chain(order.iter().cycle()).take(options.batch_size).copied().collect();

    let (size, channels, values) = (images.size(), images.channels(), images.image_len());
    let mut numbers = vec![0.0; options.batch_size * values];
    let mut whole = vec![0.0; values];
    for (&image, numbers) in indices.iter().zip(numbers.chunks_exact_mut(values)) {
        if let Some(placement) = options.augment.draw(size, options.seed, epoch, image) {
            images.write_unit(image as usize, &mut whole);
            placement.apply(&whole, size, channels, numbers);
        } else {
            images.write_unit(image as usize, numbers);
        }
    }
    let labels = indices.iter().map(|&image| f32::from(images.label(image as usize))).collect();
    let mut weights = vec![1.0 / real as f32; real];
    weights.resize(options.batch_size, 0.0);
    let per_epoch = batches_per_epoch(images.len(), options.batch_size);
    Batch { images: numbers, labels, weights, indices, real, epoch, index, per_epoch }
}

#[cfg(test)]
mod tests {
    use super::super::Size;
    use super::*;

    /// `len` images of 8x8, image `i` all of value `i` and of class `i % 7`.
    fn images(len: u8) -> Images {
        let pixels = (0..len).flat_map(|i| [i; 64]).collect();
        Images::new(Size::square(8), 1, pixels, (0..u16::from(len)).map(|i| i % 7).collect())
    }

    const OPTIONS: BatchOptions =
        BatchOptions { batch_size: 32, shuffle: true, augment: Augment::FlipAndCrop, seed: 9 };

    #[test]
    fn every_image_is_real_exactly_once_an_epoch_and_comes_with_its_label() {
        let images = images(100);
        for epoch in 0..2 {
            let mut seen = Vec::new();
            for index in 0..batches_per_epoch(100, 32) {
                let batch = make_batch(&images, &OPTIONS, epoch, index);
                for place in 0..batch.real {
                    let value = (batch.images[place * 64] * 255.0).round();
                    assert_eq!(value as u32, batch.indices[place]);
                    assert_eq!(batch.labels[place] as u32, value as u32 % 7);
                    seen.push(value as u32);
                }
            }
            assert!(!seen.is_sorted(), "shuffled");
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..100));
        }
    }

    #[test]
    fn the_last_batch_is_full_and_its_weights_count_real_images_only() {
        let batch = make_batch(&images(100), &OPTIONS, 0, 3);
        assert_eq!((batch.real, batch.labels.len(), batch.images.len()), (4, 32, 32 * 64));
        assert_eq!(batch.weights[..4], [0.25; 4]);
        assert!(batch.weights[4..].iter().all(|&weight| weight == 0.0));
        let first = make_batch(&images(100), &OPTIONS, 0, 0);
        assert_eq!(batch.indices[4..], first.indices[..28]);
        assert_eq!(batch.images[4 * 64..], first.images[..28 * 64]);
    }

    #[test]
    fn a_batch_larger_than_the_split_repeats_it() {
        let batch = make_batch(&images(3), &BatchOptions::in_order(8), 0, 0);
        assert_eq!(batch.indices, [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(batch.weights, [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn augmentation_does_not_depend_on_the_batch_size() {
        let pixels: Vec<u8> = (0..40 * 64u32).map(|i| (i * 37 % 251) as u8).collect();
        let images = Images::new(Size::square(8), 1, pixels, vec![0; 40]);
        let find = |batch_size: usize| {
            let options = BatchOptions { batch_size, ..OPTIONS };
            (0..batches_per_epoch(40, batch_size))
                .map(|index| make_batch(&images, &options, 4, index))
                .find_map(|batch| {
                    let place = batch.indices.iter().position(|&image| image == 17)?;
                    Some(batch.images[place * 64..][..64].to_vec())
                })
        };
        assert!(find(8).is_some());
        assert_eq!(find(8), find(15));
    }

    #[test]
    fn without_shuffling_images_come_in_order_and_unchanged() {
        let images = images(10);
        let batch = make_batch(&images, &BatchOptions::in_order(4), 3, 1);
        assert_eq!(batch.indices, [4, 5, 6, 7]);
        assert_eq!(batch.images, images.to_unit(4..8));
    }
}

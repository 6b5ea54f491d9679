//! The real files, and facts about them that are known from elsewhere. They are looked for at `$PGN_DATA`,
//! else in `../shared/data`; a test whose files are absent says so and passes.

use pgn_wgpu::data::{
    BatchOptions, DataOptions, Dataset, DatasetKind, Images, Position, Prefetcher, make_batch, open,
};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder `name` of the real data, or a note that the test is skipped.
fn real_data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PGN_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    // Not eprintln!, which the test harness swallows when the test passes; one write, so that lines stay whole.
    let note = format!("SKIPPED: {} is absent; set PGN_DATA to a folder that has {name}\n", folder.display());
    let _ = io::stderr().write_all(note.as_bytes());
    None
}

fn read(kind: DatasetKind, dir: PathBuf, validation_share: f32) -> Dataset {
    let options = DataOptions {
        kind,
        dir: Some(dir),
        validation_share: Some(validation_share),
        ..DataOptions::default()
    };
    open(&options).expect("the real files are good")
}

/// The mean of every channel in [0, 1].
fn channel_means(images: &Images) -> Vec<f64> {
    let mut sums = vec![0u64; images.channels()];
    for i in 0..images.len() {
        for pixel in images.image(i).chunks_exact(sums.len()) {
            for (sum, &byte) in sums.iter_mut().zip(pixel) {
                *sum += u64::from(byte);
            }
        }
    }
    let pixels = (images.len() * images.size().area()) as f64;
    sums.into_iter().map(|sum| sum as f64 / pixels / 255.0).collect()
}

/// Published means have four decimals.
#[track_caller]
fn assert_means(images: &Images, published: &[f64]) {
    let means = channel_means(images);
    assert_eq!(means.len(), published.len());
    for (mean, published) in means.iter().zip(published) {
        assert!((mean - published).abs() <= 0.000_051, "{means:?}");
    }
}

fn class_counts(images: &Images, classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for &label in images.labels() {
        counts[usize::from(label)] += 1;
    }
    counts
}

/// The smallest and the largest class.
fn extremes(images: &Images, classes: usize) -> (usize, usize) {
    let counts = class_counts(images, classes);
    (counts.iter().copied().min().unwrap_or(0), counts.iter().copied().max().unwrap_or(0))
}

#[test]
fn cifar10_has_its_published_counts_means_and_names() {
    let Some(dir) = real_data("cifar-10-batches-bin") else {
        return;
    };
    let data = read(DatasetKind::Cifar10, dir, 0.0);
    assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [10_000, 0, 2_000]);
    assert_eq!((data.size.to_string(), data.channels, data.classes), ("32x32".to_string(), 3, 10));
    assert_eq!(data.class_names[3], "cat");
    assert_means(&data.train, &[0.4935, 0.4834, 0.4472]);
    assert_means(&data.test, &[0.4974, 0.4887, 0.4555]);
    assert_eq!(extremes(&data.train, 10), (937, 1032));
    assert_eq!(extremes(&data.test, 10), (185, 217));
    // The first images of the official files: a frog and a truck; a cat and two ships.
    assert_eq!(data.train.labels()[..2], [6, 9]);
    assert_eq!(data.test.labels()[..3], [3, 8, 8]);
    // The first pixel of the first training image.
    assert_eq!(data.train.image(0)[..3], [59, 62, 63]);
}

#[test]
fn cifar100_has_its_published_counts_means_and_names_and_is_found_below_its_parent() {
    let Some(dir) = real_data("cifar-100-binary") else {
        return;
    };
    let data = read(DatasetKind::Cifar100, dir.join(".."), 0.0);
    assert_eq!([data.train.len(), data.test.len()], [10_000, 2_000]);
    assert_eq!((data.size.to_string(), data.channels, data.classes), ("32x32".to_string(), 3, 100));
    assert_eq!((data.class_names[0].as_str(), data.class_names[99].as_str()), ("apple", "worm"));
    assert_means(&data.train, &[0.5071, 0.4846, 0.4389]);
    assert_means(&data.test, &[0.5082, 0.4875, 0.4421]);
    assert_eq!(extremes(&data.train, 100), (67, 125));
    assert_eq!(extremes(&data.test, 100), (8, 33));
}

#[test]
fn mnist_has_its_published_counts_mean_and_labels() {
    let Some(dir) = real_data("mnist") else { return };
    let data = read(DatasetKind::Mnist, dir, 0.0);
    assert_eq!([data.train.len(), data.test.len()], [60_000, 10_000]);
    assert_eq!((data.size.to_string(), data.channels, data.classes), ("28x28".to_string(), 1, 10));
    assert_means(&data.train, &[0.1307]);
    assert_eq!(data.train.labels()[..5], [5, 0, 4, 1, 9]);
    assert_eq!(data.test.labels()[..5], [7, 2, 1, 0, 4]);
    assert_eq!(class_counts(&data.test, 10), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
}

#[test]
fn the_validation_images_are_a_stratified_share_of_train_and_test_is_untouched() {
    let Some(dir) = real_data("cifar-10-batches-bin") else {
        return;
    };
    let whole = read(DatasetKind::Cifar10, dir.clone(), 0.0);
    let parted = read(DatasetKind::Cifar10, dir, 0.1);
    assert_eq!([parted.train.len(), parted.validation.len()], [9_000, 1_000]);
    assert_eq!(parted.test, whole.test);
    let of_train = class_counts(&whole.train, 10);
    for (held, all) in class_counts(&parted.validation, 10).into_iter().zip(of_train) {
        assert!((held as f64 - all as f64 / 10.0).abs() <= 1.0, "{held} of {all}");
    }
    // Together the two are the training images again.
    let sorted = |splits: &[&Images]| {
        let mut all: Vec<Vec<u8>> =
            splits.iter().flat_map(|split| (0..split.len()).map(|i| split.image(i).to_vec())).collect();
        all.sort_unstable();
        all
    };
    assert!(sorted(&[&parted.train, &parted.validation]) == sorted(&[&whole.train]));
}

#[test]
fn cifar10_read_as_cifar100_is_refused_by_name() {
    let Some(dir) = real_data("cifar-10-batches-bin") else {
        return;
    };
    let options = DataOptions { kind: DatasetKind::Cifar100, dir: Some(dir), ..DataOptions::default() };
    let text = open(&options).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("has no test.bin") && text.contains("CIFAR-100"), "{text}");
}

#[test]
fn the_embedded_digits_need_no_files_and_give_batches() {
    let data = open(&DataOptions::default()).expect("embedded");
    assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [1197, 200, 400]);
    assert_eq!((data.size.to_string(), data.channels, data.classes), ("8x8".to_string(), 1, 10));
    let options = BatchOptions {
        batch_size: 128,
        shuffle: true,
        augment: DatasetKind::Digits.default_augment(),
        seed: 3,
    };
    let from = Position { epoch: 1, index: 9 };
    let batches: Vec<_> =
        Prefetcher::start(Arc::clone(&data.train), options, from, 2).expect("started").collect();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0], make_batch(&data.train, &options, 1, 9));
    assert_eq!(batches[0].real, 1197 - 9 * 128);
    assert!(batches[0].images.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
}

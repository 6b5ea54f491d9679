//! The real files, and facts about them that are known from elsewhere. They are looked for at `$PGN_DATA`,
//! else in `../shared/data`; a test whose files are absent says so and passes. CIFAR is there whole, with 50,000 training and
//! 10,000 test images, or as an excerpt of 10,000 and 2,000.

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

/// What is known of CIFAR's training and test images.
struct Known {
    images: [usize; 2],
    train_means: [f64; 3],
    test_means: Option<[f64; 3]>,
    /// Images of the smallest and of the largest class.
    classes: [(usize, usize); 2],
}

impl Known {
    #[track_caller]
    fn assert(&self, data: &Dataset) {
        assert_eq!([&data.train, &data.test].map(|images| images.len()), self.images);
        assert!(data.validation.is_empty());
        assert_means(&data.train, &self.train_means);
        if let Some(means) = self.test_means {
            assert_means(&data.test, &means);
        }
        assert_eq!([&data.train, &data.test].map(|images| extremes(images, data.classes)), self.classes);
    }
}

/// Whether every one of these files has so many bytes.
fn have_bytes(folder: &Path, files: &[(&str, u64)]) -> bool {
    let found = |name: &str| folder.join(name).with_extension("bin").metadata();
    files.iter().all(|(name, bytes)| found(name).is_ok_and(|file| file.len() == *bytes))
}

/// The published counts and means of CIFAR-10 if all files are as long as the official ones, else those of the excerpt.
fn known_of_cifar10(folder: &Path) -> Known {
    let files =
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    match have_bytes(folder, &files.map(|file| (file, 10_000 * 3073))) {
        true => Known {
            images: [50_000, 10_000],
            train_means: [0.4914, 0.4822, 0.4465],
            test_means: Some([0.4942, 0.4851, 0.4504]),
            classes: [(5000, 5000), (1000, 1000)],
        },
        false => Known {
            images: [10_000, 2_000],
            train_means: [0.4935, 0.4834, 0.4472],
            test_means: Some([0.4974, 0.4887, 0.4555]),
            classes: [(937, 1032), (185, 217)],
        },
    }
}

/// The same of CIFAR-100.
fn known_of_cifar100(folder: &Path) -> Known {
    match have_bytes(folder, &[("train", 50_000 * 3074), ("test", 10_000 * 3074)]) {
        true => Known {
            images: [50_000, 10_000],
            train_means: [0.5071, 0.4865, 0.4409],
            // This test does not know the means of the whole test set.
            test_means: None,
            classes: [(500, 500), (100, 100)],
        },
        false => Known {
            images: [10_000, 2_000],
            train_means: [0.5071, 0.4846, 0.4389],
            test_means: Some([0.5082, 0.4875, 0.4421]),
            classes: [(67, 125), (8, 33)],
        },
    }
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
fn cifar10_has_the_published_counts_and_means_or_those_of_the_excerpt_and_its_names() {
    let Some(dir) = real_data("cifar-10-batches-bin") else {
        return;
    };
    let known = known_of_cifar10(&dir);
    let data = read(DatasetKind::Cifar10, dir, 0.0);
    known.assert(&data);
    assert_eq!((data.size.to_string(), data.channels, data.classes), ("32x32".to_string(), 3, 10));
    assert_eq!(data.class_names[3], "cat");
    // The first images of the official files, which are the excerpt's too: a frog and a truck; a cat and two ships.
    assert_eq!(data.train.labels()[..2], [6, 9]);
    assert_eq!(data.test.labels()[..3], [3, 8, 8]);
    // The first pixel of the first training image.
    assert_eq!(data.train.image(0)[..3], [59, 62, 63]);
}

#[test]
fn cifar100_has_the_published_counts_and_means_or_those_of_the_excerpt_and_is_found_below_its_parent() {
    let Some(dir) = real_data("cifar-100-binary") else {
        return;
    };
    let data = read(DatasetKind::Cifar100, dir.join(".."), 0.0);
    known_of_cifar100(&dir).assert(&data);
    assert_eq!((data.size.to_string(), data.channels, data.classes), ("32x32".to_string(), 3, 100));
    assert_eq!((data.class_names[0].as_str(), data.class_names[99].as_str()), ("apple", "worm"));
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
    let tenth = whole.train.len() / 10;
    assert_eq!([parted.train.len(), parted.validation.len()], [9 * tenth, tenth]);
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

//! MNIST and sets in its format: four IDX files, plain or packed with gzip, of images of one channel and their labels.
//!
//! The files are found by their names, in all spellings in use: `train-images-idx3-ubyte`, `t10k-labels.idx1-ubyte`,
//! `emnist-letters-test-images-idx3-ubyte.gz`, `qmnist-train-labels-idx2-int`. Labels may be of any type and range: the
//! classes are the numbers that occur, in their order. MNIST's own files have ten classes, however few images are left of
//! them.
//!
//! Images are taken as the files have them. Those of EMNIST are transposed there, and stay so.

use super::idx::{Element, Idx};
use super::limits::MOST_SET;
use super::{CLASSES, DataError, Images, Size, Source, check_size, folder};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// For people.
pub(super) const NAME: &str = "MNIST";

/// Ends the name of every other set of this format, so that the name of a model's data set tells the format.
pub(super) const OTHER: &str = " (IDX)";

/// Below the folder given, where other programs put the files.
const SUBFOLDERS: [&str; 4] = ["", "mnist", "MNIST/raw", "raw"];

/// Of MNIST's images.
const SIZE: Size = Size::square(28);
/// The labels that MNIST's two parts begin with; sets with the same files' names and shape do not.
const FIRST_LABELS: [[i64; 5]; 2] = [[5, 0, 4, 1, 9], [7, 2, 1, 0, 4]];

/// What a file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Train,
    Test,
}

/// Images or labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Images,
    Labels,
}

/// The images and labels of one part.
struct Pair {
    images_path: PathBuf,
    size: Size,
    pixels: Vec<u8>,
    labels: Vec<i64>,
}

/// Reads the four files in `dir` or, if there is none of them, in one of [`SUBFOLDERS`].
pub(super) fn open(dir: &Path) -> Result<Source, DataError> {
    let files = find(dir)?;
    let own_names = files.iter().all(|path| has_own_name(path));
    let [train_images, train_labels, test_images, test_labels] = files;
    let train = read_pair(train_images, train_labels)?;
    let test = read_pair(test_images, test_labels)?;
    if train.size != test.size {
        let (train_size, test_size) = (train.size, test.size);
        return Err(DataError::IdxSizes {
            train: train.images_path,
            train_size,
            test: test.images_path,
            test_size,
        });
    }
    let is_mnist = own_names && train.size == SIZE && begins_as_mnist(&train, &test);
    let distinct: BTreeSet<i64> = train.labels.iter().chain(&test.labels).copied().collect();
    let classes: Vec<i64> = if is_mnist { (0..10).collect() } else { distinct.into_iter().collect() };
    if !CLASSES.contains(&classes.len()) {
        return Err(DataError::IdxClasses { folder: dir.to_path_buf(), found: classes.len() });
    }
    let name = if is_mnist { NAME.to_owned() } else { format!("{}{OTHER}", folder::display_name(dir)) };
    let class_names = classes.iter().map(ToString::to_string).collect();
    let (train, test) = (train.into_images(&classes), test.into_images(&classes));
    Ok(Source { name, class_names, train, validation: None, test, notes: Vec::new() })
}

fn begins_as_mnist(train: &Pair, test: &Pair) -> bool {
    [train, test].iter().zip(FIRST_LABELS).all(|(pair, first)| {
        let known = pair.labels.len().min(first.len());
        known > 0
            && pair.labels[..known] == first[..known]
            && pair.labels.iter().all(|label| (0..10).contains(label))
    })
}

impl Pair {
    /// With the places of the labels in `classes`, which has them all.
    fn into_images(self, classes: &[i64]) -> Images {
        let place = |label: &i64| classes.binary_search(label).unwrap_or_default() as u16;
        Images::new(self.size, 1, self.pixels, self.labels.iter().map(place).collect())
    }
}

fn read_pair(images_path: PathBuf, labels_path: PathBuf) -> Result<Pair, DataError> {
    let (images, labels) = (Idx::open(&images_path)?, Idx::open(&labels_path)?);
    let (&[count, rows, columns], Element::U8) = (&images.sizes[..], images.element) else {
        let found = images.describe();
        return Err(DataError::IdxContent {
            path: images_path,
            found,
            content: "images",
            wanted: "3 dimensions of unsigned bytes",
        });
    };
    if !labels.has_labels() {
        let (found, content) = (labels.describe(), "labels");
        let wanted = "1 dimension, or rows of 8 32-bit integers";
        return Err(DataError::IdxContent { path: labels_path, found, content, wanted });
    }
    let size = Size { height: rows as usize, width: columns as usize };
    check_size(size, &images_path)?;
    if count != labels.sizes[0] {
        let (images, labels) = (count, labels.sizes[0]);
        return Err(DataError::IdxCounts { images_path, images, labels_path, labels });
    }
    let bytes = count.saturating_mul(rows * columns);
    if bytes > MOST_SET {
        return Err(DataError::SetSize { images: count, size, channels: 1, bytes });
    }
    Ok(Pair { images_path, size, labels: labels.labels()?, pixels: images.bytes()? })
}

/// The parts of a file's name: `train`, `images`, `idx3`, `ubyte`.
fn words(path: &Path) -> Vec<String> {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
    name.split(['-', '.', '_']).map(str::to_owned).collect()
}

/// What a file is, by its name.
fn role(path: &Path) -> Option<(Part, Content)> {
    let words = words(path);
    let has = |word: &str| words.iter().any(|own| own == word);
    let part = match (has("train"), has("test") || has("t10k")) {
        (true, false) => Part::Train,
        (false, true) => Part::Test,
        _ => return None,
    };
    let content = match (has("images"), has("labels")) {
        (true, false) => Content::Images,
        (false, true) => Content::Labels,
        _ => return None,
    };
    words.iter().any(|word| word.starts_with("idx")).then_some((part, content))
}

/// Whether a file is named as MNIST's are, without the name of another set before.
fn has_own_name(path: &Path) -> bool {
    matches!(words(path).first().map(String::as_str), Some("train" | "t10k"))
}

/// The images and labels for training, then those for testing.
fn find(dir: &Path) -> Result<[PathBuf; 4], DataError> {
    let mut found = Vec::new();
    for subfolder in SUBFOLDERS {
        let folder = dir.join(subfolder);
        if subfolder.is_empty() || folder.is_dir() {
            found = candidates(&folder)?;
        }
        if !found.is_empty() {
            break;
        }
    }
    let one = |part, content| only(dir, &found, part, content);
    Ok([
        one(Part::Train, Content::Images)?,
        one(Part::Train, Content::Labels)?,
        one(Part::Test, Content::Images)?,
        one(Part::Test, Content::Labels)?,
    ])
}

/// The files of `folder` whose names tell what they are.
fn candidates(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |source| DataError::Read { path: folder.to_path_buf(), source };
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if role(&path).is_some() && !path.is_dir() {
            all.push(path);
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// The only file of a part. A packed file beside its unpacked one does not count.
fn only(dir: &Path, found: &[PathBuf], part: Part, content: Content) -> Result<PathBuf, DataError> {
    let is_copy =
        |path: &Path| path.extension().is_some_and(|e| e == "gz") && found.contains(&path.with_extension(""));
    let mut own = found.iter().filter(|path| role(path) == Some((part, content)) && !is_copy(path));
    match (own.next(), own.next()) {
        (Some(path), None) => Ok(path.clone()),
        (Some(first), Some(second)) => {
            Err(DataError::TwoFiles { first: first.clone(), second: second.clone() })
        }
        (None, _) => Err(missing(dir, part, content)),
    }
}

fn missing(dir: &Path, part: Part, content: Content) -> DataError {
    let (part, content) = (
        if part == Part::Train { "train" } else { "t10k" },
        if content == Content::Images { "images-idx3-ubyte" } else { "labels-idx1-ubyte" },
    );
    DataError::Missing {
        folder: dir.to_path_buf(),
        wanted: format!(
            "{part}-{content} (plain or with .gz, also looked for in mnist/, MNIST/raw/ and raw/)"
        ),
        dataset: "MNIST",
        remedy: "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, \
                 or the same of another set, such as emnist-letters-train-images-idx3-ubyte",
    }
}

#[cfg(test)]
#[path = "mnist_tests.rs"]
mod tests;

//! CIFAR-10 and CIFAR-100 in the official binary format, from a folder or from the official .tar.gz,
//! which is read in place. A record is one label byte (CIFAR-100: coarse, then fine) and the pixels as
//! three planes, red, green, blue. The number of records comes from the file size, so shortened files
//! and any subset of the training files work.

use super::limits::MOST_SET;
use super::{DataError, Images, Size, Source, archive};
use crate::files;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Bytes that an archive may unpack to. The official ones have 184 MB.
const MOST_ARCHIVE: u64 = 256 << 20;

/// Bytes of a file of class names.
const MOST_NAMES: u64 = 64 << 10;

/// Where one of the two data sets keeps what.
pub(super) struct Edition {
    /// For people.
    pub(super) name: &'static str,
    classes: usize,
    /// The folder inside the official archive.
    folder: &'static str,
    archive: &'static str,
    /// For messages: which training files there may be.
    train: &'static str,
    is_train: fn(&str) -> bool,
    test: &'static str,
    class_names: &'static str,
    /// Label bytes before the pixels; the last one is the class.
    label_bytes: usize,
    /// Class names where the file of names is absent.
    built_in_names: &'static [&'static str],
    remedy: &'static str,
}

/// CIFAR-10.
pub(super) const CIFAR10: Edition = Edition {
    name: "CIFAR-10",
    classes: 10,
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    train: "data_batch_*.bin",
    is_train: |file| {
        file.strip_prefix("data_batch_")
            .and_then(|rest| rest.strip_suffix(".bin"))
            .is_some_and(|number| number.parse::<u16>().is_ok())
    },
    test: "test_batch.bin",
    class_names: "batches.meta.txt",
    label_bytes: 1,
    built_in_names: &[
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ],
    remedy: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz, packed or unpacked",
};

/// CIFAR-100 with its fine labels.
pub(super) const CIFAR100: Edition = Edition {
    name: "CIFAR-100",
    classes: 100,
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    train: "train.bin",
    is_train: |file| file == "train.bin",
    test: "test.bin",
    class_names: "fine_label_names.txt",
    label_bytes: 2,
    built_in_names: &[
        "apple",
        "aquarium_fish",
        "baby",
        "bear",
        "beaver",
        "bed",
        "bee",
        "beetle",
        "bicycle",
        "bottle",
        "bowl",
        "boy",
        "bridge",
        "bus",
        "butterfly",
        "camel",
        "can",
        "castle",
        "caterpillar",
        "cattle",
        "chair",
        "chimpanzee",
        "clock",
        "cloud",
        "cockroach",
        "couch",
        "crab",
        "crocodile",
        "cup",
        "dinosaur",
        "dolphin",
        "elephant",
        "flatfish",
        "forest",
        "fox",
        "girl",
        "hamster",
        "house",
        "kangaroo",
        "keyboard",
        "lamp",
        "lawn_mower",
        "leopard",
        "lion",
        "lizard",
        "lobster",
        "man",
        "maple_tree",
        "motorcycle",
        "mountain",
        "mouse",
        "mushroom",
        "oak_tree",
        "orange",
        "orchid",
        "otter",
        "palm_tree",
        "pear",
        "pickup_truck",
        "pine_tree",
        "plain",
        "plate",
        "poppy",
        "porcupine",
        "possum",
        "rabbit",
        "raccoon",
        "ray",
        "road",
        "rocket",
        "rose",
        "sea",
        "seal",
        "shark",
        "shrew",
        "skunk",
        "skyscraper",
        "snail",
        "snake",
        "spider",
        "squirrel",
        "streetcar",
        "sunflower",
        "sweet_pepper",
        "table",
        "tank",
        "telephone",
        "television",
        "tiger",
        "tractor",
        "train",
        "trout",
        "tulip",
        "turtle",
        "wardrobe",
        "whale",
        "willow_tree",
        "wolf",
        "woman",
        "worm",
    ],
    remedy: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz, packed or unpacked",
};

/// Reads the data set at `dir`: its folder, the folder's or the archive's parent, or the archive itself.
pub(super) fn open(dir: &Path, edition: &Edition) -> Result<Source, DataError> {
    let found = fs::metadata(dir).map_err(|source| DataError::Read { path: dir.to_path_buf(), source })?;
    let unpacked = [dir.to_path_buf(), dir.join(edition.folder)];
    let packed = if found.is_dir() { dir.join(edition.archive) } else { dir.to_path_buf() };
    let (root, files) = if let Some(folder) = unpacked.into_iter().find(|f| f.join(edition.test).exists()) {
        let files = find_in_folder(&folder, edition)?;
        (folder, files)
    } else if packed.exists() {
        let files = read_archive(&packed, edition)?;
        (packed, files)
    } else {
        let wanted = format!("{}, {}/{0} or {}", edition.test, edition.folder, edition.archive);
        return Err(missing(dir, wanted, edition));
    };
    parse(&root, files, edition)
}

fn missing(folder: &Path, wanted: String, edition: &Edition) -> DataError {
    DataError::Missing { folder: folder.to_path_buf(), wanted, dataset: edition.name, remedy: edition.remedy }
}

fn is_wanted(file: &str, edition: &Edition) -> bool {
    (edition.is_train)(file) || file == edition.test || file == edition.class_names
}

/// Files by name, read or only found.
enum Files {
    Found(BTreeMap<String, PathBuf>),
    Read(archive::Members),
}

impl Files {
    fn names(&self) -> Vec<String> {
        match self {
            Self::Found(files) => files.keys().cloned().collect(),
            Self::Read(files) => files.keys().cloned().collect(),
        }
    }

    /// Refuses a file of images whose length is impossible, before it is read.
    fn check_length(&self, name: &str, edition: &Edition) -> Result<(), DataError> {
        let Self::Found(files) = self else { return Ok(()) };
        let Some(path) = files.get(name) else { return Ok(()) };
        let bytes = files::length(path).map_err(|source| DataError::Read { path: path.clone(), source })?;
        check_records(path, bytes, edition)
    }

    /// The bytes of a file, at most `most` of them, if there is such a file. Gone with it, so that only one file is in
    /// memory beside the images.
    fn take(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, DataError> {
        match self {
            Self::Found(files) => files
                .remove(name)
                .map(|path| files::bytes_of(&path, most).map_err(|source| DataError::Read { path, source }))
                .transpose(),
            Self::Read(files) => Ok(files.remove(name)),
        }
    }
}

fn find_in_folder(folder: &Path, edition: &Edition) -> Result<Files, DataError> {
    let unreadable = |source| DataError::Read { path: folder.to_path_buf(), source };
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && is_wanted(name, edition)
        {
            files.insert(name.to_owned(), path);
        }
    }
    Ok(Files::Found(files))
}

/// The archive's members. It may unpack to what the official one has; a longer set of images is read from a folder.
fn read_archive(path: &Path, edition: &Edition) -> Result<Files, DataError> {
    let members = archive::read(path, |name| is_wanted(name, edition), MOST_ARCHIVE)?;
    Ok(Files::Read(members))
}

/// Makes images of the files' bytes. `root` is the folder or archive, for messages.
fn parse(root: &Path, mut files: Files, edition: &Edition) -> Result<Source, DataError> {
    let class_names = class_names(root, files.take(edition.class_names, MOST_NAMES)?.as_deref(), edition)?;
    let test_path = root.join(edition.test);
    files.check_length(edition.test, edition)?;
    let Some(test) = files.take(edition.test, MOST_SET)? else {
        return Err(missing(root, edition.test.to_owned(), edition));
    };
    let test = Records::default().append(&test_path, &test, edition)?.into_images();
    let mut names = files.names();
    if names.is_empty() {
        return Err(missing(root, edition.train.to_owned(), edition));
    }
    names.sort_by_key(|name| (name.len(), name.clone())); // data_batch_2 before data_batch_10
    let mut train = Records::default();
    for name in names {
        let path = root.join(&name);
        files.check_length(&name, edition)?;
        let left = MOST_SET.saturating_sub(train.pixels.len() as u64);
        let bytes = files.take(&name, left)?.unwrap_or_default();
        train = train.append(&path, &bytes, edition)?;
    }
    let (name, train) = (edition.name.to_owned(), train.into_images());
    Ok(Source { name, class_names, train, validation: None, test, notes: Vec::new() })
}

fn class_names(root: &Path, bytes: Option<&[u8]>, edition: &Edition) -> Result<Vec<String>, DataError> {
    let Some(bytes) = bytes else {
        return Ok(edition.built_in_names.iter().map(ToString::to_string).collect());
    };
    let text = String::from_utf8_lossy(bytes);
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() == edition.classes {
        Ok(names)
    } else {
        let path: PathBuf = root.join(edition.class_names);
        Err(DataError::ClassNames { path, found: names.len(), expected: edition.classes })
    }
}

impl Edition {
    /// Bytes of an image with its labels.
    fn record(&self) -> usize {
        self.label_bytes + 3 * PLANE
    }
}

/// Refuses a file that is not a whole number of records.
fn check_records(path: &Path, bytes: u64, edition: &Edition) -> Result<(), DataError> {
    let record = edition.record();
    if bytes > 0 && bytes.is_multiple_of(record as u64) {
        return Ok(());
    }
    Err(DataError::RecordSize { path: path.to_path_buf(), bytes, record, dataset: edition.name })
}

#[derive(Default)]
struct Records {
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Records {
    fn append(mut self, path: &Path, bytes: &[u8], edition: &Edition) -> Result<Self, DataError> {
        check_records(path, bytes.len() as u64, edition)?;
        let (record, dataset) = (edition.record(), edition.name);
        let start = self.pixels.len();
        // No more than needed: a set may be as large as half of the memory.
        self.pixels.reserve_exact(bytes.len() / record * 3 * PLANE);
        self.pixels.resize(start + bytes.len() / record * 3 * PLANE, 0);
        let images = self.pixels[start..].chunks_exact_mut(3 * PLANE);
        for (index, (record, image)) in bytes.chunks_exact(record).zip(images).enumerate() {
            let (labels, planes) = record.split_at(edition.label_bytes);
            let label = labels[edition.label_bytes - 1];
            if usize::from(label) >= edition.classes {
                let (path, last) = (path.to_path_buf(), edition.classes - 1);
                return Err(DataError::Label { path, index, label, last, dataset });
            }
            self.labels.push(u16::from(label));
            interleave(planes, image);
        }
        Ok(self)
    }

    fn into_images(self) -> Images {
        Images::new(Size::square(SIDE), 3, self.pixels, self.labels)
    }
}

/// Planes (CHW) to pixels (HWC).
fn interleave(planes: &[u8], image: &mut [u8]) {
    let (red, rest) = planes.split_at(PLANE);
    let (green, blue) = rest.split_at(PLANE);
    for (i, pixel) in image.chunks_exact_mut(3).enumerate() {
        pixel.copy_from_slice(&[red[i], green[i], blue[i]]);
    }
}

#[cfg(test)]
#[path = "cifar_tests.rs"]
mod tests;

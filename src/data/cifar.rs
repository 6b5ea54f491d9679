//! CIFAR-10 and CIFAR-100 in the official binary format, from a folder or from the official .tar.gz,
//! which is read in place. A record is one label byte (CIFAR-100: coarse, then fine) and the pixels as
//! three planes, red, green, blue. The number of records comes from the file size, so shortened files
//! and any subset of the training files work.

use super::{DataError, Images, Source};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Where one of the two data sets keeps what.
pub(super) struct Layout {
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
    /// Class names for a folder without the file of names.
    built_in_names: &'static [&'static str],
    remedy: &'static str,
}

/// CIFAR-10.
pub(super) const CIFAR10: Layout = Layout {
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
pub(super) const CIFAR100: Layout = Layout {
    name: "CIFAR-100",
    classes: 100,
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    train: "train.bin",
    is_train: |file| file == "train.bin",
    test: "test.bin",
    class_names: "fine_label_names.txt",
    label_bytes: 2,
    built_in_names: &[],
    remedy: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz, packed or unpacked",
};

/// Reads the data set at `dir`: its folder, the folder's or the archive's parent, or the archive itself.
pub(super) fn open(dir: &Path, layout: &Layout) -> Result<Source, DataError> {
    let found = fs::metadata(dir).map_err(|source| DataError::Read { path: dir.to_path_buf(), source })?;
    let unpacked = [dir.to_path_buf(), dir.join(layout.folder)];
    let packed = if found.is_dir() { dir.join(layout.archive) } else { dir.to_path_buf() };
    let (root, files) = if let Some(folder) = unpacked.into_iter().find(|f| f.join(layout.test).is_file()) {
        let files = read_folder(&folder, layout)?;
        (folder, files)
    } else if packed.is_file() {
        let files = read_archive(&packed, layout)?;
        (packed, files)
    } else {
        let wanted = format!("{}, {}/{0} or {}", layout.test, layout.folder, layout.archive);
        return Err(missing(dir, wanted, layout));
    };
    parse(&root, files, layout)
}

fn missing(folder: &Path, wanted: String, layout: &Layout) -> DataError {
    DataError::Missing { folder: folder.to_path_buf(), wanted, dataset: layout.name, remedy: layout.remedy }
}

fn is_wanted(file: &str, layout: &Layout) -> bool {
    (layout.is_train)(file) || file == layout.test || file == layout.class_names
}

type Files = BTreeMap<String, Vec<u8>>;

fn read_folder(folder: &Path, layout: &Layout) -> Result<Files, DataError> {
    let refused = |path: &Path| {
        let path = path.to_path_buf();
        move |source| DataError::Read { path, source }
    };
    let mut files = Files::new();
    for entry in fs::read_dir(folder).map_err(refused(folder))? {
        let path = entry.map_err(refused(folder))?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && is_wanted(name, layout)
        {
            files.insert(name.to_owned(), fs::read(&path).map_err(refused(&path))?);
        }
    }
    Ok(files)
}

fn read_archive(path: &Path, layout: &Layout) -> Result<Files, DataError> {
    let damaged = |source| DataError::Compressed { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let mut archive = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    let mut files = Files::new();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let inside = entry.path().map_err(damaged)?.into_owned();
        if let Some(name) = inside.file_name().and_then(|name| name.to_str())
            && is_wanted(name, layout)
        {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            // A cut archive ends a member early without an error of its own.
            if bytes.len() as u64 != entry.size() {
                return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
            }
            files.insert(name.to_owned(), bytes);
        }
    }
    // To its very end, where gzip's checksum stands.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(files)
}

/// Makes images of the files' bytes. `root` is the folder or archive, for messages.
fn parse(root: &Path, mut files: Files, layout: &Layout) -> Result<Source, DataError> {
    let class_names = class_names(root, files.remove(layout.class_names).as_deref(), layout)?;
    let test = files.remove(layout.test).ok_or_else(|| missing(root, layout.test.to_owned(), layout))?;
    let test = Records::default().append(&root.join(layout.test), &test, layout)?.into_images();
    if files.is_empty() {
        return Err(missing(root, layout.train.to_owned(), layout));
    }
    let mut names: Vec<String> = files.keys().cloned().collect();
    names.sort_by_key(|name| (name.len(), name.clone())); // data_batch_2 before data_batch_10
    let mut train = Records::default();
    for name in names {
        // Removed, so that the bytes are freed file by file.
        let bytes = files.remove(&name).unwrap_or_default();
        train = train.append(&root.join(&name), &bytes, layout)?;
    }
    Ok(Source { name: layout.name.to_owned(), class_names, train: train.into_images(), test })
}

fn class_names(root: &Path, bytes: Option<&[u8]>, layout: &Layout) -> Result<Vec<String>, DataError> {
    let Some(bytes) = bytes else {
        if layout.built_in_names.is_empty() {
            return Ok((0..layout.classes).map(|class| format!("class {class}")).collect());
        }
        return Ok(layout.built_in_names.iter().map(ToString::to_string).collect());
    };
    let text = String::from_utf8_lossy(bytes);
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() == layout.classes {
        Ok(names)
    } else {
        let path: PathBuf = root.join(layout.class_names);
        Err(DataError::ClassNames { path, found: names.len(), expected: layout.classes })
    }
}

#[derive(Default)]
struct Records {
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Records {
    fn append(mut self, path: &Path, bytes: &[u8], layout: &Layout) -> Result<Self, DataError> {
        let record = layout.label_bytes + 3 * PLANE;
        let dataset = layout.name;
        if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
            let path = path.to_path_buf();
            return Err(DataError::RecordSize { path, bytes: bytes.len(), record, dataset });
        }
        let start = self.pixels.len();
        self.pixels.resize(start + bytes.len() / record * 3 * PLANE, 0);
        let images = self.pixels[start..].chunks_exact_mut(3 * PLANE);
        for (index, (record, image)) in bytes.chunks_exact(record).zip(images).enumerate() {
            let (labels, planes) = record.split_at(layout.label_bytes);
            let label = labels[layout.label_bytes - 1];
            if usize::from(label) >= layout.classes {
                let (path, last) = (path.to_path_buf(), layout.classes - 1);
                return Err(DataError::Label { path, index, label, last, dataset });
            }
            self.labels.push(u16::from(label));
            interleave(planes, image);
        }
        Ok(self)
    }

    fn into_images(self) -> Images {
        Images::new(SIDE, 3, self.pixels, self.labels)
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

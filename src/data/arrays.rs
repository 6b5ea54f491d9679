//! Images and labels as `NumPy` arrays: `.npy` files in a folder, or one `.npz` file.
//!
//! Images are named `x` or `images`, labels `y` or `labels`, with the part before or behind (`x_test`, `test_images`):
//! `train`, `val` (`valid`, `validation`) and `test`. Without a part they are for testing.
//!
//! Images have 8-bit numbers, or real numbers in [0, 1]; `layout.rs` says where their channels may be. Labels are whole
//! numbers from 0 on, `[n]` or `[n, 1]`.

use super::layout::Layout;
use super::limits::MOST_SET;
use super::npy::{self, Array, Elements, NpyError, Npz};
use super::{CLASSES, DataError, Images, Source, classes, folder};
use crate::files;
use std::fs;
use std::path::{Path, PathBuf};

/// Ends the name of such a set, so that the name of a model's data set tells the format.
pub(super) const SUFFIX: &str = " (NumPy)";

/// What images are called, and what labels are called.
const IMAGES: [&str; 2] = ["x", "images"];
const LABELS: [&str; 2] = ["y", "labels"];

/// Parts, each with all its names; the empty name is that of a set without parts.
const PARTS: [&[&str]; 3] = [&["train"], &["val", "valid", "validation"], &["test", ""]];

/// Where arrays are found by their names.
enum Store {
    Folder(PathBuf, Vec<String>),
    Archive(Box<Npz>),
}

/// The images and labels of a part.
struct Part {
    images: Images,
    images_path: PathBuf,
}

/// Reads the set in a folder or an `.npz` file. `known` are the names of the classes, if somebody knows them.
pub(super) fn open(path: &Path, known: Option<Vec<String>>) -> Result<Source, DataError> {
    let mut store = Store::open(path)?;
    let mut parts: [Option<Part>; 3] = [None, None, None];
    for (part, names) in parts.iter_mut().zip(PARTS) {
        if let Some((images, labels)) = store.pair(names)? {
            *part = Some(store.part(&images, &labels)?);
        }
    }
    let Some(first) = parts.iter().flatten().next() else { return Err(store.nothing()) };
    let (size, channels) = (first.images.size(), first.images.channels());
    if let Some(other) =
        parts.iter().flatten().find(|part| (part.images.size(), part.images.channels()) != (size, channels))
    {
        return Err(DataError::ArrayShapes {
            first: first.images_path.clone(),
            first_shape: format!("{size}x{channels}"),
            other: other.images_path.clone(),
            other_shape: format!("{}x{}", other.images.size(), other.images.channels()),
        });
    }
    let (class_names, note) = class_names(&parts, path, known)?;
    let name = format!("{}{SUFFIX}", folder::display_name(path));
    let images = |part: &mut Option<Part>| part.take().map(|part| part.images);
    let empty = || Images::new(size, channels, Vec::new(), Vec::new());
    let [train, validation, test] = &mut parts;
    let (validation, train) = (images(validation), images(train).unwrap_or_else(empty));
    let test = images(test).unwrap_or_else(empty);
    Ok(Source { name, class_names, train, validation, test, notes: note.into_iter().collect() })
}

/// The names of the classes: those that are known, else as many numbers as the labels need. A note on numbers that no image
/// has.
fn class_names(
    parts: &[Option<Part>; 3],
    path: &Path,
    known: Option<Vec<String>>,
) -> Result<(Vec<String>, Option<String>), DataError> {
    let labels = || parts.iter().flatten().flat_map(|part| part.images.labels());
    let needed = labels().max().map_or(0, |&last| usize::from(last) + 1);
    if let Some(known) = known {
        return match needed > known.len() {
            true => Err(DataError::ArrayClasses {
                path: path.to_path_buf(),
                last: needed - 1,
                model: known.len(),
            }),
            false => Ok((known, None)),
        };
    }
    if !CLASSES.contains(&needed) {
        return Err(DataError::IdxClasses { folder: path.to_path_buf(), found: needed });
    }
    let mut there = vec![false; needed];
    labels().for_each(|&label| there[usize::from(label)] = true);
    let absent: Vec<String> =
        (0..needed).filter(|&class| !there[class]).map(|class| class.to_string()).collect();
    let note = (!absent.is_empty()).then(|| {
        format!(
            "no image has the label {}; labels are numbers of classes from 0 on",
            classes::some_of(&absent)
        )
    });
    Ok(((0..needed).map(|class| class.to_string()).collect(), note))
}

impl Store {
    fn open(path: &Path) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read { path: path.to_path_buf(), source };
        if fs::metadata(path).map_err(unreadable)?.is_file() {
            return match files::has_ending(path, "npz") {
                true => Ok(Self::Archive(Box::new(Npz::open(path)?))),
                false => Err(DataError::ArrayFile { path: path.to_path_buf() }),
            };
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            names.extend(name.and_then(|name| Some(name.strip_suffix(".npy")?.to_owned())));
        }
        names.sort_unstable();
        Ok(Self::Folder(path.to_path_buf(), names))
    }

    fn names(&self) -> &[String] {
        match self {
            Self::Folder(_, names) => names,
            Self::Archive(archive) => &archive.names,
        }
    }

    /// Where an array is, for messages.
    fn path(&self, name: &str) -> PathBuf {
        let folder = match self {
            Self::Folder(folder, _) => folder,
            Self::Archive(archive) => archive.path(),
        };
        folder.join(format!("{name}.npy"))
    }

    fn read(&mut self, name: &str) -> Result<Array, NpyError> {
        match self {
            Self::Folder(..) => npy::read(&self.path(name)),
            Self::Archive(archive) => archive.read(name),
        }
    }

    /// The names of the images and the labels of a part, if it is there.
    fn pair(&self, part: &[&str]) -> Result<Option<(String, String)>, DataError> {
        let [images, labels] = [IMAGES, LABELS].map(|kinds| self.only(part, kinds));
        match (images?, labels?) {
            (Some(images), Some(labels)) => Ok(Some((images, labels))),
            (None, None) => Ok(None),
            (Some(images), None) => Err(self.alone(&images, "labels", LABELS)),
            (None, Some(labels)) => Err(self.alone(&labels, "images", IMAGES)),
        }
    }

    /// Images without labels, or labels without images.
    fn alone(&self, there: &str, missing: &'static str, names: [&str; 2]) -> DataError {
        // As the array is called that is there: x_test asks for y_test, test_images for test_labels.
        let words = there.split('_').map(|word| {
            match (IMAGES.iter().chain(&LABELS)).position(|kind| *kind == word) {
                Some(place) => names[place % 2],
                None => word,
            }
        });
        let wanted = words.collect::<Vec<_>>().join("_");
        DataError::ArrayAlone { path: self.path(there), missing, wanted }
    }

    /// The only array that is of one of these parts and kinds.
    fn only(&self, part: &[&str], kinds: [&str; 2]) -> Result<Option<String>, DataError> {
        let is_one = |name: &String| {
            part.iter().any(|part| {
                kinds.iter().any(|kind| match *part {
                    "" => name == kind,
                    part => *name == format!("{kind}_{part}") || *name == format!("{part}_{kind}"),
                })
            })
        };
        let mut found = self.names().iter().filter(|name| is_one(name));
        match (found.next(), found.next()) {
            (Some(first), Some(second)) => {
                Err(DataError::TwoFiles { first: self.path(first), second: self.path(second) })
            }
            (first, _) => Ok(first.cloned()),
        }
    }

    fn nothing(&self) -> DataError {
        let found = match self.names() {
            [] => "no .npy array".to_owned(),
            names => classes::some_of(names),
        };
        let path = match self {
            Self::Folder(folder, _) => folder,
            Self::Archive(archive) => archive.path(),
        };
        DataError::NoArrays { path: path.clone(), found }
    }

    fn part(&mut self, images: &str, labels: &str) -> Result<Part, DataError> {
        let [images_path, labels_path] = [images, labels].map(|name| self.path(name));
        let labels = read_labels(self.read(labels)?, &labels_path)?;
        let array = self.read(images)?;
        if array.extents.first() != Some(&labels.len()) {
            return Err(DataError::ArrayCounts {
                images: array.extents,
                images_path,
                labels: labels.len(),
                labels_path,
            });
        }
        let images = read_images(array, labels, &images_path)?;
        Ok(Part { images, images_path })
    }
}

/// The labels of an array: whole numbers that can be those of classes.
pub(super) fn read_labels(array: Array, path: &Path) -> Result<Vec<u16>, DataError> {
    let wrong = |problem: String| DataError::Array { path: path.to_path_buf(), problem };
    match array.extents[..] {
        [_] | [_, 1] => {}
        [_, classes] => {
            return Err(wrong(format!(
                "labels are [n] or [n, 1], the array has {:?}; if it has a column for each of {classes} classes, save its \
                 argmax",
                array.extents
            )));
        }
        _ => return Err(wrong(format!("labels are [n] or [n, 1], the array has {:?}", array.extents))),
    }
    let numbers: Vec<i64> = match array.elements {
        Elements::Bytes(bytes) => bytes.into_iter().map(i64::from).collect(),
        Elements::Integers(numbers) => numbers,
        Elements::Floats(_) => {
            return Err(wrong(
                "labels are whole numbers, the array has real ones; save them as int64".to_owned(),
            ));
        }
    };
    let label = |(image, number): (usize, i64)| {
        u16::try_from(number).ok().filter(|label| usize::from(*label) < *CLASSES.end()).ok_or_else(|| {
            wrong(format!(
                "the label of image {image} is {number}; labels are from 0 to {}",
                CLASSES.end() - 1
            ))
        })
    };
    numbers.into_iter().enumerate().map(label).collect()
}

/// The images of an array, one for each of `labels`.
pub(super) fn read_images(array: Array, labels: Vec<u16>, path: &Path) -> Result<Images, DataError> {
    let wrong = |problem: String| DataError::Array { path: path.to_path_buf(), problem };
    let layout = Layout::of(&array.extents).map_err(wrong)?;
    let Layout { images, size, channels, .. } = layout;
    let values = images.saturating_mul(size.area() * channels);
    let bytes = match array.elements {
        Elements::Bytes(_) => values as u64,
        _ => 4 * values as u64,
    };
    if bytes > MOST_SET {
        return Err(DataError::SetSize { images: images as u64, size, channels, bytes });
    }
    match array.elements {
        Elements::Bytes(bytes) => {
            let pixels = layout.channels_last(bytes).map_err(|refused| wrong(refused.to_string()))?;
            Ok(Images::new(size, channels, pixels, labels))
        }
        Elements::Floats(numbers) => {
            check_range(&numbers, size.area() * channels).map_err(wrong)?;
            let pixels = layout.channels_last(numbers).map_err(|refused| wrong(refused.to_string()))?;
            Ok(Images::of_numbers(size, channels, pixels, labels))
        }
        Elements::Integers(_) => Err(wrong(
            "images have 8-bit or real numbers, the array has other whole ones; save it as uint8".to_owned(),
        )),
    }
}

/// How far beyond [0, 1] rounding brings pixels that were normalised and brought back.
const ROUNDING: f32 = 1e-3;

/// Refuses numbers that are no pixels in [0, 1], and says what they probably are. An image has `len` of them.
fn check_range(numbers: &[f32], len: usize) -> Result<(), String> {
    let Some(place) = numbers.iter().position(|number| !(0.0..=1.0).contains(number)) else { return Ok(()) };
    let (first, image) = (numbers[place], place / len.max(1));
    if let Some(place) = numbers.iter().position(|number| !number.is_finite()) {
        return Err(format!("image {} has {}; pixels are in [0, 1]", place / len.max(1), numbers[place]));
    }
    let (least, most) =
        numbers.iter().fold((f32::MAX, f32::MIN), |(least, most), &v| (least.min(v), most.max(v)));
    let found =
        format!("image {image} has {first}, and all numbers go from {least} to {most}; pixels are in [0, 1]");
    Err(if least > -ROUNDING && most < 1.0 + ROUNDING {
        format!("{found}: rounding does this; clip the numbers to [0, 1]")
    } else if least < 0.0 {
        format!("{found}: if these are normalised, save them before that, and let `mean` and `std` do it")
    } else if most > 2.0 && most <= 255.0 {
        format!("{found}: save it as uint8, or divided by 255")
    } else {
        found
    })
}

#[cfg(test)]
#[path = "arrays_tests.rs"]
mod tests;

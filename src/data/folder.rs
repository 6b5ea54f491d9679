//! A folder of class folders with PNG or JPEG images: `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, or
//! `DIR/CLASS/*` with a seeded, stratified fifth held out for testing.
//!
//! Classes are numbered in the order of their names. An image is turned upright (EXIF), scaled so that
//! it just covers the square asked for, and cut to its middle; transparency is dropped. If every image
//! of the set is grey the set has one channel, otherwise three.

use super::{CLASSES, DataError, Images, Source, split};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, imageops::FilterType};
use rayon::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Share of the images held out for testing where there is no test folder.
const TEST_SHARE: f32 = 0.2;

/// Reads the folder, every image resized to `side` x `side`.
pub(super) fn open(dir: &Path, side: usize, seed: u64) -> Result<Source, DataError> {
    let (train_dir, test_dir) = (dir.join("train"), dir.join("test"));
    let has_parts = train_dir.is_dir();
    if has_parts && !test_dir.is_dir() {
        return Err(DataError::NoTestFolder { folder: dir.to_path_buf() });
    }
    let root = if has_parts { train_dir } else { dir.to_path_buf() };
    let class_names = class_folders(&root)?;
    if !CLASSES.contains(&class_names.len()) {
        return Err(DataError::ClassFolders { folder: root, found: class_names.len() });
    }
    let train_files = image_files(&root, &class_names, &class_names)?;
    let test_files = if has_parts {
        image_files(&test_dir, &class_folders(&test_dir)?, &class_names)?
    } else {
        Vec::new()
    };
    let colours = decode_all(train_files.iter().chain(&test_files), side)?;
    let grey = colours.par_iter().all(|image| image.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]));
    let (train_colours, test_colours) = colours.split_at(train_files.len());
    let mut train = stack(&train_files, train_colours, side, grey);
    let mut test = stack(&test_files, test_colours, side, grey);
    if !has_parts {
        let (kept, held) =
            split::hold_out(train.labels(), class_names.len(), TEST_SHARE, seed, split::Purpose::Test);
        (train, test) = (train.subset(&kept), train.subset(&held));
    }
    Ok(Source { name: display_name(dir), class_names, train, test })
}

/// The last part of the path, for people.
fn display_name(dir: &Path) -> String {
    let full = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    full.file_name().map_or_else(|| dir.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The entries of `folder` that do not start with a dot, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let refused = |source| DataError::Read { path: folder.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// The names of the folders in `root`, sorted.
fn class_folders(root: &Path) -> Result<Vec<String>, DataError> {
    let folders = entries(root)?.into_iter().filter(|path| path.is_dir());
    Ok(folders.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
}

/// The images of each of `folders` below `root`, with their places in `class_names` as labels.
fn image_files(
    root: &Path,
    folders: &[String],
    class_names: &[String],
) -> Result<Vec<(PathBuf, u16)>, DataError> {
    let mut files = Vec::new();
    for class in folders {
        let Some(label) = class_names.iter().position(|name| name == class) else {
            return Err(DataError::UnknownTestClass { folder: root.to_path_buf(), class: class.clone() });
        };
        let before = files.len();
        let folder = root.join(class);
        let images = entries(&folder)?.into_iter().filter(|path| is_image(path));
        files.extend(images.map(|path| (path, label as u16)));
        if files.len() == before {
            return Err(DataError::EmptyClass { folder });
        }
    }
    Ok(files)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    matches!(ending.as_deref(), Some("png" | "jpg" | "jpeg")) && path.is_file()
}

/// Every image as `side` x `side` x 3 bytes, in the order of `files`.
fn decode_all<'a>(
    files: impl Iterator<Item = &'a (PathBuf, u16)>,
    side: usize,
) -> Result<Vec<Vec<u8>>, DataError> {
    let paths: Vec<&Path> = files.map(|(path, _)| path.as_path()).collect();
    let decode = |path: &Path| {
        decode(path, side as u32).map_err(|source| DataError::Image { path: path.to_path_buf(), source })
    };
    paths.into_par_iter().map(decode).collect()
}

fn decode(path: &Path, side: u32) -> Result<Vec<u8>, ImageError> {
    // By content, since endings lie.
    let mut decoder = ImageReader::open(path)?.with_guessed_format()?.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let mut image = DynamicImage::ImageRgb8(image.into_rgb8());
    if (image.width(), image.height()) != (side, side) {
        image = image.resize_to_fill(side, side, FilterType::Triangle);
    }
    Ok(image.into_rgb8().into_raw())
}

/// One stack of the images; grey ones keep one channel of their three equal ones.
fn stack(files: &[(PathBuf, u16)], colours: &[Vec<u8>], side: usize, grey: bool) -> Images {
    let labels = files.iter().map(|(_, label)| *label).collect();
    if grey {
        let pixels = colours.iter().flat_map(|image| image.iter().step_by(3)).copied().collect();
        Images::new(side, 1, pixels, labels)
    } else {
        Images::new(side, 3, colours.concat(), labels)
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;

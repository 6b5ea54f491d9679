//! A folder of class folders with images: `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, perhaps with `DIR/val/CLASS/*`
//! beside them, or `DIR/CLASS/*` with a seeded, stratified fifth held out for testing.
//!
//! Classes are numbered in the order of their names. PNG, JPEG, WebP, BMP, GIF and TIFF are read, of several frames the
//! first; what else there is, is counted and told. An image is cut to its middle square and scaled to the side asked
//! for, turned upright (EXIF); transparency is dropped. If every image of the set is grey the set has one channel,
//! otherwise three, unless a number of channels is asked for.

use super::limits::MOST_SET;
use super::listing::{Entry, Kind, Labelled, class_folders, entries, image_files};
use super::picture::Pictures;
use super::skipped::Tally;
use super::{CLASSES, DataError, Images, Source, classes, split};
use rayon::prelude::*;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Share of the images held out for testing where there is no test folder.
const TEST_SHARE: f32 = 0.2;

/// Names of a folder of validation images.
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

/// What the images become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Height and width.
    pub(super) side: usize,
    /// 1 or 3; `None` is 1 if every image is grey, else 3.
    pub(super) channels: Option<usize>,
}

/// Reads the folder. `seed` decides who is held out for testing.
pub(super) fn open(dir: &Path, form: Form, seed: u64) -> Result<Source, DataError> {
    if dir.is_file() {
        return Err(DataError::NotAFolder { path: dir.to_path_buf() });
    }
    let mut tally = Tally::default();
    let top = entries(dir)?;
    let part = |name: &str| top.iter().find(|entry| entry.kind == Kind::Folder && entry.name == name);
    let Some(train) = part("train") else { return open_whole(dir, form, seed, tally) };
    let validation: Vec<&Entry> = VALIDATION.iter().filter_map(|name| part(name)).collect();
    let Some(test) = part("test") else {
        let rename = validation.first().map_or(String::new(), |v| format!(", rename {} to it", v.name));
        return Err(DataError::NoTestFolder { folder: dir.to_path_buf(), rename });
    };
    if let [first, second, ..] = validation[..] {
        return Err(DataError::TwoValidations { first: first.path.clone(), second: second.path.clone() });
    }
    for entry in &top {
        match entry.kind {
            Kind::Folder
                if entry.name != "train" && entry.name != "test" && !is_one_of(entry, &validation) =>
            {
                tally.folders.push(entry.name.clone());
            }
            Kind::Folder => {}
            Kind::BrokenLink => tally.broken_links += 1,
            Kind::File | Kind::Special => tally.outside += 1,
        }
    }
    let (class_names, mut files) = training_files(&train.path, &mut tally)?;
    let mut notes = Vec::new();
    let mut counts = vec![files.len()];
    for part in validation.iter().copied().chain([test]) {
        let folders = class_folders(&part.path, &mut tally)?;
        files.extend(image_files(&part.path, &folders, &class_names, &mut tally)?);
        counts.push(files.len());
        notes.extend(absent(&part.name, &folders, &class_names));
    }
    notes.splice(0..0, tally.line());
    let mut parts = decode_all(&files, form, &mut notes)?.split_at_counts(&counts).into_iter();
    let (train, second, third) = (parts.next(), parts.next(), parts.next());
    let (validation, test) = if third.is_some() { (second, third) } else { (None, second) };
    let (Some(train), Some(test)) = (train, test) else {
        return Err(DataError::NoTestFolder { folder: dir.to_path_buf(), rename: String::new() });
    };
    Ok(Source { name: display_name(dir), class_names, train, validation, test, notes })
}

/// Reads a folder whose subfolders are the classes.
fn open_whole(dir: &Path, form: Form, seed: u64, mut tally: Tally) -> Result<Source, DataError> {
    let (class_names, files) = training_files(dir, &mut tally)?;
    let mut notes: Vec<String> = tally.line().into_iter().collect();
    let mut train = decode_all(&files, form, &mut notes)?;
    let (_, held) =
        split::hold_out(train.labels(), class_names.len(), TEST_SHARE, seed, split::Purpose::Test);
    let test = train.take_out(&held);
    Ok(Source { name: display_name(dir), class_names, train, validation: None, test, notes })
}

fn is_one_of(entry: &Entry, others: &[&Entry]) -> bool {
    others.iter().any(|other| other.path == entry.path)
}

/// The classes in `root` and their images.
fn training_files(root: &Path, tally: &mut Tally) -> Result<(Vec<String>, Vec<Labelled>), DataError> {
    let folders = class_folders(root, tally)?;
    if !CLASSES.contains(&folders.len()) {
        return Err(DataError::ClassFolders { folder: root.to_path_buf(), found: folders.len() });
    }
    let names: Vec<String> = folders.iter().map(|folder| folder.name.clone()).collect();
    let files = image_files(root, &folders, &names, tally)?;
    Ok((names, files))
}

/// A note on the classes that a part has no folder for.
fn absent(part: &str, folders: &[Entry], class_names: &[String]) -> Option<String> {
    let without: Vec<String> = class_names
        .iter()
        .filter(|name| folders.iter().all(|folder| folder.name != **name))
        .cloned()
        .collect();
    let (few, all) = (without.len(), class_names.len());
    (few > 0)
        .then(|| format!("{part} has no images of {few} of {all} classes: {}", classes::some_of(&without)))
}

/// The last part of the path, for people.
pub(super) fn display_name(dir: &Path) -> String {
    let full = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    full.file_name()
        .map_or_else(|| dir.display().to_string(), |name| classes::normal(&name.to_string_lossy()))
}

/// Every image in the order of `files`. Each is scaled as soon as it is decoded, so that memory holds the set and the few
/// images that are being decoded.
fn decode_all(files: &[Labelled], form: Form, notes: &mut Vec<String>) -> Result<Images, DataError> {
    let Form { side, channels } = form;
    // Whether all are grey shows when all have been read.
    let stored = if channels == Some(1) { 1 } else { 3 };
    let mut pixels = room(files.len(), side, stored)?;
    let (pictures, colour) = (Pictures::new(side), AtomicBool::new(false));
    pixels.par_chunks_mut(side * side * stored).zip(files).try_for_each(|(place, (path, _))| {
        let image = pictures.read(path)?;
        if image.chunks_exact(3).any(|p| p[0] != p[1] || p[1] != p[2]) {
            colour.store(true, Ordering::Relaxed);
        }
        match stored {
            1 => place.iter_mut().zip(image.chunks_exact(3)).for_each(|(grey, p)| *grey = luma(p)),
            _ => place.copy_from_slice(&image),
        }
        Ok(())
    })?;
    let colour = colour.into_inner();
    match channels {
        Some(1) if colour => {
            notes.push("images in colour were converted to grey, which the model takes".to_owned());
        }
        Some(3) if !colour => {
            notes
                .push("the images are grey; the model takes colour and gets three equal channels".to_owned());
        }
        _ => {}
    }
    let labels = files.iter().map(|(_, label)| *label).collect();
    if channels.is_none() && !colour {
        for i in 0..pixels.len() / 3 {
            pixels[i] = pixels[3 * i];
        }
        pixels.truncate(pixels.len() / 3);
        pixels.shrink_to_fit();
    }
    let channels = channels.unwrap_or(if colour { 3 } else { 1 });
    Ok(Images::new(side, channels, pixels, labels))
}

/// Zeros for `images` images, if a set may be that large.
fn room(images: usize, side: usize, channels: usize) -> Result<Vec<u8>, DataError> {
    let bytes = (images * channels) as u64 * (side * side) as u64;
    let too_large = || DataError::SetSize { images: images as u64, side, channels, bytes };
    let mut pixels = Vec::new();
    if bytes > MOST_SET || pixels.try_reserve_exact(bytes as usize).is_err() {
        return Err(too_large());
    }
    pixels.resize(bytes as usize, 0);
    Ok(pixels)
}

/// The brightness of a pixel (Rec. 709), which is its value where it is grey.
pub(super) fn luma(pixel: &[u8]) -> u8 {
    let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((2126 * red + 7152 * green + 722 * blue) / 10_000) as u8
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;

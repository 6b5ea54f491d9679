//! A folder of images: `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, perhaps with `DIR/val/CLASS/*` beside them, or
//! `DIR/CLASS/*` with a stratified fifth held out for testing, the same for every seed. `DIR/test` or `DIR/val` alone is a
//! set for evaluation. In place of class folders, each of them may have a `labels.csv` (see `labels.rs`).
//!
//! Classes are numbered in the order of their names, or as a class index says (see `class_index.rs`). PNG, JPEG, WebP, BMP,
//! GIF and TIFF are read, of several frames the first; what else there is, is counted and told. An image is turned upright
//! (EXIF), and resized and cropped as `framing.rs` says; transparency is dropped. If every image of the set is grey the set
//! has one channel, otherwise three, unless a number of channels is asked for.

use super::class_index::ClassIndex;
use super::limits::MOST_SET;
use super::listing::{Entry, Kind, Known, Labelled, class_folders, entries, image_files, images_beside};
use super::picture::Pictures;
use super::skipped::Tally;
use super::{
    CLASSES, DataError, DatasetKind, FolderOptions, Framing, Images, Size, Source, classes, labels, split,
};
use rayon::prelude::*;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Share of the images held out for testing where there is no test folder.
const TEST_SHARE: f32 = 0.2;
/// Draws them. It is no option: a model file does not tell the seed of its run, and no image that a run was trained on may be
/// taken for one that was held out.
const TEST_SEED: u64 = 0;

/// Names of a folder of validation images.
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

/// What the images become.
#[derive(Clone, Copy)]
struct Form {
    framing: Framing,
    /// 1 or 3; `None` is 1 if every image is grey, else 3.
    channels: Option<usize>,
}

/// The folders of a set's parts; at least one is there.
struct Parts<'a> {
    train: Option<&'a Entry>,
    validation: Option<&'a Entry>,
    test: Option<&'a Entry>,
}

/// Reads the folder.
pub(super) fn open(
    dir: &Path,
    options: &FolderOptions,
    index: Option<&ClassIndex>,
) -> Result<Source, DataError> {
    if dir.is_file() {
        return Err(DataError::NotAFolder { path: dir.to_path_buf() });
    }
    if let Some(channels) = options.channels.filter(|channels| ![1, 3].contains(channels)) {
        return Err(DataError::PictureChannels { channels });
    }
    let framing = Framing::new(options.resize, options.crop, options.size)?;
    let form = Form { framing, channels: options.channels };
    let top = entries(dir)?;
    match parts(dir, &top)? {
        Some(parts) => open_parts(dir, (&top, &parts), form, index),
        None => open_whole(dir, form, index),
    }
}

/// The parts of the set in `dir`, if its folders are parts and no classes.
fn parts<'a>(dir: &Path, top: &'a [Entry]) -> Result<Option<Parts<'a>>, DataError> {
    let part = |name: &str| top.iter().find(|entry| entry.kind == Kind::Folder && entry.name == name);
    let validation: Vec<&Entry> = VALIDATION.iter().filter_map(|name| part(name)).collect();
    let (train, test) = (part("train"), part("test"));
    if train.is_some() && test.is_none() {
        let rename = validation.first().map_or(String::new(), |v| format!(", rename {} to it", v.name));
        return Err(DataError::NoTestFolder { folder: dir.to_path_buf(), rename });
    }
    if train.is_none() {
        // A class may be called so, too.
        for alone in test.iter().chain(&validation) {
            if !entries(&alone.path)?.iter().any(|entry| entry.kind == Kind::Folder || is_labels(entry)) {
                return Ok(None);
            }
        }
    }
    if let [first, second, ..] = validation[..] {
        return Err(DataError::TwoValidations { first: first.path.clone(), second: second.path.clone() });
    }
    let parts = Parts { train, validation: validation.first().copied(), test };
    Ok((train.is_some() || test.is_some() || parts.validation.is_some()).then_some(parts))
}

fn is_labels(entry: &Entry) -> bool {
    entry.kind == Kind::File && entry.name == labels::NAME
}

/// Reads a folder of parts, `top` being what is in it.
fn open_parts(
    dir: &Path,
    (top, parts): (&[Entry], &Parts),
    form: Form,
    index: Option<&ClassIndex>,
) -> Result<Source, DataError> {
    let mut tally = Tally::default();
    let all = [parts.train, parts.validation, parts.test];
    let is_part = |entry: &Entry| all.iter().flatten().any(|part| part.path == entry.path);
    for entry in top {
        match entry.kind {
            Kind::Folder if is_part(entry) => {}
            Kind::Folder => tally.folders.push(entry.name.clone()),
            Kind::BrokenLink => tally.broken_links += 1,
            Kind::File | Kind::Special => tally.outside += 1,
        }
    }
    let (mut files, mut counts, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut names: Option<(Vec<String>, String)> = index.map(|index| (index.names.clone(), String::new()));
    for part in all {
        if let Some(part) = part {
            let known = match (&names, index) {
                (_, Some(index)) => Some(Known::Index(index)),
                (Some((names, part)), None) => Some(Known::Names { names, part }),
                (None, None) => None,
            };
            let first = known.is_none();
            let (found, own) = labelled(&part.path, known, &mut tally)?;
            notes.extend(absent(&part.name, &own, &found).filter(|_| !first));
            files.extend(own);
            names.get_or_insert((found, part.name.clone()));
        }
        counts.push(files.len());
    }
    let class_names = names.map(|(names, _)| names).unwrap_or_default();
    notes.splice(0..0, tally.line());
    let parted = decode_all(&files, form, &mut notes)?.split_at_counts(&counts);
    let [train, validation, test] = <[Images; 3]>::try_from(parted).expect("a count for each part");
    let validation = parts.validation.map(|_| validation);
    Ok(Source { name: name_of_set(dir), class_names, train, validation, test, notes })
}

/// Reads a folder whose subfolders are the classes, or that has a `labels.csv`.
fn open_whole(dir: &Path, form: Form, index: Option<&ClassIndex>) -> Result<Source, DataError> {
    let mut tally = Tally::default();
    let (class_names, files) = labelled(dir, index.map(Known::Index), &mut tally)?;
    let mut notes: Vec<String> = tally.line().into_iter().collect();
    if index.is_some() {
        notes.extend(absent("the folder", &files, &class_names));
    }
    let mut train = decode_all(&files, form, &mut notes)?;
    let (_, held) =
        split::hold_out(train.labels(), class_names.len(), TEST_SHARE, TEST_SEED, split::Purpose::Test);
    let test = train.take_out(&held);
    notes.push(format!(
        "{} of {} images are held out for testing; images in a folder named test would all be tested",
        test.len(),
        train.len() + test.len()
    ));
    Ok(Source { name: name_of_set(dir), class_names, train, validation: None, test, notes })
}

/// The images in `root` and the names of all classes: those that are known, else those that are there.
fn labelled(
    root: &Path,
    known: Option<Known>,
    tally: &mut Tally,
) -> Result<(Vec<String>, Vec<Labelled>), DataError> {
    let csv = root.join(labels::NAME);
    if csv.is_file() {
        let lines = labels::read(&csv)?;
        let own = labels::distinct(lines.iter().map(|(_, class)| class));
        let known = known.unwrap_or(Known::Names { names: &own, part: "" });
        let label = |(path, class): (_, String)| Ok((path, known.label(&class, &csv)?));
        let files: Vec<Labelled> = lines.into_iter().map(label).collect::<Result<_, DataError>>()?;
        tally.read += files.len();
        tally.unnamed += images_beside(root, &files)?;
        return Ok((known.names().to_vec(), checked_count(files, known, root)?));
    }
    let folders = class_folders(root, tally)?;
    let own: Vec<String> = folders.iter().map(|folder| folder.name.clone()).collect();
    let known = known.unwrap_or(Known::Names { names: &own, part: "" });
    if !CLASSES.contains(&known.names().len()) || folders.is_empty() {
        return Err(DataError::ClassFolders { folder: root.to_path_buf(), found: folders.len() });
    }
    let files = image_files(root, &folders, known, tally)?;
    Ok((known.names().to_vec(), files))
}

/// Refuses a `labels.csv` with too few or too many classes.
fn checked_count(files: Vec<Labelled>, known: Known, root: &Path) -> Result<Vec<Labelled>, DataError> {
    match known.names().len() {
        found if CLASSES.contains(&found) => Ok(files),
        found => Err(DataError::LabelledClasses { path: root.join(labels::NAME), found }),
    }
}

/// A note on the classes that a part has no image of.
fn absent(part: &str, files: &[Labelled], class_names: &[String]) -> Option<String> {
    let mut there = vec![false; class_names.len()];
    for (_, label) in files {
        there[usize::from(*label)] = true;
    }
    let without: Vec<String> =
        class_names.iter().zip(there).filter(|(_, there)| !there).map(|(name, _)| name.clone()).collect();
    let (few, all) = (without.len(), class_names.len());
    (few > 0)
        .then(|| format!("{part} has no images of {few} of {all} classes: {}", classes::some_of(&without)))
}

/// The name of the set in `dir`, by which nobody takes it for a set in another format.
fn name_of_set(dir: &Path) -> String {
    let name = display_name(dir);
    match DatasetKind::of_data_set(&name) {
        DatasetKind::Folder => name,
        _ => format!("{name} (folder)"),
    }
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
    let Form { framing, channels } = form;
    let size = framing.size;
    // Whether all are grey shows when all have been read.
    let stored = if channels == Some(1) { 1 } else { 3 };
    let mut pixels = room(files.len(), size, stored)?;
    let (pictures, colour) = (Pictures::new(framing), AtomicBool::new(false));
    pixels.par_chunks_mut(size.area() * stored).zip(files).try_for_each(|(place, (path, _))| {
        let image = pictures.read(path)?;
        if image.chunks_exact(3).any(|p| p[0] != p[1] || p[1] != p[2]) {
            colour.store(true, Ordering::Relaxed);
        }
        match stored {
            1 => place.iter_mut().zip(image.chunks_exact(3)).for_each(|(grey, p)| *grey = luma(p)),
            _ => place.copy_from_slice(&image),
        }
        Ok::<(), DataError>(())
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
    Ok(Images::new(size, channels, pixels, labels))
}

/// Zeros for `images` images, if a set may be that large.
fn room(images: usize, size: Size, channels: usize) -> Result<Vec<u8>, DataError> {
    let bytes = (images * channels) as u64 * size.area() as u64;
    let too_large = || DataError::SetSize { images: images as u64, size, channels, bytes };
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

#[cfg(test)]
#[path = "folder_forms_tests.rs"]
mod forms_tests;

//! Which files of an image folder belong to which class. Follows links, but not within class folders; never goes in
//! circles.

use super::class_index::ClassIndex;
use super::classes::normal;
use super::picture::ENDINGS;
use super::skipped::Tally;
use super::{CLASSES, DataError};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// An image file and its class.
pub(super) type Labelled = (PathBuf, u16);

/// What an entry of a folder is, links followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    BrokenLink,
    Special,
}

/// An entry of a folder.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// Its name in Unicode's composed form; what is no Unicode is replaced.
    pub(super) name: String,
    pub(super) kind: Kind,
    is_link: bool,
}

impl Entry {
    /// Whether it is a file whose name ends as that of an image.
    pub(super) fn is_image(&self) -> bool {
        self.kind == Kind::File && self.is_called_as_an_image()
    }

    /// Whether it is no folder and its name ends as that of an image. It may be a link to nothing.
    pub(super) fn is_called_as_an_image(&self) -> bool {
        self.kind != Kind::Folder && has_ending_of_images(&self.path)
    }
}

/// The entries of `folder` that do not start with a dot, in the order of their normalised names.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let refused = |source| DataError::Read { path: folder.to_path_buf(), source };
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let name = normal(&entry.file_name().to_string_lossy());
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let of_entry = |source| DataError::Read { path: path.clone(), source };
        let own = entry.file_type().map_err(of_entry)?;
        let target = if own.is_symlink() { fs::metadata(&path).map(|m| m.file_type()) } else { Ok(own) };
        let kind = match target {
            Ok(target) if target.is_dir() => Kind::Folder,
            Ok(target) if target.is_file() => Kind::File,
            Ok(_) => Kind::Special,
            Err(source) if source.kind() == ErrorKind::PermissionDenied => return Err(of_entry(source)),
            Err(_) => Kind::BrokenLink,
        };
        all.push(Entry { path, name, kind, is_link: own.is_symlink() });
    }
    all.sort_unstable_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(all)
}

/// The folders of classes in `root`, in the order of their names; other entries are counted.
pub(super) fn class_folders(root: &Path, tally: &mut Tally) -> Result<Vec<Entry>, DataError> {
    let mut classes: Vec<Entry> = Vec::new();
    for entry in entries(root)? {
        match entry.kind {
            Kind::Folder => classes.push(entry),
            Kind::BrokenLink => tally.broken_links += 1,
            Kind::File | Kind::Special => tally.outside += 1,
        }
    }
    if classes.len() > *CLASSES.end() {
        return Err(DataError::ClassFolders { folder: root.to_path_buf(), found: classes.len() });
    }
    for class in &classes {
        if class.path.file_name().is_none_or(|name| name.to_str().is_none()) {
            return Err(DataError::ClassNotUnicode { folder: class.path.clone() });
        }
    }
    for pair in classes.windows(2) {
        if pair[0].name == pair[1].name {
            return Err(DataError::EqualClasses {
                first: pair[0].path.clone(),
                second: pair[1].path.clone(),
            });
        }
    }
    check_apart(&classes)?;
    Ok(classes)
}

/// Refuses two classes that are one folder by a link: the same images with two labels.
fn check_apart(classes: &[Entry]) -> Result<(), DataError> {
    if !classes.iter().any(|class| class.is_link) {
        return Ok(());
    }
    let mut targets: Vec<(PathBuf, &PathBuf)> = Vec::new();
    for Entry { path, .. } in classes {
        let target =
            fs::canonicalize(path).map_err(|source| DataError::Read { path: path.clone(), source })?;
        targets.push((target, path));
    }
    targets.sort_unstable();
    match targets.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(DataError::SameFolder { first: pair[0].1.clone(), second: pair[1].1.clone() }),
        None => Ok(()),
    }
}

/// The classes that a set has.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    /// Those of its first part.
    Names {
        names: &'a [String],
        /// The part that they were found in.
        part: &'a str,
    },
    /// Those of a class index.
    Index(&'a ClassIndex),
}

impl<'a> Known<'a> {
    /// The names of all classes.
    pub(super) fn names(self) -> &'a [String] {
        match self {
            Self::Names { names, .. } => names,
            Self::Index(index) => &index.names,
        }
    }

    /// The number of a class that is called so in the folder `root`.
    pub(super) fn label(self, class: &str, root: &Path) -> Result<u16, DataError> {
        let found = match self {
            Self::Names { names, .. } => names.iter().position(|name| name == class),
            Self::Index(index) => index.place(class),
        };
        found.map(|place| place as u16).ok_or_else(|| {
            let (folder, class) = (root.to_path_buf(), class.to_owned());
            match self {
                Self::Names { part, .. } => DataError::UnknownClass { folder, class, first: part.to_owned() },
                Self::Index(known) => {
                    let index = known.path.clone();
                    match known.names.contains(&class) {
                        true => DataError::SeveralInIndex { folder, class, index },
                        false => DataError::NotInIndex { folder, class, index },
                    }
                }
            }
        })
    }
}

/// The images in `classes`, labelled by the classes that are known. `root` is their folder.
pub(super) fn image_files(
    root: &Path,
    classes: &[Entry],
    known: Known,
    tally: &mut Tally,
) -> Result<Vec<Labelled>, DataError> {
    let mut files = Vec::new();
    for class in classes {
        let label = known.label(&class.name, root)?;
        let (before, mut own) = (files.len(), Tally::default());
        for entry in entries(&class.path)? {
            match entry.kind {
                Kind::File if entry.is_image() => files.push((entry.path, label)),
                Kind::File => *own.formats.entry(shown(&ending(&entry.path))).or_default() += 1,
                // A link may lead back up; that there is a folder is known without following it.
                Kind::Folder if entry.is_link => own.nested += 1,
                Kind::Folder => {
                    let below = files_below(&entry.path)?.len();
                    own.nested += below;
                    // An empty folder is no loss, unless it stands where an image should be.
                    own.special += usize::from(below == 0 && has_ending_of_images(&entry.path));
                }
                Kind::BrokenLink => own.broken_links += 1,
                Kind::Special => own.special += 1,
            }
        }
        own.read = files.len() - before;
        if own.read == 0 {
            let reason = own.line().map_or(String::new(), |line| format!(" ({line})"));
            return Err(DataError::EmptyClass { folder: class.path.clone(), reason });
        }
        add(tally, own);
    }
    Ok(files)
}

fn add(tally: &mut Tally, own: Tally) {
    tally.read += own.read;
    tally.nested += own.nested;
    tally.broken_links += own.broken_links;
    tally.special += own.special;
    for (ending, count) in own.formats {
        *tally.formats.entry(ending).or_default() += count;
    }
}

/// The ending of a file's name in lower case, without the dot.
fn ending(path: &Path) -> String {
    path.extension().map_or_else(String::new, |ending| ending.to_string_lossy().to_lowercase())
}

fn has_ending_of_images(path: &Path) -> bool {
    ENDINGS.contains(&ending(path).as_str())
}

fn shown(ending: &str) -> String {
    if ending.is_empty() { "no ending".to_owned() } else { format!(".{ending}") }
}

/// How many images there are below `root`, however deep, that are none of `named`.
pub(super) fn images_beside(root: &Path, named: &[Labelled]) -> Result<usize, DataError> {
    let plain = |path: &Path| normal(&path.components().collect::<PathBuf>().to_string_lossy());
    let named: BTreeSet<String> = named.iter().map(|(path, _)| plain(path)).collect();
    let beside = |entry: &&Entry| entry.is_image() && !named.contains(&plain(&entry.path));
    Ok(files_below(root)?.iter().filter(beside).count())
}

/// All that is below a folder, however deep, and is no folder that was gone into.
fn files_below(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let (mut folders, mut files) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            match entry.kind {
                Kind::Folder if !entry.is_link => folders.push(entry.path),
                _ => files.push(entry),
            }
        }
    }
    Ok(files)
}

//! Images with labels, from wherever they are kept, and batches of them.
//!
//! [`open`] reads one of several kinds of data set into a [`Dataset`] with a training, a validation and a
//! test split; it either succeeds completely or says in one sentence what is wrong with which file.
//! Pixels are kept as bytes (NHWC) where bytes hold them exactly, else as numbers; they become numbers in [0, 1] when a [`Batch`]
//! is made. No file is trusted: what it announces is held against bounds before memory is used for it.
//!
//! | question | file |
//! | --- | --- |
//! | how is a kind of data set read? | `digits.rs`, `cifar.rs`, `mnist.rs`, `folder.rs`, `arrays.rs` |
//! | which files of a folder are images of which class, and what is skipped? | `listing.rs`, `labels.rs`, `class_index.rs`, `skipped.rs` |
//! | how is one image decoded? | `picture.rs`, `jpeg.rs`, `jpeg_scan.rs` |
//! | how is it brought to the size of the set? | `size.rs`, `framing.rs`, `resample.rs` |
//! | how are arrays of `NumPy` read? | `arrays.rs`, `layout.rs`, `npy.rs` |
//! | how are sets of corrupted images read? | `corruptions.rs` |
//! | how are IDX files and archives read? | `idx.rs`, `archive.rs`, `file.rs` |
//! | how much memory may data take? | `limits.rs` |
//! | are these the classes that a model knows? | `classes.rs` |
//! | who is in validation, who is among a few? | `split.rs` (`digits.rs` for its fixed split) |
//! | what is in batch 17 of epoch 3? | `batches.rs`, `augment.rs` |
//! | who prepares it in time? | `prefetch.rs` |

mod archive;
mod arrays;
mod augment;
mod batches;
mod cifar;
mod class_index;
pub mod classes;
pub mod corruptions;
mod digits;
mod error;
mod file;
mod folder;
mod framing;
mod idx;
mod images;
mod jpeg;
mod jpeg_scan;
mod labels;
pub mod layout;
mod limits;
mod listing;
mod mnist;
pub mod npy;
mod picture;
mod prefetch;
mod resample;
mod size;
mod skipped;
mod split;

pub use augment::Augment;
pub use batches::{Batch, BatchOptions, batches_per_epoch, make_batch};
pub use error::DataError;
pub use framing::Framing;
pub use images::Images;
pub use prefetch::{Position, Prefetcher, Waited};
pub use size::{Resize, Size};
pub use split::stratified;

use class_index::ClassIndex;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The share of the training images held out for validation unless the user says otherwise.
/// (The embedded digits have a fixed split instead, see `assets/README.md`.)
pub const DEFAULT_VALIDATION_SHARE: f32 = 0.1;

/// Numbers of classes that are accepted.
const CLASSES: std::ops::RangeInclusive<usize> = 2..=1000;

/// One image file as bytes, rows first and channels last, framed as `framing` says. One channel is the brightness.
///
/// # Errors
/// If it is no image, too large, or smaller than what is to be cut out of it.
pub fn picture(path: &Path, framing: Framing, channels: usize) -> Result<Vec<u8>, DataError> {
    let colours = picture::Pictures::new(framing).read(path)?;
    Ok(match channels {
        1 => colours.chunks_exact(3).map(folder::luma).collect(),
        _ => colours,
    })
}

/// What is called as an image in a folder, in the order of the names, without folders and names that begin with a dot. What is
/// no image all the same, such as a link to nothing, is refused by its name when it is read.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = listing::entries(folder)?;
    Ok(entries.into_iter().filter(listing::Entry::is_called_as_an_image).map(|entry| entry.path).collect())
}

/// Which data set, and with it which format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum DatasetKind {
    /// The embedded 8x8 UCI optical digits; needs no files
    #[default]
    Digits,
    /// CIFAR-10 in the official binary format (folder or .tar.gz)
    Cifar10,
    /// CIFAR-100 in the official binary format (folder or .tar.gz), fine labels
    Cifar100,
    /// MNIST, or any set in its format: four IDX files, plain or .gz
    Mnist,
    /// A folder of class folders with PNG, JPEG, WebP, BMP, GIF or TIFF images
    Folder,
    /// Arrays of images and labels: an .npz file, or a folder of .npy files
    Npy,
}

impl DatasetKind {
    /// The name on the command line and in configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Mnist => "mnist",
            Self::Folder => "folder",
            Self::Npy => "npy",
        }
    }

    /// The kind of the data set that is called `name` in [`Dataset::name`]. IDX files of another set than MNIST have a
    /// name that tells their format; a folder has a name of its own.
    pub fn of_data_set(name: &str) -> Self {
        if name.ends_with(mnist::OTHER) {
            return Self::Mnist;
        }
        if name.ends_with(arrays::SUFFIX) {
            return Self::Npy;
        }
        let named = [
            (digits::NAME, Self::Digits),
            (cifar::CIFAR10.name, Self::Cifar10),
            (cifar::CIFAR100.name, Self::Cifar100),
            (mnist::NAME, Self::Mnist),
        ];
        named.into_iter().find(|(known, _)| *known == name).map_or(Self::Folder, |(_, kind)| kind)
    }

    /// How training images are augmented unless the user says otherwise: characters are not mirrored.
    pub const fn default_augment(self) -> Augment {
        match self {
            Self::Digits | Self::Mnist => Augment::Crop,
            Self::Cifar10 | Self::Cifar100 | Self::Folder | Self::Npy => Augment::FlipAndCrop,
        }
    }
}

impl fmt::Display for DatasetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What to read and how to split it.
#[derive(Clone, Debug, Default)]
pub struct DataOptions {
    /// Which data set.
    pub kind: DatasetKind,
    /// Where it is: a folder, its parent, or CIFAR's official archive. `None` for the embedded digits only.
    pub dir: Option<PathBuf>,
    /// Share of the training images held out for validation, 0 to 0.5; `None` takes the data set's own split,
    /// or [`DEFAULT_VALIDATION_SHARE`] where it has none.
    pub validation_share: Option<f32>,
    /// Decides who is held out (nothing for the digits, whose split is fixed).
    pub seed: u64,
    /// A file that names the classes in their order, and says which folder is which. Only for [`DatasetKind::Folder`] and
    /// [`DatasetKind::Npy`].
    pub class_index: Option<PathBuf>,
    /// The names of a model's classes in their order, for arrays without a class index. Without a model their labels are the
    /// names.
    pub class_names: Option<Vec<String>>,
    /// What the images of a folder become. Only for [`DatasetKind::Folder`].
    pub folder: FolderOptions,
}

/// What the images of a folder become.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FolderOptions {
    /// To what its images are resized.
    pub resize: Option<Resize>,
    /// The size that is then cut out of their middle.
    pub crop: Option<Size>,
    /// The size that a model takes, see [`Framing::new`].
    pub size: Option<Size>,
    /// The channels, 1 or 3, that the images are converted to; `None` keeps them as they are.
    pub channels: Option<usize>,
}

/// A data set in memory. All three splits have the same size and channels; labels are below `classes`.
///
/// The splits are disjoint. Choosing a model looks at `validation` alone, never at `test`.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// For people: "CIFAR-10", or the folder's name.
    pub name: String,
    /// Height and width of every image in pixels, each from 4 to 1024.
    pub size: Size,
    /// From 1 to 4: 1 is grey, 3 are red, green and blue.
    pub channels: usize,
    /// Number of classes, 2 to 1000.
    pub classes: usize,
    /// One name per class, in the order of the labels.
    pub class_names: Vec<String>,
    /// What training sees; empty in a set that is for evaluation alone.
    pub train: Arc<Images>,
    /// What chooses the best weights; empty if the validation share is 0.
    pub validation: Arc<Images>,
    /// What is reported at the end; empty in a set that has validation images alone.
    pub test: Arc<Images>,
    /// What a user should know about how it was read, a line each: files that were skipped, images that were converted.
    pub notes: Vec<String>,
}

/// What a reader found, before the validation split.
struct Source {
    name: String,
    class_names: Vec<String>,
    train: Images,
    /// Its own validation images.
    validation: Option<Images>,
    test: Images,
    notes: Vec<String>,
}

/// The names of the classes in a class index, in their order.
///
/// # Errors
/// If the file is no class index.
pub fn class_names(path: &Path) -> Result<Vec<String>, DataError> {
    ClassIndex::read(path).map(|index| index.names)
}

/// Reads the data set that `options` names and splits it.
///
/// The same options and files give the same splits on any machine.
pub fn open(options: &DataOptions) -> Result<Dataset, DataError> {
    if let Some(share) = options.validation_share
        && !(0.0..=0.5).contains(&share)
    {
        return Err(DataError::ValidationShare { share });
    }
    if options.folder != FolderOptions::default() && options.kind != DatasetKind::Folder {
        return Err(DataError::FixedForm { kind: options.kind });
    }
    if options.class_index.is_some() && ![DatasetKind::Folder, DatasetKind::Npy].contains(&options.kind) {
        return Err(DataError::FixedClasses { kind: options.kind });
    }
    let index = options.class_index.as_deref().map(ClassIndex::read).transpose()?;
    let dataset = match options.kind {
        DatasetKind::Digits => match &options.dir {
            Some(dir) => return Err(DataError::TakesNoFolder { dir: dir.clone() }),
            None => digits::open(options.validation_share)?,
        },
        DatasetKind::Cifar10 => split_validation(cifar::open(needed(options)?, &cifar::CIFAR10)?, options)?,
        DatasetKind::Cifar100 => split_validation(cifar::open(needed(options)?, &cifar::CIFAR100)?, options)?,
        DatasetKind::Mnist => split_validation(mnist::open(needed(options)?)?, options)?,
        DatasetKind::Folder => {
            let source = folder::open(needed(options)?, &options.folder, index.as_ref())?;
            split_validation(source, options)?
        }
        DatasetKind::Npy => {
            let known = index.map(|index| index.names).or(options.class_names.clone());
            split_validation(arrays::open(needed(options)?, known)?, options)?
        }
    };
    match [&dataset.train, &dataset.validation, &dataset.test].iter().all(|split| split.is_empty()) {
        true => Err(DataError::EmptySplit { name: dataset.name, split: "any" }),
        false => Ok(dataset),
    }
}

fn needed(options: &DataOptions) -> Result<&Path, DataError> {
    options.dir.as_deref().ok_or(DataError::NeedsFolder { kind: options.kind })
}

/// Holds out the validation images of a data set that has none of its own.
fn split_validation(source: Source, options: &DataOptions) -> Result<Dataset, DataError> {
    let Source { name, class_names, mut train, validation, test, notes } = source;
    let validation = match (validation, options.validation_share) {
        (Some(_), Some(share)) => return Err(DataError::ShareBesideValidation { name, share }),
        (Some(own), None) => own,
        (None, share) => {
            let share = share.unwrap_or(DEFAULT_VALIDATION_SHARE);
            let purpose = split::Purpose::Validation;
            let (_, held) = split::hold_out(train.labels(), class_names.len(), share, options.seed, purpose);
            train.take_out(&held)
        }
    };
    Ok(Dataset { notes, ..Dataset::new(name, class_names, train, validation, test) })
}

impl Dataset {
    /// Refuses a data set that has nothing to train on, or nothing to test on.
    pub fn check_training(&self) -> Result<(), DataError> {
        let empty = [("training", &self.train), ("test", &self.test)].into_iter().find(|(_, i)| i.is_empty());
        match empty {
            Some((split, _)) => Err(DataError::EmptySplit { name: self.name.clone(), split }),
            None => Ok(()),
        }
    }

    fn new(name: String, class_names: Vec<String>, train: Images, validation: Images, test: Images) -> Self {
        Self {
            name,
            size: train.size(),
            channels: train.channels(),
            classes: class_names.len(),
            class_names,
            train: Arc::new(train),
            validation: Arc::new(validation),
            test: Arc::new(test),
            notes: Vec::new(),
        }
    }
}

/// `path` from the root on, so that a configuration means the same file wherever it is read. Links stay as they are.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Refuses sizes that no network takes. `origin` is the file that has them.
fn check_size(size: Size, origin: &Path) -> Result<(), DataError> {
    match size.is_possible() {
        true => Ok(()),
        false => Err(DataError::Size { size, origin: origin.to_path_buf() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(options: &DataOptions) -> String {
        open(options).expect_err("the options are wrong").to_string()
    }

    #[test]
    fn a_validation_share_outside_zero_to_a_half_is_refused() {
        for share in [-0.1, 0.51, f32::NAN] {
            let options = DataOptions { validation_share: Some(share), ..DataOptions::default() };
            let text = sentence(&options);
            assert!(text.contains(&share.to_string()) && text.contains("0 to 0.5"), "{text}");
        }
    }

    #[test]
    fn pictures_of_a_folder_are_all_that_are_called_so_but_those_that_macos_hides() {
        let folder = tempfile::tempdir().expect("scratch folder");
        for name in ["b.PNG", "a.jpg", "._a.jpg", "notes.txt"] {
            std::fs::write(folder.path().join(name), "x").expect("written");
        }
        std::fs::create_dir(folder.path().join("c.png")).expect("made");
        let mut expected = vec!["a.jpg", "b.PNG"];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", folder.path().join("d.png")).expect("made");
            expected.push("d.png");
        }
        let paths = pictures_in(folder.path()).expect("readable");
        assert_eq!(paths, expected.into_iter().map(|name| folder.path().join(name)).collect::<Vec<_>>());
    }

    #[test]
    fn a_data_set_that_lives_in_files_needs_a_folder() {
        for kind in [
            DatasetKind::Cifar10,
            DatasetKind::Cifar100,
            DatasetKind::Mnist,
            DatasetKind::Folder,
            DatasetKind::Npy,
        ] {
            let text = sentence(&DataOptions { kind, ..DataOptions::default() });
            assert!(text.contains(kind.name()) && text.contains("`data`"), "{text}");
        }
    }

    #[test]
    fn the_embedded_digits_refuse_a_folder_rather_than_ignoring_it() {
        let text = sentence(&DataOptions { dir: Some("my/cifar".into()), ..DataOptions::default() });
        assert!(text.contains("my/cifar") && text.contains("`dataset`"), "{text}");
    }

    #[test]
    fn what_is_about_folders_is_refused_where_it_has_no_meaning() {
        for folder in [
            FolderOptions { resize: Some(Resize::Shorter(16)), ..FolderOptions::default() },
            FolderOptions { crop: Some(Size::square(16)), ..FolderOptions::default() },
            FolderOptions { channels: Some(3), ..FolderOptions::default() },
        ] {
            let text = sentence(&DataOptions { folder, ..DataOptions::default() });
            assert!(text.contains("digits") && text.contains("`dataset` folder"), "{text}");
        }
        let class_index = Some("classes.json".into());
        let text = sentence(&DataOptions { class_index, ..DataOptions::default() });
        assert!(text.contains("digits") && text.contains("`class-index`"), "{text}");
    }

    #[test]
    fn the_name_that_a_model_file_keeps_leads_back_to_the_kind() {
        let digits = open(&DataOptions::default()).expect("embedded");
        assert_eq!(DatasetKind::of_data_set(&digits.name), DatasetKind::Digits);
        assert_eq!(DatasetKind::of_data_set("CIFAR-10"), DatasetKind::Cifar10);
        assert_eq!(DatasetKind::of_data_set("CIFAR-100"), DatasetKind::Cifar100);
        assert_eq!(DatasetKind::of_data_set("MNIST"), DatasetKind::Mnist);
        assert_eq!(DatasetKind::of_data_set("letters (IDX)"), DatasetKind::Mnist);
        assert_eq!(DatasetKind::of_data_set("my pictures"), DatasetKind::Folder);
        assert_eq!(DatasetKind::of_data_set("my arrays (NumPy)"), DatasetKind::Npy);
    }

    #[cfg(feature = "command-line")]
    #[test]
    fn names_are_the_same_on_the_command_line_in_files_and_in_print() {
        use clap::ValueEnum;
        for kind in DatasetKind::value_variants() {
            let shell = kind.to_possible_value().map(|value| value.get_name().to_owned());
            assert_eq!(shell.as_deref(), Some(kind.name()));
            assert_eq!(serde_json::to_string(kind).ok(), Some(format!("\"{kind}\"")));
        }
    }
}

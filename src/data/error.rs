//! Everything that can be wrong with a data set, one sentence each: what, where, and what to do.

use super::{CLASSES, DatasetKind, SIDES};
use std::path::PathBuf;

/// Why a data set or its batches cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum DataError {
    /// No folder was given.
    #[error("--dataset {kind} is read from files: name their folder with --data DIR")]
    NeedsFolder { kind: DatasetKind },

    /// A folder was given for the embedded data.
    #[error(
        "--data {dir} was given, but --dataset digits is built in: drop --data, or say with --dataset what the folder holds"
    )]
    TakesNoFolder { dir: PathBuf },

    /// A side was given for images of a fixed size.
    #[error(
        "the images of --dataset {kind} have a fixed size: a side can only be chosen for --dataset folder"
    )]
    FixedSide { kind: DatasetKind },

    /// A validation share that makes no sense.
    #[error("a validation share of {share} is not possible: give one from 0 to 0.5")]
    ValidationShare { share: f32 },

    /// A side that the networks cannot work with.
    #[error(
        "{origin}: images of {side}x{side} are not possible, a side must be divisible by 4 and from {} to {}",
        SIDES.start(), SIDES.end()
    )]
    Side { origin: PathBuf, side: usize },

    /// The operating system refused.
    #[error("cannot read {path}: {source}; check the path given with --data and its permissions")]
    Read { path: PathBuf, source: std::io::Error },

    /// A folder without the files that were looked for.
    #[error("{folder} has no {wanted}: point --data at the folder with the files of {dataset} ({remedy})")]
    Missing { folder: PathBuf, wanted: String, dataset: &'static str, remedy: &'static str },

    /// A .gz or .tar.gz that is cut short or damaged.
    #[error("{path} cannot be decompressed ({source}): it is damaged or cut short, fetch it again")]
    Compressed { path: PathBuf, source: std::io::Error },

    /// A CIFAR file that is not a whole number of records.
    #[error(
        "{path} has {bytes} bytes, which is not a whole, positive number of {record}-byte records of {dataset}: it is cut short or another format, fetch it again"
    )]
    RecordSize { path: PathBuf, bytes: usize, record: usize, dataset: &'static str },

    /// A label that no class has.
    #[error(
        "{path}: image {index} has label {label}, but {dataset} has labels from 0 to {last}: the file is damaged or of another data set, fetch it again"
    )]
    Label { path: PathBuf, index: usize, label: u8, last: usize, dataset: &'static str },

    /// A file of class names with too few or too many.
    #[error(
        "{path} has {found} class names instead of {expected}: fetch it again, or remove it to go without"
    )]
    ClassNames { path: PathBuf, found: usize, expected: usize },

    /// Not an IDX file, or the wrong one of a pair.
    #[error(
        "{path} starts with {found:#010x} instead of {expected:#010x}, so it is not an IDX file of {content}: fetch it again"
    )]
    IdxMagic { path: PathBuf, found: u32, expected: u32, content: &'static str },

    /// An IDX file whose length contradicts its header.
    #[error(
        "{path} has {found} bytes (uncompressed) instead of the {expected} that its header announces: it is cut short or damaged, fetch it again"
    )]
    IdxLength { path: PathBuf, found: String, expected: u64 },

    /// IDX images that are not square.
    #[error("{path} has images of {rows}x{columns}: only square images are possible")]
    IdxShape { path: PathBuf, rows: u32, columns: u32 },

    /// Images and labels of different counts.
    #[error(
        "{images_path} has {images} images but {labels_path} has {labels} labels: they are not a pair, fetch both again"
    )]
    IdxCounts { images_path: PathBuf, images: usize, labels_path: PathBuf, labels: usize },

    /// Training and test images of different sizes.
    #[error(
        "{train} has images of {train_side}x{train_side} but {test} of {test_side}x{test_side}: they are of different data sets, fetch both again"
    )]
    IdxSides { train: PathBuf, train_side: usize, test: PathBuf, test_side: usize },

    /// A number of class folders that cannot be trained on.
    #[error("{folder} has {found} class folders, but from {} to {} are needed: point --data at the folder whose subfolders are the classes", CLASSES.start(), CLASSES.end())]
    ClassFolders { folder: PathBuf, found: usize },

    /// A class folder without images.
    #[error("{folder} has no .png, .jpg or .jpeg file: add images of this class or remove its folder")]
    EmptyClass { folder: PathBuf },

    /// A train folder without its test folder.
    #[error(
        "{folder} has a folder train but no folder test: add it, or put the class folders directly into {folder} to have a fifth of the images held out for testing"
    )]
    NoTestFolder { folder: PathBuf },

    /// A class that is tested but not trained.
    #[error(
        "{folder} has the class {class}, which the folder train beside it lacks: add the class there or remove it here"
    )]
    UnknownTestClass { folder: PathBuf, class: String },

    /// An image that cannot be decoded.
    #[error("{path} cannot be decoded as PNG or JPEG ({source}): replace or remove it")]
    Image { path: PathBuf, source: image::ImageError },

    /// Too few images for every split to have one.
    #[error(
        "{name} has too few images, none is left for the {split} split: add images or lower the validation share"
    )]
    EmptySplit { name: String, split: &'static str },

    /// Batches of nothing.
    #[error("a batch of size {size} from {images} images is not possible: both must be at least 1")]
    BatchSize { size: usize, images: usize },

    /// The operating system gives no further thread.
    #[error(
        "cannot start the thread that prepares batches ({source}): close other programs or raise the limit on threads (`ulimit -u`) or on memory"
    )]
    Thread { source: std::io::Error },

    /// Batches do not fit memory.
    #[error("batches cannot be prepared: {refused}")]
    Memory { refused: crate::memory::OutOfMemory },
}

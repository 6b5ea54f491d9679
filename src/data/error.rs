//! Everything that can be wrong with a data set, one sentence each: what, where, and what to do.

use super::limits::{MOST_DECODING, MOST_SET};
use super::picture::{ENDINGS, FORMATS};
use super::size::SIDES;
use super::{CLASSES, DatasetKind, Resize, Size};
use std::path::PathBuf;

/// Why a data set or its batches cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum DataError {
    /// No folder was given.
    #[error("`dataset` {kind} is read from files: name their folder with `data` DIR")]
    NeedsFolder { kind: DatasetKind },

    /// A folder was given for the embedded data.
    #[error(
        "`data` {dir} was given, but `dataset` digits is built in: drop `data`, or say with `dataset` what the folder holds"
    )]
    TakesNoFolder { dir: PathBuf },

    /// An array, or the file of one.
    #[error(transparent)]
    Npy(#[from] super::npy::NpyError),

    /// An array that does not hold what it should.
    #[error("{path}: {problem}")]
    Array { path: PathBuf, problem: String },

    /// A file that holds one array.
    #[error(
        "{path} is no .npz file, and one array does not hold images and labels: give an .npz file, or the folder that has both arrays"
    )]
    ArrayFile { path: PathBuf },

    /// Neither images nor labels.
    #[error(
        "{path} has no images and labels by the names of x_test and y_test, or images and labels (found: {found}): rename the arrays"
    )]
    NoArrays { path: PathBuf, found: String },

    /// Images without labels, or labels without images.
    #[error("{path} is there, but not its {missing}: add {wanted}.npy beside it")]
    ArrayAlone { path: PathBuf, missing: &'static str, wanted: String },

    /// Images and labels of different counts.
    #[error(
        "{images_path} has the extents {images:?} but {labels_path} has {labels} labels: they are not a pair, save both again"
    )]
    ArrayCounts { images_path: PathBuf, images: Vec<usize>, labels_path: PathBuf, labels: usize },

    /// Parts of different sizes.
    #[error(
        "{first} has images of {first_shape} but {other} of {other_shape}: all parts of a set need one size and the same channels"
    )]
    ArrayShapes { first: PathBuf, first_shape: String, other: PathBuf, other_shape: String },

    /// A label that the model does not have.
    #[error(
        "{path} has labels up to {last}, the model or the class index has {model} classes: use the data that belong to it"
    )]
    ArrayClasses { path: PathBuf, last: usize, model: usize },

    /// Something was asked for of images that are taken as they are.
    #[error(
        "the images of `dataset` {kind} have a fixed size: `resize` and `crop` belong to `dataset` folder; leave them out"
    )]
    FixedForm { kind: DatasetKind },

    /// Classes were asked for of a data set that has its own.
    #[error(
        "`dataset` {kind} has its own classes: `class-index` belongs to `dataset` folder and npy; leave it out"
    )]
    FixedClasses { kind: DatasetKind },

    /// A validation share that makes no sense.
    #[error("a validation share of {share} is not possible: give one from 0 to 0.5")]
    ValidationShare { share: f32 },

    /// A size that no network takes.
    #[error(
        "{origin}: images of {size} are not possible, height and width must be from {} to {}",
        SIDES.start(), SIDES.end()
    )]
    Size { origin: PathBuf, size: Size },

    /// A part that is cut out and is none of the image.
    #[error(
        "`crop` {crop} is larger than what `resize` {resize} leaves: give a larger `resize` or a smaller `crop`"
    )]
    CropBeyondResize { crop: Size, resize: Resize },

    /// Images of another size than the model's.
    #[error("the model takes images of {model}, not of {asked}: leave `crop` out, or give `crop` {model}")]
    CropOfOtherSize { model: Size, asked: Size },

    /// Channels that pictures do not have.
    #[error("the model takes {channels} channels, and pictures have 1 or 3: give arrays with `dataset` npy")]
    PictureChannels { channels: usize },

    /// An image that is smaller than what is to be cut out of it.
    #[error(
        "{path} has {height}x{width} pixels{resized}, too few to cut {crop} out of it: give `resize` with a larger size, or a smaller `crop`"
    )]
    SmallerThanCrop { path: PathBuf, height: u64, width: u64, resized: &'static str, crop: Size },

    /// A text about images or classes that cannot be understood.
    #[error("{path}, line {line}: {problem}")]
    Line { path: PathBuf, line: usize, problem: String },

    /// A number of classes that cannot be told apart.
    #[error("{path} has {found} classes, but from {} to {} are needed: check its column class", CLASSES.start(), CLASSES.end())]
    LabelledClasses { path: PathBuf, found: usize },

    /// A class index that is no such thing.
    #[error("{path}: {problem}")]
    ClassIndex { path: PathBuf, problem: String },

    /// A class that the index does not have.
    #[error(
        "{folder} has the class {class}, which the class index {index} lacks: add it there or remove it here"
    )]
    NotInIndex { folder: PathBuf, class: String, index: PathBuf },

    /// A name that the index gives to several classes.
    #[error(
        "{folder} has the class {class}, a name that the class index {index} gives to several classes: call the class by the folder that \
         the index has for it"
    )]
    SeveralInIndex { folder: PathBuf, class: String, index: PathBuf },

    /// The operating system refused.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Read { path: PathBuf, source: std::io::Error },

    /// A folder without the files that were looked for.
    #[error("{folder} has no {wanted}: point `data` at the folder with the files of {dataset} ({remedy})")]
    Missing { folder: PathBuf, wanted: String, dataset: &'static str, remedy: &'static str },

    /// A .gz or .tar.gz that is cut short or damaged.
    #[error("{path} cannot be decompressed ({source}): it is damaged or cut short, fetch it again")]
    Compressed { path: PathBuf, source: std::io::Error },

    /// A CIFAR file that is not a whole number of records.
    #[error(
        "{path} has {bytes} bytes, which is not a whole, positive number of {record}-byte records of {dataset}: it is cut short or another format, fetch it again"
    )]
    RecordSize { path: PathBuf, bytes: u64, record: usize, dataset: &'static str },

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

    /// Not an IDX file.
    #[error("{path} starts with the bytes {start}, so it is no IDX file: fetch it again")]
    NotIdx { path: PathBuf, start: String },

    /// An IDX file of something else.
    #[error(
        "{path} is an IDX file of {found}, but {content} need {wanted}: it holds something else than its name says, fetch it again"
    )]
    IdxContent { path: PathBuf, found: String, content: &'static str, wanted: &'static str },

    /// A label that no class can have.
    #[error("{path}: the label of image {index} is not a whole number: labels are the numbers of classes")]
    IdxLabel { path: PathBuf, index: usize },

    /// A number of different labels that cannot be trained on.
    #[error("the labels in {folder} are of {found} classes, but from {} to {} are possible: check that the label files hold classes", CLASSES.start(), CLASSES.end())]
    IdxClasses { folder: PathBuf, found: usize },

    /// Two files for the same part.
    #[error(
        "{first} and {second} are for the same part of a data set: keep one set in a folder of its own and point `data` at it"
    )]
    TwoFiles { first: PathBuf, second: PathBuf },

    /// A packed file that announces far more than its size allows.
    #[error(
        "{path} announces {} MiB in a packed file of {packed} bytes, at most {} MiB are possible: it is damaged, or unpack it first", .announced >> 20, .most >> 20
    )]
    Unpacked { path: PathBuf, packed: u64, announced: u64, most: u64 },

    /// An archive that unpacks to far more than the official ones.
    #[error(
        "{path} ({packed} bytes) unpacks to more than {} MiB, which no official archive does: it is damaged, or unpack it first", .most >> 20
    )]
    ArchiveSize { path: PathBuf, packed: u64, most: u64 },

    /// A data set larger than what is kept in memory.
    #[error(
        "{images} images of {size}x{channels} take {} MiB of memory, at most {} MiB are possible: use fewer images or a smaller size", .bytes >> 20, MOST_SET >> 20
    )]
    SetSize { images: u64, size: Size, channels: usize, bytes: u64 },

    /// The system has no more memory.
    #[error("{path} needs {} MiB of memory, which the system does not give: close other programs or use fewer images", .bytes >> 20)]
    NoMemory { path: PathBuf, bytes: u64 },

    /// A file without content.
    #[error("{path} has 0 bytes: replace or remove it")]
    EmptyFile { path: PathBuf },

    /// An IDX file whose length contradicts its header.
    #[error(
        "{path} has {found} bytes (uncompressed) instead of the {expected} that its header announces: it is cut short or damaged, fetch it again"
    )]
    IdxLength { path: PathBuf, found: String, expected: u64 },

    /// Images and labels of different counts.
    #[error(
        "{images_path} has {images} images but {labels_path} has {labels} labels: they are not a pair, fetch both again"
    )]
    IdxCounts { images_path: PathBuf, images: u64, labels_path: PathBuf, labels: u64 },

    /// Training and test images of different sizes.
    #[error(
        "{train} has images of {train_size} but {test} of {test_size}: they are of different data sets, fetch both again"
    )]
    IdxSizes { train: PathBuf, train_size: Size, test: PathBuf, test_size: Size },

    /// A number of class folders that cannot be trained on.
    #[error("{folder} has {found} class folders, but from {} to {} are needed: point `data` at the folder whose subfolders are the classes", CLASSES.start(), CLASSES.end())]
    ClassFolders { folder: PathBuf, found: usize },

    /// A file in place of a folder.
    #[error(
        "{path} is a file, but `dataset` folder reads a folder of class folders: point `data` at that folder"
    )]
    NotAFolder { path: PathBuf },

    /// A class folder without images.
    #[error(
        "{folder} has no image that is read (.{}){reason}: add images of this class or remove its folder", ENDINGS.join(", .")
    )]
    EmptyClass { folder: PathBuf, reason: String },

    /// A class whose name cannot be written down.
    #[error("the name of {folder} is no Unicode text, so no file can hold it: rename the folder")]
    ClassNotUnicode { folder: PathBuf },

    /// Two classes of one name.
    #[error(
        "{first} and {second} have the same name in different Unicode forms: rename or merge one of them"
    )]
    EqualClasses { first: PathBuf, second: PathBuf },

    /// Two classes with the same images.
    #[error(
        "{first} and {second} are the same folder by a link, so its images would have two labels: remove one of them"
    )]
    SameFolder { first: PathBuf, second: PathBuf },

    /// A train folder without its test folder.
    #[error(
        "{folder} has a folder train but no folder test: add it{rename}, or put the class folders directly into {folder} to have a fifth of the images held out for testing"
    )]
    NoTestFolder { folder: PathBuf, rename: String },

    /// Two folders of validation images.
    #[error("{first} and {second} are both folders of validation images: keep one of them")]
    TwoValidations { first: PathBuf, second: PathBuf },

    /// A validation share beside validation images.
    #[error(
        "{name} has validation images of its own, so a validation share of {share} has no effect: leave the share out, or remove the folder of validation images"
    )]
    ShareBesideValidation { name: String, share: f32 },

    /// A class that is tested but not trained.
    #[error(
        "{folder} has the class {class}, which the folder {first} beside it lacks: add the class there or remove it here"
    )]
    UnknownClass { folder: PathBuf, class: String, first: String },

    /// An image that cannot be decoded.
    #[error("{path} cannot be decoded as {FORMATS} ({}): replace or remove it", one_line(.source))]
    Image { path: PathBuf, source: image::ImageError },

    /// An image whose file ends early.
    #[error(
        "{path} is cut short or damaged, its data end before its image does: fetch it again or remove it"
    )]
    CutImage { path: PathBuf },

    /// An image without pixels, or that would take too much memory.
    #[error(
        "{path} has {width}x{height} pixels, whose decoding takes {mebibytes} MiB of memory, from 1 pixel to {} MiB are possible: scale it down or remove it", MOST_DECODING >> 20
    )]
    ImageSize { path: PathBuf, width: u32, height: u32, mebibytes: u64 },

    /// An image whose range of values is not known.
    #[error(
        "{path} has floating-point pixels, whose range is not known: save it with 8 or 16 bits or remove it"
    )]
    FloatImage { path: PathBuf },

    /// Too few images for every split to have one.
    #[error(
        "{name} has no images for the {split} split: add images, or lower the validation share if that took them"
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

/// A decoder's words on one line.
fn one_line(error: &image::ImageError) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

//! Sets of corrupted images as CIFAR-10-C has them (Hendrycks and Dietterich 2019): a folder with an `.npy` array of 8-bit
//! images for each corruption, such as `gaussian_noise.npy`, and `labels.npy`. An array has the same images five times, one
//! severity after the other.

use super::arrays::{read_images, read_labels};
use super::layout::Layout;
use super::listing::{Entry, entries};
use super::npy;
use super::{DataError, Images, Size};
use std::path::{Path, PathBuf};

/// Severities of every corruption.
pub const SEVERITIES: usize = 5;

/// The name of the labels, without its ending.
const LABELS: &str = "labels";

/// A folder whose labels are read, and whose arrays are known to fit them.
#[derive(Clone, Debug)]
pub struct Corruptions {
    folder: PathBuf,
    /// The corruptions in the order of their names.
    pub names: Vec<String>,
    /// The classes of all five times the images.
    labels: Vec<u16>,
}

impl Corruptions {
    /// Reads the labels and the head of every array in `folder`. `size`, `channels` and `classes` are what the models take.
    ///
    /// # Errors
    /// If labels or arrays are missing, are not five times as many images as there are labels, or are not for such models.
    pub fn open(folder: &Path, size: Size, channels: usize, classes: usize) -> Result<Self, DataError> {
        let names = names(folder)?;
        let images =
            npy::extents(&folder.join(format!("{}.npy", names[0])))?.first().copied().unwrap_or_default();
        let labels = repeated_labels(&folder.join(format!("{LABELS}.npy")), images, classes)?;
        for name in &names {
            check_array(&folder.join(format!("{name}.npy")), labels.len(), size, channels)?;
        }
        Ok(Self { folder: folder.to_path_buf(), names, labels })
    }

    /// The classes of the images of one severity, the first.
    pub fn labels(&self) -> &[u16] {
        &self.labels[..self.labels.len() / SEVERITIES]
    }

    /// The images of a corruption, one severity after the other.
    pub fn read(&self, name: &str) -> Result<Images, DataError> {
        let path = self.folder.join(format!("{name}.npy"));
        read_images(npy::read(&path)?, self.labels.clone(), &path)
    }
}

/// The names of the corruptions in `folder`, sorted, at least one.
fn names(folder: &Path) -> Result<Vec<String>, DataError> {
    let array = |entry: Entry| {
        let name = entry.path.file_name()?.to_string_lossy().into_owned();
        name.strip_suffix(".npy").map(str::to_owned)
    };
    let mut names: Vec<String> = entries(folder)?.into_iter().filter_map(array).collect();
    names.sort_unstable();
    if !names.iter().any(|name| name == LABELS) {
        return Err(wrong(
            folder,
            "it has no labels.npy; add the labels of the images beside their arrays".to_owned(),
        ));
    }
    names.retain(|name| name != LABELS);
    if names.is_empty() {
        return Err(wrong(
            folder,
            "it has no array but labels.npy; add those of corrupted images, such as gaussian_noise.npy"
                .to_owned(),
        ));
    }
    Ok(names)
}

/// The labels of `images` images, which are the same for every severity.
fn repeated_labels(path: &Path, images: usize, classes: usize) -> Result<Vec<u16>, DataError> {
    let mut labels = read_labels(npy::read(path)?, path)?;
    if let Some(place) = labels.iter().position(|&label| usize::from(label) >= classes) {
        let label = labels[place];
        return Err(wrong(
            path,
            format!("the label of image {place} is {label}, the model has {classes} classes"),
        ));
    }
    // CIFAR-10-C repeats the labels for every severity.
    if images == SEVERITIES * labels.len() {
        labels = labels.repeat(SEVERITIES);
    }
    let one = labels.len() / SEVERITIES;
    if one > 0
        && labels.len() % SEVERITIES == 0
        && labels.chunks(one).any(|severity| *severity != labels[..one])
    {
        return Err(wrong(
            path,
            format!(
                "its labels do not repeat {SEVERITIES} times, so it is not of {SEVERITIES} severities one after the other"
            ),
        ));
    }
    Ok(labels)
}

/// Refuses an array that is not for the models, or has other images than there are labels.
fn check_array(path: &Path, labels: usize, size: Size, channels: usize) -> Result<(), DataError> {
    let extents = npy::extents(path)?;
    let layout = Layout::for_model(&extents, size, channels).map_err(|problem| wrong(path, problem))?;
    if layout.images == labels && labels > 0 && labels.is_multiple_of(SEVERITIES) {
        return Ok(());
    }
    Err(wrong(
        path,
        format!(
            "it has {} images, and labels.npy has labels for {labels}; an array needs the images of labels.npy \
             {SEVERITIES} times, one severity after the other",
            layout.images
        ),
    ))
}

fn wrong(path: &Path, problem: String) -> DataError {
    DataError::Array { path: path.to_path_buf(), problem }
}

#[cfg(test)]
mod tests {
    use super::super::npy::tests::file;
    use super::*;
    use std::fs;

    const SIZE: Size = Size { height: 4, width: 4 };

    /// A set with one corruption of so many images, and these labels.
    fn open(images: usize, labels: &[u8]) -> Result<(Corruptions, tempfile::TempDir), String> {
        let folder = tempfile::tempdir().unwrap();
        let pixels: Vec<u8> = (0..images).flat_map(|i| [i as u8; 48]).collect();
        fs::write(folder.path().join("fog.npy"), file("|u1", &format!("({images}, 4, 4, 3)"), &pixels))
            .unwrap();
        fs::write(folder.path().join("labels.npy"), file("|u1", &format!("({},)", labels.len()), labels))
            .unwrap();
        // macOS puts such a file beside each one in an archive.
        fs::write(folder.path().join("._fog.npy"), "Mac OS X").unwrap();
        let opened = Corruptions::open(folder.path(), SIZE, 3, 4).map_err(|error| error.to_string())?;
        Ok((opened, folder))
    }

    #[test]
    fn labels_are_for_one_severity_or_for_all() {
        for labels in [&[3, 1][..], &[3, 1, 3, 1, 3, 1, 3, 1, 3, 1]] {
            let (set, _folder) = open(10, labels).unwrap();
            assert_eq!((set.names.as_slice(), set.labels()), (&["fog".to_string()][..], &[3, 1][..]));
            let images = set.read("fog").unwrap();
            assert_eq!((images.len(), images.label(9), images.image(9)[0]), (10, 1, 9));
        }
    }

    #[test]
    fn counts_labels_and_shapes_that_do_not_fit_are_refused() {
        for (images, labels, part) in [
            (10, &[0, 1, 2][..], "10 images, and labels.npy has labels for 3"),
            (4, &[0, 1, 2, 3], "4 images"),
            (0, &[], "0 images"),
            (10, &[3, 1, 3, 1, 3, 1, 3, 1, 1, 3], "do not repeat 5 times"),
            (10, &[0, 4], "the label of image 1 is 4, the model has 4 classes"),
        ] {
            let error = open(images, labels).map(|_| ()).expect_err("refused");
            assert!(error.contains(part) && error.contains(".npy"), "{error}");
        }
        let (_, folder) = open(10, &[0, 1]).unwrap();
        let refused =
            |size, channels| Corruptions::open(folder.path(), size, channels, 4).unwrap_err().to_string();
        assert!(refused(Size::square(8), 3).contains("the model takes [n, 3, 8, 8]"));
        fs::remove_file(folder.path().join("fog.npy")).unwrap();
        assert!(refused(SIZE, 3).contains("no array but labels.npy"));
        fs::remove_file(folder.path().join("labels.npy")).unwrap();
        assert!(refused(SIZE, 3).contains("no labels.npy"));
    }
}

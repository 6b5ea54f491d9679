//! MNIST and sets in its format: four IDX files, plain or .gz, with square images of one channel and
//! labels from 0 to 9. An IDX file is big-endian: a magic number, the sizes, then bytes.

use super::{DataError, Images, Source, check_side};
use flate2::read::MultiGzDecoder;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// For people.
pub(super) const NAME: &str = "MNIST";

const CLASSES: usize = 10;
/// Unsigned bytes in three dimensions.
const IMAGES_MAGIC: u32 = 0x0803;
/// Unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0801;
/// Below the folder given, where other programs put the files.
const SUBFOLDERS: [&str; 3] = ["", "mnist", "MNIST/raw"];

/// Reads the four files in `dir`, or in its `mnist` or `MNIST/raw`.
pub(super) fn open(dir: &Path) -> Result<Source, DataError> {
    fs::read_dir(dir).map_err(|source| DataError::Read { path: dir.to_path_buf(), source })?;
    let train = read_pair(dir, "train")?;
    let test = read_pair(dir, "t10k")?;
    if train.0.side() != test.0.side() {
        let (train_side, test_side) = (train.0.side(), test.0.side());
        return Err(DataError::IdxSides { train: train.1, train_side, test: test.1, test_side });
    }
    let class_names = (0..CLASSES).map(|digit| digit.to_string()).collect();
    Ok(Source { name: NAME.to_owned(), class_names, train: train.0, test: test.0 })
}

/// The images of `train` or `t10k`, and the file they came from.
fn read_pair(dir: &Path, part: &str) -> Result<(Images, PathBuf), DataError> {
    let images_path = find(dir, part, "images", 3)?;
    let labels_path = find(dir, part, "labels", 1)?;
    let (sizes, pixels) = read_idx::<3>(&images_path, IMAGES_MAGIC, "images")?;
    let (_, labels) = read_idx::<1>(&labels_path, LABELS_MAGIC, "labels")?;
    let [images, rows, columns] = sizes;
    if rows != columns {
        return Err(DataError::IdxShape { path: images_path, rows, columns });
    }
    check_side(rows as usize, &images_path)?;
    if images as usize != labels.len() {
        let (images, labels) = (images as usize, labels.len());
        return Err(DataError::IdxCounts { images_path, images, labels_path, labels });
    }
    if let Some(index) = labels.iter().position(|&label| usize::from(label) >= CLASSES) {
        let (label, last) = (labels[index], CLASSES - 1);
        return Err(DataError::Label { path: labels_path, index, label, last, dataset: "MNIST" });
    }
    let labels = labels.into_iter().map(u16::from).collect();
    Ok((Images::new(rows as usize, 1, pixels, labels), images_path))
}

/// The file of `part` in any of the spellings in use.
fn find(dir: &Path, part: &str, content: &str, dimensions: u32) -> Result<PathBuf, DataError> {
    let names = ["-", "."].map(|dot| format!("{part}-{content}{dot}idx{dimensions}-ubyte"));
    for folder in SUBFOLDERS {
        for name in &names {
            for ending in ["", ".gz"] {
                let path = dir.join(folder).join(format!("{name}{ending}"));
                if path.is_file() {
                    return Ok(path);
                }
            }
        }
    }
    Err(DataError::Missing {
        folder: dir.to_path_buf(),
        wanted: format!(
            "{}, {} (plain or with .gz, also looked for in mnist/ and MNIST/raw/)",
            names[0], names[1]
        ),
        dataset: "MNIST",
        remedy: "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and \
                 t10k-labels-idx1-ubyte.gz",
    })
}

/// The sizes and bytes of an IDX file of `N` dimensions. Memory is bounded by the file, not by its header.
fn read_idx<const N: usize>(
    path: &Path,
    magic: u32,
    content: &'static str,
) -> Result<([u32; N], Vec<u8>), DataError> {
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    let refused = |source| {
        let path = path.to_path_buf();
        if packed { DataError::Compressed { path, source } } else { DataError::Read { path, source } }
    };
    let length = |found: String, expected| DataError::IdxLength { path: path.to_path_buf(), found, expected };

    let file = File::open(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let file = BufReader::new(file);
    let mut reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let header_len = 4 * (1 + N as u64);
    let header = read_at_most(&mut reader, header_len).map_err(refused)?;
    let mut words = header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    if let Some(found) = words.next()
        && found != magic
    {
        return Err(DataError::IdxMagic { path: path.to_path_buf(), found, expected: magic, content });
    }
    if header.len() as u64 != header_len {
        return Err(length(header.len().to_string(), header_len));
    }
    let sizes: [u32; N] = std::array::from_fn(|_| words.next().unwrap_or_default());
    let data_len = sizes.iter().fold(1u64, |product, &size| product.saturating_mul(u64::from(size)));
    let expected = data_len.saturating_add(header_len);
    // One byte more than announced shows a file that is too long without reading all of it.
    let data = read_at_most(&mut reader, data_len.saturating_add(1)).map_err(refused)?;
    match data.len() as u64 {
        found if found < data_len => Err(length((found + header_len).to_string(), expected)),
        found if found > data_len => Err(length(format!("more than {expected}"), expected)),
        _ => Ok((sizes, data)),
    }
}

fn read_at_most(reader: &mut dyn Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    use tempfile::{TempDir, tempdir};

    fn idx(magic: u32, sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let header = std::iter::once(&magic).chain(sizes).flat_map(|word| word.to_be_bytes());
        header.chain(data.iter().copied()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("packed")
    }

    /// A good set of two 8x8 images a part, some packed and some not, with `changed` in place of its files.
    fn set(changed: &[(&str, Vec<u8>)]) -> TempDir {
        let dir = tempdir().expect("scratch folder");
        let images = idx(IMAGES_MAGIC, &[2, 8, 8], &[9; 128]);
        let labels = idx(LABELS_MAGIC, &[2], &[3, 9]);
        let good = [
            ("train-images-idx3-ubyte", images.clone()),
            ("train-labels.idx1-ubyte", labels.clone()),
            ("t10k-images-idx3-ubyte.gz", gzip(&images)),
            ("t10k-labels-idx1-ubyte.gz", gzip(&labels)),
        ];
        for (name, bytes) in good.iter().chain(changed) {
            fs::write(dir.path().join(name), bytes).expect("written");
        }
        dir
    }

    #[track_caller]
    fn expect_sentence(file: &str, bytes: Vec<u8>, parts: &[&str]) {
        let dir = set(&[(file, bytes)]);
        let text = open(dir.path()).err().expect("the file is wrong").to_string();
        for part in parts.iter().chain(&[file]) {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }

    #[test]
    fn plain_and_packed_files_are_read_in_either_spelling() {
        let source = open(set(&[]).path()).expect("readable");
        assert_eq!((source.train.labels(), source.test.labels()), (&[3, 9][..], &[3, 9][..]));
        assert_eq!((source.test.side(), source.test.channels()), (8, 1));
    }

    #[test]
    fn missing_files_are_named() {
        let dir = set(&[]);
        fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte.gz")).expect("removed");
        let text = open(dir.path()).err().expect("a file is missing").to_string();
        assert!(text.contains("t10k-labels-idx1-ubyte, t10k-labels.idx1-ubyte"), "{text}");
        let text = open(&dir.path().join("nowhere")).err().expect("no folder").to_string();
        assert!(text.contains("nowhere"), "{text}");
    }

    #[test]
    fn a_file_of_another_kind_is_told_by_its_magic_number() {
        let labels = idx(LABELS_MAGIC, &[2], &[3, 9]);
        expect_sentence("train-images-idx3-ubyte", labels, &["0x00000801", "0x00000803"]);
    }

    #[test]
    fn a_length_that_contradicts_the_header_is_told() {
        let name = "train-images-idx3-ubyte";
        expect_sentence(name, idx(IMAGES_MAGIC, &[2, 8, 8], &[9; 127]), &["143 bytes", "144"]);
        expect_sentence(name, idx(IMAGES_MAGIC, &[2, 8, 8], &[9; 300]), &["more than 144"]);
        expect_sentence(name, idx(IMAGES_MAGIC, &[2], &[]), &["8 bytes", "16"]);
        expect_sentence(name, idx(IMAGES_MAGIC, &[u32::MAX; 3], &[9; 50]), &["66 bytes"]);
        expect_sentence(name, vec![], &["0 bytes"]);
    }

    #[test]
    fn a_damaged_or_cut_gz_is_told() {
        let name = "t10k-images-idx3-ubyte.gz";
        expect_sentence(name, b"not gzip at all".to_vec(), &["cannot be decompressed"]);
        let whole = gzip(&idx(IMAGES_MAGIC, &[2, 8, 8], &[9; 128]));
        expect_sentence(name, whole[..whole.len() - 9].to_vec(), &["cannot be decompressed"]);
    }

    #[test]
    fn images_that_the_networks_cannot_take_are_told_with_their_shape() {
        let name = "train-images-idx3-ubyte";
        expect_sentence(name, idx(IMAGES_MAGIC, &[2, 8, 12], &[9; 192]), &["8x12"]);
        expect_sentence(name, idx(IMAGES_MAGIC, &[2, 10, 10], &[9; 200]), &["10x10", "divisible by 4"]);
        expect_sentence(name, idx(IMAGES_MAGIC, &[2, 12, 12], &[9; 288]), &["12x12", "8x8"]);
    }

    #[test]
    fn labels_must_pair_with_images_and_be_digits() {
        let name = "train-labels.idx1-ubyte";
        expect_sentence(name, idx(LABELS_MAGIC, &[3], &[1, 2, 3]), &["2 images", "3 labels"]);
        expect_sentence(name, idx(LABELS_MAGIC, &[2], &[1, 10]), &["image 1 has label 10", "0 to 9"]);
    }
}

//! IDX sets made up here, right and wrong ones.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use tempfile::{TempDir, tempdir};

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

fn idx(magic: u32, sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let header = std::iter::once(&magic).chain(sizes).flat_map(|word| word.to_be_bytes());
    header.chain(data.iter().copied()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("packed")
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempdir().expect("scratch folder");
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).expect("written");
    }
    dir
}

/// A good set of two 8x8 images a part, some packed and some not, with `changed` in place of its files.
fn set(changed: &[(&str, Vec<u8>)]) -> TempDir {
    let images = idx(IMAGES, &[2, 8, 8], &[9; 128]);
    let labels = idx(LABELS, &[2], &[3, 9]);
    let good = [
        ("train-images-idx3-ubyte", images.clone()),
        ("train-labels.idx1-ubyte", labels.clone()),
        ("t10k-images-idx3-ubyte.gz", gzip(&images)),
        ("t10k-labels-idx1-ubyte.gz", gzip(&labels)),
    ];
    folder(&good.iter().chain(changed).cloned().collect::<Vec<_>>())
}

fn sentence(dir: &Path) -> String {
    open(dir).err().expect("the files are wrong").to_string()
}

#[track_caller]
fn expect_sentence(file: &str, bytes: Vec<u8>, parts: &[&str]) {
    let text = sentence(set(&[(file, bytes)]).path());
    for part in parts.iter().chain(&[file]) {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[test]
fn plain_and_packed_files_are_read_in_either_spelling() {
    let source = open(set(&[]).path()).expect("readable");
    assert_eq!((source.train.labels(), source.test.labels()), (&[0, 1][..], &[0, 1][..]));
    assert_eq!(source.class_names, ["3", "9"]);
    assert_eq!((source.test.size(), source.test.channels()), (Size::square(8), 1));
    assert!(source.name.ends_with(OTHER), "{}", source.name);
}

#[test]
fn the_content_says_whether_a_file_is_packed_and_the_name_does_not() {
    let labels = idx(LABELS, &[2], &[3, 9]);
    for (name, bytes) in
        [("t10k-labels-idx1-ubyte.gz", labels.clone()), ("train-labels.idx1-ubyte", gzip(&labels))]
    {
        assert_eq!(open(set(&[(name, bytes)]).path()).expect("readable").test.labels(), [0, 1]);
    }
}

#[test]
fn labels_of_any_type_and_range_are_classes_in_the_order_of_their_numbers() {
    let of = |magic: u32, sizes: &[u32], data: &[u8]| {
        let dir = set(&[("train-labels.idx1-ubyte", idx(magic, sizes, data))]);
        let source = open(dir.path()).expect("readable");
        (source.class_names.join(" "), source.train.labels().to_vec())
    };
    // The test part has 3 and 9.
    assert_eq!(of(LABELS, &[2], &[26, 1]), ("1 3 9 26".to_owned(), vec![3, 0]));
    assert_eq!(of(0x0901, &[2], &[0xff, 9]), ("-1 3 9".to_owned(), vec![0, 2]));
    assert_eq!(of(0x0b01, &[2], &[1, 0, 0, 9]), ("3 9 256".to_owned(), vec![2, 1]));
    assert_eq!(of(0x0c01, &[2], &[0, 1, 0, 0, 0, 0, 0, 3]), ("3 9 65536".to_owned(), vec![2, 0]));
    let floats: Vec<u8> = [9f32, 4.0].iter().flat_map(|f| f.to_be_bytes()).collect();
    assert_eq!(of(0x0d01, &[2], &floats), ("3 4 9".to_owned(), vec![2, 1]));
    // As QMNIST has them: the class, then seven facts about the image.
    let rows: Vec<u8> =
        [9i32, 7, 7, 7, 7, 7, 7, 7, 3, 8, 8, 8, 8, 8, 8, 8].iter().flat_map(|i| i.to_be_bytes()).collect();
    assert_eq!(of(0x0c02, &[2, 8], &rows), ("3 9".to_owned(), vec![1, 0]));
}

#[test]
fn labels_that_are_no_labels_are_told() {
    let name = "train-labels.idx1-ubyte";
    let halves: Vec<u8> = [9f32, 4.5].iter().flat_map(|f| f.to_be_bytes()).collect();
    expect_sentence(name, idx(0x0d01, &[2], &halves), &["image 1", "whole number"]);
    // One of ten, as other programs encode classes: the first column is not the class.
    expect_sentence(name, idx(0x0802, &[2, 10], &[0; 20]), &["2 dimensions of unsigned bytes", "labels"]);
    let one = idx(LABELS, &[2], &[3, 3]);
    let dir = set(&[(name, one.clone()), ("t10k-labels-idx1-ubyte.gz", gzip(&one))]);
    assert!(sentence(dir.path()).contains("1 classes"), "{}", sentence(dir.path()));
}

#[test]
fn names_of_other_sets_are_found_and_two_sets_in_a_folder_are_told_apart_by_refusal() {
    let images = idx(IMAGES, &[2, 8, 8], &[9; 128]);
    let labels = idx(LABELS, &[2], &[1, 26]);
    let letters = [
        ("emnist-letters-train-images-idx3-ubyte.gz", gzip(&images)),
        ("emnist-letters-train-labels-idx1-ubyte.gz", gzip(&labels)),
        ("emnist-letters-test-images-idx3-ubyte", images.clone()),
        // The packed file beside it is the same one.
        ("emnist-letters-test-images-idx3-ubyte.gz", gzip(&images)),
        ("emnist-letters-test-labels-idx1-ubyte", labels.clone()),
        ("emnist-letters-mapping.txt", b"1 65 97".to_vec()),
    ];
    let source = open(folder(&letters).path()).expect("readable");
    assert_eq!((source.class_names.join(" "), source.train.len()), ("1 26".to_owned(), 2));
    let two = [&letters[..], &[("emnist-digits-train-images-idx3-ubyte", images)]].concat();
    let text = sentence(folder(&two).path());
    assert!(
        text.contains("emnist-digits-train-images") && text.contains("emnist-letters-train-images"),
        "{text}"
    );
}

/// A set of MNIST's shape, with these labels.
fn of_mnists_shape(names: [&str; 4], train: &[u8], test: &[u8]) -> Source {
    let images = |labels: &[u8]| idx(IMAGES, &[labels.len() as u32, 28, 28], &vec![1; labels.len() * 784]);
    let labels = |labels: &[u8]| idx(LABELS, &[labels.len() as u32], labels);
    let contents = [images(train), labels(train), images(test), labels(test)];
    open(folder(&names.into_iter().zip(contents).collect::<Vec<_>>()).path()).expect("readable")
}

#[test]
fn only_mnist_itself_is_called_mnist_and_has_ten_classes_however_short() {
    let own = [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ];
    let shortened = of_mnists_shape(own, &[5, 0, 4, 1, 9, 2], &[7, 2, 1]);
    assert_eq!((shortened.name.as_str(), shortened.class_names.len()), (NAME, 10));
    // Fashion-MNIST's labels, and MNIST's in the files of another set.
    assert_ne!(of_mnists_shape(own, &[9, 0, 0, 3, 0], &[9, 2, 1, 1, 6]).name, NAME);
    let other = own.map(|name| format!("qmnist-{name}"));
    assert_ne!(
        of_mnists_shape(other.each_ref().map(String::as_str), &[5, 0, 4, 1, 9], &[7, 2, 1]).name,
        NAME
    );
}

#[test]
fn missing_files_are_named() {
    let dir = set(&[]);
    fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte.gz")).expect("removed");
    let text = sentence(dir.path());
    assert!(text.contains("has no t10k-labels-idx1-ubyte"), "{text}");
    let text = sentence(&dir.path().join("nowhere"));
    assert!(text.contains("nowhere"), "{text}");
}

#[test]
fn a_file_of_another_kind_is_told_by_what_it_is() {
    let name = "train-images-idx3-ubyte";
    expect_sentence(name, idx(LABELS, &[2], &[3, 9]), &["1 dimensions of unsigned bytes", "images"]);
    expect_sentence(name, b"<!DOCTYPE html>".to_vec(), &["3c 21 44 4f", "no IDX file"]);
    expect_sentence(name, vec![], &["0 bytes"]);
}

#[test]
fn a_length_that_contradicts_the_header_is_told() {
    let name = "train-images-idx3-ubyte";
    expect_sentence(name, idx(IMAGES, &[2, 8, 8], &[9; 127]), &["143 bytes", "144"]);
    expect_sentence(name, idx(IMAGES, &[2, 8, 8], &[9; 300]), &["316 bytes", "144"]);
    expect_sentence(name, idx(IMAGES, &[2], &[]), &["8 bytes", "16"]);
    expect_sentence(name, idx(IMAGES, &[u32::MAX; 3], &[9; 50]), &["66 bytes"]);
    let name = "t10k-images-idx3-ubyte.gz";
    expect_sentence(name, gzip(&idx(IMAGES, &[2, 8, 8], &[9; 127])), &["143 bytes", "144"]);
    expect_sentence(name, gzip(&idx(IMAGES, &[2, 8, 8], &[9; 300])), &["more than 144"]);
}

#[test]
fn a_packed_file_that_announces_far_more_than_it_can_hold_is_refused_before_it_is_unpacked() {
    let name = "t10k-images-idx3-ubyte.gz";
    let announced = idx(IMAGES, &[2_000_000, 28, 28], &vec![0; 40_000]);
    expect_sentence(name, gzip(&announced), &["announces 1495 MiB", "at most 256 MiB", "unpack it"]);
}

#[test]
fn a_damaged_or_cut_gz_is_told() {
    let name = "t10k-images-idx3-ubyte.gz";
    let whole = gzip(&idx(IMAGES, &[2, 8, 8], &[9; 128]));
    for len in [whole.len() - 1, whole.len() - 9, 20, 12] {
        expect_sentence(name, whole[..len].to_vec(), &["cannot be decompressed"]);
    }
}

#[test]
fn images_that_the_networks_cannot_take_are_told_with_their_shape() {
    let name = "train-images-idx3-ubyte";
    expect_sentence(name, idx(IMAGES, &[2, 3, 12], &[9; 72]), &["3x12", "from 4 to 1024"]);
    expect_sentence(name, idx(IMAGES, &[1, 4, 1025], &[9; 4100]), &["4x1025"]);
    // The test images have 8x8.
    expect_sentence(name, idx(IMAGES, &[2, 8, 12], &[9; 192]), &["8x12", "8x8"]);
}

#[test]
fn images_of_any_height_and_width_keep_their_rows() {
    let pixels: Vec<u8> = (0..100).collect();
    let dir = set(&[
        ("train-images-idx3-ubyte", idx(IMAGES, &[2, 5, 10], &pixels)),
        ("t10k-images-idx3-ubyte.gz", gzip(&idx(IMAGES, &[2, 5, 10], &pixels))),
    ]);
    let source = open(dir.path()).expect("readable");
    assert_eq!(source.train.size(), Size { height: 5, width: 10 });
    assert_eq!(source.train.image(1), &pixels[50..]);
}

#[test]
fn labels_must_pair_with_images() {
    let name = "train-labels.idx1-ubyte";
    expect_sentence(name, idx(LABELS, &[3], &[1, 2, 3]), &["2 images", "3 labels"]);
}

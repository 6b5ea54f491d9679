//! Arrays made up here, right and wrong ones.

use super::super::npy::tests::{file, npz};
use super::super::{DataOptions, DatasetKind, Size};
use super::*;
use tempfile::{TempDir, tempdir};

fn floats(shape: &str, values: &[f32]) -> Vec<u8> {
    file("<f4", shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

fn integers(values: &[i64]) -> Vec<u8> {
    let body: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    file("<i8", &format!("({},)", values.len()), &body)
}

/// Two images of 4x8 in one channel: the first all of 10, the second all of 20.
fn two() -> Vec<u8> {
    file("|u1", "(2, 4, 8)", &[[10; 32], [20; 32]].concat())
}

fn folder_of(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempdir().expect("scratch folder");
    for (name, bytes) in files {
        fs::write(dir.path().join(format!("{name}.npy")), bytes).expect("written");
    }
    dir
}

#[track_caller]
fn refused(files: &[(&str, Vec<u8>)], parts: &[&str]) {
    let dir = folder_of(files);
    let text = open(dir.path(), None).err().expect("the arrays are wrong").to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[test]
fn a_folder_of_two_arrays_is_a_set_for_testing() {
    for (x, y) in [("x_test", "y_test"), ("test_images", "test_labels"), ("images", "labels"), ("x", "y")] {
        let dir = folder_of(&[(x, two()), (y, integers(&[1, 0])), ("other", integers(&[1]))]);
        let source = open(dir.path(), None).expect("readable");
        assert_eq!((source.train.len(), source.test.labels()), (0, &[1, 0][..]), "{x}");
        assert_eq!((source.test.size(), source.test.channels()), (Size { height: 4, width: 8 }, 1));
        assert_eq!((source.test.image(1)[0], source.class_names), (20, vec!["0".to_owned(), "1".to_owned()]));
        assert!(source.validation.is_none());
        assert!(source.name.ends_with(SUFFIX), "{}", source.name);
    }
}

#[test]
fn an_archive_has_all_parts_and_trains() {
    let entries = [
        ("x_train", file("|u1", "(3, 1, 4, 8)", &[1; 96])),
        ("y_train", file("|u1", "(3, 1)", &[0, 2, 2])),
        ("x_val", two()),
        ("y_val", integers(&[1, 0])),
        ("x_test", two()),
        ("y_test", integers(&[0, 1])),
    ];
    for packed in [false, true] {
        let dir = tempdir().expect("scratch folder");
        let path = dir.path().join("mine.npz");
        fs::write(&path, npz(&entries, packed)).expect("written");
        let options = DataOptions { kind: DatasetKind::Npy, dir: Some(path), ..DataOptions::default() };
        let data = super::super::open(&options).expect("readable");
        assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [3, 2, 2]);
        assert_eq!((data.train.labels(), data.classes, data.notes.len()), (&[0, 2, 2][..], 3, 0));
        assert_eq!(data.check_training().map_err(|error| error.to_string()), Ok(()));
        assert_eq!(DatasetKind::of_data_set(&data.name), DatasetKind::Npy);
    }
}

#[test]
fn pixels_of_either_order_and_kind_become_the_same_images() {
    // Pixel p of channel c is 10p + c.
    let last: Vec<u8> = (0..48).map(|i| 10 * (i / 3) as u8 + (i % 3) as u8).collect();
    let first: Vec<u8> = (0..48).map(|i| 10 * (i % 16) as u8 + (i / 16) as u8).collect();
    let unit = |bytes: &[u8]| bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect::<Vec<f32>>();
    let doubles: Vec<u8> = first.iter().flat_map(|&byte| (f64::from(byte) / 255.0).to_le_bytes()).collect();
    let forms = [
        file("|u1", "(1, 4, 4, 3)", &last),
        file("|u1", "(1, 3, 4, 4)", &first),
        floats("(1, 4, 4, 3)", &unit(&last)),
        floats("(1, 3, 4, 4)", &unit(&first)),
        file("<f8", "(1, 3, 4, 4)", &doubles),
    ];
    for form in forms {
        let dir = folder_of(&[("x_test", form), ("y_test", integers(&[1]))]);
        let images = open(dir.path(), None).expect("readable").test;
        assert_eq!((images.image(0), images.channels()), (&last[..], 3));
    }
    let mut fine = unit(&last);
    fine[5] = 0.123_456_79;
    let dir = folder_of(&[("x_test", floats("(1, 4, 4, 3)", &fine)), ("y_test", integers(&[1]))]);
    let kept = open(dir.path(), None).expect("readable").test;
    assert_eq!(kept.to_unit(0..1), fine, "real numbers are not rounded");
}

#[test]
fn pixels_of_another_range_are_refused_with_what_they_are() {
    let with = |value: f32| {
        let mut values = vec![0.5; 64];
        values[40] = value;
        [("x_test", floats("(2, 4, 8)", &values)), ("y_test", integers(&[0, 1]))]
    };
    refused(&with(f32::NAN), &["x_test.npy", "image 1 has NaN", "[0, 1]"]);
    refused(&with(f32::INFINITY), &["image 1 has inf"]);
    refused(&with(200.0), &["image 1 has 200", "from 0.5 to 200", "uint8", "divided by 255"]);
    for rounded in [1.000_001, -1e-7] {
        refused(&with(rounded), &["clip the numbers to [0, 1]"]);
    }
    refused(&with(-2.1), &["image 1 has -2.1", "normalised", "`mean`"]);
    refused(&with(1e9), &["image 1 has 1000000000"]);
    let deep = file("<i4", "(1, 4, 4)", &[0; 64]);
    refused(&[("x", deep), ("y", integers(&[1]))], &["x.npy", "uint8"]);
}

#[test]
fn shapes_and_labels_that_do_not_fit_are_refused_by_name() {
    let labels = || ("y_test", integers(&[0, 1]));
    refused(&[("x_test", two())], &["x_test.npy is there, but not its labels", "add y_test.npy"]);
    refused(&[("test_labels", integers(&[1]))], &["test_labels.npy", "add test_images.npy"]);
    refused(&[("x_test", two()), ("images", two()), labels()], &["x_test.npy", "images.npy", "same part"]);
    refused(&[("a", two())], &["found: a", "x_test and y_test"]);
    refused(&[("x_test", two()), ("y_test", integers(&[0, 1, 1]))], &["[2, 4, 8]", "3 labels"]);
    refused(&[("x_test", file("|u1", "(2, 784)", &[0; 1568])), labels()], &["[2, 784]", "[n, height, width"]);
    refused(&[("x_test", two()), ("y_test", floats("(2,)", &[0.0, 1.0]))], &["y_test.npy", "int64"]);
    refused(&[("x_test", two()), ("y_test", file("|u1", "(2, 10)", &[0; 20]))], &["[2, 10]", "argmax"]);
    refused(&[("x_test", two()), ("y_test", integers(&[0, -1]))], &["label of image 1 is -1", "0 to 999"]);
    refused(&[("x_test", two()), ("y_test", integers(&[1000, 0]))], &["label of image 0 is 1000"]);
    refused(&[("x_test", two()), ("y_test", integers(&[0, 0]))], &["1 classes"]);
    let other = file("|u1", "(2, 8, 4)", &[0; 64]);
    let train = [("x_train", other), ("y_train", integers(&[0, 1]))];
    refused(&[&train[..], &[("x_test", two()), labels()]].concat(), &["8x4x1", "4x8x1", "one size"]);
    refused(&[("x_test", b"\x93NUMPY\x01\0".to_vec()), labels()], &["x_test.npy", "numpy.save"]);
}

#[test]
fn classes_are_the_models_or_as_many_as_the_labels_need() {
    let dir = folder_of(&[("x", two()), ("y", integers(&[3, 1]))]);
    let own = open(dir.path(), None).expect("readable");
    assert_eq!((own.class_names.len(), own.notes.len()), (4, 1));
    assert!(own.notes[0].contains("no image has the label 0, 2"), "{:?}", own.notes);
    let names = |count: usize| (0..count).map(|i| format!("class {i}")).collect::<Vec<_>>();
    let of_model = open(dir.path(), Some(names(10))).expect("readable");
    assert_eq!((of_model.class_names, of_model.notes.len()), (names(10), 0));
    let text = open(dir.path(), Some(names(3))).err().expect("too few").to_string();
    assert!(text.contains("labels up to 3") && text.contains("3 classes"), "{text}");
}

#[test]
fn a_file_that_is_no_archive_and_a_path_that_is_not_there_are_told() {
    let dir = folder_of(&[("x_test", two())]);
    let text = open(&dir.path().join("x_test.npy"), None).err().expect("one array").to_string();
    assert!(text.contains("x_test.npy is no .npz file"), "{text}");
    let text = open(&dir.path().join("nowhere"), None).err().expect("none").to_string();
    assert!(text.contains("nowhere"), "{text}");
    fs::write(dir.path().join("bad.npz"), b"PK\x03\x04").expect("written");
    let text = open(&dir.path().join("bad.npz"), None).err().expect("cut").to_string();
    assert!(text.contains("bad.npz") && text.contains("numpy.savez"), "{text}");
}

//! CIFAR files made up here, right and wrong ones, read from folders and archives.

use super::*;
use crate::random::{Random, Stream};
use flate2::{Compression, write::GzEncoder};
use tempfile::{TempDir, tempdir};

/// `count` records of CIFAR-10 with labels 0, 1, 2, … and planes filled with 10, 20, 30.
fn records(count: usize, label_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for i in 0..count {
        bytes.resize(bytes.len() + label_bytes - 1, 0);
        bytes.push((i % 10) as u8);
        for plane in [10, 20, 30] {
            bytes.resize(bytes.len() + PLANE, plane);
        }
    }
    bytes
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempdir().expect("scratch folder");
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("created");
        fs::write(path, bytes).expect("written");
    }
    dir
}

fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes.as_slice()).expect("appended");
    }
    builder.into_inner().and_then(GzEncoder::finish).expect("packed")
}

fn sentence(dir: &Path, edition: &Edition) -> String {
    open(dir, edition).err().expect("the files are wrong").to_string()
}

#[test]
fn planes_become_pixels_and_training_files_follow_each_other_by_number() {
    let mut second = records(1, 1);
    second[0] = 7;
    let dir = folder(&[
        ("data_batch_10.bin", second),
        ("data_batch_2.bin", records(3, 1)),
        ("test_batch.bin", records(2, 1)),
    ]);
    let source = open(dir.path(), &CIFAR10).expect("readable");
    assert_eq!(source.train.labels(), [0, 1, 2, 7]);
    assert_eq!(source.test.len(), 2);
    assert_eq!(source.train.image(3)[..6], [10, 20, 30, 10, 20, 30]);
    assert_eq!(source.class_names[9], "truck");
}

#[test]
fn the_fine_label_of_cifar100_is_the_class() {
    let mut one = records(1, 2);
    (one[0], one[1]) = (19, 99);
    let dir = folder(&[("cifar-100-binary/train.bin", one), ("cifar-100-binary/test.bin", records(1, 2))]);
    let source = open(dir.path(), &CIFAR100).expect("found below its parent");
    assert_eq!(source.train.labels(), [99]);
    // Without the file of names they are the official ones all the same.
    assert_eq!(source.class_names[99], "worm");
}

#[test]
fn the_archive_is_read_in_place_by_its_own_name_or_through_its_folder() {
    let packed = archive(&[
        ("cifar-10-batches-bin/data_batch_2.bin", records(2, 1)),
        ("cifar-10-batches-bin/readme.html", vec![0; 9]),
        ("cifar-10-batches-bin/test_batch.bin", records(1, 1)),
        ("cifar-10-batches-bin/data_batch_1.bin", records(1, 1)),
    ]);
    let dir = folder(&[("cifar-10-binary.tar.gz", packed)]);
    for path in [dir.path().to_path_buf(), dir.path().join("cifar-10-binary.tar.gz")] {
        let source = open(&path, &CIFAR10).expect("readable");
        assert_eq!(source.train.labels(), [0, 0, 1]);
    }
}

#[test]
fn a_cut_or_damaged_archive_is_named() {
    // Noise, so that the packed file is as long as its content.
    let noise = Random::new(0, Stream::Attack);
    let noise =
        (0..50 * 3073u32).map(|i| if i % 3073 == 0 { 0 } else { noise.bits(0, i)[0] as u8 }).collect();
    let packed = archive(&[("test_batch.bin", records(1, 1)), ("data_batch_1.bin", noise)]);
    let mut flipped = packed.clone();
    flipped[packed.len() / 2] ^= 1;
    let cut = |len: usize| packed[..len].to_vec();
    let wrong = [vec![7; 900], vec![], flipped, cut(20), cut(packed.len() / 2), cut(packed.len() - 4)];
    for (case, bytes) in wrong.into_iter().enumerate() {
        let dir = folder(&[("cifar-10-binary.tar.gz", bytes)]);
        let text = sentence(dir.path(), &CIFAR10);
        let problem = if case == 1 { "has 0 bytes" } else { "cannot be decompressed" };
        assert!(text.contains(&format!("cifar-10-binary.tar.gz {problem}")), "case {case}: {text}");
    }
}

#[test]
fn an_archive_that_unpacks_to_far_more_than_the_official_one_is_refused() {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    let mut header = tar::Header::new_gnu();
    header.set_size(100_000 * 3073);
    header.set_path("data_batch_1.bin").expect("short");
    header.set_cksum();
    std::io::Write::write_all(&mut packer, header.as_bytes()).expect("packed");
    for _ in 0..300 {
        std::io::Write::write_all(&mut packer, &vec![0; 1 << 20]).expect("packed");
    }
    let dir = folder(&[("cifar-10-binary.tar.gz", packer.finish().expect("packed"))]);
    let text = sentence(dir.path(), &CIFAR10);
    assert!(text.contains("cifar-10-binary.tar.gz") && text.contains("256 MiB"), "{text}");
}

#[test]
fn a_missing_folder_or_file_is_named_with_what_was_looked_for() {
    let empty = folder(&[]);
    let text = sentence(&empty.path().join("nowhere"), &CIFAR10);
    assert!(text.contains("nowhere") && text.contains("check the path"), "{text}");
    let text = sentence(empty.path(), &CIFAR10);
    for name in ["test_batch.bin", "cifar-10-batches-bin/test_batch.bin", "cifar-10-binary.tar.gz"] {
        assert!(text.contains(name), "{text}");
    }
    let no_train = folder(&[("test_batch.bin", records(1, 1))]);
    let text = sentence(no_train.path(), &CIFAR10);
    assert!(text.contains("has no data_batch_*.bin"), "{text}");
}

#[test]
fn a_file_that_is_not_a_whole_number_of_records_is_named_with_its_size() {
    for bytes in [vec![], records(2, 1)[..6000].to_vec()] {
        let size = bytes.len().to_string();
        let dir = folder(&[("data_batch_1.bin", bytes), ("test_batch.bin", records(1, 1))]);
        let text = sentence(dir.path(), &CIFAR10);
        assert!(text.contains("data_batch_1.bin has ") && text.contains(&size), "{text}");
        assert!(text.contains("3073"), "{text}");
    }
}

#[test]
fn a_label_out_of_range_is_named_with_its_image() {
    let mut wrong = records(3, 1);
    wrong[2 * 3073] = 10;
    let dir = folder(&[("data_batch_1.bin", records(1, 1)), ("test_batch.bin", wrong)]);
    let text = sentence(dir.path(), &CIFAR10);
    assert!(text.contains("test_batch.bin: image 2 has label 10"), "{text}");
}

#[test]
fn a_wrong_number_of_class_names_is_refused() {
    let dir = folder(&[
        ("data_batch_1.bin", records(1, 1)),
        ("test_batch.bin", records(1, 1)),
        ("batches.meta.txt", b"cat\ndog\n\n".to_vec()),
    ]);
    let text = sentence(dir.path(), &CIFAR10);
    assert!(text.contains("batches.meta.txt has 2 class names instead of 10"), "{text}");
}

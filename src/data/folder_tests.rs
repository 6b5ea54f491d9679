//! Small image folders made up here, right and wrong ones.

use super::*;
use image::{GrayImage, Luma, Rgb, RgbImage};
use tempfile::{TempDir, tempdir};

fn scratch() -> TempDir {
    tempdir().expect("scratch folder")
}

/// Saves an image of one colour at `path` below `dir`.
fn paint(dir: &Path, path: &str, size: (u32, u32), colour: [u8; 3]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().expect("has a parent")).expect("created");
    RgbImage::from_pixel(size.0, size.1, Rgb(colour)).save(path).expect("saved");
}

fn sentence(dir: &Path) -> String {
    open(dir, 8, 0).err().expect("the folder is wrong").to_string()
}

#[test]
fn train_and_test_folders_are_kept_apart_and_images_resized() {
    let dir = scratch();
    paint(dir.path(), "train/dog/a.png", (20, 10), [200, 100, 0]);
    paint(dir.path(), "train/cat/b.PNG", (8, 8), [1, 2, 3]);
    paint(dir.path(), "train/cat/c.png", (3, 5), [4, 5, 6]);
    paint(dir.path(), "test/dog/d.png", (8, 8), [7, 8, 9]);
    fs::write(dir.path().join("train/dog/notes.txt"), "not an image").expect("written");
    let source = open(dir.path(), 8, 0).expect("readable");
    assert_eq!(source.class_names, ["cat", "dog"]);
    assert_eq!((source.train.labels(), source.test.labels()), (&[0, 0, 1][..], &[1][..]));
    assert_eq!((source.train.side(), source.train.channels()), (8, 3));
    assert!(source.train.image(2).chunks(3).all(|pixel| pixel == [200, 100, 0]));
}

#[test]
fn a_wide_image_is_cut_to_its_middle_rather_than_squeezed() {
    let dir = scratch();
    paint(dir.path(), "a/x.png", (8, 8), [0; 3]);
    paint(dir.path(), "b/x.png", (8, 8), [0; 3]);
    // 24x8: black, white, black; only the white middle third is left.
    let wide = GrayImage::from_fn(24, 8, |x, _| Luma([if (8..16).contains(&x) { 255 } else { 0 }]));
    wide.save(dir.path().join("b/wide.png")).expect("saved");
    let files = image_files(dir.path(), &["b".into()], &["a".into(), "b".into()]).expect("listed");
    let images = decode_all(files.iter(), 8).expect("decoded");
    assert!(images[0].iter().all(|&byte| byte == 255));
}

#[test]
fn without_a_test_folder_a_stratified_fifth_is_held_out_by_seed() {
    let dir = scratch();
    for class in ["a", "b"] {
        for i in 0..20 {
            paint(dir.path(), &format!("{class}/{i}.png"), (8, 8), [i; 3]);
        }
    }
    let first = open(dir.path(), 8, 1).expect("readable");
    assert_eq!((first.train.len(), first.test.len()), (32, 8));
    assert_eq!(first.test.labels().iter().filter(|&&label| label == 1).count(), 4);
    assert_eq!(first.test, open(dir.path(), 8, 1).expect("readable").test);
    assert_ne!(first.test, open(dir.path(), 8, 2).expect("readable").test);
}

#[test]
fn a_set_has_one_channel_only_if_every_image_is_grey() {
    let dir = scratch();
    paint(dir.path(), "train/a/x.png", (8, 8), [9, 9, 9]);
    paint(dir.path(), "train/b/x.png", (8, 8), [7, 7, 7]);
    paint(dir.path(), "test/a/x.png", (8, 8), [5, 5, 5]);
    let grey = open(dir.path(), 8, 0).expect("readable");
    assert_eq!((grey.train.channels(), grey.test.channels()), (1, 1));
    assert!(grey.train.image(1).iter().all(|&byte| byte == 7));
    paint(dir.path(), "test/b/x.png", (8, 8), [5, 5, 6]);
    let mixed = open(dir.path(), 8, 0).expect("readable");
    assert_eq!((mixed.train.channels(), mixed.test.channels()), (3, 3));
}

#[test]
fn jpeg_is_read_too_and_the_content_decides_the_format_rather_than_the_ending() {
    let dir = scratch();
    paint(dir.path(), "a/y.jpg", (16, 16), [50, 60, 70]);
    paint(dir.path(), "a/x.png", (8, 8), [9, 9, 9]);
    paint(dir.path(), "b/x.png", (8, 8), [7, 7, 7]);
    fs::rename(dir.path().join("b/x.png"), dir.path().join("b/x.jpeg")).expect("renamed");
    let source = open(dir.path(), 8, 0).expect("readable");
    assert_eq!((source.train.len() + source.test.len(), source.train.channels()), (3, 3));
}

#[test]
fn too_few_classes_and_empty_ones_are_told() {
    let dir = scratch();
    assert!(sentence(dir.path()).contains("has 0 class folders"));
    paint(dir.path(), "a/x.png", (8, 8), [9, 9, 9]);
    let text = sentence(dir.path());
    assert!(text.contains("has 1 class folders") && text.contains("--data"), "{text}");
    fs::create_dir(dir.path().join("b")).expect("created");
    let text = sentence(dir.path());
    assert!(text.contains(&dir.path().join("b").display().to_string()), "{text}");
    assert!(text.contains(".jpeg"), "{text}");
}

#[test]
fn a_missing_folder_or_part_is_told() {
    let dir = scratch();
    assert!(sentence(&dir.path().join("nowhere")).contains("nowhere"));
    paint(dir.path(), "train/a/x.png", (8, 8), [9, 9, 9]);
    paint(dir.path(), "train/b/x.png", (8, 8), [9, 9, 9]);
    assert!(sentence(dir.path()).contains("no folder test"));
    paint(dir.path(), "test/c/x.png", (8, 8), [9, 9, 9]);
    assert!(sentence(dir.path()).contains("has the class c"));
}

#[test]
fn an_unreadable_image_is_named() {
    let dir = scratch();
    paint(dir.path(), "a/x.png", (8, 8), [9, 9, 9]);
    paint(dir.path(), "b/x.png", (8, 8), [9, 9, 9]);
    let whole = fs::read(dir.path().join("a/x.png")).expect("read");
    for bytes in [&b"hello"[..], &whole[..whole.len() / 2]] {
        fs::write(dir.path().join("b/broken.png"), bytes).expect("written");
        let text = sentence(dir.path());
        assert!(text.contains("broken.png cannot be decoded"), "{text}");
    }
}

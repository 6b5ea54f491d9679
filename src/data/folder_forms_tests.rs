//! Sizes, labels, class indices and parts of image folders made up here.

use super::super::{DataOptions, DatasetKind, Resize};
use super::tests::{FORM, paint, scratch, sentence, two_classes};
use super::*;
use image::{Rgb, RgbImage};

/// What is read with these options.
fn read(dir: &Path, options: &FolderOptions) -> Source {
    open(dir, options, None).expect("readable")
}

#[test]
fn images_are_resized_and_cropped_to_any_height_and_width() {
    let dir = scratch();
    // Red above, green below, and a blue column at the right.
    let paint = |x: u32, y: u32| match (x, y) {
        (30.., _) => Rgb([0, 0, 255]),
        (_, 0..10) => Rgb([255, 0, 0]),
        _ => Rgb([0, 255, 0]),
    };
    for class in ["a", "b"] {
        fs::create_dir(dir.path().join(class)).expect("created");
        RgbImage::from_fn(40, 20, paint).save(dir.path().join(class).join("x.png")).expect("saved");
    }
    let of = |resize: Option<Resize>, crop: Option<Size>| {
        let source = read(dir.path(), &FolderOptions { resize, crop, ..FolderOptions::default() });
        (source.train.size().to_string(), source.train.image(0).to_vec())
    };
    let (size, image) = of(None, Some(Size { height: 8, width: 30 }));
    assert_eq!(size, "8x30");
    let pixel = |image: &[u8], at: usize| [image[3 * at], image[3 * at + 1], image[3 * at + 2]];
    // Rows 6 to 13 and columns 5 to 34 of the image.
    assert_eq!(
        [pixel(&image, 0), pixel(&image, 24), pixel(&image, 25)],
        [[255, 0, 0], [255, 0, 0], [0, 0, 255]]
    );
    assert_eq!([pixel(&image, 3 * 30), pixel(&image, 4 * 30)], [[255, 0, 0], [0, 255, 0]]);
    let (size, image) = of(Some(Resize::To(Size { height: 10, width: 8 })), None);
    assert_eq!((size.as_str(), pixel(&image, 0), pixel(&image, 7)), ("10x8", [255, 0, 0], [0, 0, 255]));
    let (size, image) = of(Some(Resize::Shorter(10)), Some(Size { height: 10, width: 20 }));
    assert_eq!((size.as_str(), pixel(&image, 18)), ("10x20", [0, 0, 255]));
    let options = FolderOptions { crop: Some(Size::square(21)), ..FolderOptions::default() };
    let text = open(dir.path(), &options, None).err().expect("too small").to_string();
    assert!(text.contains("x.png has 20x40 pixels") && text.contains("21x21"), "{text}");
}

#[test]
fn labels_csv_stands_in_for_class_folders_in_any_part() {
    let dir = scratch();
    for (i, name) in
        ["train/1.png", "train/deep/2.png", "train/3.png", "test/10/x.png", "test/9/y.png"].iter().enumerate()
    {
        paint(dir.path(), name, (8, 8), [i as u8 + 1; 3]);
    }
    fs::write(dir.path().join("train/labels.csv"), "file,class\n3.png,10\n1.png,9\ndeep/2.png,10\n")
        .expect("written");
    let source = read(dir.path(), &FORM);
    assert_eq!((source.class_names.join(" "), source.train.labels()), ("9 10".to_owned(), &[1, 0, 1][..]));
    let firsts: Vec<u8> = (0..3).map(|i| source.train.image(i)[0]).collect();
    assert_eq!((firsts, source.test.labels()), (vec![3, 1, 2], &[1, 0][..]));
    assert_eq!(source.notes, Vec::<String>::new());
    let [all, few] = ["3.png,10\n./deep/2.png,10\n1.png,9\n", "1.png,9\n./deep/2.png,10\n"];
    for (lines, note) in [(all, None), (few, Some("skipped 1 of 5 files: 1 not named by labels.csv"))] {
        fs::write(dir.path().join("train/labels.csv"), format!("file,class\n{lines}")).expect("written");
        assert_eq!(read(dir.path(), &FORM).notes.first().map(String::as_str), note);
    }
    fs::write(dir.path().join("test/labels.csv"), "file,class\n10/x.png,11\n").expect("written");
    let text = sentence(dir.path());
    assert!(text.contains("labels.csv has the class 11, which the folder train"), "{text}");
    fs::write(dir.path().join("train/labels.csv"), "file,class\nnowhere.png,1\n1.png,2\n").expect("written");
    fs::write(dir.path().join("test/labels.csv"), "file,class\n10/x.png,1\n").expect("written");
    assert!(sentence(dir.path()).contains("nowhere.png"));
    fs::write(dir.path().join("train/labels.csv"), "file,class\n1.png,2\n").expect("written");
    assert!(sentence(dir.path()).contains("labels.csv has 1 classes"));
}

#[test]
fn a_class_index_says_which_folder_is_which_class() {
    let dir = two_classes();
    fs::write(dir.path().join("index.txt"), "n0 owl\nb bear\na ant, small\n").expect("written");
    let index = ClassIndex::read(&dir.path().join("index.txt")).expect("an index");
    let source = open(dir.path(), &FORM, Some(&index)).expect("readable");
    assert_eq!(source.class_names, ["owl", "bear", "ant, small"]);
    let mut labels = [source.train.labels(), source.test.labels()].concat();
    labels.sort_unstable();
    assert_eq!(labels, [1, 2]);
    assert!(source.notes.iter().any(|note| note.contains("1 of 3 classes: owl")), "{:?}", source.notes);
    paint(dir.path(), "c/x.png", (8, 8), [7; 3]);
    let refused = |lines: &str| {
        fs::write(dir.path().join("index.txt"), lines).expect("written");
        let index = ClassIndex::read(&dir.path().join("index.txt")).expect("an index");
        open(dir.path(), &FORM, Some(&index)).err().expect("a class without a place").to_string()
    };
    let text = refused("b bear\na ant\n");
    assert!(
        text.contains("has the class c, which the class index") && text.contains("index.txt lacks"),
        "{text}"
    );
    let text = refused("b bear\na ant\nn1 c\nn2 c\n");
    assert!(
        text.contains("has the class c, a name that") && text.contains("gives to several classes"),
        "{text}"
    );
}

#[test]
fn a_test_folder_alone_is_for_evaluation_and_training_on_it_is_refused() {
    let dir = scratch();
    for class in ["a", "b"] {
        paint(dir.path(), &format!("test/{class}/x.png"), (8, 8), [9; 3]);
    }
    let options = DataOptions {
        kind: DatasetKind::Folder,
        dir: Some(dir.path().to_path_buf()),
        folder: FORM,
        ..Default::default()
    };
    let data = super::super::open(&options).expect("readable");
    assert_eq!((data.train.len(), data.validation.len(), data.test.len()), (0, 0, 2));
    let text = data.check_training().expect_err("nothing to train on").to_string();
    assert!(text.contains("no images for the training split"), "{text}");
    // A class that is called test is a class.
    let dir = scratch();
    for class in ["test", "other"] {
        paint(dir.path(), &format!("{class}/x.png"), (8, 8), [9; 3]);
    }
    assert_eq!(read(dir.path(), &FORM).class_names, ["other", "test"]);
}

#[test]
fn channels_that_pictures_do_not_have_are_refused() {
    let dir = two_classes();
    let text =
        open(dir.path(), &FolderOptions { channels: Some(4), ..FORM }, None).err().expect("none").to_string();
    assert!(text.contains("4 channels") && text.contains("`dataset` npy"), "{text}");
}

#[test]
fn a_folder_that_is_called_as_another_data_set_is_not_taken_for_it() {
    for name in ["CIFAR-10", "MNIST", "mine (NumPy)"] {
        let dir = scratch();
        for class in ["a", "b"] {
            paint(dir.path(), &format!("{name}/test/{class}/x.png"), (8, 8), [9; 3]);
        }
        let found = read(&dir.path().join(name), &FORM).name;
        assert_eq!(found, format!("{name} (folder)"));
        assert_eq!(DatasetKind::of_data_set(&found), DatasetKind::Folder);
    }
}

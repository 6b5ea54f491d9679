//! Small image folders made up here, right and wrong ones.

use super::super::limits::MOST_DECODING;
use super::super::{DataOptions, DatasetKind, Resize};
use super::*;
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage};
use std::io::Cursor;
use tempfile::{TempDir, tempdir};

/// Eight by eight, channels as the images have them.
pub(super) const FORM: FolderOptions =
    FolderOptions { resize: Some(Resize::Shorter(8)), crop: None, size: None, channels: None };

pub(super) fn scratch() -> TempDir {
    tempdir().expect("scratch folder")
}

/// Saves an image of one colour at `path` below `dir`.
pub(super) fn paint(dir: &Path, path: &str, size: (u32, u32), colour: [u8; 3]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().expect("has a parent")).expect("created");
    RgbImage::from_pixel(size.0, size.1, Rgb(colour)).save(path).expect("saved");
}

/// Reads images of this side.
fn pictures(side: usize) -> Pictures {
    Pictures::new(Framing::new(Some(Resize::Shorter(side)), None, None).expect("possible"))
}

pub(super) fn sentence(dir: &Path) -> String {
    open(dir, &FORM, None).err().expect("the folder is wrong").to_string()
}

#[test]
fn train_and_test_folders_are_kept_apart_and_images_resized() {
    let dir = scratch();
    paint(dir.path(), "train/dog/a.png", (20, 10), [200, 100, 0]);
    paint(dir.path(), "train/cat/b.PNG", (8, 8), [1, 2, 3]);
    paint(dir.path(), "train/cat/c.png", (3, 5), [4, 5, 6]);
    paint(dir.path(), "test/dog/d.png", (8, 8), [7, 8, 9]);
    fs::write(dir.path().join("train/dog/notes.txt"), "not an image").expect("written");
    let source = open(dir.path(), &FORM, None).expect("readable");
    assert_eq!(source.class_names, ["cat", "dog"]);
    assert_eq!(
        source.notes,
        [
            "skipped 1 of 5 files: 1 of unsupported formats (.txt)",
            "test has no images of 1 of 2 classes: cat"
        ]
    );
    assert_eq!((source.train.labels(), source.test.labels()), (&[0, 0, 1][..], &[1][..]));
    assert_eq!((source.train.size(), source.train.channels()), (Size::square(8), 3));
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
    let images = pictures(8).read(&dir.path().join("b/wide.png")).expect("decoded");
    assert!(images.iter().all(|&byte| byte == 255));
}

#[test]
fn without_a_test_folder_a_stratified_fifth_is_held_out() {
    let dir = scratch();
    for class in ["a", "b"] {
        for i in 0..20 {
            paint(dir.path(), &format!("{class}/{i}.png"), (8, 8), [i; 3]);
        }
    }
    let first = open(dir.path(), &FORM, None).expect("readable");
    assert_eq!((first.train.len(), first.test.len()), (32, 8));
    assert!(first.notes[0].starts_with("8 of 40 images are held out for testing"), "{:?}", first.notes);
    assert_eq!(first.test.labels().iter().filter(|&&label| label == 1).count(), 4);
    // Whichever seed a run has: a model file does not tell it.
    let tested = |seed| {
        let dir = Some(dir.path().to_path_buf());
        let options =
            DataOptions { kind: DatasetKind::Folder, dir, seed, folder: FORM, ..Default::default() };
        super::super::open(&options).expect("readable").test
    };
    assert_eq!(tested(1), tested(2));
}

#[test]
fn a_set_has_one_channel_only_if_every_image_is_grey() {
    let dir = scratch();
    paint(dir.path(), "train/a/x.png", (8, 8), [9, 9, 9]);
    paint(dir.path(), "train/b/x.png", (8, 8), [7, 7, 7]);
    paint(dir.path(), "test/a/x.png", (8, 8), [5, 5, 5]);
    let grey = open(dir.path(), &FORM, None).expect("readable");
    assert_eq!((grey.train.channels(), grey.test.channels()), (1, 1));
    assert!(grey.train.image(1).iter().all(|&byte| byte == 7));
    paint(dir.path(), "test/b/x.png", (8, 8), [5, 5, 6]);
    let mixed = open(dir.path(), &FORM, None).expect("readable");
    assert_eq!((mixed.train.channels(), mixed.test.channels()), (3, 3));
}

#[test]
fn jpeg_is_read_too_and_the_content_decides_the_format_rather_than_the_ending() {
    let dir = scratch();
    paint(dir.path(), "a/y.jpg", (16, 16), [50, 60, 70]);
    paint(dir.path(), "a/x.png", (8, 8), [9, 9, 9]);
    paint(dir.path(), "b/x.png", (8, 8), [7, 7, 7]);
    fs::rename(dir.path().join("b/x.png"), dir.path().join("b/x.jpeg")).expect("renamed");
    let source = open(dir.path(), &FORM, None).expect("readable");
    assert_eq!((source.train.len() + source.test.len(), source.train.channels()), (3, 3));
}

#[test]
fn too_few_classes_and_empty_ones_are_told() {
    let dir = scratch();
    assert!(sentence(dir.path()).contains("has 0 class folders"));
    paint(dir.path(), "a/x.png", (8, 8), [9, 9, 9]);
    let text = sentence(dir.path());
    assert!(text.contains("has 1 class folders") && text.contains("`data`"), "{text}");
    fs::create_dir(dir.path().join("b")).expect("created");
    let text = sentence(dir.path());
    assert!(text.contains(&dir.path().join("b").display().to_string()), "{text}");
    assert!(text.contains(".jpeg") && text.contains(".webp"), "{text}");
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
    fs::write(dir.path().join("b/broken.png"), []).expect("written");
    assert!(sentence(dir.path()).contains("broken.png has 0 bytes"));
}

/// An image with something to see in it, as the bytes of a file.
fn picture(format: ImageFormat) -> Vec<u8> {
    let shade = |x: u32, y: u32| ((x * 37 + y * 91) % 256) as u8;
    let image = RgbImage::from_fn(64, 48, |x, y| Rgb([shade(x, y), shade(y, x), shade(x, x)]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(image).write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

/// A folder with an image of 8x8 in each of two classes.
pub(super) fn two_classes() -> TempDir {
    let dir = scratch();
    paint(dir.path(), "a/x.png", (8, 8), [9, 9, 9]);
    paint(dir.path(), "b/x.png", (8, 8), [7, 7, 7]);
    dir
}

const FORMATS: [(ImageFormat, &str); 6] = [
    (ImageFormat::Png, "png"),
    (ImageFormat::Jpeg, "jpg"),
    (ImageFormat::WebP, "webp"),
    (ImageFormat::Bmp, "bmp"),
    (ImageFormat::Gif, "gif"),
    (ImageFormat::Tiff, "tiff"),
];

#[test]
fn every_format_gives_the_same_picture() {
    let dir = scratch();
    let read = |format: ImageFormat, ending: &str| {
        let path = dir.path().join(format!("x.{ending}"));
        fs::write(&path, picture(format)).expect("written");
        pictures(8).read(&path).expect("decoded")
    };
    let exact = read(ImageFormat::Png, "png");
    for (format, ending) in FORMATS {
        // JPEG and GIF's palette lose a little.
        let most = if matches!(format, ImageFormat::Jpeg | ImageFormat::Gif) { 24 } else { 0 };
        for (a, b) in read(format, ending).into_iter().zip(&exact) {
            assert!(a.abs_diff(*b) <= most, "{ending}: {a} for {b}");
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_by_name_in_every_format() {
    let dir = two_classes();
    for (format, ending) in FORMATS {
        let whole = picture(format);
        let path = dir.path().join(format!("a/cut.{ending}"));
        for part in 1..=8 {
            fs::write(&path, &whole[..whole.len() * part / 9]).expect("written");
            let text = sentence(dir.path());
            assert!(text.contains(&format!("cut.{ending}")), "{part}/9 of {ending}: {text}");
        }
        fs::write(&path, &whole).expect("written");
        assert!(open(dir.path(), &FORM, None).is_ok(), "the whole {ending}");
        fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn an_image_with_sixteen_bits_is_converted_and_one_of_floating_point_numbers_refused() {
    let dir = two_classes();
    let deep = ImageBuffer::from_pixel(8, 8, Rgb([0x1234u16, 0x8080, 0xffff]));
    let path = dir.path().join("a/deep.tiff");
    DynamicImage::ImageRgb16(deep).save(&path).expect("saved");
    assert_eq!(pictures(8).read(&path).expect("decoded")[..3], [0x12, 0x80, 0xff]);
    let float = ImageBuffer::from_pixel(8, 8, Rgb([0.5f32, 7.0, -3.0]));
    DynamicImage::ImageRgb32F(float).save(&path).expect("saved");
    let text = sentence(dir.path());
    assert!(text.contains("deep.tiff has floating-point pixels"), "{text}");
}

/// A PNG file whose header claims a size that its data do not have.
fn claims(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = picture(ImageFormat::Png);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    bytes
}

#[test]
fn an_image_that_claims_more_pixels_than_memory_is_meant_for_is_refused_with_its_size() {
    let dir = two_classes();
    for (width, height) in [(2_000_000_000, 2_000_000_000), (30_000, 20_000), (1, 2_000_000_000)] {
        fs::write(dir.path().join("a/evil.png"), claims(width, height)).expect("written");
        let text = sentence(dir.path());
        let parts =
            ["evil.png".to_owned(), format!("{width}x{height}"), format!("{} MiB", MOST_DECODING >> 20)];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    // Claimed in other formats: the size of a bitmap, and of a frame of JPEG.
    let mut bitmap = picture(ImageFormat::Bmp);
    bitmap[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bitmap[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    let mut photo = picture(ImageFormat::Jpeg);
    let frame = photo.windows(2).position(|two| two == [0xff, 0xc0]).expect("has a frame");
    photo[frame + 5..frame + 9].fill(0xff);
    fs::remove_file(dir.path().join("a/evil.png")).expect("removed");
    // Data for so large a frame are not there, which shows first.
    for (name, bytes, reason) in
        [("a/evil.bmp", bitmap, "MiB"), ("a/evil.jpg", photo, "data end before its image does")]
    {
        fs::write(dir.path().join(name), bytes).expect("written");
        let text = sentence(dir.path());
        assert!(text.contains(name) && text.contains(reason), "{text}");
        fs::remove_file(dir.path().join(name)).expect("removed");
    }
}

#[test]
fn a_strip_of_one_pixels_width_is_resized_in_its_middle_alone() {
    let dir = scratch();
    let strip = GrayImage::from_fn(1, 100_000, |_, y| Luma([if y.abs_diff(50_000) < 2 { 200 } else { 0 }]));
    let path = dir.path().join("strip.png");
    strip.save(&path).expect("saved");
    assert!(pictures(8).read(&path).expect("decoded").into_iter().all(|byte| byte == 200));
}

#[test]
fn an_image_lying_on_its_side_is_turned_upright() {
    // Left half black, right half white, and an orientation that turns it clockwise: black is above then.
    let image = GrayImage::from_fn(24, 16, |x, _| Luma([if x < 12 { 0 } else { 255 }]));
    let mut plain = Cursor::new(Vec::new());
    image.write_to(&mut plain, ImageFormat::Jpeg).expect("encoded");
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let segment = [&[0xff, 0xe1][..], &(exif.len() as u16 + 2).to_be_bytes(), exif].concat();
    let bytes = [&plain.get_ref()[..2], &segment, &plain.get_ref()[2..]].concat();
    let dir = scratch();
    let path = dir.path().join("turned.jpg");
    fs::write(&path, bytes).expect("written");
    let pixels = pictures(16).read(&path).expect("decoded");
    assert!(pixels[..3 * 16].iter().all(|&byte| byte < 30), "the first row is black");
    assert!(pixels[3 * 16 * 15..].iter().all(|&byte| byte > 225), "the last row is white");
}

#[test]
fn validation_images_of_its_own_are_used_and_a_share_beside_them_refused() {
    let dir = scratch();
    for (path, shade) in
        [("train/a/x", 1), ("train/b/x", 2), ("val/a/x", 3), ("test/b/x", 4), ("test/b/y", 5)]
    {
        paint(dir.path(), &format!("{path}.png"), (8, 8), [shade; 3]);
    }
    let options = |validation_share| DataOptions {
        kind: DatasetKind::Folder,
        dir: Some(dir.path().to_path_buf()),
        validation_share,
        folder: FORM,
        ..Default::default()
    };
    let data = super::super::open(&options(None)).expect("readable");
    assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [2, 1, 2]);
    assert_eq!((data.validation.image(0)[0], data.test.image(1)[0], data.test.labels()), (3, 5, &[1, 1][..]));
    assert_eq!(data.notes.len(), 2, "{:?}", data.notes);
    let text = super::super::open(&options(Some(0.2))).expect_err("the share means nothing").to_string();
    assert!(text.contains("0.2") && text.contains("validation images of its own"), "{text}");
    paint(dir.path(), "valid/a/x.png", (8, 8), [3; 3]);
    let text = sentence(dir.path());
    assert!(text.contains("val and ") && text.contains("valid"), "{text}");
}

#[test]
fn every_file_that_is_not_read_is_counted_with_its_reason() {
    let dir = scratch();
    for part in ["train", "test"] {
        for class in ["a", "b"] {
            paint(dir.path(), &format!("{part}/{class}/x.png"), (8, 8), [9; 3]);
        }
    }
    for path in ["train/a/deep/1.png", "train/a/deep/er/2.png", "extra/3.png"] {
        paint(dir.path(), path, (8, 8), [9; 3]);
    }
    for name in
        ["train/a/1.svg", "test/b/2.HEIC", "train/b/Thumbs.db", "train/notes", "readme.md", "train/a/.hidden"]
    {
        fs::write(dir.path().join(name), "text").expect("written");
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", dir.path().join("train/b/link.png")).expect("linked");
    let source = open(dir.path(), &FORM, None).expect("readable");
    let links = if cfg!(unix) { ", 1 broken link" } else { "" };
    let counts = if cfg!(unix) { "8 of 12" } else { "7 of 11" };
    let expected = format!(
        "skipped {counts} files: 2 in nested folders, 3 of unsupported formats (.db, .heic, .svg), 2 outside of the class \
         folders{links}; skipped the folders beside train and test: extra"
    );
    assert_eq!(source.notes, [expected]);
}

#[test]
fn channels_that_are_asked_for_are_made_and_told() {
    let of = |colour: [u8; 3], channels| {
        let dir = two_classes();
        paint(dir.path(), "a/y.png", (8, 8), colour);
        let source = open(dir.path(), &FolderOptions { channels, ..FORM }, None).expect("readable");
        let mut images: Vec<Vec<u8>> =
            (0..source.train.len()).map(|i| source.train.image(i).to_vec()).collect();
        images.extend((0..source.test.len()).map(|i| source.test.image(i).to_vec()));
        let firsts: std::collections::BTreeSet<u8> = images.iter().map(|image| image[0]).collect();
        let about_channels = source.notes.into_iter().filter(|note| !note.contains("held out"));
        let notes = about_channels.collect::<Vec<_>>().join(" ");
        (source.train.channels(), firsts.into_iter().collect::<Vec<_>>(), notes)
    };
    let (channels, firsts, notes) = of([100, 200, 50], Some(1));
    assert_eq!((channels, firsts), (1, vec![7, 9, 167]));
    assert!(notes.contains("converted to grey"), "{notes}");
    let (channels, firsts, notes) = of([8, 8, 8], Some(3));
    assert_eq!((channels, firsts), (3, vec![7, 8, 9]));
    assert!(notes.contains("three equal channels"), "{notes}");
    assert_eq!(of([8, 8, 8], Some(1)), (1, vec![7, 8, 9], String::new()));
    assert_eq!(of([100, 200, 50], Some(3)), (3, vec![7, 9, 100], String::new()));
}

#[test]
#[cfg(not(target_os = "macos"))]
fn names_that_read_the_same_are_the_same_class_between_parts_and_refused_within_one() {
    let (composed, decomposed) = ("b\u{e4}r", "ba\u{308}r");
    let dir = scratch();
    for (part, class) in [("train", decomposed), ("train", "c"), ("test", composed)] {
        paint(dir.path(), &format!("{part}/{class}/x.png"), (8, 8), [9; 3]);
    }
    let source = open(dir.path(), &FORM, None).expect("readable");
    assert_eq!(
        (source.class_names, source.test.labels()),
        (vec![composed.to_owned(), "c".to_owned()], &[0][..])
    );
    paint(dir.path(), &format!("train/{composed}/x.png"), (8, 8), [9; 3]);
    assert!(sentence(dir.path()).contains("the same name in different Unicode forms"));
}

#[test]
#[cfg(unix)]
fn links_between_classes_and_in_circles_end() {
    use std::os::unix::fs::symlink;
    let dir = two_classes();
    // A circle within a class, one of links alone, and a class that is a link to elsewhere.
    symlink("..", dir.path().join("a/up")).expect("linked");
    symlink("self", dir.path().join("self")).expect("linked");
    let elsewhere = scratch();
    paint(elsewhere.path(), "x.png", (8, 8), [5; 3]);
    symlink(elsewhere.path(), dir.path().join("linked")).expect("linked");
    let source = open(dir.path(), &FORM, None).expect("readable");
    assert_eq!(source.class_names, ["a", "b", "linked"]);
    assert_eq!(source.notes[0], "skipped 2 of 5 files: 1 in nested folders, 1 broken link");
    symlink("a", dir.path().join("also-a")).expect("linked");
    let text = sentence(dir.path());
    assert!(text.contains("also-a") && text.contains("two labels"), "{text}");
}

#[test]
#[cfg(unix)]
fn what_is_no_image_file_and_names_that_are_no_text_are_told() {
    use std::os::unix::ffi::OsStrExt;
    let dir = two_classes();
    let pipe = dir.path().join("a/pipe.png");
    if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        let notes = open(dir.path(), &FORM, None).expect("the pipe is not waited for").notes;
        assert_eq!(notes[0], "skipped 1 of 3 files: 1 no regular files");
    }
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    if fs::create_dir(odd).is_ok() {
        assert!(sentence(dir.path()).contains("is no Unicode text"));
    }
}

#[test]
fn a_file_in_place_of_the_folder_and_far_too_many_classes_are_told() {
    let dir = scratch();
    fs::write(dir.path().join("file"), "text").expect("written");
    assert!(sentence(&dir.path().join("file")).contains("is a file, but"));
    for i in 0..1001 {
        fs::create_dir(dir.path().join(format!("{i}"))).expect("created");
    }
    assert!(sentence(dir.path()).contains("has 1001 class folders"));
}

#[test]
fn a_set_larger_than_what_is_kept_in_memory_is_refused_before_room_is_made() {
    let text = room(1_000_000, Size::square(1024), 3).expect_err("too large").to_string();
    assert!(text.contains("1000000 images of 1024x1024x3") && text.contains("at most 4096 MiB"), "{text}");
}

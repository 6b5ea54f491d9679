//! Folders of images among which one is hostile, or a file that is none.

use super::build::{fifo, png, sparse, zlib_bomb};
use super::{Case, Expected, Make};
use image::{DynamicImage, ImageFormat, RgbImage};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Cursor};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

const TRAIN: [&str; 13] = [
    "train",
    "--adapter",
    "cpu",
    "--max-steps",
    "1",
    "--dataset",
    "folder",
    "--resize",
    "8",
    "--data",
    "data",
    "--out",
    "new",
];

fn encoded(format: ImageFormat, side: u32) -> io::Result<Vec<u8>> {
    let image =
        RgbImage::from_fn(side, side, |x, y| image::Rgb([(x * 31) as u8, (y * 17) as u8, (x ^ y) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut bytes, format).map_err(io::Error::other)?;
    Ok(bytes.into_inner())
}

/// Two classes of ten good images each.
fn good(folder: &Path) -> io::Result<()> {
    let bytes = encoded(ImageFormat::Png, 8)?;
    for class in ["cat", "dog"] {
        fs::create_dir_all(folder.join("data").join(class))?;
        for i in 0..10 {
            fs::write(folder.join("data").join(class).join(format!("{i}.png")), &bytes)?;
        }
    }
    Ok(())
}

/// The good images and a hostile one among the cats.
fn among(name: &str, make: Make) -> impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static {
    let name = name.to_string();
    move |folder| {
        good(folder)?;
        make(&folder.join("data/cat").join(&name))
    }
}

fn pngs() -> Vec<(&'static str, Make)> {
    vec![
        ("of-a-billion-pixels", |path| {
            fs::write(path, png(31_623, 31_623, 8, 2, &[(b"IDAT", &[0x78, 0x9c, 3, 0])]))
        }),
        ("of-2^31-1-columns", |path| {
            fs::write(path, png(i32::MAX as u32, 1, 8, 2, &[(b"IDAT", &[0x78, 0x9c, 3, 0])]))
        }),
        ("of-2^31-1-rows", |path| {
            fs::write(path, png(1, i32::MAX as u32, 16, 6, &[(b"IDAT", &[0x78, 0x9c, 3, 0])]))
        }),
        ("of-2^32-1-columns", |path| fs::write(path, png(u32::MAX, u32::MAX, 8, 2, &[]))),
        ("bomb", |path| fs::write(path, png(20_000, 20_000, 8, 2, &[(b"IDAT", &zlib_bomb(1200)?)]))),
        ("bomb-of-bits", |path| fs::write(path, png(65_000, 65_000, 1, 0, &[(b"IDAT", &zlib_bomb(520)?)]))),
        ("bomb-behind-a-small-image", |path| {
            fs::write(path, png(8, 8, 8, 2, &[(b"IDAT", &zlib_bomb(2000)?)]))
        }),
        ("bomb-of-a-profile", |path| {
            let profile = [b"x\0\0".as_slice(), &zlib_bomb(2000)?].concat();
            fs::write(path, png(8, 8, 8, 2, &[(b"iCCP", &profile)]))
        }),
        ("bomb-of-text", |path| {
            let text = [b"x\0\0".as_slice(), &zlib_bomb(2000)?].concat();
            fs::write(path, png(8, 8, 8, 2, &[(b"zTXt", &text)]))
        }),
        ("of-no-pixels", |path| fs::write(path, png(0, 0, 8, 2, &[(b"IDAT", &[])]))),
        ("of-depth-3", |path| fs::write(path, png(8, 8, 3, 2, &[(b"IDAT", &[])]))),
        ("without-data", |path| fs::write(path, png(8, 8, 8, 2, &[]))),
        ("with-a-palette-of-none", |path| fs::write(path, png(8, 8, 8, 3, &[(b"IDAT", &zlib_bomb(1)?)]))),
    ]
}

/// The beginning of a file of each format that is no longer than its header, or claims to be huge.
fn headers() -> Vec<(&'static str, &'static str, Make)> {
    vec![
        ("gif-of-2^32-pixels", "x.gif", |path| {
            fs::write(path, b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02")
        }),
        ("bmp-of-2^31-1-columns", "x.bmp", |path| {
            let head = [
                &b"BM"[..],
                &[54, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0],
                &[255, 255, 255, 127],
                &[255, 255, 255, 127],
                &[1, 0, 24, 0],
                &[0; 24],
            ];
            fs::write(path, head.concat())
        }),
        ("webp-cut", "x.webp", |path| {
            fs::write(path, b"RIFF\xff\xff\xff\x7fWEBPVP8L\xff\xff\xff\x7f\x2f\xff\xff\xff\xff")
        }),
        ("tiff-with-a-loop", "x.tiff", |path| fs::write(path, b"II*\0\x08\0\0\0\0\0\x08\0\0\0")),
        ("jpeg-of-2^32-pixels", "x.jpg", |path| {
            fs::write(path, b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\0\x03\x11\0\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\x3f\0")
        }),
        ("jpeg-as-gif", "x.gif", |path| fs::write(path, encoded(ImageFormat::Jpeg, 16)?)),
        ("text-as-png", "x.png", |path| fs::write(path, "no image")),
        ("nothing-as-png", "x.png", |path| fs::write(path, "")),
        ("sparse-gigabytes-as-png", "x.png", |path| sparse(path, b"\x89PNG\r\n\x1a\n", 3 << 30)),
        ("sparse-gigabytes-as-jpeg", "x.jpg", |path| sparse(path, b"\xff\xd8\xff\xe0", 3 << 30)),
        ("pipe-as-png", "x.png", fifo),
        ("folder-as-png", "x.png", |path| fs::create_dir(path)),
        ("link-to-itself", "x.png", |path| symlink("x.png", path)),
        ("link-to-nothing", "x.png", |path| symlink("nowhere.png", path)),
        ("link-to-a-device", "x.png", |path| symlink("/dev/zero", path)),
    ]
}

/// Images that were whole, cut and scratched.
fn damaged() -> Vec<(&'static str, &'static str, Make)> {
    vec![
        ("png-cut", "x.png", |path| {
            let whole = encoded(ImageFormat::Png, 64)?;
            fs::write(path, &whole[..whole.len() / 2])
        }),
        ("png-without-its-end", "x.png", |path| {
            let whole = encoded(ImageFormat::Png, 64)?;
            fs::write(path, &whole[..whole.len() - 20])
        }),
        ("png-scratched", "x.png", |path| {
            let mut whole = encoded(ImageFormat::Png, 64)?;
            let middle = whole.len() / 2;
            whole[middle] ^= 0x10;
            fs::write(path, whole)
        }),
        ("jpeg-cut", "x.jpg", |path| {
            let whole = encoded(ImageFormat::Jpeg, 64)?;
            fs::write(path, &whole[..whole.len() / 2])
        }),
        ("jpeg-cut-in-its-header", "x.jpg", |path| {
            let whole = encoded(ImageFormat::Jpeg, 64)?;
            fs::write(path, &whole[..30])
        }),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = pngs()
        .into_iter()
        .map(|(name, make)| Case::new(format!("png-{name}"), &TRAIN, "x.png", among("x.png", make)))
        .collect();
    for (name, file, make) in headers().into_iter().chain(damaged()) {
        all.push(Case::new(name, &TRAIN, file, among(file, make)));
    }
    // What is no image is left out, and one line counts it; what an image is, its content says and not its ending.
    let left_out: [(&str, Expected); 6] = [
        ("jpeg-as-gif", Expected::Taken),
        ("pipe-as-png", Expected::Said(&["skipped 1 of 21 files: 1 no regular files"])),
        ("folder-as-png", Expected::Said(&["skipped 1 of 21 files: 1 no regular files"])),
        ("link-to-a-device", Expected::Said(&["skipped 1 of 21 files: 1 no regular files"])),
        ("link-to-itself", Expected::Said(&["skipped 1 of 21 files: 1 broken link"])),
        ("link-to-nothing", Expected::Said(&["skipped 1 of 21 files: 1 broken link"])),
    ];
    for case in &mut all {
        if let Some((_, expected)) = left_out.iter().find(|(name, _)| case.name == *name) {
            case.expected = *expected;
        }
    }
    // What a small image carries beside its pixels does not make them wrong.
    for case in &mut all {
        if ["of-text", "of-a-profile", "behind-a-small-image"].iter().any(|end| case.name.ends_with(end)) {
            case.expected = Expected::Either;
        }
    }
    let circle = Case::new("links-in-a-circle", &TRAIN, "data", |folder| {
        good(folder)?;
        symlink("..", folder.join("data/cat/up"))
    });
    all.push(circle.expecting(Expected::Said(&["skipped 1 of 21 files: 1 in nested folders"])));
    all.push(Case::new("a-class-that-is-a-link-to-its-parent", &TRAIN, "data", |folder| {
        good(folder)?;
        symlink(".", folder.join("data/around"))
    }));
    let odd = |folder: &Path| {
        good(folder)?;
        let name = OsStr::from_bytes(b"odd\xff.png");
        fs::copy(folder.join("data/cat/0.png"), folder.join("data/cat").join(name)).map(drop)
    };
    all.push(Case::new("a-name-that-is-no-text", &TRAIN, "odd", odd).expecting(Expected::Either));
    let odd_class = |folder: &Path| {
        good(folder)?;
        fs::rename(folder.join("data/cat"), folder.join("data").join(OsStr::from_bytes(b"odd\xff")))
    };
    all.push(Case::new("a-class-that-is-no-text", &TRAIN, "odd", odd_class).expecting(Expected::Either));
    all.push(Case::new("2000-classes", &TRAIN, "data", |folder| {
        good(folder)?;
        (0..2000).try_for_each(|i| fs::create_dir(folder.join(format!("data/class{i}"))))
    }));
    let texts = Case::new("100000-files", &TRAIN, "data", |folder| {
        good(folder)?;
        (0..100_000).try_for_each(|i| fs::write(folder.join(format!("data/cat/{i}.txt")), b""))
    });
    let said = "skipped 100000 of 100020 files: 100000 of unsupported formats (.txt)";
    all.push(texts.expecting(Expected::Said(Box::leak(Box::new([said])))));
    all.push(Case::new("the-folder-is-a-pipe", &TRAIN, "data", |folder| fifo(&folder.join("data"))));
    all
}

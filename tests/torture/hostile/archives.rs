//! IDX files and CIFAR archives: bombs, lies about lengths, and entries without number.

use super::build::{BLOCK, gzip, gzip_bomb, idx, repeated, sparse, tar_header};
use super::{Case, Make};
use std::fs;
use std::io;
use std::path::Path;

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
/// A packed bomb of 6 MB.
const BOMB: u64 = 6 << 10;
const CIFAR: &str = "cifar-10-binary.tar.gz";
const MNIST: [&str; 11] =
    ["train", "--adapter", "cpu", "--max-steps", "1", "--dataset", "mnist", "--data", "data", "--out", "new"];
const FROM_CIFAR: [&str; 11] = [
    "train",
    "--adapter",
    "cpu",
    "--max-steps",
    "1",
    "--dataset",
    "cifar10",
    "--data",
    "data",
    "--out",
    "new",
];

/// Three good IDX files and a hostile one; `name` is that of the images or labels of the training part.
fn set(folder: &Path, name: &str, make: Make) -> io::Result<()> {
    let data = folder.join("data");
    fs::create_dir(&data)?;
    for part in ["train", "t10k"] {
        fs::write(data.join(format!("{part}-images-idx3-ubyte")), idx(IMAGES, &[20, 8, 8], &[7; 20 * 64]))?;
        let labels: Vec<u8> = (0..20).map(|i| i % 10).collect();
        fs::write(data.join(format!("{part}-labels-idx1-ubyte")), idx(LABELS, &[20], &labels))?;
    }
    let plain = data.join(name.trim_end_matches(".gz"));
    fs::remove_file(plain)?;
    make(&data.join(name))
}

fn archive(folder: &Path, make: Make) -> io::Result<()> {
    fs::create_dir(folder.join("data"))?;
    make(&folder.join("data").join(CIFAR))
}

/// Hostile IDX files, each with the name that it takes the place of.
fn sets() -> Vec<(&'static str, &'static str, Make)> {
    let images = "train-images-idx3-ubyte";
    let (packed, labels) = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz");
    vec![
        ("bomb-as-announced", packed, |path| gzip_bomb(path, &idx(IMAGES, &[98_304, 256, 256], &[]), BOMB)),
        ("bomb-longer-than-announced", packed, |path| gzip_bomb(path, &idx(IMAGES, &[20, 8, 8], &[]), BOMB)),
        ("bomb-of-labels", labels, |path| gzip_bomb(path, &idx(LABELS, &[u32::MAX], &[]), BOMB)),
        ("bomb-of-sides", packed, |path| gzip_bomb(path, &idx(IMAGES, &[1, 80_000, 80_000], &[]), BOMB)),
        ("sizes-of-2^32-1", images, |path| fs::write(path, idx(IMAGES, &[u32::MAX; 3], &[1; 100]))),
        ("sizes-of-2^32-1-packed", packed, |path| {
            gzip(path, &idx(IMAGES, &[u32::MAX; 3], &[1; 100]), &[], 0)
        }),
        ("sizes-of-none", images, |path| fs::write(path, idx(IMAGES, &[0, 8, 8], &[]))),
        ("sides-of-none", images, |path| fs::write(path, idx(IMAGES, &[20, 0, 0], &[]))),
        ("sparse-gigabytes", images, |path| {
            let head = idx(IMAGES, &[98_304, 256, 256], &[]);
            sparse(path, &head, (BOMB << 20) + head.len() as u64)
        }),
        ("floats", images, |path| fs::write(path, idx(0x0d03, &[20, 8, 8], &[0; 20 * 256]))),
        ("four-dimensions", images, |path| fs::write(path, idx(0x0804, &[20, 8, 8, 3], &[0; 20 * 192]))),
        ("cut-in-the-header", images, |path| fs::write(path, &idx(IMAGES, &[20, 8, 8], &[])[..9])),
        ("cut-in-the-pixels", images, |path| fs::write(path, idx(IMAGES, &[20, 8, 8], &[0; 1000]))),
        ("gzip-of-nothing", packed, |path| fs::write(path, b"\x1f\x8b")),
        ("gzip-with-a-wrong-checksum", packed, |path| {
            gzip(path, &idx(IMAGES, &[20, 8, 8], &[0; 20 * 64]), &[], 0)?;
            let end = fs::metadata(path)?.len();
            super::build::overwrite(path, end - 8, &[1, 2, 3, 4])
        }),
    ]
}

/// Hostile archives.
fn archives() -> Vec<(&'static str, Make)> {
    vec![
        ("bomb-of-images", |path| {
            gzip_bomb(path, &tar_header("cifar-10-batches-bin/data_batch_1.bin", BOMB << 20, b'0'), BOMB)
        }),
        ("bomb-of-something-else", |path| {
            gzip_bomb(path, &tar_header("cifar-10-batches-bin/readme.html", BOMB << 20, b'0'), BOMB)
        }),
        ("bomb-behind-the-end", |path| {
            let mut head = tar_header("cifar-10-batches-bin/test_batch.bin", 3073, b'0');
            head.extend([0; 7 * BLOCK]);
            head.extend([0; 2 * BLOCK]);
            gzip_bomb(path, &head, BOMB)
        }),
        ("size-of-8-exabytes", |path| {
            let mut head = tar_header("cifar-10-batches-bin/data_batch_1.bin", 0, b'0');
            // The binary form of large sizes.
            head[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
            head[148..156].fill(b' ');
            let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
            head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            gzip_bomb(path, &head, 1)
        }),
        ("long-name-of-a-gigabyte", |path| {
            gzip_bomb(path, &tar_header("././@LongLink", 1 << 30, b'L'), 1 << 10)
        }),
        ("long-link-of-a-gigabyte", |path| {
            gzip_bomb(path, &tar_header("././@LongLink", 1 << 30, b'K'), 1 << 10)
        }),
        ("pax-header-of-a-gigabyte", |path| {
            gzip_bomb(path, &tar_header("PaxHeaders/x", 1 << 30, b'x'), 1 << 10)
        }),
        ("global-pax-header-of-a-gigabyte", |path| {
            gzip_bomb(path, &tar_header("PaxHeaders/x", 1 << 30, b'g'), 1 << 10)
        }),
        ("a-million-entries", |path| {
            gzip(path, &[], &tar_header("cifar-10-batches-bin/x", 0, b'0').repeat(1000), 1000)
        }),
        ("a-million-empty-batches", |path| {
            gzip(path, &[], &tar_header("cifar-10-batches-bin/data_batch_1.bin", 0, b'0').repeat(1000), 1000)
        }),
        ("thousands-of-batches", |path| {
            let mut part = Vec::new();
            for i in 0..2000_u32 {
                part.extend(tar_header(&format!("cifar-10-batches-bin/data_batch_{i}.bin"), 3073, b'0'));
                part.extend([0; 7 * BLOCK]);
            }
            gzip(path, &part, &[0; BLOCK], 2)
        }),
        ("no-tar", |path| gzip(path, b"this is text", &[b'x'; 4096], 10)),
        ("zeros", |path| gzip_bomb(path, &[], BOMB)),
        ("cut-gzip", |path| fs::write(path, b"\x1f\x8b\x08\x00\x00")),
        ("checksum-wrong", |path| {
            let mut head = tar_header("cifar-10-batches-bin/data_batch_1.bin", 3073, b'0');
            head[0] = b'C';
            gzip(path, &head, &[0; BLOCK], 100)
        }),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = sets()
        .into_iter()
        .map(|(what, name, make)| {
            let mentions = if what == "sizes-of-none" { "data" } else { name };
            Case::new(format!("idx/{what}"), &MNIST, mentions, move |folder| set(folder, name, make))
        })
        .collect();
    all.extend(archives().into_iter().map(|(what, make)| {
        Case::new(format!("cifar/{what}"), &FROM_CIFAR, CIFAR, move |folder| archive(folder, make))
    }));
    all.push(Case::new("cifar/folder-with-a-sparse-batch", &FROM_CIFAR, "data_batch_1.bin", |folder| {
        let data = folder.join("data");
        fs::create_dir(&data)?;
        fs::write(data.join("test_batch.bin"), [0; 3073])?;
        sparse(&data.join("data_batch_1.bin"), &[0], 3073 << 21)
    }));
    all.push(Case::new("cifar/names-of-classes-without-an-end", &FROM_CIFAR, "batches.meta.txt", |folder| {
        let data = folder.join("data");
        fs::create_dir(&data)?;
        fs::write(data.join("test_batch.bin"), [0; 3073])?;
        fs::write(data.join("data_batch_1.bin"), [0; 3073])?;
        repeated(&data.join("batches.meta.txt"), b"", b"name\n", 100_000_000, b"")
    }));
    all
}

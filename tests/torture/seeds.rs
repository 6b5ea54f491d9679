//! Small files of every kind that the program reads, for `make fuzz` to start from: made by the program itself, or by
//! the builders of the hostile files.

use super::child::{finish, program};
use super::hostile::build::{idx, png, tar_header};
use image::{DynamicImage, GrayImage, ImageFormat};
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// Writes a folder of files for each fuzz target to `corpus`.
///
/// # Errors
/// What the program said where it should have succeeded, or what could not be written.
pub fn write(corpus: &Path) -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    for line in [
        "train --adapter cpu --width 0.03125 --batch-size 400 --method natural --max-steps 4 --out run",
        "evaluate run --adapter cpu --attack fgm --limit 4",
    ] {
        let ended = finish(program(scratch.path(), line.split(' ')), scratch.path(), "seeds");
        if !ended.succeeded() {
            return Err(format!("pgn-wgpu {line}: {}", ended.brief()));
        }
    }
    let run = scratch.path().join("run");
    let saved = [
        ("model", "model.safetensors"),
        ("checkpoint", "checkpoints/last.safetensors"),
        ("metrics", "metrics.jsonl"),
        ("config", "config.toml"),
        ("sweep", "config.toml"),
        ("evaluation", "evaluation.json"),
    ];
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus.join(target);
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), bytes));
        written.map_err(|error| format!("{}: {error}", folder.display()))
    };
    for (target, file) in saved {
        let bytes = fs::read(run.join(file)).map_err(|error| format!("{file}: {error}"))?;
        put(target, "good", &bytes)?;
    }
    for entry in fs::read_dir(run.join("evaluation")).into_iter().flatten().flatten() {
        put("record", "good", &fs::read(entry.path()).map_err(|error| error.to_string())?)?;
    }
    for name in ["residual", "tokens", "rest"] {
        let path = format!("{}/tests/golden/onnx/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
        put("onnx", name, &fs::read(&path).map_err(|error| format!("{path}: {error}"))?)?;
    }
    made().into_iter().try_for_each(|(target, name, bytes)| put(target, name, &bytes))
}

/// Files that no command writes.
fn made() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let grid =
        b"dataset = \"digits\"\nout = \"x\"\n[grid]\nmethod = [\"fgm\", \"pgd\"]\nepsilon = [0.1, 0.2]\n";
    let images = idx(0x0803, &[2, 8, 8], &[9; 128]);
    let labels = idx(0x0801, &[2], &[3, 4]);
    let mut archive = Vec::new();
    for file in ["data_batch_1.bin", "test_batch.bin"] {
        archive.extend(tar_header(&format!("cifar-10-batches-bin/{file}"), 3073, b'0'));
        archive.extend([0; 3584]);
    }
    archive.extend([0; 1024]);
    let holder = b"{\"host\":\"here\",\"pid\":1,\"since\":7}";
    let tuned =
        b"{\"adapter\":{\"shape\":{\"form\":\"a\",\"tune\":\"Quick\",\"sources\":\"0000000000000007\",\
                  \"candidates\":[{\"form\":\"a\",\"microseconds\":1.5,\"wrong\":null}]}}}";
    let mut all = vec![
        ("sweep", "grid", grid.to_vec()),
        ("idx", "images", [&[0], &images[..]].concat()),
        ("idx", "labels", [&[1], &labels[..]].concat()),
        ("idx", "packed", [&[4], &gzip(&images)[..]].concat()),
        ("cifar", "ten", vec![0; 1 + 3073]),
        ("cifar", "hundred", [&[1][..], &[0; 3074]].concat()),
        ("archive", "good", gzip(&archive)),
        ("tar", "good", archive),
        ("image", "huge", png(60_000, 60_000, 8, 2, &[(b"IDAT", &[0x78, 0x9c, 3, 0])])),
        ("lock", "good", holder.to_vec()),
        ("tuning", "good", tuned.to_vec()),
        ("flags", "shard", b"2/8".to_vec()),
        ("flags", "adapter", b"discrete".to_vec()),
    ];
    let picture = DynamicImage::ImageLuma8(GrayImage::from_fn(8, 8, |x, y| image::Luma([(x * 8 + y) as u8])));
    for (name, format) in [("png", ImageFormat::Png), ("jpeg", ImageFormat::Jpeg)] {
        let mut bytes = Cursor::new(Vec::new());
        if picture.write_to(&mut bytes, format).is_ok() {
            all.push(("image", name, bytes.into_inner()));
        }
    }
    // Of formats that image folders refuse, the first bytes.
    let others: [(&str, &[u8]); 4] = [
        ("gif", b"GIF89a\x08\0\x08\0\x80\0\0"),
        ("bmp", b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"),
        ("webp", b"RIFF\x20\0\0\0WEBPVP8L"),
        ("tiff", b"II*\0\x08\0\0\0"),
    ];
    all.extend(others.into_iter().map(|(name, bytes)| ("image", name, bytes.to_vec())));
    all
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).and_then(|()| packer.finish()).unwrap_or_default()
}

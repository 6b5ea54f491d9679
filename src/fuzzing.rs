//! What the fuzz targets in `fuzz/` reach into, for the readers of bytes from outside: one function for each target, `()` whatever
//! comes out. Compiled only for them, with `--cfg fuzzing`.
//!
//! Readers that want a path get a file in memory where the system has such a file system. A reader may refuse; what it
//! may not do is panic, hang, or take much memory.

use crate::data::{self, DataOptions, DatasetKind, FolderOptions, Resize};
use crate::evaluation::record::{Kept, Record};
use crate::gpu::adapter::AdapterChoice;
use crate::models::file::Model;
use crate::nn::Problem;
use crate::shard::Shard;
use crate::sweep::file::{Overrides, read as read_sweep};
use crate::training::checkpoint::{Checkpoint, Head};
use crate::training::metrics::Metrics;
use crate::training::options::TrainOptions;
use crate::training::run::RunFolder;
use crate::training::toml_text::from_toml;
use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

/// The embedded digits' problem.
const DIGITS: Problem = Problem { height: 8, width: 8, channels: 1, classes: 10 };

thread_local! {
    static FOLDER: OnceCell<PathBuf> = const { OnceCell::new() };
}

/// This process's scratch folder, in memory if possible.
fn folder() -> PathBuf {
    FOLDER.with(|folder| {
        folder
            .get_or_init(|| {
                let memory = Path::new("/dev/shm");
                let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
                let folder = base.join(format!("pgn-wgpu-fuzz-{}", std::process::id()));
                fs::create_dir_all(&folder).expect("a scratch folder");
                folder
            })
            .clone()
    })
}

/// Puts `bytes` into the file `name` and gives its path.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).expect("a scratch folder");
    }
    fs::write(&path, bytes).expect("a scratch file");
    path
}

/// A model file, for data that are known and for data that are not.
pub fn model(bytes: &[u8]) {
    let path = file("model.safetensors", bytes);
    let _ = Model::load(&path, Some(DIGITS));
    let _ = Model::load(&path, None);
}

/// An ONNX file, and a graph of one whose inputs are not images.
pub fn onnx(bytes: &[u8]) {
    let _ = crate::nn::onnx::decode(bytes, Some(&folder()));
    for batch in [true, false] {
        let _ = crate::nn::onnx::single::answer(bytes, &[], 0, batch);
    }
}

/// A checkpoint, whole and only how far it was.
pub fn checkpoint(bytes: &[u8]) {
    let path = file("last.safetensors", bytes);
    let _ = Head::load(&path);
    if let Ok(checkpoint) = Checkpoint::load(&path) {
        let _ = checkpoint.check_states(&[("classifier.parameters".to_string(), vec![0.0; 4])], &path);
        let _ = checkpoint.head.check(&checkpoint.head.config, &checkpoint.head.data, &path);
    }
    let _ = crate::verify::verify(&path);
}

/// A record of an attack.
pub fn record(bytes: &[u8]) {
    let sealed = crate::integrity::from_json::<Record>(bytes).ok();
    if let Some(record) = sealed.or_else(|| serde_json::from_slice(bytes).ok()) {
        let store = crate::evaluation::record::Store::new(&folder().join("evaluation"));
        if store.save(&record).is_ok()
            && let Kept::Whole(record) = store.load(&record.key)
        {
            let images = record.len();
            let _ = record.accuracy(images);
            for i in 0..images {
                let _ = record.attacked(i);
            }
        }
        let _ = fs::remove_dir_all(folder().join("evaluation"));
    }
}

/// The report of an evaluation.
pub fn evaluation(bytes: &[u8]) {
    let _ = crate::integrity::from_json::<crate::evaluation::Report>(bytes).map(|report| report.rows());
}

/// The metrics of a run, as a report and as a resumed run read them.
pub fn metrics(bytes: &[u8]) {
    let _ = Metrics::read(&String::from_utf8_lossy(bytes)).best();
    file("run/config.toml", b"");
    file("run/metrics.jsonl", bytes);
    if let Ok((run, config)) = RunFolder::open(&folder().join("run")) {
        let _ = run.metrics(&config, &Default::default());
    }
}

/// A configuration, as `--config` and as that of a run.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(options) = from_toml::<TrainOptions>(&text, Path::new("config.toml")) {
        let config = options.resolve(&TrainOptions::default());
        let _ = config.check();
    }
}

/// A sweep file.
pub fn sweep(bytes: &[u8]) {
    let _ = read_sweep(&file("sweep.toml", bytes), &Overrides::default());
}

fn data_set(kind: DatasetKind, dir: PathBuf) {
    let resize = (kind == DatasetKind::Folder).then_some(Resize::Shorter(8));
    let folder = FolderOptions { resize, ..Default::default() };
    let _ = data::open(&DataOptions { kind, dir: Some(dir), folder, ..Default::default() });
}

/// A good MNIST set of which one file is `bytes`; the first of them says which, and whether it is packed.
pub fn idx(bytes: &[u8]) {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0, 8][..], &[7; 128]].concat();
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 3, 4].to_vec();
    let root = format!("idx-{}", which & 7);
    let names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
    let hostile = usize::from(which & 3);
    if !folder().join(&root).is_dir() {
        for (i, name) in names.iter().enumerate().filter(|(i, _)| *i != hostile) {
            file(&format!("{root}/{name}-ubyte"), if i % 2 == 0 { &images } else { &labels });
        }
    }
    let ending = if which & 4 == 0 { "" } else { ".gz" };
    file(&format!("{root}/{}-ubyte{ending}", names[hostile]), bytes);
    data_set(DatasetKind::Mnist, folder().join(root));
}

/// The records of CIFAR: a good test file and these training images; an odd first byte means CIFAR-100.
pub fn cifar(bytes: &[u8]) {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    if which & 1 == 0 {
        file("cifar10/test_batch.bin", &[0; 3073]);
        file("cifar10/data_batch_1.bin", bytes);
        data_set(DatasetKind::Cifar10, folder().join("cifar10"));
    } else {
        file("cifar100/test.bin", &[0; 3074]);
        file("cifar100/train.bin", bytes);
        data_set(DatasetKind::Cifar100, folder().join("cifar100"));
    }
}

/// CIFAR's archive as it is.
pub fn archive(bytes: &[u8]) {
    data_set(DatasetKind::Cifar10, file("cifar-10-binary.tar.gz", bytes));
}

/// A tar file, which is packed here: the fuzzer would not get through gzip's checksum.
pub fn tar(bytes: &[u8]) {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    if packer.write_all(bytes).is_ok()
        && let Ok(packed) = packer.finish()
    {
        archive(&packed);
    }
}

/// An image in a folder of four, of which the others are good.
pub fn image(bytes: &[u8]) {
    let root = folder().join("images");
    if !root.is_dir() {
        let mut good = std::io::Cursor::new(Vec::new());
        image::GrayImage::new(8, 8).write_to(&mut good, image::ImageFormat::Png).expect("a picture");
        for place in ["train/b", "test/a", "test/b"] {
            file(&format!("images/{place}/good.png"), good.get_ref());
        }
    }
    file("images/train/a/hostile.png", bytes);
    data_set(DatasetKind::Folder, root);
}

/// Arrays: a good set whose images, labels or archive are `bytes`; the first of them says which.
pub fn npy(bytes: &[u8]) {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    if which & 3 == 3 {
        data_set(DatasetKind::Npy, file("set.npz", bytes));
        return;
    }
    let good = |shape: &str, body: &[u8]| {
        let head = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        [&b"\x93NUMPY\x01\0"[..], &(head.len() as u16).to_le_bytes()[..], head.as_bytes(), body].concat()
    };
    let (images, labels) = (good("(2, 4, 4)", &[7; 32]), good("(2,)", &[0, 1]));
    let root = format!("npy-{}", which & 1);
    file(&format!("{root}/x_test.npy"), if which & 1 == 0 { bytes } else { &images });
    file(&format!("{root}/y_test.npy"), if which & 1 == 1 { bytes } else { &labels });
    data_set(DatasetKind::Npy, folder().join(root));
}

/// The labels of an image folder, and a class index.
pub fn labels(bytes: &[u8]) {
    let labels = file("labelled/labels.csv", bytes);
    let options = DataOptions {
        kind: DatasetKind::Folder,
        dir: labels.parent().map(Path::to_path_buf),
        class_index: Some(file("classes.json", bytes)),
        ..Default::default()
    };
    let _ = data::open(&options);
    let _ = data::open(&DataOptions { class_index: None, ..options });
}

/// Who holds the lock of a run folder.
pub fn lock(bytes: &[u8]) {
    file("locked/lock", bytes);
    let _ = crate::training::lock::RunLock::holder(&folder().join("locked"));
}

/// What was measured of the kernels.
pub fn tuning(bytes: &[u8]) {
    file("tuning-1.json", bytes);
    let store = crate::gpu::tuning::store::Store::open(&folder(), "adapter".to_string());
    let _ = store.get("shape", 7);
}

/// Values of flags.
pub fn flags(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = text.parse::<AdapterChoice>();
    let _ = text.parse::<Shard>();
    let _ = crate::attacks::length::parse(&text);
}

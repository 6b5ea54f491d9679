//! `pgn-wgpu attack`: its files, and who may overwrite them.

use crate::{answers, assert_mentions, refuse, run_folder, succeed, trained};
use pgn_wgpu::models::file::Model;
use safetensors::SafeTensors;
use std::fs;
use std::path::Path;

const IMAGES: usize = 50;
const PIXELS: usize = 64;

/// A tensor of a saved file as numbers.
fn numbers(file: &Path, name: &str) -> Vec<f32> {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    bytemuck::pod_collect_to_vec(tensors.tensor(name).unwrap().data())
}

fn classes(file: &Path, name: &str) -> Vec<usize> {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let values: Vec<i64> = bytemuck::pod_collect_to_vec(tensors.tensor(name).unwrap().data());
    values.into_iter().map(|value| value as usize).collect()
}

#[test]
fn the_reference_path_confirms_every_saved_image() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        ["attack", "--adapter", "cpu", "--model"].as_slice(),
        &[&trained("pgn"), "--attack", "fgm,pgd,mim", "--attack", "deepfool,cw,pgn", "--epsilon", "0.2,0.6"],
        &["--iterations", "20", "--limit", "50", "--save", "out.safetensors"],
    ];
    succeed(folder.path(), &arguments.concat());
    let model = Model::load(&run_folder("pgn").join("model.safetensors"), None).unwrap();
    let with_radius = ["fgm", "pgd", "mim"].into_iter().flat_map(|a| [(a, Some("0.2")), (a, Some("0.6"))]);
    for (attack, epsilon) in with_radius.chain(["deepfool", "cw", "pgn"].map(|a| (a, None))) {
        let part = epsilon.map_or(String::new(), |epsilon| format!("-{epsilon}"));
        let file = folder.path().join(format!("out-{attack}{part}.safetensors"));
        let (images, adversarial) = (numbers(&file, "images"), numbers(&file, "adversarial"));
        assert_eq!(adversarial.len(), IMAGES * PIXELS, "{attack}");
        assert!(adversarial.iter().all(|v| (0.0..=1.0).contains(v)), "{attack} leaves the box");
        // One channel, so the file's order is the model's.
        assert_eq!(answers(&model, &images), classes(&file, "clean_predictions"), "{attack}");
        assert_eq!(answers(&model, &adversarial), classes(&file, "predictions"), "{attack}");
        for (i, &l2) in numbers(&file, "l2").iter().enumerate() {
            let pairs = adversarial[i * PIXELS..][..PIXELS].iter().zip(&images[i * PIXELS..][..PIXELS]);
            let norm = pairs.map(|(a, x)| f64::from(a - x).powi(2)).sum::<f64>().sqrt();
            assert!((norm - f64::from(l2)).abs() < 1e-6, "{attack}, image {i}: {l2} for {norm}");
            let most = epsilon.map_or(f64::INFINITY, |epsilon| epsilon.parse().unwrap());
            assert!(norm <= most + 1e-5, "{attack}, image {i}: {norm} above {most}");
        }
    }
}

#[test]
fn the_table_and_the_csv_tell_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["attack", "--adapter", "cpu", "--model", &trained("naive"), "--attack", "fgm", "--csv", "a.csv"];
    let text = succeed(folder.path(), &arguments);
    let csv = fs::read_to_string(folder.path().join("a.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 400);
    let (label, clean, attacked) = (3, 5, 6);
    let benign = rows.iter().filter(|row| row[label] == row[clean]).count();
    let robust = rows.iter().filter(|row| row[label] == row[clean] && row[label] == row[attacked]).count();
    let share = |count: usize, of: usize| format!("{:.4}", count as f64 / of as f64);
    assert_mentions(&text, &[&format!("benign accuracy {}", share(benign, 400)), &share(robust, 400)]);
    assert_mentions(&text, &[&share(benign - robust, benign)]);
    assert!(benign > 200, "the run has learned something: {benign}");
}

#[test]
fn a_sheet_is_a_picture_with_a_row_per_image() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained("naive");
    let usual =
        ["attack", "--adapter", "cpu", "--limit", "5", "--model", &model, "--attack", "fgm", "--force"];
    let sheet = |images: &str| {
        succeed(folder.path(), &[&usual[..], &["--sheet", "a.png", "--sheet-images", images]].concat());
        image::open(folder.path().join("a.png")).unwrap()
    };
    let (two, five) = (sheet("2"), sheet("9"));
    assert_eq!(two.width(), five.width());
    let row = (five.height() - two.height()) / 3;
    assert!(row >= 96, "{row}");
}

#[test]
fn a_file_that_exists_is_kept_unless_it_may_be_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out-mim-0.5.safetensors");
    fs::write(&path, b"precious").unwrap();
    let model = trained("naive");
    let arguments = [
        "attack",
        "--adapter",
        "cpu",
        "--limit",
        "3",
        "--model",
        &model,
        "--attack",
        "fgm,mim",
        "--save",
        "out.safetensors",
    ];
    assert_mentions(&refuse(folder.path(), &arguments), &["out-mim-0.5.safetensors exists", "--force"]);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "refused before anything was written");
    succeed(folder.path(), &[&arguments[..], &["--force"]].concat());
    assert_eq!(classes(&path, "labels").len(), 3);
}

//! Accuracy under PGD between epochs: it is what an attack on the kept networks says, and an interruption changes nothing.

use super::{cpu, digits, run, tiny};
use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker, Norm};
use pgn_wgpu::data::stratified;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::threat::Radius;
use pgn_wgpu::training::metrics::Metrics;
use pgn_wgpu::training::{Method, TrainConfig, robust};
use std::fs;
use std::path::Path;

fn config(method: Method) -> TrainConfig {
    TrainConfig { robust_every: Some(1), ..tiny(method) }
}

/// Accuracy under PGD and under FGM after each epoch that was measured.
fn measured(folder: &Path) -> Vec<[f64; 2]> {
    let metrics = Metrics::load(&folder.join("metrics.jsonl")).unwrap();
    metrics.epochs.iter().filter_map(|e| Some([e.pgd_accuracy?, e.fgm_accuracy?])).collect()
}

#[test]
fn the_most_robust_networks_are_kept_and_an_attack_on_them_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let linf = TrainConfig { norm: Norm::Linf, epsilon: 0.1, ..config(Method::FGM) };
    for (name, own) in [("pgd", config(Method::PGD)), ("natural", config(Method::NATURAL)), ("fgm", linf)] {
        // Long enough to learn something.
        let config = TrainConfig { epochs: 10, lr: 1e-2, robust_every: Some(4), ..own };
        let path = folder.path().join(name);
        run(&cpu(), &config, &path, None).unwrap();
        let measured = measured(&path);
        assert_eq!(measured.len(), 3, "{name}");
        let best = super::checkpoint(&path).head.progress.best_robust.unwrap();
        assert!(measured.iter().all(|[pgd, _]| *pgd <= best.pgd) && measured.contains(&[best.pgd, best.fgm]));
        let model = Model::load(&path.join("checkpoints/best-robust.safetensors"), None).unwrap();
        let validation = &digits().validation;
        let images = validation.subset(&stratified(validation.labels(), robust::IMAGES, 0));
        let Radius { norm, epsilon } = robust::radius(&config);
        let accuracy = |kind| {
            let options = AttackOptions { norm, epsilon, ..AttackOptions::new(kind) };
            Attacker::new(&cpu(), &model, options, images.len())
                .unwrap()
                .run(&images, &mut |_, _| {})
                .unwrap()
                .accuracy()
        };
        for (kind, own) in [(AttackKind::PGD, best.pgd), (AttackKind::FGM, best.fgm)] {
            assert!((accuracy(kind) - own).abs() < 1e-9, "{name}, {kind}: {own}");
        }
        assert!(best.pgd > 0.15, "there is something to compare: {measured:?}");
    }
}

#[test]
fn an_interrupted_run_keeps_the_same_networks_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
    let config = config(Method::PGD);
    run(&cpu(), &config, &whole, None).unwrap();
    for stop_at in [Some(5), Some(17), Some(30), None] {
        run(&cpu(), &config, &pieces, stop_at).unwrap();
    }
    assert_eq!(measured(&whole), measured(&pieces));
    let best = |path: &Path| fs::read(path.join("checkpoints/best-robust.safetensors")).unwrap();
    assert!(best(&whole) == best(&pieces));
}

#[test]
fn it_is_measured_as_often_as_is_asked_for_and_does_not_change_what_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, robust_every| {
        let path = folder.path().join(name);
        let config = TrainConfig { robust_every, ..config(Method::PGD) };
        run(&cpu(), &config, &path, None).unwrap();
        path
    };
    let [never, second, usual] =
        [("never", Some(0)), ("second", Some(2)), ("usual", None)].map(|(name, every)| train(name, every));
    assert_eq!(
        [&never, &second, &usual].map(|path| measured(path).len()),
        [0, 2, 1],
        "the last epoch counts"
    );
    assert!(!never.join("checkpoints/best-robust.safetensors").exists());
    assert!(super::bits(&never) == super::bits(&second));
    let natural = TrainConfig { robust_every: None, ..config(Method::NATURAL) };
    let frozen = TrainConfig { freeze_classifier: true, ..config(Method::PGN) };
    assert_eq!([natural.robust_every(), frozen.robust_every()], [0, 0]);
}

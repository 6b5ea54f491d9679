//! What a run keeps is of its own history: the best networks are those of epochs that its checkpoint has, and once it has begun it
//! needs nothing else, not even the file that it started from.

use super::{DIGITS, bits, checkpoint, cpu, run, tiny};
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::layer::{Activation, Layer};
use pgn_wgpu::nn::{Init, Network, Plan};
use pgn_wgpu::training::checkpoint::Checkpoint;
use pgn_wgpu::training::fit::{Fit, Observer};
use pgn_wgpu::training::prepared::Home;
use pgn_wgpu::training::run::{Best, RunFolder};
use pgn_wgpu::training::{EpochRecord, Method, StepRecord, TrainConfig};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Twelve steps an epoch, after which it is measured and kept.
fn config(max_steps: u64) -> TrainConfig {
    let (robust_every, keep_every) = (Some(1), Some(1));
    TrainConfig { robust_every, keep_every, max_steps: Some(max_steps), ..tiny(Method::FGM) }
}

fn kept(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join("checkpoints").join(format!("{name}.safetensors"))).unwrap()
}

const BOTH: [&str; 2] = ["best", "best-robust"];

#[test]
fn an_epoch_that_was_cut_short_is_not_the_best_of_a_run_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    run(&cpu(), &config(36), &whole, None).unwrap();

    run(&cpu(), &config(5), &pieces, None).unwrap();
    let progress = checkpoint(&pieces).head.progress;
    assert_eq!((progress.best, progress.best_epoch, progress.best_robust), (None, None, None));
    let last = fs::read(pieces.join("model.safetensors")).unwrap();
    assert!(BOTH.iter().all(|name| kept(&pieces, name) == last), "there are no others");

    run(&cpu(), &config(15), &pieces, None).unwrap();
    let progress = checkpoint(&pieces).head.progress;
    assert_eq!((progress.best_epoch, progress.best_robust.map(|best| best.epoch)), (Some(0), Some(0)));
    let first = kept(&pieces, "epoch-0001");
    assert!(BOTH.iter().all(|name| kept(&pieces, name) == first), "of steps that are no whole epoch");

    run(&cpu(), &config(36), &pieces, None).unwrap();
    for name in BOTH {
        assert!(
            kept(&pieces, name) == kept(&whole, name),
            "{name}: other networks than those of a run left alone"
        );
    }
    assert_eq!(checkpoint(&pieces).head.progress.best, checkpoint(&whole).head.progress.best);
}

/// Copies the run's folder at step `at`, which is what a kill then leaves. A lock goes with its process.
struct CopyAt<'a> {
    at: u64,
    from: &'a Path,
    to: &'a Path,
}

impl Observer for CopyAt<'_> {
    fn step(&mut self, record: &StepRecord, _: u64) {
        if record.step != self.at {
            return;
        }
        for part in ["", "checkpoints"] {
            fs::create_dir_all(self.to.join(part)).unwrap();
            for entry in fs::read_dir(self.from.join(part)).unwrap() {
                let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
                if path.is_file() && name != "lock" {
                    fs::copy(&path, self.to.join(part).join(name)).unwrap();
                }
            }
        }
    }
    fn epoch(&mut self, _: &EpochRecord, _: u32) {}
    fn warning(&mut self, _: &str) {}
}

/// What a run says beside its numbers.
#[derive(Default)]
struct Heard(Vec<String>);

impl Observer for Heard {
    fn step(&mut self, _: &StepRecord, _: u64) {}
    fn epoch(&mut self, _: &EpochRecord, _: u32) {}
    fn warning(&mut self, sentence: &str) {
        self.0.push(sentence.to_string());
    }
}

#[test]
fn whoever_watches_a_run_hears_that_its_generator_has_not_learned_to_attack() {
    let folder = tempfile::tempdir().unwrap();
    let (stop, mut heard) = (AtomicBool::new(false), Heard::default());
    // Of a generator that has hardly moved.
    let config = TrainConfig { max_steps: Some(1), generator_lr: Some(1e-6), ..tiny(Method::PGN) };
    let home = Home::New(folder.path().join("run"));
    Fit::new(cpu(), config, home, &mut heard, &stop).unwrap().run().unwrap();
    assert_eq!(heard.0.len(), 1, "{:?}", heard.0);
    assert!(heard.0[0].contains("the generator does less than FGM at its norm"), "{:?}", heard.0);
}

/// The files of best networks below a run folder, those that wait too.
fn bests(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("checkpoints")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<String> = names.filter(|name| name.starts_with("best")).collect();
    all.sort();
    all
}

#[test]
fn the_best_networks_of_a_killed_run_are_those_that_its_checkpoint_knows() {
    let folder = tempfile::tempdir().unwrap();
    let [path, killed] = ["run", "killed"].map(|name| folder.path().join(name));
    // No checkpoint between the first step and the last.
    let config = |max_steps| TrainConfig { checkpoint_every: Some(1000), ..config(max_steps) };
    let stop = AtomicBool::new(false);
    let mut observer = CopyAt { at: 14, from: &path, to: &killed };
    Fit::new(cpu(), config(24), Home::New(path.clone()), &mut observer, &stop).unwrap().run().unwrap();

    assert_eq!(checkpoint(&killed).head.progress.step, 0);
    assert_eq!(bests(&killed), ["best-robust.epoch-0001.safetensors", "best.epoch-0001.safetensors"]);
    run(&cpu(), &config(5), &killed, None).unwrap();
    assert_eq!(bests(&killed), ["best-robust.safetensors", "best.safetensors"]);
    let last = fs::read(killed.join("model.safetensors")).unwrap();
    assert!(BOTH.iter().all(|name| kept(&killed, name) == last), "of steps that were lost");

    assert_eq!(bests(&path), ["best-robust.safetensors", "best.safetensors"]);
    // Killed between its last checkpoint and the move of the file that the checkpoint knows.
    let (best, known) = (kept(&path, "best"), checkpoint(&path).head.progress.best_epoch.unwrap());
    let (run_folder, _) = RunFolder::open(&path).unwrap();
    fs::rename(run_folder.best(Best::Benign), run_folder.waiting_best(Best::Benign, known)).unwrap();
    run(&cpu(), &config(24), &path, None).unwrap();
    assert!(kept(&path, "best") == best);
}

#[test]
fn what_is_wrong_with_an_earlier_checkpoint_is_said_of_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    run(&cpu(), &config(3), &path, None).unwrap();
    fs::write(path.join("checkpoints/last.safetensors"), "damaged").unwrap();
    let refused = |config: &TrainConfig| {
        let error = run(&cpu(), config, &path, None).unwrap_err().to_string();
        assert!(error.contains("previous.safetensors") && !error.contains("last.safetensors"), "{error}");
        error
    };
    let error = refused(&TrainConfig { seed: 9, ..config(5) });
    assert!(error.contains("seed"), "{error}");
    let previous = path.join("checkpoints/previous.safetensors");
    let mut saved = Checkpoint::load(&previous).unwrap();
    saved.states.retain(|(name, _)| name != "classifier.variance");
    fs::write(&previous, saved.into_bytes().unwrap()).unwrap();
    let error = refused(&config(5));
    assert!(error.contains("has no classifier.variance"), "{error}");
}

/// The model of a short natural run, in a file of its own.
fn trained(folder: &Path) -> PathBuf {
    let (path, file) = (folder.join("first"), folder.join("first.safetensors"));
    run(&cpu(), &TrainConfig { max_steps: Some(3), ..tiny(Method::NATURAL) }, &path, None).unwrap();
    fs::copy(path.join("model.safetensors"), &file).unwrap();
    file
}

#[test]
fn a_run_goes_on_without_the_file_that_it_started_from_and_a_new_one_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let file = trained(folder.path());
    let [whole, pieces, frozen, new] =
        ["whole", "pieces", "frozen", "new"].map(|name| folder.path().join(name));
    let from = |config: TrainConfig| TrainConfig { from: Some(file.clone()), ..config };
    let generator = |max_steps| from(TrainConfig { freeze_classifier: true, max_steps, ..tiny(Method::PGN) });
    run(&cpu(), &from(config(9)), &whole, None).unwrap();
    run(&cpu(), &from(config(5)), &pieces, None).unwrap();
    run(&cpu(), &generator(Some(2)), &frozen, None).unwrap();
    fs::remove_file(&file).unwrap();

    run(&cpu(), &from(config(9)), &pieces, None).unwrap();
    assert!(bits(&pieces) == bits(&whole));
    run(&cpu(), &generator(Some(3)), &frozen, None).unwrap();
    let model = Model::load(&frozen.join("model.safetensors"), Some(DIGITS)).unwrap();
    assert_eq!(model.facts.method, "natural", "how the frozen classifier was trained");
    let error = run(&cpu(), &from(config(9)), &new, None).unwrap_err().to_string();
    assert!(error.contains("first.safetensors"), "{error}");
    assert!(!new.exists());
}

#[test]
fn an_imported_network_is_in_the_checkpoint_and_another_one_does_not_take_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("imported.safetensors");
    let net = Network::default().build(Plan::new(DIGITS, 0.03125)).unwrap();
    let save =
        |net: &pgn_wgpu::nn::Net| Model::new(net.clone(), net.initial(Init::He, 0)).save(&file).unwrap();
    save(&net);
    let config = |max_steps| {
        let (network, from) = (Network::imported(), Some(file.clone()));
        TrainConfig { network, from, ..config(max_steps) }
    };
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    run(&cpu(), &config(9), &whole, None).unwrap();
    run(&cpu(), &config(5), &pieces, None).unwrap();
    let before = bits(&pieces);

    // The same names and lengths.
    let mut other = net;
    let activation = |layer: &Layer| matches!(layer, Layer::Activation(_));
    let node = other.nodes.iter_mut().find(|node| activation(&node.layer)).unwrap();
    node.layer = Layer::Activation(Activation::Tanh);
    save(&other);
    let error = run(&cpu(), &config(9), &pieces, None).unwrap_err().to_string();
    for part in ["last.safetensors", "another network", "imported.safetensors"] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(bits(&pieces) == before);

    fs::remove_file(&file).unwrap();
    run(&cpu(), &config(9), &pieces, None).unwrap();
    assert!(bits(&pieces) == bits(&whole));
}

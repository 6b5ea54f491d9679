//! The same configuration gives the same bits: at once, in pieces, and from the `config.toml` that a run leaves.

use super::common::{self, named};
use super::{DIGITS, StopAt, batch, bits, checkpoint, cpu, devices, run, step_numbers, steps, tiny};
use pgn_wgpu::data::Augment;
use pgn_wgpu::evaluation::Place;
use pgn_wgpu::executor::Device;
use pgn_wgpu::gpu::device::{Checks, Forms};
use pgn_wgpu::graph::Graph;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::Classifier;
use pgn_wgpu::training::fit::{Fit, Observer};
use pgn_wgpu::training::lock::RunLock;
use pgn_wgpu::training::optimiser::{Optimiser, Role};
use pgn_wgpu::training::options::TrainOptions;
use pgn_wgpu::training::prepared::Home;
use pgn_wgpu::training::run::RunFolder;
use pgn_wgpu::training::schedule::Schedule;
use pgn_wgpu::training::{EpochRecord, Method, StepRecord, TrainConfig, Trainer, Update};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Of 29 steps, in the middle of the third epoch.
fn config(method: Method) -> TrainConfig {
    TrainConfig { max_steps: Some(29), ..tiny(method) }
}

#[test]
fn a_run_that_was_interrupted_twice_ends_with_the_bits_of_one_that_was_not() {
    for (name, device) in devices() {
        for method in [Method::NATURAL, Method::PGN] {
            let folder = tempfile::tempdir().unwrap();
            let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
            let config = config(method);
            let done = run(&device, &config, &whole, None).unwrap();
            assert!(!done.interrupted && done.steps == 29 && done.test.is_some());

            // In the middle of the first and of the second epoch.
            for stop_at in [5, 17] {
                let part = run(&device, &config, &pieces, Some(stop_at)).unwrap();
                assert!(part.interrupted && part.test.is_none());
                assert!(
                    (stop_at..stop_at + 5).contains(&part.steps),
                    "asked at {stop_at}, stopped at {}",
                    part.steps
                );
                assert_eq!(checkpoint(&pieces).head.progress.step, part.steps);
            }
            run(&device, &config, &pieces, None).unwrap();

            assert_eq!(bits(&whole).len(), if method == Method::PGN { 7 } else { 4 });
            assert!(bits(&whole) == bits(&pieces), "{name}, {}: other bits after resuming", method.name());
            let (model, again) =
                (fs::read(whole.join("model.safetensors")), fs::read(pieces.join("model.safetensors")));
            assert!(model.unwrap() == again.unwrap(), "{name}, {}: another model file", method.name());
            let losses =
                |folder| steps(folder).iter().map(|s| s["loss"].as_f64().unwrap()).collect::<Vec<_>>();
            assert_eq!(losses(&whole), losses(&pieces), "{name}, {}", method.name());
            assert_eq!(step_numbers(&pieces), (1..=29).collect::<Vec<_>>());
        }
    }
}

/// What the network that is evaluated, with its averaged weights and statistics, says of some training images, as bits.
fn logits(model: &Model) -> Vec<u32> {
    const IMAGES: usize = 20;
    let mut graph = Graph::new();
    let states = model.classifier.live(&mut graph, "net").unwrap();
    let images = graph.input("images", &DIGITS.batch(IMAGES)).unwrap();
    let logits = Classifier::evaluated(&model.classifier, &states).logits(&mut graph, images).unwrap();
    graph.output("logits", logits);
    let average = model.average.clone();
    let values = vec![named("net.parameters", average.weights), named("net.buffers", average.buffers)];
    let inputs = vec![named("images", batch(IMAGES).images)];
    let (_workspace, mut session) = common::session(&cpu(), &graph, &inputs, &values);
    session.compute().unwrap().get("logits").iter().map(|logit| logit.to_bits()).collect()
}

/// A network with running statistics, momentum of SGD, and a rate that changes from step to step and still warms up when the
/// run is interrupted.
fn with_statistics() -> TrainConfig {
    TrainConfig {
        network: "resnet18".parse().unwrap(),
        optimiser: Optimiser::Sgd,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 5e-4,
        lr: 0.05,
        schedule: Schedule::OneCycle,
        warm_up: 0.75,
        max_steps: Some(15),
        ..tiny(Method::NATURAL)
    }
}

#[test]
fn running_statistics_their_averages_and_the_momentum_of_sgd_go_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    let done = run(&cpu(), &with_statistics(), &whole, None).unwrap();
    let part = run(&cpu(), &with_statistics(), &pieces, Some(4)).unwrap();
    assert!(part.interrupted && part.steps < 9, "stopped at {}", part.steps);
    let resumed = run(&cpu(), &with_statistics(), &pieces, None).unwrap();

    let states = bits(&whole);
    let names: Vec<&str> = states.iter().map(|(name, _)| name.as_str()).collect();
    let kept = ["average", "average-buffers", "buffers", "momentum", "parameters"];
    assert_eq!(names, kept.map(|part| Role::Classifier.state(part)));
    assert!(states == bits(&pieces), "other states");
    // A state that checkpoints lack is missing on both sides above, but not in what the run has learned.
    let file = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(file(&whole) == file(&pieces), "another model file");
    let model = |folder: &Path| Model::load(&folder.join("model.safetensors"), Some(DIGITS)).unwrap();
    let (own, expected) = (model(&pieces), model(&whole));
    assert!(logits(&own) == logits(&expected), "other logits");
    assert_eq!(resumed.test, done.test);
    assert!(own.live.buffers != own.average.buffers, "the averages are no averages, so nothing was tested");
}

#[test]
fn a_run_goes_on_with_the_forms_of_kernels_that_it_began_with() {
    // A device of its own each time: what is taken over from a run holds for the whole device.
    let open = || common::open(Checks::Trusted, Forms::Best);
    let Some(gpu) = open() else { return };
    let (device, fresh) = (Device::Gpu(gpu.clone()), || Device::Gpu(open().expect("it was opened before")));
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    // Twelve channels, so that there are layers that no matrix product computes and whose forms add in different orders.
    let config = TrainConfig { max_steps: Some(9), width: 0.1875, ..tiny(Method::NATURAL) };
    let programs = Trainer::new(device.clone(), &config, DIGITS, None, None).unwrap().programs();
    if !programs.iter().flat_map(|program| &program.calls).any(|call| gpu.candidates(call).len() > 1) {
        return common::not_tested("the forms that a run keeps", "the adapter has one form for every call");
    }
    run(&device, &config, &place("usual"), None).unwrap();
    let kernels = |name: &str| RunFolder::open(&place(name)).unwrap().1.kernels;
    let mut portable = kernels("usual").expect("config.toml has the forms of kernels");
    assert!(portable.forms.values().any(|form| form != "portable"), "{portable:?}");
    portable.forms.values_mut().for_each(|form| *form = "portable".to_string());
    let config = TrainConfig { kernels: Some(portable.clone()), ..config };
    run(&device, &config, &place("whole"), None).unwrap();

    run(&fresh(), &config, &place("pieces"), Some(4)).unwrap();
    // As --resume does.
    let (_, found) = RunFolder::open(&place("pieces")).unwrap();
    run(&fresh(), &found, &place("pieces"), None).unwrap();

    assert_eq!(kernels("pieces"), Some(portable));
    assert!(bits(&place("pieces")) == bits(&place("whole")));
    assert!(
        bits(&place("pieces")) != bits(&place("usual")),
        "the form does not matter, so nothing was tested"
    );
}

#[test]
fn a_run_that_was_limited_to_fewer_steps_goes_on_to_the_bits_of_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
    run(&cpu(), &config(Method::PGN), &whole, None).unwrap();
    for max_steps in [Some(1), Some(12), Some(20), Some(29)] {
        run(&cpu(), &TrainConfig { max_steps, ..config(Method::PGN) }, &pieces, None).unwrap();
    }
    assert!(bits(&whole) == bits(&pieces));
}

#[test]
fn steps_that_a_crash_left_in_the_metrics_without_a_checkpoint_are_not_there_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let config = config(Method::NATURAL);
    let saved = run(&cpu(), &config, &path, Some(5)).unwrap().steps;
    // What a run leaves that is killed two and a half steps after its checkpoint.
    let mut metrics = fs::OpenOptions::new().append(true).open(path.join("metrics.jsonl")).unwrap();
    for step in saved + 1..saved + 3 {
        writeln!(metrics, r#"{{"kind":"step","step":{step},"epoch":0,"loss":-1.0}}"#).unwrap();
    }
    write!(metrics, r#"{{"kind":"step","st"#).unwrap();
    drop(metrics);

    run(&cpu(), &config, &path, None).unwrap();

    assert_eq!(step_numbers(&path), (1..=29).collect::<Vec<_>>());
    assert!(
        steps(&path).iter().all(|step| step["loss"].as_f64().unwrap() > 0.0),
        "a line of the lost steps stayed"
    );
}

#[test]
fn an_epoch_that_a_limit_had_cut_has_one_record_when_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let epochs = || -> Vec<[u64; 2]> {
        let text = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let number = |record: &serde_json::Value, key: &str| record[key].as_u64().unwrap();
        records
            .filter(|record| record["kind"] == "epoch")
            .map(|record| [number(&record, "epoch"), number(&record, "step")])
            .collect()
    };
    let train = |max_steps| {
        let config = TrainConfig { max_steps: Some(max_steps), ..tiny(Method::NATURAL) };
        run(&cpu(), &config, &path, None).unwrap();
    };
    train(15);
    assert_eq!(epochs(), [[0, 12], [1, 15]]);
    // Over as it is, so the record of its end stays.
    train(15);
    assert_eq!(epochs(), [[0, 12], [1, 15]]);
    train(24);
    assert_eq!(epochs(), [[0, 12], [1, 24]]);
    train(30);
    assert_eq!(epochs(), [[0, 12], [1, 24], [2, 30]]);
}

#[test]
fn a_run_in_training_is_not_trained_by_anybody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    run(&cpu(), &config(Method::NATURAL), &path, Some(5)).unwrap();
    let lock = RunLock::take(&path).unwrap();
    let before = bits(&path);
    let error = run(&cpu(), &config(Method::NATURAL), &path, None).unwrap_err().to_string();
    assert!(error.contains("is being trained by process") && error.contains("run"), "{error}");
    assert!(bits(&path) == before);
    drop(lock);
    run(&cpu(), &config(Method::NATURAL), &path, None).unwrap();
}

#[test]
fn a_run_that_was_taken_over_while_it_slept_writes_nothing_more() {
    /// Gives the folder another holder at the first step, as a machine does that finds this one silent for too long.
    struct TakeOver<'a>(&'a Path);
    impl Observer for TakeOver<'_> {
        fn step(&mut self, record: &StepRecord, _: u64) {
            if record.step == 1 {
                let successor = r#"{"host":"node17","pid":1,"since":0}"#;
                fs::write(self.0.join("lock"), successor).unwrap();
            }
        }
        fn epoch(&mut self, _: &EpochRecord, _: u32) {}
        fn warning(&mut self, _: &str) {}
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let config = TrainConfig { checkpoint_every: Some(4), ..config(Method::NATURAL) };
    let stop = AtomicBool::new(false);
    let mut observer = TakeOver(&path);
    let fit = Fit::new(cpu(), config, Home::New(path.clone()), &mut observer, &stop).unwrap();
    let error = fit.run().unwrap_err().to_string();
    assert!(error.contains("taken over by process 1 on node17"), "{error}");
    assert_eq!(checkpoint(&path).head.progress.step, 0, "it went on writing beside its successor");
    assert!(!path.join("model.safetensors").exists());
    assert!(fs::read_to_string(path.join("lock")).unwrap().contains("node17"));
}

#[test]
fn whoever_resumes_a_finished_run_is_told_that_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let config = |max_steps| TrainConfig { max_steps: Some(max_steps), ..tiny(Method::NATURAL) };
    run(&cpu(), &config(3), &path, None).unwrap();
    let notes = |max_steps| {
        let (stop, home) = (AtomicBool::new(false), Home::Existing(RunFolder::open(&path).unwrap().0));
        let mut observer = StopAt { at: None, stop: &stop };
        Fit::new(cpu(), config(max_steps), home, &mut observer, &stop).unwrap().notes().to_vec()
    };
    assert_eq!(notes(3), ["the run has done its 3 steps; give more `max-steps` to go on"]);
    assert_eq!(notes(4), Vec::<String>::new());
}

#[test]
fn a_finished_run_that_is_resumed_keeps_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    run(&cpu(), &config(Method::PGN), &path, None).unwrap();
    let before = bits(&path);
    let outcome = run(&cpu(), &config(Method::PGN), &path, None).unwrap();
    assert!(!outcome.interrupted && outcome.steps == 29 && outcome.test.is_some());
    assert!(bits(&path) == before);
}

#[test]
fn a_run_that_ends_where_it_was_killed_does_not_keep_the_model_of_an_earlier_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let model = path.join("model.safetensors");
    let until = |max_steps| TrainConfig { max_steps: Some(max_steps), ..tiny(Method::NATURAL) };
    run(&cpu(), &until(3), &path, None).unwrap();
    let earlier = fs::read(&model).unwrap();
    run(&cpu(), &until(5), &path, None).unwrap();
    let wanted = fs::read(&model).unwrap();
    // As a process leaves it that was to make more than five steps and was killed after the checkpoint of the fifth.
    fs::write(&model, &earlier).unwrap();
    let opened = RunFolder::open(&path).unwrap().0;
    assert!(!opened.is_complete(&until(5)).unwrap(), "a sweep would skip it");
    let note = Place::find(&path).unwrap().half_trained().expect("it says which networks these are");
    assert!(note.contains("after 3 steps") && note.contains("after 5"), "{note}");
    run(&cpu(), &until(5), &path, None).unwrap();
    assert!(fs::read(&model).unwrap() == wanted, "the model is not that of the last step");
    assert!(opened.is_complete(&until(5)).unwrap());
    assert_eq!(Place::find(&path).unwrap().half_trained(), None);
}

#[test]
fn a_run_goes_on_with_the_micro_batch_that_it_began_with_however_much_fits_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let until = |max_steps| TrainConfig { max_steps: Some(max_steps), ..tiny(Method::NATURAL) };
    run(&cpu(), &until(3), &path, None).unwrap();
    let whole = until(3).batch_size;
    let mut saved = checkpoint(&path);
    assert_eq!(saved.head.progress.micro_batch, Some(whole));
    // As on a machine with less memory.
    saved.head.progress.micro_batch = Some(whole / 2);
    RunFolder::open(&path).unwrap().0.save_checkpoint(saved).unwrap();
    let (stop, home) = (AtomicBool::new(false), Home::Existing(RunFolder::open(&path).unwrap().0));
    let mut observer = StopAt { at: None, stop: &stop };
    let fit = Fit::new(cpu(), until(5), home, &mut observer, &stop).unwrap();
    assert_eq!(fit.trainer().micro_batch(), whole / 2);
    fit.run().unwrap();
    assert_eq!(checkpoint(&path).head.progress.micro_batch, Some(whole / 2));
    // Where less fits than before, the user is told.
    let trainer = Trainer::new(cpu(), &until(3), DIGITS, None, Some(whole / 4)).unwrap();
    let note = trainer.split_note(Some(whole / 2)).unwrap();
    assert!(note.contains(&(whole / 2).to_string()) && note.contains(&(whole / 4).to_string()), "{note}");
    assert!(trainer.split_note(Some(whole / 4)).unwrap().contains("as in the steps so far"));
    assert!(trainer.split_note(None).unwrap().contains("does not fit"));
}

#[test]
fn a_seed_gives_the_same_bits_every_time_and_another_seed_others() {
    for (name, device) in devices() {
        for method in [Method::NATURAL, Method::PGN] {
            let folder = tempfile::tempdir().unwrap();
            let bits_of = |place: &str, seed| {
                let path = folder.path().join(place);
                let config = TrainConfig { seed, max_steps: Some(4), ..tiny(method) };
                run(&device, &config, &path, None).unwrap();
                bits(&path)
            };
            let first = bits_of("first", 1);
            assert!(first == bits_of("second", 1), "{name}, {}: other bits", method.name());
            assert!(first != bits_of("third", 2), "{name}, {}: the seed does not matter", method.name());
        }
    }
}

#[test]
fn the_resolved_configuration_of_a_run_repeats_it_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    // Nothing as it is by default.
    let config = TrainConfig {
        seed: u64::MAX,
        lr: 1.234_567e-3,
        generator_lr: Some(0.004),
        c_l: 1.7,
        adv_coeff: 0.3,
        ema_warmup: false,
        update: Update::Alternating,
        generator_steps: 2,
        augment: Augment::FlipAndCrop,
        validation_share: Some(0.2),
        max_steps: Some(7),
        batch_size: 33,
        ..tiny(Method::PGN)
    };
    run(&cpu(), &config, &first, None).unwrap();

    let read = TrainOptions::from_file(&first.join("config.toml")).unwrap();
    let resolved = TrainOptions::default().resolve(&read);
    assert_eq!(resolved, config);
    run(&cpu(), &resolved, &second, None).unwrap();

    assert!(bits(&first) == bits(&second));
}

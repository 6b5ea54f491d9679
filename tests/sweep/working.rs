//! Plans that are worked off, once and again, by one worker and by several.

use super::{plan, tiny, work_off, workers};
use pgn_wgpu::gpu::adapter::AdapterChoice;
use pgn_wgpu::sweep::{Event, Plan, Point, State, Summary, SweepError, Work, run, state};
use pgn_wgpu::training::lock::RunLock;
use pgn_wgpu::training::{Method, TrainConfig};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

fn names(seeds: &[u64]) -> Vec<String> {
    seeds.iter().map(|seed| format!("seed{seed}")).collect()
}

fn states(plan: &Plan) -> Vec<State> {
    state(plan).unwrap().into_iter().map(|(_, state)| state).collect()
}

/// The bytes of every run's model.safetensors, by the name of the run.
fn weights(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let model = |point: &str| fs::read(folder.join(point).join("model.safetensors")).unwrap();
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|point| (point.clone(), model(&point)))
        .collect()
}

#[test]
fn every_point_is_trained_once_and_skipped_ever_after() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), 0..3);
    assert_eq!(states(&plan), [State::Todo, State::Todo, State::Todo]);

    let (summary, steps) = work_off(&plan, &workers(1));
    assert_eq!(summary.unwrap().done, names(&[0, 1, 2]));
    let expected: Vec<_> =
        names(&[0, 1, 2]).iter().flat_map(|name| (1..=4).map(|s| (name.clone(), s))).collect();
    assert_eq!(steps, expected);
    assert_eq!(states(&plan), [State::Done, State::Done, State::Done]);

    let (summary, steps) = work_off(&plan, &workers(1));
    assert_eq!(summary.unwrap().skipped, names(&[0, 1, 2]));
    assert!(steps.is_empty());
}

#[test]
fn several_workers_share_the_points_and_train_what_one_would() {
    let folder = tempfile::tempdir().unwrap();
    let (alone, together) = (folder.path().join("alone"), folder.path().join("together"));
    work_off(&plan(&alone, 0..5), &workers(1)).0.unwrap();
    let (summary, mut steps) = work_off(&plan(&together, 0..5), &workers(3));
    assert_eq!(summary.unwrap().done, names(&[0, 1, 2, 3, 4]));
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), 5 * 4, "a step was trained twice or not at all");
    assert!(weights(&alone) == weights(&together));
}

#[test]
fn a_stopped_sweep_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan(folder.path(), 0..3);
    for point in &mut plan.points {
        point.config.max_steps = Some(40);
    }
    let stop = AtomicBool::new(false);
    let watcher = |point: &Point, event: &Event| {
        if let Event::Step(record, 40) = event
            && (point.name.as_str(), record.step) == ("seed1", 9)
        {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let work = Work { tensorboard: true, ..workers(1) };
    let summary = run(&plan, &work, &stop, &watcher).unwrap();
    assert!(summary.interrupted && summary.done == names(&[0]), "{summary:?}");
    let saved = match &states(&plan)[..] {
        [State::Done, State::Partial(step), State::Todo] => *step,
        other => panic!("{other:?}"),
    };
    assert!((9..14).contains(&saved), "{saved}");

    let (summary, steps) = work_off(&plan, &work);
    let summary = summary.unwrap();
    assert_eq!((summary.skipped, summary.done), (names(&[0]), names(&[1, 2])));
    assert_eq!(steps.first(), Some(&("seed1".to_string(), saved + 1)), "steps were trained again");
    assert_eq!(steps.len() as u64, 40 - saved + 40);
    // One event file per session.
    let events = |name: &str| fs::read_dir(folder.path().join(name).join("tensorboard")).unwrap().count();
    assert_eq!(["seed0", "seed1", "seed2"].map(events), [1, 2, 1]);
}

#[test]
fn what_a_run_would_say_alone_it_says_in_a_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan(folder.path(), 0..1);
    plan.points[0].config.method = Method::FGM;
    plan.points[0].config.validation_share = Some(0.0);
    let notes = Mutex::new(Vec::new());
    let watcher = |point: &Point, event: &Event| {
        if let Event::Note(note) = event {
            notes.lock().unwrap().push(format!("{}: {note}", point.name));
        }
    };
    run(&plan, &workers(1), &AtomicBool::new(false), &watcher).unwrap();
    let notes = notes.into_inner().unwrap();
    assert!(notes.len() == 1 && notes[0].starts_with("seed0: there are no validation images"), "{notes:?}");
}

#[test]
fn a_run_that_was_killed_between_its_last_step_and_its_model_is_not_taken_for_done() {
    let folder = tempfile::tempdir().unwrap();
    let short = plan(folder.path(), 0..1);
    work_off(&short, &workers(1)).0.unwrap();
    fs::remove_file(folder.path().join("seed0/model.safetensors")).unwrap();
    assert_eq!(states(&short), [State::Partial(4)]);
    let (summary, steps) = work_off(&short, &workers(1));
    assert_eq!((summary.unwrap().done, steps.len()), (names(&[0]), 0));
    assert_eq!(states(&short), [State::Done]);
}

#[test]
fn a_point_that_somebody_else_trains_is_left_to_him() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), 0..2);
    work_off(&plan, &workers(1)).0.unwrap();
    fs::remove_file(folder.path().join("seed0/checkpoints/last.safetensors")).unwrap();
    let lock = RunLock::take(&folder.path().join("seed0")).unwrap();
    assert!(matches!(states(&plan)[..], [State::Busy(_), State::Done]), "{:?}", states(&plan));
    let summary = work_off(&plan, &workers(1)).0.unwrap();
    assert_eq!((summary.busy, summary.skipped), (names(&[0]), names(&[1])));
    drop(lock);
    assert_eq!(work_off(&plan, &workers(1)).0.unwrap().done, names(&[0]));
}

#[test]
fn a_failure_is_recorded_the_rest_goes_on_and_a_later_success_clears_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan(folder.path(), 0..3);
    plan.points[1].config.from = Some(folder.path().join("absent.safetensors"));
    let summary = work_off(&plan, &workers(1)).0.unwrap();
    assert_eq!(summary.done, names(&[0, 2]));
    let [(name, reason)] = &summary.failed[..] else { panic!("{summary:?}") };
    assert!(name == "seed1" && reason.contains("absent.safetensors"), "{reason}");
    let recorded = fs::read_to_string(folder.path().join("seed1/failed.txt")).unwrap();
    assert_eq!(recorded.trim_end(), reason);
    assert_eq!(states(&plan), [State::Done, State::Failed(reason.clone()), State::Done]);

    fs::copy(folder.path().join("seed0/model.safetensors"), folder.path().join("absent.safetensors"))
        .unwrap();
    assert_eq!(work_off(&plan, &workers(1)).0.unwrap().done, names(&[1]));
    assert_eq!(states(&plan)[1], State::Done);
    assert!(!folder.path().join("seed1/failed.txt").exists());
}

#[test]
fn a_folder_of_another_run_is_refused_with_what_differs_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan(folder.path(), 0..2);
    work_off(&Plan { points: plan.points[1..].to_vec(), ..plan.clone() }, &workers(1)).0.unwrap();
    plan.points[1].config.lr = 0.25;
    let (error, steps) = work_off(&plan, &workers(1));
    let error = error.unwrap_err().to_string();
    for part in ["seed1", "lr is 0.002 there and 0.25 in the sweep"] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(steps.is_empty() && !folder.path().join("seed0").exists());
    assert_eq!(state(&plan).unwrap_err().to_string(), error);
}

#[test]
fn shards_are_a_partition_of_the_points() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), 0..5);
    let shard = |text: &str| Work { shard: Some(text.parse().unwrap()), ..workers(1) };
    assert_eq!(work_off(&plan, &shard("1/2")).0.unwrap().done, names(&[0, 2, 4]));
    assert_eq!(work_off(&plan, &shard("2/2")).0.unwrap().done, names(&[1, 3]));
    assert!(states(&plan).iter().all(|state| *state == State::Done));
    for wrong in ["0/2", "3/2", "2", "a/b", "1/0", ""] {
        assert!(wrong.parse::<pgn_wgpu::shard::Shard>().is_err(), "{wrong}");
    }
}

#[test]
fn a_share_without_runs_needs_no_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), 0..3);
    let absent = AdapterChoice::Name("no such adapter".to_string());
    let share = |text: &str| {
        let work = Work { adapters: vec![absent.clone()], shard: Some(text.parse().unwrap()), ..workers(1) };
        work_off(&plan, &work).0
    };
    assert_eq!(share("8/8").unwrap(), Summary::default());
    assert!(matches!(share("1/8"), Err(SweepError::Gpu(_))), "it has a run");
}

#[test]
fn plans_without_points_and_with_the_same_run_twice_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |plan: &Plan| work_off(plan, &workers(1)).0.unwrap_err().to_string();
    assert!(refused(&plan(folder.path(), 0..0)).contains("no points"));
    let mut twice = plan(folder.path(), 0..3);
    // The adapter does not make it another run.
    twice.points[2].config = TrainConfig { adapter: "cpu".to_string(), ..twice.points[0].config.clone() };
    assert_eq!(refused(&twice), "seed0 and seed2 are the same run; leave one of them out");
    let mut wrong = plan(folder.path(), 0..2);
    wrong.points[1].config = TrainConfig { epochs: 0, ..tiny() };
    assert!(refused(&wrong).starts_with("seed1: `epochs` 0"));
    wrong.points[1].name = "../elsewhere".to_string();
    assert!(refused(&wrong).starts_with("\"../elsewhere\" is no name of a folder"));
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

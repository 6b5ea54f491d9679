//! `pgn-wgpu report` over run folders of the embedded digits, on the CPU path.

use crate::program::{refuse, succeed};
use pgn_wgpu::data::DatasetKind;
use pgn_wgpu::training::run::RunFolder;
use pgn_wgpu::training::{Preset, TrainConfig};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Trains for an epoch into the folder `name`.
fn train(folder: &Path, method: &str, name: &str, more: &[&str]) {
    let flags = [
        "train",
        "--adapter",
        "cpu",
        "--width",
        "0.0625",
        "--epochs",
        "1",
        "--method",
        method,
        "--out",
        name,
    ];
    succeed(folder, &[&flags[..], more].concat());
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

fn table(folder: &Path, file: &str) -> Value {
    serde_json::from_str(&read(folder, file)).unwrap()
}

#[test]
fn an_evaluated_run_beside_another_has_curves_tables_images_and_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, "pgn", "pgn", &["--seed", "7"]);
    train(folder, "fgm", "fgm", &[]);
    let quick = ["--adapter", "cpu", "--limit", "20", "--iterations", "4"];
    succeed(folder, &[&["evaluate", "pgn", "--paper", "cifar10"], &quick[..]].concat());
    let judge = ["verdict", "fgm", "--adapter", "cpu", "--limit", "20", "--epsilon"];
    succeed(folder, &[&judge[..], &["0.25"]].concat());
    succeed(folder, &[&judge[..], &["8/255", "--norm", "linf", "--out", "fgm/verdict-linf"]].concat());
    let text = succeed(folder, &["report", "pgn", "fgm", "--sheets", "--adapter", "cpu"]);
    assert!(
        text.contains("pgn: PGN training on UCI optical digits, 1 of 1 epochs")
            && text.contains("written  report"),
        "{text}"
    );

    let html = read(folder, "report/report.html");
    for part in [
        "CPU reference path",
        env!("CARGO_PKG_VERSION"),
        "<dt>seed</dt><dd>7</dd>",
        "<dt>lr</dt><dd>0.002</dd>",
        "data:image/png;base64,",
        "paper, CIFAR-10, PGN",
        "class=\"notes\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
    for figure in [
        "loss",
        "benign-accuracy",
        "delta",
        "generator-and-fgm",
        "accuracy-against-cw",
        "accuracy-against-deepfool",
    ] {
        assert!(folder.join(format!("report/figures/{figure}.svg")).is_file(), "{figure}");
    }
    // Every cell is filled or explained.
    for file in ["report/tables/evaluation.json", "report/tables/runs.json"] {
        let table = table(folder, file);
        let width = table["head"].as_array().unwrap().len();
        for row in table["rows"].as_array().unwrap() {
            let cells = row.as_array().unwrap();
            assert_eq!(cells.len(), width);
            assert!(cells.iter().all(|cell| cell["text"] != "" || cell["note"].is_string()), "{row}");
        }
    }
    assert!(text.contains("of 20 test images withstand the quick verdict within L2 epsilon 0.25"), "{text}");
    // A row for each verdict, and why there is none for the other run.
    let verdicts = table(folder, "report/tables/verdicts.json")["rows"].as_array().unwrap().clone();
    let column = |row: usize, column: usize| verdicts[row][column]["text"].as_str().unwrap().to_string();
    assert_eq!(verdicts.len(), 3);
    assert_eq!([column(0, 0), column(0, 2), column(0, 3), column(0, 4)], ["fgm", "L2", "0.25", "quick"]);
    assert_eq!([column(1, 0), column(1, 2)], ["fgm", "Linf"]);
    assert!(verdicts[2][1]["note"].as_str().unwrap().contains("pgn-wgpu verdict pgn"));
    let verdict: Value = serde_json::from_str(&read(folder, "fgm/verdict/verdict.json")).unwrap();
    assert_eq!(verdicts[0][1]["value"], verdict["robust-accuracy"]["value"]);
    // The first rows of an evaluation, and the whole behind a fold.
    let first = table(folder, "report/tables/evaluation-first.json")["rows"].as_array().unwrap().clone();
    let names: Vec<&str> = first.iter().map(|row| row[0]["text"].as_str().unwrap()).collect();
    assert!(
        names.len() == 3 && names[1].contains("quick verdict") && names[2].contains("by DeepFool and C&W")
    );
    let [before, after] = html.split_once("<details class=\"table\">").map(|(a, b)| [a, b]).unwrap();
    assert!(before.contains("quick verdict, L2") && after.contains("DeepFool mean L2, R2"));
    // The same numbers as in the evaluation.
    let evaluation: Value = serde_json::from_str(&read(folder, "pgn/evaluation.json")).unwrap();
    let measures = evaluation["runs"][0]["measures"].as_array().unwrap();
    let rows = table(folder, "report/tables/evaluation.json")["rows"].as_array().unwrap().clone();
    assert_eq!(rows.len(), measures.len());
    for (row, measure) in rows.iter().zip(measures) {
        assert_eq!((&row[0]["text"], &row[1]["value"]), (&measure["name"], &measure["value"]));
        assert!(row[2]["note"].as_str().unwrap().contains("fgm is not in this evaluation"));
    }
    // The curve begins at benign accuracy, never rises, and its norms never fall.
    let lines = read(folder, "report/figures/accuracy-against-deepfool.csv");
    let points: Vec<(f64, f64)> = lines
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|fields| (fields[1].parse().unwrap(), fields[2].parse().unwrap()))
        .collect();
    assert_eq!(points[0], (0.0, measures[0]["value"].as_f64().unwrap()));
    assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 > pair[1].1), "{points:?}");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, "natural", "run", &["--validation-share", "0"]);
    let error = refuse(folder, &["report", "run", "nothing", "--out", "r"]);
    assert!(
        error.contains("nothing: is no run folder") && error.contains("the report is of the others"),
        "{error}"
    );
    let html = read(folder, "r/report.html");
    assert!(html.contains("is no run folder") && html.contains("natural training"));
    // Without validation images there is a curve less and an explanation more.
    assert!(!folder.join("r/figures/benign-accuracy.svg").exists());
    assert!(html.contains("There were no validation images"));
    assert!(html.contains(
        "there is no evaluation of it in its folder; <code>pgn-wgpu evaluate run</code> makes one"
    ));

    fs::write(folder.join("run/evaluation.json"), "{\"version\": 3}").unwrap();
    fs::write(folder.join("run/model.safetensors"), "x").unwrap();
    fs::write(folder.join("run/metrics.jsonl"), "?\n?\n?\n").unwrap();
    succeed(folder, &["report", "run"]);
    let html = read(folder, "run/report/report.html");
    for part in [
        "evaluation.json cannot be believed",
        "model.safetensors",
        "3 lines of metrics.jsonl",
        "0 of 1 epochs",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(refuse(folder, &["report", "nothing", "neither"]).contains("nothing: is no run folder"));
}

#[test]
fn runs_of_different_data_sets_are_told_apart_in_one_sentence_and_sections_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, "natural", "a/run", &[]);
    let config = TrainConfig::preset(Preset::Small, DatasetKind::Cifar10);
    RunFolder::create(&folder.join("b/run"), &config).unwrap();
    let text = succeed(folder, &["report", "a/run", "b/run"]);
    assert_eq!(
        text.lines()
            .filter(|line| line.contains("different data sets (UCI optical digits, cifar10)"))
            .count(),
        1,
        "{text}"
    );
    let html = read(folder, "report/report.html");
    for heading in ["UCI optical digits: Training", "cifar10: Runs", "cifar10: Settings"] {
        assert!(html.contains(&format!("<h2>{heading}</h2>")), "{heading}");
    }
}

#[test]
fn a_second_report_renews_its_own_files_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, "natural", "run", &["--max-steps", "1"]);
    train(folder, "natural", "other", &["--max-steps", "1"]);
    succeed(folder, &["report", "run", "other", "--out", "r"]);
    fs::write(folder.join("r/notes.txt"), "mine").unwrap();
    let before = read(folder, "r/report.json");
    // About the same runs, in another order.
    succeed(folder, &["report", "other", "./run", "--out", "r"]);
    assert_ne!(read(folder, "r/report.json"), before);
    assert_eq!(read(folder, "r/notes.txt"), "mine");
    // Without its metrics the other run has no curves, and none of the old ones stay.
    assert!(folder.join("r/figures/loss.svg").is_file());
    for run in ["run", "other"] {
        fs::remove_file(folder.join(run).join("metrics.jsonl")).unwrap();
    }
    succeed(folder, &["report", "run", "other", "--out", "r"]);
    assert!(!folder.join("r/figures/loss.svg").exists());
    let error = refuse(folder, &["report", "run", "--out", "r"]);
    assert!(error.contains("other too, which this call leaves out") && error.contains("--force"), "{error}");
    succeed(folder, &["report", "run", "--out", "r", "--force"]);
    fs::create_dir_all(folder.join("foreign/tables")).unwrap();
    fs::write(folder.join("foreign/tables/runs.csv"), "precious").unwrap();
    let error = refuse(folder, &["report", "run", "--out", "foreign"]);
    assert!(error.contains("runs.csv exists and belongs to no earlier report"), "{error}");
    assert_eq!(read(folder, "foreign/tables/runs.csv"), "precious");
    assert!(!folder.join("foreign/report.html").exists());
}

#[test]
fn a_report_is_renewed_from_another_working_folder_and_after_a_move() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
    for run in ["project/runs/a", "project/runs/b"] {
        RunFolder::create(&folder.join(run), &config).unwrap();
    }
    let project = folder.join("project");
    succeed(&project, &["report", "runs/a", "runs/b", "--out", "both"]);
    succeed(&project.join("runs"), &["report", "a", "b", "--out", "../both"]);
    let moved = folder.join("moved");
    fs::rename(&project, &moved).unwrap();
    succeed(&moved, &["report", "runs/a", "runs/b", "--out", "both"]);
    let error = refuse(&moved, &["report", "runs/a", "--out", "both"]);
    assert!(error.contains("moved/runs/b too, which this call leaves out"), "{error}");
}

#[test]
fn every_run_of_an_evaluation_finds_it_until_its_weights_change() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, "natural", "one", &[]);
    train(folder, "fgm", "two", &[]);
    let quick = ["--adapter", "cpu", "--limit", "10", "--attack", "fgm"];
    succeed(folder, &[&["evaluate", "one", "two"], &quick[..]].concat());
    succeed(folder, &["report", "two"]);
    let html = read(folder, "two/report/report.html");
    assert!(html.contains("two (fgm)") && html.contains("accuracy under FGM"), "{html}");
    assert!(html.contains("Attacks: FGM (epsilon 0.5, norm l2"));
    // Nor does evaluation.json, in the folder of the first, outlive the weights.
    let weights = ["one", "two"].map(|run| fs::read(folder.join(run).join("model.safetensors")).unwrap());
    for (run, other) in ["one", "two"].iter().zip(weights.iter().rev()) {
        fs::write(folder.join(run).join("model.safetensors"), other).unwrap();
        succeed(folder, &["report", run]);
        let html = read(folder, &format!("{run}/report/report.html"));
        assert!(html.contains("there is no evaluation of it in its folder"), "{run}");
    }
}

#[test]
fn what_an_evaluation_beside_another_run_says_of_earlier_weights_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, "natural", "one", &[]);
    train(folder, "fgm", "two", &[]);
    let quick = ["--adapter", "cpu", "--limit", "50", "--attack", "deepfool", "--no-verdict", "--force"];
    let distance = |file: &str, run: &str| {
        let evaluation = table(folder, file);
        let of = |list: &Value, key: &str, name: &str| {
            list.as_array().unwrap().iter().find(|one| one[key] == name).unwrap().clone()
        };
        let measures = &of(&evaluation["runs"], "name", run)["measures"];
        format!("{:.4}", of(measures, "key", "deepfool-mean-l2-r2")["value"].as_f64().unwrap())
    };
    succeed(folder, &[&["evaluate", "one", "two"], &quick[..]].concat());
    let before = distance("one/evaluation.json", "two");
    succeed(folder, &["train", "--resume", "two", "--epochs", "3"]);
    succeed(folder, &[&["evaluate", "two"], &quick[..]].concat());
    let now = distance("two/evaluation.json", "two");
    assert_ne!(before, now);
    for order in [["one", "two"], ["two", "one"]] {
        succeed(folder, &[&["report"], &order[..], &["--force"]].concat());
        let html = read(folder, "report/report.html");
        assert!(html.contains(&now) && !html.contains(&before), "{order:?}: {before}, now {now}");
    }
}

#[test]
fn curves_state_the_attacks_budget_and_warn_where_budgets_differ() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, "natural", "one", &[]);
    train(folder, "fgm", "two", &[]);
    let deepfool = |run: &str, iterations: &str| {
        let quick = ["--adapter", "cpu", "--limit", "10", "--attack", "deepfool", "--force"];
        succeed(folder, &[&["evaluate", run, "--iterations", iterations], &quick[..]].concat());
    };
    deepfool("one", "3");
    deepfool("two", "9");
    succeed(folder, &["report", "one", "two"]);
    let html = read(folder, "report/report.html");
    assert!(html.contains("had different budgets") && html.contains("one: iterations 3"), "{html}");
    // With a budget in common the curves are at it, whatever else was run.
    deepfool("two", "3");
    succeed(folder, &["report", "one", "two"]);
    let html = read(folder, "report/report.html");
    assert!(
        !html.contains("had different budgets") && html.contains("budget: iterations 3, candidates 10"),
        "{html}"
    );
}

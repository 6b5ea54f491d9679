//! `reproduce` from training to report on the embedded digits, and what its report must hold: every figure has
//! points, every cell a value or a reason, curves go the way they must, and a second call computes nothing again.

mod program;

use pgn_wgpu::training::metrics::Metrics;
use program::text;
use serde_json::Value;
use std::path::Path;
use std::process::Output;
#[cfg(unix)]
use std::process::{Command, Stdio};
#[cfg(unix)]
use std::time::{Duration, Instant};

/// Where the tests compute.
fn adapter() -> String {
    std::env::var("PGN_TEST_ADAPTER").unwrap_or_else(|_| "auto".into())
}

fn reproduce(out: &Path, arguments: &[&str]) -> Output {
    let mut command = program::command(out, ["reproduce", "--scale", "smoke", "--out", "."]);
    command.args(["--adapter", &adapter()]).args(arguments).output().unwrap()
}

/// All blocks of a kind in the report's data.
fn blocks<'a>(page: &'a Value, kind: &str) -> Vec<&'a Value> {
    let sections = page["sections"].as_array().unwrap();
    let blocks = sections.iter().flat_map(|section| section["blocks"].as_array().unwrap());
    blocks.filter_map(|block| block.get(kind)).collect()
}

fn figure<'a>(page: &'a Value, id: &str) -> &'a Value {
    let found = blocks(page, "figure").into_iter().find(|figure| figure["id"] == id);
    found.unwrap_or_else(|| panic!("the report has no figure {id}"))
}

/// Points of the series of this name.
fn points(figure: &Value, series: &str) -> Vec<(f64, f64)> {
    let all = figure["series"].as_array().unwrap();
    let own = all.iter().find(|s| s["name"] == series).unwrap_or_else(|| panic!("no series {series}"));
    let points = own["points"].as_array().unwrap().iter();
    points.map(|p| (p["x"].as_f64().unwrap(), p["y"].as_f64().unwrap())).collect()
}

#[test]
fn all_experiments_run_at_the_smoke_scale_and_every_cell_is_filled_or_explained() {
    let scratch = tempfile::tempdir().unwrap();
    let output = reproduce(scratch.path(), &["all"]);
    assert!(output.status.success(), "{}", text(&output));
    let report = scratch.path().join("report");
    let page: Value = serde_json::from_slice(&std::fs::read(report.join("report.json")).unwrap()).unwrap();
    assert!(std::fs::metadata(report.join("report.html")).unwrap().len() > 10_000);
    every_cell_is_filled_or_explained(&page);
    assert_eq!(blocks(&page, "picture").len(), 3, "table 4 has examples at three norms");
    curves_go_the_way_they_must(&page);
    accuracy_falls_with_the_norm_where_methods_can_be_matched(&page, &scratch.path().join("runs/digits"));
    every_row_of_the_table_has_a_number_in_every_column(&page);
    the_table_matches_what_it_says(&page);
    a_second_call_only_writes_the_report(scratch.path(), &page);
    // Its forty runs more take minutes on software Vulkan, and nothing in it knows of adapters.
    if adapter() == "cpu" {
        beyond_compares_all_contenders(scratch.path());
    } else {
        program::skipped("beyond from training to report, because PGN_TEST_ADAPTER is not cpu");
    }
}

/// The contenders of `beyond` whose strength varies.
const VARIED: [&str; 9] =
    ["FGM", "PGD", "TRADES", "MART", "fast", "PGN", "PGN-radius", "PGN-radius-2", "PGN-radius-2-margin"];

/// On the runs of the paper's experiments and some more.
fn beyond_compares_all_contenders(out: &Path) {
    // A ResNet has the same tables and figures, and takes longer.
    let call = ["beyond", "--network", "all-convolutional"];
    let output = reproduce(out, &[&call[..], &["--force"]].concat());
    assert!(output.status.success(), "{}", text(&output));
    let report = out.join("report/report.json");
    let page: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    every_cell_is_filled_or_explained(&page);
    assert_eq!(blocks(&page, "figure")[0]["id"], "beyond-all-convolutional-verdict");
    assert!(!page.to_string().contains("resnet18"));
    for (measure, highest) in [("verdict", 1.0), ("median", f64::INFINITY)] {
        let figure = figure(&page, &format!("beyond-all-convolutional-{measure}"));
        for title in VARIED {
            let curve = points(figure, title);
            assert_eq!(curve.len(), 2, "{measure}, {title}");
            let possible = |(x, y): &(f64, f64)| (0.0..=1.0).contains(x) && (0.0..=highest).contains(y);
            assert!(curve.iter().all(possible), "{measure}, {title}: {curve:?}");
        }
        assert_eq!(points(figure, "natural").len(), 1);
    }
    let time = figure(&page, "beyond-all-convolutional-time");
    let pgd = points(time, "PGD");
    assert!(pgd.len() == 1 && pgd[0].0 > 0.0, "{pgd:?}");
    let prices =
        blocks(&page, "table").into_iter().find(|t| t["id"] == "beyond-all-convolutional-time-table");
    let names: Vec<&str> =
        prices.unwrap()["rows"].as_array().unwrap().iter().map(|r| r[0]["text"].as_str().unwrap()).collect();
    assert_eq!(names, [&["natural"], &VARIED[..]].concat());
    let paragraphs = page["sections"][0]["text"].to_string();
    for measure in ["accuracy under the quick verdict", "median of the smallest L2"] {
        assert!(paragraphs.contains(&format!("On all-convolutional, by {measure}")), "{paragraphs}");
    }
    let again = text(&reproduce(out, &call));
    assert!(again.contains("0 of them to be trained in 0 steps: about 0.0 s of training"), "{again}");
    assert!(again.contains("at most about 0.0 s of attacks"), "{again}");
}

fn every_cell_is_filled_or_explained(page: &Value) {
    for table in blocks(page, "table") {
        let columns = table["head"].as_array().unwrap().len();
        for row in table["rows"].as_array().unwrap() {
            assert_eq!(row.as_array().unwrap().len(), columns, "{}", table["id"]);
            for cell in row.as_array().unwrap() {
                let explained = cell["note"].as_str().is_some_and(|note| !note.is_empty());
                assert!(cell["text"] != "" || explained, "{}: {cell}", table["id"]);
            }
        }
    }
    for figure in blocks(page, "figure") {
        for series in figure["series"].as_array().unwrap() {
            assert!(!series["points"].as_array().unwrap().is_empty(), "{}: {}", figure["id"], series["name"]);
        }
    }
}

fn curves_go_the_way_they_must(page: &Value) {
    // The smoke grid has two settings, and figure 5 all methods and both seeds.
    for method in ["FGM", "PGD", "PGN"] {
        assert_eq!(points(figure(page, "figure5-r2"), method).len(), 2);
    }
    // Longer perturbations leave less, whichever attack made them.
    for attack in ["FGM", "PGD", "PGN"] {
        let curve = points(figure(page, "figure3-pgd"), attack);
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 >= b.1), "{attack}: {curve:?}");
    }
    // The Gaussian of c_L = 0.5.
    let gaussian = points(figure(page, "figure6"), "Gaussian of c_L");
    assert!(gaussian.iter().all(|&(r, p)| (p - (-0.5 * r * r).exp()).abs() < 1e-9));
    let measured = points(figure(page, "figure6"), "PGN");
    assert!(measured[0].0 < 1e-3 && measured[0].1 > measured.last().unwrap().1, "{measured:?}");
    // Both ends of figure 2: naive training at epsilon 0, and the last epoch.
    assert_eq!(points(figure(page, "figure2-epsilon-accuracy"), "FGM")[0].0, 0.0);
    let epochs = points(figure(page, "figure2-epochs-accuracy"), "FGM");
    assert_eq!(epochs.iter().map(|p| p.0).collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
}

/// Figure 4: accuracy falls as the norm allowed grows; and only if the runs share no accuracy there is nothing to show.
fn accuracy_falls_with_the_norm_where_methods_can_be_matched(page: &Value, runs: &Path) {
    let accuracy = |run: &str| {
        let metrics = std::fs::read_to_string(runs.join(run).join("metrics.jsonl")).unwrap();
        Metrics::read(&metrics).epochs.pop().unwrap().benign_accuracy.unwrap()
    };
    let mean = |setting: &&str| {
        f64::midpoint(accuracy(&format!("{setting}-seed0")), accuracy(&format!("{setting}-seed1")))
    };
    let grids = [
        ["fgm-epsilon0.1", "fgm-epsilon0.5"],
        ["pgd-epsilon0.1", "pgd-epsilon0.5"],
        ["pgn-c-l10", "pgn-c-l0.5"],
    ];
    let ends = grids.map(|grid| {
        let [a, b] = grid.each_ref().map(mean);
        (a.min(b), a.max(b))
    });
    let shared = ends.iter().map(|e| e.0).fold(0.0, f64::max) <= ends.iter().map(|e| e.1).fold(1.0, f64::min);
    let figures = blocks(page, "figure").into_iter();
    let own: Vec<&Value> = figures.filter(|f| f["id"].as_str().unwrap().starts_with("figure4")).collect();
    assert_eq!(!own.is_empty(), shared, "validation accuracies from {ends:?}");
    for figure in own {
        for method in ["FGM", "PGD", "PGN"] {
            let curve = points(figure, method);
            assert!(curve.len() > 2 && curve[0].1 > curve.last().unwrap().1, "{}: {curve:?}", figure["id"]);
            assert!(curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 >= b.1), "{}: {curve:?}", figure["id"]);
        }
    }
}

/// The rows of table 2.
fn rows_of_table2(page: &Value) -> &[Value] {
    let table = blocks(page, "table").into_iter().find(|table| table["id"] == "table2").expect("table 2");
    table["rows"].as_array().unwrap()
}

/// Nothing is missing of runs that have all been trained and attacked. Only naive training has no setting to choose.
fn every_row_of_the_table_has_a_number_in_every_column(page: &Value) {
    let rows = rows_of_table2(page);
    // About the match, what was measured, and the seconds of an epoch.
    assert_eq!(rows.len(), 4 + 17 + 2);
    for row in &rows[1..] {
        let cells = &row.as_array().unwrap()[1..];
        assert!(cells.len() == 4 && cells.iter().all(|cell| cell["value"].is_number()), "{row}");
    }
}

fn the_table_matches_what_it_says(page: &Value) {
    let rows = rows_of_table2(page);
    let row = |name: &str| {
        let own = rows.iter().find(|row| row[0]["text"] == name).unwrap_or_else(|| panic!("no row {name}"));
        own.as_array().unwrap()[1..].iter().map(|cell| cell["value"].as_f64()).collect::<Vec<_>>()
    };
    let (validation, distance) = (row("validation accuracy"), row("its distance from naive training's"));
    assert_eq!(distance[0], Some(0.0));
    for (own, distance) in validation.iter().zip(&distance) {
        let expected = own.unwrap() - validation[0].unwrap();
        assert!((expected - distance.unwrap()).abs() < 1e-9);
    }
    // Times of so short runs are not compared; there are some of each.
    let (detached, through) =
        (row("seconds per epoch, attack detached"), row("seconds per epoch, gradient through the attack"));
    assert_eq!((detached.len(), through.len()), (4, 4));
    assert!(detached.iter().chain(&through).all(|seconds| seconds.is_some_and(|s| s > 0.0)));
}

fn a_second_call_only_writes_the_report(out: &Path, first: &Value) {
    let again = text(&reproduce(out, &["all"]));
    let nothing =
        "0 of them to be trained in 0 steps: about 0.0 s of training, at most about 0.0 s of attacks";
    assert!(again.contains(nothing), "{again}");
    // Whatever is trained, attacked, measured or drawn says so in a line of its own.
    let expected = ["device ", "data ", "plan ", "report ", "adapter: "];
    let other = again.lines().find(|line| !line.is_empty() && !expected.iter().any(|e| line.starts_with(e)));
    assert_eq!(other, None, "{again}");
    // Timings measured anew would differ.
    let page: Value =
        serde_json::from_slice(&std::fs::read(out.join("report/report.json")).unwrap()).unwrap();
    assert_eq!(page["sections"], first["sections"]);
}

#[test]
fn a_dry_run_says_what_it_would_cost_and_trains_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let output = reproduce(scratch.path(), &["figure5", "--dry-run"]);
    let said = text(&output);
    assert!(
        output.status.success() && said.contains("14 runs, 14 of them to be trained in 4,256 steps"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_shard_trains_its_part_and_leaves_the_report_to_a_call_without_it() {
    let scratch = tempfile::tempdir().unwrap();
    // The one run of figure 6 is the first part's.
    for (shard, trains) in [("2/2", false), ("1/2", true), ("1/2", false)] {
        let output = reproduce(scratch.path(), &["figure6", "--shard", shard]);
        let said = text(&output);
        assert!(
            output.status.success() && said.contains("the same command without --shard makes the report"),
            "{said}"
        );
        assert_eq!(said.contains("pgn-c-l0.5-seed0: done in "), trains, "{shard}: {said}");
        assert!(!scratch.path().join("report").exists(), "{shard}");
    }
}

#[test]
fn a_dry_run_of_a_shard_counts_its_own_runs_and_no_attacks() {
    let scratch = tempfile::tempdir().unwrap();
    let output = reproduce(scratch.path(), &["figure5", "--dry-run", "--shard", "2/8"]);
    let said = text(&output);
    // The second and the tenth of fourteen runs.
    let plan = "part 2/8: 2 runs, 2 of them to be trained in 608 steps: about ";
    assert!(output.status.success() && said.contains(plan) && !said.contains("of attacks"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_signal_in_the_evaluation_of_the_last_run_ends_the_call_before_the_attacks() {
    let scratch = tempfile::tempdir().unwrap();
    let arguments = ["reproduce", "figure6", "--scale", "smoke", "--out", ".", "--adapter", "cpu"];
    let mut command = program::command(scratch.path(), arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let metrics = scratch.path().join("runs/digits/pgn-c-l0.5-seed0/metrics.jsonl");
    let steps = || std::fs::read_to_string(&metrics).map_or(0, |text| Metrics::read(&text).steps.len());
    let started = Instant::now();
    // Eight epochs of 38 steps; what follows the last step is evaluation.
    while steps() < 8 * 38 {
        assert!(started.elapsed() < Duration::from_secs(300), "the run has no end");
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!scratch.path().join("report").exists());
}

#[test]
fn a_report_of_other_experiments_is_replaced_only_by_force() {
    let scratch = tempfile::tempdir().unwrap();
    let report = scratch.path().join("report");
    std::fs::create_dir(&report).unwrap();
    let of_two_networks = r#"[{"id": "beyond", "blocks": [
        {"figure": {"id": "beyond-resnet18-verdict"}}, {"figure": {"id": "beyond-vgg11-verdict"}}]}]"#;
    for (call, title, sections, reason) in [
        (
            &["beyond", "--network", "vgg11"][..],
            "Reproduction, scale smoke",
            of_two_networks,
            "has beyond on resnet18, which this call leaves out",
        ),
        (
            &["figure6"],
            "Reproduction, scale smoke",
            r#"[{"id": "figure6"}], "facts": [{"name": "CIFAR-10: images", "value": "5"}]"#,
            "has CIFAR-10, which this call leaves out",
        ),
        (
            &["figure6"],
            "Reproduction, scale smoke",
            r#"[{"id": "figure5"}, {"id": "figure6"}]"#,
            "has figure5, which this call leaves out",
        ),
        (
            &["figure6"],
            "Reproduction, scale small",
            r#"[{"id": "figure6"}]"#,
            "is \"Reproduction, scale small\"",
        ),
    ] {
        let old = format!(r#"{{"title": "{title}", "sections": {sections}}}"#);
        std::fs::write(report.join("report.json"), &old).unwrap();
        let output = reproduce(scratch.path(), call);
        let said = text(&output);
        assert!(!output.status.success() && said.contains(reason) && said.contains("--force"), "{said}");
        assert_eq!(std::fs::read_to_string(report.join("report.json")).unwrap(), old);
        assert!(!scratch.path().join("runs").exists(), "it is refused before anything is trained");
    }
    let output = reproduce(scratch.path(), &["figure6", "--force"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(std::fs::read_to_string(report.join("report.json")).unwrap().contains("target curve"));
}

#[test]
fn precision_is_asked_of_the_adapter() {
    let scratch = tempfile::tempdir().unwrap();
    let flags = ["figure6", "--scale", "smoke", "--adapter", "cpu", "--dry-run", "--precision", "mixed"];
    let output = program::command(scratch.path(), ["reproduce"]).args(flags).output().unwrap();
    let said = text(&output);
    assert!(!output.status.success() && said.contains("leave --precision mixed out"), "{said}");
}

#[test]
fn an_experiment_that_is_not_in_the_paper_is_refused_with_those_that_are() {
    let scratch = tempfile::tempdir().unwrap();
    let output = reproduce(scratch.path(), &["figure9"]);
    let said = text(&output);
    assert!(
        !output.status.success() && said.contains("figure9") && said.contains("figure8, table4"),
        "{said}"
    );
}

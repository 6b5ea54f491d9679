//! `pgn-wgpu evaluate`: its numbers, its warnings, and what it does not compute twice.

use crate::scale_last_layer;
use crate::{assert_mentions, command, copy, refuse, run_folder, succeed, trained};
use pgn_wgpu::models::file::Model;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A cheap evaluation.
const FGM: [&str; 8] = ["evaluate", "--adapter", "cpu", "--limit", "120", "--no-verdict", "--attack", "fgm"];
const QUICK: [&str; 8] =
    ["evaluate", "--adapter", "cpu", "--iterations", "20", "--limit", "120", "--no-verdict"];

/// The evaluation of a run.
fn json(run: &str) -> Value {
    crate::json(&Path::new(run).join("evaluation.json"))
}

/// A measure of a run.
fn measure<'a>(report: &'a Value, run: usize, key: &str) -> Option<&'a Value> {
    let measures = report["runs"][run]["measures"].as_array().unwrap();
    measures.iter().find(|measure| measure["key"] == key)
}

fn value(report: &Value, run: usize, key: &str) -> Option<f64> {
    measure(report, run, key)?["value"].as_f64()
}

/// How many images a measure is over.
fn images(report: &Value, run: usize, key: &str) -> f64 {
    measure(report, run, key).unwrap()["images"].as_f64().unwrap()
}

#[test]
fn the_rows_of_the_papers_tables_agree_with_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (pgn, naive) = (copy("pgn", folder.path()), copy("naive", folder.path()));
    let (source, twin) = (trained("other"), trained("pgn"));
    let own = [&pgn, &naive, "--source", &source, "--twin", &twin, "--twin", &source, "--paper", "cifar10"];
    let text = succeed(folder.path(), &[&QUICK[..], &own].concat());
    assert_mentions(&text, &["benign accuracy", "C&W mean L2, R2", "paper, CIFAR-10, PGN", "0.4365", "R3 "]);
    let report = json(&pgn);
    for run in 0..2 {
        let of = |key: &str| value(&report, run, key).unwrap_or_else(|| panic!("{key}"));
        let benign = of("benign-accuracy");
        for key in ["fgm-accuracy", "mim-accuracy", "source-fgm-accuracy", "source-mim-accuracy"] {
            assert!((0.0..=benign).contains(&of(key)), "{key}");
            assert!(of("worst-case-accuracy") <= of(key), "{key}");
        }
        for attack in ["deepfool", "cw"] {
            // The misclassified images add to R3's count and nothing to its sum.
            let sum = |reading: &str| {
                let key = format!("{attack}-mean-l2-{reading}");
                (of(&key) * images(&report, run, &key), images(&report, run, &key))
            };
            let (r2, r3) = (sum("r2"), sum("r3"));
            assert!((r2.0 - r3.0).abs() < 1e-9, "{attack}: {r2:?} and {r3:?}");
            assert!((r3.1 - r2.1 - 120.0 * (1.0 - benign)).abs() < 1e-9, "{attack}: {r2:?} and {r3:?}");
        }
        // Over the same images the shortest perturbation is no longer than DeepFool's; what DeepFool does not fool may take more.
        let [worst, deepfool] = ["worst-case-mean-l2-r2", "deepfool-mean-l2-r2"];
        let counts = [worst, deepfool].map(|key| images(&report, run, key));
        assert!(counts[0] > counts[1] || counts[0] == counts[1] && of(worst) <= of(deepfool), "{counts:?}");
        assert!(of("images-per-second") > 0.0 && of("seconds-per-epoch") > 0.0);
    }
    // The training images of the digits.
    let product =
        value(&report, 0, "images-per-second").unwrap() * value(&report, 0, "seconds-per-epoch").unwrap();
    assert!((product - 1197.0).abs() < 1e-6, "{product}");
    // A run's own images are no black box: the first twin has the weights of the first run.
    assert_eq!(value(&report, 0, "twin-mim-accuracy"), None);
    assert!(value(&report, 1, "twin-mim-accuracy").is_some());
    let lines = fs::read_to_string(Path::new(&pgn).join("evaluation.csv")).unwrap();
    let measures = |run: usize| report["runs"][run]["measures"].as_array().unwrap().len();
    assert_eq!(lines.lines().count(), 1 + measures(0) + measures(1));
}

#[test]
fn the_verdict_stands_first_and_is_the_one_that_verdict_gives() {
    let folder = tempfile::tempdir().unwrap();
    let naive = copy("naive", folder.path());
    let evaluate = |more: &[&str]| {
        let flags =
            ["evaluate", "--adapter", "cpu", "--iterations", "20", "--limit", "40", "--attack", "deepfool"];
        let output = command(folder.path(), [&flags[..], &[&naive], more].concat()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [text, said] = evaluate(&["--epsilon", "0.3"]);
    assert_mentions(&said, &["APGD-CE on naive:", "APGD-T on naive:"]);
    let line = |name: &str| {
        text.lines().position(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"))
    };
    let order = [
        "benign accuracy",
        "accuracy by the quick verdict, L2 epsilon 0.3",
        "median of the smallest L2 by DeepFool",
        "DeepFool mean L2, R2",
    ];
    assert!(order.map(line).is_sorted(), "{text}");
    let report = json(&naive);
    let benign = value(&report, 0, "benign-accuracy").unwrap();
    // The command itself, which has nothing left to compute.
    let arguments = ["verdict", "--adapter", "cpu", "--limit", "40", "--epsilon", "0.3", &naive];
    let output = command(folder.path(), arguments).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr).matches("known from before").count(), 2);
    let verdict: Value =
        serde_json::from_slice(&fs::read(Path::new(&naive).join("verdict/verdict.json")).unwrap()).unwrap();
    assert_eq!(verdict["robust-accuracy"]["value"].as_f64(), value(&report, 0, "verdict-accuracy"));
    assert_eq!(verdict["benign-accuracy"].as_f64(), Some(benign));
    let interval = &measure(&report, 0, "verdict-accuracy").unwrap()["interval"];
    assert_eq!(
        [&interval[0], &interval[1]],
        [&verdict["robust-accuracy"]["low"], &verdict["robust-accuracy"]["high"]]
    );
    let [_, said] = evaluate(&["--epsilon", "0.3"]);
    assert!(said.contains("APGD-T on naive: known from before"), "{said}");
    let [text, said] = evaluate(&["--no-verdict", "--out", "without"]);
    assert!(!text.contains("verdict") && !said.contains("APGD"), "{text}{said}");
    assert_mentions(&text, &["median of the smallest L2 by DeepFool"]);
}

#[test]
fn what_was_finished_is_not_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let naive = copy("naive", folder.path());
    let arguments = [&QUICK[..], &[&naive, "--attack", "fgm,mim"]].concat();
    succeed(folder.path(), &arguments);
    let report = fs::read(Path::new(&naive).join("evaluation.json")).unwrap();
    // As after an interruption: the report is not there and one of the results is missing.
    fs::remove_file(Path::new(&naive).join("evaluation.json")).unwrap();
    fs::remove_file(Path::new(&naive).join("evaluation.csv")).unwrap();
    let records =
        fs::read_dir(Path::new(&naive).join("evaluation")).unwrap().map(|entry| entry.unwrap().path());
    let fgm = records.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("fgm"));
    fs::remove_file(fgm.unwrap()).unwrap();
    let output = command(folder.path(), &arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let known = said.lines().filter(|line| line.ends_with("known from before")).count();
    // FGM and MIM; FGM further, MIM further and shorter, PGD at a huge radius.
    assert_eq!(known, 6 - 1, "{said}");
    assert_eq!(fs::read(Path::new(&naive).join("evaluation.json")).unwrap(), report);
}

#[test]
fn an_evaluation_replaces_an_earlier_one_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let naive = copy("naive", folder.path());
    let arguments = [&FGM[..], &[&naive]].concat();
    succeed(folder.path(), &arguments);
    succeed(folder.path(), &[&arguments[..], &["--epsilon", "1/4"]].concat());
    assert_eq!(json(&naive)["epsilon"], 0.25);
    let csv = Path::new(&naive).join("evaluation.csv");
    assert!(fs::read_to_string(&csv).unwrap().contains("worst-case-accuracy"));
    for (name, text) in [("evaluation.json", "{\"mine\": 1}"), ("evaluation.csv", "mine\n1\n")] {
        let path = Path::new(&naive).join(name);
        let ours = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        assert_mentions(&refuse(folder.path(), &arguments), &[name, "is no evaluation", "--out", "--force"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        fs::write(&path, ours).unwrap();
    }
    fs::write(&csv, "mine\n").unwrap();
    succeed(folder.path(), &[&arguments[..], &["--force"]].concat());
    assert!(fs::read_to_string(&csv).unwrap().contains("worst-case-accuracy"));
}

#[test]
fn an_evaluation_in_linf_has_a_worst_case_and_no_distances() {
    let folder = tempfile::tempdir().unwrap();
    let naive = copy("naive", folder.path());
    let arguments = [&QUICK[..], &[&naive, "--norm", "linf", "--epsilon", "16/255"]].concat();
    let output = command(folder.path(), &arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (said, text) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_mentions(&said, &["deepfool and cw measure in L2 alone"]);
    assert_mentions(&text, &["accuracy under PGD, Linf epsilon 0.0627451", "radius in Linf"]);
    let report = json(&naive);
    assert_eq!((report["norm"].as_str(), measure(&report, 0, "worst-case-mean-l2-r2")), (Some("linf"), None));
    let of = |key: &str| value(&report, 0, key).unwrap_or_else(|| panic!("{key}"));
    for key in ["fgm-accuracy", "pgd-accuracy", "mim-accuracy"] {
        assert!(of("worst-case-accuracy") <= of(key) && of(key) <= of("benign-accuracy"), "{key}");
    }
    // In Linf every pixel moves, so that far more images fall than within the same number in L2.
    assert!(of("worst-case-accuracy") < of("benign-accuracy") - 0.1);
    let l2 = ["--attack", "fgm,pgd,mim", "--epsilon", "16/255"];
    succeed(folder.path(), &[&QUICK[..], &[&naive], &l2].concat());
    let l2 = json(&naive);
    assert!(
        value(&l2, 0, "worst-case-accuracy").unwrap() > of("worst-case-accuracy"),
        "records were mixed up"
    );
}

#[test]
fn a_classifier_that_hides_its_gradients_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let naive = copy("naive", folder.path());
    let path = Path::new(&naive).join("model.safetensors");
    let mut model = Model::load(&path, None).unwrap();
    // The same decisions with logits ten thousand times as far apart: the softmax saturates and its gradient is 0.
    scale_last_layer(&mut model, 1e4);
    model.save(&path).unwrap();
    let attacks = ["--attack", "fgm,mim,deepfool", "--ce-form", "plain"];
    let text = succeed(folder.path(), &[&QUICK[..], &[&naive], &attacks].concat());
    let expected = [
        "have a gradient of exactly zero",
        "FGM leaves an accuracy of",
        "half the norm of the whole box",
        "the smallest adversarial perturbation found is longer than that",
    ];
    assert_mentions(&text, &expected);
    let warnings = json(&naive)["runs"][0]["warnings"].as_array().unwrap().len();
    assert_eq!(text.lines().filter(|line| line.starts_with("warning: ")).count(), warnings);
    // With the direction that does not saturate, the same classifier is as weak as it was.
    let honest = ["--attack", "fgm,mim,deepfool", "--out", "honest"];
    let text = succeed(folder.path(), &[&QUICK[..], &[&naive], &honest].concat());
    assert!(!text.contains("exactly zero") && !text.contains("half the norm"), "{text}");
    let report = json(&folder.path().join("honest").display().to_string());
    let [weak, hidden] = [(&report, "worst-case-accuracy"), (&json(&naive), "mim-accuracy")]
        .map(|(report, key)| value(report, 0, key).unwrap_or_else(|| panic!("{key}")));
    assert!(weak < hidden, "{weak} and {hidden}");
}

#[test]
fn a_model_file_without_its_run_is_evaluated_beside_itself() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(run_folder("naive").join("model.safetensors"), folder.path().join("mine.safetensors")).unwrap();
    let text = succeed(folder.path(), &[&FGM[..], &["mine.safetensors"]].concat());
    assert_mentions(&text, &["mine", "natural", "accuracy under FGM"]);
    assert!(!text.contains("seconds per epoch"), "nothing is known of its training");
    assert!(folder.path().join("evaluation.json").is_file());
}

//! The page of `export --web`: what is in it keeps to WebGPU's rules, and a browser computes with it what the CPU path computes.
//!
//! The second half needs Node.js and the packages that `make web-check` and `make portability` install: playwright-core with a Chromium
//! of the system, and Dawn (`webgpu`). Each is skipped by name where it is absent, and with `PGN_REQUIRE_BROWSER=1` that is a failure.

mod program;

use pgn_wgpu::attacks::steps::Victim;
use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker, CeForm};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::evaluation::{ImageChoice, Place, Subject, predict};
use pgn_wgpu::executor::{Device, Workspace};
use pgn_wgpu::graph::Graph;
use pgn_wgpu::nn::Classifier;
use pgn_wgpu::training::checkpoint::Checkpoint;
use program::{assert_mentions, command, refuse, succeed};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const EPSILON: f32 = 0.5;
const STEPS: &str = "20";
const IMAGES: usize = 20;

/// A run of the smallest networks, and the page about it.
fn exported(folder: &Path, method: &str, epochs: &str) -> Value {
    let networks = ["train", "--adapter", "cpu", "--width", "0.0625", "--out", "run"];
    succeed(folder, &[&networks[..], &["--method", method, "--epochs", epochs]].concat());
    let limit = IMAGES.to_string();
    succeed(folder, &["export", "run", "--web", "page.html", "--limit", &limit]);
    contents(&folder.join("page.html"))
}

/// What the scripts of a page read.
fn contents(page: &Path) -> Value {
    let text = std::fs::read_to_string(page).unwrap();
    let (_, rest) = text.split_once("<script id=\"data\" type=\"application/json\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

/// The sizes of a program's buffers, in their order.
fn sizes(program: &Value) -> Vec<u64> {
    let arenas = program["arenas"].as_array().unwrap().iter().map(number);
    let states = program["states"].as_array().unwrap().iter().map(|state| 4 * number(&state[1]));
    arenas.chain(states).chain([number(&program["spare"])]).collect()
}

#[test]
fn every_call_of_a_page_keeps_to_what_webgpu_promises_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let page = exported(folder.path(), "pgn", "1");
    let programs = page["programs"].as_object().unwrap();
    assert!(
        programs.contains_key("train.both") && programs.contains_key("one.generator"),
        "{:?}",
        programs.keys()
    );
    let mut calls = 0;
    for (name, program) in programs {
        let sizes = sizes(program);
        for call in program["calls"].as_array().unwrap() {
            let pipeline = &page["pipelines"][number(&call["pipeline"]) as usize];
            let tensors = call["tensors"].as_array().unwrap();
            let label = format!("{name}, {}", pipeline["kernel"]);
            assert!(tensors.len() <= 8 && tensors.len() as u64 == number(&pipeline["tensors"]), "{label}");
            assert!(
                call["grid"].as_array().unwrap().iter().all(|groups| number(groups) <= 65_535),
                "{label}"
            );
            let bounds: Vec<[u64; 3]> = tensors
                .iter()
                .map(|place| {
                    let [buffer, offset, bytes] =
                        ["buffer", "offset", "bytes"].map(|key| number(&place[key]));
                    assert!(
                        offset.is_multiple_of(256) && offset + bytes <= sizes[buffer as usize],
                        "{label}: {place}"
                    );
                    [buffer, offset, offset + bytes]
                })
                .collect();
            for (index, [buffer, start, end]) in bounds.iter().enumerate() {
                let meets = |other: &[u64; 3]| other[0] == *buffer && other[1] < *end && *start < other[2];
                assert!(
                    !bounds[..index].iter().any(meets),
                    "{label} binds the same memory twice: {bounds:?}"
                );
            }
            calls += 1;
        }
    }
    assert!(calls > 100, "{calls} calls");
}

#[test]
fn a_model_without_a_generator_has_a_page_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let page = exported(folder.path(), "natural", "1");
    assert_eq!(page["generator"], json!(false));
    assert!(page["programs"].get("one.generator").is_none());
    assert_eq!(page["labels"].as_array().unwrap().len(), IMAGES);
    // The game in the page is not the run's.
    assert!(page["lesson"]["steps"].as_u64().unwrap() > 100);
}

#[test]
fn a_model_of_another_network_has_a_page_that_does_not_train() {
    let folder = tempfile::tempdir().unwrap();
    let network = ["--network", "resnet18", "--width", "0.03125", "--max-steps", "1"];
    let natural = ["train", "--adapter", "cpu", "--method", "natural", "--out", "run"];
    succeed(folder.path(), &[&natural[..], &network].concat());
    succeed(folder.path(), &["export", "run", "--web", "page.html", "--limit", "5"]);
    // The page would measure the network that it trains with the programs of another one.
    assert_eq!(contents(&folder.path().join("page.html"))["lesson"], Value::Null);
}

#[test]
fn flags_that_choose_images_are_refused_where_there_is_no_page() {
    let folder = tempfile::tempdir().unwrap();
    exported(folder.path(), "natural", "1");
    let refusal = refuse(folder.path(), &["export", "run", "--onnx", "a.onnx", "--limit", "5"]);
    assert_mentions(&refusal, &["--web"]);
    assert!(!folder.path().join("a.onnx").exists());
    let refusal = refuse(folder.path(), &["export", "run", "--web", "page.html"]);
    assert_mentions(&refusal, &["page.html exists", "--force"]);
    let refusal = refuse(folder.path(), &["export", "run", "--web", "page2.html", "--dataset", "cifar10"]);
    assert_mentions(&refusal, &["cifar"]);
}

/// What the CPU path computes of the page's images, and of the first steps of training.
fn reference(folder: &Path) -> Value {
    let choice = ImageChoice { limit: Some(IMAGES), ..ImageChoice::default() };
    let subject = Place::find(&folder.join("run")).unwrap().open(&choice).unwrap();
    let cpu = Device::Cpu(Mode::Reference);
    let images = subject.images.to_unit(0..IMAGES);
    let logits = predict::logits(&cpu, &subject.model, &images, &mut |_, _| {}).unwrap();
    let attacked = |options: AttackOptions| {
        let mut attacker = Attacker::new(&cpu, &subject.model, options, IMAGES).unwrap();
        attacker.run(&subject.images, &mut |_, _| {}).unwrap()
    };
    let pgd = attacked(AttackOptions { epsilon: EPSILON, ..AttackOptions::new(AttackKind::PGD) });
    let generator = attacked(AttackOptions { radius: Some(EPSILON), ..AttackOptions::new(AttackKind::PGN) });
    // Images that are classified wrongly are not attacked.
    let right: Vec<bool> = pgd.labels.iter().zip(&pgd.clean_predictions).map(|(a, b)| a == b).collect();
    assert!(right.iter().filter(|right| **right).count() >= IMAGES / 4, "the run has learned something");
    let short = Checkpoint::load(&folder.join("short/checkpoints/last.safetensors")).unwrap();
    let (_, weights) = short.states.iter().find(|(name, _)| name == "classifier.parameters").unwrap();
    json!({
        "epsilon": EPSILON, "logits": logits, "gradient": gradient(&subject, &images), "right": right,
        "moved": pgd.adversarial, "made": generator.adversarial,
        "accuracies": [pgd.benign_accuracy(), pgd.accuracy(), generator.accuracy()],
        "losses": losses(&folder.join("short/metrics.jsonl")), "weights": weights,
    })
}

/// The gradient of the cross-entropy by the images.
fn gradient(subject: &Subject, images: &[f32]) -> Vec<f32> {
    let net = &subject.model.classifier;
    let mut graph = Graph::new();
    let states = net.live(&mut graph, "classifier").unwrap();
    let x = graph.input("images", &net.problem.batch(IMAGES)).unwrap();
    let labels = graph.input("labels", &[IMAGES, 1]).unwrap();
    let victim = Victim { classifier: Classifier::evaluated(net, &states), images: x, labels, aim: None };
    let gradient = victim.gradient(&mut graph, x, CeForm::Plain).unwrap();
    graph.output("gradient", gradient);
    let mut workspace = Workspace::new(Device::Cpu(Mode::Reference));
    workspace.write("classifier.parameters", &subject.model.average.weights).unwrap();
    let mut session = workspace.prepare(&graph).unwrap();
    session.write("images", images).unwrap();
    let classes: Vec<f32> = subject.images.labels().iter().map(|&label| f32::from(label)).collect();
    session.write("labels", &classes).unwrap();
    session.compute().unwrap().get("gradient").to_vec()
}

/// The loss of every step of a run.
fn losses(metrics: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(metrics).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == "step").map(|line| line["loss"].as_f64().unwrap()).collect()
}

/// What is compared, and how far the largest difference may be, in units of the largest value; of training, the loss of each of the
/// steps and the weights after them. A step of Adam divides a gradient by its own size, so rounding near zero moves a weight by as
/// much as any other gradient would: the weights are compared by their mean difference.
const ALLOWED: [(&str, f64); 7] = [
    ("logits", 1e-5),
    ("gradient", 1e-5),
    ("moved", 1e-5),
    ("made", 1e-5),
    ("accuracies", 1e-5),
    ("losses", 1e-5),
    ("weights", 1e-6),
];

/// Runs a script of `tests/web` with Node.js; what it prints as JSON. `None` if it is to be skipped, which is said.
fn script(name: &str, package: &str, arguments: &[&Path]) -> Option<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = root.join("target/web-check");
    let missing = if Command::new("node").arg("--version").output().is_err() {
        Some("there is no Node.js".to_string())
    } else if !modules.join("node_modules").join(package).is_dir() {
        Some(format!(
            "the package {package} is not in {}; `make web-check portability` installs it",
            modules.display()
        ))
    } else {
        None
    };
    let skipped = |reason: &str| {
        assert!(
            std::env::var("PGN_REQUIRE_BROWSER").as_deref() != Ok("1"),
            "PGN_REQUIRE_BROWSER=1, but {reason}"
        );
        // Not eprintln!, which the test harness swallows when the test passes.
        let _ = std::io::stderr().write_all(format!("SKIPPED: {name}, because {reason}\n").as_bytes());
        None
    };
    if let Some(reason) = missing {
        return skipped(&reason);
    }
    let output = Command::new("node")
        .arg(root.join("tests/web").join(name))
        .arg(&modules)
        .args(arguments)
        .output()
        .unwrap();
    let text = program::text(&output);
    if output.status.code() == Some(77) {
        return skipped(text.trim());
    }
    assert!(output.status.success(), "{name}: {text}");
    let last = std::str::from_utf8(&output.stdout).unwrap().lines().last().unwrap();
    Some(serde_json::from_str(last).unwrap_or_else(|e| panic!("{name}: {e}: {text}")))
}

/// A page with its reference values, in a folder.
fn compared() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    // Seven of ten images right.
    exported(folder.path(), "pgn", "20");
    let mut short = command(
        folder.path(),
        ["train", "--config", "run/config.toml", "--max-steps", STEPS, "--out", "short"],
    );
    assert!(short.output().unwrap().status.success());
    let (page, values) = (folder.path().join("page.html"), folder.path().join("reference.json"));
    std::fs::write(&values, reference(folder.path()).to_string()).unwrap();
    (folder, page, values)
}

/// Holds the differences that a script found against what is allowed.
fn judge(found: &Value) {
    let differences = &found["differences"];
    let _ = std::io::stderr().write_all(format!("{}: {differences}\n", found["adapter"]).as_bytes());
    for (name, allowed) in ALLOWED {
        let difference = differences[name].as_f64().unwrap_or_else(|| panic!("{name} is missing in {found}"));
        assert!(difference <= allowed, "{name} differ by {difference:e}, more than {allowed:e}: {found}");
    }
}

#[cfg(unix)]
#[test]
fn a_check_in_a_browser_that_cannot_be_made_is_a_failure() {
    let programs = tempfile::tempdir().unwrap();
    let add = |name: &str, file: &str| {
        std::os::unix::fs::symlink(file, programs.path().join(name)).unwrap();
    };
    let said = || {
        let mut check = Command::new("/bin/sh");
        check.current_dir(env!("CARGO_MANIFEST_DIR")).args(["scripts/web-check.sh", "browser"]);
        let output = check.env_remove("CHROMIUM").env("PATH", programs.path()).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        program::text(&output)
    };
    add("dirname", "/usr/bin/dirname");
    assert_mentions(&said(), &["nothing was checked", "Node.js"]);
    add("node", "/bin/sh");
    add("npm", "/bin/sh");
    assert_mentions(&said(), &["nothing was checked", "Chromium in PATH"]);
    // Each of its names will do. What comes next ends at once, because there is no mkdir.
    add("google-chrome", "/bin/sh");
    let text = said();
    assert!(!text.contains("nothing was checked"), "{text}");
}

#[test]
fn a_browser_computes_what_the_cpu_path_computes() {
    let (_folder, page, reference) = compared();
    let Some(found) = script("browser.mjs", "playwright-core", &[&page, &reference]) else { return };
    judge(&found);
    let notices = &found["notices"];
    assert!(notices["none"].as_str().unwrap().contains("WebGPU, which is not available here"), "{notices}");
    assert!(notices["lost"].as_str().unwrap().contains("device was lost"), "{notices}");
    assert_eq!(notices["reload"], json!(true), "the page offers to reload, and is whole again after that");
    assert_eq!(found["errors"], json!([]), "nothing was said on the console");
}

#[test]
fn dawn_computes_what_the_cpu_path_computes() {
    let (_folder, page, reference) = compared();
    let Some(found) = script("node.mjs", "webgpu", &[&page, &reference]) else { return };
    judge(&found);
}

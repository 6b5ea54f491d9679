//! Help, lists, and the commands that leave nothing behind.

use super::{Scratch, adapter, adapters, assert_mentions, program};
use pgn_wgpu::data::npy;
use pgn_wgpu::training::{Preset, TrainConfig};
use serde_json::Value;
use std::fs;
use std::io::PipeWriter;
use std::path::Path;
use std::process::Command;

#[test]
fn without_arguments_the_program_explains_itself() {
    let output = Scratch::new().run([""; 0]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_mentions(
        &text,
        &["Usage: pgn-wgpu [OPTIONS] <COMMAND>", "train", "adapters", "summary", "validate", "--help"],
    );
}

#[test]
fn the_help_of_train_has_the_true_defaults() {
    let text = Scratch::new().succeed(["train", "--help"]);
    let said = |flag: &str| {
        let (_, rest) = text.split_once(&format!("      --{flag} ")).unwrap();
        let (_, rest) = rest.split_once("[default: ").unwrap();
        rest.split_once(']').unwrap().0.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let config = TrainConfig::preset(Preset::Small, pgn_wgpu::data::DatasetKind::Digits);
    assert_eq!(said("width"), config.width.to_string());
    assert_eq!(said("batch-size"), config.batch_size.to_string());
    assert_eq!(said("epochs"), format!("{} for digits, 8 for others", config.epochs));
    assert_eq!(said("lr"), format!("{}; 0.1 with --optimiser sgd", config.lr));
    assert_eq!(said("ema-decay"), config.ema_decay.to_string());
    assert_eq!(said("adv-coeff"), config.adv_coeff.to_string());
    assert_eq!(said("c-l"), config.c_l.to_string());
    assert_eq!(said("generator-steps"), config.generator_steps.to_string());
    assert_eq!(said("seed"), config.seed.to_string());
    assert_eq!(said("momentum"), config.momentum.to_string());
    assert_eq!(said("weight-decay"), config.weight_decay.to_string());
    assert_eq!(said("warm-up"), config.warm_up.to_string());
    assert_eq!(said("awp-warm-up"), format!("{}; 9 for trades with --preset paper", config.awp_warm_up));
    assert_eq!(said("label-smoothing"), config.label_smoothing.to_string());
    assert_eq!(said("generator-rounds"), config.generator_rounds.to_string());
    assert_eq!(said("generators"), config.generators.to_string());
    assert_eq!(said("epsilon"), format!("{} in l2, 0.02 for cifar100; 8/255 in linf", config.epsilon));
    assert_eq!(said("method"), config.method.name());
    let word = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    assert_eq!(said("optimiser"), word(&config.optimiser));
    assert_eq!(said("schedule"), word(&config.schedule));
    assert_eq!(said("norm"), word(&config.norm));
    assert_eq!(
        said("gradient-input"),
        format!("{}; rms with --gradient-of dlr", word(&config.gradient_input))
    );
    assert_eq!(said("penalty-space"), word(&config.penalty_space));
    assert_eq!(said("update"), word(&config.update));
    assert_eq!(said("init"), word(&config.init));
}

#[test]
fn the_list_of_adapters_always_ends_with_the_cpu_path() {
    let text = Scratch::new().succeed(["adapters"]);
    assert_mentions(text.lines().last().unwrap(), &["cpu: ", "needs no driver"]);
    assert_eq!(text.matches("(auto takes this one)").count(), 1, "{text}");
    let json = Scratch::new().succeed(["adapters", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(all.last().unwrap()["kind"], "cpu");
    // A software driver is never what auto takes.
    let auto: Vec<&Value> = all.iter().filter(|adapter| adapter["auto"] == true).collect();
    assert!(auto.len() == 1 && auto[0]["kind"] != "software", "{json}");
    for (kind, name) in adapters() {
        assert_mentions(
            &text,
            &[&kind, &name, "backend", "driver", "largest binding", "subgroup size", "features used"],
        );
    }
}

#[test]
fn the_list_of_adapters_tells_the_threads_that_the_cpu_path_has() {
    let scratch = Scratch::new();
    let output = scratch.command(["adapters", "--json"]).env("RAYON_NUM_THREADS", "1").output().unwrap();
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(all.last().unwrap()["threads"], 1);
}

#[test]
fn a_discrete_adapter_is_used_or_refused_with_what_there_is_but_never_replaced() {
    let scratch = Scratch::new();
    let arguments = ["train", "--adapter", "discrete", "--width", "0.03125", "--max-steps", "1"];
    if adapters().iter().any(|(kind, _)| kind == "discrete") {
        scratch.succeed(arguments);
        return;
    }
    let text = scratch.refuse(arguments);
    assert_mentions(&text, &["there is no discrete GPU", "--adapter auto", "cpu"]);
    match adapters().as_slice() {
        [] => assert_mentions(&text, &["no adapter at all"]),
        found => found.iter().for_each(|(kind, name)| assert_mentions(&text, &[kind, name])),
    }
}

#[test]
fn a_summary_has_the_papers_parameter_counts_and_the_memory_of_a_step() {
    let text = Scratch::new().succeed(["summary"]);
    assert_mentions(
        &text,
        &["2,334,730", "8,966,147", "classifier", "generator", "batch 128", "natural", "pgn"],
    );
}

#[test]
fn validation_of_the_cpu_path_passes_and_says_so_by_its_exit_code() {
    let text = Scratch::new().succeed(validate("cpu", &[]));
    assert_mentions(&text, &["natural step", "pgn step", "conv2d_weight_gradient", "adam"]);
    assert_eq!(text.lines().last(), Some("pass"));
}

#[test]
fn a_validation_report_is_one_json_object() {
    let text = Scratch::new().succeed(validate("cpu", &["--json", "--method", "pgn", "--steps", "2"]));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["pass"], true);
    // All that a bug report needs to repeat it.
    assert_eq!((&report["network"], &report["dataset"]), (&"all-convolutional".into(), &"digits".into()));
    assert_eq!((&report["steps_of_each_kind"], &report["batch_size"]), (&2.into(), &2.into()));
    assert_eq!((&report["tune"], &report["checked"]), (&"quick".into(), &false.into()));
    assert!(report["steps"]["natural"].is_null());
    let kernels = report["steps"]["pgn"].as_array().unwrap();
    let adam = kernels.iter().find(|kernel| kernel["kernel"] == "adam").unwrap();
    // One of each network, with four states each, in each of two steps.
    assert_eq!((&adam["tensors"], &adam["outside"]), (&16.into(), &0.into()));
}

#[test]
fn validation_hands_over_at_a_kernel_and_an_unknown_one_is_refused_with_the_known() {
    let scratch = Scratch::new();
    assert_eq!(scratch.succeed(validate("cpu", &["--cpu-until", "adam"])).lines().last(), Some("pass"));
    let text = scratch.refuse(validate("cpu", &["--cpu-until", "conv3d"]));
    assert_mentions(&text, &["conv3d", "conv2d_input_gradient", "adam"]);
}

#[test]
fn quiet_training_prints_warnings_all_the_same() {
    // A generator that hardly moves does less than FGM.
    let run =
        ["train", "--width", "0.03125", "--max-steps", "1", "--generator-lr", "1e-6", "--adapter", "cpu"];
    let text = Scratch::new().succeed(run.iter().chain(&["--quiet"]));
    assert_mentions(&text, &["warning: the generator does less than FGM", "--generator-lr"]);
    assert!(!text.contains("planned on the device"), "{text}");
}

#[test]
fn auto_says_why_it_takes_the_cpu_path_and_quiet_does_not() {
    if adapters().iter().any(|(kind, _)| kind != "software") {
        return super::skipped("the CPU path by auto, because there is a GPU");
    }
    let scratch = Scratch::new();
    let run = ["train", "--width", "0.03125", "--max-steps", "1", "--method", "natural"];
    let output = scratch.run(run);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_mentions(&notes, &["chosen by auto: no GPU"]);
    if !adapters().is_empty() {
        assert_mentions(&notes, &["the CPU path is faster here than", "--adapter software"]);
    }
    let output = scratch.run(run.iter().chain(&["--quiet"]));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_mentions(&text, &["benign accuracy", "model "]);
    assert!(!text.contains("planned on the device") && !text.contains("epoch"), "{text}");
    let output = scratch.run(run.iter().chain(&["-v"]));
    assert_mentions(
        &String::from_utf8(output.stderr).unwrap(),
        &["opening the device took", "the whole command took"],
    );
}

#[test]
fn quiet_leaves_out_the_notes_of_every_command() {
    let scratch = Scratch::new();
    scratch.train(&["--method", "natural", "--max-steps", "1", "--out", "run"]);
    // Pixels above 1, and a line of metrics that is cut off.
    fs::write(scratch.path("a.npy"), npy::encode(&[1, 1, 8, 8], &[2.0; 64]).unwrap()).unwrap();
    let metrics = fs::read_to_string(scratch.path("run/metrics.jsonl")).unwrap();
    fs::write(scratch.path("run/metrics.jsonl"), metrics + "{").unwrap();
    let evaluate = ["evaluate", "run", "--adapter", "cpu", "--norm", "linf", "--no-verdict"];
    for command in [
        &["predict", "run", "--adapter", "cpu", "--images", "a.npy"][..],
        &[&evaluate[..], &["--limit", "2", "--iterations", "2"]].concat(),
        &["report", "run"],
    ] {
        assert_mentions(&scratch.notes(command), &["note: "]);
        assert_eq!(scratch.notes(command.iter().chain(&["--quiet"])), "", "{command:?}");
    }
}

#[test]
fn a_dry_run_says_everything_and_writes_nothing() {
    let scratch = Scratch::new();
    let text = scratch.train(&["--max-steps", "5", "--dry-run"]);
    assert_mentions(
        &text,
        &["UCI optical digits", "planned on the device", "pgn-digits (5 steps)", "nothing was written"],
    );
    assert_eq!(fs::read_dir(scratch.0.path()).unwrap().count(), 0);
    assert_mentions(&scratch.refuse_to_train(&["--dry-run", "--from", "none"]), &["none"]);
    scratch.train(&["--method", "natural", "--max-steps", "2", "--out", "run"]);
    assert_mentions(&scratch.refuse_to_train(&["--dry-run", "--out", "run"]), &["holds a run already"]);
    let before = super::files(scratch.0.path());
    let text = scratch.succeed(["train-generator", "--adapter", "cpu", "--model", "run", "--dry-run"]);
    assert_mentions(&text, &["generator-run", "generator"]);
    let text = scratch.succeed(["train", "--resume", "run", "--max-steps", "9", "--dry-run"]);
    assert_mentions(&text, &["resumed  at step 2", "(9 steps)"]);
    assert!(super::files(scratch.0.path()) == before);
}

#[test]
fn a_dry_run_goes_on_without_the_file_that_the_run_started_from() {
    let scratch = Scratch::new();
    let natural = ["--method", "natural", "--max-steps", "2", "--out"];
    scratch.train(&[&natural[..], &["first"]].concat());
    scratch.train(&[&natural[..], &["second", "--from", "first/model.safetensors"]].concat());
    let dry = ["train", "--resume", "second", "--max-steps", "3", "--dry-run"];
    assert!(!scratch.notes(dry).contains("so it goes on"));
    fs::remove_file(scratch.path("first/model.safetensors")).unwrap();
    let before = super::files(scratch.0.path());
    assert_mentions(&scratch.succeed(dry), &["resumed  at step 2", "nothing was written"]);
    assert_mentions(&scratch.notes(dry), &["note: ", "model.safetensors", "so it goes on"]);
    assert!(super::files(scratch.0.path()) == before);
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let scratch = Scratch::new();
    let commands = [
        "train",
        "attack",
        "evaluate",
        "report",
        "train-generator",
        "sweep",
        "reproduce",
        "adapters",
        "summary",
    ];
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert_mentions(&scratch.succeed(["completions", shell]), &commands);
    }
    assert_mentions(&scratch.succeed(["man"]).replace("\\-", "-"), &commands);
    scratch.succeed(["man", "--out", "man"]);
    for command in commands {
        let page = fs::read_to_string(scratch.path(&format!("man/pgn-wgpu-{command}.1"))).unwrap();
        assert_mentions(&page.replace("\\-", "-"), &[&format!("pgn-wgpu {command}"), "--quiet"]);
    }
    assert_mentions(&scratch.refuse(["completions", "tcsh"]), &["tcsh"]);
}

#[test]
fn help_in_a_narrow_terminal_breaks_no_word() {
    let scratch = Scratch::new();
    let help = |columns: &str, command: &str| {
        let output = scratch.command([command, "--help"]).env("COLUMNS", columns).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for command in ["train", "attack", "evaluate", "sweep", "reproduce", "bench"] {
        let [narrow, wide] = [help("40", command), help("100", command)];
        assert_ne!(narrow, wide, "{command}");
        assert!(narrow.split_whitespace().eq(wide.split_whitespace()), "{command}");
    }
}

#[test]
fn an_adapter_validates_and_trains() {
    let Some(adapter) = adapter() else { return };
    let scratch = Scratch::new();
    assert_eq!(scratch.succeed(validate(&adapter, &[])).lines().last(), Some("pass"));
    let run = ["train", "--adapter", &adapter, "--width", "0.03125", "--max-steps", "2"];
    let text = scratch.succeed(run);
    assert_mentions(&text, &["pgn training, 2 steps", "benign accuracy"]);
    assert!(!text.contains("CPU reference path"), "{text}");
}

#[test]
fn a_model_in_a_run_folder_is_that_of_the_run_also_from_inside_the_folder() {
    let scratch = Scratch::new();
    scratch.train(&["--method", "natural", "--max-steps", "2", "--out", "mine"]);
    for (folder, file, name) in [
        ("mine", "model.safetensors", "mine"),
        ("mine", "checkpoints/best.safetensors", "mine/best"),
        ("mine/checkpoints", "best.safetensors", "mine/best"),
        (".", "mine/checkpoints/best.safetensors", "mine/best"),
    ] {
        let output = attack_from(&scratch.path(folder), &["--model", file]);
        assert!(output.starts_with(&format!("{name}: benign accuracy")), "{folder}, {file}: {output}");
    }
}

/// What FGM on four images of the model prints, called in a folder.
fn attack_from(folder: &Path, model: &[&str]) -> String {
    let attack = ["attack", "--adapter", "cpu", "--limit", "4", "--attack", "fgm"];
    let output = program::command(folder, attack.iter().chain(model)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The end of a pipe that nobody reads.
fn unread() -> PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    for arguments in [&["summary"][..], &["adapters"], &["train", "--help"]] {
        let output = Scratch::new().command(arguments).stdout(unread()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

/// An array of two grey images of 8x8 pixels.
fn images(scratch: &Scratch) {
    let pixels: Vec<f32> = (0..128_u8).map(|i| f32::from(i) / 127.0).collect();
    fs::write(scratch.path("a.npy"), npy::encode(&[2, 1, 8, 8], &pixels).unwrap()).unwrap();
}

#[test]
fn every_file_is_written_though_nobody_reads_what_is_printed() {
    let scratch = Scratch::new();
    images(&scratch);
    let train =
        ["train", "--adapter", "cpu", "--width", "0.03125", "--method", "natural", "--max-steps", "2"];
    let predict = ["predict", "run", "--adapter", "cpu", "--images", "a.npy", "--save", "l.npy"];
    let evaluate = ["evaluate", "run", "--adapter", "cpu", "--limit", "4", "--attack", "fgm", "--no-verdict"];
    let verdict = ["verdict", "run", "--adapter", "cpu", "--limit", "4", "--csv", "v.csv"];
    let attack = "attack --model run --adapter cpu --limit 4 --attack fgm --csv a.csv";
    let attack: Vec<&str> = attack.split(' ').collect();
    let bench = ["bench", "--adapter", "cpu", "--steps-only", "--out", "b.json"];
    let lines: [(&[&str], &[&str]); 8] = [
        (&[&train[..], &["--out", "run"]].concat(), &["run/model.safetensors"]),
        (&predict, &["l.npy"]),
        (&evaluate, &["run/evaluation.json", "run/evaluation.csv"]),
        (&verdict, &["run/verdict/verdict.json", "v.csv"]),
        (&attack, &["a.csv"]),
        (&["report", "run"], &["run/report/report.html"]),
        (&["export", "run", "--safetensors", "w.safetensors"], &["w.safetensors", "model.py"]),
        (&[&bench[..], &SMALLEST_STEP].concat(), &["b.json"]),
    ];
    for (arguments, files) in lines {
        let status = scratch.command(arguments).stdout(unread()).stderr(unread()).status().unwrap();
        assert!(status.success(), "{arguments:?}: {status:?}");
        for file in files {
            assert!(scratch.path(file).is_file(), "{arguments:?}: {file}");
        }
    }
    let json =
        |file: &str| -> Value { serde_json::from_slice(&fs::read(scratch.path(file)).unwrap()).unwrap() };
    for file in ["run/evaluation.json", "run/verdict/verdict.json", "b.json"] {
        assert_eq!(json(file)["precision"], "f32", "{file}");
    }
    assert_eq!(json("b.json")["network"], "all-convolutional");
    // An exit code is a result too.
    fs::write(scratch.path("run/model.safetensors"), "x").unwrap();
    let status = scratch.command(["verify", "run"]).stdout(unread()).stderr(unread()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

/// The smallest step that `bench` times.
const SMALLEST_STEP: [&str; 10] = [
    "--dataset",
    "digits",
    "--width",
    "0.03125",
    "--batch-size",
    "1",
    "--seconds",
    "0.1",
    "--method",
    "natural",
];

#[test]
fn a_benchmark_says_what_it_measured_and_overwrites_no_other_file() {
    let scratch = Scratch::new();
    fs::write(scratch.path("mine.json"), "{}").unwrap();
    let bench = |out: &'static str| {
        [&["bench", "--adapter", "cpu", "--steps-only", "--out", out], &SMALLEST_STEP[..]].concat()
    };
    assert_mentions(&scratch.refuse(bench("mine.json")), &["mine.json exists", "--force"]);
    assert_mentions(
        &scratch.refuse(bench("none/b.json")),
        &["none/b.json", "the folder none does not exist"],
    );
    for _ in 0..2 {
        let text = scratch.succeed(bench("b.json"));
        assert_mentions(
            &text,
            &["model       all-convolutional, width 0.03125, batch 1, digits, precision f32"],
        );
    }
    scratch.succeed([&bench("mine.json")[..], &["--force"]].concat());
}

#[test]
fn what_could_not_be_written_is_refused_before_it_is_computed() {
    let scratch = Scratch::new();
    images(&scratch);
    scratch.train(&["--method", "natural", "--max-steps", "1", "--out", "run"]);
    let cpu = ["run", "--adapter", "cpu"];
    for arguments in [
        [&["predict"], &cpu[..], &["--images", "a.npy", "--save", "none/l.npy"]].concat(),
        [&["verdict"], &cpu[..], &["--limit", "4", "--csv", "none/v.csv"]].concat(),
    ] {
        assert_mentions(&scratch.refuse(arguments), &["the folder none does not exist"]);
    }
    // The verdict makes its own folder.
    let inside = [&["verdict"], &cpu[..], &["--limit", "4", "--out", "new", "--csv", "new/v.csv"]].concat();
    scratch.succeed(inside);
    assert!(scratch.path("new/v.csv").is_file());
}

#[test]
fn lines_of_a_verdict_on_standard_output_are_alone_there() {
    let scratch = Scratch::new();
    scratch.train(&["--method", "natural", "--max-steps", "1", "--out", "run"]);
    let line = ["verdict", "run", "--adapter", "cpu", "--limit", "4", "--out", "v", "--csv"];
    let output = scratch.run([&line[..], &["-"]].concat());
    assert!(output.status.success(), "{output:?}");
    let (csv, people) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(csv.starts_with("index,label,") && csv.lines().count() == 1 + 4, "{csv}");
    assert_mentions(&people, &["robust accuracy", "written  v"]);
    assert!(!scratch.path("-").exists(), "no file of that name");
    // A file has the same lines.
    scratch.succeed([&line[..], &["v/images.csv"]].concat());
    assert_eq!(fs::read_to_string(scratch.path("v/images.csv")).unwrap(), csv);
}

#[test]
fn the_verdict_on_another_model_of_the_folder_is_replaced_only_by_force() {
    let scratch = Scratch::new();
    let name = ["model.safetensors", "a.safetensors", "b.safetensors", "moved.safetensors"];
    for (seed, to) in [("1", name[1]), ("2", name[2])] {
        scratch.train(&["--method", "natural", "--max-steps", "1", "--seed", seed, "--out", seed]);
        fs::copy(scratch.path(seed).join(name[0]), scratch.path(to)).unwrap();
    }
    fs::copy(scratch.path(name[1]), scratch.path(name[3])).unwrap();
    let line = |model: &'static str| ["verdict", model, "--adapter", "cpu", "--limit", "4"];
    scratch.succeed(line(name[1]));
    let first = fs::read(scratch.path("verdict/verdict.json")).unwrap();
    assert_mentions(&scratch.refuse(line(name[2])), &["verdict.json", "a.safetensors", "--out", "--force"]);
    assert_eq!(fs::read(scratch.path("verdict/verdict.json")).unwrap(), first);
    scratch.succeed([&line(name[2])[..], &["--out", "elsewhere"]].concat());
    scratch.succeed(line(name[3]));
    scratch.succeed([&line(name[2])[..], &["--force"]].concat());
}

#[test]
fn a_page_that_no_report_has_written_is_replaced_only_by_force() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("out/report")).unwrap();
    fs::write(scratch.path("out/report/report.html"), "mine").unwrap();
    let line = ["reproduce", "figure6", "--scale", "smoke", "--adapter", "cpu", "--out", "out"];
    assert_mentions(&scratch.refuse(line), &["report.html exists", "--force"]);
}

#[test]
fn two_outputs_of_one_name_are_refused() {
    let scratch = Scratch::new();
    scratch.train(&["--method", "natural", "--max-steps", "1", "--out", "run"]);
    let verdict = ["verdict", "run", "--adapter", "cpu", "--limit", "4"];
    for (arguments, file) in [
        // The module for PyTorch lies beside the weights.
        (&["export", "run", "--safetensors", "model.py"][..], "model.py"),
        (&["export", "run", "--onnx", "m", "--web", "m"], "m"),
        (&[&verdict[..], &["--csv", "x", "--save", "./x"]].concat(), "./x"),
        (&[&verdict[..], &["--csv", "run/verdict/verdict.json"]].concat(), "run/verdict/verdict.json"),
    ] {
        let sentence = scratch.refuse(arguments);
        assert_mentions(&sentence, &[&format!("{file} is named for two outputs; give each its own file")]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_output_that_cannot_be_written_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Scratch::new().command(["summary"]).stdout(full).output().unwrap();
    assert_mentions(&super::refusal(&output), &["standard output", "No space left"]);
}

#[test]
#[cfg(unix)]
fn attacks_that_were_made_before_a_file_could_not_be_written_are_shown() {
    let scratch = Scratch::new();
    scratch.train(&["--method", "natural", "--max-steps", "2", "--out", "run"]);
    // No file beyond some kilobytes, as on a full disk: room for the lines, not for the images.
    let attack =
        "attack --model run --adapter cpu --limit 20 --attack fgm,pgd --save out.safetensors --csv a.csv";
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pgn-wgpu")])
        .args(attack.split(' '))
        .current_dir(scratch.0.path())
        .output()
        .unwrap();
    assert_mentions(&super::refusal(&output), &["cannot write out-fgm-0.5.safetensors"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_mentions(&shown, &["FGM", "written  a.csv"]);
    assert!(!shown.contains("out-fgm"), "it names a file that is not there: {shown}");
    assert_eq!(fs::read_to_string(scratch.path("a.csv")).unwrap().lines().count(), 21);
}

/// The smallest validation.
fn validate<'a>(adapter: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let own =
        ["validate", "--adapter", adapter, "--dataset", "digits", "--width", "0.03125", "--batch-size", "2"];
    own.iter().chain(more).copied().collect()
}

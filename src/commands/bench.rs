//! `pgn-wgpu bench`: the adapter's own limits, its kernels, training steps, and the time to the first step.

mod explain;
mod targets;

use super::{CommandResult, DeviceArguments, bytes, check_new_file, signals, table, this_program};
use crate::command_line::names::{methods, networks};
use crate::numbers::number;
use pgn_wgpu::bench::attacks::{IterationTiming, time_carlini_wagner};
use pgn_wgpu::bench::peak::{self, Peak};
use pgn_wgpu::bench::steps::{StepTiming, first_step, time_steps};
use pgn_wgpu::data::DatasetKind;
use pgn_wgpu::executor::Device;
use pgn_wgpu::files;
use pgn_wgpu::gpu::tuning::Decision;
use pgn_wgpu::nn::zoo::Network;
use pgn_wgpu::program::precision::Precision;
use pgn_wgpu::training::run_data::usual_problem;
use pgn_wgpu::training::{Method, Preset, TrainConfig};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Bytes of the largest earlier result that is read.
const LARGEST: u64 = 1 << 24;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    device: DeviceArguments,
    /// Images and classes of this data set (its files are not needed)
    #[arg(long, default_value = "cifar10")]
    dataset: DatasetKind,
    /// The classifier's network
    #[arg(long, default_value_t, value_parser = networks())]
    network: Network,
    /// Width multiplier of both networks
    #[arg(long, default_value_t = 0.25, allow_negative_numbers = true, value_parser = number(0.03125..=4.0_f32))]
    width: f32,
    /// Images per step
    #[arg(long, default_value_t = 32, allow_negative_numbers = true, value_parser = number(1..=65_536_usize))]
    batch_size: usize,
    /// Seconds for each kind of step
    #[arg(long, default_value_t = 4.0, allow_negative_numbers = true, value_parser = number(0.1..=600.0_f64))]
    seconds: f64,
    /// The steps
    #[arg(long, visible_alias = "defense", value_delimiter = ',', default_value = "natural,fgm,pgd,pgn", value_parser = methods())]
    method: Vec<Method>,
    /// Show which form of each kernel was chosen for which shape, and why, and which convolutions of a step the usual kernels
    /// do not serve, and why
    #[arg(long)]
    explain: bool,
    /// Measure what this program promises and print it beside the targets, at sizes of its own
    #[arg(long)]
    targets: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write the JSON object here as well; an earlier one is replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite a file that is no result of this command
    #[arg(long)]
    force: bool,
    /// Time nothing but steps
    #[arg(long)]
    steps_only: bool,
    /// Only take the first natural step and print the seconds until its end
    #[arg(long, hide = true)]
    first_step: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    device: String,
    /// How numbers are stored there.
    precision: Precision,
    /// Whether the runtime checks the shaders.
    checked: bool,
    dataset: &'static str,
    network: &'static str,
    width: f32,
    batch_size: usize,
    peak: Option<Peak>,
    /// Seconds from the program's start to the end of the first natural step.
    first_step: FirstStep,
    steps: BTreeMap<&'static str, StepTiming>,
    /// An iteration of Carlini and Wagner's attack in passes of the classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    carlini_wagner: Option<IterationTiming>,
    #[serde(skip)]
    steps_only: bool,
    /// The forms of the kernels and why they were chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Vec<Decision>>,
}

/// Seconds from the start of the program to the end of its first training step.
#[derive(Default, Serialize)]
struct FirstStep {
    /// With an empty driver cache, and no kernel measured before.
    #[serde(rename = "cold_seconds")]
    cold: Option<f64>,
    /// With the caches that the cold one left; quick tuning goes on where that had to stop.
    #[serde(rename = "second_seconds")]
    second: Option<f64>,
    /// With caches that nothing is added to any more.
    #[serde(rename = "warm_seconds")]
    warm: Option<f64>,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let started = Instant::now();
    check_out(arguments)?;
    if arguments.targets {
        return targets::run(arguments);
    }
    let problem = usual_problem(arguments.dataset);
    if arguments.first_step {
        let device = super::open(&arguments.device.adapter, arguments.device.opening())?;
        first_step(&device, &config(arguments, Method::NATURAL)?, problem)?;
        println!("{}", started.elapsed().as_secs_f64());
        return Ok(ExitCode::SUCCESS);
    }
    config(arguments, Method::NATURAL)?;
    let device = arguments.device.open()?;
    let first_step = match &device {
        Device::Gpu(_) if !arguments.steps_only => {
            cold_and_warm(arguments, arguments.width, arguments.batch_size)
        }
        _ => FirstStep::default(),
    };
    let (mut steps, budget) = (BTreeMap::new(), Duration::from_secs_f64(arguments.seconds));
    let methods = &arguments.method;
    let configs = methods.iter().map(|&method| config(arguments, method)).collect::<Result<Vec<_>, _>>()?;
    let timings = time_steps(&device, &configs, problem, budget)?;
    steps.extend(methods.iter().map(|method| method.name()).zip(timings));
    let natural = config(arguments, Method::NATURAL)?;
    let carlini_wagner = match arguments.steps_only {
        true => None,
        false => Some(time_carlini_wagner(&device, &natural, problem, budget)?),
    };
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        device: device.describe(),
        precision: device.precision(),
        checked: arguments.device.opened_as.checked,
        dataset: arguments.dataset.name(),
        network: arguments.network.name(),
        width: arguments.width,
        batch_size: arguments.batch_size,
        peak: if arguments.steps_only { None } else { peak::measure(&device)? },
        first_step,
        steps,
        carlini_wagner,
        steps_only: arguments.steps_only,
        explain: arguments.explain.then(|| explain::decisions(&device)),
    };
    give(arguments, &serde_json::to_string_pretty(&report)?, || print(&report))?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses, before anything is measured, a file that could not be written, and one that is no result of this command.
fn check_out(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let Some(path) = &arguments.out else { return Ok(()) };
    let earlier = files::read_at_most(path, LARGEST).is_ok_and(|bytes| wrote(&bytes));
    check_new_file(path, arguments.force || earlier)
}

/// Whether bytes are a result of this command, with targets or without.
fn wrote(bytes: &[u8]) -> bool {
    let Ok(Value::Object(report)) = serde_json::from_slice(bytes) else { return false };
    let has = |keys: [&str; 4]| keys.iter().all(|key| report.contains_key(*key));
    has(["version", "device", "first_step", "steps"]) || has(["version", "device", "rows", "memory"])
}

/// Writes and prints a result. Minutes of measurement are printed even if the file cannot be written.
fn give(arguments: &Arguments, json: &str, print: impl Fn()) -> Result<(), files::FileError> {
    let written = arguments.out.as_ref().map_or(Ok(()), |path| files::write(path, json.as_bytes()));
    match arguments.json {
        true => println!("{json}"),
        false => print(),
    }
    written
}

fn config(arguments: &Arguments, method: Method) -> Result<TrainConfig, Box<dyn std::error::Error>> {
    let mut config = TrainConfig::preset(Preset::Small, arguments.dataset);
    (config.method, config.width, config.batch_size) = (method, arguments.width, arguments.batch_size);
    config.network = arguments.network;
    config.check()?;
    Ok(config)
}

/// Starts this program three times with caches of its own, empty at first.
fn cold_and_warm(arguments: &Arguments, width: f32, batch_size: usize) -> FirstStep {
    let cache = std::env::temp_dir().join(format!("pgn-wgpu-bench-{}", std::process::id()));
    let Ok(cache) = signals::Scratch::new(cache) else { return FirstStep::default() };
    let once = || {
        let mut command = this_program()?;
        command
            .args(first_step_line(arguments, width, batch_size))
            .env("PGN_WGPU_CACHE", cache.path())
            // Mesa's and NVIDIA's caches; other drivers keep theirs elsewhere and are warm both times.
            .env("MESA_SHADER_CACHE_DIR", cache.path())
            .env("__GL_SHADER_DISK_CACHE_PATH", cache.path())
            .stderr(Stdio::null());
        let output = signals::output(&mut command).ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    let (cold, second, warm) = (once(), once(), once());
    FirstStep { cold, second, warm }
}

/// The command line of a process that takes the first step as this one would. The first step is natural, whatever is timed.
fn first_step_line(arguments: &Arguments, width: f32, batch_size: usize) -> Vec<String> {
    let values = [
        ("--adapter", arguments.device.adapter.to_string()),
        ("--dataset", arguments.dataset.name().to_string()),
        ("--network", arguments.network.name().to_string()),
        ("--tune", arguments.device.opened_as.tune.name().to_string()),
        ("--precision", arguments.device.opened_as.precision.name().to_string()),
        ("--width", width.to_string()),
        ("--batch-size", batch_size.to_string()),
    ];
    let mut line = vec!["bench".to_string(), "--first-step".to_string()];
    line.extend(values.into_iter().flat_map(|(flag, value)| [flag.to_string(), value]));
    line.extend(arguments.device.opened_as.checked.then(|| "--checked".to_string()));
    line
}

/// What was measured, and how numbers were stored.
fn measured(report: &Report) -> String {
    let Report { network, width, batch_size, dataset, precision, .. } = report;
    format!("{network}, width {width}, batch {batch_size}, {dataset}, precision {}", precision.name())
}

fn print(report: &Report) {
    println!("device      {}", report.device);
    match &report.peak {
        Some(peak) => println!(
            "peak        {:.1} GFLOP/s in registers, {:.1} GB/s through memory",
            peak.gflops, peak.gigabytes_per_second
        ),
        None if report.steps_only => {}
        None => println!("peak        not stated: the measuring kernel's result was wrong"),
    }
    if let FirstStep { cold: Some(cold), warm: Some(warm), .. } = report.first_step {
        println!("first step  {cold:.1} s with an empty driver cache, {warm:.1} s with a warm one");
    }
    println!("model       {}\n", measured(report));
    print!("{}", steps(report));
    if let Some(cw) = &report.carlini_wagner {
        println!(
            "\nC&W iteration, batch {}: {:.1} ms, {:.2} times a forward and an input-gradient pass ({:.1} ms)",
            cw.batch_size,
            1e3 * cw.iteration_seconds,
            cw.ratio,
            1e3 * cw.passes_seconds
        );
    }
    for (name, step) in report.steps.iter().filter(|(_, s)| !s.kernels.is_empty()) {
        print!("\n{}", kernels(name, step));
    }
    if let Some(decisions) = &report.explain {
        for (name, step) in &report.steps {
            print!("\n{}", explain::convolutions(name, &step.general));
        }
        print!("\n{}", explain::text(decisions));
    }
}

/// The table of steps.
fn steps(report: &Report) -> String {
    let head = ["step", "images/s", "GFLOP/s", "ms", "vs natural", "planned", "allocated", "not convolution"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    for (name, step) in &report.steps {
        rows.push(vec![
            (*name).to_string(),
            format!("{:.1}", step.images_per_second),
            format!("{:.2}", step.gflops),
            format!("{:.1}", 1e3 * step.seconds),
            step.in_natural_steps.map_or("-".to_string(), |ratio| format!("{ratio:.2}")),
            bytes(step.planned_bytes),
            step.allocated_bytes.map_or("-".to_string(), bytes),
            step.other_share.map_or("-".to_string(), |s| format!("{:.0} %", 100.0 * s)),
        ]);
    }
    table(&rows)
}

/// The table of one step's kernels.
fn kernels(name: &str, step: &StepTiming) -> String {
    let head =
        [format!("kernels of a {name} step"), "form".into(), "calls".into(), "ms".into(), "GFLOP/s".into()];
    let mut rows = vec![head.to_vec()];
    for kernel in &step.kernels {
        rows.push(vec![
            kernel.kernel.to_string(),
            kernel.form.to_string(),
            kernel.calls.to_string(),
            format!("{:.2}", 1e3 * kernel.seconds),
            format!("{:.2}", kernel.gflops),
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(line: &[&str]) -> Arguments {
        Line::parse_from(line.iter().copied()).arguments
    }

    #[test]
    fn the_first_step_is_taken_as_the_steps_that_are_timed() {
        let flags = ["--precision", "mixed", "--checked", "--tune", "full", "--adapter", "1"];
        let model = ["--network", "resnet18", "--dataset", "mnist", "--method", "trades"];
        let own = parsed(&[&["bench"], &flags[..], &model].concat());
        let line = first_step_line(&own, 0.5, 7);
        let child = parsed(&line.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(child.device.opening(), own.device.opening());
        assert_eq!((child.device.adapter, child.network), (own.device.adapter, own.network));
        assert_eq!((child.width, child.batch_size, child.dataset.name()), (0.5, 7, "mnist"));
        assert!(child.first_step && !child.targets && child.out.is_none());
        let plain = first_step_line(&parsed(&["bench"]), 0.25, 32);
        assert!(!plain.contains(&"--checked".to_string()), "{plain:?}");
    }

    fn report(precision: Precision) -> Report {
        Report {
            version: "1",
            device: "d".into(),
            precision,
            checked: false,
            dataset: "cifar10",
            network: "resnet18",
            width: 0.25,
            batch_size: 32,
            peak: None,
            first_step: FirstStep::default(),
            steps: BTreeMap::new(),
            carlini_wagner: None,
            steps_only: true,
            explain: None,
        }
    }

    #[test]
    fn a_result_names_the_network_and_the_precision() {
        assert_eq!(
            measured(&report(Precision::F32)),
            "resnet18, width 0.25, batch 32, cifar10, precision f32"
        );
        let json = serde_json::to_value(report(Precision::Mixed)).unwrap();
        assert_eq!((&json["network"], &json["precision"]), (&"resnet18".into(), &"mixed".into()));
    }

    #[test]
    fn an_earlier_result_is_replaced_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        let check = |flags: &[&str]| {
            let out = path.display().to_string();
            let line = [&["bench", "--out", &out], flags].concat();
            check_out(&parsed(&line)).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[]), Ok(()));
        std::fs::write(&path, serde_json::to_vec_pretty(&report(Precision::F32)).unwrap()).unwrap();
        assert_eq!(check(&[]), Ok(()));
        std::fs::write(&path, "{\"version\": 1}").unwrap();
        assert!(check(&[]).unwrap_err().contains("exists"));
        assert_eq!(check(&["--force"]), Ok(()));
    }
}

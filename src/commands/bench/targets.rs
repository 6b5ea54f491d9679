//! `pgn-wgpu bench --targets`: what the program promises about its speed and memory, measured, beside the targets.
//!
//! The rows are ratios within one machine, or figures of one core. Threads are a matter of the environment
//! (`LP_NUM_THREADS`, `RAYON_NUM_THREADS`), so each measurement is a process of its own. A row that needs a software
//! adapter is left out on another one.

use super::{Arguments, cold_and_warm, give};
use crate::commands::{CommandResult, fail, loudness, signals, table, this_program};
use pgn_wgpu::bench::median;
use pgn_wgpu::bench::memory::{StepMemory, step_memory};
use pgn_wgpu::data::DatasetKind;
use pgn_wgpu::executor::Device;
use pgn_wgpu::pgn::Generator;
use pgn_wgpu::program::{MemoryLimits, Program};
use pgn_wgpu::training::run_data::usual_problem;
use pgn_wgpu::training::step::{self, Gradients};
use pgn_wgpu::training::{Method, Preset, TrainConfig};
use serde::Serialize;
use serde_json::Value;
use std::process::{ExitCode, Stdio};

/// Images per step of the timed rows, but for those about the paper's own steps.
const BATCH: usize = 16;
/// Images per step in the paper (Table 1): of the rows about memory and about its steps.
const PAPER_BATCH: usize = 128;
/// Width of the rows about the whole network, and of those about many steps.
const WIDE: f32 = 1.0;
const NARROW: f32 = 0.25;
/// Times that one thread and two take turns.
const THREAD_ROUNDS: usize = 3;
/// Seconds for each kind of step.
const SECONDS: &str = "5";

/// A figure and what it should be.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    measured: Option<f64>,
    target: Option<f64>,
    /// Whether more is better.
    more: bool,
    /// `None` if there is no target, or no measurement.
    met: Option<bool>,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    device: String,
    rows: Vec<Row>,
    memory: StepMemory,
    /// The measurements that the rows were taken from.
    runs: Vec<Value>,
}

fn row(
    what: impl Into<String>,
    unit: &'static str,
    measured: Option<f64>,
    target: Option<f64>,
    more: bool,
) -> Row {
    let met = measured.zip(target).map(|(own, target)| if more { own >= target } else { own <= target });
    Row { what: what.into(), unit, measured, target, more, met }
}

fn at_least(what: impl Into<String>, unit: &'static str, measured: Option<f64>, target: f64) -> Row {
    row(what, unit, measured, Some(target), true)
}

fn at_most(what: impl Into<String>, unit: &'static str, measured: Option<f64>, target: f64) -> Row {
    row(what, unit, measured, Some(target), false)
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let device = arguments.device.open()?;
    let software = matches!(&device, Device::Gpu(gpu) if gpu.is_software());
    let mut measured = Measured { tune: arguments.device.opened_as.tune.name(), runs: Vec::new() };
    let mut rows = Vec::new();
    if !matches!(device, Device::Cpu(_)) {
        rows.extend(adapter_steps(arguments, software, &mut measured)?);
        drop(device);
        rows.extend(first_step(arguments));
    }
    rows.extend(cpu_steps(&mut measured)?);
    let memory = memory()?;
    let ratio = memory.planned_bytes as f64 / memory.needed_bytes as f64;
    let what = format!("memory of a PGN step, batch {PAPER_BATCH}, width {WIDE}: planned / needed");
    rows.push(at_most(what, "x", Some(ratio), 1.2));
    let runs = measured.runs;
    let described = runs[0]["device"].as_str().unwrap_or_default().to_string();
    let report = Report { version: env!("CARGO_PKG_VERSION"), device: described, rows, memory, runs };
    give(arguments, &serde_json::to_string_pretty(&report)?, || {
        println!("device  {}\n", report.device);
        print!("{}", text(&report.rows));
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Rows, or why they were not measured.
type Rows = Result<Vec<Row>, Box<dyn std::error::Error>>;

/// Steps on the adapter: on one thread where it is software, and there on two threads as well.
fn adapter_steps(arguments: &Arguments, software: bool, measured: &mut Measured) -> Rows {
    let adapter = arguments.device.adapter.to_string();
    let threads = if software { Some(1) } else { None };
    let all = ["natural", "fgm", "pgd", "pgn"];
    let steps = |methods, size, threads| Measurement { adapter: &adapter, methods, size, threads };
    let narrow = Size { width: NARROW, batch: BATCH };
    let wide = Size { width: WIDE, batch: BATCH };
    let paper = Size { width: WIDE, batch: PAPER_BATCH };
    let mut rows = ratios(&measured.add(&steps(&all, narrow, threads))?, narrow);
    let at_wide = measured.add(&steps(&all, wide, threads))?;
    rows.extend(ratios(&at_wide, wide));
    rows.extend(ratios(&measured.add(&steps(&all, paper, threads))?, paper));
    if software {
        let with = |threads| steps(&["natural"], wide, threads);
        let mut rounds = Vec::new();
        for _ in 0..THREAD_ROUNDS {
            rounds.push([measured.add(&with(Some(1)))?, measured.add(&with(Some(2)))?]);
        }
        rows.extend(per_core(&at_wide, &rounds));
    }
    Ok(rows)
}

/// The time to the first step, with caches and without.
fn first_step(arguments: &Arguments) -> [Row; 3] {
    loudness::note(&format!("measuring the first step at width {WIDE}"));
    let first = cold_and_warm(arguments, WIDE, BATCH);
    let what = |start: &str| format!("first step, width {WIDE}, {start}");
    [
        at_most(what("cold"), "s", first.cold, 10.0),
        row(what("second start"), "s", first.second, None, false),
        at_most(what("caches warm"), "s", first.warm, 3.0),
    ]
}

/// Natural steps on one thread of the CPU path.
fn cpu_steps(measured: &mut Measured) -> Rows {
    let mut rows = Vec::new();
    for width in [WIDE, NARROW] {
        let size = Size { width, batch: BATCH };
        let what = Measurement { adapter: "cpu", methods: &["natural"], size, threads: Some(1) };
        let rate = number(&measured.add(&what)?, "natural", "images_per_second");
        rows.push(row(format!("CPU path, one thread, natural step, {size}"), "images/s", rate, None, true));
    }
    Ok(rows)
}

/// What was measured so far.
struct Measured {
    /// The value of --tune for the processes that measure.
    tune: &'static str,
    /// Their results.
    runs: Vec<Value>,
}

impl Measured {
    /// Measures one thing more.
    fn add(&mut self, what: &Measurement) -> Result<Value, Box<dyn std::error::Error>> {
        loudness::note(&format!("measuring {what}"));
        let value = what.run(self.tune)?;
        self.runs.push(value.clone());
        Ok(value)
    }
}

/// How large the steps of a row are.
#[derive(Clone, Copy)]
struct Size {
    width: f32,
    /// Images.
    batch: usize,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "width {}, batch {}", self.width, self.batch)
    }
}

/// What one process measures.
struct Measurement<'a> {
    adapter: &'a str,
    methods: &'a [&'a str],
    size: Size,
    threads: Option<usize>,
}

impl std::fmt::Display for Measurement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} at {} on {}", self.methods.join(", "), self.size, self.adapter)?;
        self.threads.map_or(Ok(()), |threads| write!(f, ", threads: {threads}"))
    }
}

impl Measurement<'_> {
    fn run(&self, tune: &str) -> Result<Value, Box<dyn std::error::Error>> {
        let Some(mut command) = this_program() else {
            return fail("the file of this program is not known; call it by its path");
        };
        command
            .args(["bench", "--steps-only", "--json", "--seconds", SECONDS])
            .args(["--adapter", self.adapter, "--method", &self.methods.join(",")])
            .args(["--width", &self.size.width.to_string(), "--batch-size", &self.size.batch.to_string()])
            .stderr(Stdio::inherit());
        // The CPU path has no forms to choose from.
        if self.adapter != "cpu" {
            command.args(["--tune", tune]);
        }
        if let Some(threads) = self.threads {
            // lavapipe's threads, and those of the CPU path.
            for variable in ["LP_NUM_THREADS", "RAYON_NUM_THREADS"] {
                command.env(variable, threads.to_string());
            }
        }
        let output = signals::output(&mut command)?;
        if !output.status.success() {
            return fail(format!("the measurement of {self} failed; its message is above"));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn number(report: &Value, method: &str, field: &str) -> Option<f64> {
    report["steps"][method][field].as_f64()
}

/// Steps in natural steps, and the share of the natural one that is not convolution.
fn ratios(report: &Value, size: Size) -> Vec<Row> {
    let ratio = |method| number(report, method, "in_natural_steps");
    let mut rows: Vec<Row> = [("fgm", "FGM", 1.75), ("pgd", "PGD-10", 8.0), ("pgn", "PGN", 2.6)]
        .map(|(method, name, target)| {
            at_most(format!("{name} step in natural steps, {size}"), "x", ratio(method), target)
        })
        .into();
    let rate = number(report, "natural", "images_per_second");
    rows.insert(0, row(format!("natural step, {size}"), "images/s", rate, None, true));
    let share = number(report, "natural", "other_share").map(|share| 100.0 * share);
    rows.push(at_most(format!("share that is not convolution, natural step, {size}"), "%", share, 15.0));
    rows
}

/// Speed of one core, counted as direct convolution, and what the second one adds: the median of rounds with either.
fn per_core(one: &Value, rounds: &[[Value; 2]]) -> Vec<Row> {
    let gflops = |report: &Value| number(report, "natural", "gflops");
    let ratios = rounds.iter().map(|[one, two]| Some(gflops(two)? / gflops(one)?));
    let ratio = ratios.collect::<Option<Vec<f64>>>().map(median);
    let name = format!("natural step, {}, one core", Size { width: WIDE, batch: BATCH });
    vec![
        at_least(name, "GFLOP/s", gflops(one), 14.0),
        at_least(format!("two cores against one, width {WIDE}"), "x", ratio, 1.8),
    ]
}

fn memory() -> Result<StepMemory, Box<dyn std::error::Error>> {
    let problem = usual_problem(DatasetKind::Cifar10);
    let preset = TrainConfig::preset(Preset::Small, DatasetKind::Cifar10);
    let config = TrainConfig { method: Method::PGN, width: WIDE, batch_size: PAPER_BATCH, ..preset };
    let (classifier, generator) = (config.classifier(problem)?, Generator::new(problem, WIDE)?);
    let phase = *step::phases(&config).last().expect("every step has a phase");
    let generator = Some(&generator);
    let graph = step::phase_graph(&config, &classifier, generator, phase, PAPER_BATCH, Gradients::Apply)?;
    let program = Program::compile(&graph, MemoryLimits::NONE)?;
    Ok(step_memory(&program).expect("training has a backward pass"))
}

fn text(rows: &[Row]) -> String {
    let mut lines = vec![["what", "measured", "target", "verdict"].map(str::to_string).to_vec()];
    for row in rows {
        let sign = if row.more { "≥" } else { "≤" };
        let with_unit = |value: f64, digits: usize| match row.unit {
            "x" => format!("{value:.digits$}"),
            unit => format!("{value:.digits$} {unit}"),
        };
        lines.push(vec![
            row.what.clone(),
            row.measured.map_or("-".to_string(), |v| with_unit(v, if row.unit == "x" { 2 } else { 1 })),
            row.target
                .map_or("-".to_string(), |v| format!("{sign} {}", with_unit(v, if v < 3.0 { 2 } else { 0 }))),
            row.met.map_or("-", |met| if met { "met" } else { "missed" }).to_string(),
        ]);
    }
    table(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdicts(rows: &[Row]) -> Vec<Option<bool>> {
        rows.iter().map(|row| row.met).collect()
    }

    #[test]
    fn a_target_is_met_from_its_own_side_and_without_a_measurement_there_is_no_verdict() {
        let step = |steps: f64| json!({ "in_natural_steps": steps, "images_per_second": 16.0 / steps });
        let mut natural = step(1.0);
        natural["other_share"] = json!(0.16);
        let report =
            json!({ "steps": { "natural": natural, "fgm": step(1.7), "pgd": step(8.1), "pgn": step(2.6) } });
        let size = Size { width: NARROW, batch: BATCH };
        let rows = ratios(&report, size);
        assert_eq!(verdicts(&rows), [None, Some(true), Some(false), Some(true), Some(false)]);
        assert_eq!(verdicts(&ratios(&json!({}), size)), [None; 5]);
        let gflops = |gflops: f64| json!({ "steps": { "natural": { "gflops": gflops } } });
        let rounds = [[14.0, 20.0], [14.0, 25.0], [14.0, 30.0]].map(|round| round.map(gflops));
        assert_eq!(verdicts(&per_core(&gflops(14.1), &rounds)), [Some(true), Some(false)]);
        let text = text(&rows);
        assert!(text.contains("1.70") && text.contains("≤ 1.75") && text.contains("16.0 %"), "{text}");
    }

    #[test]
    fn the_memory_of_the_papers_step_is_known_without_a_device() {
        let memory = memory().unwrap();
        assert!(memory.needed_bytes > 100 << 20, "{memory:?}");
        assert!(memory.planned_bytes >= memory.needed_bytes, "{memory:?}");
    }
}

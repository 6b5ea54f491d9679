//! `pgn-wgpu sweep`: every combination of a sweep file's values as a run of its own, and a table of what became of
//! them.

use super::loudness::is_quiet;
use super::progress::Pace;
use super::{CommandResult, duration, fail, signals, table};
use crate::command_line::settings::with_flags;
use pgn_wgpu::gpu::adapter::AdapterChoice;
use pgn_wgpu::shard::Shard;
use pgn_wgpu::sweep::file::{Overrides, read};
use pgn_wgpu::sweep::{self, Ended, Event, Plan, Point, State, Summary, Work};
use pgn_wgpu::training::metrics::Metrics;
use pgn_wgpu::training::run::RunFolder;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file: options as in a --config file, and lists of values in `grid`: a table, or several
    file: PathBuf,
    /// Where to compute; given several times: one worker each [default: the file's, else auto]
    #[arg(long)]
    adapter: Vec<AdapterChoice>,
    /// Train only the i-th of n parts, so that n machines share the sweep
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// List the runs and how far they are, and stop
    #[arg(long)]
    dry_run: bool,
    /// Folder (or .tar.gz) of the data set
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder for all runs [default: the file's, else runs/NAME-OF-THE-FILE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write TensorBoard's event files too, to the run folders
    #[arg(long)]
    tensorboard: bool,
    /// Let the runtime check every index and loop of the shaders
    #[arg(long)]
    checked: bool,
}

pub fn run(arguments: Arguments) -> CommandResult {
    let plan = read(&arguments.file, &Overrides { out: arguments.out, data: arguments.data })?;
    if arguments.dry_run {
        print!("{}", overview(&plan, arguments.shard)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut adapters = arguments.adapter;
    if adapters.is_empty() {
        adapters.push(plan.points[0].config.adapter.parse()?);
    }
    let (shard, checked, tensorboard) = (arguments.shard, arguments.checked, arguments.tensorboard);
    let work = Work { adapters, shard, checked, tensorboard };
    let stop = signals::stop_flag();
    let lines = Lines::default();
    let summary = sweep::run(&plan, &work, stop, &|point, event| lines.hear(point, event))?;
    println!("\n{}", closing_table(&plan, &summary));
    for (name, reason) in &summary.failed {
        println!("failed   {name}: {}", with_flags(reason));
    }
    if summary.interrupted {
        println!("interrupted; everything is saved, the same command goes on");
        return Ok(signals::exit_code());
    }
    match summary.failed.len() {
        0 => Ok(ExitCode::SUCCESS),
        1 => fail("a run of the sweep failed; the same command tries it again"),
        n => fail(format!("{n} runs of the sweep failed; the same command tries them again")),
    }
}

/// The runs and how far they are.
fn overview(plan: &Plan, shard: Option<Shard>) -> Result<String, sweep::SweepError> {
    let mut rows = vec![vec!["run".to_string(), "state".to_string()]];
    for (index, (name, state)) in sweep::state(plan)?.into_iter().enumerate() {
        if shard.is_none_or(|shard| shard.has(index)) {
            rows.push(vec![name, describe(&state)]);
        }
    }
    Ok(format!("{} runs in {}\n\n{}", rows.len() - 1, plan.folder.display(), table(&rows)))
}

fn describe(state: &State) -> String {
    match state {
        State::Todo => "to do".to_string(),
        State::Partial(step) => format!("saved at step {step}"),
        State::Done => "done".to_string(),
        State::Busy(holder) => format!("being trained by {holder}"),
        State::Failed(reason) => format!("failed: {}", with_flags(reason)),
    }
}

/// What became of every run that was looked at.
fn closing_table(plan: &Plan, summary: &Summary) -> String {
    let mut rows = vec![["run", "state", "benign (validation)", "time"].map(String::from).to_vec()];
    for Point { name, .. } in &plan.points {
        let state = match name {
            _ if summary.done.contains(name) => "done",
            _ if summary.skipped.contains(name) => "done before",
            _ if summary.busy.contains(name) => "trained elsewhere",
            _ if summary.failed.iter().any(|(failed, _)| failed == name) => "failed",
            _ => continue,
        };
        let (accuracy, seconds) = last_epoch(plan, name);
        let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_string());
        let accuracy = accuracy.map(|accuracy| format!("{:.2} %", 100.0 * accuracy));
        rows.push(vec![name.clone(), state.to_string(), shown(accuracy), shown(seconds.map(duration))]);
    }
    table(&rows)
}

/// Benign accuracy and seconds at the end of a run's last epoch.
fn last_epoch(plan: &Plan, name: &str) -> (Option<f64>, Option<f64>) {
    let metrics = RunFolder::open(&plan.folder.join(name)).map(|(folder, _)| folder.metrics_path());
    let metrics = metrics.ok().and_then(|path| Metrics::load(&path).ok()).unwrap_or_default();
    let last = metrics.epochs.last();
    last.map_or((None, None), |epoch| (epoch.benign_accuracy, Some(epoch.seconds)))
}

/// Progress as plain lines, because several runs may go on at once.
#[derive(Default)]
pub(super) struct Lines {
    /// How fast each run goes.
    runs: Mutex<HashMap<String, Pace>>,
}

impl Lines {
    /// A line, if it is time for one.
    pub(super) fn hear(&self, point: &Point, event: &Event) {
        let name = &point.name;
        match event {
            Event::Begun { device, step, total } => {
                self.runs.lock().expect("no line panics").insert(name.clone(), Pace::new(*step));
                let from = if *step > 0 { format!(" from step {step}") } else { String::new() };
                say(&format!("{name}: begins{from}, {total} steps, on {device}"));
            }
            Event::Step(record, total) => {
                let mut runs = self.runs.lock().expect("no line panics");
                let Some(pace) = runs.get_mut(name) else { return };
                if pace.due() {
                    let left = pace.left(record.step, *total);
                    let left = left.map_or(String::new(), |left| format!(", {left} left"));
                    say(&format!("{name}: step {}/{total}, loss {:.3}{left}", record.step, record.loss));
                }
            }
            Event::Epoch(..) => {}
            Event::Note(note) => say(&format!("{name}: note: {}", with_flags(note))),
            Event::Warning(warning) => eprintln!("{name}: warning: {}", with_flags(warning)),
            Event::Ended(Ended::Done(outcome)) => {
                let test = outcome.test.map_or(String::new(), |test| {
                    format!(", {:.2} % of the test images", 100.0 * test.benign_accuracy)
                });
                say(&format!("{name}: done in {}{test}", duration(outcome.seconds)));
            }
            Event::Ended(Ended::Interrupted(outcome)) => {
                say(&format!("{name}: saved at step {}", outcome.steps));
            }
            Event::Ended(Ended::Failed(reason)) => say(&format!("{name}: failed: {}", with_flags(reason))),
            Event::Ended(Ended::Busy(reason)) => say(&format!("{name}: left alone: {}", with_flags(reason))),
            Event::Ended(Ended::Skipped) => {}
        }
    }
}

/// If nobody reads it any more, the sweep goes on.
fn say(text: &str) {
    if is_quiet() {
        return;
    }
    let _ = writeln!(std::io::stdout(), "{text}");
}

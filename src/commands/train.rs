//! `pgn-wgpu train`: flags and files to a configuration, a device, a run folder; then the run, watched by a
//! progress bar on a terminal and by plain lines elsewhere.

use super::{CommandResult, bytes, duration, fail, grouped, table};
use indicatif::{ProgressBar, ProgressStyle};
use pgn_wgpu::training::fit::{EpochRecord, Fit, Observer, Outcome, StepRecord};
use pgn_wgpu::training::options::TrainOptions;
use pgn_wgpu::training::run::RunFolder;
use pgn_wgpu::training::{Method, TrainConfig};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;
/// Between plain progress lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    options: TrainOptions,
    /// Do not flip and crop
    #[arg(long, conflicts_with = "augment")]
    no_augment: bool,
    /// Keep the order of the images
    #[arg(long, conflicts_with = "shuffle")]
    no_shuffle: bool,
    /// Start the moving average's decay at its full value
    #[arg(long, conflicts_with = "ema_warmup")]
    no_ema_warmup: bool,
    /// A TOML file of options; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The run folder [default: runs/METHOD-DATASET, numbered]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run in this folder; only --adapter, --epochs and --max-steps may be given with it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "out"])]
    resume: Option<PathBuf>,
    /// Let the runtime check every index and loop of the shaders
    #[arg(long)]
    checked: bool,
}

pub fn run(mut arguments: Arguments) -> CommandResult {
    if arguments.no_augment {
        arguments.options.augment = Some(pgn_wgpu::data::Augment::None);
    }
    if arguments.no_shuffle {
        arguments.options.shuffle = Some(false);
    }
    if arguments.no_ema_warmup {
        arguments.options.ema_warmup = Some(false);
    }
    let config = configuration(&arguments)?;
    config.check()?;
    let device = super::open(&config.adapter.parse()?, arguments.checked)?;
    let described = device.describe();
    let stop = Arc::new(AtomicBool::new(false));
    let signal = stop.clone();
    ctrlc::set_handler(move || {
        // The second one does not wait for the step to end.
        if signal.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })?;
    let folder = |config: &TrainConfig| match (&arguments.resume, &arguments.out) {
        (Some(path), _) => {
            let (folder, _) = RunFolder::open(path)?;
            folder.write_config(config)?;
            Ok(folder)
        }
        (None, Some(out)) => RunFolder::create(out, config),
        (None, None) => {
            let name = format!("{}-{}", config.method.name(), config.dataset.name());
            RunFolder::create(&RunFolder::unused(&name), config)
        }
    };
    let mut watch = Watch::new();
    let fit = Fit::new(device, config.clone(), folder, &mut watch, &stop)?;
    announce(&fit, &config, &described);
    let path = fit.folder().path().to_path_buf();
    let model = fit.folder().model();
    let result = fit.run();
    watch.bar.finish_and_clear();
    let outcome = result?;
    if outcome.interrupted {
        println!(
            "interrupted at step {}; everything is saved, continue with: pgn-wgpu train --resume {}",
            outcome.steps,
            path.display()
        );
        return Ok(ExitCode::from(INTERRUPTED));
    }
    println!("{}", closing_table(&config, &outcome, &described));
    println!("model    {}", model.display());
    println!("metrics  {}", path.join("metrics.jsonl").display());
    Ok(ExitCode::SUCCESS)
}

fn configuration(arguments: &Arguments) -> Result<TrainConfig, Box<dyn std::error::Error>> {
    if let Some(path) = &arguments.resume {
        let allowed = ["adapter", "epochs", "max_steps"];
        let given = arguments.options.given();
        if let Some(other) = given.iter().find(|name| !allowed.contains(name)) {
            return fail(format!(
                "--{} cannot change in a resumed run; leave it out, or start a new run with --from {}",
                other.replace('_', "-"),
                path.join("model.safetensors").display()
            ));
        }
        let (_, mut config) = RunFolder::open(path)?;
        arguments.options.apply(&mut config);
        return Ok(config);
    }
    let file = match &arguments.config {
        Some(path) => TrainOptions::from_file(path)?,
        None => TrainOptions::default(),
    };
    Ok(arguments.options.resolve(&file))
}

fn announce(fit: &Fit, config: &TrainConfig, device: &str) {
    let (trainer, data) = (fit.trainer(), fit.dataset());
    println!("device   {device}");
    println!(
        "data     {}: {} train, {} validation, {} test images, {}x{}x{}, {} classes",
        data.name,
        grouped(data.train.len() as u64),
        grouped(data.validation.len() as u64),
        grouped(data.test.len() as u64),
        data.side,
        data.side,
        data.channels,
        data.classes
    );
    let generator = trainer
        .generator()
        .map_or(String::new(), |g| format!(", generator {} parameters", grouped(g.layout.count() as u64)));
    println!(
        "model    width {}: classifier {} parameters{generator}",
        config.width,
        grouped(trainer.classifier().layout.count() as u64)
    );
    println!(
        "memory   {} planned on the device for batches of {}",
        bytes(trainer.planned_bytes()),
        config.batch_size
    );
    if trainer.micro_batch() < config.batch_size {
        println!(
            "note     a batch of {} does not fit the adapter at once; each is split into micro-batches of {} whose gradients add up",
            config.batch_size,
            trainer.micro_batch()
        );
    }
    println!("run      {} ({} steps)", fit.folder().path().display(), grouped(fit.total_steps()));
    if trainer.step() > 0 {
        println!("resumed  at step {}", trainer.step());
    }
}

fn closing_table(config: &TrainConfig, outcome: &Outcome, device: &str) -> String {
    let percent = |v: f64| format!("{:.2} %", 100.0 * v);
    let mut rows = vec![vec![
        format!("result of {} training", config.method.name()),
        format!("{} steps, {}", grouped(outcome.steps), duration(outcome.seconds)),
    ]];
    if let Some(test) = &outcome.test {
        rows.push(vec![
            format!("benign accuracy ({} test images)", test.images),
            percent(test.benign_accuracy),
        ]);
        if let Some(attacked) = &test.generator {
            rows.push(vec!["accuracy under the generator's own attack".into(), percent(attacked.accuracy)]);
            rows.push(vec!["mean L2 of the perturbation".into(), format!("{:.4}", attacked.delta)]);
            rows.push(vec![
                "loss under the generator / under FGM of the same norm".into(),
                format!("{:.3} / {:.3}", attacked.loss, attacked.fgm_loss),
            ]);
        }
    }
    rows.push(vec!["training images per second".into(), format!("{:.0}", outcome.images_per_second)]);
    let mut text = format!("\n{}", table(&rows));
    text += &format!("\ndevice   {device}");
    let weak = outcome.test.and_then(|t| t.generator).filter(|g| g.loss < g.fgm_loss);
    if config.method == Method::Pgn
        && let Some(attacked) = weak
    {
        text += &format!(
            "\n\nwarning: the generator does less than FGM at its norm ({:.3} < {:.3}): it has not learned to attack; train \
             longer, raise --generator-lr, or lower --c-l",
            attacked.loss, attacked.fgm_loss
        );
    }
    text
}

/// Shows progress: a bar on a terminal, lines elsewhere.
struct Watch {
    bar: ProgressBar,
    terminal: bool,
    started: Instant,
    first_step: Option<u64>,
    last_line: Instant,
}

impl Watch {
    fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(1) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta} left");
        bar.set_style(style.expect("the template is valid"));
        let now = Instant::now();
        Self { bar, terminal, started: now, first_step: None, last_line: now }
    }

    fn line(&self, text: &str) {
        if self.terminal {
            self.bar.println(text);
        } else {
            println!("{text}");
        }
    }
}

impl Observer for Watch {
    fn message(&mut self, text: &str) {
        self.line(text);
    }

    fn step(&mut self, record: &StepRecord, total: u64) {
        let first = *self.first_step.get_or_insert(record.step);
        let rate = (record.step - first) as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let delta = record.delta.map_or(String::new(), |d| format!(" ‖δ‖ {d:.3}"));
        let predicted = record.predicted_delta.map_or(String::new(), |d| format!(" (linear {d:.3})"));
        let text = format!("{rate:.1} steps/s loss {:.3}{delta}{predicted}", record.loss);
        if self.terminal {
            self.bar.set_length(total);
            self.bar.set_position(record.step);
            self.bar.set_message(text);
        } else if self.last_line.elapsed() > LINE_INTERVAL {
            self.last_line = Instant::now();
            let left = (total - record.step) as f64 / rate.max(1e-9);
            println!("step {}/{total} {text}, {} left", record.step, duration(left));
        }
    }

    fn epoch(&mut self, record: &EpochRecord, epochs: u32) {
        let mut text =
            format!("epoch {}/{epochs}  {:.0} images/s", record.epoch + 1, record.images_per_second);
        if let Some(accuracy) = record.benign_accuracy {
            text += &format!("  validation: benign {:.1} %", 100.0 * accuracy);
        }
        if let (Some(accuracy), Some(delta)) = (record.generator_accuracy, record.delta) {
            text += &format!(", under G {:.1} %, ‖δ‖ {delta:.3}", 100.0 * accuracy);
        }
        if let (Some(own), Some(fgm)) = (record.generator_loss, record.fgm_loss) {
            text += &format!(", loss {own:.3} (FGM {fgm:.3})");
        }
        self.line(&text);
    }
}

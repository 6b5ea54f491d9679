//! `pgn-wgpu train`: flags and files to a configuration, a device, a run folder; then the run, with a progress bar on a
//! terminal and plain lines elsewhere.

mod watch;

use super::loudness::{self, Timer};
use super::{CommandResult, bytes, duration, fail, grouped, print_notes, signals, table};
use pgn_wgpu::data::Dataset;
use pgn_wgpu::evaluation::Place;
use pgn_wgpu::executor::{Device, ExecutionError, Opening};
use pgn_wgpu::gpu::GpuError;
use pgn_wgpu::gpu::tuning::Tune;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::training::effects;
use pgn_wgpu::training::fit::{Fit, Observer, Outcome};
use pgn_wgpu::training::material::{Material, material};
use pgn_wgpu::training::options::TrainOptions;
use pgn_wgpu::training::prepared::Home;
use pgn_wgpu::training::run::RunFolder;
use pgn_wgpu::training::run_data::{problem_of, steps_of};
use pgn_wgpu::training::{TrainConfig, TrainError, Trainer, resume, robust};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use watch::Watch;

#[derive(clap::Args)]
// `train-generator` has these flags too, and clap wants another name for them than its own.
#[group(id = "training")]
pub struct Arguments {
    /// What is trained, and how.
    #[command(flatten)]
    pub options: TrainOptions,
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
    pub config: Option<PathBuf>,
    /// The run folder [default: runs/METHOD-DATASET or runs/generator-MODEL, numbered]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run in this folder; --epochs, --max-steps, --lr, --generator-lr, --adapter, --data and --checkpoint-every
    /// may be given with it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "out"])]
    resume: Option<PathBuf>,
    /// Write TensorBoard's event files too, to RUN/tensorboard; a resumed run goes on with them
    #[arg(long)]
    tensorboard: bool,
    /// Let the runtime check every index and loop of the shaders
    #[arg(long)]
    checked: bool,
    /// Check everything, say what would be done, and write nothing; kernels are not timed for it
    #[arg(long)]
    dry_run: bool,
}

/// What a run came to that was trained without a word.
pub struct Trained {
    /// The run's folder.
    pub folder: PathBuf,
    /// What the user should know, a sentence each, as [`Fit::notes`].
    pub notes: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Trains as [`run`] does, and tells `observer` alone. The run is saved and ends after its step when `stop` is set.
pub fn quietly(
    arguments: Arguments,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Trained, Box<dyn std::error::Error>> {
    let arguments = arguments.settled();
    let (config, resumed) = configuration(&arguments)?;
    config.check()?;
    if arguments.dry_run {
        return fail("`dry-run` writes what it finds to the terminal; use the command for it");
    }
    let device = Device::open(&config.adapter.parse()?, config.opening(arguments.checked))?;
    let home = home(resumed, arguments.out.as_deref(), &config);
    let mut fit = Fit::new(device, config, home, observer, stop)?;
    if arguments.tensorboard {
        fit.log_to_tensorboard()?;
    }
    let (folder, notes) = (fit.folder().path().to_path_buf(), fit.notes().to_vec());
    let outcome = fit.run().map_err(|error| with_a_way_on(error, &folder))?;
    Ok(Trained { folder, notes, outcome })
}

/// The folder that a run goes on in, or a new one.
fn home(resumed: Option<RunFolder>, out: Option<&Path>, config: &TrainConfig) -> Home {
    match (resumed, out) {
        (Some(folder), _) => Home::Existing(folder),
        (None, Some(out)) => Home::New(out.to_path_buf()),
        (None, None) => Home::Unused(run_name(config)),
    }
}

impl Arguments {
    /// The same with the flags that turn something off entered among the options.
    fn settled(mut self) -> Self {
        if self.no_augment {
            self.options.augment = Some(pgn_wgpu::data::Augment::None);
        }
        if self.no_shuffle {
            self.options.shuffle = Some(false);
        }
        if self.no_ema_warmup {
            self.options.ema_warmup = Some(false);
        }
        self
    }
}

pub fn run(arguments: Arguments) -> CommandResult {
    let arguments = arguments.settled();
    let (config, resumed) = configuration(&arguments)?;
    config.check()?;
    if arguments.dry_run {
        return dry_run(&arguments, &config, resumed.as_ref());
    }
    let device = super::open(&config.adapter.parse()?, config.opening(arguments.checked))?;
    let described = device.describe();
    let stop = signals::stop_flag();
    let home = home(resumed, arguments.out.as_deref(), &config);
    let mut watch = Watch::new(&config);
    let preparing = Timer::new();
    let mut fit = Fit::new(device, config.clone(), home, &mut watch, stop)?;
    preparing.say("preparing the run");
    if arguments.tensorboard {
        fit.log_to_tensorboard()?;
    }
    let all = What { trainer: fit.trainer(), data: fit.dataset(), config: &config, device: &described };
    announce(&all, fit.folder().path(), fit.resumed_at());
    print_notes(fit.notes());
    say_forms(fit.folder());
    let path = fit.folder().path().to_path_buf();
    let model = fit.folder().model();
    let result = fit.run();
    watch.finish();
    let outcome = result.map_err(|error| with_a_way_on(error, &path))?;
    if outcome.interrupted {
        println!(
            "interrupted at step {}; everything is saved, continue with: pgn-wgpu train --resume {}",
            outcome.steps,
            path.display()
        );
        return Ok(signals::exit_code());
    }
    loudness::detail(&format!("time     waited {:.2} s for images", outcome.waited_for_data));
    println!("\n{}", closing_table(&config, &outcome));
    println!("device   {described}");
    println!("model    {}", model.display());
    println!("metrics  {}", path.join("metrics.jsonl").display());
    Ok(ExitCode::SUCCESS)
}

/// METHOD-DATASET, or for a generator alone the model that it attacks.
fn run_name(config: &TrainConfig) -> String {
    let attacked = config.from.as_ref().filter(|_| config.freeze_classifier);
    match attacked.and_then(|path| Place::find(path).ok()) {
        Some(place) => format!("generator-{}", place.name.replace('/', "-")),
        None => format!("{}-{}", config.method.name(), config.dataset.name()),
    }
}

/// The complete configuration, and the folder of the run to go on with, locked so that nobody else trains it meanwhile.
fn configuration(
    arguments: &Arguments,
) -> Result<(TrainConfig, Option<RunFolder>), Box<dyn std::error::Error>> {
    if let Some(path) = &arguments.resume {
        let (mut folder, _) = RunFolder::open(path)?;
        if !arguments.dry_run {
            folder.lock()?;
        }
        // Read again, because it may have changed before it was locked.
        let (_, config) = RunFolder::open(path)?;
        let config = resume::resumed(&folder, &config, &arguments.options)?;
        check_effects(arguments, &TrainOptions::default(), &config)?;
        return Ok((config.with_absolute_paths(), Some(folder)));
    }
    let file = match &arguments.config {
        Some(path) => TrainOptions::from_file(path)?,
        None => TrainOptions::default(),
    };
    let config = of_the_start(&arguments.options, &file).resolve(&file);
    check_effects(arguments, &file, &config)?;
    Ok((config.with_absolute_paths(), None))
}

/// The options; what the file tells that a run starts from need not be named beside it: its network, width and
/// normalisation of pixels.
fn of_the_start(options: &TrainOptions, file: &TrainOptions) -> TrainOptions {
    let mut options = options.clone();
    let named = options.network.is_some() || file.network.is_some();
    let from = options.from.as_ref().or(file.from.as_ref()).filter(|_| !named);
    // A file that cannot be read is refused later, by its reason.
    let Some(model) = from.and_then(|path| Model::load(path, None).ok()) else { return options };
    options.network = Some(model.facts.network);
    // That of an imported network is the generator's alone.
    if model.facts.network.is_imported() {
        return options;
    }
    options.width = options.width.or(file.width).or(Some(model.facts.width));
    let normalises =
        [&options, file].iter().any(|o| o.mean.is_some() || o.std.is_some() || o.normalise.is_some());
    if let Some(own) = model.classifier.normalisation(&model.average).filter(|_| !normalises) {
        options.mean = Some(own.mean);
        options.std = Some(own.deviation);
    }
    options
}

/// Refuses flags without effect, and keys of the file that neither its own run nor this one uses.
fn check_effects(
    arguments: &Arguments,
    file: &TrainOptions,
    config: &TrainConfig,
) -> Result<(), Box<dyn std::error::Error>> {
    if let Err(sentence) = effects::check_flags(&arguments.options.keys(), config) {
        let warmup = if arguments.no_ema_warmup { "`no-ema-warmup`" } else { "`ema-warmup`" };
        return fail(sentence.replace("`ema-warmup`", warmup));
    }
    if let Some(path) = &arguments.config {
        if arguments.options.preset.is_some() && effects::says_everything(&file.keys()) {
            return fail(format!(
                "`preset` has no effect with `config` {}, which has a value for every option, as the file of a run; leave one \
                 of them out",
                path.display()
            ));
        }
        let own = TrainOptions::default().resolve(file);
        effects::check_file(path, &file.keys(), file.preset, &[own, config.clone()])?;
    }
    Ok(())
}

/// Everything that a run would do before its first step, and nothing that stays.
fn dry_run(arguments: &Arguments, config: &TrainConfig, resumed: Option<&RunFolder>) -> CommandResult {
    let path = match (resumed, &arguments.out) {
        (Some(folder), _) => folder.path().to_path_buf(),
        (None, Some(out)) => out.clone(),
        (None, None) => RunFolder::unused(&run_name(config)),
    };
    let done = match resumed {
        Some(folder) => folder.progress()?,
        None => RunFolder::check_new(&path).map(|()| None)?,
    };
    // What is measured of the kernels would be kept.
    let opening = Opening { tune: Tune::Off, ..config.opening(arguments.checked) };
    let device = super::open(&config.adapter.parse()?, opening)?;
    let described = device.describe();
    let (trainer, material) = prepare(device, config, resumed)?;
    let all = What { trainer: &trainer, data: &material.dataset, config, device: &described };
    describe(&all, &path, done.as_ref().map(|done| done.step));
    let mut notes = material.notes(config);
    notes.extend(trainer.split_note(material.micro_batch));
    notes.extend(done.and_then(|done| resume::nothing_left(&done, config)));
    print_notes(&notes);
    println!("dry run  nothing was written; the same command without --dry-run trains");
    Ok(ExitCode::SUCCESS)
}

/// The networks on the device, and what the run needs beside its folder.
fn prepare(
    device: Device,
    config: &TrainConfig,
    resumed: Option<&RunFolder>,
) -> Result<(Trainer, Material), TrainError> {
    let material = material(config, resumed)?;
    let problem = problem_of(&material.dataset);
    let trainer = Trainer::new(device, config, problem, material.from.as_ref(), material.micro_batch)?;
    Ok((trainer, material))
}

/// With `--verbose`, the forms of kernels that the run begins with, as its `config.toml` has them.
fn say_forms(folder: &RunFolder) {
    let kernels = RunFolder::open(folder.path()).ok().and_then(|(_, config)| config.kernels);
    for (shape, form) in kernels.iter().flat_map(|kernels| &kernels.forms) {
        loudness::detail(&format!("kernel   {shape}: {form}"));
    }
}

/// What a run is made of.
struct What<'a> {
    trainer: &'a Trainer,
    data: &'a Dataset,
    config: &'a TrainConfig,
    device: &'a str,
}

/// The error; of an adapter that failed in the middle of the run with how to go on, because a checkpoint is there.
fn with_a_way_on(error: TrainError, run: &Path) -> Box<dyn std::error::Error> {
    match error {
        TrainError::Execution(ExecutionError::Gpu(GpuError::Failed { .. })) => format!(
            "{error}; the run is kept up to its last checkpoint, continue with: pgn-wgpu train --resume {}",
            run.display()
        )
        .into(),
        error => error.into(),
    }
}

/// What is known before the first step, unless nothing but results is wanted.
fn announce(what: &What, run: &Path, resumed_at: Option<u64>) {
    if !loudness::is_quiet() {
        describe(what, run, resumed_at);
    }
}

fn describe(&What { trainer, data, config, device }: &What, run: &Path, resumed_at: Option<u64>) {
    println!("device   {device}");
    println!("data     {}, {}x{}, {} classes", data.name, data.size, data.channels, data.classes);
    println!(
        "images   {} train, {} validation, {} test",
        grouped(data.train.len() as u64),
        grouped(data.validation.len() as u64),
        grouped(data.test.len() as u64)
    );
    let generator = trainer
        .generator()
        .map_or(String::new(), |g| format!(", generator {}", grouped(g.slots.parameters() as u64)));
    println!(
        "model    {}, width {}, {} parameters{generator}",
        config.network,
        config.width,
        grouped(trainer.classifier().parameters() as u64)
    );
    println!(
        "memory   {} planned on the device, batches of {}",
        bytes(trainer.planned_bytes()),
        config.batch_size
    );
    describe_attacks(config, data.validation.len());
    let steps = grouped(steps_of(config, data.train.len()));
    println!("run      {} ({steps} steps)", run.display());
    if let Some(step) = resumed_at {
        println!("resumed  at step {step}");
    }
}

/// The attack that measures the run, and the one that it trains on.
fn describe_attacks(config: &TrainConfig, validation: usize) {
    if config.robust_every() > 0 && validation > 0 {
        let images = robust::IMAGES.min(validation);
        let when = match config.robust_every() {
            1 => "after each epoch".to_string(),
            every => format!("after every {every} epochs and at the end"),
        };
        println!("PGD-10   on {images} validation images within {}, {when}", robust::radius(config));
    }
    match config.inner_attack() {
        Some(attack) if attack.kind.has_radius() => {
            let (name, norm) = (attack.kind, attack.norm.name());
            println!("attack   {name} within {norm} epsilon {}, pixels in [0, 1]", attack.epsilon);
        }
        Some(attack) => println!("attack   {}, {} iterations", attack.kind, attack.iterations),
        None => {
            if let Some(ball) = config.trained_ball() {
                println!("attack   steps of {} within {ball}, pixels in [0, 1]", config.method);
            }
        }
    }
}

fn closing_table(config: &TrainConfig, outcome: &Outcome) -> String {
    let percent = |v: f64| format!("{:.2} %", 100.0 * v);
    let mut rows = vec![vec![
        format!("{} training, {} steps", config.method.name(), grouped(outcome.steps)),
        duration(outcome.seconds),
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
                "loss under it / under FGM of that norm".into(),
                format!("{:.3} / {:.3}", attacked.loss, attacked.fgm_loss),
            ]);
        }
    }
    rows.push(vec!["training images per second".into(), format!("{:.0}", outcome.images_per_second)]);
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_whose_adapter_failed_says_how_to_go_on_and_one_that_diverged_does_not() {
        let failed = GpuError::Failed { adapter: "one".to_string(), reason: "lost".to_string() };
        let said = |error: TrainError| with_a_way_on(error, Path::new("runs/a")).to_string();
        assert_eq!(
            said(ExecutionError::Gpu(failed).into()),
            "the adapter one failed: lost; the run is kept up to its last checkpoint, continue with: pgn-wgpu train --resume runs/a"
        );
        assert_eq!(said(ExecutionError::Interrupted.into()), "interrupted");
    }
}

//! `pgn-wgpu reproduce`: the paper's experiments from training to report. Says first what it will cost.

use super::progress::Progress;
use super::sweep::Lines;
use super::{CommandResult, OpeningArguments, duration, fail, grouped, loudness, signals};
use crate::command_line::names::networks;
use pgn_wgpu::data::{DatasetKind, absolute};
use pgn_wgpu::evaluation::suite::Event;
use pgn_wgpu::executor::Device;
use pgn_wgpu::files;
use pgn_wgpu::gpu::adapter::AdapterChoice;
use pgn_wgpu::nn::Network;
use pgn_wgpu::report::earlier::{Earlier, Origin};
use pgn_wgpu::report::{self, Fact, Page, Section};
use pgn_wgpu::reproduce::cost::Cost;
use pgn_wgpu::reproduce::study::Trained;
use pgn_wgpu::reproduce::{Experiment, Scale, Settings, Study};
use pgn_wgpu::shard::Shard;
use pgn_wgpu::sweep::Work;
use serde_json::Value;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Arguments {
    /// The tables and figures, `all` of the paper's, or `beyond`
    #[arg(required = true, value_name = "EXPERIMENT", value_parser = experiments)]
    experiments: Vec<Vec<Experiment>>,
    /// How much of the paper
    #[arg(long, value_enum)]
    scale: Scale,
    /// The data set of all of them [default: digits for smoke, else CIFAR-100 for table2 and CIFAR-10 for the others]
    #[arg(long)]
    dataset: Option<DatasetKind>,
    /// The networks of `beyond` [default: all-convolutional,resnet18]
    #[arg(long, value_delimiter = ',', value_parser = networks())]
    network: Vec<Network>,
    /// Folder (or .tar.gz) of the data set
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to train, one worker for each time it is given; the first one also attacks
    #[arg(long, default_value = "auto")]
    adapter: Vec<AdapterChoice>,
    /// Train only the i-th of n parts, such as 2/8; the report is made by a call without it
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// The folder for runs and report; what is in it from an earlier call is not computed again
    /// [default: reproduction-SCALE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only say what it would cost
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    opened_as: OpeningArguments,
    /// Replace a report about other experiments, other networks or another scale, and files that no report has written; runs and
    /// results are never overwritten, and a report of the same ones is always renewed
    #[arg(long)]
    force: bool,
}

/// One experiment's name, or `all`.
fn experiments(text: &str) -> Result<Vec<Experiment>, String> {
    use clap::ValueEnum;
    if text == "all" {
        return Ok(Experiment::of_paper());
    }
    Experiment::from_str(text, true).map(|experiment| vec![experiment]).map_err(|_| {
        let names = Experiment::ALL.map(Experiment::name).join(", ");
        format!("there is no experiment {text}; there are {names}, and all means every one but beyond")
    })
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let started = Instant::now();
    let experiments = arguments.experiments.concat();
    let name = format!("reproduction-{}", arguments.scale.name());
    let out = arguments.out.clone().unwrap_or_else(|| name.into());
    let opening = arguments.opened_as.opening();
    let groups = Experiment::by_dataset(&experiments, arguments.scale, arguments.dataset);
    let studies: Vec<Study> = groups
        .into_iter()
        .map(|(dataset, group)| {
            let settings = Settings::new(arguments.scale, dataset, arguments.data.as_deref().map(absolute));
            Study::new(settings.opened_as(opening).beyond_on(&arguments.network), group, &out)
        })
        .collect::<Result<_, _>>()?;
    let reports = out.join("report");
    if !arguments.dry_run && arguments.shard.is_none() && !arguments.force {
        check_overwriting(&reports, &title(arguments.scale), &studies)?;
    }
    let device = super::open(&arguments.adapter[0], opening)?;
    if arguments.dry_run || !loudness::is_quiet() {
        announce(arguments, &studies, &device)?;
    }
    if arguments.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    match train_and_attack(arguments, &studies, &device)? {
        Done::Interrupted => Ok(signals::exit_code()),
        Done::Part { failed } => {
            println!(
                "this part is trained; when all parts are, the same command without --shard makes the report"
            );
            Ok(code(failed))
        }
        Done::All { sections, failed } => {
            let page = page(arguments, &studies, &device, sections, started);
            let written = report::files::write(&page, &reports, &origin(), arguments.force)?;
            println!("\nreport   {}", written.display());
            Ok(code(failed))
        }
    }
}

fn code(failed: bool) -> ExitCode {
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// How far a call came.
enum Done {
    /// It was ended from outside; everything is saved.
    Interrupted,
    /// The runs of its `--shard` are trained, or some failed.
    Part { failed: bool },
    /// All runs are trained, or some failed, and the models were attacked.
    All { sections: Vec<Section>, failed: bool },
}

fn train_and_attack(
    arguments: &Arguments,
    studies: &[Study],
    device: &Device,
) -> Result<Done, Box<dyn Error>> {
    let work = Work {
        adapters: arguments.adapter.clone(),
        shard: arguments.shard,
        checked: arguments.opened_as.opening().checked,
        tensorboard: false,
    };
    let mut sections = Vec::new();
    let mut failed = false;
    for study in studies {
        let lines = Lines::default();
        // Training ends with everything saved; attacks are kept one by one, so they may end at once.
        let stop = signals::stop_flag();
        let trained = study.train(&work, stop, &|point, event| lines.hear(point, event))?;
        failed |= !trained.failures.is_empty();
        signals::leave_on_signal();
        // A signal in the evaluation that ends the last run stops no training.
        if trained.interrupted || signals::code().is_some() {
            println!("interrupted; everything is saved, the same command goes on from there");
            return Ok(Done::Interrupted);
        }
        if arguments.shard.is_some() {
            continue;
        }
        if trained.incomplete {
            return fail(
                "some runs are still being trained elsewhere; run the same command again when they are done",
            );
        }
        sections.extend(attack(study, device, trained));
    }
    Ok(if arguments.shard.is_some() { Done::Part { failed } } else { Done::All { sections, failed } })
}

fn title(scale: Scale) -> String {
    format!("Reproduction, scale {}", scale.name())
}

/// What a report tells of a data set's images: this after its name.
const IMAGES_OF: &str = ": images";

/// The data sets and experiments of a report that `studies` will not repeat, and the networks of `beyond`.
fn not_repeated(report: &Value, studies: &[Study]) -> Vec<String> {
    let planned = |id: &str| studies.iter().any(|s| s.experiments.iter().any(|e| e.name() == id));
    let networks = |name: &str| {
        studies
            .iter()
            .any(|study| study.settings.beyond_networks.iter().any(|network| network.name() == name))
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let data_set = |fact: &Value| fact["name"].as_str()?.strip_suffix(IMAGES_OF).map(str::to_string);
    let mut lost: Vec<String> = list(&report["facts"]).iter().filter_map(data_set).collect();
    lost.retain(|name| studies.iter().all(|study| study.dataset.name != *name));
    for section in list(&report["sections"]) {
        match section["id"].as_str() {
            Some(id) if !planned(id) => lost.push(id.to_string()),
            _ => {}
        }
        for block in list(&section["blocks"]) {
            let id = block["figure"]["id"].as_str().unwrap_or_default();
            let shown = id.strip_prefix("beyond-").and_then(|id| id.strip_suffix("-verdict"));
            lost.extend(
                shown.filter(|name| planned("beyond") && !networks(name)).map(|n| format!("beyond on {n}")),
            );
        }
    }
    lost
}

/// Where its reports come from. What they are about is told by the folder.
fn origin() -> Origin {
    Origin { by: "reproduce".into(), about: vec![] }
}

/// Refuses to replace a report that says something which the new one will not, and files of somebody else. What `write` would refuse
/// in the end is refused before hours of training, as far as that is known.
fn check_overwriting(reports: &Path, title: &str, studies: &[Study]) -> Result<(), Box<dyn Error>> {
    check_contents(reports, title, studies)?;
    let earlier = Earlier::find(reports);
    earlier.check(reports, &origin())?;
    Ok(earlier.check_file(reports, Path::new("report.json"))?)
}

/// Refuses to replace a report that says something which the new one will not.
fn check_contents(reports: &Path, title: &str, studies: &[Study]) -> Result<(), Box<dyn Error>> {
    let path = reports.join("report.json");
    if !path.exists() {
        return Ok(());
    }
    let old: Value = serde_json::from_slice(&files::read(&path)?).unwrap_or_default();
    let other_scale = (old["title"] != title).then(|| match old["title"].as_str() {
        Some(other) => format!("is {other:?}"),
        None => "cannot be read".to_string(),
    });
    let lost = not_repeated(&old, studies);
    let left_out =
        || (!lost.is_empty()).then(|| format!("has {}, which this call leaves out", lost.join(", ")));
    match other_scale.or_else(left_out) {
        None => Ok(()),
        Some(what) => fail(format!(
            "the report in {} {what}; choose another `out`, ask for all of that, or replace the report with \
             `force` (no run and no result is lost)",
            reports.display()
        )),
    }
}

fn attack(study: &Study, device: &Device, trained: Trained) -> Vec<Section> {
    let mut progress = Progress::new();
    let sections = study.sections(device, trained.failures, &mut |event| match event {
        Event::Known(_) => {}
        event => progress.tell(&event),
    });
    progress.finish();
    sections
}

/// Says what is planned, of a shard its part alone, and how long it should take.
fn announce(arguments: &Arguments, studies: &[Study], device: &Device) -> Result<(), Box<dyn Error>> {
    let shard = arguments.shard;
    println!("device   {}", device.describe());
    for study in studies {
        let names: Vec<&str> = study.experiments.iter().map(|e| e.name()).collect();
        println!("data     {} for {}", study.dataset.name, names.join(", "));
        let Cost { runs, steps, training_seconds, attack_seconds } = study.cost(device, shard)?;
        let part = shard.map_or(String::new(), |shard| format!("part {shard}: "));
        let attacks = match shard {
            None => format!(", at most about {} of attacks", duration(attack_seconds)),
            Some(_) => String::new(),
        };
        println!(
            "plan     {part}{} runs, {runs} of them to be trained in {} steps: about {} of training{attacks}",
            study.runs(shard),
            grouped(steps),
            duration(training_seconds / arguments.adapter.len() as f64)
        );
    }
    Ok(())
}

fn page(
    arguments: &Arguments,
    studies: &[Study],
    device: &Device,
    sections: Vec<Section>,
    started: Instant,
) -> Page {
    let mut facts = vec![
        fact("command", format!("pgn-wgpu {}", super::own_arguments().join(" "))),
        fact("version", env!("CARGO_PKG_VERSION").into()),
        fact("device", device.describe()),
        fact("time of this call", duration(started.elapsed().as_secs_f64())),
    ];
    facts.extend(studies.iter().flat_map(facts_of));
    Page {
        title: title(arguments.scale),
        summary: vec![
            "The experiments of \"Adversarial training with perturbation generator networks\", as far as they were asked \
             for. Every method got the same number of settings, epochs and seeds; what came out stands here whatever it is."
                .into(),
        ],
        facts,
        sections,
    }
}

fn fact(name: &str, value: String) -> Fact {
    Fact { name: name.into(), value }
}

/// The data of a study, and the settings of its runs.
fn facts_of(study: &Study) -> Vec<Fact> {
    let (settings, dataset) = (&study.settings, &study.dataset);
    let of = |what: &str, value: String| fact(&format!("{}: {what}", dataset.name), value);
    let base = &settings.base;
    let images = format!(
        "{} train, {} validation, {} test of which {} are attacked",
        grouped(dataset.train.len() as u64),
        grouped(dataset.validation.len() as u64),
        grouped(dataset.test.len() as u64),
        settings.attack_images
    );
    let (width, epochs) = (base.width, base.epochs);
    let training = format!("width {width}, {epochs} epochs, batches of {}, lr {}", base.batch_size, base.lr);
    let mut facts = vec![
        fact(&format!("{}{IMAGES_OF}", dataset.name), images),
        of("training", training),
        of("epsilon", format!("{:?}", settings.epsilons)),
        of("c_L", format!("{:?}", settings.penalties)),
    ];
    if study.experiments.contains(&Experiment::Beyond) {
        facts.push(of("seeds of beyond", format!("{:?}", settings.beyond_seeds)));
    }
    facts.push(of("seeds", format!("{:?}, black-box source {}", settings.seeds, settings.source_seed)));
    facts
}

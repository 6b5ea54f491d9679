//! `pgn-wgpu validate`: training steps on the chosen adapter and the CPU reference in lockstep.

use super::{CommandResult, DeviceArguments, fail, table};
use crate::command_line::names::{methods, networks};
use crate::numbers::number;
use pgn_wgpu::data::DatasetKind;
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::Graph;
use pgn_wgpu::kernels;
use pgn_wgpu::lockstep::{self, Case, Effect, KernelReport};
use pgn_wgpu::nn::{Init, Net, Network, Problem};
use pgn_wgpu::pgn::Generator;
use pgn_wgpu::program::adam_step_size;
use pgn_wgpu::random::{Random, Stream};
use pgn_wgpu::training::optimiser::{Role, Rule};
use pgn_wgpu::training::run_data::usual_problem;
use pgn_wgpu::training::step::{self, Gradients};
use pgn_wgpu::training::{Method, Preset, TrainConfig, schedule};
use serde_json::json;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    device: DeviceArguments,
    /// Steps to compare [default: natural, fgm and pgn]
    #[arg(long, visible_alias = "defense", value_parser = methods())]
    method: Option<Method>,
    /// Images and classes of this data set (its files are not needed)
    #[arg(long, default_value = "cifar10")]
    dataset: DatasetKind,
    /// The classifier's architecture
    #[arg(long, default_value_t, value_parser = networks())]
    network: Network,
    /// Width multiplier of both networks
    #[arg(long, default_value_t = 0.125, allow_negative_numbers = true, value_parser = number(0.03125..=4.0_f32))]
    width: f32,
    /// Images per step
    #[arg(long, default_value_t = 4, allow_negative_numbers = true, value_parser = number(1..=65_536_usize))]
    batch_size: usize,
    /// Steps of each kind
    #[arg(long, default_value_t = 1, allow_negative_numbers = true, value_parser = number(1..=10_000_usize))]
    steps: usize,
    /// Feed the adapter from the CPU up to the first call of this kernel, then let it go on by itself
    #[arg(long, value_name = "KERNEL")]
    cpu_until: Option<String>,
    /// Seed of weights and images
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = number(0_u64..))]
    seed: u64,
    /// Print one JSON object, for a bug report
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    if let Some(name) = &arguments.cpu_until
        && kernels::by_name(name).is_none()
    {
        let names: Vec<&str> = kernels::ALL.iter().map(|k| k.name).collect();
        return fail(format!("there is no kernel named {name}; the kernels are {}", names.join(", ")));
    }
    let device = arguments.device.open()?;
    let methods =
        arguments.method.map_or_else(|| vec![Method::NATURAL, Method::FGM, Method::PGN], |m| vec![m]);
    let mut reports = Vec::new();
    for &method in &methods {
        let (kernels, effects) = compare(arguments, &device, method)?;
        reports.push(Compared { method, kernels, effects });
    }
    let pass = reports.iter().all(|r| r.kernels.iter().all(|k| k.pass));
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&as_json(arguments, &device, &reports, pass))?);
    } else {
        print_reports(arguments, &device, &reports, pass);
    }
    Ok(if pass { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A step of one kind, compared.
struct Compared {
    method: Method,
    kernels: Vec<KernelReport>,
    effects: Vec<Effect>,
}

fn compare(
    arguments: &Arguments,
    device: &Device,
    method: Method,
) -> Result<(Vec<KernelReport>, Vec<Effect>), Box<dyn std::error::Error>> {
    let problem = usual_problem(arguments.dataset);
    let mut config = TrainConfig::preset(Preset::Small, arguments.dataset);
    (config.method, config.width, config.batch_size) = (method, arguments.width, arguments.batch_size);
    config.network = arguments.network;
    config.check()?;
    let classifier = config.classifier(problem)?;
    let generator = Generator::new(problem, arguments.width)?;
    let graph = step_graph(&config, &classifier, &generator)?;
    let seed = arguments.seed;
    let values = classifier.initial(Init::He, seed);
    let mut states = Role::Classifier.start(&classifier.slots, &values, Rule::ADAM);
    if method.generator {
        states.extend(Role::Generator.start(
            &generator.slots,
            &generator.initial(Init::He, seed),
            Rule::ADAM,
        ));
    }
    let declared = graph.inputs();
    let mut inputs = inputs(&config, problem, seed);
    inputs.retain(|(name, _)| declared.iter().any(|(known, _)| known == name));
    let case = Case { graph: &graph, states: &states, inputs: &inputs, runs: arguments.steps };
    let kernels = lockstep::compare(device, &case, arguments.cpu_until.as_deref())?;
    Ok((kernels, lockstep::effects(device, &case)?))
}

fn step_graph(
    config: &TrainConfig,
    classifier: &Net,
    generator: &Generator,
) -> Result<Graph, pgn_wgpu::graph::GraphError> {
    let phase = *step::phases(config).last().expect("every step has a phase");
    step::phase_graph(config, classifier, Some(generator), phase, config.batch_size, Gradients::Apply)
}

/// Seeded images of uniform noise, each pixel on its own, labels and schedules; more than one step has.
fn inputs(config: &TrainConfig, problem: Problem, seed: u64) -> Vec<(String, Vec<f32>)> {
    let random = Random::new(seed, Stream::Augment);
    let n = config.batch_size;
    let images = (0..n * problem.pixels()).map(|i| random.uniform(0, i as u32)).collect();
    let labels = (0..n).map(|i| (random.bits(1, i as u32)[0] as usize % problem.classes) as f32).collect();
    let schedule = vec![adam_step_size(config.lr, 1), schedule::ema_decay(config, 1)];
    vec![
        ("images".to_string(), images),
        ("labels".to_string(), labels),
        ("weights".to_string(), vec![1.0 / n as f32; n]),
        ("classifier.decay".to_string(), vec![schedule[1]]),
        ("classifier.schedule".to_string(), schedule.clone()),
        ("generator.schedule".to_string(), schedule),
    ]
}

fn print_reports(arguments: &Arguments, device: &Device, reports: &[Compared], pass: bool) {
    println!("device   {}", device.describe());
    println!(
        "against  the CPU reference, {}, width {}, batch {}",
        arguments.network, arguments.width, arguments.batch_size
    );
    for Compared { method, kernels, effects } in reports {
        println!("\n{} step", method.name());
        let head = ["kernel", "form", "tensors", "worst abs", "worst rel", "verdict"];
        let mut rows = vec![head.map(str::to_string).to_vec()];
        for k in kernels {
            let verdict = if k.pass { "pass".to_string() } else { format!("FAIL: {} values", k.outside) };
            rows.push(vec![
                k.kernel.to_string(),
                k.form.to_string(),
                k.tensors.to_string(),
                format!("{:.1e}", k.absolute),
                format!("{:.1e}", k.relative),
                verdict,
            ]);
        }
        // The place goes last and hangs over, so that the numbers stay in columns on a narrow terminal.
        let places = kernels.iter().map(|k| match k.absolute == 0.0 {
            true => String::new(),
            false => format!("{} [{}]", k.tensor, k.index),
        });
        for (line, place) in table(&rows).lines().zip(std::iter::once("at".to_string()).chain(places)) {
            println!("{}", format!("{line}  {place}").trim_end());
        }
        let effects: Vec<String> =
            effects.iter().map(|e| format!("{} {:.1e}", e.tensor, e.relative)).collect();
        println!("whole steps on its own results, length of the difference: {}", effects.join(", "));
    }
    println!("\nrelative errors are in units of each tensor's largest value");
    match reports.iter().find_map(|r| r.kernels.iter().find(|k| !k.pass).map(|k| (r.method, k))) {
        Some((method, k)) => println!(
            "FAIL: the first kernel outside its tolerance is {} ({} form) in the {} step: {} where the reference has {}",
            k.kernel,
            k.form,
            method.name(),
            k.device,
            k.reference
        ),
        None => println!("{}", if pass { "pass" } else { "FAIL" }),
    }
}

fn as_json(arguments: &Arguments, device: &Device, reports: &[Compared], pass: bool) -> serde_json::Value {
    let steps: serde_json::Map<_, _> =
        reports.iter().map(|r| (r.method.name().to_string(), json!(r.kernels))).collect();
    let effects: serde_json::Map<_, _> =
        reports.iter().map(|r| (r.method.name().to_string(), json!(r.effects))).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": device.describe(),
        "dataset": arguments.dataset.name(),
        "network": arguments.network.name(),
        "width": arguments.width,
        "batch_size": arguments.batch_size,
        "steps_of_each_kind": arguments.steps,
        "seed": arguments.seed,
        "cpu_until": arguments.cpu_until,
        "precision": arguments.device.opened_as.precision,
        "tune": arguments.device.opened_as.tune,
        "checked": arguments.device.opened_as.checked,
        "steps": steps,
        "effects": effects,
        "pass": pass,
    })
}

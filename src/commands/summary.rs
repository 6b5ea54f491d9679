//! `pgn-wgpu summary`: layers, shapes, parameters, multiply-adds, and the bytes of a training step.

use super::{CommandResult, bytes, grouped, table};
use crate::command_line::names::networks;
use crate::command_line::settings::with_flags;
use crate::numbers::number;
use pgn_wgpu::data::{DatasetKind, Size};
use pgn_wgpu::evaluation::Place;
use pgn_wgpu::models::file::Facts;
use pgn_wgpu::nn::{LayerSummary, Net, Network, Problem};
use pgn_wgpu::pgn::Generator;
use pgn_wgpu::program::{MemoryLimits, Program};
use pgn_wgpu::training::run_data::usual_problem;
use pgn_wgpu::training::step::{self, Gradients};
use pgn_wgpu::training::{Method, Preset, TrainConfig};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// A model in place of a new network: a run folder, a safetensors file or an ONNX file
    #[arg(value_name = "RUN|FILE", conflicts_with_all = ["dataset", "size", "channels", "classes", "network", "width"])]
    model: Option<PathBuf>,
    /// Images and classes of this data set
    #[arg(long, default_value = "cifar10")]
    dataset: DatasetKind,
    /// Images of another size than the data set's, in pixels: a side, or a height and a width
    #[arg(long, value_name = "SIDE|HxW", allow_negative_numbers = true)]
    size: Option<Size>,
    /// Another number of channels
    #[arg(long, allow_negative_numbers = true, value_parser = number(1..=4_usize))]
    channels: Option<usize>,
    /// Another number of classes
    #[arg(long, allow_negative_numbers = true, value_parser = number(2..=1000_usize))]
    classes: Option<usize>,
    /// The classifier's architecture
    #[arg(long, default_value_t, value_parser = networks())]
    network: Network,
    /// Width multiplier
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = number(0.03125..=4.0_f32))]
    width: f32,
    /// Images per training step
    #[arg(long, default_value_t = 128, allow_negative_numbers = true, value_parser = number(1..=65_536_usize))]
    batch_size: usize,
}

/// The settings of a new network, by natural training and by training against a generator.
fn new_configs(arguments: &Arguments) -> [TrainConfig; 2] {
    [Method::NATURAL, Method::PGN].map(|method| {
        let (network, width) = (arguments.network, arguments.width);
        let preset = TrainConfig::preset(Preset::Small, arguments.dataset);
        TrainConfig { method, network, width, batch_size: arguments.batch_size, ..preset }
    })
}

/// The network, and the settings of its training.
fn network(arguments: &Arguments) -> Result<(Net, [TrainConfig; 2]), Box<dyn std::error::Error>> {
    let configs = new_configs(arguments);
    if let Some(path) = &arguments.model {
        let model = Place::find(path)?.model(None)?;
        super::print_notes(&model.notes);
        let Facts { network, width, .. } = model.facts;
        return Ok((model.classifier, configs.map(|config| TrainConfig { network, width, ..config })));
    }
    let usual = usual_problem(arguments.dataset);
    let problem = Problem {
        height: arguments.size.map_or(usual.height, |size| size.height),
        width: arguments.size.map_or(usual.width, |size| size.width),
        channels: arguments.channels.unwrap_or(usual.channels),
        classes: arguments.classes.unwrap_or(usual.classes),
    };
    configs[0].check()?;
    Ok((configs[0].classifier(problem)?, configs))
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let (classifier, configs) = network(arguments)?;
    let generator = Generator::new(classifier.problem, configs[0].width);
    let title =
        arguments.model.as_ref().map_or(configs[0].network.to_string(), |path| path.display().to_string());
    print!("{}", layers(&format!("classifier, {title}"), &classifier.layers()));
    println!();
    match &generator {
        Ok(generator) => print!("{}", layers("generator", &generator.layers())),
        Err(error) => println!("{}", with_flags(&error.to_string())),
    }
    println!();
    let mut rows = vec![vec![
        format!("training step, batch {}", arguments.batch_size),
        "multiply-adds".to_string(),
        "bytes on the device".to_string(),
        "live at least".to_string(),
    ]];
    for config in configs.iter().filter(|config| !config.method.generator || generator.is_ok()) {
        let phase = *step::phases(config).last().expect("every step has a phase");
        let graph = step::phase_graph(
            config,
            &classifier,
            generator.as_ref().ok(),
            phase,
            config.batch_size,
            Gradients::Apply,
        )?;
        let program = Program::compile(&graph, MemoryLimits::NONE)?;
        rows.push(vec![
            config.method.name().to_string(),
            grouped(program.flops() / 2),
            bytes(program.memory.bytes()),
            bytes(program.memory.live_bytes),
        ]);
    }
    print!("{}", table(&rows));
    Ok(ExitCode::SUCCESS)
}

fn layers(name: &str, layers: &[LayerSummary]) -> String {
    let head = [name, "in", "out", "result", "parameters", "multiply-adds"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    for layer in layers {
        rows.push(vec![
            layer.name.clone(),
            layer.inputs.to_string(),
            layer.result.channels().to_string(),
            layer.result.to_string(),
            grouped(layer.parameters as u64),
            grouped(layer.multiply_adds),
        ]);
    }
    let empty = String::new;
    let count = grouped(layers.iter().map(|layer| layer.parameters as u64).sum());
    let work = grouped(layers.iter().map(|layer| layer.multiply_adds).sum());
    rows.push(vec!["all".to_string(), empty(), empty(), empty(), count, work]);
    table(&rows)
}

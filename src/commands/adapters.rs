//! `pgn-wgpu adapters`: what can compute here, and with what limits.

use super::{CommandResult, bytes, table};
use pgn_wgpu::gpu::adapter::{self, AdapterChoice, Listed, USED_FEATURES, hidden_gpu};
use rayon::current_num_threads;
use serde_json::json;
use std::process::ExitCode;
use wgpu::Features;

#[derive(clap::Args)]
pub struct Arguments {
    /// Print one JSON array; the CPU path is its last entry
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let listed = adapter::list();
    let auto = adapter::choose(&AdapterChoice::Auto)?.map(|adapter| adapter.index);
    let chosen = |own: bool| if own { " (auto takes this one)" } else { "" };
    if arguments.json {
        let adapters = listed.iter().map(|adapter| as_json(adapter, auto == Some(adapter.index)));
        let all: Vec<_> = adapters.chain([cpu_as_json(auto.is_none())]).collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    for adapter in &listed {
        let limits = adapter.adapter.limits();
        println!("{}: {}{}", adapter.index, adapter.info.name, chosen(auto == Some(adapter.index)));
        let rows = [
            ("kind", adapter.kind().to_string()),
            ("backend", format!("{:?}", adapter.info.backend)),
            ("driver", format!("{} {}", adapter.info.driver, adapter.info.driver_info)),
            ("largest buffer", bytes(limits.max_buffer_size)),
            ("largest binding", bytes(limits.max_storage_buffer_binding_size)),
            ("workgroup memory", bytes(u64::from(limits.max_compute_workgroup_storage_size))),
            ("subgroup size", subgroup(adapter)),
            ("features used", features(adapter.adapter.features())),
        ];
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|(name, value)| vec![format!("   {name:<17}{value}")]).collect();
        print!("{}", table(&rows));
    }
    let threads = current_num_threads();
    println!("cpu: the CPU path, {threads} threads, needs no driver{}", chosen(auto.is_none()));
    if let Some(gpu) = hidden_gpu() {
        super::loudness::note(&format!("note: {gpu}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn subgroup(adapter: &Listed) -> String {
    let (least, most) = (adapter.info.subgroup_min_size, adapter.info.subgroup_max_size);
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

/// Those of an adapter's features that programs use, 16-bit numbers with `--precision mixed` alone.
fn features(all: Features) -> String {
    let used = all & (USED_FEATURES | Features::SHADER_F16);
    let names: Vec<String> = used.iter_names().map(|(name, _)| name.to_lowercase()).collect();
    if names.is_empty() { "none".to_string() } else { names.join(", ") }
}

/// The CPU path as an entry like the others; it has no limits of its own.
fn cpu_as_json(auto: bool) -> serde_json::Value {
    let threads = current_num_threads();
    json!({ "index": null, "name": "CPU path", "kind": "cpu", "auto": auto, "threads": threads })
}

fn as_json(adapter: &Listed, auto: bool) -> serde_json::Value {
    let limits = adapter.adapter.limits();
    json!({
        "index": adapter.index,
        "name": adapter.info.name,
        "kind": adapter.kind(),
        "auto": auto,
        "backend": format!("{:?}", adapter.info.backend),
        "driver": format!("{} {}", adapter.info.driver, adapter.info.driver_info),
        "max_buffer_bytes": limits.max_buffer_size,
        "max_binding_bytes": limits.max_storage_buffer_binding_size,
        "workgroup_memory_bytes": limits.max_compute_workgroup_storage_size,
        "subgroup_size": [adapter.info.subgroup_min_size, adapter.info.subgroup_max_size],
        "features_used": features(adapter.adapter.features()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_16_bits_are_among_the_features_that_are_used() {
        let all = Features::SHADER_F16 | Features::SUBGROUP | Features::TEXTURE_COMPRESSION_BC;
        let text = features(all);
        assert!(text.contains("shader_f16") && text.contains("subgroup") && !text.contains("bc"), "{text}");
        assert_eq!(features(Features::TEXTURE_COMPRESSION_BC), "none");
    }
}

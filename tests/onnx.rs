//! ONNX files: what comes in computes what ONNX Runtime computes, what goes out comes back, and hostile files end in one
//! sentence.

#[path = "onnx/by_hand.rs"]
mod by_hand;
#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;
#[path = "onnx/conformance.rs"]
mod conformance;
#[path = "onnx/hostile.rs"]
mod hostile;
#[path = "onnx/models.rs"]
mod models;
#[path = "onnx/once.rs"]
mod once;
#[path = "onnx/rows.rs"]
mod rows;

use common::{named, session};
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::Graph;
use pgn_wgpu::nn::{Net, Pass, Values};

/// What a network answers to `count` images, in memory's order.
fn logits(
    device: &Device,
    net: &Net,
    values: &Values,
    images: &[f32],
    count: usize,
) -> Result<Vec<f32>, String> {
    let mut graph = Graph::new();
    let states = net.live(&mut graph, "net").map_err(|error| error.to_string())?;
    let input = graph.input("images", &net.problem.batch(count)).map_err(|error| error.to_string())?;
    let logits =
        net.forward(&mut graph, &states, input, Pass::Evaluate).map_err(|error| error.to_string())?;
    graph.output("logits", logits);
    let mut all = vec![named("net.parameters", values.weights.clone())];
    if !values.buffers.is_empty() {
        all.push(named("net.buffers", values.buffers.clone()));
    }
    let (_workspace, mut session) = session(device, &graph, &vec![named("images", images.to_vec())], &all);
    Ok(session.compute().map_err(|error| error.to_string())?.get("logits").to_vec())
}

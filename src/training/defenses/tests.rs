//! The objectives of TRADES and MART on given logits against an independent implementation in PyTorch, which
//! `tests/golden/make_defenses.py` holds and whose results are in `defenses.json` beside it.

use super::{mart, trades};
use crate::cpu::Mode;
use crate::executor::{Device, Workspace};
use crate::graph::{Graph, GraphError, Tensor};
use serde_json::Value;

const IMAGES: usize = 6;
const CLASSES: usize = 5;
/// Rounding of f32 in sums of a few numbers of order one.
const TOLERANCE: f64 = 1e-6;

/// Losses per image with their weights, from the logits of clean and of attacked images and the labels.
type Parts = fn(&mut Graph, [Tensor; 3]) -> Result<Vec<(Tensor, f32)>, GraphError>;

/// The logits of the script: `scale · sin(frequency · i + phase)`.
fn logits(scale: f64, frequency: f64, phase: f64) -> Vec<f32> {
    (0..IMAGES * CLASSES).map(|i| (scale * (frequency * i as f64 + phase).sin()) as f32).collect()
}

/// The mean of the weighted sum of `parts`, and its gradients by both logits.
fn evaluate(clean: &[f32], attacked: &[f32], parts: Parts) -> [Vec<f32>; 3] {
    let mut graph = Graph::new();
    let inputs = ["clean", "attacked"].map(|name| graph.input(name, &[IMAGES, CLASSES]).unwrap());
    let labels = graph.input("labels", &[IMAGES, 1]).unwrap();
    let parts = parts(&mut graph, [inputs[0], inputs[1], labels]).unwrap();
    let mut weigh = |weight: f32| graph.constant(weight / IMAGES as f32, &[IMAGES, 1]).unwrap();
    let terms: Vec<(Tensor, Tensor)> =
        parts.into_iter().map(|(part, weight)| (part, weigh(weight))).collect();
    let gradients = graph.gradient_of_many(&terms, &inputs).unwrap();
    for (index, (part, weight)) in terms.iter().enumerate() {
        let weighted = graph.multiply(*part, *weight).unwrap();
        let sum = graph.sum(weighted);
        graph.output(&format!("part {index}"), sum);
    }
    graph.output("by clean", gradients[0]);
    graph.output("by attacked", gradients[1]);
    let mut session = Workspace::new(Device::Cpu(Mode::Fast)).prepare(&graph).unwrap();
    session.write("clean", clean).unwrap();
    session.write("attacked", attacked).unwrap();
    session.write("labels", &(0..IMAGES).map(|n| (n % CLASSES) as f32).collect::<Vec<_>>()).unwrap();
    let outputs = session.compute().unwrap();
    let sum = (0..terms.len()).map(|index| outputs.get(&format!("part {index}"))[0]).sum();
    [vec![sum], outputs.get("by clean").to_vec(), outputs.get("by attacked").to_vec()]
}

fn of_trades(
    graph: &mut Graph,
    [clean, attacked, labels]: [Tensor; 3],
) -> Result<Vec<(Tensor, f32)>, GraphError> {
    let [loss, divergence] = trades::parts(graph, clean, attacked, labels)?;
    Ok(vec![(loss, 1.0), (divergence, trades::BETA)])
}

fn of_mart(
    graph: &mut Graph,
    [clean, attacked, labels]: [Tensor; 3],
) -> Result<Vec<(Tensor, f32)>, GraphError> {
    let [loss, boost, unsure] = mart::parts(graph, clean, attacked, labels)?;
    Ok(vec![(loss, 1.0), (boost, 1.0), (unsure, mart::LAMBDA)])
}

#[test]
fn objectives_of_trades_and_mart_on_given_logits_and_their_gradients_by_both() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/defenses.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (clean, attacked) = (logits(3.0, 0.7, 0.0), logits(4.0, 1.3, 1.0));
    for (name, parts) in [("trades", of_trades as Parts), ("mart", of_mart as Parts)] {
        let found = evaluate(&clean, &attacked, parts);
        for (part, own) in ["loss", "by_clean", "by_attacked"].into_iter().zip(found) {
            let expected = file["logits"][name][part].as_array().unwrap();
            assert_eq!(own.len(), expected.len());
            for (i, (own, expected)) in own.iter().zip(expected).enumerate() {
                let expected = expected.as_f64().unwrap();
                let off = (f64::from(*own) - expected).abs();
                assert!(
                    off <= TOLERANCE * expected.abs().max(1.0),
                    "{name}, {part}, number {i}: {own}, PyTorch has {expected}"
                );
            }
        }
    }
}

#[test]
fn objectives_stay_finite_where_the_classifier_is_sure_or_wrong() {
    // One class with all probability: the true one, or a wrong one.
    let certain = |class: fn(usize) -> usize| -> Vec<f32> {
        let row = |n: usize| (0..CLASSES).map(move |k| if k == class(n) { 60.0 } else { -60.0 });
        (0..IMAGES).flat_map(row).collect()
    };
    let (right, wrong) = (certain(|n| n % CLASSES), certain(|n| (n + 1) % CLASSES));
    for parts in [of_trades as Parts, of_mart as Parts] {
        for (clean, attacked) in [(&right, &right), (&right, &wrong), (&wrong, &right), (&wrong, &wrong)] {
            let found = evaluate(clean, attacked, parts);
            assert!(found.iter().flatten().all(|v| v.is_finite()), "{found:?}");
        }
    }
}

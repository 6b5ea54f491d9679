//! Models of `golden/make_onnx.py` against ONNX Runtime's answers, and round trips through files of our own.

use super::by_hand::{field, floats, model, node, number, whole};
use super::logits;
use crate::common::devices;
use pgn_wgpu::graph::Window;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::layer::{Layer, Pooling};
use pgn_wgpu::nn::onnx::{self, Imported};
use pgn_wgpu::nn::slot::Initial;
use pgn_wgpu::nn::{Init, Net, Network, Plan, Problem, Values};
use serde_json::Value;
use std::path::PathBuf;

const IMAGES: usize = 2;
/// Rounding of f32 through some ten layers, in units of the largest logit.
const TOLERANCE: f32 = 1e-5;

const MODELS: [&str; 6] = ["residual", "tokens", "rest", "outside", "groups", "windows"];

pub fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(file)
}

fn read(name: &str) -> Imported {
    onnx::read(&golden(&format!("{name}.onnx"))).unwrap()
}

/// The images of the script, channels last.
fn images(problem: Problem) -> Vec<f32> {
    let (positions, channels) = (problem.height * problem.width, problem.channels);
    let value = |i: usize| {
        let (image, position, channel) =
            (i / problem.pixels(), i % problem.pixels() / channels, i % channels);
        let at = (image * channels + channel) * positions + position;
        (0.5 + 0.45 * (0.3 * at as f64).sin()) as f32
    };
    (0..IMAGES * problem.pixels()).map(value).collect()
}

/// Minus the logarithm of what the softmax divides by, which makes logits comparable with its logarithm.
fn log_softmax(logits: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    for logit in logits {
        *logit -= largest + sum.ln();
    }
}

#[track_caller]
fn close(what: &str, own: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert_eq!(own.len(), expected.len(), "{what}");
    for (i, (a, b)) in own.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= TOLERANCE * largest, "{what}: logit {i} is {a}, expected {b}");
    }
}

#[test]
fn imported_networks_answer_as_onnx_runtime_does_on_every_device() {
    let text = std::fs::read_to_string(golden("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    for name in MODELS {
        let Imported { net, values, .. } = read(name);
        let answers = expected[name]["logits"].as_array().unwrap().iter();
        let wanted: Vec<f32> = answers
            .flat_map(|row| row.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32))
            .collect();
        for (device, opened) in devices() {
            let mut own = logits(&opened, &net, &values, &images(net.problem), IMAGES).unwrap();
            if expected[name]["softmax"] == true {
                own.chunks_mut(5).for_each(log_softmax);
            }
            close(&format!("{name} on {device}"), &own, &wanted);
        }
    }
}

#[test]
fn normalisation_the_range_of_pixels_and_a_softmax_at_the_end_are_recognised() {
    let residual = read("residual");
    let by = residual.net.normalisation(&residual.values).unwrap();
    close("means", &by.mean, &[0.5, 0.4, 0.3]);
    close("deviations", &by.deviation, &[0.2, 0.25, 0.3]);
    assert_eq!(residual.range, 1.0);
    assert!(residual.notes.iter().any(|note| note.contains("softmax")), "{:?}", residual.notes);
    let rest = read("rest");
    assert_eq!(rest.range, 255.0);
    let by = rest.net.normalisation(&rest.values).unwrap();
    close("deviations", &by.deviation, &[1.0; 3]);
}

/// Two logits of the image `x`.
fn head() -> Vec<u8> {
    let parts = [
        node("GlobalAveragePool", &["x"], &["mean"], &[]),
        node("Flatten", &["mean"], &["row"], &[]),
        node("MatMul", &["row", "matrix"], &["out"], &[]),
        floats("matrix", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    ];
    parts.concat()
}

#[test]
fn bounds_at_infinity_are_none_and_the_model_comes_back_from_its_own_file() {
    let bounds = [floats("low", &[], &[f32::NEG_INFINITY]), floats("high", &[], &[f32::INFINITY])];
    let parts = [
        bounds.concat(),
        node("Max", &["images", "low"], &["y"], &[]),
        node("Min", &["y", "high"], &["x"], &[]),
        head(),
    ];
    let Imported { net, values, .. } = onnx::decode(&model(&parts), None).unwrap();
    assert!(!net.nodes.iter().any(|node| matches!(node.layer, Layer::Activation(_))), "{:?}", net.nodes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    Model::new(net.clone(), values).save(&path).unwrap();
    assert_eq!(Model::load(&path, Some(net.problem)).unwrap().classifier, net);
}

#[test]
fn the_lowest_values_around_an_image_are_the_padding_of_maximum_pooling() {
    let pair = |name: &str| [field(1, name.as_bytes()), number(8, 2), number(8, 2)].concat();
    let parts = [
        whole("pads", &[0, 0, 1, 1, 0, 0, 1, 1]),
        floats("low", &[], &[f32::NEG_INFINITY]),
        node("Pad", &["images", "pads", "low"], &["padded"], &[]),
        node("MaxPool", &["padded"], &["x"], &[pair("kernel_shape"), pair("strides")]),
        head(),
    ];
    let Imported { net, .. } = onnx::decode(&model(&parts), None).unwrap();
    let window = Window::new(2, 2).padded([[1, 1], [1, 1]]);
    assert_eq!(net.nodes[0].layer, Layer::Pool(Pooling::Max, window));
}

#[test]
fn means_of_bytes_without_a_division_are_of_pixels_up_to_255() {
    // As networks that were trained with Caffe prepare their images.
    let means = [123.7, 116.8, 103.9];
    let parts = [floats("means", &[3, 1, 1], &means), node("Sub", &["images", "means"], &["x"], &[]), head()];
    let Imported { net, values, range, notes } = onnx::decode(&model(&parts), None).unwrap();
    let by = net.normalisation(&values).unwrap();
    close("means", &by.mean, &means.map(|mean| mean / 255.0));
    close("deviations", &by.deviation, &[1.0 / 255.0; 3]);
    assert_eq!(range, 255.0);
    assert_eq!(notes, ["the model takes pixels from 0 to 255; those here are from 0 to 1"]);
}

#[test]
fn running_statistics_are_values_of_the_model_and_no_text_in_its_header() {
    let Imported { net, .. } = read("residual");
    let mut buffers = net.slots.all.iter().filter(|slot| !slot.is_learned());
    assert!(buffers.all(|slot| matches!(slot.initial, Initial::Constant(_))), "{:?}", net.slots);
}

#[test]
fn weights_keep_their_names_and_batch_normalisation_stays_a_layer() {
    let Imported { net, .. } = read("residual");
    assert!(net.has_batch_statistics());
    let slot = |name: &str| net.slots.all.iter().find(|slot| slot.name == name).unwrap();
    assert_eq!(slot("conv2.weight").file_extents(), [8, 4, 3, 3]);
    assert_eq!(slot("fc.weight").file_extents(), [5, 72]);
    assert!(!slot("bn1.running_mean").is_learned());
    // The zeros of a node Pad are the convolution's own.
    assert!(net.nodes.iter().all(|node| !node.name.starts_with("Pad")), "{:?}", net.nodes);
}

fn round_trip(name: &str, net: &Net, values: &Values) {
    let bytes = onnx::export::encode(net, values).unwrap();
    let back = onnx::decode(&bytes, None).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (_, device) = devices().swap_remove(0);
    let answers =
        |net: &Net, values: &Values| logits(&device, net, values, &images(net.problem), IMAGES).unwrap();
    assert_eq!(back.net.problem, net.problem, "{name}");
    close(name, &answers(&back.net, &back.values), &answers(net, values));
}

#[test]
fn networks_come_back_from_onnx_files_as_they_went() {
    for network in Network::all() {
        let problem = Problem { height: 32, width: 32, channels: 3, classes: 7 };
        let by = pgn_wgpu::nn::Normalisation { mean: vec![0.5, 0.4, 0.3], deviation: vec![0.2, 0.25, 0.3] };
        let net = network.build(Plan { problem, width: 0.0625, normalisation: Some(&by) }).unwrap();
        round_trip(network.name(), &net, &net.initial(Init::He, 3));
    }
    for name in MODELS {
        let Imported { net, values, .. } = read(name);
        round_trip(name, &net, &values);
    }
}

//! Rows of values: a flattened image keeps its order in memory, and what is said of its values must find them there; a softmax at
//! the end is left out whatever follows it.

use super::by_hand::{field, floats, model, node, number};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Workspace};
use pgn_wgpu::graph::Graph;
use pgn_wgpu::nn::Classifier;
use pgn_wgpu::nn::onnx::{self, Imported};

/// Logits of one image, whose values are given as ONNX has them: channels, rows, columns.
fn logits(parts: &[Vec<u8>], image: &[f32]) -> Vec<f32> {
    let Imported { net, values, .. } = onnx::decode(&model(parts), None).unwrap();
    let mut graph = Graph::new();
    let states = net.live(&mut graph, "net").unwrap();
    let images = graph.input("images", &net.problem.batch(1)).unwrap();
    let logits = Classifier::evaluated(&net, &states).logits(&mut graph, images).unwrap();
    graph.output("logits", logits);
    let mut workspace = Workspace::new(Device::Cpu(Mode::Fast));
    let mut session = workspace.prepare(&graph).unwrap();
    workspace.write("net.parameters", &values.weights).unwrap();
    workspace.write("net.buffers", &values.buffers).unwrap();
    // NHWC.
    let channels = net.problem.channels;
    let positions = image.len() / channels;
    let nhwc: Vec<f32> = (0..image.len()).map(|i| image[i % channels * positions + i / channels]).collect();
    session.write("images", &nhwc).unwrap();
    session.compute().unwrap().get("logits").to_vec()
}

#[test]
fn normalisation_of_a_flattened_image_finds_its_values() {
    // 3 channels of 2x2 positions after pooling, every value with numbers of its own.
    let numbers = |first: f32, step: f32| (0..12).map(|i| first + step * i as f32).collect::<Vec<f32>>();
    let [scale, shift, mean, variance] =
        [numbers(1.0, 0.5), numbers(-2.0, 0.25), numbers(0.1, 0.03), numbers(0.5, 0.1)];
    let kernel = [field(1, b"kernel_shape"), ints(&[4, 4])].concat();
    let strides = [field(1, b"strides"), ints(&[4, 4])].concat();
    let parts = [
        node("AveragePool", &["images"], &["pooled"], &[kernel, strides]),
        node("Flatten", &["pooled"], &["row"], &[]),
        node("BatchNormalization", &["row", "scale", "shift", "mean", "variance"], &["out"], &[]),
        floats("scale", &[12], &scale),
        floats("shift", &[12], &shift),
        floats("mean", &[12], &mean),
        floats("variance", &[12], &variance),
    ];
    let image: Vec<f32> = (0..192).map(|i| (i as f32 * 0.7).sin() * 0.5 + 0.5).collect();
    let own = logits(&parts, &image);
    for value in 0..12 {
        let (channel, row, column) = (value / 4, value / 2 % 2, value % 2);
        let at = |i: usize| channel * 64 + (4 * row + i / 4) * 8 + 4 * column + i % 4;
        let pooled = (0..16).map(|i| image[at(i)]).sum::<f32>() / 16.0;
        let expected = (pooled - mean[value]) / (variance[value] + 1e-5).sqrt() * scale[value] + shift[value];
        assert!((own[value] - expected).abs() < 1e-5, "value {value}: {}, expected {expected}", own[value]);
    }
}

#[test]
fn a_softmax_is_left_out_though_something_follows_it_that_keeps_its_values() {
    let after = |tail: &[Vec<u8>]| {
        let matrix: Vec<f32> = (0..12).map(|i| (i as f32 * 1.3).cos()).collect();
        let head = [
            node("GlobalAveragePool", &["images"], &["mean"], &[]),
            node("Flatten", &["mean"], &["row"], &[]),
            node("MatMul", &["row", "matrix"], &["logits"], &[]),
            floats("matrix", &[3, 4], &matrix),
        ];
        logits(&[&head, tail].concat(), &[0.25; 192])
    };
    let without = after(&[node("Identity", &["logits"], &["out"], &[])]);
    let to_floats = [field(1, b"to"), number(3, 1), vec![0xa0, 0x01, 2]].concat();
    let cast = [node("Softmax", &["logits"], &["p"], &[]), node("Cast", &["p"], &["out"], &[to_floats])];
    let flat = [node("Softmax", &["logits"], &["p"], &[]), node("Flatten", &["p"], &["out"], &[])];
    assert_eq!(after(&cast), without);
    assert_eq!(after(&flat), without);
    // A cast alone is none.
    let to_floats = [field(1, b"to"), number(3, 1), vec![0xa0, 0x01, 2]].concat();
    assert_eq!(after(&[node("Cast", &["logits"], &["out"], &[to_floats])]), without);
}

/// The numbers of an attribute.
fn ints(values: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = values.iter().flat_map(|&value| number(8, value)).collect();
    // Its type: whole numbers. Fields above 15 take two bytes.
    [numbers, vec![0xa0, 0x01, 7]].concat()
}

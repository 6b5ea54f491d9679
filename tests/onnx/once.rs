//! Tensors that a file holds once and several layers read: weights that are shared, and weights that an exporter found equal.

use super::by_hand::{floats, model, node};
use pgn_wgpu::nn::onnx::{self, Imported};

/// The names of all slots, and the notes.
fn read(parts: &[Vec<u8>]) -> (Vec<String>, Vec<String>) {
    let Imported { net, notes, .. } = onnx::decode(&model(parts), None).unwrap();
    (net.slots.all.iter().map(|slot| slot.name.clone()).collect(), notes)
}

/// Scale, shift, mean and variance of three channels.
fn fresh(scale: &str, shift: &str) -> Vec<u8> {
    [floats(scale, &[3], &[1.0; 3]), floats(shift, &[3], &[0.0; 3])].concat()
}

fn normalised(from: &str, scale: &str, shift: &str, to: &str) -> Vec<u8> {
    node("BatchNormalization", &[from, scale, shift, shift, scale], &[to], &[])
}

fn linear() -> Vec<u8> {
    let parts = [
        node("GlobalAveragePool", &["y"], &["mean"], &[]),
        node("Flatten", &["mean"], &["row"], &[]),
        node("MatMul", &["row", "last.weight"], &["out"], &[]),
        floats("last.weight", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    ];
    parts.concat()
}

/// `BatchNormalization` twice with a layer between, the second of which reads these.
fn twice(scale: &str, shift: &str) -> Vec<u8> {
    let between = node("Sigmoid", &["a"], &["b"], &[]);
    [normalised("images", "one", "nil", "a"), between, normalised("b", scale, shift, "y"), linear()].concat()
}

#[test]
fn fresh_normalisations_that_a_file_holds_once_train_apart_and_the_user_is_told() {
    let (names, notes) = read(&[twice("one", "nil"), fresh("one", "nil")]);
    let second = "BatchNormalization_2";
    for name in ["one", "nil", "one#1", "nil#1", &format!("{second}.weight"), &format!("{second}.bias")] {
        assert!(names.iter().any(|own| own == name), "{name} of {names:?}");
    }
    assert_eq!(names.len(), 9, "four of each normalisation and the matrix: {names:?}");
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("each of 2 weights, nil and others") && notes[0].contains("trains its own"));
}

#[test]
fn a_weight_that_an_exporter_left_out_for_an_equal_one_keeps_its_name() {
    let names = [("one", "second.weight"), ("nil", "second.bias")];
    let left_out = names.map(|(from, to)| node("Identity", &[from], &[to], &[])).concat();
    let (names, notes) = read(&[left_out, twice("second.weight", "second.bias"), fresh("one", "nil")]);
    for name in ["one", "second.weight", "nil", "second.bias"] {
        assert!(names.iter().any(|own| own == name), "{name} of {names:?}");
    }
    assert_eq!((names.len(), notes.len()), (9, 0), "{names:?}, {notes:?}");
}

#[test]
fn a_kernel_that_two_layers_share_stays_one_and_the_user_is_told() {
    let kernel: Vec<f32> = (0..9).map(|i| (i as f32).cos()).collect();
    let convolution = |from: &str, to: &str| node("Conv", &[from, "shared.weight"], &[to], &[]);
    let parts =
        [convolution("images", "a"), node("Sigmoid", &["a"], &["b"], &[]), convolution("b", "y"), linear()];
    let (names, notes) = read(&[parts.concat(), floats("shared.weight", &[3, 3, 1, 1], &kernel)]);
    assert_eq!(names, ["shared.weight", "last.weight"]);
    assert_eq!(notes, ["several layers read the weight shared.weight; the layers train it together"]);
}

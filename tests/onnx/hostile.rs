//! Files that are broken, cut short or made to harm: each is refused with one sentence.

use super::by_hand::{field, floats, model, node, number, weight, whole};
use super::models::golden;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::onnx;
use std::fs;
use std::path::Path;

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let sentence = onnx::decode(bytes, None).unwrap_err().to_string();
    assert!(sentence.contains(expected) && !sentence.contains('\n'), "{sentence}");
}

#[test]
fn an_operator_that_is_not_read_is_named_with_its_node_its_shape_and_those_that_are() {
    let bytes = model(&[node("Einsum", &["images"], &["out"], &[])]);
    for part in ["Einsum_0", "[n, 3, 8, 8]", "not supported", "BatchNormalization"] {
        refused(&bytes, part);
    }
}

#[test]
fn circles_absent_weights_branches_and_training_are_refused() {
    let circle = [node("Add", &["images", "b"], &["a"], &[]), node("Relu", &["a"], &["b"], &[])];
    refused(&model(&[circle.concat(), node("Relu", &["b"], &["out"], &[])]), "circle");
    refused(&model(&[node("Conv", &["images", "w"], &["out"], &[])]), "\"w\"");
    let branch = [field(1, b"then_branch"), field(6, &[])].concat();
    refused(&model(&[node("If", &["images"], &["out"], &[branch])]), "loops and branches");
    let training = [field(1, b"training_mode"), number(3, 1)].concat();
    refused(&model(&[node("BatchNormalization", &["images"], &["out"], &[training])]), "training mode");
    refused(&model(&[node("Relu", &["images"], &["out"], &[])]), "classifier");
    // Field 20, whose number takes two bytes.
    refused(&[model(&[]), vec![0xa2, 1, 0]].concat(), "training graph");
}

#[test]
fn a_zero_that_the_writer_leaves_out_of_an_attribute_is_no_default() {
    let slope = |parts: &[Vec<u8>]| {
        let attribute = [field(1, b"alpha"), parts.concat()].concat();
        let leaky = node("LeakyRelu", &["images"], &["x"], &[attribute]);
        let convolution = node("Conv", &["x", "w"], &["y"], &[]);
        let weight = floats("w", &[1, 3, 1, 1], &[1.0; 3]);
        let bytes = model(&[weight, leaky, convolution, node("Flatten", &["y"], &["out"], &[])]);
        let nodes = onnx::decode(&bytes, None).unwrap().net.nodes;
        format!("{:?}", nodes.iter().map(|node| &node.layer).collect::<Vec<_>>())
    };
    // Field 20, whose number takes two bytes: the type, a float.
    let kind = vec![0xa0, 1, 1];
    let zero = [vec![2 << 3 | 5], 0.0_f32.to_le_bytes().to_vec()].concat();
    assert_eq!(slope(std::slice::from_ref(&kind)), slope(&[zero, kind]));
    // Without a type, nothing was said.
    assert_ne!(slope(&[]), slope(&[vec![0xa0, 1, 1]]));
}

#[test]
fn a_network_of_a_node_with_a_wrappers_name_is_read_again_as_it_was_saved() {
    let constant = |name: &str, extents: &[u8], len: usize| {
        let extents: Vec<u8> = extents.iter().flat_map(|&extent| number(1, extent)).collect();
        let bytes: Vec<u8> = (0..len).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let tensor = [extents, number(2, 1), field(9, &bytes)].concat();
        node("Constant", &[], &[name], &[[field(1, b"value"), field(5, &tensor)].concat()])
    };
    let convolution =
        [field(1, b"images"), field(1, b"w"), field(2, b"x"), field(3, b"model.0"), field(4, b"Conv")];
    let bytes = model(&[
        constant("w", &[2, 3, 1, 1], 6),
        field(1, &convolution.concat()),
        node("Flatten", &["x"], &["out"], &[]),
    ]);
    let imported = onnx::decode(&bytes, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let model = Model::new(imported.net, imported.values);
    model.save(&path).unwrap();
    let again = Model::load(&path, None).unwrap();
    assert_eq!(again.average, model.average);
}

#[test]
fn results_that_are_named_and_not_read_do_no_harm() {
    let kernel = [field(1, b"kernel_shape"), number(8, 2), number(8, 2)].concat();
    let cases = [
        ("Dropout", &["y"][..], &[][..], 128),
        ("MaxPool", &["y"], &[kernel], 98),
        ("LayerNormalization", &["y", "scale"], &[], 128),
    ];
    for (operator, inputs, attributes, classes) in cases {
        let with = |read: &str| {
            let convolution = node("Conv", &["images", "w"], &["y"], &[]);
            let named = node(operator, inputs, &["x", "more"], attributes);
            let last = node("Flatten", &[read], &["out"], &[]);
            let weights = [weight("w", &[2, 3, 1, 1], &[0; 24]), weight("scale", &[8], &[0; 32])];
            model(&[convolution, named, last, weights.concat()])
        };
        let found = onnx::decode(&with("x"), None).map(|imported| imported.net.problem.classes);
        assert_eq!(found.map_err(|error| error.to_string()), Ok(classes), "{operator}");
        refused(&with("more"), &format!("\"more\"; of what the node {operator}_1 gives"));
    }
}

#[test]
fn images_behind_another_axis_are_read_by_few_operators_and_are_no_answer() {
    let order = |values: &[u8]| {
        let all: Vec<u8> = values.iter().flat_map(|&value| number(8, value)).collect();
        [[field(1, b"perm"), all].concat()].to_vec()
    };
    let behind = node("Transpose", &["images"], &["t"], &order(&[1, 0, 2, 3]));
    let back = node("Transpose", &["t"], &["u"], &order(&[1, 0, 2, 3]));
    refused(&model(&[behind.clone(), node("Relu", &["t"], &["out"], &[])]), "not that of the images");
    let all = whole("all", &[-1]);
    let row = node("Reshape", &["t", "all"], &["out"], &[]);
    refused(&model(&[behind.clone(), all, row]), "not that of the images");
    refused(&model(&[behind.clone(), node("Identity", &["t"], &["out"], &[])]), "the output has the shape");
    let matrix = weight("w", &[2, 2], &[0; 16]);
    // Moved back, it fails only at the matrix behind it.
    refused(&model(&[behind, back, matrix, node("MatMul", &["u", "w"], &["out"], &[])]), "MatMul");
}

#[test]
fn a_copy_of_all_images_by_places_is_read_only_where_it_is_one() {
    let parts = |factor: i64, from: i64| {
        let start = [field(1, b"start"), number(3, 0)].concat();
        let end = [field(1, b"end"), number(3, 1)].concat();
        let places: Vec<i64> = (from..from + 192).collect();
        let constants =
            [whole("all", &[-1]), whole("zero", &[0]), whole("one", &[1]), whole("len", &[factor])];
        [
            constants.concat(),
            whole("axis", &[1]),
            whole("places", &places),
            node("Reshape", &["images", "all"], &["row"], &[]),
            node("Shape", &["images"], &["shape"], &[start, end]),
            node("Range", &["zero", "shape", "one"], &["numbers"], &[]),
            node("Mul", &["numbers", "len"], &["first"], &[]),
            node("Unsqueeze", &["first", "axis"], &["column"], &[]),
            node("Add", &["column", "places"], &["where"], &[]),
            node("Gather", &["row", "where"], &["copy"], &[]),
            weight("w", &[96, 2], &[0; 768]),
            node("MatMul", &["copy", "w"], &["out"], &[]),
        ]
    };
    // Whole, it fails only at the matrix behind it.
    refused(&model(&parts(192, 0)), "MatMul");
    refused(&model(&parts(191, 0)), "not those of a copy");
    refused(&model(&parts(192, 1)), "not those of a copy");
    let row = node("Reshape", &["images", "all"], &["row"], &[]);
    refused(&model(&[whole("all", &[-1]), row, node("Relu", &["row"], &["out"], &[])]), "mixes the images");
}

#[test]
fn numbers_that_no_model_file_has_are_refused() {
    for (operator, number) in [("Max", f32::INFINITY), ("Min", f32::NEG_INFINITY), ("Mul", f32::NAN)] {
        let layer = node(operator, &["images", "number"], &["out"], &[]);
        refused(&model(&[floats("number", &[], &[number]), layer]), &format!("has the number {number}"));
    }
    let layer = node("Clip", &["images", "number"], &["out"], &[]);
    refused(&model(&[floats("number", &[], &[f32::NAN]), layer]), "has the number NaN");
    let zeros = whole("pads", &[0; 8]);
    let layer = node("Pad", &["images", "pads", "number"], &["out"], &[]);
    refused(&model(&[zeros, floats("number", &[], &[f32::NAN]), layer]), "has the number NaN");
}

#[test]
fn sizes_that_no_memory_holds_are_refused_before_any_is_taken() {
    let zeros = weight("w", &[100, 100, 100, 100], &[0; 4]);
    refused(&model(&[zeros, node("Conv", &["images", "w"], &["out"], &[])]), "4 bytes instead of 400000000");
    // Sixty doublings.
    let mut parts = Vec::new();
    let name = |i: usize| if i == 0 { "images".to_string() } else { format!("x{i}") };
    let axis = [field(1, b"axis"), number(3, 1)].concat();
    for i in 0..60 {
        parts.push(node("Concat", &[&name(i), &name(i)], &[&name(i + 1)], std::slice::from_ref(&axis)));
    }
    parts.push(node("Relu", &["x60"], &["out"], &[]));
    refused(&model(&parts), "too many values");
    let shape = field(
        5,
        &[number(1, 1), number(2, 7), field(8, b"s"), field(9, &(1_i64 << 40).to_le_bytes())].concat(),
    );
    refused(&model(&[shape, node("ConstantOfShape", &["s"], &["out"], &[])]), "too large");
    // Each of these is allowed, all together are not.
    let mut parts = vec![whole("s", &[1 << 26]), node("ConstantOfShape", &["s"], &["c0"], &[])];
    for i in 0..64 {
        let [from, to] = [i, i + 1].map(|i| format!("c{i}"));
        parts.push(node("Add", &[&from, &from], &[&to], &[]));
    }
    parts.push(node("Add", &["images", "c64"], &["out"], &[]));
    refused(&model(&parts), "too large together");
}

#[test]
fn a_file_nested_deeper_than_any_stack_is_refused() {
    let mut graph = Vec::new();
    for _ in 0..2000 {
        graph = field(1, &field(5, &field(6, &graph)));
    }
    assert!(onnx::decode(&field(7, &graph), None).is_err());
}

#[test]
fn a_file_cut_short_anywhere_or_with_any_byte_changed_ends_in_a_sentence_or_a_network() {
    for name in ["tokens.onnx", "windows.onnx"] {
        let whole = fs::read(golden(name)).unwrap();
        for end in (0..whole.len()).step_by(7) {
            assert!(onnx::decode(&whole[..end], None).is_err(), "{name}: {end}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 127, 255] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = onnx::decode(&changed, None);
            }
        }
    }
}

#[test]
fn weights_in_other_files_are_read_from_the_models_own_folder_alone() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    let bytes = fs::read(golden("outside.onnx")).unwrap();
    let data = fs::read(golden("outside.data")).unwrap();
    let read = |bytes: &[u8]| onnx::decode(bytes, Some(&own)).map(drop).map_err(|error| error.to_string());
    assert!(read(&bytes).unwrap_err().contains("outside.data"), "there is none");
    fs::write(own.join("outside.data"), &data[..data.len() - 1]).unwrap();
    assert!(read(&bytes).unwrap_err().contains("cut short"));
    fs::write(own.join("outside.data"), &data).unwrap();
    read(&bytes).unwrap();
    // A name of the same length that leads to the folder itself.
    fs::write(own.join("tside.data"), &data).unwrap();
    read(&replaced(&bytes, b"outside.data", b"./tside.data")).unwrap();
    // And some that lead out of it.
    fs::write(folder.path().join("side.data"), &data).unwrap();
    for name in ["../side.data", "/etc/./hosts"] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("outside.data"));
        let changed = replaced(&bytes, b"outside.data", name.as_bytes());
        assert!(read(&changed).unwrap_err().contains("not in the model's own folder"), "{name}");
    }
    #[cfg(unix)]
    {
        fs::remove_file(own.join("outside.data")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("side.data"), own.join("outside.data")).unwrap();
        assert!(read(&bytes).unwrap_err().contains("not in the model's own folder"));
    }
    assert!(onnx::read(Path::new("absent.onnx")).is_err());
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut all = bytes.to_vec();
    for at in 0..=all.len() - from.len() {
        if all[at..].starts_with(from) {
            all[at..at + to.len()].copy_from_slice(to);
        }
    }
    all
}

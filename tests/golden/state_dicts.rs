//! State dicts with the names of common repositories, read by names and shapes, against PyTorch's logits.
//! `make_state_dicts.py` writes both.

use pgn_wgpu::evaluation::predict;
use pgn_wgpu::executor::{Device, Opening};
use pgn_wgpu::gpu::adapter::AdapterChoice;
use pgn_wgpu::models::file::{Model, export, to_bytes};
use pgn_wgpu::models::python;
use pgn_wgpu::nn::{Init, Network, Normalisation, Plan, Problem};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Rounding of f32 through some twenty layers, in units of the largest logit.
const TOLERANCE: f64 = 1e-4;
const IMAGES: usize = 3;
const CLASSES: usize = 5;

fn file(name: &str) -> PathBuf {
    crate::values::file("state_dicts").join(name)
}

/// The images of the script, channels last.
fn images(problem: Problem) -> Vec<f32> {
    let (positions, channels, pixels) = (problem.height * problem.width, problem.channels, problem.pixels());
    let count = (IMAGES * pixels) as f64;
    let value = |i: usize| {
        let (image, position, channel) = (i / pixels, i % pixels / channels, i % channels);
        let at = ((image * channels + channel) * positions + position) as f64;
        (0.5 + 0.5 * (0.37 * at + 0.001 * at * at / count).sin()) as f32
    };
    (0..IMAGES * pixels).map(value).collect()
}

fn cpu() -> Device {
    Device::open(&"cpu".parse::<AdapterChoice>().unwrap(), Opening::default()).unwrap()
}

#[test]
fn networks_of_other_repositories_answer_as_pytorch_does() {
    let text = std::fs::read_to_string(file("logits.json")).unwrap();
    let answers: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(answers.len(), 13);
    let device = cpu();
    for (name, expected) in answers {
        let size = |key: &str| expected[key].as_u64().unwrap() as usize;
        let problem = Problem {
            height: size("height"),
            width: size("width"),
            channels: size("channels"),
            classes: CLASSES,
        };
        let model = Model::load(&file(&format!("{name}.safetensors")), Some(problem)).unwrap();
        let own = predict::logits(&device, &model, &images(problem), &mut |_, _| {}).unwrap();
        let wanted: Vec<f64> =
            expected["logits"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let largest = wanted.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        assert_eq!(own.len(), wanted.len(), "{name}");
        for (i, (a, b)) in own.iter().zip(&wanted).enumerate() {
            assert!(
                (f64::from(*a) - b).abs() <= TOLERANCE * largest,
                "{name}: logit {i} is {a}, expected {b}"
            );
        }
        let unused = model.notes.iter().any(|note| note.contains("sub_block1"));
        assert_eq!(unused, name == "wide-trades", "{name}: {:?}", model.notes);
        let shortcuts = model.notes.iter().any(|note| note.contains("Wong"));
        assert_eq!(shortcuts, name == "preact", "{name}: {:?}", model.notes);
    }
}

#[test]
fn weights_do_not_tell_the_size_of_images_which_are_then_the_usual_ones() {
    // The file of torchvision's VGG has two poolings before its linear layers, which read 7x7 positions; the whole network has five.
    for (name, side) in [("resnet18", 32), ("torchvision", 224), ("vgg", 32), ("vgg-torchvision", 28)] {
        let problem = Model::load(&file(&format!("{name}.safetensors")), None).unwrap().facts.problem;
        assert_eq!((problem.height, problem.width), (side, side), "{name}");
    }
}

#[test]
fn a_vgg_whose_linear_layers_read_an_image_is_for_images_that_its_pooling_brings_to_that_size() {
    // Two blocks of a convolution, ReLU and pooling, then a linear layer that reads 3x3 positions.
    let extents: [(&str, &[usize]); 6] = [
        ("features.0.weight", &[4, 3, 3, 3]),
        ("features.0.bias", &[4]),
        ("features.3.weight", &[2, 4, 3, 3]),
        ("features.3.bias", &[2]),
        ("classifier.0.weight", &[5, 2 * 3 * 3]),
        ("classifier.0.bias", &[5]),
    ];
    let tensor = |(name, extents): (&str, &[usize])| {
        (name.to_string(), extents.to_vec(), vec![0.5; extents.iter().product()])
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vgg.safetensors");
    std::fs::write(&path, to_bytes(&extents.map(tensor), HashMap::new())).unwrap();
    assert_eq!(Model::load(&path, None).unwrap().facts.problem, Problem::square(12, 3, 5));
    let other = Model::load(&path, Some(Problem::square(20, 3, 5))).unwrap_err().to_string();
    assert!(other.contains("5x5") && other.contains("sides are 12"), "{other}");
}

/// The tensors of a network of the zoo by their bare names.
fn bare(network: &str, width: f32, folder: &Path) -> PathBuf {
    let network: Network = network.parse().unwrap();
    let net = network.build(Plan::new(Problem::square(32, 3, 7), width)).unwrap();
    let mut tensors = Vec::new();
    export(&net.slots, &net.initial(Init::He, 1), "classifier", &mut tensors);
    for (name, ..) in &mut tensors {
        *name = format!("state_dict.module.{}", name.strip_prefix("classifier.").unwrap());
    }
    let path = folder.join("bare.safetensors");
    std::fs::write(&path, to_bytes(&tensors, HashMap::new())).unwrap();
    path
}

#[test]
fn a_network_of_the_zoo_is_known_again_with_its_width() {
    let folder = tempfile::tempdir().unwrap();
    for (network, width) in [
        ("resnet18", 0.0625),
        ("preact-resnet18", 0.03125),
        ("wide-resnet-16-4", 0.125),
        ("wide-resnet-28-10", 0.0625),
        ("vgg11", 0.125),
    ] {
        let model = Model::load(&bare(network, width, folder.path()), None).unwrap();
        assert_eq!((model.facts.network.name(), model.facts.width), (network, width));
        assert_eq!(model.facts.problem, Problem::square(32, 3, 7));
    }
}

/// The names of the tensors that the layers of a `model.py` have in PyTorch.
fn state_dict_of(module: &str) -> BTreeSet<String> {
    let layers = module.lines().filter_map(|line| line.trim().strip_prefix("self.put(\""));
    let names = |layer: &str| -> Vec<String> {
        let (path, made) = layer.split_once("\", ").unwrap();
        let own: &[&str] = match made.split('(').next().unwrap() {
            "Normalise" => &["mean", "std"],
            // Without the number of batches, which PyTorch adds where a file lacks it.
            "nn.BatchNorm2d" => &["weight", "bias", "running_mean", "running_var"],
            "nn.Conv2d" | "nn.Linear" if made.contains("bias=True") => &["weight", "bias"],
            "nn.Conv2d" | "nn.Linear" => &["weight"],
            other => panic!("{other}: say here which tensors it has"),
        };
        own.iter().map(|name| format!("{path}.{name}")).collect()
    };
    layers.flat_map(names).collect()
}

#[test]
fn the_module_of_every_network_has_the_tensors_of_the_weights_that_are_exported_beside_it() {
    let normalisation = Normalisation { mean: vec![0.5; 3], deviation: vec![0.25; 3] };
    for network in Network::all() {
        for normalisation in [None, Some(&normalisation)] {
            let plan = Plan { problem: Problem::square(32, 3, 7), width: 0.0625, normalisation };
            let net = network.build(plan).unwrap();
            let exported: BTreeSet<String> = net.slots.all.iter().map(|slot| slot.name.clone()).collect();
            assert_eq!(state_dict_of(&python::module(&net).unwrap()), exported, "{network}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_first_tensor_that_disagrees() {
    let bytes = std::fs::read(file("resnet18.safetensors")).unwrap();
    let original = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.safetensors");
    // The name of a tensor, and the shape that it gets; none is left out.
    let refused = |name: &str, shape: Option<Vec<usize>>| {
        let mut tensors: Vec<_> = original
            .iter()
            .filter(|(own, tensor)| *own != name && tensor.dtype() == safetensors::Dtype::F32)
            .map(|(own, tensor)| {
                let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                (own.to_string(), tensor.shape().to_vec(), values.collect::<Vec<f32>>())
            })
            .collect();
        tensors
            .extend(shape.map(|shape| (name.to_string(), shape.clone(), vec![0.5; shape.iter().product()])));
        std::fs::write(&path, to_bytes(&tensors, HashMap::new())).unwrap();
        Model::load(&path, None).unwrap_err().to_string()
    };
    for (name, shape, parts) in [
        ("layer2.0.bn2.running_var", None, &["layer2.0.bn2.running_var", "missing"][..]),
        ("layer2.1.conv2.weight", Some(vec![3, 4, 3, 3]), &["layer2.1.conv2.weight", "[3, 4, 3, 3]"]),
        ("layer3.0.conv1.weight", Some(vec![4, 3, 2, 2]), &["layer3.0.conv1.weight", "odd size"]),
        ("layer3.0.bn1.weight", Some(vec![9]), &["layer3.0.bn1.weight", "[9]", "[4]"]),
        ("layer2.0.shortcut.0.weight", None, &["layer2.0", "no convolution beside it"]),
        ("linear.weight", Some(vec![5, 20]), &["linear.weight", "20 numbers", "gives 5"]),
        ("linear.bias", None, &["linear.bias", "missing"]),
        ("attention.weight", Some(vec![5, 5]), &["attention.weight [5, 5]", "a residual network"]),
        ("conv1.weight", Some(vec![0, 3, 3, 3]), &["conv1.weight"]),
    ] {
        let error = refused(name, shape);
        assert!(parts.iter().all(|part| error.contains(part)), "{name}: {error}");
        assert!(error.contains("changed.safetensors") && !error.contains('\n'), "{error}");
    }
}

//! Layers that the builder composes of others.

use super::*;
use crate::bench::steps::synthetic_batch;
use crate::cpu::Mode;
use crate::data::DatasetKind;
use crate::executor::{Device, Workspace};
use crate::graph::Graph;
use crate::models::file::{Model, export};
use crate::nn::{Init, Pass, Values, onnx};
use crate::random::{Random, Stream};
use crate::training::{Method, Preset, TrainConfig, Trainer};

/// Height, width, channels and groups: one group, a group for each channel, groups of 3 and of 5 channels, more groups than
/// positions, and a single position.
const SHAPES: [[usize; 4]; 6] =
    [[3, 5, 6, 1], [5, 3, 6, 6], [3, 5, 6, 2], [2, 7, 10, 2], [1, 2, 12, 6], [1, 1, 6, 2]];

/// Of f32, rounded some dozen times.
const ROUNDING: f64 = 1e-5;

fn normals(major: u32, count: usize) -> Vec<f32> {
    let random = Random::new(1, Stream::Attack);
    (0..count as u32).map(|i| random.normal(major, i)).collect()
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

#[track_caller]
fn close(what: &str, own: &[f32], expected: &[f64]) {
    let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    assert_eq!(own.len(), expected.len(), "{what}");
    for (i, (a, b)) in doubles(own).iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= ROUNDING * largest, "{what}: value {i} is {a}, expected {b}");
    }
}

/// Group normalisation of one image by its definition.
fn direct(x: &[f64], scale: &[f64], shift: &[f64], groups: usize) -> Vec<f64> {
    let (channels, size) = (scale.len(), scale.len() / groups);
    let group = |at: usize| at % channels / size;
    let mean_of = |values: &[f64], own: usize| {
        let of_group: Vec<f64> = (0..x.len()).filter(|&i| group(i) == own).map(|i| values[i]).collect();
        of_group.iter().sum::<f64>() / of_group.len() as f64
    };
    let means: Vec<f64> = (0..groups).map(|own| mean_of(x, own)).collect();
    let squares: Vec<f64> = (0..x.len()).map(|i| (x[i] - means[group(i)]).powi(2)).collect();
    let variances: Vec<f64> = (0..groups).map(|own| mean_of(&squares, own)).collect();
    let normal = |i: usize| (x[i] - means[group(i)]) / (variances[group(i)] + 1e-5).sqrt();
    (0..x.len()).map(|i| normal(i) * scale[i % channels] + shift[i % channels]).collect()
}

/// Group normalisation alone; its logits are its result.
fn alone([height, width, channels, groups]: [usize; 4]) -> Result<Net, ModelError> {
    let classes = height * width * channels;
    let mut net = Builder::new(Problem { height, width, channels, classes });
    let x = net.group_norm(net.images(), "norm", groups);
    net.flatten(x);
    net.finish()
}

/// The logits, and the gradients by the images and by the first two slots of the sum of the logits times `factors`.
fn computed(net: &Net, values: &Values, images: &[f32], factors: &[f32], mode: Mode) -> [Vec<f32>; 4] {
    let count = images.len() / net.problem.pixels();
    let mut graph = Graph::new();
    let states = net.live(&mut graph, "net").unwrap();
    let x = graph.input("images", &net.problem.batch(count)).unwrap();
    let logits = net.forward(&mut graph, &states, x, Pass::Evaluate).unwrap();
    let cotangent = graph.input("factors", &[count, net.problem.classes]).unwrap();
    let by = [x, states.tensors[0], states.tensors[1]];
    let gradients = graph.gradient(logits, cotangent, &by).unwrap();
    let names = ["logits", "by images", "by scales", "by shifts"];
    for (name, tensor) in names.iter().zip([logits].into_iter().chain(gradients)) {
        graph.output(name, tensor);
    }
    let mut workspace = Workspace::new(Device::Cpu(mode));
    workspace.write("net.parameters", &values.weights).unwrap();
    let mut session = workspace.prepare(&graph).unwrap();
    session.write("images", images).unwrap();
    session.write("factors", factors).unwrap();
    let outputs = session.compute().unwrap();
    names.map(|name| outputs.get(name).to_vec())
}

/// Derivatives of the sum of `function`'s values times `factors`.
fn differences(x: &[f64], factors: &[f64], function: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    let sum = |at: usize, step: f64| {
        let mut moved = x.to_vec();
        moved[at] += step;
        function(&moved).iter().zip(factors).map(|(value, factor)| value * factor).sum::<f64>()
    };
    (0..x.len()).map(|at| (sum(at, STEP) - sum(at, -STEP)) / (2.0 * STEP)).collect()
}

#[test]
fn group_normalisation_is_its_definition_and_so_are_its_gradients() {
    for shape in SHAPES {
        let [height, width, channels, groups] = shape;
        let (net, len) = (alone(shape).unwrap(), height * width * channels);
        let mut values = net.initial(Init::He, 0);
        net.slots.get_mut(&mut values, 0).copy_from_slice(&normals(0, channels));
        net.slots.get_mut(&mut values, 1).copy_from_slice(&normals(1, channels));
        // One image away from zero, and one with a variance as small as ε.
        let mut images: Vec<f32> = normals(2, len).iter().map(|value| value + 2.0).collect();
        images.extend(normals(3, len).iter().map(|value| 0.003 * value));
        let factors = normals(4, 2 * len);
        let [scale, shift] = [0, 1].map(|slot| doubles(net.slots.get(&values, slot)));
        let by_numbers = |of_scale: bool, image: usize| {
            let [x, v] = [&images, &factors].map(|all| doubles(&all[image * len..][..len]));
            match of_scale {
                true => differences(&scale, &v, |scale| direct(&x, scale, &shift, groups)),
                false => differences(&shift, &v, |shift| direct(&x, &scale, shift, groups)),
            }
        };
        let sums = [true, false].map(|of_scale| -> Vec<f64> {
            let [first, second] = [0, 1].map(|image| by_numbers(of_scale, image));
            first.iter().zip(second).map(|(a, b)| a + b).collect()
        });
        for mode in [Mode::Reference, Mode::Fast] {
            let [logits, by_images, by_scales, by_shifts] = computed(&net, &values, &images, &factors, mode);
            for image in [0, 1] {
                let own = |all: &[f32]| all[image * len..][..len].to_vec();
                let [x, v] = [&images, &factors].map(|all| doubles(&own(all)));
                let what = |what: &str| format!("{what} of image {image}, {shape:?}, {mode:?}");
                close(&what("values"), &own(&logits), &direct(&x, &scale, &shift, groups));
                let expected = differences(&x, &v, |x| direct(x, &scale, &shift, groups));
                close(&what("gradients"), &own(&by_images), &expected);
            }
            close(&format!("gradients by scales, {shape:?}, {mode:?}"), &by_scales, &sums[0]);
            close(&format!("gradients by shifts, {shape:?}, {mode:?}"), &by_shifts, &sums[1]);
        }
    }
}

/// Convolutions with group normalisation behind them, of groups of 3 channels and of one.
fn small([height, width]: [usize; 2]) -> Net {
    let mut net = Builder::new(Problem { height, width, channels: 3, classes: 3 });
    let mut x = net.images();
    for (layer, groups) in [2, 6].into_iter().enumerate() {
        x = net.convolution(x, &format!("conv{layer}"), Kernel::new(3, 6).stride(2).without_bias());
        x = net.group_norm(x, &format!("norm{layer}"), groups);
        x = net.relu(x);
    }
    net.dense(x, "fc", 3, 1.0);
    net.finish().unwrap()
}

#[test]
fn a_network_with_group_normalisation_trains_with_every_method() {
    for method in Method::all() {
        let preset = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        let config = TrainConfig { method, batch_size: 6, ..preset };
        // The generator makes square images.
        let net = small(if method.generator { [12, 12] } else { [8, 12] });
        let before = net.initial(config.init, config.seed);
        let model = Model::new(net.clone(), before.clone());
        let device = Device::Cpu(Mode::Fast);
        let mut trainer = Trainer::new(device, &config, net.problem, Some(&model), None).unwrap();
        let batch = synthetic_batch(net.problem, config.batch_size);
        let losses = [(); 2].map(|()| {
            let pending = trainer.submit(&batch).unwrap();
            trainer.collect(pending).unwrap().loss
        });
        assert!(losses.iter().all(|loss| loss.is_finite()), "{method:?}: {losses:?}");
        assert!(losses[1] != losses[0], "{method:?}: {losses:?}");
        let (after, _, _) = trainer.values().unwrap();
        for index in 0..net.slots.all.len() {
            let [own, old] = [&after, &before].map(|values| net.slots.get(values, index));
            let name = &net.slots.all[index].name;
            let mut moved = own.iter().zip(old).map(|(own, old)| own != old);
            // A weight behind ReLU that is 0 for every image stays.
            let learned =
                if name.starts_with("norm") { moved.all(|moved| moved) } else { moved.any(|moved| moved) };
            assert!(learned, "{method:?}: {name} stays");
        }
    }
}

#[test]
fn group_normalisation_comes_back_from_model_files_and_from_onnx() {
    let net = small([8, 12]);
    let names: Vec<&str> = net.slots.all.iter().map(|slot| &slot.name[..]).collect();
    assert_eq!(names[..3], ["conv0.weight", "norm0.weight", "norm0.bias"]);
    let mut values = net.initial(Init::He, 5);
    for index in [1, 2, 4, 5] {
        net.slots.get_mut(&mut values, index).copy_from_slice(&normals(index as u32, 6));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = Model::new(net.clone(), values.clone());
    model.save(&path).unwrap();
    let loaded = Model::load(&path, Some(net.problem)).unwrap();
    assert_eq!((&loaded.classifier, &loaded.live), (&net, &values));

    let images = normals(9, 2 * net.problem.pixels());
    let factors = [1.0; 6];
    let answers =
        |net: &Net, values: &Values| computed(net, values, &images, &factors, Mode::Fast)[0].clone();
    let back = onnx::decode(&onnx::export::encode(&net, &values).unwrap(), None).unwrap();
    assert!(back.net.slots.all.iter().any(|slot| slot.name == "norm1.bias"), "{:?}", back.net.slots);
    close("of ONNX", &answers(&back.net, &back.values), &doubles(&answers(&net, &values)));
}

#[test]
fn groups_that_do_not_divide_the_channels_are_refused_in_one_sentence() {
    for groups in [0, 4, 12] {
        let error = alone([3, 5, 6, groups]).unwrap_err().to_string();
        let expected = format!("the layer norm has {groups} groups, which do not divide 6 channels");
        assert_eq!(error, expected);
    }
}

#[test]
fn files_have_the_channels_of_an_image_first_whoever_flattens_it() {
    let file = |flattens: bool| {
        let mut net = Builder::new(Problem { height: 4, width: 4, channels: 2, classes: 3 });
        let mut x = net.images();
        if flattens {
            x = net.flatten(x);
            x = net.relu(x);
        }
        net.dense(x, "fc", 3, 1.0);
        let net = net.finish().unwrap();
        let mut tensors = Vec::new();
        export(&net.slots, &net.initial(Init::He, 1), "classifier", &mut tensors);
        tensors
    };
    assert_eq!(file(true), file(false));
}

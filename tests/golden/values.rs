//! The golden files as the tests see them; README.md beside this file says what is in them.

use pgn_wgpu::data::{Batch, DatasetKind};
use pgn_wgpu::models::file::{Model, export};
use pgn_wgpu::nn::{Net, Problem, Slots, Values};
use pgn_wgpu::pgn::Generator;
use pgn_wgpu::training::{Method, Preset, TrainConfig};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::path::PathBuf;

/// A file or folder beside this one. Cargo names the checkout when it runs tests; `scripts/gpu-check.sh` names what it carried to
/// another machine.
pub fn file(name: &str) -> PathBuf {
    let checkout = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(checkout).join("tests/golden").join(name)
}

/// A file's `settings`.
#[derive(Deserialize)]
pub struct Settings {
    pub name: String,
    side: usize,
    channels: usize,
    classes: usize,
    width: f32,
    pub batch: usize,
    pub lr: f32,
    generator_lr: f32,
    ema_decay: f32,
    c_l: f32,
    /// Whether the file has the variants of the step too.
    pub variants: bool,
    pub through_epsilon: Option<f32>,
    pub adv_coeff: Option<f32>,
}

/// One golden file.
pub struct Golden {
    bytes: Vec<u8>,
    pub settings: Settings,
    /// Both networks, read as a user's file is.
    pub model: Model,
}

/// What a value may differ.
#[derive(Clone, Copy)]
pub enum Allowed {
    /// As it is.
    Absolute(f32),
    /// In units of the tensor's largest value.
    Relative(f32),
}

/// Both networks of a golden file, read from a file of their own as a user's is.
fn networks(bytes: &[u8], problem: Problem) -> Model {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let own = |name: &str| name.starts_with("classifier.") || name.starts_with("generator.");
    let own: Vec<_> = tensors.iter().filter(|(name, _)| own(name)).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("networks.safetensors");
    std::fs::write(&path, safetensors::serialize(own, None).unwrap()).unwrap();
    Model::load(&path, Some(problem)).unwrap()
}

impl Golden {
    /// All of them.
    pub fn all() -> Vec<Self> {
        ["side8", "side12", "side28"].map(Self::load).into()
    }

    /// The file of this name.
    pub fn load(name: &str) -> Self {
        let bytes = std::fs::read(file(&format!("{name}.safetensors"))).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let settings: Settings =
            serde_json::from_str(&header.metadata().as_ref().unwrap()["settings"]).unwrap();
        let problem = Problem::square(settings.side, settings.channels, settings.classes);
        let model = networks(&bytes, problem);
        assert_eq!(model.facts.width.to_bits(), settings.width.to_bits(), "the width that the weights show");
        Self { bytes, settings, model }
    }

    pub fn classifier(&self) -> &Net {
        &self.model.classifier
    }

    pub fn generator(&self) -> &Generator {
        &self.model.generator.as_ref().unwrap().0
    }

    /// The configuration of the file's training steps.
    pub fn config(&self, method: Method) -> TrainConfig {
        let s = &self.settings;
        TrainConfig {
            method,
            width: s.width,
            batch_size: s.batch,
            lr: s.lr,
            generator_lr: Some(s.generator_lr),
            ema_decay: s.ema_decay,
            c_l: s.c_l,
            ..TrainConfig::preset(Preset::Small, DatasetKind::Digits)
        }
    }

    /// The file's images and labels.
    pub fn batch(&self) -> Batch {
        Batch::whole(self.tensor("images"), self.tensor("labels"))
    }

    /// A tensor; images with the channels last, as ours are.
    pub fn tensor(&self, name: &str) -> Vec<f32> {
        tensor_of(&self.bytes, name)
    }

    /// Compares one of our tensors with the file's.
    pub fn assert(&self, device: &str, name: &str, actual: &[f32], allowed: Allowed) {
        close(&format!("{}, {name} on {device}", self.settings.name), actual, &self.tensor(name), allowed);
    }

    /// Compares our flat tensor of a network's values, every weight and bias of it, with the file's `prefix.…`.
    pub fn assert_network(&self, device: &str, prefix: &str, flat: &[f32], allowed: Allowed) {
        let mut tensors = Vec::new();
        let values = Values { weights: flat.to_vec(), buffers: Vec::new() };
        export(self.slots_of(prefix), &values, prefix, &mut tensors);
        for (name, _, values) in tensors {
            self.assert(device, &name, &values, allowed);
        }
    }

    fn slots_of(&self, prefix: &str) -> &Slots {
        if prefix.ends_with("generator") { &self.generator().slots } else { &self.classifier().slots }
    }
}

/// A tensor of a file; images with the channels last, as ours are.
pub fn tensor_of(bytes: &[u8], name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensor = file.tensor(name).unwrap_or_else(|_| panic!("the file has no {name}"));
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
    match *tensor.shape() {
        [n, c, h, w] if !name.ends_with("weight") => channels_last(&values, [n, c, h, w]),
        _ => values,
    }
}

fn channels_last(values: &[f32], [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    let mut last = Vec::with_capacity(values.len());
    for image in 0..n {
        for pixel in 0..h * w {
            last.extend((0..c).map(|channel| values[(image * c + channel) * h * w + pixel]));
        }
    }
    last
}

/// Fails with the worst value unless all are as close as allowed.
pub fn close(what: &str, actual: &[f32], expected: &[f32], allowed: Allowed) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let limit = match allowed {
        Allowed::Absolute(limit) => limit,
        Allowed::Relative(limit) => limit * largest,
    };
    let errors = actual.iter().zip(expected).map(|(a, e)| (a - e).abs());
    // NaN counts as the worst of all.
    let (at, worst) = errors
        .enumerate()
        .max_by(|(_, a), (_, b)| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)))
        .expect("tensors have values");
    assert!(
        worst <= limit,
        "{what}: value {at} is {}, but PyTorch has {} (difference {worst:e}, {limit:e} allowed)",
        actual[at],
        expected[at]
    );
}

//! Checkpoints: every state of the trainer, how far it was, and which run it belongs to, in one safetensors file. It is
//! enough to go on to the same bits, and refuses to go on as another run.

use super::TrainError;
use super::config::{Difference, MAY_DIFFER, TrainConfig};
use super::robust::BestRobust;
use crate::data::{Images, Position, classes};
use crate::memory;
use crate::models::container::Container;
use crate::models::file::{Model, NamedTensor};
use crate::models::sealed::{self, Unwritable};
use crate::nn::Net;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The key of [`Head`] in a checkpoint's metadata.
pub const METADATA_KEY: &str = "pgn-wgpu.checkpoint";
/// How far a run was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of the program that wrote it.
    pub version: String,
    /// Steps done.
    pub step: u64,
    /// Epoch of the next batch.
    pub epoch: u32,
    /// Index of the next batch in its epoch.
    pub index: u32,
    /// Updates of the classifier and the generator.
    pub updates: [u64; 2],
    /// Best validation accuracy of a whole epoch so far.
    pub best: Option<f64>,
    /// That epoch, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_epoch: Option<u32>,
    /// The best whole epoch under PGD so far, if that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_robust: Option<BestRobust>,
    /// Images that are computed at once, the micro-batch: another number gives other roundings, and with batch normalisation other
    /// statistics. Absent in files of earlier builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// Seconds of training so far, over all resumptions.
    pub seconds: f64,
}

impl Progress {
    /// The next batch.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, index: self.index }
    }

    /// Whether a run of this configuration has nothing left to do.
    pub fn is_end_of(&self, config: &TrainConfig) -> bool {
        self.epoch >= config.epochs || config.max_steps.is_some_and(|most| self.step >= most)
    }
}

/// Which images a run learns from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingData {
    /// Names of the classes, in the order of the labels.
    pub classes: Vec<String>,
    /// Number of images.
    pub images: usize,
    /// CRC-32C over all labels and pixels, in hexadecimal digits.
    pub fingerprint: String,
}

impl TrainingData {
    /// Of the images `train`, whose classes are `classes`.
    pub fn of(train: &Images, classes: &[String]) -> Self {
        let crc = (0..train.len()).fold(0, |crc, i| {
            let crc = crc32c::crc32c_append(crc, &train.label(i).to_le_bytes());
            crc32c::crc32c_append(crc, train.image(i))
        });
        Self { classes: classes.to_vec(), images: train.len(), fingerprint: format!("{crc:08x}") }
    }
}

/// What a run needs of the model that it started from, beside its weights, to go on without that file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartedFrom {
    /// How it was defended.
    pub method: String,
    /// Its network, if that is an imported one, which no configuration describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<Net>,
}

impl StartedFrom {
    /// Of the model that a run with `config` starts from.
    pub fn of(model: &Model, config: &TrainConfig) -> Self {
        let classifier = config.network.is_imported().then(|| model.classifier.clone());
        Self { method: model.facts.method.clone(), classifier }
    }
}

/// What a checkpoint says of itself, without the states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// How far the run was.
    pub progress: Progress,
    /// What it was told to do.
    pub config: TrainConfig,
    /// What it learned from.
    pub data: TrainingData,
    /// What it started from, if that was a model.
    #[serde(default, rename = "start", skip_serializing_if = "Option::is_none")]
    pub started_from: Option<StartedFrom>,
}

impl Head {
    /// Reads the head of the file `path` and nothing else; checked by a checksum of its own.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        Self::of(&Container::open(path)?, path)
    }

    fn of(file: &Container, path: &Path) -> Result<Self, TrainError> {
        let entry = file.metadata.get(METADATA_KEY).ok_or_else(|| {
            let problem = "is a model, not a checkpoint; give it as `from` to start from its weights";
            wrong(path, problem.to_string())
        })?;
        sealed::facts(entry).map_err(|reason| wrong(path, format!("cannot be believed: {reason}")))
    }

    /// The first key in which `config` describes another run than the one that was saved. `first` is the value in
    /// `config`, `second` that in the checkpoint.
    pub fn difference(&self, config: &TrainConfig) -> Option<Difference> {
        let before = |config: &TrainConfig| -> Vec<_> {
            config.changes.iter().filter(|change| change.step < self.progress.step).cloned().collect()
        };
        // Changed learning rates are compared on their own, and so is what lies in the folder of the data.
        let may_differ: Vec<&str> = MAY_DIFFER
            .into_iter()
            .filter(|&key| key != "epochs" || !self.config.depends_on_epochs())
            .collect();
        config.difference(&self.config, &may_differ).or_else(|| {
            let (first, second) = (before(config), before(&self.config));
            let shown = |changes| format!("{changes:?}");
            (first != second).then(|| Difference {
                key: "changes".to_string(),
                first: shown(first),
                second: shown(second),
            })
        })
    }

    /// Refuses a configuration or data of another run; `path` is where the checkpoint lies.
    pub fn check(&self, config: &TrainConfig, data: &TrainingData, path: &Path) -> Result<(), TrainError> {
        if let Some(Difference { key, first, second }) = self.difference(config) {
            return Err(wrong(
                path,
                format!(
                    "is of a run with {key} = {second}, but the configuration has {first}; put the old value back, or start a \
                     new run with another `out`"
                ),
            ));
        }
        let Self { data: own, .. } = self;
        classes::compare(&own.classes, &data.classes)
            .map_err(|mismatch| wrong(path, mismatch.to_string()))?;
        if (own.images, &own.fingerprint) != (data.images, &data.fingerprint) {
            return Err(wrong(
                path,
                format!(
                    "is of a run on {} training images with the checksum {}, but the data set now gives {} with {}; use the \
                     data of the run, or start a new one with another `out`",
                    own.images, own.fingerprint, data.images, data.fingerprint
                ),
            ));
        }
        Ok(())
    }

    /// Refuses another network than the one whose states these are, although they have the same names and lengths: `classifier`
    /// is that of the file which `config` starts from; `path` is where the checkpoint lies.
    pub fn check_network(
        &self,
        classifier: &Net,
        config: &TrainConfig,
        path: &Path,
    ) -> Result<(), TrainError> {
        let own = self.started_from.as_ref().and_then(|started_from| started_from.classifier.as_ref());
        match (own, &config.from) {
            (None, Some(_)) if self.started_from.is_none() => {
                Err(wrong(path, "does not tell what its run started from; train anew".to_string()))
            }
            (Some(own), Some(from)) if !own.computes_like(classifier) => Err(wrong(
                path,
                format!(
                    "is of a run on another network than the one in {0}; put the old {0} back, or move {0} to another folder: the \
                     run goes on without it",
                    from.display()
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// All states of a trainer, and what they belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Everything but the states.
    pub head: Head,
    /// States by name, flat.
    pub states: Vec<(String, Vec<f32>)>,
}

impl Checkpoint {
    /// The bytes of its file.
    ///
    /// # Errors
    /// If there is no memory for them, or the head is longer than any that is read.
    pub fn into_bytes(self) -> Result<Vec<u8>, Unwritable> {
        let flat = |(name, values): (String, Vec<f32>)| (name, vec![values.len()], values);
        let tensors: Vec<NamedTensor> = self.states.into_iter().map(flat).collect();
        sealed::readable_file_of(&tensors, METADATA_KEY, &self.head)
    }

    /// Reads it.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let mut file = Container::open(path)?;
        file.origin(METADATA_KEY)?;
        let head = Head::of(&file, path)?;
        let mut states: Vec<(String, Vec<f32>)> = Vec::new();
        for index in 0..file.tensors.len() {
            let (name, info) = &file.tensors[index];
            if info.dtype != Dtype::F32 {
                let problem = format!("has {name} as {:?} instead of F32; start a new run", info.dtype);
                return Err(wrong(path, problem));
            }
            let name = name.clone();
            let bytes = file.bytes(index)?;
            let mut values: Vec<f32> = memory::zeros(bytes.len() / size_of::<f32>())
                .map_err(|refused| wrong(path, format!("cannot be read: {refused}")))?;
            bytemuck::cast_slice_mut(&mut values).copy_from_slice(&bytes);
            states.push((name, values));
        }
        Ok(Self { head, states })
    }

    /// Refuses states that are not exactly those of a trainer (`expected`, by name and length), or that are not
    /// finite. `path` is where they come from.
    pub fn check_states(&self, expected: &[(String, Vec<f32>)], path: &Path) -> Result<(), TrainError> {
        let other = |what: String| {
            Err(wrong(path, format!("{what}; it is of another run or another build, start a new one")))
        };
        for (name, values) in expected {
            match self.states.iter().find(|(own, _)| own == name) {
                None => return other(format!("has no {name}")),
                Some((_, own)) if own.len() != values.len() => {
                    let (own, values) = (own.len(), values.len());
                    return other(format!("has {own} values of {name} instead of {values}"));
                }
                Some(_) => {}
            }
        }
        if let Some((name, _)) =
            self.states.iter().find(|(own, _)| !expected.iter().any(|(name, _)| name == own))
        {
            return other(format!("has {name}, which this run lacks"));
        }
        match not_finite(&self.states) {
            Some((name, value)) => {
                let problem = format!("has {value} in {name}; its training had diverged, start a new run");
                Err(wrong(path, problem))
            }
            None => Ok(()),
        }
    }
}

fn wrong(path: &Path, problem: String) -> TrainError {
    TrainError::Run { path: path.to_path_buf(), problem }
}

/// The first value that is not finite, with the name of its state.
pub fn not_finite(states: &[(String, Vec<f32>)]) -> Option<(&str, f32)> {
    states
        .iter()
        .find_map(|(name, values)| Some((name.as_str(), values.iter().copied().find(|v| !v.is_finite())?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::nn::layer::{Activation, Layer};
    use crate::nn::slot::Initial;
    use crate::nn::{Network, Plan, Problem};
    use crate::training::config::RateChange;
    use crate::training::{Method, Preset};

    fn head() -> Head {
        let config = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
        let data = TrainingData { classes: vec!["a".into(), "b".into()], images: 2, fingerprint: "0".into() };
        Head { progress: Progress { step: 10, ..Progress::default() }, config, data, started_from: None }
    }

    fn sentence(config: &TrainConfig, data: &TrainingData) -> String {
        head().check(config, data, Path::new("last")).unwrap_err().to_string()
    }

    #[test]
    fn a_checkpoint_and_its_head_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let saved = Checkpoint { head: head(), states: vec![("a".to_string(), vec![0.1, f32::MIN])] };
        crate::files::write(&path, &saved.clone().into_bytes().unwrap()).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap(), saved);
        assert_eq!(Head::load(&path).unwrap(), saved.head);
    }

    #[test]
    fn a_checkpoint_that_could_not_be_read_again_is_not_made() {
        let mut head = head();
        head.data.classes = vec!["x".repeat(5 << 20)];
        let refused = Checkpoint { head, states: vec![("a".to_string(), vec![0.1])] }.into_bytes();
        assert!(matches!(refused, Err(Unwritable::LongHeader { .. })), "{refused:?}");
    }

    #[test]
    fn what_a_run_is_may_not_change_and_where_and_how_long_it_trains_may() {
        let same = head();
        let mut config = same.config.clone();
        (config.adapter, config.epochs, config.max_steps) = ("cpu".into(), 3, Some(7));
        same.check(&config, &same.data, Path::new("last")).unwrap();
        let other = TrainConfig { method: Method::FGM, ..config.clone() };
        let text = sentence(&other, &same.data);
        assert!(text.contains("method = \"pgn\"") && text.contains("has \"fgm\""), "{text}");
        let other = TrainConfig { max_steps: None, seed: 5, ..config };
        assert!(sentence(&other, &same.data).contains("seed = 0, but the configuration has 5"));
    }

    #[test]
    fn another_network_of_the_same_names_and_lengths_is_refused_and_another_start_of_the_same_is_not() {
        let net = Network::default().build(Plan::new(Problem::square(8, 1, 10), 0.0625)).unwrap();
        let started_from = StartedFrom { method: "natural".into(), classifier: Some(net.clone()) };
        let saved = Head { started_from: Some(started_from), ..head() };
        let text = serde_json::to_string(&saved).unwrap();
        assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), saved, "it comes back as it was");
        let config = TrainConfig { from: Some("net.onnx".into()), ..saved.config.clone() };
        let check = |net: &Net| saved.check_network(net, &config, Path::new("last"));
        let mut same = net.clone();
        same.slots.all[0].initial = Initial::Constant(0.5);
        check(&same).unwrap();
        let mut other = net;
        let slope = |layer: &Layer| matches!(layer, Layer::Activation(Activation::LeakyRelu(_)));
        let node = other.nodes.iter_mut().find(|node| slope(&node.layer)).unwrap();
        node.layer = Layer::Activation(Activation::Tanh);
        let error = check(&other).unwrap_err().to_string();
        assert!(
            error.contains("last") && error.contains("net.onnx") && error.contains("another network"),
            "{error}"
        );
    }

    #[test]
    fn a_learning_rate_may_change_from_now_on_but_not_in_the_past() {
        let same = head();
        let at = |step| {
            let changes = vec![RateChange { step, lr: Some(0.1), generator_lr: None }];
            TrainConfig { changes, ..same.config.clone() }
        };
        same.check(&at(10), &same.data, Path::new("last")).unwrap();
        assert!(sentence(&at(9), &same.data).contains("changes"));
    }

    #[test]
    fn other_classes_and_other_images_are_refused() {
        let same = head();
        let other = TrainingData { classes: vec!["b".into(), "a".into()], ..same.data.clone() };
        assert!(
            sentence(&same.config, &other).contains("another order: class 0 is \"a\" in the model and \"b\"")
        );
        let other = TrainingData { fingerprint: "1".into(), ..same.data.clone() };
        assert!(sentence(&same.config, &other).contains("2 training images"));
    }
}

//! Model files: safetensors with PyTorch's names and layouts, so that `load_state_dict` takes them as they
//! are. The architecture stands in the metadata; where it does not (a file written by PyTorch, say), it is
//! inferred from names and shapes.

use super::layout::{Layer, ParameterLayout};
use super::{Classifier, Generator, GeneratorInput, GradientInput, ModelError, Problem};
use crate::files::{self, FileError};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Key of our metadata in the file.
const METADATA_KEY: &str = "pgn-wgpu";

/// Stands in [`Facts`] for what a file does not tell.
pub const UNKNOWN: &str = "unknown";

/// Convolutions of a classifier for the largest images.
const MOST_CONVOLUTIONS: usize = 17;

/// Facts about a model that its tensors do not tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Version of the program that wrote the file.
    pub version: String,
    /// Images and classes.
    pub problem: Problem,
    /// Width multiplier.
    pub width: f32,
    /// The data set it was trained on.
    pub dataset: String,
    /// Names of the classes, in order; empty if unknown.
    pub class_names: Vec<String>,
    /// How it was trained: `natural`, `fgm`, `pgd`, `pgn` or `unknown`.
    pub method: String,
    /// The gradient image that the generator was trained with; `log` where a file does not say.
    #[serde(default = "default_gradient_input")]
    pub gradient_input: GradientInput,
    /// Inputs that the generator does not see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<GeneratorInput>,
}

fn default_gradient_input() -> GradientInput {
    GradientInput::Log
}

/// A classifier, and perhaps a generator, with their weights in the flat layout of [`ParameterLayout`].
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What else is known.
    pub facts: Facts,
    /// The classifier's architecture.
    pub classifier: Classifier,
    /// Its live weights.
    pub weights: Vec<f32>,
    /// Their moving average, with which it is evaluated; the live weights if the file has none.
    pub average: Vec<f32>,
    /// The generator and its weights.
    pub generator: Option<(Generator, Vec<f32>)>,
}

/// Why a model file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// Not readable or writable at all.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not a safetensors file.
    #[error("{} is no whole safetensors file ({reason}); it is cut short or of another format", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The parser's words.
        reason: String,
    },
    /// Tensors missing or of another shape.
    #[error("{}: {problem}", path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What is wrong, with names and shapes.
        problem: String,
    },
    /// A weight that is not a number.
    #[error("{}: {tensor} has {value} at index {index}; the training it comes from has diverged, use an earlier file", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// NaN or infinity.
        value: f32,
        /// Index into the tensor as stored.
        index: usize,
    },
    /// Sizes that no model can have.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl Model {
    /// Writes the model.
    pub fn save(&self, path: &Path) -> Result<(), ModelFileError> {
        let mut tensors = Vec::new();
        export(&self.classifier.layout, &self.weights, "classifier", &mut tensors);
        export(&self.classifier.layout, &self.average, "classifier_ema", &mut tensors);
        if let Some((generator, weights)) = &self.generator {
            export(&generator.layout, weights, "generator", &mut tensors);
        }
        let facts = serde_json::to_string(&self.facts).expect("facts are plain values");
        let metadata = HashMap::from([(METADATA_KEY.to_string(), facts)]);
        files::write(path, &to_bytes(&tensors, metadata))?;
        Ok(())
    }

    /// Reads a model. `expected` is what the data look like; it settles what a file without metadata leaves
    /// open, and a model for other images is refused.
    pub fn load(path: &Path, expected: Option<Problem>) -> Result<Self, ModelFileError> {
        let bytes = files::read(path)?;
        let format = |e: safetensors::SafeTensorError| ModelFileError::Format {
            path: path.to_path_buf(),
            reason: e.to_string(),
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(format)?;
        let reader = Reader { path, tensors };
        let written = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY));
        let facts = match written {
            Some(text) => {
                serde_json::from_str(text).map_err(|e| reader.wrong(format!("unreadable metadata: {e}")))?
            }
            None => reader.infer(expected)?,
        };
        if let Some(expected) = expected.filter(|e| *e != facts.problem) {
            return Err(reader.wrong(format!(
                "the model is for {}, the data are {}; use the data it was trained on, or another model",
                describe(facts.problem),
                describe(expected)
            )));
        }
        let classifier = Classifier::new(facts.problem, facts.width)?;
        let weights = reader.import(&classifier.layout, "classifier")?;
        let average = match reader.has("classifier_ema.convs.0.weight") {
            true => reader.import(&classifier.layout, "classifier_ema")?,
            false => weights.clone(),
        };
        let generator = match reader.has("generator.fc1.weight") {
            true => {
                let generator = Generator::new(facts.problem, facts.width)?.without(&facts.without);
                let weights = reader.import(&generator.layout, "generator")?;
                Some((generator, weights))
            }
            false => None,
        };
        Ok(Self { facts, classifier, weights, average, generator })
    }
}

fn describe(p: Problem) -> String {
    format!("{0}x{0} images with {1} channels and {2} classes", p.side, p.channels, p.classes)
}

/// A named tensor in the file's layout.
pub type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// Appends a network's weights under `network.…` names.
pub fn export(layout: &ParameterLayout, flat: &[f32], network: &str, tensors: &mut Vec<NamedTensor>) {
    for entry in &layout.entries {
        let Layer { outputs, .. } = entry.layer;
        let weight = entry.layer.to_file_order(&flat[entry.weight..][..entry.layer.weight_len()]);
        tensors.push((file_name(&entry.layer, network, "weight"), entry.layer.file_extents(), weight));
        let bias = flat[entry.bias..][..outputs].to_vec();
        tensors.push((file_name(&entry.layer, network, "bias"), vec![outputs], bias));
    }
}

fn file_name(layer: &Layer, network: &str, part: &str) -> String {
    let (_, rest) = layer.name.split_once('.').expect("layers are named network.layer");
    format!("{network}.{rest}.{part}")
}

/// The bytes of a safetensors file.
pub fn to_bytes(tensors: &[NamedTensor], metadata: HashMap<String, String>) -> Vec<u8> {
    let views = tensors.iter().map(|(name, extents, values)| {
        let bytes = bytemuck::cast_slice(values);
        let view = TensorView::new(Dtype::F32, extents.clone(), bytes).expect("extents and values agree");
        (name.as_str(), view)
    });
    serialize(views, Some(metadata)).expect("plain tensors serialise")
}

struct Reader<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl Reader<'_> {
    fn wrong(&self, problem: String) -> ModelFileError {
        ModelFileError::Architecture { path: self.path.to_path_buf(), problem }
    }

    /// The tensor `name`; PyTorch users often save a classifier's own state, without its prefix.
    fn find(&self, name: &str) -> Option<TensorView<'_>> {
        let bare = name.strip_prefix("classifier.");
        self.tensors.tensor(name).ok().or_else(|| self.tensors.tensor(bare?).ok())
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.find(name).map(|t| t.shape().to_vec())
    }

    fn infer(&self, expected: Option<Problem>) -> Result<Facts, ModelFileError> {
        let weight = |i: usize| self.shape(&format!("classifier.convs.{i}.weight"));
        let (Some(first), Some(count)) = (weight(0), (1..).find(|&i| weight(i).is_none())) else {
            return Err(self.wrong(
                "there is no tensor classifier.convs.0.weight; a classifier's tensors are named classifier.convs.0.weight, \
                 classifier.convs.0.bias and so on"
                    .to_string(),
            ));
        };
        let last = weight(count - 1).unwrap_or_default();
        let usable = count % 2 == 1 && count <= MOST_CONVOLUTIONS;
        let ([base, channels, 3, 3], [classes, _, 3, 3], true) =
            (first[..].try_into().unwrap_or([0; 4]), last[..].try_into().unwrap_or([0; 4]), usable)
        else {
            return Err(self.wrong(format!(
                "{count} convolutions of which the first has shape {first:?} and the last {last:?} are no classifier of ours; \
                 it needs an odd number of 3x3 convolutions, at most {MOST_CONVOLUTIONS}"
            )));
        };
        let scales = (count - 1) / 2;
        let side = match expected {
            Some(problem) if problem.scales() == scales => problem.side,
            _ => 4 << scales,
        };
        let width = base as f32 / 64.0;
        let problem = Problem { side, channels, classes };
        let unknown = || UNKNOWN.to_string();
        let version = env!("CARGO_PKG_VERSION").to_string();
        Ok(Facts {
            version,
            problem,
            width,
            dataset: unknown(),
            class_names: Vec::new(),
            method: unknown(),
            gradient_input: default_gradient_input(),
            without: Vec::new(),
        })
    }

    fn import(&self, layout: &ParameterLayout, network: &str) -> Result<Vec<f32>, ModelFileError> {
        let mut flat = vec![0.0; layout.len];
        for entry in &layout.entries {
            let weight =
                self.values(&file_name(&entry.layer, network, "weight"), &entry.layer.file_extents())?;
            flat[entry.weight..][..weight.len()].copy_from_slice(&entry.layer.from_file_order(&weight));
            let bias = self.values(&file_name(&entry.layer, network, "bias"), &[entry.layer.outputs])?;
            flat[entry.bias..][..bias.len()].copy_from_slice(&bias);
        }
        Ok(flat)
    }

    fn values(&self, name: &str, extents: &[usize]) -> Result<Vec<f32>, ModelFileError> {
        let Some(tensor) = self.find(name) else {
            return Err(self.wrong(format!(
                "the tensor {name} of shape {extents:?} is missing; the file belongs to another architecture"
            )));
        };
        if tensor.dtype() != Dtype::F32 || tensor.shape() != extents {
            return Err(self.wrong(format!(
                "the tensor {name} is {:?} {:?}, expected F32 {extents:?}; it belongs to another architecture",
                tensor.dtype(),
                tensor.shape()
            )));
        }
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(index) => Err(ModelFileError::NotFinite {
                path: self.path.to_path_buf(),
                tensor: name.to_string(),
                value: values[index],
                index,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Init;

    const PROBLEM: Problem = Problem { side: 12, channels: 3, classes: 5 };

    fn model() -> Model {
        let classifier = Classifier::new(PROBLEM, 0.0625).unwrap();
        let generator = Generator::new(PROBLEM, 0.0625).unwrap().without(&[GeneratorInput::Image]);
        let (weights, average) = (classifier.initial(Init::He, 1), classifier.initial(Init::He, 2));
        let own = generator.initial(Init::He, 3);
        let (dataset, method) = ("digits".to_string(), "pgn".to_string());
        let facts = Facts {
            version: "0".into(),
            problem: PROBLEM,
            width: 0.0625,
            dataset,
            class_names: vec![],
            method,
            gradient_input: GradientInput::Log,
            without: vec![GeneratorInput::Image],
        };
        Model { facts, classifier, weights, average, generator: Some((generator, own)) }
    }

    #[test]
    fn a_model_comes_back_from_its_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        model().save(&path).unwrap();
        assert_eq!(Model::load(&path, Some(PROBLEM)).unwrap(), model());
    }

    #[test]
    fn a_file_without_our_metadata_is_understood_by_its_names_and_shapes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torch.safetensors");
        let mut tensors = Vec::new();
        export(&model().classifier.layout, &model().weights, "classifier", &mut tensors);
        for tensor in &mut tensors {
            tensor.0 = tensor.0.trim_start_matches("classifier.").to_string();
        }
        std::fs::write(&path, to_bytes(&tensors, HashMap::new())).unwrap();
        let loaded = Model::load(&path, Some(PROBLEM)).unwrap();
        assert_eq!((loaded.facts.width, loaded.weights), (0.0625, model().weights));
        assert_eq!(loaded.average, model().weights);
    }

    #[test]
    fn a_missing_tensor_a_nan_and_other_data_are_each_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.safetensors");
        let mut broken = model();
        broken.weights[0] = f32::NAN;
        broken.save(&path).unwrap();
        let error = Model::load(&path, None).unwrap_err().to_string();
        assert!(error.contains("classifier.convs.0.weight has NaN at index 0"), "{error}");
        let other = Problem { side: 32, ..PROBLEM };
        model().save(&path).unwrap();
        let error = Model::load(&path, Some(other)).unwrap_err().to_string();
        assert!(error.contains("12x12") && error.contains("32x32"), "{error}");
        let mut tensors = Vec::new();
        export(&model().classifier.layout, &model().weights, "classifier", &mut tensors);
        tensors.remove(3);
        std::fs::write(&path, to_bytes(&tensors, HashMap::new())).unwrap();
        let error = Model::load(&path, None).unwrap_err().to_string();
        assert!(error.contains("classifier.convs.1.bias of shape [8] is missing"), "{error}");
    }
}

//! Model files: safetensors with PyTorch's names and layouts, so that `load_state_dict` takes them as they
//! are. The architecture stands in the metadata; where it does not (a file written by PyTorch, say), it is
//! inferred from names and shapes.

use super::layout::{Layer, ParameterLayout};
use super::sealed;
use super::weights::Reader;
use super::{Classifier, Generator, GeneratorInput, GradientInput, ModelError, Problem};
use crate::files::{self, FileError};
use crate::integrity::Unreadable;
use crate::memory::{self, OutOfMemory};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Key of our metadata in the file.
pub(super) const METADATA_KEY: &str = "pgn-wgpu";

/// Stands in [`Facts`] for what a file does not tell.
pub const UNKNOWN: &str = "unknown";

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
    /// Fingerprint of the run that trained it, by which a model in the folder of another run is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

pub(super) fn default_gradient_input() -> GradientInput {
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
    /// What the user should know about how it was read, a sentence each.
    pub notes: Vec<String>,
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
    /// Damaged after it was written, or of another version.
    #[error("{} cannot be believed: {reason}; use another copy of it", path.display())]
    Integrity {
        /// The file.
        path: PathBuf,
        /// What its checksum says.
        reason: Unreadable,
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
    /// Too large to be written in the memory that there is.
    #[error("cannot write {}: {refused}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// What the system did not give.
        refused: OutOfMemory,
    },
}

impl Model {
    /// Writes the model.
    pub fn save(&self, path: &Path) -> Result<(), ModelFileError> {
        let no_room = |refused| ModelFileError::Memory { path: path.to_path_buf(), refused };
        let generator = self.generator.as_ref().map_or(0, |(_, weights)| weights.len());
        // They are copied into the order of the file, layer by layer.
        memory::with_room::<f32>(self.weights.len() + self.average.len() + generator).map_err(no_room)?;
        let mut tensors = Vec::new();
        export(&self.classifier.layout, &self.weights, "classifier", &mut tensors);
        export(&self.classifier.layout, &self.average, "classifier_ema", &mut tensors);
        if let Some((generator, weights)) = &self.generator {
            export(&generator.layout, weights, "generator", &mut tensors);
        }
        let bytes = sealed::file_of(&tensors, METADATA_KEY, &self.facts).map_err(no_room)?;
        files::write(path, &bytes)?;
        Ok(())
    }

    /// Reads a model. `expected` is what the data look like; it settles what a file without metadata leaves
    /// open, and a model for other images is refused.
    pub fn load(path: &Path, expected: Option<Problem>) -> Result<Self, ModelFileError> {
        let mut reader = Reader::open(path)?;
        let facts = reader.facts(expected)?;
        if let Some(expected) = expected.filter(|e| *e != facts.problem) {
            return Err(reader.wrong(format!(
                "the model is for {}, the data are {}; use the data it was trained on, or another model",
                describe(facts.problem),
                describe(expected)
            )));
        }
        let impossible = |error: ModelError| reader.wrong(error.to_string());
        let classifier = Classifier::new(facts.problem, facts.width).map_err(impossible)?;
        let generator = match reader.has("generator") {
            true => {
                Some(Generator::new(facts.problem, facts.width).map_err(impossible)?.without(&facts.without))
            }
            false => None,
        };
        let averaged = reader.has("classifier_ema");
        let mut networks = vec![("classifier", &classifier.layout)];
        networks.extend(averaged.then_some(("classifier_ema", &classifier.layout)));
        networks.extend(generator.as_ref().map(|g| ("generator", &g.layout)));
        reader.check(&networks)?;
        let weights = reader.import(&classifier.layout, "classifier")?;
        let average = match averaged {
            true => reader.import(&classifier.layout, "classifier_ema")?,
            false => weights.clone(),
        };
        let generator = match generator {
            Some(generator) => {
                let weights = reader.import(&generator.layout, "generator")?;
                Some((generator, weights))
            }
            None => None,
        };
        let notes = reader.notes();
        Ok(Self { facts, classifier, weights, average, generator, notes })
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

/// The name in files of a layer's `part`, `weight` or `bias`.
pub(super) fn file_name(layer: &Layer, network: &str, part: &str) -> String {
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
            run: None,
        };
        Model { facts, classifier, weights, average, generator: Some((generator, own)), notes: vec![] }
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

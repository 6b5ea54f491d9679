//! Model files: safetensors with PyTorch's names and layouts, so that `load_state_dict` takes them as they
//! are. The network itself stands in the metadata; where it does not (a file written by PyTorch, say), it is
//! inferred from names and shapes (`torch.rs`).

use super::container::{Container, LONGEST_HEADER};
use super::formats;
use super::sealed::{self, Unwritable};
use super::weights::Reader;
use crate::files::{self, FileError};
use crate::integrity::Unreadable;
use crate::memory;
use crate::nn::onnx::{self, OnnxError};
use crate::nn::{ModelError, Net, Network, Problem, Slots, Values};
use crate::pgn::{Generator, Recipe};
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
    /// The architecture.
    pub network: Network,
    /// Width multiplier.
    pub width: f32,
    /// The data set it was trained on.
    pub dataset: String,
    /// Names of the classes, in order; empty if unknown.
    pub class_names: Vec<String>,
    /// The name of the method that trained it, or `unknown`.
    pub method: String,
    /// How its generator is built and moves; the paper's where a file does not say.
    #[serde(flatten)]
    pub generator: Recipe,
    /// Fingerprint of the run that trained it, by which a model in the folder of another run is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The steps of that run after which its networks were these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
}

impl Facts {
    /// Of a network that another program trained.
    pub(super) fn unknown(problem: Problem, network: Network, width: f32) -> Self {
        let unknown = || UNKNOWN.to_string();
        Self {
            version: env!("CARGO_PKG_VERSION").to_string(),
            problem,
            network,
            width,
            dataset: unknown(),
            class_names: Vec::new(),
            method: unknown(),
            generator: Recipe::default(),
            run: None,
            step: None,
        }
    }

    /// What the header of a model file that this program wrote says; the rest of the file is not read.
    pub fn of_header(path: &Path) -> Option<Self> {
        let container = Container::open(path).ok()?;
        let Described { facts, .. } = sealed::facts(container.metadata.get(METADATA_KEY)?).ok()?;
        Some(facts)
    }

    /// The names of the classes in their order, which are their numbers where the model does not know any.
    pub fn classes(&self) -> Vec<String> {
        match self.class_names.is_empty() {
            true => (0..self.problem.classes).map(|class| class.to_string()).collect(),
            false => self.class_names.clone(),
        }
    }
}

/// What the metadata of a model file hold: the facts, and the network as data.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Described {
    /// See [`Facts`].
    #[serde(flatten)]
    pub facts: Facts,
    /// The classifier.
    pub classifier: Net,
}

/// A classifier, and perhaps a generator, with the values of their slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What else is known.
    pub facts: Facts,
    /// The classifier.
    pub classifier: Net,
    /// Its live values.
    pub live: Values,
    /// Their moving average, with which it is evaluated; the live values if the file has none.
    pub average: Values,
    /// The generator and its values.
    pub generator: Option<(Generator, Values)>,
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
    /// A header that is longer than any that is read.
    #[error("{} begins with a header of {length} bytes, and no model needs more than {most}; it is damaged or of another format", path.display(), most = LONGEST_HEADER)]
    LongHeader {
        /// The file.
        path: PathBuf,
        /// Bytes of the header.
        length: u64,
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
    /// An ONNX file that is not read.
    #[error("{}: {source}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What it has.
        source: Box<OnnxError>,
    },
    /// Sizes that no model can have.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Too large to be written in the memory that there is, or to be read again.
    #[error("cannot write {}: {refused}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        refused: Unwritable,
    },
}

impl ModelFileError {
    /// Whether it has nothing to do with the images that the model is for.
    pub fn is_of_the_file_alone(&self) -> bool {
        matches!(
            self,
            Self::File(_)
                | Self::Format { .. }
                | Self::LongHeader { .. }
                | Self::Integrity { .. }
                | Self::NotFinite { .. }
        )
    }
}

impl Model {
    /// Writes the model.
    pub fn save(&self, path: &Path) -> Result<(), ModelFileError> {
        let unwritable =
            |refused: Unwritable| ModelFileError::Unwritable { path: path.to_path_buf(), refused };
        let networks =
            [Some(&self.live), Some(&self.average), self.generator.as_ref().map(|(_, values)| values)];
        let values = networks.into_iter().flatten().map(Values::len).sum();
        // They are copied into the order of the file, slot by slot.
        memory::with_room::<f32>(values).map_err(|refused| unwritable(refused.into()))?;
        let mut tensors = Vec::new();
        export(&self.classifier.slots, &self.live, "classifier", &mut tensors);
        export(&self.classifier.slots, &self.average, "classifier_ema", &mut tensors);
        if let Some((generator, values)) = &self.generator {
            export(&generator.slots, values, "generator", &mut tensors);
        }
        let described = Described { facts: self.facts.clone(), classifier: self.classifier.clone() };
        let bytes = sealed::readable_file_of(&tensors, METADATA_KEY, &described).map_err(unwritable)?;
        files::write(path, &bytes)?;
        Ok(())
    }

    /// Reads a model. `expected` is what the data look like; it settles what a file without metadata leaves
    /// open, and a model for other images is refused.
    pub fn load(path: &Path, expected: Option<Problem>) -> Result<Self, ModelFileError> {
        if formats::is_onnx(path) {
            return Self::import(path, expected);
        }
        let mut reader = Reader::open(path)?;
        let Described { facts, classifier } = reader.described(expected)?;
        if let Some(expected) = expected.filter(|e| *e != facts.problem) {
            return Err(reader.wrong(other_data(facts.problem, expected)));
        }
        let impossible = |error: ModelError| reader.wrong(error.to_string());
        classifier.check().map_err(impossible)?;
        let generator = match reader.has("generator") {
            true => {
                Some(Generator::of(facts.problem, facts.width, facts.generator.clone()).map_err(impossible)?)
            }
            false => None,
        };
        let averaged = reader.has("classifier_ema");
        let mut networks = vec![("classifier", &classifier.slots)];
        networks.extend(averaged.then_some(("classifier_ema", &classifier.slots)));
        networks.extend(generator.as_ref().map(|g| ("generator", &g.slots)));
        reader.check(&networks)?;
        let live = reader.import(&classifier.slots, "classifier")?;
        let average = match averaged {
            true => reader.import(&classifier.slots, "classifier_ema")?,
            false => live.clone(),
        };
        let generator = match generator {
            Some(generator) => {
                let values = reader.import(&generator.slots, "generator")?;
                Some((generator, values))
            }
            None => None,
        };
        let notes = reader.notes();
        Ok(Self { facts, classifier, live, average, generator, notes })
    }
}

impl Model {
    /// A classifier with these values, of which nothing else is known.
    pub fn new(classifier: Net, values: Values) -> Self {
        let facts = Facts::unknown(classifier.problem, Network::imported(), IMPORTED_WIDTH);
        Self { facts, classifier, average: values.clone(), live: values, generator: None, notes: Vec::new() }
    }

    /// Reads the classifier of an ONNX file.
    fn import(path: &Path, expected: Option<Problem>) -> Result<Self, ModelFileError> {
        let onnx::Imported { net, values, notes, .. } = onnx::read(path).map_err(|error| match error {
            OnnxError::File(error) => ModelFileError::File(error),
            other => ModelFileError::Onnx { path: path.to_path_buf(), source: Box::new(other) },
        })?;
        if let Some(expected) = expected.filter(|e| *e != net.problem) {
            let problem = other_data(net.problem, expected);
            return Err(ModelFileError::Architecture { path: path.to_path_buf(), problem });
        }
        let notes = notes.into_iter().map(|note| format!("{}: {note}", path.display())).collect();
        Ok(Self { notes, ..Self::new(net, values) })
    }
}

/// An imported network has no width multiplier; this is that of a generator which is trained against it.
pub(super) const IMPORTED_WIDTH: f32 = 0.125;

fn other_data(own: Problem, expected: Problem) -> String {
    format!(
        "the model is for {}, the data are {}; use the data it was trained on, or another model",
        describe(own),
        describe(expected)
    )
}

fn describe(p: Problem) -> String {
    format!("{}x{} images with {} channels and {} classes", p.height, p.width, p.channels, p.classes)
}

/// A named tensor in the file's layout.
pub type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// Appends a network's weights and buffers under `network.…` names.
pub fn export(slots: &Slots, values: &Values, network: &str, tensors: &mut Vec<NamedTensor>) {
    for (index, slot) in slots.all.iter().enumerate() {
        let own = slot.to_file_order(slots.get(values, index));
        tensors.push((format!("{network}.{}", slot.name), slot.file_extents(), own));
    }
}

/// A tensor of any type in the file's layout: its name, its type, its extents and its bytes.
pub type TypedTensor<'a> = (&'a str, Dtype, &'a [usize], &'a [u8]);

/// The same tensors with their type.
pub(super) fn typed(tensors: &[NamedTensor]) -> Vec<TypedTensor<'_>> {
    tensors
        .iter()
        .map(|(name, extents, values)| {
            (name.as_str(), Dtype::F32, extents.as_slice(), bytemuck::cast_slice::<f32, u8>(values))
        })
        .collect()
}

/// The bytes of a safetensors file.
pub fn to_bytes(tensors: &[NamedTensor], metadata: HashMap<String, String>) -> Vec<u8> {
    typed_to_bytes(&typed(tensors), metadata)
}

/// The bytes of a safetensors file of tensors of any types.
pub(super) fn typed_to_bytes(tensors: &[TypedTensor<'_>], metadata: HashMap<String, String>) -> Vec<u8> {
    let views = tensors.iter().map(|&(name, dtype, extents, bytes)| {
        (name, TensorView::new(dtype, extents.to_vec(), bytes).expect("extents and values agree"))
    });
    serialize(views, Some(metadata)).expect("plain tensors serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::Norm;
    use crate::nn::{Init, Plan};
    use crate::pgn::{GeneratorBall, GeneratorInput, GeneratorLoss};

    const PROBLEM: Problem = Problem { height: 12, width: 12, channels: 3, classes: 5 };

    fn model() -> Model {
        model_of(&Recipe::default())
    }

    fn model_of(recipe: &Recipe) -> Model {
        let plan = Plan::new(PROBLEM, 0.0625);
        let classifier = Network::default().build(plan).unwrap();
        let recipe = Recipe { without: vec![GeneratorInput::Image], ..recipe.clone() };
        let generator = Generator::of(PROBLEM, 0.0625, recipe.clone()).unwrap();
        let [live, average] = [1, 2].map(|seed| classifier.initial(Init::He, seed));
        let own = generator.initial(Init::He, 3);
        let (dataset, method) = ("digits".to_string(), "pgn".to_string());
        let facts = Facts {
            version: "0".into(),
            problem: PROBLEM,
            network: Network::default(),
            width: 0.0625,
            dataset,
            class_names: vec![],
            method,
            generator: recipe,
            run: None,
            step: Some(29),
        };
        Model { facts, classifier, live, average, generator: Some((generator, own)), notes: vec![] }
    }

    #[test]
    fn a_model_comes_back_from_its_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        model().save(&path).unwrap();
        assert_eq!(Model::load(&path, Some(PROBLEM)).unwrap(), model());
        assert_eq!(Facts::of_header(&path), Some(model().facts));
    }

    #[test]
    fn a_model_that_could_not_be_read_again_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut model = model();
        model.facts.class_names = vec!["x".repeat(LONGEST_HEADER as usize)];
        let error = model.save(&path).unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains("its header would have "), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_generator_of_any_recipe_comes_back_with_all_members_and_statistics() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let variant = Recipe {
            gradient_of: GeneratorLoss::Dlr,
            rounds: 2,
            ball: Some(GeneratorBall { norm: Norm::Linf, epsilon: 0.03 }),
            noise: true,
            members: 3,
            width: Some(0.03125),
            depth: 1,
            batch_norm: true,
            ..Recipe::default()
        };
        let mut model = model_of(&variant);
        let values = &mut model.generator.as_mut().unwrap().1;
        values.buffers.iter_mut().zip(1..).for_each(|(value, i)| *value += i as f32);
        // Files hold no gaps between slots.
        model.save(&path).unwrap();
        let loaded = Model::load(&path, Some(PROBLEM)).unwrap();
        assert_eq!(loaded.facts, model.facts);
        let ((own, values), (other, theirs)) = (model.generator.unwrap(), loaded.generator.unwrap());
        assert_eq!(own, other);
        for (index, slot) in own.slots.all.iter().enumerate() {
            assert_eq!(own.slots.get(&values, index), other.slots.get(&theirs, index), "{}", slot.name);
        }
        assert!(own.slots.all.iter().any(|slot| slot.name == "2.deep1_bn.running_var"));
    }

    #[test]
    fn a_file_without_our_metadata_is_understood_by_its_names_and_shapes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torch.safetensors");
        let mut tensors = Vec::new();
        export(&model().classifier.slots, &model().live, "classifier", &mut tensors);
        for tensor in &mut tensors {
            tensor.0 = tensor.0.trim_start_matches("classifier.").to_string();
        }
        std::fs::write(&path, to_bytes(&tensors, HashMap::new())).unwrap();
        let loaded = Model::load(&path, Some(PROBLEM)).unwrap();
        assert_eq!((loaded.facts.width, loaded.live), (0.0625, model().live));
        assert_eq!(loaded.average, model().live);
    }

    #[test]
    fn a_missing_tensor_a_nan_and_other_data_are_each_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.safetensors");
        let mut broken = model();
        broken.live.weights[0] = f32::NAN;
        broken.save(&path).unwrap();
        let error = Model::load(&path, None).unwrap_err().to_string();
        assert!(error.contains("classifier.convs.0.weight has NaN at index 0"), "{error}");
        let other = Problem { height: 32, width: 32, ..PROBLEM };
        model().save(&path).unwrap();
        let error = Model::load(&path, Some(other)).unwrap_err().to_string();
        assert!(error.contains("12x12") && error.contains("32x32"), "{error}");
        let mut tensors = Vec::new();
        export(&model().classifier.slots, &model().live, "classifier", &mut tensors);
        tensors.remove(3);
        std::fs::write(&path, to_bytes(&tensors, HashMap::new())).unwrap();
        let error = Model::load(&path, None).unwrap_err().to_string();
        assert!(error.contains("classifier.convs.1.bias of shape [8] is missing"), "{error}");
    }
}

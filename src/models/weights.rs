//! Reads the tensors of a model file into the flat values of a network's [`Slots`].
//!
//! All names and shapes are judged before the first tensor is read. Every tensor of the file is taken or the file is
//! refused: a network without one of its layers would be another network. Numbers of 16 and 64 bits become 32 bits; where
//! that rounds, a note says so.

use super::container::{Container, shown};
use super::file::{Described, Facts, IMPORTED_WIDTH, METADATA_KEY, ModelFileError};
use super::names;
use super::sealed::{self, Origin};
use super::torch::{self, Shapes};
use crate::integrity::Unreadable;
use crate::memory;
use crate::nn::zoo::scales;
use crate::nn::{ModelError, Network, Plan, Problem, Slots, Values};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Convolutions of a classifier for the largest images.
const MOST_CONVOLUTIONS: usize = 17;

/// The tensors of a model file.
pub(super) struct Reader<'a> {
    path: &'a Path,
    container: Container<'a>,
    origin: Origin,
    /// Which tensor has a name of ours.
    names: BTreeMap<String, usize>,
    /// What the names say that the network is, for messages.
    family: &'static str,
    /// What the user should know of the network.
    about: Vec<String>,
    rounded: Rounded,
}

/// What a file is taken for whose names are those of our default network.
const ALL_CONVOLUTIONAL: &str =
    "an all-convolutional network, which has convolutions with biases and nothing else";

/// What became of numbers of 64 bits.
#[derive(Default)]
struct Rounded {
    values: usize,
    of: usize,
}

impl<'a> Reader<'a> {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &'a Path) -> Result<Self, ModelFileError> {
        let mut container = Container::open(path)?;
        let origin = container.origin(METADATA_KEY)?;
        let mut names = names::by_name(&container.tensors)
            .map_err(|problem| ModelFileError::Architecture { path: path.to_path_buf(), problem })?;
        let mut about = Vec::new();
        if origin == Origin::Foreign {
            names::rename_head(&mut names);
            names::rename_normaliser(&mut names, &mut container.tensors);
            if names::drop_unused_stage(&mut names) {
                about.push(format!(
                    "{}: sub_block1 is left out, with which networks of TRADES do not compute",
                    path.display()
                ));
            }
        }
        Ok(Self {
            path,
            container,
            origin,
            names,
            family: ALL_CONVOLUTIONAL,
            about,
            rounded: Rounded::default(),
        })
    }

    /// What the file says about itself, or what its names and shapes tell.
    pub(super) fn described(&mut self, expected: Option<Problem>) -> Result<Described, ModelFileError> {
        match &self.origin {
            Origin::Ours(Some(entry)) => {
                let described: Described =
                    sealed::facts(entry).map_err(|reason| not_believed(self.path, reason))?;
                match described.classifier.problem == described.facts.problem {
                    true => Ok(described),
                    false => {
                        Err(self
                            .wrong("the metadata state two kinds of images; use another copy".to_string()))
                    }
                }
            }
            Origin::Ours(None) | Origin::Foreign => self.infer(expected),
        }
    }

    pub(super) fn wrong(&self, problem: String) -> ModelFileError {
        ModelFileError::Architecture { path: self.path.to_path_buf(), problem }
    }

    /// Whether the file has a tensor of `network`.
    pub(super) fn has(&self, network: &str) -> bool {
        self.names.keys().any(|name| name.strip_prefix(network).is_some_and(|rest| rest.starts_with('.')))
    }

    /// What the user should know about the weights that were read.
    pub(super) fn notes(&self) -> Vec<String> {
        let Rounded { values, of } = self.rounded;
        let note = format!(
            "{}: {values} of {of} weights of 64 bits were rounded to 32 bits, with which everything here is computed",
            self.path.display()
        );
        let mut notes = self.about.clone();
        notes.extend((values > 0).then_some(note));
        if self.origin == Origin::Foreign {
            notes.push(format!(
                "{} is unverified: it has no checksum, as files of other programs and exported ones, so damage to it cannot be seen",
                self.path.display()
            ));
        }
        notes
    }

    fn find(&self, name: &str) -> Option<&TensorInfo> {
        self.names.get(name).map(|&index| &self.container.tensors[index].1)
    }

    /// The network that the names and shapes belong to.
    fn infer(&mut self, expected: Option<Problem>) -> Result<Described, ModelFileError> {
        let tensors = &self.container.tensors;
        let shapes = self.names.iter().filter_map(|(name, &index)| {
            Some((name.strip_prefix("classifier.")?, tensors[index].1.shape.as_slice()))
        });
        let Some(found) = torch::infer(&Shapes::new(shapes), expected) else {
            return self.all_convolutional(expected);
        };
        let torch::Found { family, network, width, classifier, notes } =
            found.map_err(|problem| self.wrong(problem))?;
        self.family = family;
        self.about.extend(notes.iter().map(|note| format!("{}: {note}", self.path.display())));
        let width = width.unwrap_or(IMPORTED_WIDTH);
        Ok(Described { facts: Facts::unknown(classifier.problem, network, width), classifier })
    }

    /// The all-convolutional network that the names and shapes belong to.
    fn all_convolutional(&self, expected: Option<Problem>) -> Result<Described, ModelFileError> {
        let weight =
            |i: usize| self.find(&format!("classifier.convs.{i}.weight")).map(|info| info.shape.clone());
        let (Some(first), Some(count)) = (weight(0), (1..).find(|&i| weight(i).is_none())) else {
            let mut found: Vec<String> =
                self.container.tensors.iter().take(3).map(|(name, _)| shown(name)).collect();
            if self.container.tensors.len() > 3 {
                found.push("…".to_string());
            }
            let found = if found.is_empty() { "none".to_string() } else { found.join(", ") };
            return Err(self.wrong(format!(
                "the names of its tensors are those of no network that is known here: an all-convolutional one \
                 (classifier.convs.0.weight and so on), a residual one of pytorch-cifar or torchvision (layer1.0.conv1.weight), \
                 a wide one of TRADES or RobustBench (block1.layer.0.conv1.weight) or a VGG (features.0.weight), with or without `module.`, `_orig_mod.` or \
                 `model.`; export other networks to ONNX; found were: {found}"
            )));
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
        let stages = (count - 1) / 2;
        let width = base as f32 / 64.0;
        let problem = match expected {
            Some(problem) if scales(problem.height.min(problem.width)) == stages => {
                Problem { channels, classes, ..problem }
            }
            _ => Problem::square(4 << stages, channels, classes),
        };
        let network = Network::default();
        let identity = torch::identity(problem.channels);
        let normalisation = self.names.contains_key(names::NORMALISER[0]).then_some(&identity);
        let classifier = network
            .build(Plan { problem, width, normalisation })
            .map_err(|error: ModelError| self.wrong(error.to_string()))?;
        Ok(Described { facts: Facts::unknown(problem, network, width), classifier })
    }

    /// Refuses the file unless its tensors are those of `networks` and no others.
    pub(super) fn check(&self, networks: &[(&str, &Slots)]) -> Result<(), ModelFileError> {
        let mut taken = BTreeSet::new();
        for (network, slots) in networks {
            for slot in &slots.all {
                let name = format!("{network}.{}", slot.name);
                self.check_tensor(&name, &slot.file_extents())?;
                taken.insert(name);
            }
        }
        let unused = self.names.iter().filter(|(name, _)| !taken.contains(*name));
        let unused: Vec<_> = unused.map(|(_, &index)| &self.container.tensors[index]).collect();
        if unused.is_empty() { Ok(()) } else { Err(self.wrong(names::refusal(&unused, self.family))) }
    }

    fn check_tensor(&self, name: &str, extents: &[usize]) -> Result<(), ModelFileError> {
        let Some(info) = self.find(name) else {
            return Err(self.wrong(format!(
                "the tensor {name} of shape {extents:?} is missing; the file belongs to another architecture"
            )));
        };
        if info.shape != extents {
            let found = if info.shape.len() > 8 {
                format!("of {} extents", info.shape.len())
            } else {
                format!("{:?}", info.shape)
            };
            return Err(self.wrong(format!(
                "the tensor {name} is {} {found}, expected F32 {extents:?}; it belongs to another architecture",
                info.dtype
            )));
        }
        match info.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64 => Ok(()),
            other => Err(self.wrong(format!(
                "the tensor {name} is {other}, which is no type of weights here; save it as F32, F16, BF16 or F64"
            ))),
        }
    }

    /// The values of `network`; [`Reader::check`] has taken them.
    pub(super) fn import(&mut self, slots: &Slots, network: &str) -> Result<Values, ModelFileError> {
        let flat = |len| memory::zeros(len).map_err(|e| self.wrong(e.to_string()));
        let mut values = Values { weights: flat(slots.weights)?, buffers: flat(slots.buffers)? };
        for (index, slot) in slots.all.iter().enumerate() {
            let own = self.values(&format!("{network}.{}", slot.name))?;
            slots.get_mut(&mut values, index).copy_from_slice(&slot.from_file_order(&own));
        }
        Ok(values)
    }

    fn values(&mut self, name: &str) -> Result<Vec<f32>, ModelFileError> {
        let index = self.names[name];
        let bytes = self.container.bytes(index)?;
        let values = match self.container.tensors[index].1.dtype {
            Dtype::F16 => decode(&bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(&bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => self.rounded(name, &decode(&bytes, f64::from_le_bytes))?,
            _ => decode(&bytes, f32::from_le_bytes),
        };
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

    /// Rounds to f32 and counts what that changes.
    fn rounded(&mut self, name: &str, values: &[f64]) -> Result<Vec<f32>, ModelFileError> {
        let beyond = |value: f64| value.is_finite() && !(value as f32).is_finite();
        if let Some(index) = values.iter().position(|&value| beyond(value)) {
            return Err(self.wrong(format!(
                "{name} has {:e} at index {index}, more than numbers of 32 bits can be; scale the weights",
                values[index]
            )));
        }
        self.rounded.of += values.len();
        self.rounded.values += values.iter().filter(|&&v| f64::from(v as f32) != v).count();
        Ok(values.iter().map(|&value| value as f32).collect())
    }
}

/// The numbers of N bytes each.
fn decode<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| number(chunk.try_into().expect("chunks of N bytes"))).collect()
}

fn not_believed(path: &Path, reason: Unreadable) -> ModelFileError {
    ModelFileError::Integrity { path: path.to_path_buf(), reason }
}

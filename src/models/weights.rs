//! Reads the tensors of a model file into the flat layout of [`ParameterLayout`].

use super::Problem;
use super::file::{Facts, METADATA_KEY, ModelFileError, UNKNOWN, default_gradient_input, file_name};
use super::layout::ParameterLayout;
use super::sealed::{self, Origin};
use crate::integrity::Unreadable;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::Path;

/// Convolutions of a classifier for the largest images.
const MOST_CONVOLUTIONS: usize = 17;

/// The tensors of a model file.
pub(super) struct Reader<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    origin: Origin,
}

impl<'a> Reader<'a> {
    /// Reads the header of a file's `bytes`.
    pub(super) fn open(path: &'a Path, bytes: &'a [u8]) -> Result<Self, ModelFileError> {
        let format = |e: safetensors::SafeTensorError| ModelFileError::Format {
            path: path.to_path_buf(),
            reason: e.to_string(),
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(format)?;
        let origin = sealed::origin(bytes, header.metadata().as_ref(), METADATA_KEY);
        let origin = origin.map_err(|reason| not_believed(path, reason))?;
        Ok(Self { path, tensors, origin })
    }

    /// What the file says about itself, or what its names and shapes tell.
    pub(super) fn facts(&self, expected: Option<Problem>) -> Result<Facts, ModelFileError> {
        match &self.origin {
            Origin::Ours(Some(entry)) => {
                sealed::facts(entry).map_err(|reason| not_believed(self.path, reason))
            }
            Origin::Ours(None) | Origin::Foreign => self.infer(expected),
        }
    }

    pub(super) fn wrong(&self, problem: String) -> ModelFileError {
        ModelFileError::Architecture { path: self.path.to_path_buf(), problem }
    }

    /// The tensor `name`; PyTorch users often save a classifier's own state, without its prefix.
    fn find(&self, name: &str) -> Option<TensorView<'_>> {
        let bare = name.strip_prefix("classifier.");
        self.tensors.tensor(name).ok().or_else(|| self.tensors.tensor(bare?).ok())
    }

    /// Whether the file has the tensor `name`.
    pub(super) fn has(&self, name: &str) -> bool {
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

    /// The weights of `network` in the order of `layout`.
    pub(super) fn import(&self, layout: &ParameterLayout, network: &str) -> Result<Vec<f32>, ModelFileError> {
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

fn not_believed(path: &Path, reason: Unreadable) -> ModelFileError {
    ModelFileError::Integrity { path: path.to_path_buf(), reason }
}

//! Runs an attack over a set of images and verifies what came out.

use super::options::{AttackOptions, OptionError};
use super::outcome::AttackOutcome;
use crate::data::Images;
use crate::executor::{Device, ExecutionError};
use crate::models::file::Model;

/// Why an attack could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttackError {
    /// An option.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The device.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// A graph; a mistake of ours.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
    /// The attack does not suit the model.
    #[error("{0}")]
    Unsuitable(String),
}

/// An attack prepared for a model on a device.
pub struct Attacker {
    options: AttackOptions,
}

impl Attacker {
    /// Prepares `options` against the averaged weights of `model`.
    pub fn new(_device: &Device, model: &Model, options: AttackOptions) -> Result<Self, AttackError> {
        options.check(model.facts.problem)?;
        Ok(Self { options })
    }

    /// Attacks all of `images`; `progress` is told how many are done, of how many.
    pub fn run(
        &mut self,
        _images: &Images,
        _progress: &mut dyn FnMut(usize, usize),
    ) -> Result<AttackOutcome, AttackError> {
        Err(AttackError::Unsuitable(format!("{} is not ready", self.options.kind.name())))
    }
}

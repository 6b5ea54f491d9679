//! What an attack climbs: an objective over logits, given as the cotangent that goes into the backward pass.
//!
//! `∇x CE = (1 − p_y) Σ_{j≠y} q_j (∇z_j − ∇z_y)` with q the softmax over the other classes. Where only the direction
//! matters, the factor `1 − p_y`, which underflows for images the classifier is sure of, is left out.

use crate::graph::{Graph, GraphError, Tensor};
use crate::nn::Classifier;
use serde::{Deserialize, Serialize};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Which gradient of the cross-entropy an attack follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum CeForm {
    /// Without the factor that vanishes for confident images
    SaturationFree,
    /// As it stands, with a floor under its norm
    Plain,
}

impl CeForm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::SaturationFree, Self::Plain];

    /// As on the command line.
    pub fn flag(self) -> &'static str {
        match self {
            Self::SaturationFree => "saturation-free",
            Self::Plain => "plain",
        }
    }
}

/// Takes a class out of a softmax or a maximum.
pub const EXCLUDED: f32 = -1e9;

/// The gradient by `images` that an attack on `labels` follows: `[n, height, width, channels]`.
pub fn gradient(
    graph: &mut Graph,
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    form: CeForm,
) -> Result {
    let logits = classifier.logits(graph, images)?;
    match form {
        CeForm::Plain => {
            let loss = graph.cross_entropy(logits, labels)?;
            let one = graph.constant(1.0, &[1])?;
            Ok(graph.gradient(loss, one, &[images])?[0])
        }
        CeForm::SaturationFree => {
            let cotangent = saturation_free(graph, logits, labels)?;
            Ok(graph.gradient(logits, cotangent, &[images])?[0])
        }
    }
}

/// The cotangent of the saturation-free form: the softmax over the other classes, −1 at the label.
fn saturation_free(graph: &mut Graph, logits: Tensor, labels: Tensor) -> Result {
    let classes = graph.shape(logits).columns();
    let one_hot = graph.one_hot(labels, classes);
    let excluded = graph.affine(one_hot, EXCLUDED, 0.0);
    let others = graph.add(logits, excluded)?;
    let q = graph.softmax(others);
    graph.subtract(q, one_hot)
}

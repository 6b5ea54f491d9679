//! What an attack climbs: an objective over logits, given as the cotangent that goes into the backward pass.
//!
//! `∇x CE = (1 − p_y) Σ_{j≠y} q_j (∇z_j − ∇z_y)` with q the softmax over the other classes. Where only the direction
//! matters, the factor `1 − p_y`, which underflows for images the classifier is sure of, is left out.

use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};
use crate::nn::Classifier;
use serde::{Deserialize, Serialize};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// Which gradient of the cross-entropy an attack follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
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

/// Takes a class out of a softmax or a maximum: far below every logit that attacks compute with.
pub const EXCLUDED: f32 = -1e30;

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

/// What an attack within a ball raises, image by image, over logits z with z₁ ≥ z₂ ≥ … (Croce and Hein 2020).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The cross-entropy of the image's class.
    CrossEntropy,
    /// `−(z_y − max_{i≠y} z_i) / (z₁ − z₃ + 1e-12)`, for 3 classes or more.
    Dlr,
    /// `−(z_y − z_t) / (z₁ − ½ (z₃ + z₄) + 1e-12)`, t the class that is aimed at, for 4 classes or more.
    TargetedDlr,
    /// `−(z_y − max_{i≠y} z_i)`.
    Margin,
}

/// Keeps the denominators of DLR away from 0.
const DLR_FLOOR: f32 = 1e-12;

impl Objective {
    /// Whether it aims at a class.
    pub fn is_targeted(self) -> bool {
        self == Self::TargetedDlr
    }

    /// The fewest classes for which it is defined.
    pub fn classes(self) -> usize {
        match self {
            Self::CrossEntropy | Self::Margin => 2,
            Self::Dlr => 3,
            Self::TargetedDlr => 4,
        }
    }

    /// Its value for each image, `[n, 1]`; `aim` is the class that is aimed at, `[n, 1]`.
    pub fn value(self, graph: &mut Graph, logits: Tensor, labels: Tensor, aim: Tensor) -> Result {
        if self == Self::CrossEntropy {
            return graph.cross_entropy(logits, labels);
        }
        let classes = graph.shape(logits).columns();
        let own = graph.one_hot(labels, classes);
        let rival = match self {
            Self::TargetedDlr => graph.one_hot(aim, classes),
            _ => largest(graph, logits, &[own])?,
        };
        let feed = graph.subtract(rival, own)?;
        let lead = value_of(graph, logits, feed)?;
        let sorted = |graph: &mut Graph, count: usize| -> Result<Vec<Tensor>> {
            let mut all: Vec<Tensor> = Vec::new();
            for _ in 0..count {
                let next = largest(graph, logits, &all)?;
                all.push(next);
            }
            Ok(all)
        };
        let spread = match self {
            Self::Dlr => {
                let z = sorted(graph, 3)?;
                graph.subtract(z[0], z[2])?
            }
            Self::TargetedDlr => {
                let z = sorted(graph, 4)?;
                let both = graph.add(z[2], z[3])?;
                let mean = graph.affine(both, 0.5, 0.0);
                graph.subtract(z[0], mean)?
            }
            _ => return Ok(lead),
        };
        let spread = value_of(graph, logits, spread)?;
        let spread = graph.affine(spread, 1.0, DLR_FLOOR);
        graph.binary(Binary::Divide, lead, spread)
    }

    /// Its gradient by the images `x` whose logits and value are given. Of the cross-entropy it is the saturation-free form,
    /// which has the same direction.
    pub fn gradient(
        self,
        graph: &mut Graph,
        (logits, value): (Tensor, Tensor),
        labels: Tensor,
        x: Tensor,
    ) -> Result {
        if self == Self::CrossEntropy {
            let cotangent = saturation_free(graph, logits, labels)?;
            return Ok(graph.gradient(logits, cotangent, &[x])?[0]);
        }
        let one = graph.constant(1.0, &[1])?;
        let ones = graph.broadcast(one, &graph.shape(value).clone())?;
        Ok(graph.gradient(value, ones, &[x])?[0])
    }
}

/// One-hot of the largest logit that none of `out` (one-hot too) takes out.
fn largest(graph: &mut Graph, logits: Tensor, out: &[Tensor]) -> Result {
    let mut left = logits;
    for out in out {
        let excluded = graph.affine(*out, EXCLUDED, 0.0);
        left = graph.add(left, excluded)?;
    }
    let class = graph.arg_max(left);
    let classes = graph.shape(logits).columns();
    Ok(graph.one_hot(class, classes))
}

/// The sum of logits with these weights, `[n, 1]`.
pub fn value_of(graph: &mut Graph, logits: Tensor, weights: Tensor) -> Result {
    let weighted = graph.multiply(logits, weights)?;
    Ok(graph.sum_columns(weighted))
}

/// How far a logit must lead, in units of the largest absolute one, for a success that does not depend on rounding: about what
/// different kernels and programs make of the same logits.
const SURE: f32 = 3e-6;

/// 1 for images on which an attack has succeeded, whoever computes the logits, `[n, 1]`. A minimum-norm attack ends
/// so near the boundary that rounding decides on which side an image is.
pub fn reached_surely(graph: &mut Graph, logits: Tensor, labels: Tensor, aim: Option<Tensor>) -> Result {
    let absolute = graph.unary(Unary::Abs, logits);
    let size = graph.max_columns(absolute)?;
    // Against the attack: for the image's class, or against the one that it aims at.
    let lead = graph.affine(size, if aim.is_some() { -SURE } else { SURE }, 0.0);
    let classes = graph.shape(logits).columns();
    let one_hot = graph.one_hot(aim.unwrap_or(labels), classes);
    let handicap = graph.multiply(one_hot, lead)?;
    let judged = graph.add(logits, handicap)?;
    reached(graph, judged, labels, aim)
}

/// 1 for images on which an attack has succeeded, `[n, 1]`: the largest logit is that of the class that it aims at, or,
/// where it aims at none, not that of the image's class.
pub fn reached(graph: &mut Graph, logits: Tensor, labels: Tensor, aim: Option<Tensor>) -> Result {
    let prediction = graph.arg_max(logits);
    match aim {
        Some(aim) => graph.binary(Binary::Equal, prediction, aim),
        None => {
            let same = graph.binary(Binary::Equal, prediction, labels)?;
            Ok(graph.affine(same, -1.0, 1.0))
        }
    }
}

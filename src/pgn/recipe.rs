//! How a generator is built and how it moves: the paper's, and variants of it. The recipe lies in the model file, so that the
//! generator does as an attack what it did in training.
//!
//! Every part of it is a switch with a reason:
//!
//! | part | the paper's | reason for another |
//! | --- | --- | --- |
//! | `rounds` | 1 | PGD is stronger than FGM because it looks at the gradient again; so can the generator |
//! | `ball` | none, length has a price | training for a stated radius, as the other defenses do, needs no search for c_L |
//! | `gradient_of` | cross-entropy | its gradient vanishes where the classifier is sure; that of DLR does not |
//! | `noise` | none | one answer per image can be learned by heart; a drawn one cannot |
//! | `members` | 1 | a classifier may overfit to one opponent |
//! | `width`, `depth` | the classifier's, 0 | a larger generator may attack better |
//! | `batch_norm` | none | it lets deep generators learn faster |

use crate::graph::{Graph, GraphError, Tensor};
use crate::threat::Norm;
use crate::threat::objective::Objective;
use serde::{Deserialize, Serialize};

/// Which reading of the gradient image the generator sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum GradientInput {
    /// Minus ten times the gradient of the loss; for cross-entropy, ten times that of the log-probability of the true class
    #[default]
    Log,
    /// Divided by its L2 norm, times the root of the number of values
    Rms,
    /// Divided by its L2 norm
    L2,
    /// The gradient of the probability, as the paper's formula has it
    Raw,
}

/// What a generator sees, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum GeneratorInput {
    /// The classifier's gradient
    Gradient,
    /// The image
    Image,
    /// The label
    Label,
}

impl GeneratorInput {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gradient, Self::Image, Self::Label];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::Image => "image",
            Self::Label => "label",
        }
    }
}

/// A loss of the classifier: the one that a generator raises, and the one whose gradient it sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorLoss {
    /// The cross-entropy of the image's class
    #[default]
    CrossEntropy,
    /// The largest other logit minus that of the image's class
    Margin,
    /// That margin, divided by how far the largest logit is above the third (Croce and Hein 2020)
    Dlr,
}

impl GeneratorLoss {
    /// Its value per image, `[n, 1]`, from the logits and their cross-entropy `loss`.
    pub fn value(
        self,
        graph: &mut Graph,
        [logits, loss]: [Tensor; 2],
        labels: Tensor,
    ) -> Result<Tensor, GraphError> {
        match self.objective() {
            Objective::CrossEntropy => Ok(loss),
            other => other.value(graph, logits, labels, labels),
        }
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross-entropy",
            Self::Margin => "margin",
            Self::Dlr => "dlr",
        }
    }

    /// The fewest classes for which it is defined.
    pub fn classes(self) -> usize {
        self.objective().classes()
    }

    fn objective(self) -> Objective {
        match self {
            Self::CrossEntropy => Objective::CrossEntropy,
            Self::Margin => Objective::Margin,
            Self::Dlr => Objective::Dlr,
        }
    }
}

/// The ball whose radius every perturbation has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorBall {
    /// Its norm.
    pub norm: Norm,
    /// Its radius, pixels being in [0, 1].
    pub epsilon: f32,
}

/// How a generator is built and moves. The default is the paper's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    /// What it sees of the gradient.
    pub gradient_input: GradientInput,
    /// Inputs that it does not see (Fig. 8): zeros take their place, so that its layers stay what they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<GeneratorInput>,
    /// The loss whose gradient it sees.
    #[serde(rename = "generator_gradient_of", skip_serializing_if = "is_usual")]
    pub gradient_of: GeneratorLoss,
    /// How often it is applied, each time with the gradient at the image that it has made.
    #[serde(rename = "generator_rounds", skip_serializing_if = "is_one")]
    pub rounds: u32,
    /// Where its perturbations end; none: at equation 5, whatever their length.
    #[serde(rename = "generator_ball", skip_serializing_if = "Option::is_none")]
    pub ball: Option<GeneratorBall>,
    /// Whether an image of normal numbers is among its inputs.
    #[serde(rename = "generator_noise", skip_serializing_if = "is_usual")]
    pub noise: bool,
    /// How many generators there are, each with weights of its own.
    #[serde(rename = "generators", skip_serializing_if = "is_one")]
    pub members: u32,
    /// Its width multiplier; none: the classifier's.
    #[serde(rename = "generator_width", skip_serializing_if = "Option::is_none")]
    pub width: Option<f32>,
    /// Up-convolutions more than the paper's.
    #[serde(rename = "generator_depth", skip_serializing_if = "is_usual")]
    pub depth: u32,
    /// Whether hidden layers that see the image have batch normalisation.
    #[serde(rename = "generator_batch_norm", skip_serializing_if = "is_usual")]
    pub batch_norm: bool,
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            gradient_input: GradientInput::Log,
            without: Vec::new(),
            gradient_of: GeneratorLoss::CrossEntropy,
            rounds: 1,
            ball: None,
            noise: false,
            members: 1,
            width: None,
            depth: 0,
            batch_norm: false,
        }
    }
}

/// Generators that share a batch at most.
pub const MOST_MEMBERS: u32 = 8;
/// Rounds at most; every one costs a gradient of the classifier.
pub const MOST_ROUNDS: u32 = 20;
/// Additional up-convolutions at most.
pub const MOST_DEPTH: u32 = 16;

impl Recipe {
    /// Whether it is the paper's, whatever the generator sees (the ablations of Figs. 7 and 8).
    pub fn is_the_papers(&self) -> bool {
        let Self { gradient_input, without, .. } = self.clone();
        *self == Self { gradient_input, without, ..Self::default() }
    }

    /// Whether its numbers are in their ranges, which a file may say otherwise.
    pub fn is_possible(&self) -> bool {
        (1..=MOST_ROUNDS).contains(&self.rounds)
            && (1..=MOST_MEMBERS).contains(&self.members)
            && self.depth <= MOST_DEPTH
            && self.ball.is_none_or(|ball| ball.epsilon.is_finite() && ball.epsilon >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_recipe_adds_no_key_to_a_file_and_a_file_without_keys_is_the_papers() {
        let text = serde_json::to_string(&Recipe::default()).unwrap();
        assert_eq!(text, r#"{"gradient_input":"log"}"#);
        assert_eq!(serde_json::from_str::<Recipe>("{}").unwrap(), Recipe::default());
    }

    #[test]
    fn every_part_of_a_recipe_comes_back_from_its_text() {
        let recipe = Recipe {
            gradient_input: GradientInput::Rms,
            without: vec![GeneratorInput::Label],
            gradient_of: GeneratorLoss::Dlr,
            rounds: 3,
            ball: Some(GeneratorBall { norm: Norm::Linf, epsilon: 0.03 }),
            noise: true,
            members: 2,
            width: Some(0.5),
            depth: 2,
            batch_norm: true,
        };
        let text = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
        assert!(recipe.is_possible());
        assert!(!Recipe { members: 0, ..recipe }.is_possible());
    }
}

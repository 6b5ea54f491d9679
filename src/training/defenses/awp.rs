//! Adversarial weight perturbation (AWP; Wu, Xia and Wang 2020), on top of any defense: before the gradient is taken,
//! every kernel and matrix moves up the loss by a share γ of its own length, `v = γ ‖w‖ / ‖g‖ · g`. The gradient at `w + v`
//! is applied to `w`. Biases and normalisations stay, as in the authors' code, and so do images: the attack is made on `w`.
//!
//! Three ways were weighed.
//! - A second network whose weights are a state, as in the authors' code. It moves by a step of SGD, the difference is
//!   scaled and added to the weights, and it is subtracted again after the optimiser's step. That needs states for a copy,
//!   and what rounding loses in adding and subtracting stays in the weights.
//! - Two turns: in the first, all parts of a batch add up `g`, then `w + v` is written into a state, in the second the parts
//!   learn. Attacks that are part of a step's graph are made twice.
//! - One graph in which `w + v` are tensors like any other. Nothing is kept from step to step, so optimisers, moving
//!   averages and checkpoints are as without it, and the weights themselves never move up.
//!
//! A whole batch goes the last way, which is the cheapest. Parts of a batch would each move the weights in a direction of
//! their own there, so a batch that the adapter cannot hold goes the second way.
//!
//! This differs from the authors' code (`csdongxian/AWP`, a7acf5d) in these places:
//! - There, TRADES is trained without it before the tenth epoch (`--awp-warmup 10`), and training against PGD on CIFAR-10 has it
//!   from the first step. Here `--awp-warm-up` says for how many epochs the classifier learns without it: none, but for the nine
//!   of TRADES with `--preset paper`. γ is an input of every step, 0 until then.
//! - There, weight decay acts on `w + v`, because it is the optimiser's; here on `w`.
//! - There, TRADES passes clean images through the network once more, which moves running statistics once more. Here statistics
//!   learn from each pass of the second evaluation once, and from none of the first.
//! - There, the attack of training against PGD starts anywhere in the ball, and runs in training mode after the first batch of
//!   an epoch, so its passes move running statistics. Here `--random-start` and `--attack-mode train` are options, and no attack
//!   moves statistics.

use crate::graph::{Graph, GraphError, Tensor, Term};
use crate::nn::{Slots, States};
use crate::training::optimiser::{self, Role};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// γ on training against an attack (the authors' code, AT-AWP), and for defenses for which it has none, MART among them.
pub const ON_ATTACKED: f32 = 0.01;
/// γ on TRADES (the authors' code).
pub const ON_TRADES: f32 = 0.005;

/// Epochs before γ on TRADES (the authors' code counts from 1 and begins with the tenth).
pub const WARM_UP_OF_TRADES: u32 = 9;

/// The input of every step of the classifier that has γ, `[1]`.
pub const GAMMA: &str = "awp.gamma";

/// The classifier's state of moved weights.
const CLIMBED: &str = "climbed";

/// The least squared length of a gradient that gives a direction.
const SMALLEST_NORM2: f32 = 1e-36;

/// How far weights move up, as a share of their length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gamma {
    /// As far as is usual with the run's defense.
    Usual,
    /// So far; 0 is not at all.
    Of(f32),
}

/// How [`Gamma::Usual`] is written.
const USUAL: &str = "usual";
/// What else it can be.
pub const RANGE: &str = "a number from 0 to 1, or \"usual\"";

impl FromStr for Gamma {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == USUAL {
            return Ok(Self::Usual);
        }
        let number = text.parse().map(Self::Of).ok();
        number.filter(|gamma| gamma.is_possible()).ok_or_else(|| format!("it must be {RANGE}"))
    }
}

impl fmt::Display for Gamma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => f.write_str(USUAL),
            Self::Of(gamma) => write!(f, "{gamma}"),
        }
    }
}

impl Serialize for Gamma {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Usual => serializer.serialize_str(USUAL),
            Self::Of(gamma) => gamma.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Gamma {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f32),
            Text(String),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Number(gamma)) => Ok(Self::Of(gamma)),
            Ok(Written::Text(text)) => text.parse().map_err(serde::de::Error::custom),
            Err(_) => Err(serde::de::Error::custom(format!("it must be {RANGE}"))),
        }
    }
}

impl Gamma {
    /// Whether weights can move so far.
    pub fn is_possible(self) -> bool {
        match self {
            Self::Usual => true,
            Self::Of(gamma) => (0.0..=1.0).contains(&gamma),
        }
    }

    /// The number, `usual` being that of the defense; none if nothing moves.
    pub fn value(self, usual: f32) -> Option<f32> {
        let gamma = match self {
            Self::Usual => usual,
            Self::Of(gamma) => gamma,
        };
        (gamma > 0.0).then_some(gamma)
    }
}

/// The slots of `states` with each kernel and matrix `w` at `w + γ ‖w‖ / ‖g‖ · g`, γ being the input [`GAMMA`]. `gradients` are
/// those of [`States::learned`]. No gradient flows from the result to `w` or `g`.
pub fn climbed(
    graph: &mut Graph,
    slots: &Slots,
    states: &States,
    gradients: &[Tensor],
) -> Result<States, GraphError> {
    let gamma = graph.input(GAMMA, &[1])?;
    let mut weights = states.learned.clone();
    let learned = slots.all.iter().filter(|slot| slot.is_learned());
    for (slot, (weight, &gradient)) in learned.zip(weights.iter_mut().zip(gradients)) {
        if !slot.is_kernel() {
            continue;
        }
        let moved = graph.formula(|f| {
            let [w, g, gamma] = f.all([*weight, gradient, gamma]);
            w + g * (length(w) * gamma / length(g))
        })?;
        *weight = graph.detach(moved);
    }
    Ok(states.with_weights(slots, weights))
}

/// Moves the classifier's weights along the gradient that the parts of a batch have added up, into the state that
/// [`climbed_before`] reads, and clears the sum.
pub fn climb_graph(slots: &Slots) -> Result<Graph, GraphError> {
    let mut graph = Graph::new();
    let role = Role::Classifier;
    let states = slots.views(&mut graph, &role.state("parameters"), &role.state("buffers"))?;
    let sum = graph.state(&role.state("gradient"), &[slots.weights])?;
    let gradients = slots.weights_in(&mut graph, sum)?;
    let climbed = climbed(&mut graph, slots, &states, &gradients)?;
    let packed = slots.pack(&mut graph, &climbed.learned)?;
    let state = graph.state(&role.state(CLIMBED), &[slots.weights])?;
    graph.assign(state, packed)?;
    optimiser::clear(&mut graph, sum)?;
    Ok(graph)
}

/// The slots of `states` with the weights that [`climb_graph`] has left.
pub fn climbed_before(graph: &mut Graph, slots: &Slots, states: &States) -> Result<States, GraphError> {
    let state = graph.state(&Role::Classifier.state(CLIMBED), &[slots.weights])?;
    let weights = slots.weights_in(graph, state)?;
    Ok(states.with_weights(slots, weights))
}

/// The L2 norm of a whole tensor, with a floor that keeps it away from 0.
fn length(x: Term) -> Term {
    x.square().sum_rows(1).clamp(SMALLEST_NORM2, f32::MAX).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_or_the_usual_one_and_is_written_as_it_is_read() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct File {
            awp: Gamma,
        }
        for (text, gamma) in [("usual", Gamma::Usual), ("0.02", Gamma::Of(0.02)), ("0", Gamma::Of(0.0))] {
            assert_eq!(text.parse(), Ok(gamma));
            assert_eq!(gamma.to_string(), text);
            let file = File { awp: gamma };
            assert_eq!(toml::from_str::<File>(&toml::to_string(&file).unwrap()).unwrap(), file);
        }
        for text in ["", "often", "-0.1", "1.5", "nan", "inf"] {
            assert_eq!(text.parse::<Gamma>().unwrap_err(), format!("it must be {RANGE}"), "{text}");
        }
        let values = [Gamma::Usual, Gamma::Of(0.02), Gamma::Of(0.0)].map(|gamma| gamma.value(ON_TRADES));
        assert_eq!(values, [Some(0.005), Some(0.02), None]);
    }
}

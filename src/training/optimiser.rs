//! How networks learn from gradients: the states of an optimiser, and its step as a graph.
//!
//! A network's states are named `role.state`. What is kept beside the live weights is stated here once, for start,
//! checkpoint and resumption alike.

use super::config::TrainConfig;
use crate::executor::{ExecutionError, Workspace};
use crate::graph::{AdamStates, Graph, GraphError, Tensor, Unary};
use crate::nn::{Slots, States, Values};
use serde::{Deserialize, Serialize};

/// How weights follow gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Optimiser {
    /// Adam (Kingma and Ba 2015); weight decay is added to the gradient
    #[default]
    Adam,
    /// Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019)
    #[cfg_attr(feature = "command-line", value(name = "adamw"))]
    AdamW,
    /// Stochastic gradient descent with momentum
    Sgd,
}

/// Which weights decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Decayed {
    /// Every weight, as PyTorch's optimisers do by default
    #[default]
    All,
    /// Kernels and matrices, not biases and normalisations
    Kernels,
}

/// Everything that decides a step along a gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The optimiser.
    pub optimiser: Optimiser,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Whether SGD looks ahead (Nesterov).
    pub nesterov: bool,
    /// Weight decay, 0 for none.
    pub weight_decay: f32,
    /// Which weights decay.
    pub decayed: Decayed,
    /// The largest L2 norm of a gradient over all weights; longer ones are scaled down.
    pub clip_norm: Option<f32>,
}

impl Rule {
    /// Adam as it is.
    pub const ADAM: Self = Self {
        optimiser: Optimiser::Adam,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
        decayed: Decayed::All,
        clip_norm: None,
    };

    /// Names of what the host writes before each update, after the network's name: rates and decays.
    pub fn inputs(self) -> &'static [&'static str] {
        match self.optimiser {
            Optimiser::Adam => &["schedule"],
            Optimiser::AdamW => &["schedule", "rate"],
            Optimiser::Sgd => &["rate"],
        }
    }

    fn uses_mask(self) -> bool {
        self.weight_decay > 0.0 && self.decayed == Decayed::Kernels
    }
}

/// Which network of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The network that is defended. Its moving average is what is evaluated.
    Classifier,
    /// The perturbation generator. It plays as it is, without an average.
    Generator,
}

impl Role {
    /// The first part of its states' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classifier => "classifier",
            Self::Generator => "generator",
        }
    }

    /// The name of one of its states or inputs.
    pub fn state(self, part: &str) -> String {
        format!("{}.{part}", self.name())
    }

    /// How its weights follow gradients: the generator always learns by Adam.
    pub fn rule(self, config: &TrainConfig) -> Rule {
        match self {
            Self::Classifier => config.rule(),
            Self::Generator => Rule::ADAM,
        }
    }

    fn has_average(self) -> bool {
        self == Self::Classifier
    }

    /// The names of everything that is kept of a network with these slots from step to step.
    pub fn states(self, slots: &Slots, rule: Rule) -> Vec<String> {
        let mut parts = vec!["parameters", "momentum"];
        parts.extend((rule.optimiser != Optimiser::Sgd).then_some("variance"));
        parts.extend(self.has_average().then_some("average"));
        if slots.buffers > 0 {
            parts.push("buffers");
            parts.extend(self.has_average().then_some("average-buffers"));
        }
        parts.into_iter().map(|part| self.state(part)).collect()
    }

    /// All states of a network that starts at `values`, and what never changes: which weights decay.
    pub fn start(self, slots: &Slots, values: &Values, rule: Rule) -> Vec<(String, Vec<f32>)> {
        let of = |name: String| {
            let part = name.rsplit('.').next().unwrap_or_default();
            let values = match part {
                "parameters" | "average" => values.weights.clone(),
                "buffers" | "average-buffers" => values.buffers.clone(),
                _ => vec![0.0; slots.weights],
            };
            (name, values)
        };
        let mut states: Vec<_> = self.states(slots, rule).into_iter().map(of).collect();
        if rule.uses_mask() {
            states.push((self.state(MASK), mask(slots)));
        }
        states
    }

    /// The live values of a network, or those of its average.
    pub fn read(
        self,
        workspace: &Workspace,
        slots: &Slots,
        averaged: bool,
    ) -> std::result::Result<Values, ExecutionError> {
        let [weights, buffers] =
            if averaged { ["average", "average-buffers"] } else { ["parameters", "buffers"] };
        let weights = workspace.read(&self.state(weights))?;
        let buffers = match slots.buffers {
            0 => Vec::new(),
            _ => workspace.read(&self.state(buffers))?,
        };
        Ok(Values { weights, buffers })
    }
}

/// State that is 1 at weights that decay and 0 at others.
const MASK: &str = "decayed";

/// 1 at kernels and matrices, 0 at biases and normalisations.
fn mask(slots: &Slots) -> Vec<f32> {
    let mut mask = slots.zeros();
    for index in 0..slots.all.len() {
        if slots.all[index].is_kernel() {
            slots.get_mut(&mut mask, index).fill(1.0);
        }
    }
    mask.weights
}

type Result<T> = std::result::Result<T, GraphError>;

/// Sets a state to zeros.
pub fn clear(graph: &mut Graph, state: Tensor) -> Result<()> {
    let zero = graph.constant(0.0, &[1])?;
    let zeros = graph.broadcast(zero, &graph.shape(state).clone())?;
    graph.assign(state, zeros)
}

/// One step along the packed `gradient`, and what follows from it for the averages.
pub fn update(graph: &mut Graph, role: Role, rule: Rule, states: &States, gradient: Tensor) -> Result<()> {
    let gradient = match rule.clip_norm {
        Some(most) => clipped(graph, gradient, most)?,
        None => gradient,
    };
    match rule.optimiser {
        Optimiser::Sgd => sgd(graph, role, rule, states.weights, gradient)?,
        Optimiser::Adam => {
            let gradient = with_decay(graph, role, rule, states.weights, gradient)?;
            adam(graph, role, states.weights, gradient)?;
        }
        Optimiser::AdamW => {
            let rate = graph.input(&role.state("rate"), &[1])?;
            let zero = graph.constant(0.0, &[1])?;
            let zeros = graph.broadcast(zero, &graph.shape(gradient).clone())?;
            let decay = with_decay(graph, role, rule, states.weights, zeros)?;
            let step = graph.multiply(decay, rate)?;
            let smaller = graph.subtract(states.weights, step)?;
            graph.assign(states.weights, smaller)?;
            adam(graph, role, states.weights, gradient)?;
        }
    }
    match states.buffers.filter(|_| role.has_average()) {
        Some(buffers) => follow(graph, role, "average-buffers", buffers),
        None => Ok(()),
    }
}

/// `gradient`, scaled down to a norm of `most` where it is longer.
fn clipped(graph: &mut Graph, gradient: Tensor, most: f32) -> Result<Tensor> {
    let square = graph.unary(Unary::Square, gradient);
    // A packed gradient has one value per row: a sum of every row first would be a call with a row per weight.
    let norm2 = graph.sum_rows(square, 1)?;
    let norm = graph.unary(Unary::Sqrt, norm2);
    let longer = graph.unary(Unary::Clamp(most, f32::MAX), norm);
    let inverse = graph.unary(Unary::Reciprocal, longer);
    let scale = graph.affine(inverse, most, 0.0);
    graph.multiply(gradient, scale)
}

/// `gradient + weight decay · weights`, of the weights that decay.
fn with_decay(
    graph: &mut Graph,
    role: Role,
    rule: Rule,
    weights: Tensor,
    gradient: Tensor,
) -> Result<Tensor> {
    if rule.weight_decay == 0.0 {
        return Ok(gradient);
    }
    let mut decay = graph.affine(weights, rule.weight_decay, 0.0);
    if rule.uses_mask() {
        let extents = graph.shape(weights).extents().to_vec();
        let mask = graph.state(&role.state(MASK), &extents)?;
        decay = graph.multiply(decay, mask)?;
    }
    graph.add(gradient, decay)
}

fn adam(graph: &mut Graph, role: Role, parameters: Tensor, gradient: Tensor) -> Result<()> {
    let extents = graph.shape(parameters).extents().to_vec();
    let momentum = graph.state(&role.state("momentum"), &extents)?;
    let variance = graph.state(&role.state("variance"), &extents)?;
    let average = match role.has_average() {
        true => Some(graph.state(&role.state("average"), &extents)?),
        false => None,
    };
    let schedule = graph.input(&role.state("schedule"), &[2])?;
    graph.adam(AdamStates { parameters, momentum, variance, average }, gradient, schedule)
}

/// `v ← μ·v + g`, then `w ← w − rate·v`, or with Nesterov's momentum `w ← w − rate·(g + μ·v)` (as PyTorch has it).
fn sgd(graph: &mut Graph, role: Role, rule: Rule, weights: Tensor, gradient: Tensor) -> Result<()> {
    let gradient = with_decay(graph, role, rule, weights, gradient)?;
    let extents = graph.shape(weights).extents().to_vec();
    let velocity = graph.state(&role.state("momentum"), &extents)?;
    let rate = graph.input(&role.state("rate"), &[1])?;
    let kept = graph.affine(velocity, rule.momentum, 0.0);
    let new_velocity = graph.add(kept, gradient)?;
    let direction = match rule.nesterov {
        true => {
            let ahead = graph.affine(new_velocity, rule.momentum, 0.0);
            graph.add(gradient, ahead)?
        }
        false => new_velocity,
    };
    let step = graph.multiply(direction, rate)?;
    let moved = graph.subtract(weights, step)?;
    graph.assign(velocity, new_velocity)?;
    graph.assign(weights, moved)?;
    if role.has_average() { follow(graph, role, "average", weights) } else { Ok(()) }
}

/// Moves an average towards a live state: `average + (1 − decay)·(live − average)`, which leaves alone what never changes.
fn follow(graph: &mut Graph, role: Role, average: &str, live: Tensor) -> Result<()> {
    let extents = graph.shape(live).extents().to_vec();
    let average = graph.state(&role.state(average), &extents)?;
    let decay = graph.input(&role.state("decay"), &[1])?;
    let rest = graph.affine(decay, -1.0, 1.0);
    let way = graph.subtract(live, average)?;
    let step = graph.multiply(way, rest)?;
    let moved = graph.add(average, step)?;
    graph.assign(average, moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::kernels::{self, params::ElementwiseParams};
    use crate::nn::{Network, Plan, Problem};
    use crate::program::{MemoryLimits, Program};
    use crate::training::Preset;
    use crate::training::step::apply_graph;

    #[test]
    fn the_length_of_a_gradient_is_no_call_with_a_row_per_weight() {
        let net = Network::default().build(Plan::new(Problem::square(8, 1, 3), 0.0625)).unwrap();
        let config =
            TrainConfig { clip_norm: Some(1.0), ..TrainConfig::preset(Preset::Small, DatasetKind::Digits) };
        let graph = apply_graph(Role::Classifier, &config, &net.slots).unwrap();
        let program = Program::compile(&graph, MemoryLimits::NONE).unwrap();
        let by_row = program.calls.iter().filter(|call| call.kernel.name == kernels::elementwise.name);
        let rows: Vec<u32> =
            by_row.map(|call| bytemuck::pod_read_unaligned::<ElementwiseParams>(&call.params).rows).collect();
        assert!(rows.iter().all(|&rows| (rows as usize) < net.slots.weights), "{rows:?}");
    }
}

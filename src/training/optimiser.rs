//! How networks learn from gradients: the states of an optimiser, and its step as a graph.
//!
//! A network's states are named `role.state`. What is kept beside the live weights is stated here once, for start,
//! checkpoint and resumption alike.

use crate::executor::{ExecutionError, Workspace};
use crate::graph::{AdamStates, Graph, GraphError, Tensor};
use crate::nn::{Slots, States, Values};

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

    fn has_average(self) -> bool {
        self == Self::Classifier
    }

    /// The names of everything that is kept of a network with these slots from step to step.
    pub fn states(self, slots: &Slots) -> Vec<String> {
        let mut parts = vec!["parameters", "momentum", "variance"];
        parts.extend(self.has_average().then_some("average"));
        if slots.buffers > 0 {
            parts.push("buffers");
            parts.extend(self.has_average().then_some("average-buffers"));
        }
        parts.into_iter().map(|part| self.state(part)).collect()
    }

    /// All states of a network that starts at `values`.
    pub fn start(self, slots: &Slots, values: &Values) -> Vec<(String, Vec<f32>)> {
        let of = |name: String| {
            let part = name.rsplit('.').next().unwrap_or_default();
            let values = match part {
                "parameters" | "average" => values.weights.clone(),
                "buffers" | "average-buffers" => values.buffers.clone(),
                _ => vec![0.0; slots.weights],
            };
            (name, values)
        };
        self.states(slots).into_iter().map(of).collect()
    }

    /// The live values of a network, or those of its average.
    pub fn read(
        self,
        workspace: &Workspace,
        slots: &Slots,
        averaged: bool,
    ) -> Result<Values, ExecutionError> {
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

/// One step along the packed `gradient`, and what follows from it for the average.
pub fn update(graph: &mut Graph, role: Role, states: &States, gradient: Tensor) -> Result<(), GraphError> {
    let extents = graph.shape(states.weights).extents().to_vec();
    let momentum = graph.state(&role.state("momentum"), &extents)?;
    let variance = graph.state(&role.state("variance"), &extents)?;
    let average = match role.has_average() {
        true => Some(graph.state(&role.state("average"), &extents)?),
        false => None,
    };
    let schedule = graph.input(&role.state("schedule"), &[2])?;
    let parameters = states.weights;
    graph.adam(AdamStates { parameters, momentum, variance, average }, gradient, schedule)?;
    match states.buffers.filter(|_| role.has_average()) {
        Some(buffers) => follow(graph, role, buffers),
        None => Ok(()),
    }
}

/// Moves the buffers' average as Adam moves the weights': `average + (1 − decay)·(live − average)`, which leaves alone
/// what never changes.
fn follow(graph: &mut Graph, role: Role, live: Tensor) -> Result<(), GraphError> {
    let extents = graph.shape(live).extents().to_vec();
    let average = graph.state(&role.state("average-buffers"), &extents)?;
    let decay = graph.input(&role.state("decay"), &[1])?;
    let rest = graph.affine(decay, -1.0, 1.0);
    let way = graph.subtract(live, average)?;
    let step = graph.multiply(way, rest)?;
    let moved = graph.add(average, step)?;
    graph.assign(average, moved)
}

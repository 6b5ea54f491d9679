//! A network as data: nodes in order, each with a layer and the values it reads, and the slots that hold its numbers.
//!
//! Two ways were weighed: a trait that each architecture implements, and this. Data won: builders of the zoo, readers of
//! files and importers all make the same structure, one interpreter (`forward.rs`) writes every forward pass, and a model
//! file can hold the network itself.
//!
//! Value 0 is the batch of images; value `i + 1` is the result of node `i`. The last node gives the logits.

use super::layer::{Extents, Layer};
use super::slot::{FileOrder, Initial, Role, Slot, Slots, Values};
use super::{Init, ModelError, Normalisation, Problem};
use crate::random::Stream;
use serde::{Deserialize, Serialize};

/// A value of a network: the images, or the result of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(pub usize);

/// The images.
pub const IMAGES: Value = Value(0);

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// For messages and listings: `layer1.0.conv1`.
    pub name: String,
    /// What it computes.
    pub layer: Layer,
    /// What it reads: values of earlier nodes.
    pub inputs: Vec<Value>,
}

/// A classifier as data: images `[n, height, width, channels]` in [0, 1] to logits `[n, classes]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Net {
    /// Images and classes.
    pub problem: Problem,
    /// Nodes, each after those that it reads.
    pub nodes: Vec<Node>,
    /// Weights and buffers.
    pub slots: Slots,
}

/// One line of a listing of layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    /// Name of the node.
    pub name: String,
    /// Channels it reads.
    pub inputs: usize,
    /// Extents of its result for one image.
    pub result: Extents,
    /// Learned values.
    pub parameters: usize,
    /// Multiply-adds of one image.
    pub multiply_adds: u64,
}

impl Net {
    /// Whether it computes the same as another network from the same numbers; what they start with does not matter.
    pub fn computes_like(&self, other: &Self) -> bool {
        let slots = |net: &Self| -> Vec<_> {
            let all = net.slots.all.iter();
            all.map(|slot| (slot.name.clone(), slot.extents.clone(), slot.role, slot.order)).collect()
        };
        self.problem == other.problem && self.nodes == other.nodes && slots(self) == slots(other)
    }

    /// The extents of every value for one image, the images first.
    ///
    /// # Errors
    /// If a node reads a later value, a slot is missing or has other extents than the layer needs, or the last value is
    /// not one logit per class. The node is named.
    pub fn extents(&self) -> Result<Vec<Extents>, ModelError> {
        let Problem { height, width, channels, classes } = self.problem;
        let mut extents = vec![Extents::Image { height, width, channels }];
        for (index, node) in self.nodes.iter().enumerate() {
            let wrong = |problem: String| ModelError::Network { node: node.name.clone(), problem };
            let inputs: Option<Vec<Extents>> =
                node.inputs.iter().map(|value| extents.get(value.0).copied()).collect();
            let inputs = inputs.ok_or_else(|| {
                wrong(format!("reads the result of a node that does not come before node {index}"))
            })?;
            extents.push(node.layer.result(&inputs, &self.slots.all).map_err(wrong)?);
        }
        match extents[extents.len() - 1] {
            Extents::Vector { len } if len == classes => Ok(extents),
            last => Err(ModelError::Network {
                node: self.nodes.last().map_or_else(|| "the images".to_string(), |node| node.name.clone()),
                problem: format!("gives {last}, but a classifier ends with {classes} logits"),
            }),
        }
    }

    /// Refuses a network that cannot be computed; see [`Net::extents`].
    pub fn check(&self) -> Result<(), ModelError> {
        self.slots.check().map_err(|(slot, problem)| ModelError::Network { node: slot, problem })?;
        self.extents().map(drop)
    }

    /// What training starts from.
    pub fn initial(&self, init: Init, seed: u64) -> Values {
        self.slots.initial(init, seed, Stream::ClassifierInit)
    }

    /// Number of learned values.
    pub fn parameters(&self) -> usize {
        self.slots.parameters()
    }

    /// Multiply-adds of one forward pass of one image.
    pub fn multiply_adds(&self) -> u64 {
        self.layers().iter().map(|layer| layer.multiply_adds).sum()
    }

    /// The layers that have weights, in order.
    ///
    /// # Panics
    /// If the network was never checked and is impossible.
    pub fn layers(&self) -> Vec<LayerSummary> {
        let extents = self.extents().expect("networks are checked when they are made");
        let of = |(index, node): (usize, &Node)| {
            let slots: Vec<&Slot> =
                node.layer.slots().into_iter().map(|slot| &self.slots.all[slot]).collect();
            let result = extents[index + 1];
            let inputs = node.inputs.first().map_or(0, |value| extents[value.0].channels());
            let summary = LayerSummary {
                name: node.name.clone(),
                inputs,
                result,
                parameters: slots.iter().filter(|slot| slot.is_learned()).map(|slot| slot.len()).sum(),
                multiply_adds: node.layer.multiply_adds(result, &self.slots.all),
            };
            (!slots.is_empty()).then_some(summary)
        };
        self.nodes.iter().enumerate().filter_map(of).collect()
    }

    /// What the first node does to pixels, if it normalises them.
    pub fn normalisation(&self, values: &Values) -> Option<Normalisation> {
        let Layer::Normalise { mean, deviation } = self.nodes.first()?.layer else { return None };
        let [mean, deviation] = [mean, deviation].map(|slot| self.slots.get(values, slot).to_vec());
        Some(Normalisation { mean, deviation })
    }

    /// The network with `(x − mean) / deviation` in front, and its values: as a builder of the zoo makes it that is told to.
    ///
    /// # Errors
    /// If there is another number of channels.
    pub fn normalised(&self, values: &Values, by: &Normalisation) -> Result<(Self, Values), ModelError> {
        let channels = self.problem.channels;
        by.check("normalise", channels)?;
        let taken = self.slots.all.iter().any(|slot| slot.name.starts_with("normalise."));
        let module = if taken { "normalise.input" } else { "normalise" };
        let slot = |(part, numbers): (&str, &Vec<f32>)| Slot {
            name: format!("{module}.{part}"),
            extents: vec![channels],
            role: Role::Buffer,
            initial: Initial::Values(numbers.clone()),
            order: FileOrder::Same,
        };
        let own = [("mean", &by.mean), ("std", &by.deviation)].map(slot);
        let before = own.len();
        let slots: Vec<Slot> = own.into_iter().chain(self.slots.all.iter().cloned()).collect();
        let layer = Layer::Normalise { mean: 0, deviation: 1 };
        let first = Node { name: "normalise".to_string(), layer, inputs: vec![IMAGES] };
        let moved = self.nodes.iter().map(|node| {
            let inputs = node.inputs.iter().map(|value| Value(value.0 + 1)).collect();
            Node { name: node.name.clone(), layer: node.layer.with_slots_after(before), inputs }
        });
        let nodes = std::iter::once(first).chain(moved).collect();
        let net = Self { problem: self.problem, nodes, slots: Slots::new(slots) };
        net.check()?;
        let mut all = net.slots.zeros();
        for index in 0..net.slots.all.len() {
            let own = match &net.slots.all[index].initial {
                Initial::Values(numbers) if index < before => numbers.clone(),
                _ => self.slots.get(values, index - before).to_vec(),
            };
            net.slots.get_mut(&mut all, index).copy_from_slice(&own);
        }
        Ok((net, all))
    }

    /// Whether a layer computes with statistics of the batch in training, such as batch normalisation.
    pub fn has_batch_statistics(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.layer, Layer::BatchNorm { .. }))
    }
}

/// The positions of the image that `row` was flattened from; 1 for a row of something else. `extents` are those of all values.
pub(crate) fn positions_behind(nodes: &[Node], extents: &[Extents], row: Value) -> usize {
    let mut value = row;
    // Layers that leave every value in its place.
    while let Some(node) = value.0.checked_sub(1).map(|at| &nodes[at])
        && matches!(node.layer, Layer::Flatten | Layer::Activation(_) | Layer::Add)
        && let Some(&input) = node.inputs.first()
    {
        value = input;
    }
    extents[value.0].positions()
}

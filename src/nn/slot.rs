//! Slots: the named weights and buffers of a network, and the flat tensors that hold them.
//!
//! All weights of a network are one flat tensor and all buffers another, so that one call of an optimiser updates
//! everything that is learned, and averages, checkpoints and fingerprints need not know the network.
//! In memory a kernel is `[height, width, a, b]` with channels a on the fine and b on the coarse side. Files have PyTorch's
//! layouts: `[b, a, height, width]` for convolutions and transposed convolutions, `[b, a]` for linear layers.

use super::Init;
use crate::graph::{ALIGNMENT, Graph, GraphError, Tensor};
use crate::random::{Random, Stream};
use serde::{Deserialize, Serialize};

/// What a slot is to training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Learned from gradients.
    Weight,
    /// Updated by forward passes, such as running statistics.
    Buffer,
}

/// What a slot holds before the first step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initial {
    /// Normal numbers; [`Init`] and the terms of one output's sum give the standard deviation.
    Normal {
        /// Terms in the sum of one output value.
        fan_in: f32,
        /// Multiplies the standard deviation.
        gain: f32,
    },
    /// One value everywhere.
    Constant(f32),
    /// These values, in memory's order.
    Values(Vec<f32>),
}

/// How files order the values of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileOrder {
    /// As in memory.
    Same,
    /// Memory `[height, width, a, b]`, file `[b, a, height, width]`.
    Kernel,
    /// Memory `[1, 1, a, b]`, file `[b, a]`.
    Linear,
    /// Memory `[1, 1, height·width·channels, b]` of an image that was flattened channels last; files have `[b, a]` with
    /// the image flattened channels first.
    LinearOfImage {
        /// Height times width.
        positions: usize,
    },
}

/// A named weight or buffer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// PyTorch's name without the network's: `layer1.0.conv1.weight`.
    pub name: String,
    /// Extents in memory.
    pub extents: Vec<usize>,
    /// Weight or buffer.
    pub role: Role,
    /// What it starts with.
    pub initial: Initial,
    /// How files order its values.
    pub order: FileOrder,
}

/// What `DataParallel`, `torch.compile`, modules of modules and checkpoints put before names.
const WRAPPERS: [&str; 5] = ["module.", "_orig_mod.", "model.", "state_dict.", "model_state_dict."];

/// A name without what PyTorch's wrappers put in front. Model files do not keep the two apart, so no slot has a wrapped name.
pub fn unwrapped(mut name: &str) -> &str {
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = rest;
    }
    name
}

impl Slot {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.extents.iter().fold(1, |product, &extent| product.saturating_mul(extent))
    }

    /// Whether training changes it by gradients.
    pub fn is_learned(&self) -> bool {
        self.role == Role::Weight
    }

    /// Whether it is a learned kernel or matrix; biases and normalisations have one extent.
    pub fn is_kernel(&self) -> bool {
        self.is_learned() && self.extents.len() > 1
    }

    /// Whether it holds nothing; no slot of a network does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Extents in files.
    pub fn file_extents(&self) -> Vec<usize> {
        match (self.order, &self.extents[..]) {
            (FileOrder::Kernel, &[height, width, a, b]) => vec![b, a, height, width],
            (FileOrder::Linear | FileOrder::LinearOfImage { .. }, &[_, _, a, b]) => vec![b, a],
            _ => self.extents.clone(),
        }
    }

    /// The index in the file of each value in memory, in memory's order.
    fn file_indices(&self) -> impl Iterator<Item = usize> + '_ {
        let [taps, a, b] = match (self.order, &self.extents[..]) {
            (FileOrder::Same, _) => [1, 1, self.len()],
            (_, &[height, width, a, b]) => [height * width, a, b],
            _ => [1, 1, self.len()],
        };
        let order = self.order;
        (0..self.len()).map(move |at| {
            let (tap, pair) = (at / (a * b), at % (a * b));
            let (from, to) = (pair / b, pair % b);
            match order {
                FileOrder::Same => at,
                FileOrder::LinearOfImage { positions } => {
                    let channels = a / positions;
                    to * a + (from % channels) * positions + from / channels
                }
                FileOrder::Kernel | FileOrder::Linear => (to * a + from) * taps + tap,
            }
        })
    }

    /// From the file's order to memory's.
    pub fn from_file_order(&self, values: &[f32]) -> Vec<f32> {
        self.file_indices().map(|at| values[at]).collect()
    }

    /// From memory's order to the file's.
    pub fn to_file_order(&self, values: &[f32]) -> Vec<f32> {
        let mut file = vec![0.0; values.len()];
        for (at, &value) in self.file_indices().zip(values) {
            file[at] = value;
        }
        file
    }
}

/// Values that a network may have in one slot at most; more cannot be indexed on a device.
const MOST_VALUES: usize = 1 << 30;

/// The slots of a network and their places in its flat tensors. Files hold the slots; the places follow from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Slot>", into = "Vec<Slot>")]
pub struct Slots {
    /// The slots in the network's order.
    pub all: Vec<Slot>,
    /// First value of each slot in the flat tensor of its role.
    places: Vec<usize>,
    /// Values of the flat weights, with the gaps that alignment leaves.
    pub weights: usize,
    /// Values of the flat buffers, likewise; 0 for a network without buffers.
    pub buffers: usize,
}

/// The values of a network's slots: the flat weights and the flat buffers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// Flat weights.
    pub weights: Vec<f32>,
    /// Flat buffers; empty for a network without buffers.
    pub buffers: Vec<f32>,
}

impl Values {
    /// All values.
    pub fn len(&self) -> usize {
        self.weights.len() + self.buffers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<Slot>> for Slots {
    fn from(all: Vec<Slot>) -> Self {
        Self::new(all)
    }
}

impl From<Slots> for Vec<Slot> {
    fn from(slots: Slots) -> Self {
        slots.all
    }
}

impl Slots {
    /// Lays slots out one after the other, weights and buffers apart.
    pub fn new(all: Vec<Slot>) -> Self {
        let (mut weights, mut buffers) = (0, 0);
        let places = all
            .iter()
            .map(|slot| {
                let end = match slot.role {
                    Role::Weight => &mut weights,
                    Role::Buffer => &mut buffers,
                };
                let place = *end;
                *end = slot
                    .len()
                    .checked_next_multiple_of(ALIGNMENT)
                    .map_or(usize::MAX, |len| end.saturating_add(len));
                place
            })
            .collect();
        Self { all, places, weights, buffers }
    }

    /// Refuses slots that no tensor can be, and two slots of one name: the name of the slot, and what is wrong.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let mut names = std::collections::BTreeSet::new();
        for slot in &self.all {
            let wrong = |problem: String| Err((slot.name.clone(), problem));
            let values = slot.extents.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
            let dimensions = slot.extents.len();
            if !(1..=4).contains(&dimensions) || !values.is_some_and(|len| (1..=MOST_VALUES).contains(&len)) {
                return wrong(format!("has extents {:?}, which no tensor here can have", slot.extents));
            }
            let positions = match slot.order {
                FileOrder::LinearOfImage { positions } => positions,
                _ => 1,
            };
            let matrix = slot.extents.first() == Some(&1) && slot.extents.get(1) == Some(&1);
            let fits = match slot.order {
                FileOrder::Same => true,
                FileOrder::Kernel => dimensions == 4,
                FileOrder::Linear | FileOrder::LinearOfImage { .. } => {
                    dimensions == 4 && matrix && positions > 0 && slot.extents[2].is_multiple_of(positions)
                }
            };
            if !fits {
                return wrong(format!(
                    "has extents {:?}, which files cannot order as {:?}",
                    slot.extents, slot.order
                ));
            }
            if matches!(&slot.initial, Initial::Values(values) if values.len() != slot.len()) {
                return wrong("starts with more or fewer values than it has".to_string());
            }
            if !names.insert(&slot.name) {
                return wrong("is there twice".to_string());
            }
        }
        Ok(())
    }

    /// The index of each slot of a role.
    fn of(&self, role: Role) -> impl Iterator<Item = usize> + '_ {
        self.all.iter().enumerate().filter(move |(_, slot)| slot.role == role).map(|(index, _)| index)
    }

    /// Number of learned values, without gaps.
    pub fn parameters(&self) -> usize {
        self.of(Role::Weight).map(|index| self.all[index].len()).sum()
    }

    /// The values of slot `index`.
    pub fn get<'a>(&self, values: &'a Values, index: usize) -> &'a [f32] {
        let (slot, place) = (&self.all[index], self.places[index]);
        let flat = match slot.role {
            Role::Weight => &values.weights,
            Role::Buffer => &values.buffers,
        };
        &flat[place..][..slot.len()]
    }

    /// The values of slot `index`, to be written.
    pub fn get_mut<'a>(&self, values: &'a mut Values, index: usize) -> &'a mut [f32] {
        let (slot, place) = (&self.all[index], self.places[index]);
        let flat = match slot.role {
            Role::Weight => &mut values.weights,
            Role::Buffer => &mut values.buffers,
        };
        &mut flat[place..][..slot.len()]
    }

    /// Zeros everywhere.
    pub fn zeros(&self) -> Values {
        Values { weights: vec![0.0; self.weights], buffers: vec![0.0; self.buffers] }
    }

    /// What training starts from. `init` scales the normal numbers: sqrt(2 / fan-in) or sqrt(1 / fan-in).
    pub fn initial(&self, init: Init, seed: u64, stream: Stream) -> Values {
        let random = Random::new(seed, stream);
        let mut values = self.zeros();
        let mut drawn = 0;
        for (index, slot) in self.all.iter().enumerate() {
            let own = self.get_mut(&mut values, index);
            match &slot.initial {
                Initial::Constant(value) => own.fill(*value),
                Initial::Values(values) => own.copy_from_slice(values),
                Initial::Normal { fan_in, gain } => {
                    let deviation = match init {
                        Init::He => (2.0 / fan_in).sqrt(),
                        Init::Library => (1.0 / fan_in).sqrt(),
                    };
                    for (i, value) in own.iter_mut().enumerate() {
                        *value = deviation * random.normal(drawn, i as u32) * gain;
                    }
                    drawn += 1;
                }
            }
        }
        values
    }

    /// The slots as tensors of `graph`: views into the states `weights` and, if there are buffers, `buffers`.
    pub fn views(&self, graph: &mut Graph, weights: &str, buffers: &str) -> Result<States, GraphError> {
        let flat = graph.state(weights, &[self.weights])?;
        let buffers = match self.buffers {
            0 => None,
            len => Some(graph.state(buffers, &[len])?),
        };
        let mut tensors = Vec::new();
        for (slot, &place) in self.all.iter().zip(&self.places) {
            let base = match slot.role {
                Role::Weight => flat,
                Role::Buffer => buffers.expect("a buffer has a place in the flat buffers"),
            };
            tensors.push(graph.view(base, place, &slot.extents)?);
        }
        let learned = self.of(Role::Weight).map(|index| tensors[index]).collect();
        Ok(States { weights: flat, buffers, tensors, learned })
    }

    /// The weights as views into another flat tensor than their state, in the order of [`States::learned`].
    pub fn weights_in(&self, graph: &mut Graph, flat: Tensor) -> Result<Vec<Tensor>, GraphError> {
        let weights = self.of(Role::Weight);
        weights.map(|index| graph.view(flat, self.places[index], &self.all[index].extents)).collect()
    }

    /// Packs gradients in the order of [`States::learned`] into one flat tensor.
    pub fn pack(&self, graph: &mut Graph, gradients: &[Tensor]) -> Result<Tensor, GraphError> {
        let places = self.of(Role::Weight).map(|index| self.places[index]);
        let parts: Vec<(Tensor, usize)> = gradients.iter().copied().zip(places).collect();
        graph.pack(&parts, self.weights)
    }
}

/// A network's slots as tensors of one graph.
#[derive(Clone, Debug)]
pub struct States {
    /// The flat weights, a state.
    pub weights: Tensor,
    /// The flat buffers, a state; absent from a network without buffers.
    pub buffers: Option<Tensor>,
    /// One tensor per slot, in the network's order.
    pub tensors: Vec<Tensor>,
    /// Those that are learned.
    pub learned: Vec<Tensor>,
}

impl States {
    /// The same with other weights, in the order of `learned`; buffers stay.
    #[must_use]
    pub fn with_weights(&self, slots: &Slots, learned: Vec<Tensor>) -> Self {
        let mut tensors = self.tensors.clone();
        for (index, &weight) in slots.of(Role::Weight).zip(&learned) {
            tensors[index] = weight;
        }
        Self { tensors, learned, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &str, extents: &[usize], role: Role, initial: Initial, order: FileOrder) -> Slot {
        Slot { name: name.to_string(), extents: extents.to_vec(), role, initial, order }
    }

    fn slots() -> Slots {
        let normal = || Initial::Normal { fan_in: 8.0, gain: 1.0 };
        Slots::new(vec![
            slot("conv.weight", &[3, 2, 4, 5], Role::Weight, normal(), FileOrder::Kernel),
            slot("bn.running_var", &[5], Role::Buffer, Initial::Constant(1.0), FileOrder::Same),
            slot(
                "fc.weight",
                &[1, 1, 12, 2],
                Role::Weight,
                normal(),
                FileOrder::LinearOfImage { positions: 4 },
            ),
            slot("fc.bias", &[2], Role::Weight, Initial::Constant(0.0), FileOrder::Same),
        ])
    }

    #[test]
    fn file_order_and_memory_order_are_inverse() {
        for slot in slots().all {
            let values: Vec<f32> = (0..slot.len()).map(|i| i as f32).collect();
            let there = slot.to_file_order(&values);
            assert_eq!(slot.from_file_order(&there), values, "{}", slot.name);
        }
    }

    #[test]
    fn a_kernel_is_transposed_as_pytorch_has_it() {
        let kernel = &slots().all[0];
        let values: Vec<f32> = (0..kernel.len()).map(|i| i as f32).collect();
        let file = kernel.to_file_order(&values);
        let [y, x, a, b] = [2, 1, 3, 4];
        assert_eq!(kernel.file_extents(), [5, 4, 3, 2]);
        assert_eq!(file[((b * 4 + a) * 3 + y) * 2 + x], values[((y * 2 + x) * 4 + a) * 5 + b]);
    }

    #[test]
    fn a_linear_layer_over_a_flattened_image_reads_channels_first_from_files() {
        let linear = &slots().all[2];
        let values: Vec<f32> = (0..linear.len()).map(|i| i as f32).collect();
        // Position 3 of 4, channel 1 of 3, output 1 of 2.
        let (position, channel, output) = (3, 1, 1);
        let file = linear.to_file_order(&values);
        assert_eq!(file[output * 12 + channel * 4 + position], values[(position * 3 + channel) * 2 + output]);
    }

    #[test]
    fn weights_and_buffers_have_places_of_their_own() {
        let slots = slots();
        assert_eq!(slots.parameters(), 120 + 24 + 2);
        let mut values = slots.initial(Init::He, 1, Stream::ClassifierInit);
        assert_eq!(slots.get(&values, 1), [1.0; 5]);
        assert_eq!(slots.get(&values, 3), [0.0; 2]);
        assert!(slots.get(&values, 0).iter().all(|v| *v != 0.0));
        slots.get_mut(&mut values, 3)[1] = 7.0;
        assert_eq!(slots.get(&values, 3), [0.0, 7.0]);
        assert_eq!(values.buffers.len() % ALIGNMENT, 0);
    }
}

//! The end of reading a file: the normalisation of pixels is recognised, what nothing reads goes, and the network is
//! checked.

use super::constant::BATCH;
use super::data::Data;
use super::import::{Importer, NewSlot};
use super::{Imported, OnnxError};
use crate::nn::Problem;
use crate::nn::layer::{Activation, Arithmetic, Extents, Layer};
use crate::nn::net::{IMAGES, Net, Node, Value};
use crate::nn::slot::{FileOrder, Role, Slot, Slots};
use std::collections::BTreeMap;

/// Pixels of a model that divides by at least this, or subtracts it, are from 0 to 255.
const OF_BYTES: f32 = 16.0;

/// The network whose logits are `result`.
pub fn classifier(
    mut importer: Importer,
    problem: Problem,
    result: Data,
    mut notes: Vec<String>,
) -> Result<Imported, OnnxError> {
    let wrong = |problem: String| OnnxError::Model(format!("the output {problem}"));
    let classes = result.len();
    let rank = result.shape().iter().skip(1).filter(|&&extent| extent != 1).count();
    if rank > 1 || !result.images_first() {
        return Err(wrong(format!("has the shape [{}]; a classifier gives [n, classes]", shape(&result))));
    }
    let problem = Problem { classes, ..problem };
    problem.check(1.0).map_err(|error| wrong(format!("is none of a classifier: {error}")))?;
    let last = importer.row(result).map_err(wrong)?;
    let range = normalisation(&mut importer, problem);
    if range != 1.0 {
        notes.push(format!("the model takes pixels from 0 to {range}; those here are from 0 to 1"));
    }
    notes.extend(importer.once.notes());
    let (nodes, slots, values) = needed(importer, last);
    if !slots.iter().any(Slot::is_learned) {
        return Err(OnnxError::Model("the model has no weights".to_string()));
    }
    let net = Net { problem, nodes, slots: Slots::new(slots) };
    net.check().map_err(|error| OnnxError::Model(error.to_string()))?;
    let mut all = net.slots.zeros();
    for (index, own) in values.iter().enumerate() {
        if let Some(value) = own.iter().find(|value| !value.is_finite()) {
            return Err(OnnxError::Model(format!(
                "the weight {} has the value {value}",
                net.slots.all[index].name
            )));
        }
        net.slots.get_mut(&mut all, index).copy_from_slice(own);
    }
    Ok(Imported { net, values: all, range, notes })
}

fn shape(data: &Data) -> String {
    let extent = |&extent: &i64| if extent == BATCH { "n".to_string() } else { extent.to_string() };
    data.shape().iter().map(extent).collect::<Vec<_>>().join(", ")
}

/// A factor and a summand per channel, as far as the first layers are that.
struct Affine {
    factor: Vec<f32>,
    summand: Vec<f32>,
}

/// Makes one normalisation of the arithmetic on pixels before the first layer. Gives the largest pixel.
fn normalisation(importer: &mut Importer, problem: Problem) -> f32 {
    let channels = problem.channels;
    let mut all = Affine { factor: vec![1.0; channels], summand: vec![0.0; channels] };
    // The first nodes in a row that read nothing but each other.
    let (mut at, mut source) = (0, IMAGES);
    while at < importer.nodes.len()
        && importer.nodes[at].inputs == [source]
        && readers(importer, source) == 1
        && apply(importer, at, &mut all)
    {
        at += 1;
        source = Value(at);
    }
    if at == 0 {
        return 1.0;
    }
    let Affine { factor, summand } = all;
    if factor.iter().any(|factor| !factor.is_normal()) {
        return 1.0;
    }
    let deviation: Vec<f32> = factor.iter().map(|factor| 1.0 / factor).collect();
    let mean: Vec<f32> =
        summand.iter().zip(&deviation).map(|(summand, deviation)| -summand * deviation).collect();
    let is_of_bytes = |number: &f32| number.abs() >= OF_BYTES;
    let range = match deviation.iter().all(is_of_bytes) || mean.iter().any(is_of_bytes) {
        true => 255.0,
        false => 1.0,
    };
    let [mean, deviation] =
        [mean, deviation].map(|all| all.iter().map(|value| value / range).collect::<Vec<_>>());
    let slot = |importer: &mut Importer, part: &str, values: Vec<f32>| {
        let new = NewSlot { extents: vec![channels], role: Role::Buffer, order: FileOrder::Same, values };
        importer.slot(Some(&format!("normalise.{part}")), part, new)
    };
    let (mean, deviation) = (slot(importer, "mean", mean), slot(importer, "std", deviation));
    // The last of them becomes the normalisation, the others have no reader any more.
    importer.nodes[at - 1] = Node {
        name: "normalise".to_string(),
        layer: Layer::Normalise { mean, deviation },
        inputs: vec![IMAGES],
    };
    range
}

fn readers(importer: &Importer, value: Value) -> usize {
    importer.nodes.iter().flat_map(|node| &node.inputs).filter(|&&read| read == value).count()
}

/// Adds the arithmetic of node `at`; whether it is such arithmetic.
fn apply(importer: &Importer, at: usize, all: &mut Affine) -> bool {
    let channels = all.factor.len();
    let (factor, summand) = match importer.nodes[at].layer {
        Layer::Activation(Activation::Affine(a, b)) => (vec![a; channels], vec![b; channels]),
        Layer::With { function, slot, reversed } if importer.values[slot].len() == channels => {
            let own = &importer.values[slot];
            let each = |f: &dyn Fn(f32) -> f32| own.iter().map(|&value| f(value)).collect::<Vec<_>>();
            let (zeros, ones) = (vec![0.0; channels], vec![1.0; channels]);
            match (function, reversed) {
                (Arithmetic::Add, _) => (ones, own.clone()),
                (Arithmetic::Subtract, false) => (ones, each(&|value| -value)),
                (Arithmetic::Subtract, true) => (each(&|_| -1.0), own.clone()),
                (Arithmetic::Multiply, _) => (own.clone(), zeros),
                (Arithmetic::Divide, false) => (each(&|value| 1.0 / value), zeros),
                _ => return false,
            }
        }
        _ => return false,
    };
    if !matches!(importer.extents[at + 1], Extents::Image { .. }) {
        return false;
    }
    for c in 0..channels {
        all.factor[c] *= factor[c];
        all.summand[c] = all.summand[c] * factor[c] + summand[c];
    }
    true
}

/// The nodes that `last` needs, and their slots with their values.
pub(super) fn needed(importer: Importer, last: Value) -> (Vec<Node>, Vec<Slot>, Vec<Vec<f32>>) {
    let Importer { nodes, slots, values, .. } = importer;
    let mut used = vec![false; nodes.len() + 1];
    used[last.0] = true;
    for at in (0..nodes.len()).rev() {
        if used[at + 1] {
            for input in &nodes[at].inputs {
                used[input.0] = true;
            }
        }
    }
    let mut new_value = vec![IMAGES; nodes.len() + 1];
    let mut new_slot: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut kept, mut own_slots, mut own_values) = (Vec::new(), Vec::new(), Vec::new());
    for (at, node) in nodes.into_iter().enumerate() {
        if !used[at + 1] || at + 1 > last.0 {
            continue;
        }
        for slot in node.layer.slots() {
            new_slot.entry(slot).or_insert_with(|| {
                own_slots.push(slots[slot].clone());
                own_values.push(values[slot].clone());
                own_slots.len() - 1
            });
        }
        let layer = node.layer.with_slots(&|slot| new_slot[&slot]);
        let inputs = node.inputs.iter().map(|value| new_value[value.0]).collect();
        kept.push(Node { name: node.name, layer, inputs });
        new_value[at + 1] = Value(kept.len());
    }
    (kept, own_slots, own_values)
}

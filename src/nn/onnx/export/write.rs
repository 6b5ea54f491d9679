//! The parts of an ONNX file under construction: nodes, constants, and the shapes that nodes are told.

use super::{IMAGES, Net, Values, is_flattened_for_linear_layers};
use crate::nn::layer::Extents;
use crate::nn::net::Value;
use crate::nn::onnx::constant::kinds;
use crate::nn::onnx::wire::Message;
use crate::nn::slot::Role;

/// A file under construction.
pub struct Writer<'a> {
    /// The network.
    pub net: &'a Net,
    /// The values of its slots.
    pub values: &'a Values,
    /// Extents of its values, the images first.
    pub extents: Vec<Extents>,
    /// Nodes so far.
    pub nodes: Vec<Message>,
    /// Weights so far.
    pub initialisers: Vec<Message>,
    /// The names of the network's values.
    pub names: Vec<String>,
    /// Slots with the extents in which they were written, and their names there.
    written: Vec<((usize, Vec<usize>), String)>,
    /// Names given to what lies between two layers.
    between: usize,
}

/// An attribute.
pub enum Set<'a> {
    /// A whole number.
    Integer(&'a str, i64),
    /// A number.
    Float(&'a str, f32),
    /// Whole numbers.
    Integers(&'a str, Vec<i64>),
    /// A word.
    Text(&'a str, &'a str),
}

impl Set<'_> {
    fn message(&self) -> Message {
        let named = |name: &str| Message::default().bytes(1, name);
        match self {
            Self::Integer(name, value) => named(name).integer(3, *value).integer(20, 2),
            Self::Float(name, value) => named(name).float(2, *value).integer(20, 1),
            Self::Integers(name, values) => {
                values.iter().fold(named(name), |message, &value| message.integer(8, value)).integer(20, 7)
            }
            Self::Text(name, value) => named(name).bytes(4, value).integer(20, 3),
        }
    }
}

/// The description of an input or output with any number of images.
pub fn described(name: &str, extents: &[usize]) -> Message {
    let any = Message::default().bytes(2, "n");
    let fixed = extents.iter().map(|&extent| Message::default().integer(1, extent as i64));
    let shape =
        std::iter::once(any).chain(fixed).fold(Message::default(), |shape, dim| shape.message(1, &dim));
    let tensor = Message::default().integer(1, kinds::F32).message(2, &shape);
    Message::default().bytes(1, name).message(2, &Message::default().message(1, &tensor))
}

fn tensor(name: &str, extents: &[i64], kind: i64, bytes: &[u8]) -> Message {
    let extents = extents.iter().fold(Message::default(), |message, &extent| message.integer(1, extent));
    extents.integer(2, kind).bytes(8, name).bytes(9, bytes)
}

impl<'a> Writer<'a> {
    /// Nothing but the images.
    pub fn new(net: &'a Net, values: &'a Values, extents: Vec<Extents>) -> Self {
        let names = vec![IMAGES.to_string()];
        let (nodes, initialisers, written) = (Vec::new(), Vec::new(), Vec::new());
        Self { net, values, extents, nodes, initialisers, names, written, between: 0 }
    }

    /// The name of a value.
    pub fn name(&self, value: Value) -> String {
        self.names[value.0].clone()
    }

    /// A new name.
    pub fn fresh(&mut self) -> String {
        self.between += 1;
        format!("between{}", self.between)
    }

    /// Appends a node with this result.
    pub fn node_to(&mut self, operator: &str, inputs: &[&str], attributes: &[Set], result: &str) {
        let name = format!("{operator}_{}", self.nodes.len());
        let node = inputs.iter().fold(Message::default(), |node, input| node.bytes(1, input));
        let node = node.bytes(2, result).bytes(3, name).bytes(4, operator);
        let attributes: Vec<Message> = attributes.iter().map(Set::message).collect();
        self.nodes.push(node.messages(5, &attributes));
    }

    /// Appends a node; the name of its result.
    pub fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[Set]) -> String {
        let result = self.fresh();
        self.node_to(operator, inputs, attributes, &result);
        result
    }

    /// Numbers as a constant that is no weight.
    pub fn floats(&mut self, extents: &[usize], values: &[f32]) -> String {
        let extents: Vec<i64> = extents.iter().map(|&extent| extent as i64).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(&tensor("", &extents, kinds::F32, &bytes))
    }

    /// Whole numbers as a constant.
    pub fn integers(&mut self, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(&tensor("", &[values.len() as i64], kinds::I64, &bytes))
    }

    fn constant(&mut self, tensor: &Message) -> String {
        let result = self.fresh();
        let attribute = Message::default().bytes(1, "value").message(5, tensor).integer(20, 4);
        let node = Message::default().bytes(2, &result).bytes(3, format!("Constant_{}", self.nodes.len()));
        self.nodes.push(node.bytes(4, "Constant").message(5, &attribute));
        result
    }

    /// A slot's values in another arrangement: a weight under its own name, a buffer as a constant.
    pub fn slot(&mut self, index: usize, extents: &[usize], values: &[f32]) -> String {
        let slot = &self.net.slots.all[index];
        let is_running = slot.name.ends_with("running_mean") || slot.name.ends_with("running_var");
        let is_normalisation = slot.name.starts_with("normalise");
        if slot.role == Role::Buffer && !is_running && !is_normalisation {
            return self.floats(extents, values);
        }
        let key = (index, extents.to_vec());
        if let Some((_, name)) = self.written.iter().find(|(own, _)| *own == key) {
            return name.clone();
        }
        // Another arrangement of the same weight.
        let again = self.written.iter().filter(|((own, _), _)| *own == index).count();
        let name = if again == 0 { slot.name.clone() } else { format!("{}.{again}", slot.name) };
        self.written.push((key, name.clone()));
        let extents: Vec<i64> = extents.iter().map(|&extent| extent as i64).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initialisers.push(tensor(&name, &extents, kinds::F32, &bytes));
        name
    }

    /// A slot in memory's order.
    pub fn plain_slot(&mut self, index: usize) -> String {
        let values = self.net.slots.get(self.values, index).to_vec();
        self.slot(index, &[values.len()], &values)
    }

    /// A value as `[n, …]` of memory's order: rows, columns, channels.
    pub fn in_memory(&mut self, value: Value, extents: &[usize]) -> String {
        let mut name = self.name(value);
        if matches!(self.extents[value.0], Extents::Image { .. }) {
            name = self.node("Transpose", &[&name], &[Set::Integers("perm", vec![0, 2, 3, 1])]);
        }
        self.reshaped(&name, extents)
    }

    /// A tensor with other extents behind the images.
    pub fn reshaped(&mut self, name: &str, extents: &[usize]) -> String {
        let shape: Vec<i64> =
            std::iter::once(-1).chain(extents.iter().map(|&extent| extent as i64)).collect();
        let shape = self.integers(&shape);
        self.node("Reshape", &[name, &shape], &[])
    }

    /// Names what is in memory's order as the value `result` of these extents.
    pub fn write_value(&mut self, name: &str, extents: Extents, result: &str) {
        match extents {
            Extents::Vector { len } => {
                let shape = self.integers(&[-1, len as i64]);
                self.node_to("Reshape", &[name, &shape], &[], result);
            }
            Extents::Image { height, width, channels } => {
                let image = self.reshaped(name, &[height, width, channels]);
                self.node_to("Transpose", &[&image], &[Set::Integers("perm", vec![0, 3, 1, 2])], result);
            }
        }
    }

    /// Whether the rows of a linear layer have their channels in front.
    pub fn has_channels_in_front(&self, value: Value) -> Option<Extents> {
        let index = value.0.checked_sub(1)?;
        let from = self.extents[self.net.nodes[index].inputs[0].0];
        is_flattened_for_linear_layers(self.net, index, from).then_some(from)
    }
}

//! Walks over a graph and writes a network: constants are computed, operators become layers.

use super::attributes::Attributes;
use super::constant::{Constant, Loader, MOST_COMPUTED_TOGETHER};
use super::data::{Data, Place};
use super::message::{Described, Graph, Model, Node, Tensor};
use super::operators::Call;
use super::operators::strided::{self, PerImage};
use super::{OnnxError, fold, operators};
use crate::nn::arrangement::{Arrangement, Axis};
use crate::nn::layer::{Extents, Layer};
use crate::nn::net::{self, IMAGES, Value};
use crate::nn::slot::{FileOrder, Initial, Role, Slot, unwrapped};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

type Result<T> = std::result::Result<T, String>;

/// The oldest set of operators that is read.
pub const OLDEST_OPSET: i64 = 11;

/// Layers that a file may become; networks that are trained have some thousands.
const MOST_LAYERS: usize = 1 << 18;

/// What is known of a value of the graph.
#[derive(Clone)]
pub enum Known {
    /// It does not depend on the images.
    Constant(Rc<Constant>),
    /// It does.
    Data(Data),
    /// It does, and all values of all images are one row; see `operators/strided.rs`.
    Row(Data),
    /// Whole numbers of which every image has its own.
    PerImage(PerImage),
}

impl From<Constant> for Known {
    fn from(constant: Constant) -> Self {
        Self::Constant(Rc::new(constant))
    }
}

/// A network in the making.
pub struct Importer<'a> {
    /// Layers, each after those that it reads.
    pub nodes: Vec<net::Node>,
    /// Weights and buffers.
    pub slots: Vec<Slot>,
    /// Their values, in memory's order.
    pub values: Vec<Vec<f32>>,
    /// Extents of every value, the images first.
    pub extents: Vec<Extents>,
    /// The version of the operators.
    pub opset: i64,
    /// The number of images, if the file fixes it.
    pub batch: Option<i64>,
    known: HashMap<String, Known>,
    /// Values of the constants that were computed so far.
    computed: usize,
    /// Results that nodes of the graph name and that are not computed, with these nodes.
    left_out: HashMap<String, String>,
    tensors: HashMap<&'a str, &'a Tensor<'a>>,
    loader: Loader<'a>,
    /// The ONNX node that is being read: its name and its place.
    current: String,
    place: usize,
    /// For each slot the place of the node that made it.
    makers: Vec<usize>,
    /// What several nodes read and the file holds once.
    pub once: HeldOnce,
}

/// Tensors that a file holds once and several nodes read, by the name of the first of each kind.
#[derive(Default)]
pub struct HeldOnce {
    /// All values are equal: each node has its own slot.
    pub separate: BTreeSet<String>,
    /// The nodes share a slot.
    pub shared: BTreeSet<String>,
}

impl HeldOnce {
    /// What the user should know of it.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let some = |names: &BTreeSet<String>, rest: &str| {
            names.first().map(|name| match names.len() {
                1 => format!("several layers read the weight {name}; {rest}"),
                count => format!("several layers read each of {count} weights, {name} and others; {rest}"),
            })
        };
        let separate = "all values in it are equal, and exporters write equal weights once, so each layer trains its own";
        [some(&self.separate, separate), some(&self.shared, "the layers train it together")]
            .into_iter()
            .flatten()
    }
}

impl<'a> Importer<'a> {
    /// For a model whose images have these extents; nothing is read yet.
    pub fn new(model: &'a Model<'a>, graph: &'a Graph<'a>, loader: Loader<'a>, images: Extents) -> Self {
        let tensors = graph.initialisers.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        Self {
            nodes: Vec::new(),
            slots: Vec::new(),
            values: Vec::new(),
            extents: vec![images],
            opset: model.opset().unwrap_or(0),
            batch: None,
            known: HashMap::new(),
            computed: 0,
            left_out: HashMap::new(),
            tensors,
            loader,
            current: String::new(),
            place: 0,
            makers: Vec::new(),
            once: HeldOnce::default(),
        }
    }

    /// Says what an input is.
    pub fn tell(&mut self, name: &str, known: Known) {
        self.known.insert(name.to_string(), known);
    }

    /// Reads everything that `wanted` needs.
    pub fn walk(&mut self, graph: &'a Graph<'a>, wanted: &[&str]) -> std::result::Result<(), OnnxError> {
        let needed = needed(graph, wanted);
        for (index, node) in graph.nodes.iter().enumerate() {
            if !needed[index] {
                continue;
            }
            let inputs = self.inputs(node)?;
            self.current = name_of(node, index);
            self.place = index;
            let results = self.node(node, &inputs).and_then(|results| match &*node.operator {
                // What the file holds is no more than the file.
                "Constant" => Ok(results),
                _ => self.count_computed(results),
            });
            let results = results.map_err(|problem| OnnxError::Node {
                name: self.current.clone(),
                operator: operator_of(node),
                shapes: shapes(&inputs),
                problem,
            })?;
            for name in &node.outputs[results.len().min(node.outputs.len())..] {
                self.left_out.insert(name.clone(), self.current.clone());
            }
            for (name, result) in node.outputs.iter().zip(results) {
                self.known.insert(name.clone(), result);
            }
        }
        Ok(())
    }

    /// Refuses more constants than a model may compute: all are kept while it is read.
    fn count_computed(&mut self, results: Vec<Known>) -> Result<Vec<Known>> {
        for result in &results {
            if let Known::Constant(constant) = result {
                self.computed += constant.len();
            }
        }
        match self.computed > MOST_COMPUTED_TOGETHER {
            true => Err("makes the constants that the model computes too large together".to_string()),
            false => Ok(results),
        }
    }

    /// What is known of a value.
    ///
    /// # Errors
    /// If no node before makes it, and it is no weight.
    pub fn find(&mut self, name: &str, reader: &str) -> std::result::Result<Known, OnnxError> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        if let Some(node) = self.left_out.get(name) {
            return Err(OnnxError::Model(format!(
                "{reader} reads {name:?}; of what the node {node} gives only the first result is computed"
            )));
        }
        let Some(tensor) = self.tensors.get(name) else {
            return Err(OnnxError::Model(format!(
                "{reader} reads {name:?}, which is no weight of the file and no result of a node before it; the file is cut \
                 short, or its nodes form a circle"
            )));
        };
        let known = Known::from(self.loader.load(tensor).map_err(OnnxError::Model)?);
        self.known.insert(name.to_string(), known.clone());
        Ok(known)
    }

    fn inputs(&mut self, node: &'a Node) -> std::result::Result<Vec<Option<Known>>, OnnxError> {
        let reader = format!("the node {}", if node.name.is_empty() { &node.operator } else { &node.name });
        let one = |name: &'a String| match name.is_empty() {
            true => Ok(None),
            false => self.find(name, &reader).map(Some),
        };
        node.inputs.iter().map(one).collect()
    }

    fn node(&mut self, node: &'a Node, inputs: &[Option<Known>]) -> Result<Vec<Known>> {
        let attributes = Attributes::of(node);
        if attributes.have_graphs() {
            return Err(format!(
                "decides while it computes; export the model without loops and branches ({})",
                operators::supported()
            ));
        }
        if !(node.domain.is_empty() || node.domain == "ai.onnx") {
            return Err(format!("is of the domain {:?}; {}", node.domain, operators::supported()));
        }
        if node.operator == "Constant" {
            return Ok(vec![attributes.constant()?.into()]);
        }
        let call = Call::new(node, &attributes, inputs);
        if let Some(result) = strided::read(self, &call) {
            return result;
        }
        let constants: Option<Vec<Option<&Constant>>> = inputs
            .iter()
            .map(|input| match input {
                None => Some(None),
                Some(Known::Constant(constant)) => Some(Some(&**constant)),
                Some(_) => None,
            })
            .collect();
        if let Some(constants) = constants
            && let Some(results) = fold::fold(&node.operator, &attributes, &constants)
        {
            return Ok(results?.into_iter().map(|constant| renamed(constant, node).into()).collect());
        }
        operators::read(self, &call)
    }

    /// A name for a slot of the node that is being read.
    pub fn own_name(&self, part: &str) -> String {
        // As all slots, without a wrapper's name in front: a node may be called `model.0`.
        unwrapped(&format!("{}.{part}", self.current)).to_string()
    }

    /// Appends a layer.
    pub fn push(&mut self, layer: Layer, inputs: &[Value]) -> Result<Value> {
        let read: Vec<Extents> = inputs.iter().map(|value| self.extents[value.0]).collect();
        let result = layer.result(&read, &self.slots)?;
        if self.nodes.len() >= MOST_LAYERS {
            return Err(format!("would make more than {MOST_LAYERS} layers"));
        }
        self.nodes.push(net::Node { name: self.current.clone(), layer, inputs: inputs.to_vec() });
        self.extents.push(result);
        Ok(Value(self.nodes.len()))
    }

    /// A slot of these values in memory's order; the same one again if it is there already.
    ///
    /// Exporters write equal tensors once, and networks share weights: the file looks the same. Weights that were drawn or
    /// trained are only equal if they are shared. Several equal values tell nothing, as those of a fresh batch normalisation,
    /// so each node has a slot of its own for them.
    pub fn slot(&mut self, origin: Option<&str>, part: &str, new: NewSlot) -> usize {
        let mut name = origin.map_or_else(|| self.own_name(part), |origin| unwrapped(origin).to_string());
        let mut named = self.slots_named(&name);
        let same: Vec<usize> = named.iter().copied().filter(|&index| self.holds(index, &new)).collect();
        if let Some(&index) = same.iter().find(|&&index| self.makers[index] == self.place) {
            return index;
        }
        if let Some(&index) = same.first() {
            if new.values.len() == 1 || new.values.iter().any(|&value| value != new.values[0]) {
                self.once.shared.insert(name);
                return index;
            }
            let own = self.own_name(part);
            self.once.separate.insert(std::mem::replace(&mut name, own));
            named = self.slots_named(&name);
        }
        let name = if named.is_empty() { name } else { format!("{name}{AGAIN}{}", named.len()) };
        self.slots.push(new.slot(name));
        self.values.push(new.values);
        self.makers.push(self.place);
        self.slots.len() - 1
    }

    /// The slots of this name, in all arrangements.
    fn slots_named(&self, name: &str) -> Vec<usize> {
        (0..self.slots.len()).filter(|&index| base_name(&self.slots[index].name) == name).collect()
    }

    /// Whether the slot has what this one is to have.
    fn holds(&self, index: usize, new: &NewSlot) -> bool {
        let slot = &self.slots[index];
        (&slot.extents, slot.role, slot.order) == (&new.extents, new.role, new.order)
            && self.values[index] == new.values
    }

    /// The value with other extents over the same memory.
    pub fn form(&mut self, value: Value, extents: Extents) -> Result<Value> {
        let mut source = value;
        while let Some(node) = source.0.checked_sub(1).map(|at| &self.nodes[at])
            && matches!(node.layer, Layer::Reshape(_))
        {
            source = node.inputs[0];
        }
        for candidate in [value, source] {
            if self.extents[candidate.0] == extents {
                return Ok(candidate);
            }
        }
        self.push(Layer::Reshape(extents), &[source])
    }

    /// The data with its atoms in this order in memory.
    pub fn arranged(&mut self, mut data: Data, order: &[usize]) -> Result<Data> {
        data.unpadded = None;
        for at in 0..order.len() {
            if data.storage[at] == order[at] {
                continue;
            }
            let from = data.storage.iter().position(|atom| *atom == order[at]).ok_or("loses an axis")?;
            let run =
                (0..order.len() - from).take_while(|&i| data.storage[from + i] == order[at + i]).count();
            let product = |data: &Data, atoms: &[usize]| {
                atoms.iter().map(|&atom| data.extents[atom]).product::<usize>()
            };
            let axis = Axis {
                before: product(&data, &data.storage[..at]),
                extent: product(&data, &data.storage[at..from]),
                after: product(&data, &data.storage[from..]),
            };
            let second = product(&data, &data.storage[from..from + run]);
            data.value = self.push(Layer::Arrange(Arrangement::Swap(axis, second)), &[data.value])?;
            data.storage[at..from + run].rotate_left(from - at);
        }
        Ok(data)
    }

    /// The data as an image with channels last, as networks here have it, for operators of `[images, channels, rows,
    /// columns]`. Three axes are an image of one row.
    pub fn image(&mut self, data: &Data) -> Result<(Data, [usize; 3])> {
        if !data.leads_with_images() || !(3..=4).contains(&data.rank()) {
            return Err("reads no batch of images of one or two dimensions".to_string());
        }
        let order: Vec<usize> = (2..data.rank()).chain([1]).collect();
        let mut atoms = Vec::new();
        for &axis in &order {
            atoms.extend_from_slice(data.atoms(axis)?);
        }
        let mut data = self.arranged(data.clone(), &atoms)?.tidied();
        let channels = data.extent(1)?;
        let [height, width] = match data.rank() {
            3 => [1, data.extent(2)?],
            _ => [data.extent(2)?, data.extent(3)?],
        };
        data.value = self.form(data.value, Extents::Image { height, width, channels })?;
        Ok((data, [height, width, channels]))
    }

    /// The data with these axes last in memory, as an image whose channels they are.
    pub fn last(&mut self, data: &Data, axes: std::ops::Range<usize>) -> Result<(Data, usize)> {
        let mut behind = Vec::new();
        for axis in axes {
            behind.extend_from_slice(data.atoms(axis)?);
        }
        let is_behind = |atom: &&usize| behind.contains(atom);
        let order: Vec<usize> = data
            .storage
            .iter()
            .filter(|atom| !is_behind(atom))
            .chain(data.storage.iter().filter(is_behind))
            .copied()
            .collect();
        let mut data = self.arranged(data.clone(), &order)?;
        let len: usize = behind.iter().map(|&atom| data.extents[atom]).product();
        let fits = self.extents[data.value.0].channels() == len;
        if !fits {
            let rest = data.len() / len;
            let row = Extents::Vector { len };
            let lines = Extents::Image { height: 1, width: rest, channels: len };
            data.value = self.form(data.value, if rest == 1 { row } else { lines })?;
        }
        Ok((data, len))
    }

    /// The result of the network as a row: in ONNX's order.
    pub fn row(&mut self, data: Data) -> Result<Value> {
        let order = data.in_order();
        let data = self.arranged(data, &order)?;
        self.form(data.value, Extents::Vector { len: data.len() })
    }

    /// Data of the images, told by an input's description.
    pub fn images(batch: bool, extents: &[usize]) -> (Extents, Data) {
        match (batch, extents) {
            (true, &[channels, height, width]) => {
                let data = Data::new(IMAGES, true, extents, &[1, 2, 0]);
                (Extents::Image { height, width, channels }, data)
            }
            _ => {
                let order: Vec<usize> = (0..extents.len()).collect();
                let channels = extents.iter().product();
                (Extents::Image { height: 1, width: 1, channels }, Data::new(IMAGES, batch, extents, &order))
            }
        }
    }
}

/// What a new slot is.
pub struct NewSlot {
    /// Extents in memory.
    pub extents: Vec<usize>,
    /// Weight or buffer.
    pub role: Role,
    /// How files order its values.
    pub order: FileOrder,
    /// Its values in memory's order.
    pub values: Vec<f32>,
}

impl NewSlot {
    /// The slot.
    pub fn slot(&self, name: String) -> Slot {
        let initial = initial(&self.extents, self.role, &self.values);
        Slot { name, extents: self.extents.clone(), role: self.role, initial, order: self.order }
    }
}

/// Between the name of a weight and the number of its other arrangements.
const AGAIN: &str = "#";

fn base_name(name: &str) -> &str {
    name.split(AGAIN).next().unwrap_or(name)
}

/// What the slot says that it starts with. Training starts from the file's values.
fn initial(extents: &[usize], role: Role, values: &[f32]) -> Initial {
    match (extents, role) {
        ([], _) => Initial::Constant(0.0),
        ([rest @ .., _], Role::Weight) if rest.len() == 3 => {
            Initial::Normal { fan_in: rest.iter().product::<usize>() as f32, gain: 1.0 }
        }
        // Shifts around 0 and factors around 1 are told apart by their mean.
        (_, Role::Weight) => {
            let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
            Initial::Constant(if mean.abs() > 0.5 { 1.0 } else { 0.0 })
        }
        (_, Role::Buffer) => Initial::Constant(values.first().copied().unwrap_or(0.0)),
    }
}

/// The constant that a node gives. Where an exporter leaves out a weight that is equal to another one, an `Identity` carries its
/// name; it is a weight all the same.
fn renamed(mut constant: Constant, node: &Node) -> Constant {
    if node.operator == "Identity" && constant.origin.is_some() {
        constant.origin = node.outputs.first().cloned();
    }
    constant
}

/// Which nodes are needed for these values.
fn needed(graph: &Graph, wanted: &[&str]) -> Vec<bool> {
    let mut names: HashSet<&str> = wanted.iter().copied().collect();
    let mut needed = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|name| names.contains(name.as_str())) {
            needed[index] = true;
            names.extend(node.inputs.iter().map(String::as_str));
        }
    }
    needed
}

fn name_of(node: &Node, index: usize) -> String {
    match node.name.is_empty() {
        true => format!("{}_{index}", node.operator),
        false => node.name.clone(),
    }
}

/// The operator with its domain, if that is not the usual one.
fn operator_of(node: &Node) -> String {
    match node.domain.is_empty() {
        true => node.operator.clone(),
        false => format!("{}.{}", node.domain, node.operator),
    }
}

/// The shapes of inputs, for messages.
fn shapes(inputs: &[Option<Known>]) -> String {
    let shape = |input: &Option<Known>| match input {
        None => "-".to_string(),
        Some(Known::Constant(constant)) => format!("{:?}", constant.extents),
        Some(Known::Row(_) | Known::PerImage(_)) => "[n, …]".to_string(),
        Some(Known::Data(data)) => {
            let extents = data.axes.iter().enumerate().map(|(axis, place)| match place {
                Place::Batch => "n".to_string(),
                Place::Atoms(_) => data.extent(axis).unwrap_or(0).to_string(),
            });
            format!("[{}]", extents.collect::<Vec<_>>().join(", "))
        }
    };
    match inputs {
        [] => "nothing".to_string(),
        _ => inputs.iter().map(shape).collect::<Vec<_>>().join(", "),
    }
}

/// The description of the input that holds the images: the first that is no weight.
pub fn input_of<'g>(graph: &'g Graph) -> std::result::Result<&'g Described, OnnxError> {
    let is_weight = |input: &&Described| graph.initialisers.iter().any(|tensor| tensor.name == input.name);
    let mut inputs = graph.inputs.iter().filter(|input| !is_weight(input));
    let first = inputs.next().ok_or_else(|| OnnxError::Model("the graph has no input".to_string()))?;
    match inputs.next() {
        None => Ok(first),
        Some(other) => Err(OnnxError::Model(format!(
            "the graph has the inputs {:?} and {:?}; a classifier has one, the images",
            first.name, other.name
        ))),
    }
}

//! Graphs whose inputs are all given: what the conformance tests of ONNX and the fuzzer run. A model of these is no
//! classifier; its first input of real numbers stands for the images, the others are constants.

use super::constant::{Constant, Loader, Numbers, Places, strides};
use super::data::Data;
use super::finish::needed;
use super::import::{Importer, Known, NewSlot};
use super::message::Tensor;
use super::operators::reads;
use super::{OnnxError, graph_of, model_of};
use crate::nn::layer::{Extents, Layer};
use crate::nn::net::Net;
use crate::nn::slot::{FileOrder, Role, Slots};
use crate::nn::{Problem, Values};

/// A tensor of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Its extents.
    pub extents: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
    /// Type of its elements, by ONNX's numbers.
    pub kind: i64,
}

/// What becomes of a graph.
#[derive(Debug)]
pub enum Answer {
    /// It was computed while it was read.
    Known(Vec<usize>, Vec<f32>),
    /// It is a network over so many images.
    Network {
        /// The network.
        net: Box<Net>,
        /// The values of its slots.
        values: Values,
        /// What it is told, in memory's order.
        images: Vec<f32>,
        /// How many.
        count: usize,
        /// Extents of what it answers.
        extents: Vec<usize>,
    },
}

/// The operators of a model that are not read.
pub fn unsupported(model: &[u8]) -> Result<Vec<String>, OnnxError> {
    let model = model_of(model)?;
    let nodes = graph_of(&model)?.nodes.iter();
    let foreign = nodes.filter(|node| !reads(&node.operator) || !node.domain.is_empty());
    Ok(foreign.map(|node| node.operator.clone()).collect())
}

/// Reads a tensor's message.
pub fn tensor(bytes: &[u8]) -> Result<Given, OnnxError> {
    let broken = |_| OnnxError::Model("this is no tensor".to_string());
    let tensor = Tensor::decode(bytes).map_err(broken)?;
    let constant = Loader::new(None).load(&tensor).map_err(OnnxError::Model)?;
    let values = constant.to_floats().map_err(OnnxError::Model)?;
    Ok(Given { extents: constant.extents, values, kind: tensor.kind })
}

/// Reads what makes output `output`. `inputs` are messages of tensors; an absent one is empty. With `batch` the first axis of the
/// images is that of the batch.
pub fn answer(model: &[u8], inputs: &[Vec<u8>], output: usize, batch: bool) -> Result<Answer, OnnxError> {
    let model = model_of(model)?;
    let graph = graph_of(&model)?;
    let wrong = |problem: &str| OnnxError::Model(problem.to_string());
    let mut given = Vec::new();
    for (described, bytes) in graph.inputs.iter().zip(inputs) {
        let tensor = Tensor::decode(bytes).map_err(|_| wrong("an input is no tensor"))?;
        let constant = Loader::new(None).load(&tensor).map_err(OnnxError::Model)?;
        given.push((&described.name, Constant { origin: Some(described.name.clone()), ..constant }));
    }
    let is_float = |(_, constant): &(&String, Constant)| matches!(constant.values, Numbers::Floats(_));
    let images = given.iter().position(is_float);
    let extents = images.map_or(vec![1], |at| given[at].1.extents.clone());
    if extents.contains(&0) {
        return Err(wrong("a tensor without values is not computed"));
    }
    let batch = batch && extents.len() > 1;
    let own = if batch { &extents[1..] } else { &extents[..] };
    let (form, data) = Importer::images(batch, own);
    let mut importer = Importer::new(&model, graph, Loader::new(None), form);
    importer.batch = batch.then(|| extents[0] as i64);
    for (at, (name, constant)) in given.iter().enumerate() {
        let known =
            if images == Some(at) { Known::Data(data.clone()) } else { Known::from(constant.clone()) };
        importer.tell(name, known);
    }
    let name = &graph.outputs.get(output).ok_or_else(|| wrong("there is no such output"))?.name;
    importer.walk(graph, &[name])?;
    let result = match importer.find(name, "the output")? {
        Known::Constant(constant) => {
            return Ok(Answer::Known(
                constant.extents.clone(),
                constant.to_floats().map_err(OnnxError::Model)?,
            ));
        }
        Known::Data(result) if result.images_first() => result,
        Known::Data(_) => return Err(wrong("the images are not the first axis of the output")),
        Known::Row(_) | Known::PerImage(_) => return Err(wrong("the images are no axis of the output")),
    };
    let mut answered = result.own_extents();
    if batch {
        answered.insert(0, extents[0]);
    }
    let (net, values) = network(importer, form, result)?;
    let images =
        given[images.expect("the result depends on images")].1.to_floats().map_err(OnnxError::Model)?;
    let images = match (batch, &extents[..]) {
        (true, &[n, c, h, w]) => {
            let s = strides(&extents);
            Places::new(&[n, h, w, c], &[s[0], s[2], s[3], s[1]]).map(|at| images[at]).collect()
        }
        _ => images,
    };
    let count = if batch { extents[0] } else { 1 };
    Ok(Answer::Network { net: Box::new(net), values, images, count, extents: answered })
}

/// The network that computes `result` from images of the form `form`, and its weights.
fn network(mut importer: Importer, form: Extents, result: Data) -> Result<(Net, Values), OnnxError> {
    let len = result.len();
    let mut last = importer.row(result).map_err(OnnxError::Model)?;
    if last.0 == 0 {
        last = importer.push(Layer::Reshape(Extents::Vector { len }), &[last]).map_err(OnnxError::Model)?;
    }
    let (nodes, mut slots, mut values) = needed(importer, last);
    // A flat tensor of weights cannot be empty.
    let new = NewSlot { extents: vec![1], role: Role::Weight, order: FileOrder::Same, values: vec![0.0] };
    slots.push(new.slot("nothing".to_string()));
    values.push(new.values);
    let problem = match form {
        Extents::Image { height, width, channels } => Problem { height, width, channels, classes: len },
        Extents::Vector { .. } => return Err(OnnxError::Model("the images are a row".to_string())),
    };
    let net = Net { problem, nodes, slots: Slots::new(slots) };
    net.check().map_err(|error| OnnxError::Model(error.to_string()))?;
    let mut all = net.slots.zeros();
    for (index, own) in values.iter().enumerate() {
        net.slots.get_mut(&mut all, index).copy_from_slice(own);
    }
    Ok((net, all))
}

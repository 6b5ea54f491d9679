//! Networks from ONNX files.
//!
//! A file is read in three steps: `wire` and `message` take its bytes apart, `import` walks over its graph, computing what
//! does not depend on the images (`fold`) and making layers of the rest (`operators`), and `finish` recognises the
//! normalisation of pixels and drops what nothing reads. The result is a [`Net`] like any other: it is attacked, trained and
//! saved as those of the zoo are.
//!
//! Files come from anywhere: whatever they hold, reading them ends in a network or in one sentence.

mod attributes;
mod axes;
mod constant;
mod data;
pub mod export;
mod finish;
mod fold;
mod import;
mod message;
mod operators;
pub mod single;
mod wire;

use super::{Net, Problem, Values};
use crate::files::{self, FileError};
use constant::{Loader, kinds};
use import::{Importer, Known, OLDEST_OPSET, input_of};
use message::{Graph, Model};
use std::path::Path;

/// Bytes of the largest file: what protocol buffers allow.
const LARGEST_FILE: u64 = 1 << 31;

/// Why an ONNX file is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The model as a whole.
    #[error("{0}")]
    Model(String),
    /// One of its nodes.
    #[error("the node {name} ({operator} of {shapes}) {problem}")]
    Node {
        /// Its name, or its operator and place.
        name: String,
        /// Its operator.
        operator: String,
        /// The shapes that it reads.
        shapes: String,
        /// What is wrong.
        problem: String,
    },
}

/// A network as an ONNX file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The network. Its images are in [0, 1].
    pub net: Net,
    /// The values of its slots.
    pub values: Values,
    /// The largest pixel that the file's own input takes: 1, or 255 where its arithmetic on pixels shows that they go up to 255.
    pub range: f32,
    /// What the user should know, a sentence each.
    pub notes: Vec<String>,
}

/// Reads the classifier in a file.
///
/// # Errors
/// What the file has and is not supported, with the node, its operator and its shapes.
pub fn read(path: &Path) -> Result<Imported, OnnxError> {
    let bytes = files::read_at_most(path, LARGEST_FILE)?;
    let folder =
        path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    decode(&bytes, folder)
}

/// Reads the classifier in the bytes of a file; `folder` may hold its external data.
pub fn decode(bytes: &[u8], folder: Option<&Path>) -> Result<Imported, OnnxError> {
    let model = model_of(bytes)?;
    let graph = graph_of(&model)?;
    let problem = problem_of(graph)?;
    let Problem { height, width, channels, .. } = problem;
    let input = input_of(graph)?;
    let (images, data) = Importer::images(true, &[channels, height, width]);
    let mut importer = Importer::new(&model, graph, Loader::new(folder), images);
    importer.batch = input.extents.as_ref().and_then(|extents| extents[0]);
    importer.tell(&input.name, Known::Data(data));
    let output =
        &graph.outputs.first().ok_or_else(|| OnnxError::Model("the graph has no output".to_string()))?.name;
    let logits = logits_of(graph, output);
    importer.walk(graph, &[logits])?;
    let Known::Data(result) = importer.find(logits, "the output")? else {
        return Err(OnnxError::Model("the output does not depend on the images".to_string()));
    };
    let mut notes = Vec::new();
    if graph.outputs.len() > 1 {
        notes
            .push(format!("the model has {} outputs; the first one, {output}, is used", graph.outputs.len()));
    }
    if logits != output {
        notes.push(
            "the softmax at the end of the model is left out: everything here works on logits".to_string(),
        );
    }
    finish::classifier(importer, problem, result, notes)
}

fn model_of(bytes: &[u8]) -> Result<Model<'_>, OnnxError> {
    let model = Model::decode(bytes).map_err(|_| {
        OnnxError::Model("this is no whole ONNX file; it is cut short or of another format".to_string())
    })?;
    let refused = |problem: String| Err(OnnxError::Model(problem));
    if model.has_training {
        return refused("the file holds a training graph; export the model for inference".to_string());
    }
    match model.opset() {
        None => refused(
            "the file does not say which operators it uses; it is cut short or of another format".to_string(),
        ),
        Some(version) if version < OLDEST_OPSET => refused(format!(
            "the file uses operators of version {version}; export it with opset_version={OLDEST_OPSET} or newer"
        )),
        Some(_) => Ok(model),
    }
}

fn graph_of<'m, 'a>(model: &'m Model<'a>) -> Result<&'m Graph<'a>, OnnxError> {
    let graph =
        model.graph.as_ref().ok_or_else(|| OnnxError::Model("the file holds no graph".to_string()))?;
    match graph.has_sparse {
        true => Err(OnnxError::Model(
            "the file has sparse weights, which are not read; save them as usual tensors".to_string(),
        )),
        false => Ok(graph),
    }
}

/// What the images of a graph look like; the classes follow later.
fn problem_of(graph: &Graph) -> Result<Problem, OnnxError> {
    let input = input_of(graph)?;
    let wrong = |problem: &str| Err(OnnxError::Model(format!("the input {:?} {problem}", input.name)));
    if !kinds::is_float(input.kind) {
        return wrong("does not hold real numbers; export the model for float images");
    }
    let Some([_, extents @ ..]) = input.extents.as_deref() else {
        return wrong("has no shape; export the model with fixed channels, height and width");
    };
    let fixed: Option<Vec<i64>> = extents.iter().copied().collect();
    let Some(&[channels, height, width]) = fixed.as_deref() else {
        return match extents.len() == 3 {
            true => wrong("has no fixed channels, height and width; export the model for images of one size"),
            false => wrong("is no batch of images [images, channels, height, width]"),
        };
    };
    if width <= 4 && channels > 4 {
        return wrong(
            "has its channels last; export the model with images [images, channels, height, width]",
        );
    }
    let [channels, height, width] =
        [channels, height, width].map(|extent| usize::try_from(extent).unwrap_or(0));
    let problem = Problem { height, width, channels, classes: 2 };
    problem.check(1.0).map_err(|error| OnnxError::Model(format!("the input {:?}: {error}", input.name)))?;
    Ok(problem)
}

/// Operators that leave the values of a row in their order.
const KEEPING: [&str; 6] = ["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"];

/// The value before a softmax that makes the output, or the output.
fn logits_of<'g>(graph: &'g Graph, output: &'g str) -> &'g str {
    let maker = |name: &str| graph.nodes.iter().find(|node| node.outputs.iter().any(|own| own == name));
    let mut name = output;
    // A file may form a circle, so no name is followed for ever.
    for _ in 0..8 {
        match maker(name) {
            Some(node) if KEEPING.contains(&node.operator.as_str()) && !node.inputs.is_empty() => {
                name = &node.inputs[0];
            }
            Some(node) if ["Softmax", "LogSoftmax"].contains(&node.operator.as_str()) => {
                return node.inputs.first().map_or(output, String::as_str);
            }
            _ => break,
        }
    }
    output
}

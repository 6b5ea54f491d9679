//! The parts of an ONNX file that are read: model, graph, nodes, attributes and tensors, as `onnx.proto` has them.
//!
//! Graphs within nodes (the branches of `If`, say) are not read: nodes that have them are refused.

use super::wire::{Broken, Fields, Payload};

type Result<T> = std::result::Result<T, Broken>;

/// An ONNX model.
#[derive(Clone, Debug, Default)]
pub struct Model<'a> {
    /// Versions of operator sets by domain; the usual domain is empty.
    pub opsets: Vec<(String, i64)>,
    /// Whether the file says how to train.
    pub has_training: bool,
    /// The graph; absent in a file that is no model.
    pub graph: Option<Graph<'a>>,
}

/// A graph.
#[derive(Clone, Debug, Default)]
pub struct Graph<'a> {
    /// In an order in which they can be computed.
    pub nodes: Vec<Node<'a>>,
    /// Weights and other constants.
    pub initialisers: Vec<Tensor<'a>>,
    /// Whether some are stored without their zeros.
    pub has_sparse: bool,
    /// What the graph is told.
    pub inputs: Vec<Described>,
    /// What it answers.
    pub outputs: Vec<Described>,
}

/// An input or output.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Type of its elements, as in [`Tensor::kind`].
    pub kind: i64,
    /// Its extents, if it is a tensor with known rank; `None` for an extent that is not fixed.
    pub extents: Option<Vec<Option<i64>>>,
}

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    /// Its name; often empty.
    pub name: String,
    /// The operator.
    pub operator: String,
    /// The operator's domain.
    pub domain: String,
    /// Names of what it reads; empty for what is left out.
    pub inputs: Vec<String>,
    /// Names of its results.
    pub outputs: Vec<String>,
    /// Attributes by name.
    pub attributes: Vec<(String, Attribute<'a>)>,
}

/// The value of an attribute; what is not set is empty.
#[derive(Clone, Debug, Default)]
pub struct Attribute<'a> {
    /// A number.
    pub float: Option<f32>,
    /// A whole number.
    pub integer: Option<i64>,
    /// A word.
    pub text: Option<String>,
    /// A tensor.
    pub tensor: Option<Tensor<'a>>,
    /// Numbers.
    pub floats: Vec<f32>,
    /// Whole numbers.
    pub integers: Vec<i64>,
    /// Whether it is a graph.
    pub is_graph: bool,
}

/// A tensor as stored.
#[derive(Clone, Debug, Default)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: String,
    /// Its extents.
    pub extents: Vec<i64>,
    /// Type of its elements: 1 f32, 7 i64, 10 f16 and so on.
    pub kind: i64,
    /// Its bytes, little-endian, if they are in the file as such.
    pub raw: Option<&'a [u8]>,
    /// Numbers in other fields.
    pub floats: Vec<f32>,
    /// Whole numbers of 32 bits or fewer, or bits of f16 and bf16.
    pub integers: Vec<i64>,
    /// Numbers of 64 bits.
    pub doubles: Vec<f64>,
    /// Where its bytes are, by key, if they are in another file.
    pub external: Vec<(String, String)>,
    /// Whether they are.
    pub is_external: bool,
}

impl<'a> Model<'a> {
    /// Reads a file's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut model = Self::default();
        for field in Fields::new(bytes) {
            match field? {
                (7, value) => model.graph = Some(Graph::decode(value.bytes()?)?),
                (8, value) => model.opsets.push(opset(value.bytes()?)?),
                (20, _) => model.has_training = true,
                _ => {}
            }
        }
        Ok(model)
    }

    /// The version of the usual operators.
    pub fn opset(&self) -> Option<i64> {
        let usual = |domain: &str| domain.is_empty() || domain == "ai.onnx";
        self.opsets.iter().find(|(domain, _)| usual(domain)).map(|(_, version)| *version)
    }
}

fn opset(bytes: &[u8]) -> Result<(String, i64)> {
    let mut opset = (String::new(), 0);
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => opset.0 = value.text()?,
            (2, value) => opset.1 = value.integer()?,
            _ => {}
        }
    }
    Ok(opset)
}

impl<'a> Graph<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut graph = Self::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => graph.nodes.push(Node::decode(value.bytes()?)?),
                (5, value) => graph.initialisers.push(Tensor::decode(value.bytes()?)?),
                (11, value) => graph.inputs.push(Described::decode(value.bytes()?)?),
                (12, value) => graph.outputs.push(Described::decode(value.bytes()?)?),
                (15, _) => graph.has_sparse = true,
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl Described {
    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut described = Self::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => described.name = value.text()?,
                (2, value) => {
                    // The type is a choice; field 1 of it is a tensor.
                    for field in Fields::new(value.bytes()?) {
                        if let (1, tensor) = field? {
                            described.tensor(tensor.bytes()?)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(described)
    }

    fn tensor(&mut self, bytes: &[u8]) -> Result<()> {
        for field in Fields::new(bytes) {
            match field? {
                (1, kind) => self.kind = kind.integer()?,
                (2, shape) => {
                    let mut extents = Vec::new();
                    for field in Fields::new(shape.bytes()?) {
                        if let (1, extent) = field? {
                            extents.push(fixed_extent(extent.bytes()?)?);
                        }
                    }
                    self.extents = Some(extents);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// An extent, if it is a number.
fn fixed_extent(bytes: &[u8]) -> Result<Option<i64>> {
    for field in Fields::new(bytes) {
        if let (1, value) = field? {
            return value.integer().map(Some);
        }
    }
    Ok(None)
}

impl<'a> Node<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut node = Self::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => node.inputs.push(value.text()?),
                (2, value) => node.outputs.push(value.text()?),
                (3, value) => node.name = value.text()?,
                (4, value) => node.operator = value.text()?,
                (5, value) => node.attributes.push(Attribute::decode(value.bytes()?)?),
                (7, value) => node.domain = value.text()?,
                _ => {}
            }
        }
        Ok(node)
    }
}

impl<'a> Attribute<'a> {
    fn decode(bytes: &'a [u8]) -> Result<(String, Self)> {
        let (mut name, mut own, mut kind) = (String::new(), Self::default(), 0);
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => name = value.text()?,
                (2, value) => own.float = Some(value.float()?),
                (3, value) => own.integer = Some(value.integer()?),
                (4, value) => own.text = Some(value.text()?),
                (5, value) => own.tensor = Some(Tensor::decode(value.bytes()?)?),
                (6 | 11, _) => own.is_graph = true,
                (7, value) => value.floats_into(&mut own.floats)?,
                (8, value) => value.integers_into(&mut own.integers)?,
                (20, value) => kind = value.integer()?,
                _ => {}
            }
        }
        // Writers of proto3 leave out a number that is zero, and tell its type alone.
        match kind {
            1 => own.float = own.float.or(Some(0.0)),
            2 => own.integer = own.integer.or(Some(0)),
            _ => {}
        }
        Ok((name, own))
    }
}

impl<'a> Tensor<'a> {
    /// Reads a tensor's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut tensor = Self::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => value.integers_into(&mut tensor.extents)?,
                (2, value) => tensor.kind = value.integer()?,
                (4, value) => value.floats_into(&mut tensor.floats)?,
                (5 | 7 | 11, value) => value.integers_into(&mut tensor.integers)?,
                (8, value) => tensor.name = value.text()?,
                (9, value) => tensor.raw = Some(value.bytes()?),
                (10, value) => value.doubles_into(&mut tensor.doubles)?,
                (13, value) => tensor.external.push(entry(value)?),
                (14, value) => tensor.is_external = value.integer()? == 1,
                _ => {}
            }
        }
        Ok(tensor)
    }
}

fn entry(value: Payload) -> Result<(String, String)> {
    let mut entry = (String::new(), String::new());
    for field in Fields::new(value.bytes()?) {
        match field? {
            (1, key) => entry.0 = key.text()?,
            (2, value) => entry.1 = value.text()?,
            _ => {}
        }
    }
    Ok(entry)
}

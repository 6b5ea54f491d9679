//! The graph: tensors with static shapes and some thirty primitive operations. Models, attacks and
//! training write graphs and nothing else; `gradient` appends backward operations; `compile` turns the
//! result into a [`Program`](crate::program::Program).
//!
//! A graph is a static list of nodes, in the order of their creation, over a closed set of operations. So memory is known before
//! anything runs, and a step is replayed without work on the host. Every kernel is a file that can be read and compared with its
//! twin. States change in the order in which the graph says so. A tape that is recorded at run time (as in PyTorch) and expression
//! trees with generated code for everything do not have these properties.
//!
//! Shapes are checked when a node is made; an error names the operation and the shapes.

mod build;
pub mod convolution;
mod formula;
mod gradient;
pub mod operation;
pub mod resize;
pub mod shape;
pub mod window;

pub use build::AdamStates;
pub use convolution::Convolution;
pub(crate) use convolution::Usual;
pub use formula::{Formula, Term};
pub use operation::{Binary, Borders, Epilogue, Operation, Unary};
pub use resize::{Coordinates, Resize, Rounding, Sampling};
pub use shape::{Broadcast, Shape};
pub use window::{Divisor, Window};

/// Values at whose multiples a tensor may start: 256 bytes, the largest binding alignment of any backend.
pub const ALIGNMENT: usize = 64;

/// A tensor of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tensor(pub(crate) usize);

/// Why a graph could not be built.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum GraphError {
    /// Two operands do not fit together.
    #[error("{operation}: shapes {left} and {right} do not fit together")]
    Mismatch {
        /// Name of the operation.
        operation: &'static str,
        /// First operand.
        left: Shape,
        /// Second operand.
        right: Shape,
    },
    /// The geometry of a convolution does not fit its operands.
    #[error("{operation}: shapes {left} and {right} do not fit together: {expected}")]
    Geometry {
        /// Name of the operation.
        operation: &'static str,
        /// First operand.
        left: Shape,
        /// Second operand.
        right: Shape,
        /// What would fit.
        expected: String,
    },
    /// The graph has an input or a state of this name with another number of values.
    #[error(
        "the graph has a tensor {name:?} of shape {known}, and one of shape {shape} has another number of values; give \
         it another name"
    )]
    OtherLength {
        /// The name.
        name: String,
        /// The shape that it has.
        known: Shape,
        /// The shape that was asked for.
        shape: Shape,
    },
    /// One operand is of the wrong kind.
    #[error("{operation}: shape {shape} is not {expected}")]
    Unsuitable {
        /// Name of the operation.
        operation: &'static str,
        /// The operand.
        shape: Shape,
        /// What would have been right.
        expected: &'static str,
    },
}

/// A node: an operation, its operands and the shape of its result.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub operation: Operation,
    pub operands: Vec<Tensor>,
    pub shape: Shape,
}

/// A graph under construction.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// The tensors that the host reads after a run.
    pub(crate) outputs: Vec<(String, Tensor)>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// The shape of `tensor`.
    pub fn shape(&self, tensor: Tensor) -> &Shape {
        &self.nodes[tensor.0].shape
    }

    /// Names a tensor that the host reads after each run.
    pub fn output(&mut self, name: &str, tensor: Tensor) {
        self.outputs.push((name.to_string(), tensor));
    }

    /// Forgets the outputs: what only they need is not computed.
    pub fn drop_outputs(&mut self) {
        self.outputs.clear();
    }

    /// Names and shapes of the inputs, each name once.
    pub fn inputs(&self) -> Vec<(&str, &Shape)> {
        let mut inputs: Vec<(&str, &Shape)> = Vec::new();
        for node in &self.nodes {
            if let Operation::Input(name) = &node.operation
                && !inputs.iter().any(|(known, _)| known == name)
            {
                inputs.push((name, &node.shape));
            }
        }
        inputs
    }

    /// Makes states of the inputs `names`: several programs read what the host writes once.
    pub fn keep_inputs(&mut self, names: &[&str]) {
        for node in &mut self.nodes {
            if let Operation::Input(name) = &node.operation
                && names.contains(&name.as_str())
            {
                node.operation = Operation::State(name.clone());
            }
        }
    }

    pub(crate) fn node(&self, tensor: Tensor) -> &Node {
        &self.nodes[tensor.0]
    }

    pub(crate) fn push(&mut self, operation: Operation, operands: &[Tensor], shape: Shape) -> Tensor {
        self.nodes.push(Node { operation, operands: operands.to_vec(), shape });
        Tensor(self.nodes.len() - 1)
    }
}

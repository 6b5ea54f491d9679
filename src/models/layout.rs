//! Where every weight of a network lies in its one flat parameter tensor, and what it is called outside.
//!
//! All parameters of a network are one tensor, so that one Adam call updates them and one state holds them.
//! In memory a weight is `[k, k, a, b]` with a on the fine and b on the coarse side; files have PyTorch's layouts, which for
//! convolutions `[b, a, k, k]`, transposed convolutions `[b, a, k, k]` and linear layers `[b, a]` are the same permutation.

use crate::graph::{Graph, GraphError, Tensor};
use crate::program::ALIGNMENT;

/// What a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// 3x3 convolution, stride 1.
    Convolution,
    /// 3x3 transposed convolution.
    UpConvolution {
        /// 1 or 2.
        stride: usize,
    },
    /// Matrix multiplication.
    Dense,
}

/// One weight with its bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// As in files, without `.weight` or `.bias`: `classifier.convs.0`.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// Channels it reads.
    pub inputs: usize,
    /// Channels it writes.
    pub outputs: usize,
    /// Height and width of its result; 1 for dense layers.
    pub side: usize,
    /// Whether leaky ReLU follows.
    pub activation: bool,
}

impl Layer {
    fn size(&self) -> usize {
        if self.kind == LayerKind::Dense { 1 } else { 3 }
    }

    /// Channels of the fine and the coarse side of its trilinear form.
    fn fine_and_coarse(&self) -> [usize; 2] {
        match self.kind {
            LayerKind::UpConvolution { .. } => [self.outputs, self.inputs],
            LayerKind::Convolution | LayerKind::Dense => [self.inputs, self.outputs],
        }
    }

    /// Extents of the weight in memory.
    pub fn weight_extents(&self) -> [usize; 4] {
        let [a, b] = self.fine_and_coarse();
        [self.size(), self.size(), a, b]
    }

    /// Extents of the weight in files.
    pub fn file_extents(&self) -> Vec<usize> {
        let [a, b] = self.fine_and_coarse();
        if self.kind == LayerKind::Dense { vec![b, a] } else { vec![b, a, 3, 3] }
    }

    /// Values in the weight.
    pub fn weight_len(&self) -> usize {
        self.weight_extents().iter().product()
    }

    /// Terms in the sum of one output value, which scales the initial weights. A stride of 2 spreads nine
    /// taps over four positions.
    pub fn fan_in(&self) -> f32 {
        let taps = (self.size() * self.size()) as f32;
        match self.kind {
            LayerKind::UpConvolution { stride } => taps * self.inputs as f32 / (stride * stride) as f32,
            _ => taps * self.inputs as f32,
        }
    }

    /// Multiply-adds per image.
    pub fn multiply_adds(&self) -> u64 {
        let positions = match self.kind {
            LayerKind::UpConvolution { stride } => (self.side / stride).pow(2),
            _ => self.side.pow(2),
        };
        (positions * self.weight_len()) as u64
    }

    /// From the file's order to memory's.
    pub fn from_file_order(&self, values: &[f32]) -> Vec<f32> {
        let (taps, pairs) = (self.size() * self.size(), self.inputs * self.outputs);
        let [a, b] = self.fine_and_coarse();
        let mut memory = vec![0.0; values.len()];
        for (at, value) in memory.iter_mut().enumerate() {
            let (tap, pair) = (at / pairs, at % pairs);
            let (a_at, b_at) = (pair / b, pair % b);
            *value = values[(b_at * a + a_at) * taps + tap];
        }
        memory
    }

    /// From memory's order to the file's.
    pub fn to_file_order(&self, values: &[f32]) -> Vec<f32> {
        let (taps, pairs) = (self.size() * self.size(), self.inputs * self.outputs);
        let [a, b] = self.fine_and_coarse();
        let mut file = vec![0.0; values.len()];
        for (at, &value) in values.iter().enumerate() {
            let (tap, pair) = (at / pairs, at % pairs);
            let (a_at, b_at) = (pair / b, pair % b);
            file[(b_at * a + a_at) * taps + tap] = value;
        }
        file
    }
}

/// A layer's place in the flat tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The layer.
    pub layer: Layer,
    /// First value of the weight.
    pub weight: usize,
    /// First value of the bias.
    pub bias: usize,
}

/// All layers of a network in one flat tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterLayout {
    /// Layers in order.
    pub entries: Vec<Entry>,
    /// Values of the flat tensor, with the gaps that alignment leaves.
    pub len: usize,
}

impl ParameterLayout {
    /// Lays `layers` out one after the other.
    pub fn new(layers: Vec<Layer>) -> Self {
        let mut len = 0;
        let mut place = |values: usize| {
            let at = len;
            len += values.next_multiple_of(ALIGNMENT);
            at
        };
        let entries = layers
            .into_iter()
            .map(|layer| Entry { weight: place(layer.weight_len()), bias: place(layer.outputs), layer })
            .collect();
        Self { entries, len }
    }

    /// Parameters, without gaps.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|e| e.layer.weight_len() + e.layer.outputs).sum()
    }

    /// Multiply-adds of one forward pass of one image.
    pub fn multiply_adds(&self) -> u64 {
        self.entries.iter().map(|e| e.layer.multiply_adds()).sum()
    }

    /// Views of every weight and bias into the state `flat`.
    pub fn views(&self, graph: &mut Graph, flat: Tensor) -> Result<Weights, GraphError> {
        let mut layers = Vec::new();
        for entry in &self.entries {
            let weight = graph.view(flat, entry.weight, &entry.layer.weight_extents())?;
            let bias = graph.view(flat, entry.bias, &[entry.layer.outputs])?;
            layers.push([weight, bias]);
        }
        Ok(Weights { layers })
    }

    /// Packs gradients in the order of [`Weights::tensors`] into one flat tensor.
    pub fn pack(&self, graph: &mut Graph, gradients: &[Tensor]) -> Result<Tensor, GraphError> {
        let offsets = self.entries.iter().flat_map(|e| [e.weight, e.bias]);
        let parts: Vec<(Tensor, usize)> = gradients.iter().copied().zip(offsets).collect();
        graph.pack(&parts, self.len)
    }
}

/// A network's weights as tensors of one graph.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Weight and bias of each layer.
    pub layers: Vec<[Tensor; 2]>,
}

impl Weights {
    /// All of them, weight before bias.
    pub fn tensors(&self) -> Vec<Tensor> {
        self.layers.concat()
    }
}

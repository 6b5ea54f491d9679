//! The layers of networks. A layer names its slots by index.
//!
//! What it makes of the extents of its inputs is in `result.rs`, its arithmetic in `forward.rs`.

use super::arrangement::Arrangement;
use super::slot::Slot;
use crate::graph::{self, Binary};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Extents of a value for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extents {
    /// Planes of channels.
    Image {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Channels.
        channels: usize,
    },
    /// A row of numbers.
    Vector {
        /// Numbers.
        len: usize,
    },
}

impl Extents {
    /// Channels, or numbers of a row.
    pub fn channels(self) -> usize {
        match self {
            Self::Image { channels, .. } => channels,
            Self::Vector { len } => len,
        }
    }

    /// Number of values.
    pub fn len(self) -> usize {
        match self {
            Self::Image { height, width, channels } => height.saturating_mul(width).saturating_mul(channels),
            Self::Vector { len } => len,
        }
    }

    /// Whether there is no value.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Rows times columns; 1 for a row of numbers.
    pub fn positions(self) -> usize {
        self.len() / self.channels().max(1)
    }
}

impl fmt::Display for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { height, width, channels } => write!(f, "{height}x{width}x{channels}"),
            Self::Vector { len } => write!(f, "{len}"),
        }
    }
}

/// Which value of a window pooling keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The sum, divided as the window says; [`graph::Window::mean`] makes it the mean.
    Mean,
    /// The largest.
    Max,
}

/// A function of every value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x` where positive, else the slope times `x`; slope 0 is ReLU.
    LeakyRelu(f32),
    /// `x · sigmoid(x)`.
    Silu,
    /// `x · Φ(x)`, by the error function.
    Gelu,
    /// The logarithm of `1 + e^x`.
    Softplus,
    /// `x` where positive, else `a·(e^x − 1)`.
    Elu(f32),
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `a·x + b`.
    Affine(f32, f32),
    /// The value, but at least the first and at most the second number.
    Clamp(f32, f32),
    /// `a·x + b`, between 0 and 1.
    HardSigmoid(f32, f32),
    /// `x` times the hard sigmoid of 1/6 and 1/2.
    HardSwish,
    /// GELU by a hyperbolic tangent.
    GeluTanh,
    /// `b·x` where positive, else `a·b·(e^x − 1)`.
    Selu(f32, f32),
    /// `x` where positive, else `a·(e^(x/a) − 1)`.
    Celu(f32),
    /// `x` times the hyperbolic tangent of its softplus.
    Mish,
    /// `x / (1 + |x|)`.
    Softsign,
    /// The error function.
    Erf,
    /// `e^x`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// `|x|`.
    Abs,
    /// −1, 0 or 1.
    Sign,
    /// `1 / x`.
    Reciprocal,
    /// `x` to this power.
    Power(f32),
}

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arithmetic {
    /// `l + r`.
    Add,
    /// `l − r`.
    Subtract,
    /// `l · r`.
    Multiply,
    /// `l / r`.
    Divide,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
}

impl Arithmetic {
    /// The graph's operation.
    pub(super) fn operation(self) -> Binary {
        match self {
            Self::Add => Binary::Add,
            Self::Subtract => Binary::Subtract,
            Self::Multiply => Binary::Multiply,
            Self::Divide => Binary::Divide,
            Self::Maximum => Binary::Maximum,
            Self::Minimum => Binary::Minimum,
        }
    }
}

/// What a node computes. Numbers are indices of slots.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// `(x − mean) / deviation`, per channel.
    Normalise {
        /// Slot of the means, `[channels]`.
        mean: usize,
        /// Slot of the standard deviations, `[channels]`.
        deviation: usize,
    },
    /// A convolution with zeros around the image.
    Convolution {
        /// Slot of the kernel, `[height, width, inputs / groups, outputs]`.
        weight: usize,
        /// Slot of the bias, `[outputs]`.
        bias: Option<usize>,
        /// Where the kernel goes.
        geometry: graph::Convolution,
    },
    /// A linear layer over a row of numbers.
    Dense {
        /// Slot of the matrix, `[1, 1, inputs, outputs]`.
        weight: usize,
        /// Slot of the bias, `[outputs]`.
        bias: Option<usize>,
    },
    /// Batch normalisation per channel (Ioffe and Szegedy 2015).
    BatchNorm {
        /// Slot of the scales, `[channels]`.
        scale: usize,
        /// Slot of the shifts, `[channels]`.
        shift: usize,
        /// Slot of the running means, `[channels]`.
        mean: usize,
        /// Slot of the running variances, `[channels]`.
        variance: usize,
        /// Added to the variance.
        epsilon: f32,
        /// Share of the batch's statistics in the running ones' next value.
        momentum: f32,
    },
    /// A function of every value.
    Activation(Activation),
    /// Pooling.
    Pool(Pooling, graph::Window),
    /// The mean over all positions.
    GlobalMean,
    /// An image as a row of numbers, channels last.
    Flatten,
    /// The sum of all inputs, which have the same extents.
    Add,
    /// The adjoint of a convolution in its image, from the coarse to the fine side.
    ConvolutionTranspose {
        /// Slot of the kernel, `[height, width, outputs / groups, inputs]`.
        weight: usize,
        /// Slot of the bias, `[outputs]`.
        bias: Option<usize>,
        /// The convolution's, from the fine to the coarse side.
        geometry: graph::Convolution,
        /// Rows and columns of the fine side.
        to: [usize; 2],
    },
    /// A function of two inputs of the same extents, value by value.
    Combine(Arithmetic),
    /// A function of the input and of a slot that is repeated over it: as many values as there are channels, say.
    With {
        /// Of both.
        function: Arithmetic,
        /// Slot of the numbers, a row.
        slot: usize,
        /// Whether the slot stands on the left.
        reversed: bool,
    },
    /// `x` where positive, else `x` times a slot that is repeated over it.
    PRelu {
        /// Slot of the slopes, a row.
        slope: usize,
    },
    /// Normalisation of every so many values to mean 0 and variance 1.
    LayerNorm {
        /// Slot of the factors, a row, if there are any.
        scale: Option<usize>,
        /// Slot of what is added, a row, if there is any.
        shift: Option<usize>,
        /// Values that are normalised together.
        len: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Softmax of every so many values, or its logarithm.
    Softmax {
        /// Values that share a sum.
        len: usize,
        /// Whether it is the logarithm.
        logarithm: bool,
    },
    /// Another height and width.
    Resize(graph::Resize),
    /// The same values in memory's order with other extents.
    Reshape(Extents),
    /// Values in other places.
    Arrange(Arrangement),
}

impl Layer {
    /// The slots it uses.
    pub fn slots(&self) -> Vec<usize> {
        match *self {
            Self::Normalise { mean, deviation } => vec![mean, deviation],
            Self::Convolution { weight, bias, .. }
            | Self::ConvolutionTranspose { weight, bias, .. }
            | Self::Dense { weight, bias } => std::iter::once(weight).chain(bias).collect(),
            Self::BatchNorm { scale, shift, mean, variance, .. } => vec![scale, shift, mean, variance],
            Self::With { slot, .. } => vec![slot],
            Self::PRelu { slope } => vec![slope],
            Self::LayerNorm { scale, shift, .. } => scale.into_iter().chain(shift).collect(),
            Self::Activation(_)
            | Self::Pool(..)
            | Self::GlobalMean
            | Self::Flatten
            | Self::Add
            | Self::Combine(_)
            | Self::Softmax { .. }
            | Self::Resize(_)
            | Self::Reshape(_)
            | Self::Arrange(_) => Vec::new(),
        }
    }

    /// The layer in a network whose slots stand after `before` others.
    pub(super) fn with_slots_after(self, before: usize) -> Self {
        self.with_slots(&|slot| slot + before)
    }

    /// Multiply-adds of one image whose result has the extents `result`.
    pub(super) fn multiply_adds(&self, result: Extents, slots: &[Slot]) -> u64 {
        match self {
            Self::Convolution { weight, .. } | Self::Dense { weight, .. } => {
                (result.positions() * slots[*weight].len()) as u64
            }
            Self::ConvolutionTranspose { weight, geometry, .. } => {
                let [rows, columns] = geometry.stride;
                (result.positions() * slots[*weight].len() / (rows * columns)) as u64
            }
            _ => 0,
        }
    }

    /// The same layer with each slot at another index.
    pub(super) fn with_slots(mut self, index: &dyn Fn(usize) -> usize) -> Self {
        match &mut self {
            Self::Convolution { weight, bias, .. }
            | Self::ConvolutionTranspose { weight, bias, .. }
            | Self::Dense { weight, bias } => {
                *weight = index(*weight);
                *bias = bias.map(index);
            }
            Self::BatchNorm { scale, shift, mean, variance, .. } => {
                for slot in [scale, shift, mean, variance] {
                    *slot = index(*slot);
                }
            }
            Self::Normalise { mean, deviation } => {
                *mean = index(*mean);
                *deviation = index(*deviation);
            }
            Self::LayerNorm { scale, shift, .. } => {
                *scale = scale.map(index);
                *shift = shift.map(index);
            }
            Self::With { slot, .. } | Self::PRelu { slope: slot } => *slot = index(*slot),
            Self::Activation(_)
            | Self::Pool(..)
            | Self::GlobalMean
            | Self::Flatten
            | Self::Add
            | Self::Combine(_)
            | Self::Softmax { .. }
            | Self::Resize(_)
            | Self::Reshape(_)
            | Self::Arrange(_) => {}
        }
        self
    }
}

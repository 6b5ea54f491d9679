//! The layers of networks: what each needs and what it makes of the extents of its inputs.
//!
//! A layer names its slots by index. Its arithmetic is in `forward.rs`.

use super::arrangement::{Arrangement, MOST_VALUES};
use super::slot::{Role, Slot};
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
    /// The mean; the window says what it is divided by.
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

type Result<T> = std::result::Result<T, String>;

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

    /// Extents of the result, or what does not fit.
    pub(super) fn result(&self, inputs: &[Extents], slots: &[Slot]) -> Result<Extents> {
        let result = self.unlimited(inputs, slots)?;
        match (1..=MOST_VALUES).contains(&result.len()) {
            true => Ok(result),
            false => Err(format!("gives {result}, which is empty or more than {MOST_VALUES} values")),
        }
    }

    fn unlimited(&self, inputs: &[Extents], slots: &[Slot]) -> Result<Extents> {
        let one = || match inputs {
            [one] => Ok(*one),
            _ => Err(format!("reads {} values; this layer reads one", inputs.len())),
        };
        match self {
            Self::Normalise { mean, deviation } => {
                let x = one()?;
                for slot in [mean, deviation] {
                    needs(slots, *slot, &[x.channels()], Role::Buffer)?;
                }
                Ok(x)
            }
            Self::Convolution { weight, bias, geometry } => {
                convolved(one()?, *weight, *bias, geometry, slots)
            }
            Self::Dense { weight, bias } => {
                let Extents::Vector { len } = one()? else {
                    return Err("a linear layer reads a row of numbers; flatten the image first".to_string());
                };
                let outputs = channels_of(slots, *weight)?;
                needs(slots, *weight, &[1, 1, len, outputs], Role::Weight)?;
                bias.map_or(Ok(()), |bias| needs(slots, bias, &[outputs], Role::Weight))?;
                Ok(Extents::Vector { len: outputs })
            }
            Self::BatchNorm { scale, shift, mean, variance, .. } => {
                let x = one()?;
                let roles = [Role::Weight, Role::Weight, Role::Buffer, Role::Buffer];
                for (slot, role) in [scale, shift, mean, variance].into_iter().zip(roles) {
                    needs(slots, *slot, &[x.channels()], role)?;
                }
                Ok(x)
            }
            Self::Activation(_) => one(),
            Self::Pool(_, window) => {
                let Extents::Image { height, width, channels } = one()? else {
                    return Err("pooling reads an image".to_string());
                };
                let [rows, columns] = window
                    .places(height, width)
                    .ok_or_else(|| misfit([window.height, window.width], [height, width]))?;
                Ok(Extents::Image { height: rows, width: columns, channels })
            }
            Self::GlobalMean => Ok(Extents::Vector { len: one()?.channels() }),
            Self::Flatten => Ok(Extents::Vector { len: one()?.len() }),
            Self::Add => match inputs {
                [] => Err("adds nothing".to_string()),
                [first, rest @ ..] => match rest.iter().find(|other| *other != first) {
                    None => Ok(*first),
                    Some(other) => Err(format!("adds values of {first} and of {other}")),
                },
            },
            Self::ConvolutionTranspose { weight, bias, geometry, to } => {
                transposed(one()?, (*weight, *bias), geometry, *to, slots)
            }
            Self::Combine(_) => match inputs {
                [left, right] if left == right => Ok(*left),
                [left, right] => Err(format!("combines values of {left} and of {right}")),
                _ => Err(format!("reads {} values; this layer reads two", inputs.len())),
            },
            Self::With { slot, .. } | Self::PRelu { slope: slot } => {
                let x = one()?;
                repeats(slots, *slot, x, None)?;
                Ok(x)
            }
            Self::LayerNorm { scale, shift, len, .. } => {
                let x = one()?;
                for slot in scale.iter().chain(shift) {
                    repeats(slots, *slot, x, Some(*len))?;
                }
                match *len > 0 && x.len().is_multiple_of(*len) {
                    true => Ok(x),
                    false => Err(format!("normalises {len} values of {x} together")),
                }
            }
            Self::Softmax { len, .. } => match one()? {
                x if *len > 0 && x.len().is_multiple_of(*len) => Ok(x),
                x => Err(format!("takes the softmax of {len} values of {x}")),
            },
            Self::Resize(resize) => match one()? {
                Extents::Image { height, width, channels }
                    if [height, width] == resize.from && resize.fits() =>
                {
                    Ok(Extents::Image { height: resize.to[0], width: resize.to[1], channels })
                }
                x => Err(format!("resizes {x} from {:?} to {:?}", resize.from, resize.to)),
            },
            Self::Reshape(extents) => match one()? {
                x if x.len() == extents.len() => Ok(*extents),
                x => Err(format!("makes {extents} of {x}")),
            },
            Self::Arrange(arrangement) => arrangement.result(inputs),
        }
    }
}

/// Refuses a slot that is no row of numbers which can be repeated over `x`.
fn repeats(slots: &[Slot], index: usize, x: Extents, wanted: Option<usize>) -> Result<()> {
    let slot = slots.get(index).ok_or_else(|| format!("uses slot {index} of {}", slots.len()))?;
    match slot.extents[..] {
        [len] if len > 0 && x.len().is_multiple_of(len) && wanted.is_none_or(|wanted| wanted == len) => {
            Ok(())
        }
        _ => Err(format!("cannot repeat {} of {:?} over {x}", slot.name, slot.extents)),
    }
}

fn transposed(
    x: Extents,
    (weight, bias): (usize, Option<usize>),
    geometry: &graph::Convolution,
    to: [usize; 2],
    slots: &[Slot],
) -> Result<Extents> {
    let Extents::Image { height, width, channels } = x else {
        return Err("a transposed convolution reads an image".to_string());
    };
    let slot = slots.get(weight).ok_or_else(|| format!("uses slot {weight} of {}", slots.len()))?;
    let per_group = slot.extents.get(2).copied().unwrap_or(0);
    let outputs = per_group.checked_mul(geometry.groups).ok_or("has too many groups")?;
    let extents = geometry
        .weight(outputs, channels)
        .map_err(|problem| format!("goes from {channels} to {outputs} channels, but {problem}"))?;
    needs(slots, weight, &extents, Role::Weight)?;
    bias.map_or(Ok(()), |bias| needs(slots, bias, &[outputs], Role::Weight))?;
    match geometry.positions(to) == Some([height, width]) {
        true => Ok(Extents::Image { height: to[0], width: to[1], channels: outputs }),
        false => Err(format!("makes an image of {}x{} from {x}, which its kernel does not", to[0], to[1])),
    }
}

fn convolved(
    x: Extents,
    weight: usize,
    bias: Option<usize>,
    geometry: &graph::Convolution,
    slots: &[Slot],
) -> Result<Extents> {
    let Extents::Image { height, width, channels } = x else {
        return Err("a convolution reads an image".to_string());
    };
    let outputs = channels_of(slots, weight)?;
    let extents = geometry
        .weight(channels, outputs)
        .map_err(|problem| format!("goes from {channels} to {outputs} channels, but {problem}"))?;
    needs(slots, weight, &extents, Role::Weight)?;
    bias.map_or(Ok(()), |bias| needs(slots, bias, &[outputs], Role::Weight))?;
    let [rows, columns] =
        geometry.positions([height, width]).ok_or_else(|| misfit(geometry.size, [height, width]))?;
    Ok(Extents::Image { height: rows, width: columns, channels: outputs })
}

fn misfit(window: [usize; 2], image: [usize; 2]) -> String {
    format!(
        "has a window of {}x{} that does not fit the image of {}x{}; use larger images",
        window[0], window[1], image[0], image[1]
    )
}

fn channels_of(slots: &[Slot], slot: usize) -> Result<usize> {
    let slot = slots.get(slot).ok_or_else(|| format!("uses slot {slot} of {}", slots.len()))?;
    slot.extents.last().copied().ok_or_else(|| format!("uses the empty slot {}", slot.name))
}

fn needs(slots: &[Slot], index: usize, extents: &[usize], role: Role) -> Result<()> {
    let slot = slots.get(index).ok_or_else(|| format!("uses slot {index} of {}", slots.len()))?;
    if slot.extents == extents && slot.role == role {
        return Ok(());
    }
    let kind = match role {
        Role::Weight => "weight",
        Role::Buffer => "buffer",
    };
    Err(format!("needs a {kind} of {extents:?}; {} has {:?}", slot.name, slot.extents))
}

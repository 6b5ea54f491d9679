//! The layers of networks: what each needs and what it makes of the extents of its inputs.
//!
//! A layer names its slots by index. Its arithmetic is in `forward.rs`.

use super::slot::{Role, Slot};
use crate::graph;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Extents of a value for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            Self::Image { height, width, channels } => height * width * channels,
            Self::Vector { len } => len,
        }
    }

    /// Whether there is no value.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Rows times columns; 1 for a row of numbers.
    pub fn positions(self) -> usize {
        self.len() / self.channels()
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
}

type Result<T> = std::result::Result<T, String>;

impl Layer {
    /// The slots it uses.
    pub fn slots(&self) -> Vec<usize> {
        match *self {
            Self::Normalise { mean, deviation } => vec![mean, deviation],
            Self::Convolution { weight, bias, .. } | Self::Dense { weight, bias } => {
                std::iter::once(weight).chain(bias).collect()
            }
            Self::BatchNorm { scale, shift, mean, variance, .. } => vec![scale, shift, mean, variance],
            Self::Activation(_) | Self::Pool(..) | Self::GlobalMean | Self::Flatten | Self::Add => Vec::new(),
        }
    }

    /// Multiply-adds of one image whose result has the extents `result`.
    pub(super) fn multiply_adds(&self, result: Extents, slots: &[Slot]) -> u64 {
        match self {
            Self::Convolution { weight, .. } | Self::Dense { weight, .. } => {
                (result.positions() * slots[*weight].len()) as u64
            }
            _ => 0,
        }
    }

    /// Extents of the result, or what does not fit.
    pub(super) fn result(&self, inputs: &[Extents], slots: &[Slot]) -> Result<Extents> {
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
        }
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

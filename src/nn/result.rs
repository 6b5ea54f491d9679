//! What extents does a layer give, and what does not fit?

use super::arrangement::{Arrangement, Filling, MOST_VALUES};
use super::layer::{Activation, Extents, Layer};
use super::slot::{Role, Slot};
use crate::graph;

type Result<T> = std::result::Result<T, String>;

impl Layer {
    /// Extents of the result, or what does not fit.
    pub(super) fn result(&self, inputs: &[Extents], slots: &[Slot]) -> Result<Extents> {
        // A file of the model would not have it.
        if let Some(number) = self.numbers().into_iter().find(|number| !number.is_finite()) {
            return Err(format!("has the number {number}"));
        }
        let result = self.unlimited(inputs, slots)?;
        match (1..=MOST_VALUES).contains(&result.len()) {
            true => Ok(result),
            false => Err(format!("gives {result}, which is empty or more than {MOST_VALUES} values")),
        }
    }

    /// The real numbers that the layer itself has.
    fn numbers(&self) -> Vec<f32> {
        match self {
            Self::Activation(
                Activation::Affine(a, b)
                | Activation::Clamp(a, b)
                | Activation::HardSigmoid(a, b)
                | Activation::Selu(a, b),
            ) => vec![*a, *b],
            Self::Activation(
                Activation::LeakyRelu(a) | Activation::Elu(a) | Activation::Celu(a) | Activation::Power(a),
            ) => vec![*a],
            Self::BatchNorm { epsilon, momentum, .. } => vec![*epsilon, *momentum],
            Self::LayerNorm { epsilon, .. } => vec![*epsilon],
            Self::Pool(_, window) => vec![window.scale],
            Self::Arrange(Arrangement::Pad { filling: Filling::Value(value), .. }) => vec![*value],
            _ => Vec::new(),
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

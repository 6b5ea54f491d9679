//! Normalisation of every channel, or of every group of channels, of an image by its own statistics.

use super::arithmetic::with;
use super::shapes::to_extents;
use super::{Call, Importer, Known, Result, one};
use crate::nn::layer::{Arithmetic, Layer};
use crate::nn::onnx::constant::Constant;
use crate::nn::onnx::data::Data;

/// `InstanceNormalization`: by the statistics of a channel.
pub fn instance_norm(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let channels = data.extent(1)?;
    let normal = normalised(importer, data, call)?;
    let scale = along_channels(&*call.constant(1)?, channels, normal.rank())?;
    let shift = along_channels(&*call.constant(2)?, channels, normal.rank())?;
    one(scaled(importer, normal, &scale, &shift)?)
}

/// `GroupNormalization`, whose factors are those of groups in version 18 and those of channels from 21 on.
pub fn group_norm(importer: &mut Importer, call: &Call) -> Result<Vec<Known>> {
    let data = call.data(0)?;
    let (channels, rank) = (data.extent(1)?, data.rank());
    let groups = call.attributes.integer("num_groups", 0);
    let groups = usize::try_from(groups)
        .ok()
        .filter(|&groups| groups > 0 && channels.is_multiple_of(groups))
        .ok_or_else(|| format!("has {groups} groups for {channels} channels"))?;
    if !data.leads_with_images() || call.attributes.integer("stash_type", 1) != 1 {
        return Err("reads no batch of images, or computes in another precision than f32".to_string());
    }
    let (scale, shift) = (call.constant(1)?, call.constant(2)?);
    let extents: Vec<usize> = (1..rank).map(|axis| data.extent(axis)).collect::<Result<_>>()?;
    let front: &[usize] = if data.own_extents().len() == rank { &[1] } else { &[] };
    let apart = to_extents(importer, data, &[front, &[groups, data.len() / groups]].concat())?;
    let mut normal = normalised(importer, &apart, call)?;
    let of_groups = scale.len() == groups && groups != channels;
    if of_groups {
        let [scale, shift] = [along_channels(&scale, groups, 3)?, along_channels(&shift, groups, 3)?];
        normal = scaled(importer, normal, &scale, &shift)?;
    }
    normal = to_extents(importer, &normal, &[front, &extents].concat())?;
    if of_groups {
        return one(normal);
    }
    let [scale, shift] = [along_channels(&scale, channels, rank)?, along_channels(&shift, channels, rank)?];
    one(scaled(importer, normal, &scale, &shift)?)
}

/// The values of each place of axis 1 with mean 0 and variance 1.
fn normalised(importer: &mut Importer, data: &Data, call: &Call) -> Result<Data> {
    if !data.leads_with_images() || data.rank() < 3 {
        return Err("reads no batch of images".to_string());
    }
    let (data, len) = importer.last(data, 2..data.rank())?;
    let epsilon = call.attributes.float("epsilon", 1e-5);
    let value = importer.push(Layer::LayerNorm { scale: None, shift: None, len, epsilon }, &[data.value])?;
    Ok(data.with_value(value))
}

/// Numbers of the places of axis 1 of a value of `rank` axes.
fn along_channels(constant: &Constant, places: usize, rank: usize) -> Result<Constant> {
    if constant.len() != places {
        return Err(format!("has {} numbers for {places} channels or groups", constant.len()));
    }
    let extents: Vec<usize> = (1..rank).map(|axis| if axis == 1 { places } else { 1 }).collect();
    constant.reshaped(&extents)
}

fn scaled(importer: &mut Importer, data: Data, scale: &Constant, shift: &Constant) -> Result<Data> {
    let data = match scale.uniform() {
        Some(1.0) => data,
        _ => with(importer, Arithmetic::Multiply, data, scale, false)?,
    };
    match shift.uniform() {
        Some(0.0) => Ok(data),
        _ => with(importer, Arithmetic::Add, data, shift, false),
    }
}

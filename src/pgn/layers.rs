//! The layers of the generator: those of Table 1, and what a [`Recipe`] adds to them.

use super::recipe::Recipe;
use crate::nn::Problem;
use crate::nn::slot::{FileOrder, Initial, Role, Slot};
use crate::nn::zoo::scaled;

/// Units of the first dense layer at width 1 (Table 1).
const DENSE_UNITS: usize = 1024;
/// Channels of every up-convolution but the last at width 1 (Table 1).
const UP_CHANNELS: usize = 128;
/// Initial weights of the last layer are scaled by this: with unit gain the first perturbations have norms
/// above 10 and wreck the first epoch.
const LAST_LAYER_GAIN: f32 = 0.1;

/// Channels of a generator's hidden images at a width.
pub(super) fn channels_at(width: f32) -> usize {
    scaled(UP_CHANNELS, width)
}

/// What a layer computes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Matrix multiplication.
    Dense,
    /// 3x3 transposed convolution.
    Up {
        /// 1 or 2.
        stride: usize,
    },
}

/// One line of Table 1.
#[derive(Clone)]
pub(super) struct Layer {
    pub name: String,
    pub kind: Kind,
    pub inputs: usize,
    pub outputs: usize,
    /// Height and width of its result; 1 for dense layers.
    pub side: usize,
    /// Multiplies the initial weights.
    gain: f32,
    /// Whether batch normalisation stands between its sum and its activation.
    pub batch_norm: bool,
}

impl Layer {
    /// Rows and columns of its kernel.
    fn size(&self) -> usize {
        if self.kind == Kind::Dense { 1 } else { 3 }
    }

    pub fn weight_len(&self) -> usize {
        self.size() * self.size() * self.inputs * self.outputs
    }

    /// Terms in the sum of one output value. A stride of 2 spreads nine taps over four positions.
    fn fan_in(&self) -> f32 {
        let taps = (self.size() * self.size()) as f32;
        match self.kind {
            Kind::Up { stride } => taps * self.inputs as f32 / (stride * stride) as f32,
            Kind::Dense => taps * self.inputs as f32,
        }
    }

    /// Multiply-adds per image.
    pub fn multiply_adds(&self) -> u64 {
        let positions = match self.kind {
            Kind::Up { stride } => (self.side / stride).pow(2),
            Kind::Dense => 1,
        };
        (positions * self.weight_len()) as u64
    }

    /// Its weight and its bias, and the scale, the shift, the running mean and the running variance of its normalisation.
    pub fn slots(&self) -> Vec<Slot> {
        let (size, &Self { inputs, outputs, gain, .. }) = (self.size(), self);
        let (extents, order) = match self.kind {
            Kind::Dense => ([1, 1, inputs, outputs], FileOrder::Linear),
            // The image is on the coarse side of a transposed convolution.
            Kind::Up { .. } => ([size, size, outputs, inputs], FileOrder::Kernel),
        };
        let slot = |part: &str, extents: &[usize], role, initial, order| Slot {
            name: format!("{}{part}", self.name),
            extents: extents.to_vec(),
            role,
            initial,
            order,
        };
        let normal = Initial::Normal { fan_in: self.fan_in(), gain };
        let row = |part, role, value| slot(part, &[outputs], role, Initial::Constant(value), FileOrder::Same);
        let mut slots =
            vec![slot(".weight", &extents, Role::Weight, normal, order), row(".bias", Role::Weight, 0.0)];
        if self.batch_norm {
            slots.extend([
                row("_bn.weight", Role::Weight, 1.0),
                row("_bn.bias", Role::Weight, 0.0),
                row("_bn.running_mean", Role::Buffer, 0.0),
                row("_bn.running_var", Role::Buffer, 1.0),
            ]);
        }
        slots
    }
}

/// Table 1 for a problem at a width, with what `recipe` adds.
pub(super) fn layers(problem: Problem, width: f32, recipe: &Recipe) -> Vec<Layer> {
    let (units, channels) = (scaled(DENSE_UNITS, width), channels_at(width));
    let (k, c, side) = (problem.classes, problem.channels, problem.height);
    let quarter = side / 4;
    let up = |stride| Kind::Up { stride };
    let seen = if recipe.noise { 3 * c } else { 2 * c };
    let layer = |name: &str, kind, inputs, outputs, side| Layer {
        name: name.to_string(),
        kind,
        inputs,
        outputs,
        side,
        gain: 1.0,
        batch_norm: false,
    };
    let of_image = |name: &str, inputs| Layer {
        batch_norm: recipe.batch_norm,
        ..layer(name, up(1), inputs, channels, side)
    };
    let mut all = vec![
        layer("fc1", Kind::Dense, k, units, 1),
        layer("fc2", Kind::Dense, units + k, quarter * quarter * channels, 1),
        layer("up1", up(2), channels + k, channels, 2 * quarter),
        layer("up2", up(2), channels + k, channels, side),
        of_image("up3", channels + seen),
    ];
    all.extend((1..=recipe.depth).map(|i| of_image(&format!("deep{i}"), channels)));
    all.push(Layer { gain: LAST_LAYER_GAIN, ..layer("up4", up(1), channels, c, side) });
    all
}

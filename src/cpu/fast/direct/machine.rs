//! How the machine computes, and how weights are packed for it.
//!
//! Few output channels would leave most of a vector empty. Then two or four inputs that lie side by side are multiplied at a
//! time: lane `g` of every group of lanes is for the g-th of them, and the lanes of a group are added at the end.

use super::plan::{Part, Plan};
use pulp::{Simd, WithSimd};

/// Blocks of inputs of an output from which on it pays to add lanes at the end.
const MANY_STEPS: usize = 9;
/// Values of the longest vector.
pub const MOST_LANES: usize = 16;

/// Values of a vector, and vectors of output channels that are computed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    lanes: usize,
    most: usize,
}

/// Asks for the [`Machine`].
pub struct Ask;

impl WithSimd for Ask {
    type Output = Machine;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Machine {
        Machine::of::<S>()
    }
}

impl Machine {
    /// That of an instruction set.
    pub fn of<S: Simd>() -> Self {
        // What fits the registers beside the inputs; without vector instructions there is nothing to gain.
        let most = match S::REGISTER_COUNT {
            _ if S::F32_LANES == 1 => 1,
            32.. => 4,
            _ => 2,
        };
        Self { lanes: S::F32_LANES, most }
    }

    /// The blocks of so many output channels: the first channel of each, and its vectors.
    pub fn blocks(self, channels: usize) -> impl Iterator<Item = (usize, usize)> {
        let width = self.most * self.lanes;
        (0..channels)
            .step_by(width)
            .map(move |first| (first, (channels - first).div_ceil(self.lanes).min(self.most)))
    }

    /// Values of all vectors of a row with so many values.
    pub fn vectors(self, channels: usize) -> usize {
        self.blocks(channels).map(|(_, vectors)| vectors * self.lanes).sum()
    }

    /// Inputs that are multiplied at a time for a part.
    pub fn group(self, plan: &Plan, part: &Part) -> usize {
        let fits = |group: &usize| group * plan.channels[1] <= self.lanes.min(MOST_LANES);
        match plan.layout.block == 8 && part.steps.len() >= MANY_STEPS {
            true => [4, 2].into_iter().find(fits).unwrap_or(1),
            false => 1,
        }
    }

    /// Values of the packed weight of a part.
    pub fn packed_len(self, plan: &Plan, part: &Part) -> usize {
        let rows = part.steps.len() * plan.layout.block / self.group(plan, part);
        rows * self.vectors(plan.channels[1])
    }

    /// Packs the weight of a part, which has a matrix `[inputs, outputs]` for every tap: block by block of output channels, step
    /// by step, a row for every input, filled up with zeros.
    pub fn pack(self, plan: &Plan, part: &Part, weight: &[f32], packed: &mut [f32]) {
        let ([inputs, outputs], block) = (plan.channels, plan.layout.block);
        packed.fill(0.0);
        let group = self.group(plan, part);
        let rows = || {
            part.steps.iter().flat_map(move |step| {
                let row = move |channel| {
                    let at = (step.tap * inputs + channel) * outputs;
                    (channel < inputs).then(|| &weight[at..at + outputs])
                };
                (step.channel..step.channel + block).map(row)
            })
        };
        if group > 1 {
            for (index, row) in rows().enumerate() {
                let vector = &mut packed[index / group * self.lanes..][..self.lanes];
                let lanes = vector[index % group..].iter_mut().step_by(group);
                lanes.zip(row.unwrap_or_default()).for_each(|(to, &from)| *to = from);
            }
            return;
        }
        let mut rest = packed;
        for (first, vectors) in self.blocks(outputs) {
            let width = vectors * self.lanes;
            let used = width.min(outputs - first);
            for row in rows() {
                let (to, others) = rest.split_at_mut(width);
                if let Some(row) = row {
                    to[..used].copy_from_slice(&row[first..first + used]);
                }
                rest = others;
            }
        }
    }

    /// Writes rows of so many values block by block of channels, every row of a block filled up with zeros.
    pub fn pack_rows(self, rows: &[f32], channels: usize, packed: &mut [f32]) {
        let mut rest = packed;
        for (first, vectors) in self.blocks(channels) {
            let width = vectors * self.lanes;
            let used = width.min(channels - first);
            for row in rows.chunks_exact(channels) {
                let (to, others) = rest.split_at_mut(width);
                to[..used].copy_from_slice(&row[first..first + used]);
                to[used..].fill(0.0);
                rest = others;
            }
        }
    }
}

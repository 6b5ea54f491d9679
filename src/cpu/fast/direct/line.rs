//! Which inputs every output of a direct convolution takes along an axis.
//!
//! Outputs form one or more *phases*: within a phase, output `t` takes input `t * step + at` for every tap. A convolution has
//! one phase. The gradient by the input of a convolution with stride s has s of them, each with the taps that lie on its
//! pixels, so that no product with zero is computed.

use crate::cpu::general::Axis;

/// A tap: the weight of this number goes with the input at `t * step + at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// In inputs.
    pub at: isize,
    /// Of the weight.
    pub number: usize,
}

/// Outputs with the same taps along an axis: `first`, `first + every`, ...
#[derive(Clone, Debug)]
pub struct Phase {
    /// The first output.
    pub first: usize,
    /// Outputs from one to the next.
    pub every: usize,
    /// How many.
    pub count: usize,
    /// Inputs from one to the next.
    pub step: usize,
    /// In the order in which their products are added.
    pub taps: Vec<Tap>,
}

/// Rows or columns.
#[derive(Clone, Debug)]
pub struct Line {
    /// How many there are.
    pub inputs: usize,
    /// How many there are.
    pub outputs: usize,
    /// Of the weight.
    pub taps: usize,
    /// The first has the most outputs.
    pub phases: Vec<Phase>,
}

impl Line {
    /// From the fine side to the coarse one.
    pub fn forward(axis: &Axis) -> Self {
        let at = |number| Tap { at: axis.place_of(0, number), number };
        let taps = (0..axis.taps).map(at).collect();
        let phase = Phase { first: 0, every: 1, count: axis.coarse, step: axis.stride, taps };
        Self { inputs: axis.fine, outputs: axis.coarse, taps: axis.taps, phases: vec![phase] }
    }

    /// From the coarse side back to the fine one.
    pub fn backward(axis: &Axis) -> Self {
        let stride = axis.stride;
        let phase = |first: usize| {
            let tap = |number| {
                let from = first as isize - axis.place_of(0, number);
                (from.rem_euclid(stride as isize) == 0)
                    .then(|| Tap { at: from.div_euclid(stride as isize), number })
            };
            let mut taps: Vec<Tap> = (0..axis.taps).filter_map(tap).collect();
            taps.sort_by_key(|tap| tap.at);
            Phase { first, every: stride, count: (axis.fine - first).div_ceil(stride), step: 1, taps }
        };
        let phases = (0..stride.min(axis.fine)).map(phase).collect();
        Self { inputs: axis.coarse, outputs: axis.fine, taps: axis.taps, phases }
    }

    /// Outputs from one of a phase to the next.
    pub fn every(&self) -> usize {
        self.phases[0].every
    }

    /// Inputs from one output of a phase to the next.
    pub fn step(&self) -> usize {
        self.phases[0].step
    }

    /// Outputs per phase, at most.
    pub fn count(&self) -> usize {
        self.phases[0].count
    }

    /// The first and the last input of output 0 of all phases; 0 where no tap is.
    pub fn reach(&self) -> [isize; 2] {
        let taps = || self.phases.iter().flat_map(|phase| &phase.taps).map(|tap| tap.at);
        [taps().min().unwrap_or(0), taps().max().unwrap_or(0)]
    }
}
